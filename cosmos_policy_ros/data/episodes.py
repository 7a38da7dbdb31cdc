# SPDX-License-Identifier: Apache-2.0
"""Which episodes a path holds, recognised by content, and how each is read.

A path is a rosbag, a folder of them, an ALOHA HDF5 file, a folder of those, or a LeRobot data set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
import hashlib
from pathlib import Path
import re
from typing import Literal

from cosmos_policy_ros.data.assemble import at_rate
from cosmos_policy_ros.data.bags.files import is_bag, METADATA, read_metadata
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.hdf5 import check_hdf5, hdf5_labels, read_actions, read_hdf5
from cosmos_policy_ros.data.lerobot.meta import is_lerobot, read_meta, STATS
from cosmos_policy_ros.data.lerobot.reader import check_files, lerobot_labels, read_lerobot
from cosmos_policy_ros.data.reading import note, Reading
from cosmos_policy_ros.outputs import PARTIAL
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError, Episode
import h5py

HDF5_ENDINGS = ('.hdf5', '.h5')
OTHERS = {  # name of a file that is not read -> what it is, and what to do
    r'\.tfrecord': 'of RLDS, which is not read: make a LeRobot data set of it first',
    r'\.bag$': 'a bag of ROS 1, which is not read: rosbags-convert makes one of ROS 2 of it',
    r'^\.z(array|group|attrs)$|^zarr\.json$|\.zarr\.zip$': 'of Zarr, which is not read: make '
    'ALOHA HDF5 files or a LeRobot data set of it first',
    r'\.(zip|7z|rar|tgz|tar|gz|bz2|xz)$': 'packed: unpack it first',
    r'\.(mcap|db3|hdf5|h5)\.(part|active|tmp|download|crdownload)$': 'not finished by what '
    'records, copies or loads it: let that end, or give it its name without the last ending',
    r'^(file|episode)[-_]\d+\.parquet$': 'a part of a LeRobot data set: give the folder that '
    'holds meta/',
}

POINTER = b'version https://git-lfs'  # begins what Git has in the place of a large file


@dataclass(frozen=True)
class StoredEpisode:
    """Where one episode lies.

    Attributes:
        format: How it is stored.
        path: Folder or file of the bag, HDF5 file, or folder of the data set.
        number: Index inside a LeRobot data set, else 0.
        within: Folders above it that tell it from others of the same name, outermost first.
    """

    format: Literal['bag', 'hdf5', 'lerobot']
    path: Path
    number: int = 0
    within: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the episode, different from the others of its path."""
        own = f'episode_{self.number:06d}' if self.format == 'lerobot' else self.path.name
        return '-'.join((*self.within, own))


def list_episodes(path: Path) -> list[StoredEpisode]:
    """Return the episodes of a path in the order of their names, numbers by value.

    Folders inside are looked into; those that hold none are passed over with one line. A damaged
    episode is listed too, so that reading names it. Names that end in ``.partial`` are unfinished
    and left out, those that begin with a dot are nobody's.

    Raises:
        ConfigError: There is none, or ``meta/`` of a LeRobot data set cannot be read.
    """
    found = _find_episodes(path)
    if not found:
        record = f'record some with: cosmos-policy demonstrate --out {path}'
        msg = f'no episodes in {path}; {_describe_others(path) or record}'
        raise ConfigError(msg)
    return found


def _describe_others(path: Path) -> str:
    """Return what a path holds that is not read, and what to do; empty for nothing known."""
    names: Iterable[Path] = [path] if path.is_file() else path.rglob('*')
    for each in names:
        for pattern, advice in OTHERS.items():
            if re.search(pattern, each.name):
                return f'{each} is {advice}'
    return f'{path} is no bag, HDF5 file or data set' if path.is_file() else ''


def _find_episodes(path: Path, above: tuple[Path, ...] = ()) -> list[StoredEpisode]:
    """Return the episodes of a path, or nothing.

    Args:
        path: File or folder.
        above: Where the folders are that it was reached through; a link back to one of them, or
            to what holds one, would find every episode again.
    """
    if is_lerobot(path):
        return [StoredEpisode('lerobot', path, n) for n in range(len(read_meta(path).episodes))]
    if is_bag(path):
        return [StoredEpisode('bag', path)]
    if _is_hdf5(path):
        return [StoredEpisode('hdf5', path)]
    found: list[StoredEpisode] = []
    empty: list[str] = []
    above = (*above, path.resolve())
    for inside in sorted(path.iterdir() if path.is_dir() else (), key=_by_number):
        if inside.name.startswith('.') or PARTIAL in inside.suffixes:
            continue
        if inside.is_symlink() and not inside.exists():
            note(
                str(inside),
                f'passed over, since it is a link to what is not there: {inside.readlink()}',
            )
        if is_bag(inside) or _is_hdf5(inside):
            found += _find_episodes(inside)
        elif inside.is_dir() and not any(p.is_relative_to(inside.resolve()) for p in above):
            mine = _find_episodes(inside, above)
            found += [replace(e, within=(inside.name, *e.within)) for e in mine]
            empty += [] if mine else [inside.name]
    if empty and found:
        note(str(path), f'passed over, since no episode is in them: {", ".join(empty)}')
    return found


def check_episodes(
    episodes: Sequence[StoredEpisode], reading: Reading | None = None
) -> dict[StoredEpisode, str]:
    """Return which episodes cannot even be opened, with the reason; this is quick.

    Args:
        episodes: Where they lie.
        reading: What they leave open.
    """
    reasons = {stored: _find_damage(stored, reading) for stored in episodes}
    return {stored: reason for stored, reason in reasons.items() if reason}


def _find_damage(stored: StoredEpisode, reading: Reading | None) -> str:
    """Return why an episode cannot be opened, and what to do where that is known; empty if it can.

    Most data sets that were cloned without Git LFS have pointers in the place of large files.
    """
    if reason := _open(stored, reading):
        files = stored.path.rglob('*') if stored.path.is_dir() else [stored.path]
        if pointer := next((f for f in files if f.is_file() and _is_pointer(f)), None):
            reason += f'; {pointer} is a pointer of Git LFS: git lfs pull brings the file'
    return reason


def _is_pointer(file: Path) -> bool:
    """Return whether a file is one of Git LFS; that it cannot be read has been said already."""
    try:
        with file.open('rb') as opened:
            return opened.read(len(POINTER)) == POINTER
    except OSError:
        return False


def _open(stored: StoredEpisode, reading: Reading | None) -> str:
    """Return why an episode cannot be opened, empty when it can."""
    try:
        if stored.format == 'bag':
            read_metadata(stored.path)
        elif stored.format == 'hdf5':
            check_hdf5(stored.path, reading)
        else:
            check_files(stored.path, stored.number)
    except ConfigError as error:
        return str(error)
    return ''


def read_episode(
    stored: StoredEpisode, robot: RobotSpec, rate_hz: float | None = None,
    reading: Reading | None = None,
) -> Episode:  # fmt: skip
    """Read one episode.

    Args:
        stored: Where it lies.
        robot: Robot of the episode.
        rate_hz: Tick rate [Hz]; None is the episode's own, and the robot's control rate for a bag
            that has none. Rows are left out, never made up.
        reading: What the recording leaves open.

    Raises:
        ConfigError: The episode cannot be read; the message names it.
    """
    if stored.format == 'bag':
        return read_bag(stored.path, robot, rate_hz, reading=reading)
    if stored.format == 'hdf5':
        episode = read_hdf5(stored.path, robot, reading)
    else:
        episode = read_lerobot(stored.path, stored.number, robot, reading)
    try:
        return at_rate(episode, rate_hz or episode.rate_hz)
    except ValueError as error:
        msg = f'episode {stored.name} of {stored.path}: {error}'
        raise ConfigError(msg) from error


def fingerprint(stored: StoredEpisode) -> str:
    """Return what an episode is known by: another after it was recorded, labelled or cut anew.

    It is quick, and the same wherever the episode was copied to: that of a bag is from what its
    ``metadata.yaml`` says, or the sizes of its files; that of a file from its labels and actions;
    that of an episode of a LeRobot data set from its labels, its length and what the data set says
    of all its rows.

    Raises:
        ConfigError: The episode cannot be opened.
    """
    digest = hashlib.sha256()
    if stored.format == 'bag':
        file = stored.path / METADATA
        if file.is_file():
            digest.update(file.read_bytes())
        else:
            files = sorted(stored.path.iterdir()) if stored.path.is_dir() else [stored.path]
            digest.update(repr([(file.name, file.stat().st_size) for file in files]).encode())
    elif stored.format == 'hdf5':
        labels, _ = hdf5_labels(stored.path)
        digest.update(repr(labels).encode())
        digest.update(read_actions(stored.path).tobytes())
    else:
        digest.update(repr(lerobot_labels(stored.path, stored.number)).encode())
        if (stored.path / STATS).is_file():
            digest.update((stored.path / STATS).read_bytes())
    return digest.hexdigest()


def _is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5; a damaged one is known by its ending."""
    return path.is_file() and (path.suffix in HDF5_ENDINGS or bool(h5py.is_hdf5(path)))


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Return what sorts ``episode_10`` after ``episode_9``."""
    return [(int(p), '') if p.isdecimal() else (0, p) for p in re.split(r'(\d+)', path.name)]
