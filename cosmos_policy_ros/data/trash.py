# SPDX-License-Identifier: Apache-2.0
"""Recordings that are thrown away: moved to a folder ``.trash`` beside them, never removed."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.outputs import rename

TRASH = '.trash'


def put_in_trash(path: Path, folder: Path | None = None) -> Path:
    """Move a file or a folder to a folder ``.trash``, and return where it is.

    Args:
        path: The file or folder.
        folder: Where ``.trash`` is or will be; None is beside it.
    """
    trash = (folder or path.parent) / TRASH
    trash.mkdir(exist_ok=True)
    place = _free_name(trash / path.name)
    rename(path, place)
    return place


def _free_name(path: Path) -> Path:
    """Return a path that is not there: with a number behind where the name is taken."""
    number = 0
    while path.exists():
        number += 1
        path = path.with_name(f'{path.name.removesuffix(f"~{number - 1}")}~{number}')
    return path
