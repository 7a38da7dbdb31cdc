# SPDX-License-Identifier: Apache-2.0
"""Results on disk: refused before the work where they cannot be, and there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import shutil

from cosmos_policy_ros.types import ConfigError


def check_output(option: str, file: Path | None) -> None:
    """Refuse a file that could not be written, before hours of work end in an error.

    Args:
        option: What names the file, such as ``--json``.
        file: The file; None is fine.

    Raises:
        ConfigError: Its folder does not exist.
    """
    if file is not None and not file.absolute().parent.is_dir():
        msg = f'{option} {file}: there is no folder {file.parent}; make it first'
        raise ConfigError(msg)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a file beside ``path`` to write, which replaces ``path`` when the block ends well.

    A reader finds the old file or the new one, never a piece, and so does whoever starts again
    after a crash. The suffix stays, since some writers choose the format by it. The folder is
    made where it is missing.
    """
    partial = path.with_name(f'{path.stem}.partial{path.suffix}')
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a folder name to fill, which becomes ``path`` when the block ends well.

    What an interrupted run left under the preliminary name is removed; the block makes the
    folder itself.

    Raises:
        ConfigError: ``path`` exists.
    """
    if path.exists():
        msg = f'{path} exists and is not overwritten; remove it or choose another folder'
        raise ConfigError(msg)
    partial = path.with_name(path.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(path)
