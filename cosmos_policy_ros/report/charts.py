# SPDX-License-Identifier: Apache-2.0
"""Charts of a report as inline SVG: lines over time, flags and gaps as bars, histograms.

Every chart of an episode has the same time axis, so that the script of the page can show one
moment in all of them. Colours are CSS classes; they change with the scheme of the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 190, 105  # [px] of a chart before it is scaled to its column
WIDE = (620, 130)  # [px] width and height of one that stands in two columns
LEFT, RIGHT, TOP, BOTTOM = 30, 6, 8, 16  # [px] around the plotted area
MOST_POINTS = 240  # of a line; the extremes of every bin survive
STRIP_WIDTH, STRIP_HEIGHT = 400, 10  # [px] of a bar of flags or gaps
N_BINS, HISTOGRAM_WIDTH = 12, 410  # [px]
Floats = NDArray[np.float64]


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
        name: What the legend and the pointer call it.
        style: CSS class.
        time_s: (S,) times [s].
        values: (S,) numbers.
    """

    name: str
    style: str
    time_s: Floats
    values: Floats


class Range(NamedTuple):
    """What a chart spans.

    Attributes:
        seconds: Length of the time axis from 0 [s].
        low: Lower end of the other axis.
        high: Upper end of it.
    """

    seconds: float
    low: float
    high: float


def chart(
    title: str,
    lines: Sequence[Line],
    seconds: float,
    *,
    note: str = '',
    bounds: tuple[float, float] | None = None,
    limits: Sequence[float] = (),
    dots: bool = False,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> str:
    """Return a figure with lines over time.

    Args:
        title: Caption.
        lines: The lines, later ones above earlier ones.
        seconds: Length of the time axis [s].
        note: Smaller text in the caption.
        bounds: Ends of the other axis, None fits them to the lines.
        limits: Values drawn as limits where they are in sight.
        dots: Mark the points too, for few of them.
        size: Width and height [px].
    """
    span = Range(seconds, *(bounds or fit(lines)))
    width, height = size
    parts = [_grid(span, size)]
    for value in limits:
        if span.low <= value <= span.high:
            y = _y(value, span, height)
            parts.append(f'<path class="limit" d="M{LEFT} {y:.1f}H{width - RIGHT}"/>')
    for line in lines:
        points = _points(line, span, size)
        if dots:
            marks = ''.join(f'<circle cx="{x}" cy="{y}" r="1.8"/>' for x, y in points)
            parts.append(f'<g class="dots {line.style}">{marks}</g>')
        path = ' '.join(f'{x},{y}' for x, y in points)
        name = escape(line.name, quote=True)
        parts.append(f'<polyline class="{line.style}" data-name="{name}" points="{path}"/>')
    note = f'<small>{escape(note)}</small>' if note else ''
    return (
        f'<figure><figcaption>{escape(title)}{note}</figcaption>'
        f'<svg class="chart" viewBox="0 0 {width} {height}" data-seconds="{seconds:.3f}" '
        f'data-low="{span.low:.6g}" data-high="{span.high:.6g}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(parts)}'
        f'<path class="cursor" d="M0 {TOP}V{height - BOTTOM}"/></svg></figure>'
    )


def fit(lines: Sequence[Line], least: float = 0.2) -> tuple[float, float]:
    """Return an axis that holds all lines with some air, ``least`` wide at the least."""
    values = np.concatenate([[], *(line.values for line in lines)])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    air = max(0.06 * (high - low), (least - (high - low)) / 2)
    return low - air, high + air


def strip(
    spans: Sequence[tuple[float, float]], seconds: float, style: str, background: str = ''
) -> str:
    """Return a bar of the whole time with some spans [s] marked.

    Args:
        spans: Begin and end [s].
        seconds: Length of the time axis [s].
        style: CSS class of the spans.
        background: CSS class of the rest.
    """
    scale = STRIP_WIDTH / max(seconds, 1e-9)
    marks = ''.join(
        f'<rect class="{style}" x="{begin * scale:.1f}" '
        f'width="{max((end - begin) * scale, 1.5):.1f}" height="{STRIP_HEIGHT}"/>'
        for begin, end in spans
    )
    return (
        f'<svg class="strip" viewBox="0 0 {STRIP_WIDTH} {STRIP_HEIGHT}" '
        'preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="ground {background}" width="{STRIP_WIDTH}" height="{STRIP_HEIGHT}"/>'
        f'{marks}</svg>'
    )


def histogram(title: str, values: Sequence[float], unit: str) -> str:
    """Return how often which value came; nothing for fewer than two."""
    numbers = np.array([v for v in values if math.isfinite(v)])
    if len(numbers) < 2:
        return ''
    low, high = float(numbers.min()), float(numbers.max())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(numbers, bins=N_BINS, range=(low, high))
    base, step = HEIGHT - BOTTOM, (HISTOGRAM_WIDTH - 2 * RIGHT) / N_BINS
    bars = ''
    for i, count in enumerate(counts.tolist()):
        tall = count / counts.max() * (base - TOP)
        label = f'{edges[i]:.3g} to {edges[i + 1]:.3g} {unit}: {count}'
        bars += (
            f'<rect class="bar" x="{RIGHT + i * step + 1:.1f}" y="{base - tall:.1f}" '
            f'width="{step - 2:.1f}" height="{tall:.1f}" rx="1.5"><title>{label}</title></rect>'
        )
    middle = f'median {np.median(numbers):.3g} {unit}'
    end = HISTOGRAM_WIDTH - RIGHT
    return (
        f'<figure><figcaption>{escape(title)}<small>{middle}</small></figcaption>'
        f'<svg class="histogram" viewBox="0 0 {HISTOGRAM_WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{bars}'
        f'<path class="grid" d="M{RIGHT} {base}H{end}"/>'
        f'<text x="{RIGHT}" y="{HEIGHT - 4}">{low:.3g}</text>'
        f'<text x="{end}" y="{HEIGHT - 4}" class="end">{high:.3g} {unit}</text>'
        '</svg></figure>'
    )


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most ``most`` round numbers from ``low`` to ``high``, the same distance apart."""
    raw = max(high - low, 1e-9) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10, 20) if power * m >= raw)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def thin_out(time_s: Floats, values: Floats, most: int = MOST_POINTS) -> tuple[Floats, Floats]:
    """Return at most ``most`` points of a line: lowest and highest of every bin, in order."""
    finite = np.isfinite(values)
    time_s, values = time_s[finite], values[finite]
    if len(values) <= most:
        return time_s, values
    rows = []
    for part in np.array_split(np.arange(len(values)), most // 2):
        rows += sorted({int(part[values[part].argmin()]), int(part[values[part].argmax()])})
    return time_s[rows], values[rows]


def _points(line: Line, span: Range, size: tuple[int, int]) -> list[tuple[float, float]]:
    time_s, values = thin_out(line.time_s, line.values)
    values = np.clip(values, span.low, span.high)
    x = _x(time_s, span, size[0]).round(1).tolist()
    y = _y(values, span, size[1]).round(1).tolist()
    return list(zip(x, y, strict=True))


def _grid(span: Range, size: tuple[int, int]) -> str:
    """Return the lines and numbers behind a chart."""
    width, height = size
    parts = []
    for tick in nice_ticks(span.low, span.high, 3):
        y = _y(tick, span, height)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{width - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y + 3:.1f}" class="end">{tick + 0.0:.3g}</text>')
    for tick in nice_ticks(0.0, span.seconds, max(2, width // 60)):
        x = _x(tick, span, width)
        label = f'{tick:.3g} s' if tick == 0 else f'{tick:.3g}'
        parts.append(f'<text x="{x:.1f}" y="{height - 4}" class="middle">{label}</text>')
    return ''.join(parts)


def _x(time_s: float | Floats, span: Range, width: int) -> Floats:
    return np.asarray(LEFT + time_s / max(span.seconds, 1e-9) * (width - LEFT - RIGHT))


def _y(value: float | Floats, span: Range, height: int) -> Floats:
    share = (np.asarray(value) - span.low) / max(span.high - span.low, 1e-9)
    return np.asarray(height - BOTTOM - share * (height - TOP - BOTTOM))
