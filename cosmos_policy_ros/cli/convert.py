# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy convert``: rosbags, ALOHA HDF5 files and LeRobot data sets into each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosmos_policy_ros.cli.reading import reading_of, ReadingOptions
from cosmos_policy_ros.progress import track
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from rich.console import Console
from rich.table import Table
import tyro


@dataclass(frozen=True)
class Convert(ReadingOptions):
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
    skip_bad: bool = False
    """Leave out episodes that cannot be used, each named with its reason."""


def run(options: Convert) -> int:
    """Convert, read back, print the counts and the size."""
    # late: video, HDF5 and Parquet load slowly
    from cosmos_policy_ros.data.convert import convert

    robot = read_robot(options.robot)
    target, episodes = convert(
        options.src,
        options.dst,
        robot,
        options.to,
        rate_hz=options.rate_hz,
        reading=reading_of(options, robot),
        skip_bad=options.skip_bad,
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
