# SPDX-License-Identifier: Apache-2.0
"""What ``cosmos-policy status`` shows of a status."""

from __future__ import annotations

import io

from cosmos_policy_ros.control.policy_status import describe_status
from cosmos_policy_ros.status import PolicyStatus
from cosmos_policy_ros.terminal.status import draw_status
from rich.console import Console

RUNNING = PolicyStatus(
    'running',
    task='lift',
    value=0.75,
    scores=(0.5, 0.75),
    is_choice=True,
    candidates_used=2,
    steps_used=5,
    budget_s=0.2,
    query_ms_p50=120.0,
    query_ms_p99=180.4,
    committed_rows=4,
    delay_rows=2.5,
    seam_jump_rad=0.01,
    seam_jump_rad_max=0.03,
    interventions=7,
    joint_age_s=0.009,
    late_ms_p99=0.12,
)


def test_figures_are_rows_with_their_units() -> None:
    """In the order in which a person asks for them."""
    assert describe_status(RUNNING) == {
        'task': 'lift',
        'value': '0.750  of 0.500 0.750  chosen',
        'answers': '2 candidates of 5 steps  200 ms budget',
        'latency': '120 ms median  180 ms 99 %',
        'committed': '4 rows, 2.5 had passed',
        'seam': '0.010 rad, largest 0.030 rad',
        'standstill': '0.00 s',
        'safety': '7 ticks changed  9 ms joint age  0.12 ms late 99 %',
    }


def test_what_nobody_knows_is_left_out() -> None:
    """Before the first answer there is neither value nor latency."""
    rows = describe_status(PolicyStatus('waiting', 'no report of planner yet'))
    assert list(rows) == ['seam', 'standstill', 'safety']
    assert rows['safety'] == '0 ticks changed'


def test_phase_and_reason_come_first() -> None:
    """With the domain, since several robots may run."""
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(draw_status('error', PolicyStatus('fault', 'left/waist is behind'), 7))
    text = console.export_text()
    assert 'ROS domain 7' in text
    assert 'FAULT  left/waist is behind' in text
