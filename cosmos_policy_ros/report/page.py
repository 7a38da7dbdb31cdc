# SPDX-License-Identifier: Apache-2.0
"""The page of a report: summary and table of a data set, and the HTML around its episodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from cosmos_policy_ros.data.bags.overview import Overview
from cosmos_policy_ros.report.charts import BOTTOM, histogram, LEFT, RIGHT, TOP
from cosmos_policy_ros.report.style import SCRIPT, STYLE

COLUMNS = (
    'episode', 'success', 'source', 'seconds', 'frames', 'gaps', 'longest gap', 'missing topics',
)  # fmt: skip


class Row(NamedTuple):
    """A row of the table of episodes, kept when the recording is forgotten.

    Attributes:
        name: Folder.
        success: Outcome, None when nobody judged it.
        source: ``demo``, ``rollout`` or empty.
        seconds: Length [s].
        frames: Camera frames.
        gaps: Gaps in topics with a known rate.
        longest_s: Longest time without a message of such a topic [s], None without any.
        missing: Topics of the robot that the bag lacks.
        remarks: Number of things that could not be used.
    """

    name: str
    success: bool | None
    source: str
    seconds: float
    frames: int
    gaps: int
    longest_s: float | None
    missing: tuple[str, ...]
    remarks: int


class Damaged(NamedTuple):
    """A bag that could not be read.

    Attributes:
        name: Folder.
        reason: Why.
    """

    name: str
    reason: str


def describe(overview: Overview) -> Row:
    """Return the row of a recording."""
    known = [t for t in overview.topics.values() if t.expected_hz is not None]
    longest = [t.longest_s for t in known if len(t.time_s) and t.longest_s is not None]
    judged = {'true': True, 'false': False}
    return Row(
        name=overview.path.name,
        success=judged.get(overview.metadata.get('success', '')),
        source=overview.metadata.get('source', ''),
        seconds=overview.seconds,
        frames=overview.n_images,
        gaps=sum(len(t.gaps) for t in known if len(t.time_s)),
        longest_s=max(longest, default=None),
        missing=tuple(
            n for n, t in overview.topics.items() if t.expected_hz and not len(t.time_s)
        ),
        remarks=len(overview.remarks),
    )


def page(
    title: str, rows: Sequence[Row], damaged: Sequence[Damaged], episodes: Iterable[str]
) -> Iterable[str]:
    """Yield the HTML page in parts, since thousands of episodes do not fit into memory twice.

    Args:
        title: Name of the bag or of the folder.
        rows: Every episode that could be read.
        damaged: Every one that could not.
        episodes: Their sections.
    """
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
        f'<style>{STYLE}</style></head><body id="top">\n'
    )
    if len(rows) + len(damaged) > 1:
        yield f'<h1>{escape(title)}</h1>\n'
        yield tiles(rows, damaged)
        yield _histograms(rows)
        yield table(rows, damaged)
    else:
        yield from (f'<p class="bad">{escape(bag.reason)}</p>\n' for bag in damaged)
    yield from episodes
    script = SCRIPT.replace('MARGINS', str([LEFT, RIGHT, TOP, BOTTOM]))
    yield '<div id="tip"></div><dialog><img alt="enlarged image"></dialog>'
    yield f'<script>{script}</script></body></html>\n'


def tiles(rows: Sequence[Row], damaged: Sequence[Damaged]) -> str:
    """Return the summary of a data set."""
    judged = [row.success for row in rows if row.success is not None]
    share = f'{100 * sum(judged) / len(judged):.0f} %' if judged else '–'
    missing = {topic for row in rows for topic in row.missing}
    longest = max((row.longest_s for row in rows if row.longest_s is not None), default=None)
    facts = [
        (f'{len(rows)}', 'episodes', ''),
        (share, f'success, {sum(judged)} of {len(judged)} judged', ''),
        (duration(sum(row.seconds for row in rows)), 'in all', ''),
        (f'{sum(row.frames for row in rows):,}', 'camera frames', ''),
        (f'{sum(row.gaps for row in rows)}', 'gaps', ''),
        (milliseconds(longest), 'longest gap', ''),
        (f'{len(damaged)}', 'damaged', 'bad' if damaged else ''),
    ]
    html = ''.join(
        f'<div class="tile {c}"><b>{n}</b><small>{w}</small></div>' for n, w, c in facts
    )
    lacking = f'<p class="warn">topics missing: {escape(", ".join(sorted(missing)))}</p>'
    return f'<div class="tiles">{html}</div>{lacking if missing else ""}\n'


def table(rows: Sequence[Row], damaged: Sequence[Damaged]) -> str:
    """Return the table of the episodes; damaged ones come last with their reason."""
    left = ('episode', 'success', 'source', 'missing topics')
    head = ''.join(
        f'<th data-sort class="{"" if name in left else "number"}">{name}</th>' for name in COLUMNS
    )
    body = ''.join(_table_row(row) for row in rows)
    for bag in damaged:
        body += (
            f'<tr class="damaged"><td data-value="{escape(bag.name, quote=True)}">'
            f'{escape(bag.name)}</td><td class="bad" data-value="damaged">damaged</td>'
            f'<td colspan="{len(COLUMNS) - 2}">{escape(bag.reason)}</td></tr>'
        )
    return (
        '<div class="card scroll"><table id="episodes"><thead><tr>'
        f'{head}</tr></thead><tbody>{body}</tbody></table></div>\n'
    )


def outcome(success: bool | None) -> tuple[str, str]:
    """Return the words and the CSS class of an outcome."""
    if success is None:
        return 'not judged', 'soft'
    return ('success', 'good') if success else ('no success', 'bad')


def milliseconds(seconds: float | None) -> str:
    """Return a time as text, a dash for none."""
    return '–' if seconds is None else f'{seconds * 1e3:.0f} ms'


def duration(seconds: float) -> str:
    """Return a long time as text."""
    if seconds < 120:
        return f'{seconds:.1f} s'
    hours, minutes = divmod(round(seconds / 60), 60)
    return f'{hours} h {minutes} min' if hours else f'{minutes} min'


def _histograms(rows: Sequence[Row]) -> str:
    figures = [
        histogram('Length', [row.seconds for row in rows], 's'),
        histogram(
            'Longest gap', [1e3 * row.longest_s for row in rows if row.longest_s is not None], 'ms'
        ),
        histogram('Camera frames', [float(row.frames) for row in rows], 'frames'),
    ]
    return f'<div class="card grid2">{"".join(figures)}</div>\n' if any(figures) else ''


def _table_row(row: Row) -> str:
    words, style = outcome(row.success)
    name = escape(row.name, quote=True)
    missing = escape(', '.join(row.missing))
    cells = [
        ('', name, f'<a href="#{name}">{name}</a>'),
        (style, words, words),
        ('', row.source, escape(row.source) or '–'),
        ('number', f'{row.seconds:.3f}', f'{row.seconds:.1f} s'),
        ('number', str(row.frames), str(row.frames)),
        ('number warn' if row.gaps else 'number', str(row.gaps), str(row.gaps)),
        ('number', f'{row.longest_s or 0.0:.4f}', milliseconds(row.longest_s)),
        ('warn' if row.missing else '', str(len(row.missing)), missing or '–'),
    ]
    html = ''.join(
        f'<td class="{style}" data-value="{escape(value, quote=True)}">{content}</td>'
        for style, value, content in cells
    )
    return f'<tr>{html}</tr>'
