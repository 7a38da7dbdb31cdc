# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy compare``: evaluations side by side, as a table to paste and a plot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.outputs import check_output, write_json
from cosmos_policy_ros.types import ConfigError
import tyro


@dataclass(frozen=True)
class Compare:
    """Print evaluations as a Markdown table with 95 % intervals, the others against the first.

    Evaluations of the same scenes are compared scene by scene: how many only one of the two
    solved, and how likely a difference this large is by chance (McNemar's exact test). Those of
    several tasks or start states get a table of each.

    Example: cosmos-policy compare base.json best_of_8.json planning.json --plot values.png
    """

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Files that evaluate --json wrote."""
    plot: Path | None = None
    """PNG: success rates, and how often the value at mid-episode came true."""
    json: Path | None = None
    """Also write the rows of the tables to this file."""


def run(options: Compare) -> int:
    """Print the tables and write the plot and the rows."""
    from cosmos_policy_ros.evaluation.comparison import (
        compare_evaluations,
        compare_rows,
        read_evaluation,
    )

    if not options.files:
        msg = 'give at least one file of cosmos-policy evaluate --json'
        raise ConfigError(msg)
    check_output('--plot', options.plot)
    check_output('--json', options.json)
    names = [file.stem for file in options.files]
    evaluations = [read_evaluation(file) for file in options.files]
    print(compare_evaluations(names, evaluations))
    if options.plot:
        from cosmos_policy_ros.report.comparison_plot import draw  # loads matplotlib

        draw(names, evaluations, options.plot)
        print(f'{options.plot} written')
    if options.json:
        rows = compare_rows(names, evaluations)
        write_json(options.json, rows)
    return 0
