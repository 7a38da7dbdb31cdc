# SPDX-License-Identifier: Apache-2.0
"""The score sheet of a blind comparison: who was better, by how much, and every rollout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import csv
from html import escape
from pathlib import Path
from typing import Any

from cosmos_policy_ros.report.style import STYLE

COLUMNS = ('pair', 'turn', 'policy', 'success', 'progress', 'failure', 'seconds', 'note', 'film')


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write all rollouts as CSV, in ``COLUMNS``."""
    with file.open('w', encoding='utf-8', newline='') as stream:
        writer = csv.DictWriter(stream, COLUMNS, extrasaction='ignore')
        writer.writeheader()
        writer.writerows(rows)


def write_sheet(
    file: Path, title: str, figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Write the page.

    Args:
        file: HTML file; films are looked for relative to its folder.
        title: Headline, such as the task.
        figures: What ``evaluation.trials.Session.reveal`` returns.
        rows: All rollouts, each with the values of ``COLUMNS``.
    """
    file.write_text(''.join(_page(title, figures, rows)), encoding='utf-8')


def verdict(figures: Mapping[str, Any]) -> str:
    """Return in a sentence who is better, or that nobody is known to be.

    Args:
        figures: As of ``write_sheet``.
    """
    pairs, p = figures['pairs'], figures['p_progress']
    if figures['better'] is None:
        return (
            f'{pairs} pairs do not tell the policies apart (p = {p:.2g} by progress, valid '
            'whenever one stops).'
        )
    return f'{figures["better"]} is better (p = {p:.2g} by progress after {pairs} pairs).'


def _page(
    title: str, figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
        f'<style>{STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n'
        f'<p><b>{escape(verdict(figures))}</b></p>\n'
    )
    yield _table(
        ('policy', 'rollouts', 'successes', '95 % interval', 'mean progress of 4', 'failures'),
        [
            (
                name,
                found['rollouts'],
                found['successes'],
                _interval(found['success_interval']),
                '–' if found['progress'] is None else f'{found["progress"]:.2f}',
                ', '.join(f'{what} {n}' for what, n in found['failures'].items()) or '–',
            )
            for name, found in figures['policies'].items()
        ],
    )
    yield (
        '<p>Both policies acted from every start state, in an order that was drawn; whoever '
        'judged did not know which one acted. p is anytime-valid: it holds although the '
        'comparison could be ended after every pair. By success alone it is '
        f'{figures["p_success"]:.2g}.</p>\n'
    )
    yield _table(
        COLUMNS, [[row.get(name, '') for name in COLUMNS[:-1]] + [_film(row)] for row in rows]
    )
    yield '</body></html>\n'


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table; a cell that is a film is HTML already."""
    cells = ''.join(f'<th>{escape(name)}</th>' for name in head)
    body = ''.join(
        '<tr>' + ''.join(f'<td>{_cell(value)}</td>' for value in row) + '</tr>' for row in rows
    )
    return (
        f'<div class="card scroll"><table><thead><tr>{cells}</tr></thead>'
        f'<tbody>{body}</tbody></table></div>\n'
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return value if isinstance(value, _Html) else escape(str(value))


def _film(row: Mapping[str, Any]) -> str:
    """Return the film of a rollout as an element of the page, empty where there is none."""
    source = escape(str(row.get('film', '')), quote=True)
    video = f'<video src="{source}" width="360" controls muted preload="none"></video>'
    return _Html(video if source else '')


def _interval(interval: Sequence[float] | None) -> str:
    return '–' if interval is None else f'{100 * interval[0]:.0f}–{100 * interval[1]:.0f} %'


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()
