# SPDX-License-Identifier: Apache-2.0
"""One status of the whole stack: what it does, and why not more."""

from __future__ import annotations

from cosmos_policy_ros.control.policy_status import describe_status, severity, StackReports
from cosmos_policy_ros.status import (
    ExecutorStatus,
    ImaginationStatus,
    InferenceStatus,
    PlannerStatus,
    PolicyStatus,
    RecorderStatus,
)

PLAYING = ExecutorStatus('enabled', 'playing', seam_jump_rad=0.01, standstill_s=0.25)
ASKING = PlannerStatus(active=True, value=0.9, best=1, scores=(0.5, 0.9), query_ms_p50=120.0)


def reports(*statuses: object, at_s: float = 0.0) -> StackReports:
    """Return reports of a stack whose nodes have all just reported."""
    found = StackReports()
    for status in (InferenceStatus(task='lift', candidates_used=4), *statuses):
        found.note(status, at_s)
    return found


def phase(*statuses: object) -> tuple[str, str, str]:
    """Return phase, reason and severity of a stack."""
    status = reports(*statuses).summarize(0.1)
    return status.phase, status.reason, severity(status)


def test_figures_of_all_nodes_are_in_one_status() -> None:
    """With the episode that is being recorded."""
    recorder = RecorderStatus('recording', '/data/episode_000003', seconds=4.5)
    status = reports(PLAYING, ASKING, recorder).summarize(0.1)
    assert status == PolicyStatus(
        phase='running',
        task='lift',
        episode='/data/episode_000003',
        episode_s=4.5,
        value=0.9,
        scores=(0.5, 0.9),
        candidates_used=4,
        budget_s=status.budget_s,
        query_ms_p50=120.0,
        query_ms_p99=status.query_ms_p99,
        seam_jump_rad=0.01,
        standstill_s=0.25,
        late_ms_p99=status.late_ms_p99,
    )


def test_phase_and_reason_are_what_a_person_asks_for() -> None:
    """In words, with how serious it is."""
    stopped = ExecutorStatus('disabled', 'disabled', 'emergency stop', stopped=True)
    fault = ExecutorStatus('fault', 'fault', 'left/waist is 0.3 rad behind')
    ended = ExecutorStatus('enabled', 'ended', 'no action chunk any more')
    disabled = ExecutorStatus('disabled', 'disabled')
    idle = PlannerStatus(active=False, stopped='the task is another now')
    late = PlannerStatus(active=True, trouble='no answer for 1.2 s')
    assert phase(PLAYING, ASKING) == ('running', '', 'ok')
    assert phase(PLAYING, late) == ('running', 'no answer for 1.2 s', 'warn')
    assert phase(ended, late) == (
        'holding', 'no action chunk any more; no answer for 1.2 s', 'warn',
    )  # fmt: skip
    assert phase(ended, idle) == (
        'ready', 'no action chunk any more; the task is another now', 'warn',
    )  # fmt: skip
    led = ExecutorStatus('enabled', 'playing', 'approaching the leaders', led_by='person')
    assert phase(led, ASKING) == ('taken over', 'approaching the leaders', 'warn')
    assert phase(disabled, ASKING) == ('disabled', '', 'ok')
    assert phase(fault, ASKING) == ('fault', 'left/waist is 0.3 rad behind', 'error')
    assert phase(stopped, ASKING) == ('stopped', 'emergency stop', 'error')


def test_a_node_that_has_never_reported_is_waited_for() -> None:
    """By its name; a fault is told first."""
    assert phase(PLAYING) == ('waiting', 'no report of planner yet', 'warn')
    status = StackReports().summarize(0.0)
    assert status.reason == 'no report of command_executor, planner, inference yet'
    assert phase(ExecutorStatus('fault', 'fault', 'why'))[0] == 'fault'


def test_teleoperation_waits_for_no_policy() -> None:
    """The executor follows leaders from its start on; with take-over a policy is missing."""
    found = StackReports()
    found.note(ASKING, -60.0)  # of a policy that ran before, as a console that stayed open saw it

    def tell(executor: ExecutorStatus) -> tuple[str, str]:
        found.note(executor, 0.0)
        status = found.summarize(0.1)
        return status.phase, status.reason

    idle = ExecutorStatus('disabled', 'disabled', led_by='person')
    open_ = ExecutorStatus('enabled', 'hold', 'close the grippers', led_by='person')
    fault = ExecutorStatus('fault', 'fault', 'why', led_by='person')
    assert tell(idle) == ('disabled', '')
    assert tell(open_) == ('taken over', 'close the grippers')
    assert tell(ExecutorStatus('enabled', 'playing', led_by='person')) == ('taken over', '')
    assert tell(fault) == ('fault', 'why')
    found.note(ExecutorStatus('enabled', 'playing', led_by='person', can_take_over=True), 0.0)
    assert found.summarize(0.1).phase == 'waiting'


def test_a_recorder_that_was_ended_is_told_and_not_waited_for() -> None:
    """The policy goes on moving the arms without it."""
    found = reports(PLAYING, ASKING, RecorderStatus('idle'))
    for status in (PLAYING, ASKING, InferenceStatus()):
        found.note(status, 10.0)
    status = found.summarize(10.1)
    assert (status.phase, status.reason) == ('running', 'recorder does not report any more')
    assert severity(status) == 'warn'


def test_a_node_that_falls_silent_is_named() -> None:
    """A dead planner does not look as if it were fine."""
    found = reports(PLAYING, ASKING)
    found.note(PLAYING, 10.0)
    found.note(InferenceStatus(), 10.0)
    status = found.summarize(10.1)
    assert status.silent == ('planner',)
    assert (status.phase, status.reason) == ('waiting', 'planner does not report any more')


def test_a_world_that_is_not_as_imagined_is_a_reason() -> None:
    """While the arms play on."""
    warning = 'left_wrist does not show what was imagined'
    found = reports(PLAYING, ASKING, ImaginationStatus(warning=warning)).summarize(0.1)
    assert (found.phase, found.reason, severity(found)) == ('running', warning, 'warn')
    assert found.imagination == warning


def test_an_inference_node_that_is_not_active_is_waited_for() -> None:
    """It reports, and answers nothing."""
    found = reports(PLAYING, ASKING, InferenceStatus(stage='inactive')).summarize(0.1)
    assert (found.phase, found.reason) == ('waiting', 'inference is inactive; see ros2 lifecycle')


def test_a_policy_without_a_value_says_so_once_it_has_planned() -> None:
    """Before, nobody knows; with a value it is shown."""
    planned = PlannerStatus(active=True, best=0, delay_rows=2.5)
    values = [
        describe_status(reports(PLAYING, planner).summarize(0.1)).get('value')
        for planner in (PlannerStatus(active=True), planned, ASKING)
    ]
    assert values == [None, 'none: planning is off', '0.900  of 0.500 0.900  no choice']
