# SPDX-License-Identifier: Apache-2.0
"""Episodes of one format as episodes of another: the new folder is there whole or not at all.

Every episode that was written is read back and compared with what it was made from, since a data
set with a silent gap costs a training run. What the source does not hold is never made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
import logging
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, Protocol, TypeVar

from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.episodes import (
    check_episodes,
    list_episodes,
    read_episode,
    StoredEpisode,
)
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.data.lerobot.reader import check_lengths
from cosmos_policy_ros.data.lerobot.writer import LeRobotWriter
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.data.velocity_effort import STREAMS
from cosmos_policy_ros.outputs import OutputError, whole_folder
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import Circumstances, ConfigError, Episode
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)
ENDINGS = ('.hdf5', '.h5', '.mcap', '.db3')  # of files; a bag becomes a folder without
Format = Literal['bag', 'hdf5', 'hdf5-cosmos', 'lerobot']
ROUNDING = 1e-6  # [rad; gripper 0..1] by which a position may change on its way through float32
Row = TypeVar('Row')


class Progress(Protocol):
    """Passes rows on and shows how far it is, such as ``cosmos_policy_ros.progress.track``."""

    def __call__(self, rows: Sequence[Row], description: str, /) -> Iterable[Row]:
        """Return the rows."""


class EpisodeCounts(NamedTuple):
    """Counts of an episode before and after, equal where a conversion succeeds.

    Attributes:
        name: Name of the episode in the source.
        written_as: Its name in the result.
        rows: Ticks, in and out.
        images: Camera -> distinct images, in and out.
    """

    name: str
    written_as: str
    rows: tuple[int, int]
    images: dict[str, tuple[int, int]]


class Conversion(NamedTuple):
    """The result of a conversion.

    Attributes:
        format: Format of the result.
        episodes: What was written, in order.
    """

    format: Format
    episodes: list[EpisodeCounts]


@dataclass(frozen=True)
class Content:
    """The part of an episode that a conversion preserves.

    Attributes:
        n_images: Camera -> distinct images.
        proprio: (S, P) float32 [rad; gripper 0..1].
        actions: (S, A) float32 [rad; gripper 0..1].
        motion: Stream -> (S, P) float32 of the velocities and efforts that there are.
        labels: Source, task, success, rate and circumstances.
        flags: (2, S) bool expert and human_intervention.
    """

    n_images: dict[str, int]
    proprio: NDArray[np.float32]
    actions: NDArray[np.float32]
    motion: dict[str, NDArray[np.float32]]
    labels: tuple[str, str, bool | None, float, Circumstances]
    flags: NDArray[np.bool_]


def without_progress(rows: Sequence[Row], _description: str, /) -> Iterable[Row]:
    """Return the rows and show nothing."""
    return rows


def convert(
    src: Path,
    dst: Path,
    robot: RobotSpec,
    to: Format | None = None,
    *,
    rate_hz: float | None = None,
    reading: Reading | None = None,
    skip_bad: bool = False,
    progress: Progress = without_progress,
) -> Conversion:
    """Write all episodes of a path to a new folder and read every one back.

    Args:
        src: Bag, ALOHA HDF5 file, a folder of either, or a LeRobot data set.
        dst: Folder to make.
        robot: Robot of the episodes.
        to: Format of the result; None is ``lerobot`` for bags and ``bag`` for all others.
        rate_hz: Ticks per second of the result [Hz]; None is the episode's own.
        reading: What the episodes leave open.
        skip_bad: Whether episodes that cannot be used are left out with one line each.
        progress: Shows how far it is.

    Raises:
        ConfigError: ``dst`` exists, an episode cannot be read, lacks something, or reads back
            differently; ``dst`` is not there then.
    """
    recordings = leave_out_unreadable(list_episodes(src), skip_bad, reading)
    target: Format = to or ('lerobot' if recordings[0].format == 'bag' else 'bag')
    return convert_episodes(
        recordings, dst, robot, target,
        rate_hz=rate_hz, reading=reading, skip_bad=skip_bad, progress=progress,
    )  # fmt: skip


def convert_episodes(
    recordings: Sequence[StoredEpisode],
    dst: Path,
    robot: RobotSpec,
    target: Format,
    *,
    rate_hz: float | None = None,
    reading: Reading | None = None,
    skip_bad: bool = False,
    progress: Progress = without_progress,
) -> Conversion:
    """Write episodes to a new folder and read every one back.

    Args:
        recordings: Where they lie, in any places and formats.
        dst: Folder to make.
        robot: Robot of the episodes.
        target: Format of the result.
        rate_hz: As of ``convert``, and so are the others and what is raised.
        reading: What the episodes leave open.
        skip_bad: Whether episodes that cannot be used are left out with one line each.
        progress: Shows how far it is.
    """
    with whole_folder(dst) as folder:
        used: list[StoredEpisode] = []
        contents: list[Content] = []

        def episodes() -> Iterator[tuple[StoredEpisode, Episode]]:
            for recording in progress(recordings, f'writing {target}'):
                try:
                    episode = read_episode(recording, robot, rate_hz, reading)
                except OutputError:  # of temporary files: nothing is wrong with the episode
                    raise
                except ConfigError as error:
                    if not skip_bad:
                        hint = '; --skip-bad goes on without it' if len(recordings) > 1 else ''
                        msg = f'{error}{hint}'
                        raise ConfigError(msg) from error
                    logger.warning('left out: %s', error)
                    continue
                used.append(recording)
                contents.append(content(episode))
                yield recording, episode

        written = write_episodes(folder, target, episodes(), robot)
        counts = verify(used, contents, written, robot, progress)
    return Conversion(target, counts)


def leave_out_unreadable(
    recordings: Sequence[StoredEpisode], skip_bad: bool, reading: Reading | None = None
) -> Sequence[StoredEpisode]:
    """Return the episodes that can be opened, found before the long work begins.

    Args:
        recordings: All of them.
        skip_bad: Whether the others are left out with one line each.
        reading: What the episodes leave open.

    Raises:
        ConfigError: Some cannot be opened and are not to be left out, or none can; all are named.
    """
    bad = check_episodes(recordings, reading)
    if bad and not skip_bad:
        hint = '; --skip-bad goes on without them' if len(bad) < len(recordings) else ''
        n = f'{len(bad)} of {len(recordings)} episodes cannot be read: '
        msg = f'{n if len(recordings) > 1 else ""}{"; ".join(bad.values())}{hint}'
        raise ConfigError(msg)
    for reason in bad.values():
        logger.warning('left out: %s', reason)
    return [recording for recording in recordings if recording not in bad] or _refuse_all()


def _refuse_all() -> NoReturn:
    msg = 'no episode is left that can be used'
    raise ConfigError(msg)


def write_episodes(
    folder: Path,
    target: Format,
    episodes: Iterator[tuple[StoredEpisode, Episode]],
    robot: RobotSpec,
) -> list[StoredEpisode]:
    """Write episodes to a new folder and return where they lie.

    Bags keep the names of the episodes; HDF5 files are numbered from 0, as ALOHA's readers want.

    Args:
        folder: Folder to make.
        target: Format.
        episodes: Where each came from and what it holds, read one at a time.
        robot: Topics, joints and cameras.

    Raises:
        ConfigError: The format cannot hold an episode, or there is none.
    """
    first = next(episodes, None) or _refuse_all()
    rest = chain([first], episodes)
    if target == 'lerobot':
        with LeRobotWriter(folder, robot, first[1].rate_hz) as data_set:
            n = 0
            for _, episode in rest:
                data_set.add(episode)
                n += 1
        return [StoredEpisode('lerobot', folder, i) for i in range(n)]
    folder.mkdir()
    written = []
    for number, (recording, episode) in enumerate(rest):
        if target == 'bag':
            ending = recording.path.suffix
            name = recording.name.removesuffix(ending if ending in ENDINGS else '')
            written.append(StoredEpisode('bag', folder / name))
            if written[-1].path.exists():
                msg = f'{recording.path} would be called {name}, as another episode; rename one'
                raise ConfigError(msg)
            write_bag(written[-1].path, episode, robot)
        else:
            written.append(StoredEpisode('hdf5', folder / f'episode_{number}.hdf5'))
            write_hdf5(written[-1].path, episode, robot, videos=target == 'hdf5-cosmos')
    return written


def content(episode: Episode) -> Content:
    """Return counts, joints and labels of an episode, without its images."""
    return Content(
        {name: len(images) for name, images in episode.images.items()},
        episode.proprio,
        episode.actions,
        {s: rows for s in STREAMS if (rows := getattr(episode, s)) is not None},
        (episode.source, episode.task, episode.success, episode.rate_hz, episode.circumstances),
        np.stack([episode.expert, episode.human_intervention]),
    )


def verify(
    recordings: Sequence[StoredEpisode],
    contents: Sequence[Content],
    written: Sequence[StoredEpisode],
    robot: RobotSpec,
    progress: Progress = without_progress,
) -> list[EpisodeCounts]:
    """Read every written episode back and return the counts.

    Args:
        recordings: The episodes of the source.
        contents: Their content, in the same order.
        written: The episodes of the result, in the same order.
        robot: Robot of the episodes.
        progress: Shows how far it is.

    Raises:
        ConfigError: An episode cannot be read back, or differs in the number of rows or images, in
            its labels or flags, in a joint or action by more than rounding, or at all in a
            velocity or effort. Rows of a LeRobot data set have only those that all episodes hold.
    """
    kept, none = set(STREAMS), np.zeros(0, np.float32)
    if written[0].format == 'lerobot':
        kept = kept.intersection(*(wanted.motion for wanted in contents))
    counts = []
    rows = list(zip(recordings, contents, written, strict=True))
    for recording, wanted, recorded in progress(rows, 'reading back'):
        got = content(read_episode(recorded, robot))
        n_in, n_out = len(wanted.proprio), len(got.proprio)
        if (n_in, wanted.n_images, wanted.labels) != (n_out, got.n_images, got.labels):
            msg = (
                f'{recording.name} was not written well: {n_in} rows, images {wanted.n_images}, '
                f'{wanted.labels} became {n_out} rows, images {got.n_images}, {got.labels}'
            )
            raise ConfigError(msg)
        for name in ('proprio', 'actions'):
            gap = float(np.abs(getattr(wanted, name) - getattr(got, name)).max())
            if gap > ROUNDING:
                msg = f'{recording.name} was not written well: {name} differ by up to {gap:g}'
                raise ConfigError(msg)
        if not np.array_equal(wanted.flags, got.flags):
            msg = f'{recording.name} was not written well: expert or human_intervention differ'
            raise ConfigError(msg)
        for name in STREAMS:
            before = wanted.motion.get(name, none) if name in kept else none
            if not np.array_equal(before, got.motion.get(name, none)):
                msg = f'{recording.name} was not written well: {name} differs'
                raise ConfigError(msg)
        images = {c.name: (wanted.n_images[c.name], got.n_images[c.name]) for c in robot.cameras}
        counts.append(EpisodeCounts(recording.name, recorded.name, (n_in, n_out), images))
    if written[0].format == 'lerobot':
        check_lengths(written[0].path)
    return counts
