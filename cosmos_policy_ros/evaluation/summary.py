# SPDX-License-Identifier: Apache-2.0
"""What the episodes of an evaluation came to, in figures."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_policy_ros.evaluation.episode import EpisodeResult
from cosmos_policy_ros.metrics import (
    auc,
    intervention_figures,
    rounded_percentiles,
    seam_figures,
    wilson_interval,
)
import numpy as np


def summarize_episodes(results: Sequence[EpisodeResult]) -> dict[str, object]:
    """Return the figures of an evaluation.

    Args:
        results: Results of the episodes, at least one.

    Returns:
        ``episodes``, ``successes``, ``success_rate`` with its Wilson interval ``interval_95``;
        ``choice_share`` of the queries in which another candidate than the first was chosen;
        ``apart_mm``, percentiles of the largest distance of a candidate from the first at the
        tools; ``value_auc`` of the value at mid-episode against success, None without one of both
        or without a value; ``query_ms`` percentiles;
        ``rewards``, how many episodes came to a reward of 1, 2, 3 and 4; ``seam_jump_rad`` and
        ``seam_jump_rad_s`` with ``p50``, ``p99`` and ``max`` over the chunks; ``standstill_s`` of
        all episodes; ``committed_rows``, percentiles of the ``conditioned`` rows of the queries
        and of the ``real`` ones that had passed when the answers came; ``chunks_refused``;
        ``interventions``, ``interventions_per_episode`` and ``intervention_reasons``;
        ``taken_over``, in how many a person took over, and ``mended``, how many of them succeeded;
        ``said_done``, how many ended since the value said so, ``done_rightly``, how many of those
        were done, and ``done_s``, percentiles of when.
    """
    successes = sum(r.success for r in results)
    done_s = [r.done_s for r in results if r.done_s is not None]
    query_ms = [ms for r in results for ms in r.query_ms]
    judged = [r for r in results if r.middle_value is not None]
    return {
        'episodes': len(results),
        'successes': successes,
        'success_rate': successes / len(results),
        'interval_95': wilson_interval(successes, len(results)),
        'choice_share': round(float(np.mean([c for r in results for c in r.choices])), 4),
        'apart_mm': rounded_percentiles([mm for r in results for mm in r.apart_mm]),
        'value_auc': auc(
            np.array([r.middle_value for r in judged]),
            np.array([r.success for r in judged], dtype=np.bool_),
        ),
        'query_ms': rounded_percentiles(query_ms),
        'rewards': [sum(r.best_reward >= level for r in results) for level in range(1, 5)],
        'seam_jump_rad': seam_figures([rad for r in results for rad in r.seam_jumps_rad]),
        'seam_jump_rad_s': seam_figures([rad for r in results for rad in r.seam_jumps_rad_s]),
        'standstill_s': round(sum(r.standstill_s for r in results), 3),
        'committed_rows': {
            'conditioned': rounded_percentiles([n for r in results for n in r.committed_rows]),
            'real': rounded_percentiles([n for r in results for n in r.passed_rows]),
        },
        'chunks_refused': sum(r.chunks_refused for r in results),
        **intervention_figures([r.intervention_reasons for r in results]),
        'taken_over': sum(r.taken_over_s is not None for r in results),
        'mended': sum(r.taken_over_s is not None and r.success for r in results),
        'said_done': len(done_s),
        'done_rightly': sum(r.done_s is not None and r.success for r in results),
        'done_s': rounded_percentiles(done_s) if done_s else None,
    }
