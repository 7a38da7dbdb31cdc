# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy convert``: rosbags, ALOHA HDF5 files and LeRobot data sets into each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cosmos_policy_ros.data.assemble import Labels
from cosmos_policy_ros.data.bags.episode import write_bag
from cosmos_policy_ros.data.episodes import list_episodes, read_episode, StoredEpisode
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.data.lerobot.reader import check_lengths
from cosmos_policy_ros.data.lerobot.writer import LeRobotWriter
from cosmos_policy_ros.data.velocity_effort import STREAMS
from cosmos_policy_ros.outputs import whole_folder
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError, Episode
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
import tyro

Format = Literal['bag', 'hdf5', 'hdf5-cosmos', 'lerobot']


@dataclass(frozen=True)
class Convert:
    """Convert episodes and read every one back; DST appears whole or not at all.

    SRC is recognised by its content. What SRC does not hold is never made up: a missing camera,
    joint or label ends the conversion with one line.

    Example: cosmos-policy convert data/transfer_cube data/transfer_cube_lerobot --to lerobot
    """

    src: tyro.conf.Positional[Path]
    """A rosbag or a folder of them, an ALOHA HDF5 file or a folder of those, or a LeRobot v3 data
    set."""
    dst: tyro.conf.Positional[Path]
    """Folder to make: one bag per episode, episode_<i>.hdf5 files, or a LeRobot v3 data set."""
    to: Format | None = None
    """hdf5 holds the pictures without loss, hdf5-cosmos and lerobot as MP4. Default: lerobot for
    bags, else bag."""
    robot: Path = share_path('config', 'robots', 'aloha_sim.yaml')
    """Robot YAML of the episodes."""
    rate_hz: float | None = None
    """Ticks per second of the result [Hz]. Default: the episode's own; that of a recorded bag is
    the robot's control rate."""
    fps: float | None = None
    """Rows per second of HDF5 files that do not say theirs [Hz]. Default: that of their videos,
    else the robot's control rate."""
    task: str | None = None
    """Instruction of episodes that do not say theirs."""
    source: Literal['demo', 'rollout'] | None = None
    """Source of episodes that do not say theirs."""
    success: Annotated[Literal['yes', 'no'] | None, tyro.conf.arg(metavar='yes|no')] = None
    """Outcome of episodes that do not say theirs. Default: not judged."""


@dataclass(frozen=True)
class Content:
    """What has to arrive of an episode.

    Attributes:
        frames: Camera -> distinct frames.
        proprio: (S, P) float32.
        actions: (S, A) float32.
        motion: Stream -> (S, P) float32 of the velocities and efforts that there are.
        labels: Source, task, success and rate.
    """

    frames: dict[str, int]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    motion: dict[str, NDArray[np.float32]]
    labels: tuple[str, str, bool | None, float]


def run(options: Convert) -> int:
    """Convert, read back, print the counts and the size."""
    robot, recordings = read_robot(options.robot), list_episodes(options.src)
    bags = recordings[0].format == 'bag'
    target: Format = options.to or ('lerobot' if bags else 'bag')
    success = None if options.success is None else options.success == 'yes'
    given = Labels(options.task, options.source, success, options.fps)
    with whole_folder(options.dst) as folder:
        contents: list[Content] = []

        def episodes() -> Iterator[Episode]:
            for recording in track(recordings, f'writing {target}'):
                episode = read_episode(recording, robot, options.rate_hz, given)
                contents.append(content(episode))
                yield episode

        written = write_episodes(folder, target, episodes(), recordings, robot)
        table = verify(recordings, contents, written, robot)
    Console().print(table)
    size_mb = sum(p.stat().st_size for p in options.dst.rglob('*') if p.is_file()) * 1e-6
    print(
        f'{options.dst}: {len(written)} episodes as {target}, every count read back; '
        f'{size_mb:.1f} MB, {size_mb / len(written):.2f} MB per episode'
    )
    return 0


def write_episodes(
    folder: Path,
    target: Format,
    episodes: Iterator[Episode],
    recordings: Sequence[StoredEpisode],
    robot: RobotSpec,
) -> list[StoredEpisode]:
    """Write all episodes to a new folder and return where they lie.

    Bags keep the names of the episodes; HDF5 files are numbered from 0, as ALOHA's readers want.
    """
    if target == 'lerobot':
        first = next(episodes)
        with LeRobotWriter(folder, robot, first.rate_hz) as data_set:
            data_set.add(first)
            for episode in episodes:
                data_set.add(episode)
        return [StoredEpisode('lerobot', folder, n) for n in range(len(recordings))]
    folder.mkdir()
    written = []
    for number, episode in enumerate(episodes):
        if target == 'bag':
            name = recordings[number].name
            written.append(StoredEpisode('bag', folder / name.removesuffix('.hdf5')))
            write_bag(written[-1].path, episode, robot)
        else:
            written.append(StoredEpisode('hdf5', folder / f'episode_{number}.hdf5'))
            write_hdf5(written[-1].path, episode, robot, videos=target == 'hdf5-cosmos')
    return written


def content(episode: Episode) -> Content:
    """Return what has to arrive of an episode."""
    return Content(
        {name: len(images) for name, images in episode.images.items()},
        episode.proprio,
        episode.actions,
        {s: rows for s in STREAMS if (rows := getattr(episode, s)) is not None},
        (episode.source, episode.task, episode.success, episode.rate_hz),
    )


def verify(
    recordings: Sequence[StoredEpisode],
    contents: Sequence[Content],
    written: Sequence[StoredEpisode],
    robot: RobotSpec,
) -> Table:
    """Read every episode back and return the table of counts.

    Raises:
        ConfigError: An episode cannot be read back, or differs in the number of rows or frames, in
            its labels, in a joint or action by more than rounding, or at all in a velocity or
            effort. Rows of a LeRobot data set have only those that all episodes hold.
    """
    table = Table(
        'episode', 'written as', 'rows', title='in → out', box=None, padding=(0, 2, 0, 0)
    )
    for camera in robot.cameras:
        table.add_column(camera.name, justify='right')
    kept, none = set(STREAMS), np.zeros(0, np.float32)
    if written[0].format == 'lerobot':
        kept = kept.intersection(*(wanted.motion for wanted in contents))
    rows = list(zip(recordings, contents, written, strict=True))
    for recording, wanted, recorded in track(rows, 'reading back'):
        got = content(read_episode(recorded, robot))
        n_in, n_out = len(wanted.proprio), len(got.proprio)
        if (n_in, wanted.frames, wanted.labels) != (n_out, got.frames, got.labels):
            msg = (
                f'{recording.name} was not written well: {n_in} rows, frames {wanted.frames}, '
                f'{wanted.labels} became {n_out} rows, frames {got.frames}, {got.labels}'
            )
            raise ConfigError(msg)
        for name in ('proprio', 'actions'):
            gap = float(np.abs(getattr(wanted, name) - getattr(got, name)).max())
            if gap > 1e-6:
                msg = f'{recording.name} was not written well: {name} differ by up to {gap:g}'
                raise ConfigError(msg)
        for name in STREAMS:
            before = wanted.motion.get(name, none) if name in kept else none
            if not np.array_equal(before, got.motion.get(name, none)):
                msg = f'{recording.name} was not written well: {name} differs'
                raise ConfigError(msg)
        frames = [f'{wanted.frames[c.name]} → {got.frames[c.name]}' for c in robot.cameras]
        table.add_row(recording.name, recorded.name, f'{n_in} → {n_out}', *frames)
    if written[0].format == 'lerobot':
        check_lengths(written[0].path)
    return table
