# SPDX-License-Identifier: Apache-2.0
"""Figures of merit of predictions, success rates and durations: one implementation of each.

Everything here needs numpy alone and rounds no more than a file of figures does, so that training,
evaluation, benchmarks and reports write the same number for the same thing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import comb, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10  # of the calibration, equally wide over 0 to 1
Z_95 = 1.959964  # two-sided 95 % quantile of the normal distribution


def auc(scores: NDArray[np.floating[Any]], outcomes: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve: how often a success scores higher than a failure.

    Args:
        scores: (B,) predicted, the higher the better; a tie counts half.
        outcomes: (B,) whether it was a success.

    Returns:
        0 to 1, 0.5 for scores that know nothing; None without at least one success and one
        failure.
    """
    good, bad = scores[outcomes], scores[~outcomes]
    if not len(good) or not len(bad):
        return None
    above = (good[:, None] > bad[None]).mean() + 0.5 * (good[:, None] == bad[None]).mean()
    return round(float(above), 4)


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return the Wilson score interval that holds a success rate with 95 % confidence.

    Unlike the normal approximation it stays inside 0 to 1 and is no point at either end.

    Args:
        successes: Episodes that succeeded.
        n: Episodes, at least 1.
    """
    p, scale = successes / n, 1.0 + Z_95 * Z_95 / n
    middle = (p + Z_95 * Z_95 / (2 * n)) / scale
    half = Z_95 / scale * sqrt(p * (1 - p) / n + Z_95 * Z_95 / (4 * n * n))
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def mcnemar(won: int, lost: int) -> float:
    """Return the two-sided p-value of McNemar's exact test on paired scenes.

    It is the probability that so uneven a split of the scenes that differ is chance.

    Args:
        won: Scenes that only the second of two policies solved.
        lost: Scenes that only the first solved.
    """
    n = won + lost
    tail = sum(comb(n, k) for k in range(min(won, lost) + 1)) / 2**n
    return min(1.0, 2.0 * tail)


def difference_interval(won: int, lost: int, n: int) -> tuple[float, float]:
    """Return the interval that holds a difference of success rates with 95 % confidence.

    Both rates are of the same scenes, most of which end alike; it is narrower than that of two
    samples, and no point where no scene differs.

    Source: Bonett and Price 2012, the adjusted Wald interval of paired proportions.

    Args:
        won: Scenes that only the second of two policies solved.
        lost: Scenes that only the first solved.
        n: Scenes, at least 1.
    """
    better, worse = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    half = Z_95 * sqrt((better + worse - (better - worse) ** 2) / (n + 2))
    low, high = better - worse - half, better - worse + half
    return round(max(-1.0, low), 4), round(min(1.0, high), 4)


def mean_interval(numbers: Sequence[float], low: float, high: float) -> tuple[float, float] | None:
    """Return the interval that holds the mean of what was sampled with 95 % confidence.

    It is that of a normal mean, cut to the range of the numbers; None for fewer than two.

    Args:
        numbers: The sample.
        low: Least that a number can be.
        high: Most that a number can be.
    """
    if len(numbers) < 2:
        return None
    middle, half = np.mean(numbers), Z_95 * np.std(numbers, ddof=1) / sqrt(len(numbers))
    return round(max(low, float(middle - half)), 4), round(min(high, float(middle + half)), 4)


def calibration(values: NDArray[np.float32], returns: NDArray[np.float32]) -> float:
    """Return the expected calibration error: the mean gap between predicted and actual return.

    The gap is that of the means over each of ``BINS`` bins of the prediction, weighted by how many
    samples are in the bin.

    Args:
        values: (B,) predicted returns in [0, 1].
        returns: (B,) actual returns in [0, 1].
    """
    gaps = [abs(float((values - returns)[bin_of(values) == b].sum())) for b in range(BINS)]
    return round(sum(gaps) / len(values), 5)


def bin_of(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the (B,) calibration bin, 0 to ``BINS`` - 1, of (B,) predicted returns."""
    return np.clip((values * BINS).astype(np.int64), 0, BINS - 1)


def psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """Return the peak signal-to-noise ratio of uint8 images of one shape [dB].

    None where there are no pixels or all are equal, since JSON has no infinity.
    """
    square = np.square(a.astype(np.float32) - b.astype(np.float32))
    if not square.any():
        return None
    return round(psnr_of_error_db(float(square.mean()), peak=255.0), 2)


def psnr_of_error_db(error: float, peak: float) -> float:
    """Return the peak signal-to-noise ratio of a mean squared error [dB].

    Args:
        error: Mean squared error, above 0.
        peak: Range of the signal, in the same unit as the error's root.
    """
    return float(10.0 * np.log10(peak * peak / error))


def percentiles(numbers: Collection[float] | NDArray[np.float64]) -> dict[str, float]:
    """Return median ``p50``, 99th percentile ``p99`` and ``max``; NaN for all without numbers."""
    values = np.fromiter(numbers, np.float64) if len(numbers) else np.array([np.nan])
    return {
        'p50': float(np.percentile(values, 50)),
        'p99': float(np.percentile(values, 99)),
        'max': float(values.max()),
    }


def rounded_percentiles(numbers: Collection[float]) -> dict[str, float | None]:
    """Return ``p50`` and ``p99`` to two decimals for a file; None for both without numbers."""
    found = percentiles(numbers)
    return {p: round(found[p], 2) if len(numbers) else None for p in ('p50', 'p99')}


def seam_figures(jumps: Collection[float]) -> dict[str, float | None]:
    """Return ``p50``, ``p99`` and ``max`` of seam jumps to four decimals; None without any."""
    found = percentiles(jumps)
    return {name: round(value, 4) if len(jumps) else None for name, value in found.items()}


def intervention_figures(episodes: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """Return how often safety changed a target: in all, per episode and by reason.

    Args:
        episodes: Reason -> how often, of every episode.
    """
    reasons: Counter[str] = Counter()
    for counts in episodes:
        reasons.update(counts)
    n = reasons.total()
    return {
        'interventions': n,
        'interventions_per_episode': round(n / len(episodes), 2) if episodes else None,
        'intervention_reasons': dict(reasons.most_common()),
    }
