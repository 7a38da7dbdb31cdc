# SPDX-License-Identifier: Apache-2.0
"""The typed status of a node, on the wire and for people."""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.status import (
    ExecutorStatus,
    from_values,
    ImaginationStatus,
    InferenceStatus,
    PlannerStatus,
    PolicyStatus,
    RecorderStatus,
    SimStatus,
    to_values,
)
import pytest

EXECUTOR = ExecutorStatus(
    state='enabled',
    mode='hold',
    reason='joint states are 140 ms old, limit 100 ms',
    joint_age_s=0.14012345678,
    standstill_s=1 / 3,
    interventions=7,
    intervention_reasons={'left/waist is limited': 2, 'hold': 5},
    late_ms_p50=0.1,
    late_ms_p99=0.2,
    late_ms_max=0.3,
)


def test_executor_status_travels_exactly() -> None:
    """Every digit arrives, so that whoever decides does it by the same number."""
    values = to_values(EXECUTOR)
    assert set(map(type, values.values())) == {str}
    assert from_values(ExecutorStatus, values) == EXECUTOR


def test_recorder_and_simulator_status_travel_exactly() -> None:
    """As that of the executor does."""
    recorder = RecorderStatus('recording', '/data/episode_000003', seconds=1.25, n_bytes=10**10)
    assert from_values(RecorderStatus, to_values(recorder)) == recorder
    ended = RecorderStatus('idle', wanted=50, done=12, episode='episode_000011', label='success')
    assert from_values(RecorderStatus, to_values(ended)) == ended
    assert ended.figures()['done'] == '12 of 50'
    sim = SimStatus(0.987654321, 29.97, 0.25, 4.5)
    assert from_values(SimStatus, to_values(sim)) == sim


def test_inference_status_travels_exactly() -> None:
    """With the time of a query to the nanosecond."""
    status = InferenceStatus(
        stamp_ns=1_764_410_000_123_456_789,
        candidates_used=2,
        steps_used=5,
        budget_s=1 / 3,
        latency_a_s=0.02,
        latency_b_s=0.01,
        latency_c_s=0.005,
        jitter_s=0.005,
        query_ms_last=120.5,
        query_ms_p50=110.0,
        query_ms_p99=150.0,
        task='lift',
    )
    assert from_values(InferenceStatus, to_values(status)) == status
    assert (status.figures()['budget_ms'], status.figures()['latency_b_ms']) == ('333.3', '10.00')
    assert InferenceStatus().figures()['budget_ms'] == ''


def test_status_before_the_first_command_travels() -> None:
    """Nothing was received and nothing sent: infinity and NaN are numbers too."""
    status = from_values(ExecutorStatus, to_values(ExecutorStatus('disabled', 'disabled')))
    assert status.joint_age_s == float('inf')
    assert status.late_ms_p99 != status.late_ms_p99


def test_missing_field_is_named() -> None:
    """A node of another version is not half understood."""
    values = to_values(EXECUTOR)
    del values['mode']
    with pytest.raises(ValueError, match='ExecutorStatus needs mode, got'):
        from_values(ExecutorStatus, values)


def test_unknown_mode_is_refused() -> None:
    """Nobody decides by a word that he does not know."""
    with pytest.raises(ValueError, match=r"mode must be one of .*'playing'.*, got 'dancing'"):
        from_values(ExecutorStatus, to_values(EXECUTOR) | {'mode': 'dancing'})


def test_figures_for_people_are_rounded() -> None:
    """They keep the names that recordings know."""
    figures = EXECUTOR.figures()
    assert figures['standstill_s'] == '0.333'
    assert figures['joint_age_ms'] == '140.1'
    assert figures['mode'] == 'hold'
    assert figures['intervention_reasons'] == '5 x hold, 2 x left/waist is limited'
    assert SimStatus(1.0, 30.0).figures()['render_ms_p50'] == ''
    assert RecorderStatus('idle', n_bytes=2_500_000).figures()['mb'] == '2.5'


def test_status_of_planner_imagination_and_stack_travel_exactly() -> None:
    """With lists and tables in them."""
    planner = PlannerStatus(
        True, 'why', scores=(0.1, 1 / 3), best=1, value=1 / 3, query_ms_p50=1.5
    )
    planner = replace(planner, query_ms_p99=2.5, mismatch_rad=0.01)
    planner = replace(planner, is_choice=True, margin=0.2, deviation=0.1, apart_m=0.0123)
    assert from_values(PlannerStatus, to_values(planner)) == planner
    imagination = ImaginationStatus(5, 0.1, {'high': 1 / 3}, {'high': -2.5}, compared=7)
    assert from_values(ImaginationStatus, to_values(imagination)) == imagination
    assert imagination.figures()['image_error_high'] == '0.3'
    stack = PolicyStatus('holding', 'why', silent=('sim',), scores=(0.5,), value=0.5, budget_s=0.1)
    stack = replace(stack, query_ms_p50=1.0, query_ms_p99=2.0, late_ms_p99=0.1, joint_age_s=0.01)
    assert from_values(PolicyStatus, to_values(stack)) == stack
    assert stack.figures()['budget_ms'] == '100.0'
    assert PolicyStatus('ready').figures()['value'] == ''
    assert (planner.figures()['choice'], planner.figures()['apart_mm']) == ('chosen', '12.3')
    assert replace(planner, is_choice=False).figures()['choice'] == 'no choice'
    assert stack.figures()['choice'] == ''  # a single candidate


def test_unknown_phase_is_refused() -> None:
    """As a mode is."""
    with pytest.raises(ValueError, match=r"phase must be one of .*'running'.*, got 'dancing'"):
        PolicyStatus('dancing')
