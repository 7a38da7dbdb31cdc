# SPDX-License-Identifier: Apache-2.0
"""What the terminal shows of a running stack, from the events of its leader."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.terminal.demo_terminal import show_demo
from cosmos_policy_ros.terminal.demonstration import describe_unusable, show_demonstrations
from cosmos_policy_ros.terminal.replay import print_result, show_replay
import pytest
from rich.console import Console

EPISODE = {'event': 'episode', 'answers': 9, 'queries': 10, 'fault': ''}
RESULT = {'commands': 125, 'interventions': 2, 'success': None}


@pytest.fixture
def console() -> Console:
    """Return a terminal whose text can be read."""
    return Console(record=True, width=200)


def test_a_demo_has_a_line_for_every_episode(console: Console) -> None:
    """With its number, the outcome, and why the arms stopped."""
    with show_demo(console, episodes=2, episode_s=8.0) as show:
        show({'event': 'clear'})
        show({'event': 'ready', 'task': 'move the cube'})
        show({'event': 'started'})
        show({**EPISODE, 'success': True, 'success_at_s': 4.25})
        show({'event': 'started'})
        show({**EPISODE, 'success': False, 'fault': 'emergency stop'})
    lines = console.export_text().splitlines()
    assert 'task: move the cube' in lines
    assert 'episode 1: success, done after 4.2 s, 9 of 10 queries answered' in lines
    assert 'episode 2: no success, 9 of 10 queries answered, fault: emergency stop' in lines


def test_a_replay_on_a_running_robot_names_the_service_that_lets_it_move(console: Console) -> None:
    """Nothing else does."""
    with show_replay(console) as show:
        show({'event': 'clear'})
        show({'event': 'waiting', 'service': '/robot1/command_executor/enable'})
        show({'event': 'started', 'lead_s': 1.5, 'total_s': 4.0})
        show({'event': 'progress', 'seconds': -0.1})
    text = console.export_text()
    call = 'ros2 service call /robot1/command_executor/enable std_srvs/srv/SetBool "{data: true}"'
    assert call in text
    assert '1.5 s to the first pose, then 2.5 s of recording' in text


def interrupt_replay(console: Console, event: Event) -> None:
    """Show an event, then press Ctrl-C."""
    with suppress(KeyboardInterrupt), show_replay(console) as show:
        show(event)
        raise KeyboardInterrupt


def test_a_replay_that_is_interrupted_says_how_to_disable_what_a_person_enabled(
    console: Console,
) -> None:
    """It does not itself: the person may have taken over, and nobody moves the arms by it."""
    interrupt_replay(console, {'event': 'waiting', 'service': '/robot1/command_executor/enable'})
    text = console.export_text()
    assert 'may still be enabled' in text
    call = 'ros2 service call /robot1/command_executor/enable std_srvs/srv/SetBool "{data: false}"'
    assert call in text


def test_a_replay_that_nobody_was_to_enable_says_nothing_of_it(console: Console) -> None:
    """In the simulator, or where it was refused before."""
    interrupt_replay(console, {'event': 'clear'})
    assert 'enabled' not in console.export_text()


@pytest.mark.parametrize(
    ('worst', 'verdict'),
    [(0.019, 'agree'), (0.21, 'differ by up to 0.210 at right/waist')],
)
def test_a_replay_ends_with_the_joint_that_differs_most(
    console: Console, worst: float, verdict: str
) -> None:
    """What lies between the recorded rows is no difference."""
    errors = {'max_error': {'left/waist': 0.001, 'right/waist': worst}}
    result: dict[str, Any] = {**RESULT, **errors, 'rms_error': {'left/waist': 0, 'right/waist': 0}}
    print_result(result, console)
    assert f'125 commands {verdict}; safety changed 2' in console.export_text()


def test_demonstrations_of_which_nobody_can_learn_are_counted() -> None:
    """Neither as successes nor as failures, which are recorded whole."""
    assert describe_unusable([{'event': 'episode', 'whole': True, 'success': False}]) == ''
    told = describe_unusable([{'event': 'episode', 'whole': False, 'success': False}])
    assert told.startswith(', 1 unusable')
    assert told.endswith('the same command plays those scenes again')


def test_a_demonstration_that_was_not_recorded_whole_is_named(console: Console) -> None:
    """The others only move the bar."""
    with show_demonstrations(console) as show:
        show({'event': 'ready', 'missing': 2})
        show({'event': 'episode', 'whole': True, 'success': True, 'message': 'saved'})
        show(
            {
                'event': 'episode',
                'whole': False,
                'success': False,
                'message': 'a camera was silent',
            }
        )
    text = console.export_text()
    assert 'a camera was silent' in text
    assert 'saved' not in text
