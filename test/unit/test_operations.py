# SPDX-License-Identifier: Apache-2.0
"""What an operator is offered in which state of the stack, and what stands on the keys."""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.control.operations import (
    describe_keys,
    describe_loop,
    find_obstacle,
    find_operation,
    KEYS,
    OPERATIONS,
)
from cosmos_policy_ros.control.policy_status import StackReports
from cosmos_policy_ros.status import ExecutorStatus, PlannerStatus, RecorderStatus, SimStatus

DISABLED = ExecutorStatus('disabled', 'disabled')
STOPPED = ExecutorStatus('disabled', 'disabled', 'emergency stop', stopped=True)
FAULT = ExecutorStatus('fault', 'fault', 'left/waist is behind')
ENABLED = ExecutorStatus('enabled', 'hold')
WAITING, ACTIVE = PlannerStatus(active=False), PlannerStatus(active=True)
IDLE, RECORDING = RecorderStatus('idle'), RecorderStatus('recording', '/data/episode_000001')
DONE = RecorderStatus('idle', wanted=5, done=2, episode='episode_000001', label='success')
UNLABELLED = replace(DONE, label='')


def reports(*statuses: object) -> StackReports:
    """Return reports of nodes that have just reported."""
    found = StackReports()
    for status in statuses:
        found.note(status, 0.0)
    return found


def offered(*statuses: object) -> set[str]:
    """Return the operations that nothing is in the way of."""
    found = reports(*statuses)
    return {name for name in OPERATIONS if not find_obstacle(name, found, 0.1)}


def test_without_a_stack_only_the_emergency_stop_is_offered() -> None:
    """It is sent whether or not anybody is known to listen."""
    assert offered() == {'stop'}


def test_motion_is_enabled_first() -> None:
    """Start does not enable by itself."""
    assert offered(DISABLED, WAITING) == {'stop', 'enable'}
    assert offered(ENABLED, WAITING) == {'stop', 'disable', 'start', 'home'}
    assert offered(ENABLED, ACTIVE) == {'stop', 'disable', 'hold'}


def test_motion_that_is_about_to_be_enabled_can_be_called_off() -> None:
    """Drivers are set up for seconds, and arms may be brought into their range meanwhile."""
    preparing = ExecutorStatus('disabled', 'disabled', preparing=True)
    assert offered(preparing, WAITING) == {'stop', 'disable'}
    assert find_operation('E', reports(preparing), 0.1) == 'disable'


def test_an_emergency_stop_is_reset_before_anything_else() -> None:
    """And a reset is offered only then."""
    assert offered(STOPPED, WAITING) == {'stop', 'reset'}


def test_a_fault_is_enabled_or_disabled() -> None:
    """The executor says whether it can be."""
    assert offered(FAULT, WAITING) == {'stop', 'enable', 'disable'}


def test_a_person_takes_over_where_the_executor_says_so() -> None:
    """And gives back what was taken over."""
    ready = ExecutorStatus('enabled', 'playing', can_take_over=True)
    leads = ExecutorStatus('enabled', 'playing', led_by='person')
    assert offered(ready) == {'stop', 'disable', 'take_over'}
    assert offered(leads) == {'stop', 'disable', 'give_back'}
    assert find_operation('Tab', reports(leads), 0.1) == 'give_back'
    assert find_obstacle('take_over', reports(ENABLED), 0.1) == (
        'the stack was started without takeover:=true'
    )


def test_an_episode_ends_before_the_next_begins() -> None:
    """With a label, or thrown away."""
    assert offered(IDLE) == {'stop', 'next'}
    assert offered(RECORDING) == {'stop', 'success', 'failure', 'redo'}


def test_the_last_episode_is_labelled_or_thrown_away_while_none_is_recorded() -> None:
    """Also once more, where the first label was a mistake; one without a label comes first."""
    labels = {'progress_0', 'progress_1', 'progress_2', 'progress_3', 'progress_4', 'redo_last'}
    assert offered(DONE) == {'stop', 'next', *labels}
    assert offered(UNLABELLED) == {'stop', *labels}
    assert find_obstacle('next', reports(UNLABELLED), 0.1) == (
        'episode_000001 has no label; 0 to 4 give it one'
    )
    assert find_obstacle('progress_2', reports(RECORDING), 0.1) == (
        'an episode is recorded; say success or failure first'
    )
    assert find_operation('r', reports(RECORDING), 0.1) == 'redo'
    assert find_operation('r', reports(DONE), 0.1) == 'redo_last'


def test_arms_go_home_only_where_a_person_enabled_them_and_nothing_else_leads() -> None:
    """Neither in an episode nor under a policy or a person's hands."""
    assert 'home' in offered(ENABLED, WAITING)
    assert 'home' in offered(ENABLED, WAITING, IDLE)
    leads = ExecutorStatus('enabled', 'playing', led_by='person')
    reasons = {
        find_obstacle('home', reports(*stack), 0.1)
        for stack in (
            (ENABLED,), (DISABLED, WAITING), (STOPPED, WAITING), (ENABLED, ACTIVE),
            (leads, WAITING), (ENABLED, WAITING, RECORDING),
        )
    }  # fmt: skip
    assert reasons == {
        'no planner reports, which leads the arms there',
        'motion is not enabled',
        'the policy runs',
        'a person leads',
        'an episode is recorded; say success or failure first',
    }


def test_an_operator_reads_what_to_do_next() -> None:
    """At every place of the loop, with the number that is wanted or without."""
    assert describe_loop(None) == ''
    assert describe_loop(IDLE) == 'episode 1: set the scene up, then record'
    assert describe_loop(DONE) == 'episode 3 of 5: set the scene up, then record'
    assert describe_loop(replace(RECORDING, wanted=5, done=2)) == (
        'episode 3 of 5 is recorded: end it with success or failure'
    )
    assert describe_loop(UNLABELLED) == ('episode_000001 has no label: 0 to 4 say how far it came')
    assert describe_loop(replace(DONE, done=5)) == 'all 5 episodes are done'


def test_an_operator_reads_that_an_episode_ended_by_itself() -> None:
    """Until the next one begins; otherwise it would look as if nothing had been recorded."""
    lost = replace(IDLE, last='/data/episode_000001 has 2.7 s, ended because /high is silent')
    assert describe_loop(replace(lost, failed=True)) == (
        '/data/episode_000001 has 2.7 s, ended because /high is silent. '
        'episode 1: set the scene up, then record'
    )
    assert describe_loop(lost) == 'episode 1: set the scene up, then record'
    assert describe_loop(replace(RECORDING, last=lost.last)) == (
        'episode 1 is recorded: end it with success or failure'
    )


def test_a_scene_is_not_reset_under_arms_that_may_move() -> None:
    """Joints would jump."""
    sim = SimStatus(real_time_factor=1.0, camera_hz=12.5)
    assert 'reset_scene' in offered(sim, DISABLED)
    assert find_obstacle('reset_scene', reports(sim, ENABLED), 0.1) == (
        'motion is enabled; disable it first'
    )


def test_what_a_silent_node_reported_last_counts_no_more() -> None:
    """It may be dead."""
    obstacle = find_obstacle('disable', reports(ENABLED), 10.0)
    assert obstacle == 'no command executor reports'


def test_a_key_means_what_is_possible_of_its_operations() -> None:
    """Space starts and holds; of two that are not possible it names the first."""
    assert find_operation(' ', reports(ENABLED, WAITING), 0.1) == 'start'
    assert find_operation(' ', reports(ENABLED, ACTIVE), 0.1) == 'hold'
    assert find_operation(' ', reports(DISABLED, WAITING), 0.1) == 'start'
    assert find_operation('Escape', reports(), 0.1) == 'stop'
    assert find_operation('x', reports(ENABLED, WAITING), 0.1) == ''


def test_keys_are_those_of_the_field() -> None:
    """As they stand on buttons and in the terminal."""
    keys = {name: describe_keys(operation) for name, operation in OPERATIONS.items()}
    assert keys == {
        'stop': 'Esc', 'reset': '', 'enable': 'Shift E', 'disable': 'Shift E', 'start': 'Space',
        'hold': 'Space', 'take_over': 'Tab', 'give_back': 'Tab', 'next': 'n →',
        'success': 's', 'failure': 'f', 'redo': 'r ←', 'redo_last': 'r ←', 'home': 'h',
        'reset_scene': '', 'progress_0': '0', 'progress_1': '1', 'progress_2': '2',
        'progress_3': '3', 'progress_4': '4',
    }  # fmt: skip


def test_every_key_of_an_operation_is_in_the_table() -> None:
    """And what throws something away asks first."""
    assert {key for operation in OPERATIONS.values() for key in operation.keys} == set(KEYS)
    questions = [name for name, operation in OPERATIONS.items() if operation.question]
    assert questions == ['redo', 'redo_last']
