# SPDX-License-Identifier: Apache-2.0
"""Results on disk: refused before the work where they cannot be, and there whole or not at all.

What has its name is on the disk: a power cut takes it no more than a killed process does. That is
waited for once, when a result is whole. It takes milliseconds, of gigabytes seconds, so nothing
that moves an arm calls this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
import errno
import json
import os
from pathlib import Path
import shutil
from typing import Any

from cosmos_policy_ros.system_errors import error_number, FULL, LOCKED
from cosmos_policy_ros.types import ConfigError

PARTIAL = '.partial'  # in the name of what is not finished
UNSYNCED = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}  # of disks that cannot be waited for


class OutputError(ConfigError):
    """A disk is full or cannot be written."""


def check_output(option: str, file: Path | None) -> None:
    """Refuse a file that could not be written, before hours of work end in an error.

    Args:
        option: What names the file, such as ``--json``.
        file: The file; None is fine.

    Raises:
        ConfigError: Its folder does not exist, or cannot be written.
    """
    if file is None:
        return
    if not file.absolute().parent.is_dir():
        msg = f'{option} {file}: there is no folder {file.parent}; make it first'
        raise ConfigError(msg)
    check_folder(option, file.absolute().parent)


def check_folder(option: str, folder: Path) -> None:
    """Refuse a folder that could not be written or made, before hours of work end in an error.

    Args:
        option: What names the folder, such as ``--out``.
        folder: The folder, which need not be there.

    Raises:
        ConfigError: It, or the one that it would be made in, cannot be written.
    """
    there = _existing(folder)
    if not os.access(there, os.W_OK | os.X_OK):
        locked = os.statvfs(there).f_flag & os.ST_RDONLY
        reason = os.strerror(errno.EROFS if locked else errno.EACCES)
        msg = f'{option}: {there} cannot be written: {reason}; choose another folder'
        raise ConfigError(msg)


def partial_folder(path: Path) -> Path:
    """Return the path of a folder until it is whole: its name and ``.partial``."""
    return path.with_name(path.name + PARTIAL)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a file beside ``path`` to write, which replaces ``path`` when the block ends well.

    A reader finds the old file or the new one, never a piece, and so does whoever starts again
    after a crash. The suffix stays, since some writers choose the format by it. The folder is
    made where it is missing.
    """
    with _renamed_when_whole(path.with_name(f'{path.stem}{PARTIAL}{path.suffix}'), path) as file:
        yield file


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON that people can read, with ``whole_file``.

    Raises:
        ConfigError: See ``whole_file``.
        TypeError: The value holds something that JSON has no word for.
    """
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + '\n', encoding='utf-8')


@contextmanager
def whole_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """Yield a folder name to fill, which becomes ``path`` when the block ends well.

    What an interrupted run left under the preliminary name is removed; the block makes the
    folder itself.

    Args:
        path: Name of the finished folder.
        replace: Whether the folder takes the place of one that is there; between the two there is
            none for an instant.

    Raises:
        ConfigError: ``path`` exists and is not to be replaced.
    """
    if path.exists() and not replace:
        msg = f'{path} exists and is not overwritten; choose another folder'
        raise ConfigError(msg)
    with _renamed_when_whole(partial_folder(path), path) as folder:
        yield folder


@contextmanager
def _renamed_when_whole(partial: Path, path: Path) -> Iterator[Path]:
    """Yield ``partial``; it becomes ``path`` when the block ends well, else it is removed.

    Raises:
        ConfigError: The disk is full or cannot be written; nothing is left behind.
    """
    with kept_whole(path, partial):
        partial.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        yield partial
        sync(partial)
        if path.is_dir():
            _remove(path)  # a rename replaces a file, but no folder that holds anything
        rename(partial, path)


@contextmanager
def kept_whole(path: Path, partial: Path) -> Iterator[None]:
    """Remove what a block that fails has written.

    Args:
        path: What the block makes.
        partial: What it is until it is whole.

    Raises:
        OutputError: The disk is full or cannot be written.
        OSError: The block may not read another file, or what else happened to it.
    """
    written = 0
    try:
        try:
            yield
        except BaseException:
            written = _size(partial)
            _remove(partial)
            raise
    except Exception as error:
        number = error_number(error)
        if number in FULL:
            msg = (
                f'{path}: the disk is full after {written / 1e6:.1f} MB of it, and nothing of it '
                f'was kept; {_free(path.parent) / 1e6:.1f} MB are free there. Choose another disk'
            )
            raise OutputError(msg) from error
        if number in LOCKED and _is_of(error, path, partial):
            msg = f'{path} cannot be written: {os.strerror(number)}; choose another folder'
            raise OutputError(msg) from error
        raise


def _is_of(error: Exception, *paths: Path) -> bool:
    """Whether an error names no file, or one that is in, or above, one of some paths."""
    name = error.filename if isinstance(error, OSError) else None
    if not isinstance(name, str):
        return True
    file = Path(name).absolute()
    ours = [path.absolute() for path in paths]
    return any(file.is_relative_to(each) or each.is_relative_to(file) for each in ours)


def sync(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk under its name.

    Raises:
        OSError: The disk did not take it.
    """
    there: Iterable[Path] = path.rglob('*') if path.is_dir() else ()
    inside = (p for p in there if not p.is_symlink() and (p.is_file() or p.is_dir()))
    for each in (*inside, path, path.parent):
        _sync_entry(each)


def sync_open(descriptor: int) -> None:
    """Wait until an open file is on the disk; raises as ``sync``."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise


def rename(path: Path, to: Path) -> None:
    """Give a file or a folder another name, which it keeps when the power is cut.

    Args:
        path: The file or folder; ``sync`` comes first where it is new.
        to: Its other name, in place of a file that has it.
    """
    path.replace(to)
    for folder in {path.parent, to.parent}:  # where names are kept
        _sync_entry(folder)


def _sync_entry(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync_open(descriptor)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob('*') if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _free(folder: Path) -> int:
    """Return the bytes that are free where a folder is, or will be made."""
    return shutil.disk_usage(_existing(folder)).free


def _existing(path: Path) -> Path:
    """Return the first that exists of a path and those above it."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
