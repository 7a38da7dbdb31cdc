# SPDX-License-Identifier: Apache-2.0
"""Several measurements, one after the other, and the file that keeps their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cosmos_policy_ros.outputs import write_json

Figures = dict[str, Any]


def measure_parts(
    parts: Mapping[str, Callable[[], Figures]], file: Path | None = None, nested: bool = True
) -> dict[str, Figures]:
    """Return the figures of every part by its name, written as soon as they are there.

    The figures of a part stay when a later one fails.

    Args:
        parts: Name -> what measures it.
        file: JSON file to write, None for none.
        nested: Write the figures under the name of their part; otherwise those of the last part
            alone.
    """
    figures: dict[str, Figures] = {}
    for name, measure in parts.items():
        figures[name] = measure()
        if file:
            write_json(file, figures if nested else figures[name])
    return figures


def has_losses(figures: Mapping[str, Figures]) -> bool:
    """Whether a part lost a message or missed a deadline."""
    return any(part.get('lost') or part.get('misses') for part in figures.values())
