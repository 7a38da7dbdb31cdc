# SPDX-License-Identifier: Apache-2.0
"""Which episodes a path holds, recognised by content, and how each is read.

A path is a rosbag, a folder of them, an ALOHA HDF5 file, a folder of those, or a LeRobot data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import re
from typing import Literal

from cosmos_policy_ros.data.assemble import at_rate, Labels
from cosmos_policy_ros.data.bags.files import list_bags
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.hdf5 import read_hdf5
from cosmos_policy_ros.data.lerobot.meta import is_lerobot, read_meta
from cosmos_policy_ros.data.lerobot.reader import read_lerobot
from cosmos_policy_ros.outputs import PARTIAL
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError, Episode
import h5py

HDF5_ENDINGS = ('.hdf5', '.h5')


@dataclass(frozen=True)
class StoredEpisode:
    """Where one episode lies.

    Attributes:
        format: How it is stored.
        path: Folder of the bag, HDF5 file, or folder of the data set.
        number: Index inside a LeRobot data set, else 0.
    """

    format: Literal['bag', 'hdf5', 'lerobot']
    path: Path
    number: int = 0

    @property
    def name(self) -> str:
        """Name of the episode, different from the others of its path."""
        return f'episode_{self.number:06d}' if self.format == 'lerobot' else self.path.name


def list_episodes(path: Path) -> list[StoredEpisode]:
    """Return the episodes of a path in the order of their names, numbers by value.

    A damaged episode is listed too, so that reading names it. Names that
    end in ``.partial`` are unfinished and left out.

    Raises:
        ConfigError: There is none, or ``meta/`` of a LeRobot data set cannot be read.
    """
    if is_lerobot(path):
        return [StoredEpisode('lerobot', path, n) for n in range(len(read_meta(path).episodes))]
    if _is_bag(path):
        return [StoredEpisode('bag', path)]
    if path.is_file():
        return [StoredEpisode('hdf5', path)]
    there = sorted(path.iterdir() if path.is_dir() else (), key=_by_number)
    found = [StoredEpisode('hdf5', p) for p in there if _is_hdf5(p)]
    bags = [p for p in there if _is_bag(p)] if found else list_bags(path)
    found += [StoredEpisode('bag', bag) for bag in bags]
    return found


def read_episode(
    stored: StoredEpisode, robot: RobotSpec, rate_hz: float | None = None,
    given: Labels | None = None,
) -> Episode:  # fmt: skip
    """Read one episode.

    Args:
        stored: Where it lies.
        robot: Robot of the episode.
        rate_hz: Tick rate [Hz]; None is the episode's own, and the robot's control rate for a bag
            that has none. Rows are left out, never made up.
        given: What to take for labels that the episode lacks; bags have all.

    Raises:
        ConfigError: The episode cannot be read; the message names it.
    """
    if stored.format == 'bag':
        return read_bag(stored.path, robot, rate_hz)
    if stored.format == 'hdf5':
        episode = read_hdf5(stored.path, robot, given)
    else:
        episode = read_lerobot(stored.path, stored.number, robot, given)
    try:
        return at_rate(episode, rate_hz or episode.rate_hz)
    except ValueError as error:
        msg = f'episode {stored.name} of {stored.path}: {error}'
        raise ConfigError(msg) from error


def _is_bag(path: Path) -> bool:
    """Whether a folder is a finished rosbag."""
    return path.suffix != PARTIAL and (path / 'metadata.yaml').is_file()


def _is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5; a damaged one is known by its ending."""
    return path.is_file() and (path.suffix in HDF5_ENDINGS or bool(h5py.is_hdf5(path)))


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Return what sorts ``episode_10`` after ``episode_9``."""
    return [(int(p), '') if p.isdigit() else (0, p) for p in re.split(r'(\d+)', path.name)]
