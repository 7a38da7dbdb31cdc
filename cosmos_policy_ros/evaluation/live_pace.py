# SPDX-License-Identifier: Apache-2.0
"""What a demo measured of its queries, for an evaluation at the same pace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.types import ConfigError
import numpy as np


@dataclass(frozen=True)
class LivePace:
    """The pace of a demo.

    Attributes:
        replan_s: Time from one query to the next [s].
        margin_s: How much longer than an answer takes the running chunk had to last [s].
        seam: How a chunk took over from the one before, a row of ``control.seams.SEAMS``.
        latencies_s: Times from the queries to their chunks, without the first of all [s].
        image_ages_s: Ages of the images at those queries [s].
        candidates: Candidates of most of those answers.
        steps: Denoising steps of most of them; 0 where the inference nodes said nothing of it.
        options: Options of the demo.
    """

    replan_s: float
    margin_s: float
    seam: str
    latencies_s: tuple[float, ...]
    image_ages_s: tuple[float, ...]
    candidates: int
    steps: int
    options: Mapping[str, Any]

    def __str__(self) -> str:
        """Return the figures in a line, for people."""
        images = f', images of {_range_ms(self.image_ages_s)}' if self.image_ages_s else ''
        return (
            f'{len(self.latencies_s)} answers after {_range_ms(self.latencies_s)}{images}, '
            f'a query every {self.replan_s:g} s, {self.candidates} candidates, '
            f'seam {self.seam}'
        )


def read_live_pace(file: Path) -> LivePace:
    """Return the pace that a demo measured.

    The first answer of the run is left out: it comes from a machine that has just started.

    Args:
        file: ``report.json`` of the demo.

    Raises:
        ConfigError: The file is missing, is no report of a demo of this version, or has no answer
            but the first.
    """
    try:
        report = json.loads(file.read_text(encoding='utf-8'))
        answers = [answer for episode in report['episodes'] for answer in episode['candidates']]
        later = answers[1:]
        pace = LivePace(
            replan_s=report['pace']['replan_s'],
            margin_s=report['pace']['margin_s'],
            seam=report['pace']['seam'],
            latencies_s=tuple(answer['query_ms'] * 1e-3 for answer in later),
            image_ages_s=tuple(ms * 1e-3 for answer in later for ms in answer['image_ages_ms']),
            candidates=_most_common([len(answer['values']) for answer in later]),
            steps=_most_common([answer['steps_used'] or 0 for answer in later]),
            options={**report['options'], 'episodes': len(report['episodes'])},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f'{file} is no report.json of cosmos-policy demo of this version ({error!r})'
        raise ConfigError(msg) from error
    if not later:
        msg = f'{file} has {len(answers)} answers, and the first is left out; play a longer demo'
        raise ConfigError(msg)
    return pace


def _most_common(numbers: list[int]) -> int:
    """Return the number that comes most often; 0 without numbers."""
    return Counter(numbers).most_common(1)[0][0] if numbers else 0


def _range_ms(times_s: tuple[float, ...]) -> str:
    """Return median and 99th percentile of times [s] as text."""
    p50, p99 = np.percentile(times_s, [50.0, 99.0]) * 1e3
    return f'{p50:.0f} ms (p99 {p99:.0f})'
