# SPDX-License-Identifier: Apache-2.0
"""One episode of a report: metadata, images, joints, values, seams and timing as HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from html import escape
import io
import json
from typing import Any

from cosmos_policy_ros.data.bags.overview import Overview, Timing
from cosmos_policy_ros.data.bags.series import Series
from cosmos_policy_ros.report.charts import chart, Line, strip, WIDE
from cosmos_policy_ros.report.imagination import imagination_charts
from cosmos_policy_ros.report.joints import joint_charts
from cosmos_policy_ros.report.page import describe, duration, milliseconds, outcome
import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL = (192, 144)  # [px] most it may have
QUALITY = 70  # of its JPEG
SHOWN_FIRST = ('task', 'robot', 'source', 'operator_id', 'seed')
AUDIT = 'audit'  # metadata with what the recorder counted, as JSON


def section(overview: Overview) -> str:
    """Return the section of an episode."""
    row = describe(overview)
    words, style = outcome(row.success)
    name = escape(row.name, quote=True)
    parts = [
        f'<section class="episode" id="{name}"><div class="head"><h2>{name}</h2>'
        f'<span class="pill {style}">{words}</span><span class="soft">{duration(row.seconds)}'
        '</span><a href="#top">top</a></div>',
        _metadata(overview),
    ]
    if overview.remarks:
        items = ''.join(f'<li>{escape(remark)}</li>' for remark in overview.remarks)
        parts.append(f'<ul class="warn remarks">{items}</ul>')
    makers = (_images, _flags, _policy, imagination_charts, joint_charts, _topics, _audit)
    return ''.join([*parts, *(make(overview) for make in makers), '</section>\n'])


def _metadata(overview: Overview) -> str:
    """Return the metadata of the episode, the well-known keys first, files folded up."""
    data = {k: v for k, v in overview.metadata.items() if k not in (AUDIT, 'success')}
    order = [k for k in SHOWN_FIRST if k in data] + sorted(set(data) - set(SHOWN_FIRST))
    facts = {k: data[k] for k in order if '\n' not in data[k]}
    files = ''.join(
        f'<details><summary>{escape(k)}</summary><pre>{escape(data[k])}</pre></details>'
        for k in order
        if k not in facts
    )
    return _facts({**facts, 'camera frames': str(overview.n_images)}) + files


def _facts(facts: dict[str, str]) -> str:
    items = ''.join(
        f'<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>' for k, v in facts.items()
    )
    return f'<dl>{items}</dl>'


def _images(overview: Overview) -> str:
    """Return a strip of images per camera."""
    html = ''
    for topic, images in overview.images.items():
        figures = ''.join(
            f'<figure><img loading="lazy" decoding="async" alt="{escape(topic, quote=True)}" '
            f'src="{_data_uri(image)}"><figcaption>{at_s:.1f} s</figcaption></figure>'
            for at_s, image in images
        )
        html += f'<h3>{escape(topic)}</h3><div class="images">{figures}</div>'
    return html


def _data_uri(image: NDArray[np.uint8]) -> str:
    thumbnail = Image.fromarray(image)
    thumbnail.thumbnail(THUMBNAIL)
    file = io.BytesIO()
    thumbnail.save(file, 'JPEG', quality=QUALITY)
    return 'data:image/jpeg;base64,' + base64.b64encode(file.getvalue()).decode()


def _flags(overview: Overview) -> str:
    """Return a bar per Bool topic, green where it was true."""
    rows = ''
    for topic, series in overview.flags.items():
        spans = list(_true_spans(series, overview.seconds))
        true_s = sum(end - begin for begin, end in spans)
        bar = strip(spans, overview.seconds, 'yes')
        rows += f'<tr><td>{escape(topic)}</td><td class="number">true for {true_s:.1f} s</td>'
        rows += f'<td class="wide">{bar}</td></tr>'
    return f'<h3>Flags over time</h3><table>{rows}</table>' if rows else ''


def _true_spans(series: Series, seconds: float) -> Iterator[tuple[float, float]]:
    """Yield from when to when a flag was true [s]; a message holds until the next."""
    ends = [*series.time_s[1:].tolist(), seconds]
    begin = None
    for at_s, end, value in zip(series.time_s.tolist(), ends, series.values[:, 0], strict=True):
        begin = at_s if value and begin is None else begin
        if begin is not None and (not value or end == ends[-1]):
            yield begin, end if value else at_s
            begin = None


def _policy(overview: Overview) -> str:
    """Return values of the candidates, seams and the states of the executor, of a rollout."""
    figures, seconds = [], overview.seconds
    if overview.answers and np.isnan(overview.answers[0].values).all():
        figures.append(f'<p>{len(overview.answers)} answers of a policy that has no value.</p>')
    elif overview.answers:
        time_s = [a.at_s for a in overview.answers for _ in a.values]
        all_values = np.concatenate([a.values for a in overview.answers])
        chosen = [(a.at_s, a.values[a.best]) for a in overview.answers if a.best is not None]
        lines = [Line('candidate', 'none', np.array(time_s), all_values)]
        if chosen:
            lines.append(Line('chosen', 'best', *np.array(chosen, dtype=np.float64).T))
        spread = float(np.mean([np.ptp(a.values) for a in overview.answers]))
        several = [a.best for a in overview.answers if len(a.values) > 1 and a.best is not None]
        n_others = sum(best > 0 for best in several)
        choices = f', another than the first chosen in {n_others}' if several else ''
        figures.append(
            chart(
                'Value of the candidates', lines, seconds, bounds=(-0.04, 1.04), dots=True,
                note=f'{len(overview.answers)} answers, mean spread {spread:.3f}{choices}',
                size=WIDE,
            )
        )  # fmt: skip
    if overview.seams:
        seams = np.array(overview.seams)
        figures.append(
            chart(
                'Seam jumps [rad]', [Line('jump', 'seam', *seams.T)], seconds, dots=True,
                bounds=(0.0, max(0.1, 1.1 * float(seams[:, 1].max()))), size=WIDE,
                note=f'{len(seams)} seams, largest {seams[:, 1].max():.3f} rad',
            )
        )  # fmt: skip
    html = f'<h3>Policy</h3><div class="grid2">{"".join(figures)}</div>' if figures else ''
    if overview.modes:
        named = [(m, f': {m.reason}' if m.reason else '') for m in overview.modes]
        items = ''.join(f'<li>{m.at_s:.1f} s {escape(m.name + why)}</li>' for m, why in named)
        html += f'<h3>Executor</h3><ul>{items}</ul>'
    return html


def _topics(overview: Overview) -> str:
    """Return the table of messages, rates and gaps of every topic."""
    head = '<th>topic</th><th>type</th>'
    names = ('messages', 'rate', 'expected', 'longest gap', 'gaps')
    head += ''.join(f'<th class="number">{name}</th>' for name in names) + '<th>gaps in time</th>'
    body = ''.join(
        _topic_row(topic, timing, overview.seconds) for topic, timing in overview.topics.items()
    )
    return (
        '<h3>Topics</h3><div class="scroll"><table class="topics">'
        f'<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _topic_row(topic: str, timing: Timing, seconds: float) -> str:
    count, known = len(timing.time_s), timing.expected_hz is not None
    if not count:
        missing = (
            f'<td class="bad" colspan="7">missing, expected at {timing.expected_hz:g} Hz</td>'
        )
        return f'<tr><td>{escape(topic)}</td>{missing}</tr>'
    gaps, longest = timing.gaps, timing.longest_s
    late = 'warn' if gaps else ''
    cells = [
        ('', escape(topic)),
        ('soft', escape(timing.type.rpartition('/')[2])),
        ('number', str(count)),
        ('number', '–' if timing.mean_hz is None else f'{timing.mean_hz:.1f} Hz'),
        ('number soft', f'{timing.expected_hz:g} Hz' if known else '–'),
        (f'number {late}', milliseconds(longest)),
        (f'number {late}', str(len(gaps)) if known else '–'),
        ('wide', strip(gaps, seconds, 'gap', 'on') if known else ''),
    ]
    return '<tr>' + ''.join(f'<td class="{style}">{text}</td>' for style, text in cells) + '</tr>'


def _audit(overview: Overview) -> str:
    """Return the counts of the recorder itself, where it left them in the bag."""
    text = overview.metadata.get(AUDIT)
    if text is None:
        return ''
    try:
        facts = dict(_flatten(json.loads(text)))
    except (ValueError, RecursionError):
        facts = {AUDIT: text}
    return f'<h3>Audit of the recorder</h3>{_facts(facts)}'


def _flatten(value: Any, name: str = '') -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested JSON with the path that leads to them."""
    pairs: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        pairs = enumerate(value)
    inner = [leaf for k, v in pairs for leaf in _flatten(v, f'{name} {k}'.strip())]
    if inner:
        yield from inner
    elif isinstance(value, list):
        yield name, ', '.join(str(item) for item in value) or '–'
    else:
        yield name, str(value)
