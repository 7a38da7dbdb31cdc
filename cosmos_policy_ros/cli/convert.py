# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy convert``: rosbags, ALOHA HDF5 files and LeRobot data sets into each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from rich.console import Console
from rich.progress import track
from rich.table import Table
import tyro


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
    to: Literal['bag', 'hdf5', 'hdf5-cosmos', 'lerobot'] | None = None
    """hdf5 holds the images without loss, hdf5-cosmos and lerobot as MP4. Default: lerobot for
    bags, else bag."""
    robot: Path = robot_file('aloha_sim')
    """Robot YAML of the episodes."""
    rate_hz: float | None = None
    """Ticks per second of the result [Hz]. Default: the episode's own; that of a recorded bag is
    the robot's control rate."""
    fps: float | None = None
    """Rows per second of HDF5 files that have none [Hz]. Default: that of their videos,
    else the robot's control rate."""
    task: str | None = None
    """Instruction of episodes that have none."""
    source: Literal['demo', 'rollout'] | None = None
    """Source of episodes that have none."""
    success: Annotated[Literal['yes', 'no'] | None, tyro.conf.arg(metavar='yes|no')] = None
    """Outcome of episodes that have none. Default: not judged."""


def run(options: Convert) -> int:
    """Convert, read back, print the counts and the size."""
    # late: video, HDF5 and Parquet load slowly
    from cosmos_policy_ros.data.assemble import Labels
    from cosmos_policy_ros.data.convert import convert

    success = None if options.success is None else options.success == 'yes'
    target, episodes = convert(
        options.src,
        options.dst,
        read_robot(options.robot),
        options.to,
        rate_hz=options.rate_hz,
        labels=Labels(options.task, options.source, success, options.fps),
        progress=track,
    )
    table = Table(
        'episode', 'written as', 'rows', title='in → out', box=None, padding=(0, 2, 0, 0)
    )
    for camera in episodes[0].images:
        table.add_column(camera, justify='right')
    for episode in episodes:
        counts = (episode.rows, *episode.images.values())
        table.add_row(episode.name, episode.written_as, *(f'{n} → {m}' for n, m in counts))
    Console().print(table)
    size_mb = sum(p.stat().st_size for p in options.dst.rglob('*') if p.is_file()) * 1e-6
    print(
        f'{options.dst}: {len(episodes)} episodes as {target}, every count read back; '
        f'{size_mb:.1f} MB, {size_mb / len(episodes):.2f} MB per episode'
    )
    return 0
