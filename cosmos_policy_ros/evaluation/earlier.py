# SPDX-License-Identifier: Apache-2.0
"""Results of an earlier run, from which a measurement of hours goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import json
from pathlib import Path
from typing import Any, TypeVar

from cosmos_policy_ros.types import ConfigError

Result = TypeVar('Result')


def read_earlier(
    file: Path | None,
    measured: Mapping[str, Any],
    rows: str,
    read: Callable[[dict[str, Any]], Result],
    command: str,
) -> list[Result]:
    """Return the results that a file has already; none without a file.

    Args:
        file: What an earlier run wrote, with what it measured under ``measured``.
        measured: What this run measures, of what JSON has.
        rows: Key of the results.
        read: Row of the file -> result.
        command: Who writes such files, for people.

    Raises:
        ConfigError: The file is another one, or its results are of something else.
    """
    if file is None or not file.exists():
        return []
    try:
        figures = json.loads(file.read_text(encoding='utf-8'))
        results = [read(row) for row in figures[rows]]
        before = dict(figures['measured'])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f'{file} is no file of {command} ({error!r}); give another one'
        raise ConfigError(msg) from error
    names = (name for name in {**before, **measured} if before.get(name) != measured.get(name))
    different = {name: (before.get(name), measured.get(name)) for name in names}
    if different:
        msg = f'{file} has results of something else ({different}); give another file'
        raise ConfigError(msg)
    return results
