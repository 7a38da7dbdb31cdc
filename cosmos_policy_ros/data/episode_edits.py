# SPDX-License-Identifier: Apache-2.0
"""Recorded episodes labelled anew, shortened, divided, brought together and thrown away.

What does not change is not written again: labels and the part of a bag that counts are custom data
in ``metadata.yaml``, parts and merged folders are hard links to the same files, and what is thrown
away is moved to a folder ``.trash`` beside it. HDF5 files, which other programs read row by row,
are cut as files, and the uncut one goes to the trash. Episodes of a LeRobot data set share files;
their labels are in its tables, and all else is a new data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import contextlib
from dataclasses import dataclass
import errno
from itertools import pairwise, zip_longest
import json
import os
from pathlib import Path
import shutil

from cosmos_policy_ros.data.bags.custom import relabel_bag, write_custom
from cosmos_policy_ros.data.bags.files import FROM, METADATA, open_bag, PACKED, TO
from cosmos_policy_ros.data.bags.reader import bag_labels
from cosmos_policy_ros.data.bags.recording import PREFIX
from cosmos_policy_ros.data.episodes import StoredEpisode
from cosmos_policy_ros.data.hdf5 import (
    cut_hdf5,
    files_of,
    forget_hdf5,
    hdf5_labels,
    relabel_hdf5,
)
from cosmos_policy_ros.data.lerobot.reader import lerobot_labels
from cosmos_policy_ros.data.lerobot.relabel import relabel_lerobot
from cosmos_policy_ros.data.quality import find_motion
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.data.rosetta.recording import contract_of, recorded_labels
from cosmos_policy_ros.data.trash import put_in_trash, TRASH
from cosmos_policy_ros.outputs import rename, whole_file, whole_folder
from cosmos_policy_ros.types import Circumstances, ConfigError, Episode

Value = str | bool | float
OUTCOME = ('success', 'progress', 'failure')  # labels that tell how an episode ended
LABELS = ('task', 'source', 'success', *Circumstances.__dataclass_fields__)
LEROBOT_HINT = 'its episodes share files; write a new data set with: cosmos-policy episodes merge'


@dataclass(frozen=True)
class Listed:
    """What is known of an episode without reading its messages or rows.

    Attributes:
        seconds: Length of the part that counts [s].
        labels: Name -> value of what is known of ``LABELS``.
        invalid: Why nobody shall learn from it, empty when it is good.
    """

    seconds: float
    labels: dict[str, Value]
    invalid: str = ''


def list_labels(stored: StoredEpisode, fps: float, reading: Reading | None = None) -> Listed:
    """Return length and labels of an episode, which is quick.

    Args:
        stored: Where it lies.
        fps: Rows per second of HDF5 files that have none [Hz].
        reading: What it leaves open; only its contract counts, since labels are those recorded.

    Raises:
        ConfigError: It cannot be opened.
    """
    invalid = ''
    if stored.format == 'bag':
        with open_bag(stored.path) as bag:
            said = recorded_labels(bag, contract_of(bag, reading or Reading()))
            labels = bag_labels({**said, **bag.custom}, stored.path)
            invalid = bag.custom.get('invalid', '')
            seconds = (bag.end_ns - bag.start_ns) * 1e-9
    elif stored.format == 'hdf5':
        labels, n = hdf5_labels(stored.path)
        seconds = n / (labels.rate_hz or fps)
    else:
        labels, n = lerobot_labels(stored.path, stored.number)
        seconds = n / (labels.rate_hz or fps)
    told = {name: getattr(labels, name) for name in LABELS[:3]}
    known = {name: value for name, value in told.items() if value is not None}
    return Listed(seconds, known | labels.circumstances.known, invalid)


def relabel(stored: StoredEpisode, labels: Mapping[str, Value]) -> None:
    """Write labels over those of an episode; its messages, rows and images stay as they are.

    Args:
        stored: Where it lies.
        labels: Name of ``LABELS`` -> value.

    Raises:
        ConfigError: There is no place for labels, or it cannot be written.
    """
    if stored.format == 'lerobot':
        relabel_lerobot(stored.path, stored.number, labels)
    elif stored.format == 'hdf5':
        relabel_hdf5(stored.path, labels)
    else:
        relabel_bag(stored.path, labels)


def find_idle_ends(episode: Episode, margin_s: float) -> tuple[float, float]:
    """Return from when to when an episode is not idle [s, from its first tick].

    Args:
        episode: The episode.
        margin_s: How long it may stand still before and after [s].

    Raises:
        ValueError: Nothing moves in it.
    """
    first, last = find_motion(episode)
    if last < first:
        msg = 'nothing moves in it; delete it, or leave it as it is'
        raise ValueError(msg)
    end_s = (len(episode.stamps_ns) - 1) / episode.rate_hz
    begin = max(first / episode.rate_hz - margin_s, 0.0)
    return begin, min(last / episode.rate_hz + margin_s, end_s)


def trim(stored: StoredEpisode, episode: Episode, margin_s: float) -> float:
    """Leave the idle ends of an episode out.

    Args:
        stored: Where it lies.
        episode: What was read of it.
        margin_s: How long it may stand still before and after [s].

    Returns:
        How much is left out [s]; below a tick nothing is changed.

    Raises:
        ConfigError: Nothing moves in it, or it is in a LeRobot data set.
    """
    try:
        from_s, to_s = find_idle_ends(episode, margin_s)
    except ValueError as error:
        msg = f'episode {stored.path}: {error}'
        raise ConfigError(msg) from error
    left_s = (len(episode.stamps_ns) - 1) / episode.rate_hz - (to_s - from_s)
    if left_s * episode.rate_hz < 1:
        return 0.0
    if stored.format == 'bag':
        with open_bag(stored.path) as bag:
            first_s = (int(episode.stamps_ns[0]) - bag.recorded_ns) * 1e-9
            said = {**recorded_labels(bag, contract_of(bag, Reading())), **bag.custom}
        end_s = first_s + to_s + 0.5 / episode.rate_hz  # behind the last tick
        outcome = {key: said[key] for key in OUTCOME if key in said}  # may be in what is cut off
        part = {FROM: _seconds(first_s + from_s), TO: _seconds(end_s)}
        write_custom(stored.path, outcome | part)
        return left_s
    _expect_own_file(stored)
    rows = slice(round(from_s * episode.rate_hz), round(to_s * episode.rate_hz) + 1)
    with whole_file(stored.path) as partial:
        cut_hdf5(stored.path, partial, rows)
        move_to_trash(stored)
    return left_s


def split(stored: StoredEpisode, at_s: Sequence[float]) -> list[Path]:
    """Divide an episode in time; the undivided one goes to the trash.

    Its outcome is that of its end, and goes to the last part; of the others nobody has judged.

    Args:
        stored: Where it lies.
        at_s: Where to divide [s, from its start], rising.

    Returns:
        The parts: ``<name>_0`` and so on.

    Raises:
        ConfigError: A time is not in the episode, a part exists, or it is in a LeRobot data set.
    """
    _expect_own_file(stored)
    path = stored.path
    ending = path.suffix if path.is_file() else ''
    stem = path.name.removesuffix(ending)
    parts = [path.with_name(f'{stem}_{i}{ending}') for i in range(len(at_s) + 1)]
    for part in parts:
        if part.exists():
            msg = f'{part} exists and is not overwritten; move it away'
            raise ConfigError(msg)
    if stored.format == 'hdf5':
        labels, n = hdf5_labels(path)
        if not (rate_hz := labels.rate_hz or 0.0):
            msg = f'{path} does not say how many rows it has per second; convert it first'
            raise ConfigError(msg)
        _expect_inside(path, at_s, n / rate_hz)
        edges = [0, *(round(s * rate_hz) for s in at_s), n]
        for part, (begin, end) in zip(parts, pairwise(edges), strict=True):
            with whole_file(part) as partial:
                cut_hdf5(path, partial, slice(begin, end))
                if end < n:
                    forget_hdf5(partial, OUTCOME)
    else:
        with open_bag(path) as bag:
            begin_s = (bag.start_ns - bag.recorded_ns) * 1e-9
            _expect_inside(path, at_s, (bag.end_ns - bag.start_ns) * 1e-9)
        begins = [_seconds(begin_s + s) for s in (0.0, *at_s)]
        for part, (from_s, to_s) in zip(parts, zip_longest(begins, begins[1:]), strict=True):
            with whole_folder(part) as folder:
                link(path, folder)
                if to_s is None:
                    write_custom(folder, {FROM: from_s})
                else:
                    write_custom(folder, {FROM: from_s, TO: to_s}, OUTCOME)
    move_to_trash(stored)
    return parts


def merge_links(episodes: Sequence[StoredEpisode], out: Path) -> list[Path]:
    """Bring bags, or HDF5 files, together in a new folder, as links to the same files.

    Args:
        episodes: Episodes of one of these formats.
        out: Folder to make; its episodes are numbered in their order.

    Raises:
        ConfigError: The folder exists.
    """
    made = []
    with whole_folder(out) as folder:
        folder.mkdir()
        for number, stored in enumerate(episodes):
            if stored.format == 'bag':
                ending = ''
                if stored.path.is_file():
                    packed = stored.path.suffix == PACKED
                    ending = ''.join(stored.path.suffixes[-2 if packed else -1 :])
                name = folder / f'{PREFIX}{number:06d}{ending}'
                link(stored.path, name)
            else:
                name = folder / f'episode_{number}{stored.path.suffix}'
                if len(files_of(stored.path)) > 1:
                    msg = f'{stored.path} names videos beside it; convert it first'
                    raise ConfigError(msg)
                link(stored.path, name)
            made.append(out / name.name)
    return made


def move_to_trash(stored: StoredEpisode) -> Path:
    """Move an episode to the folder ``.trash`` beside it, and return where it is.

    Raises:
        ConfigError: It is in a LeRobot data set.
    """
    _expect_own_file(stored)
    if stored.format == 'hdf5':
        with contextlib.suppress(ConfigError):  # a damaged file names no videos, and is moved too
            for video in files_of(stored.path)[1:]:
                put_in_trash(video, stored.path.parent)
    return put_in_trash(stored.path)


def restore(folder: Path, dry_run: bool = False) -> list[Path]:
    """Move everything in the trash of a folder back, and return where it is.

    What has taken the name of one meanwhile keeps it: that one stays in the trash.

    Args:
        folder: Folder that has a ``.trash``.
        dry_run: Only return where it would be.
    """
    found = sorted((folder / TRASH).iterdir()) if (folder / TRASH).is_dir() else []
    back = [(path, folder / path.name) for path in found if not (folder / path.name).exists()]
    for path, place in back if not dry_run else ():
        rename(path, place)
    return [place for _, place in back]


def link(source: Path, target: Path) -> None:
    """Make a file or a folder of files a second time, as links where the disk has them."""
    if source.is_file():
        _link_file(str(source), str(target))
    else:
        shutil.copytree(source, target, copy_function=_link_file)


def _link_file(source: str, target: str) -> None:
    if Path(source).name == METADATA:  # that of a part is another one
        shutil.copy2(source, target)
        return
    try:
        os.link(Path(source).resolve(), target)  # of a link: what it leads to
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        shutil.copy2(source, target)


def _expect_own_file(stored: StoredEpisode) -> None:
    if stored.format == 'lerobot':
        msg = f'{stored.path}: {LEROBOT_HINT}'
        raise ConfigError(msg)


def _expect_inside(path: Path, at_s: Sequence[float], seconds: float) -> None:
    inside = all(a < b for a, b in pairwise([0.0, *at_s, seconds]))
    if not at_s or not inside:
        msg = f'{path} is {seconds:.2f} s long; it is divided at rising times in it, got '
        msg += json.dumps([*at_s])
        raise ConfigError(msg)


def _seconds(seconds: float) -> str:
    return f'{max(seconds, 0.0):.6f}'
