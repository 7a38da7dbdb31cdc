# SPDX-License-Identifier: Apache-2.0
"""Figures of a measurement on the terminal and in a file."""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.outputs import whole_file
from rich.console import Console
from rich.table import Table


def print_figures(figures: Mapping[str, object]) -> None:
    """Print figures as a table."""
    table = Table('figure', 'value')
    for name, figure in figures.items():
        table.add_row(name, str(figure))
    Console().print(table)


def write_figures(
    file: Path, figures: Mapping[str, object], options: object, **details: Any
) -> None:
    """Write figures to a JSON file, with what they were measured with.

    Args:
        file: File to write.
        figures: Names and figures, the first keys of the file.
        options: The command's options, written under ``options``.
        details: Further keys of the file, such as the rows behind the figures.
    """
    text = json.dumps({**figures, 'options': vars(options), **details}, default=str, indent=2)
    with whole_file(file) as partial:
        partial.write_text(text + '\n', encoding='utf-8')
