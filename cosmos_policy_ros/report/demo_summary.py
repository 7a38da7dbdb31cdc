# SPDX-License-Identifier: Apache-2.0
"""The figures of a demo, from the events of its operator to ``report.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.metrics import (
    intervention_figures,
    rounded_percentiles,
    seam_figures,
)
from cosmos_policy_ros.report.machine import describe_machine
from cosmos_policy_ros.stack.node_list import EXECUTOR, parameters, PLANNER
import numpy as np

SLOW = 0.95  # real-time factor below which physics did not keep up


def make_report(
    events: Iterable[Event], options: Mapping[str, Any], domain: int
) -> dict[str, Any]:
    """Return the figures of all complete episodes.

    Args:
        events: Events of the operator, in order.
        options: How the demo was started.
        domain: ROS domain it ran on.
    """
    episodes: list[dict[str, Any]] = []
    answers: list[Event] = []
    start_ns = 0
    for event in events:
        if event['event'] == 'started':
            answers, start_ns = [], event['start_ns']
        elif event['event'] == 'answer':
            answers.append({k: v for k, v in event.items() if k != 'event'})
        elif event['event'] == 'episode':
            episodes.append(_describe_episode(event, start_ns, answers))
    played = [a for e in episodes for a in e['candidates']]
    planner, executor = parameters(PLANNER), parameters(EXECUTOR)
    jumps_rad = [rad for e in episodes for rad in e['seam_jumps_rad']]
    return {
        'episodes': episodes,
        'success_rate': float(np.mean([e['success'] for e in episodes])) if episodes else None,
        'query_ms': rounded_percentiles([a['query_ms'] for a in played]),
        'budget_ms': rounded_percentiles(_known(played, 'budget_ms')),
        'candidates_used': _mean([len(a['values']) for a in played]),
        'steps_used': _mean(_known(played, 'steps_used')),
        'depth_used': _mean(_known(played, 'depth_used')),
        'choices': sum(e.get('choices', 0) for e in episodes),
        'standstill_s': round(sum(e['standstill_s'] for e in episodes), 3),
        'seam_jump_rad_p99': seam_figures(jumps_rad)['p99'],
        'seam_jump_rad_max': max((e['seam_jump_rad_max'] for e in episodes), default=0.0),
        'committed_rows': {
            'conditioned': rounded_percentiles([a['committed_rows'] for a in played]),
            'real': rounded_percentiles([a['passed_rows'] for a in played]),
        },
        'image_age_ms': rounded_percentiles([age for a in played for age in a['image_ages_ms']]),
        **intervention_figures([e['intervention_reasons'] for e in episodes]),
        'warnings': find_warnings(episodes),
        'pace': {
            'replan_s': planner['replan_s'],
            'margin_s': planner['margin_s'],
            'seam': options.get('seam', executor['seam']),
        },
        'options': {k: str(v) if isinstance(v, Path) else v for k, v in options.items()},
        'ros_domain': domain,
        'machine': describe_machine(),
    }


def find_warnings(episodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return warnings about the figures of episodes, one line each."""
    warnings = []
    for i, episode in enumerate(episodes, 1):
        if not episode['answers']:
            warnings.append(f'episode {i}: no query was answered; see logs/inference.log')
        if episode['fault']:
            warnings.append(f'episode {i}: the arms stopped: {episode["fault"]}')
        factor = episode['real_time_factor_min']
        if factor < SLOW:
            warnings.append(
                f'episode {i}: the simulator fell to {factor:.2f} of real time; this machine is '
                'busy or too slow, and the policy saw a robot that reacts late'
            )
    return warnings


def _describe_episode(event: Event, start_ns: int, answers: list[Event]) -> dict[str, Any]:
    values = [a['values'][a['best']] for a in answers]
    known = [value for value in values if value is not None]  # none of a policy without a value
    episode = {k: v for k, v in event.items() if k != 'event'}
    return {
        **episode,
        'start_ns': start_ns,
        'query_ms': rounded_percentiles([a['query_ms'] for a in answers]),
        'value': {
            'middle': _nearest(answers, values, event['seconds'] / 2),
            'mean': round(float(np.mean(known)), 4) if known else None,
        },
        'candidates': answers,
    }


def _known(answers: Iterable[Event], key: str) -> list[float]:
    """Return a figure of the answers that have it."""
    return [a[key] for a in answers if a.get(key) is not None]


def _mean(numbers: list[float]) -> float | None:
    return round(float(np.mean(numbers)), 2) if numbers else None


def _nearest(answers: list[Event], values: list[float | None], at_s: float) -> float | None:
    """Return the value of the answer nearest to a time of the episode."""
    if not answers:
        return None
    return values[int(np.argmin([abs(a['at_s'] - at_s) for a in answers]))]
