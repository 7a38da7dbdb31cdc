# SPDX-License-Identifier: Apache-2.0
"""Recordings as one HTML page that needs nothing else: which bags are in it, and writing it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import sys

from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.overview import Overview, read_overview
from cosmos_policy_ros.data.episode_overview import overview_of
from cosmos_policy_ros.data.episodes import list_episodes, read_episode, StoredEpisode
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.progress import track
from cosmos_policy_ros.report.episode import section
from cosmos_policy_ros.report.page import Damaged, describe, page, Row
from cosmos_policy_ros.resources import find_robot_file
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError
from rich.console import Console


def write_report(
    bags: Sequence[Path],
    out: Path,
    robot: RobotSpec | None = None,
    n_images: int = 8,
    reading: Reading | None = None,
) -> int:
    """Write one HTML page about recordings, and print how many it shows.

    One that cannot be read is named in the page and on the standard error, with the reason.

    Args:
        bags: Bags, HDF5 files, LeRobot data sets, or folders of them.
        out: HTML file to write; replaced when it exists.
        robot: The robot, by default the one that every bag names. Where nobody knows it there are
            no measured joints, limits and expected rates.
        n_images: Images per camera and episode.
        reading: What the recordings leave open.

    Returns:
        Number of recordings that could be read.

    Raises:
        ConfigError: A path does not exist, or there is no recording.
    """
    reading = reading or Reading()
    recordings = find_recordings(bags)
    console = Console()
    rows: list[Row] = []
    damaged: list[Damaged] = []
    sections: list[str] = []
    for stored in track(recordings, 'reading', console=console, transient=True):
        try:
            overview = read_recording(stored, robot, n_images, reading)
        except ConfigError as error:
            damaged.append(Damaged(stored.name, str(error)))
            print(f'cosmos-policy: {error}', file=sys.stderr)
            continue
        rows.append(describe(overview))
        sections.append(section(overview))
    title = recordings[0].name if len(recordings) == 1 else bags[0].resolve().name
    with whole_file(out) as partial, partial.open('w', encoding='utf-8') as file:
        file.writelines(page(title, rows, damaged, sections))
    size_mb = out.stat().st_size * 1e-6
    console.print(
        f'{out}: {len(rows)} episodes, {len(damaged)} damaged, {size_mb:.1f} MB',
        highlight=False,
        soft_wrap=True,
    )
    return len(rows)


def find_recordings(given: Sequence[Path]) -> list[StoredEpisode]:
    """Return the episodes of the given paths, whole or damaged.

    Raises:
        ConfigError: A path does not exist, or there is no episode.
    """
    found: list[StoredEpisode] = []
    for path in given:
        if not path.exists():
            msg = f'no file or folder {path}; give a recording or a folder of recordings'
            raise ConfigError(msg)
        found += list_episodes(path)
    return found


def read_recording(
    stored: StoredEpisode, robot: RobotSpec | None, n_images: int, reading: Reading
) -> Overview:
    """Read one recording.

    Args:
        stored: Where it lies.
        robot: The robot, by default the one that a bag names; rows are read by its joints.
        n_images: Images kept per camera.
        reading: What the recording leaves open.

    Raises:
        ConfigError: It cannot be read, or is no bag and nobody says which robot it is of.
    """
    if stored.format == 'bag':
        return read_overview(stored.path, robot or robot_of(stored.path), n_images, reading)
    if robot is None:
        msg = f'{stored.path}: rows are read by the joints of a robot file; give it with --robot'
        raise ConfigError(msg)
    episode = read_episode(stored, robot, reading=reading)
    path = stored.path / stored.name if stored.format == 'lerobot' else stored.path
    return overview_of(path, episode, robot, n_images)


def robot_of(bag: Path) -> RobotSpec | None:
    """Return the robot that a bag names, None when this package has no file for it.

    Raises:
        ConfigError: The bag cannot be read.
    """
    file = find_robot_file(read_metadata(bag).get('robot', ''))
    return None if file is None else read_robot(file)
