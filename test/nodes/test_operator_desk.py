# SPDX-License-Identifier: Apache-2.0
"""The operator's desk at a stack that answers: what is called, when, and what it says of it."""

from __future__ import annotations

from collections.abc import Iterator
import math
import threading
import time
from typing import Any

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.ros.diagnostics import StatusReport
from cosmos_policy_ros.ros.endpoints import create_service, create_subscription
from cosmos_policy_ros.ros.operator_desk import OperatorDesk
from cosmos_policy_ros.status import (
    ExecutorStatus,
    InferenceStatus,
    PlannerStatus,
    RecorderStatus,
)
from cosmos_policy_ros.topics import (
    ACTIVATE,
    DISCARD_RECORDING,
    ENABLE,
    ESTOP,
    EXECUTOR_STATUS,
    INFERENCE_STATUS,
    PLANNER_STATUS,
    RECORDER_STATUS,
    RESET_ESTOP,
    SET_PLANNER_PARAMETERS,
    STOP,
    STOP_RECORDING,
    TASK,
)
from node_bench import ThreadedBench
from rcl_interfaces.msg import SetParametersResult
import rclpy
from rclpy.node import Node
from ros_domains import ros_domain

TASKS = ('lift the cube', 'insert the peg')


class Stack(Node):
    """A stack's services and statuses, which does at once what it is called for."""

    def __init__(self) -> None:
        """Serve."""
        super().__init__('stack')
        self.calls: list[tuple[str, Any]] = []
        self.stops, self.refusal = 0, ''  # why it does not reset
        self.tasks: list[str] = []
        self.state, self.stopped, self.active, self.recording = 'disabled', False, False, False
        self._reports = [
            StatusReport(self, EXECUTOR_STATUS, 'command_executor'),
            StatusReport(self, PLANNER_STATUS, 'planner'),
            StatusReport(self, INFERENCE_STATUS, 'inference'),
            StatusReport(self, RECORDER_STATUS, 'recorder'),
        ]
        create_service(self, ENABLE, self._on_enable)
        create_service(self, ACTIVATE, self._on_activate)
        create_service(self, ESTOP, self._on_estop)
        create_service(self, RESET_ESTOP, self._on_reset)
        create_service(self, STOP_RECORDING, self._on_stop_recording)
        create_service(self, DISCARD_RECORDING, self._on_discard)
        create_service(self, SET_PLANNER_PARAMETERS, self._on_parameters)
        create_subscription(self, STOP, self._on_stop)
        create_subscription(self, TASK, lambda message: self.tasks.append(message.data))
        self.create_timer(0.05, self._report)

    def _report(self) -> None:
        executor, planner, inference, recorder = self._reports
        state = 'disabled' if self.stopped else self.state
        mode = 'hold' if state == 'enabled' else 'disabled'
        executor.publish('ok', '', ExecutorStatus(state, mode, stopped=self.stopped))
        planner.publish('ok', '', PlannerStatus(active=self.active, speed_scale=0.5))
        taken = InferenceStatus(task=TASKS[0], task_similarity=0.834, tasks=TASKS)
        inference.publish('ok', '', taken)
        path = '/data/episode_000007' if self.recording else ''
        recorder.publish('ok', '', RecorderStatus('recording' if path else 'idle', path))

    def _note(self, name: str, value: Any, response: Any, message: str = 'done') -> Any:
        self.calls.append((name, value))
        response.success, response.message = True, message
        return response

    def _on_enable(self, request: Any, response: Any) -> Any:
        self.state = 'enabled' if request.data else 'disabled'
        return self._note('enable', request.data, response, self.state)

    def _on_activate(self, request: Any, response: Any) -> Any:
        self.active = request.data
        return self._note('activate', request.data, response)

    def _on_estop(self, _request: Any, response: Any) -> Any:
        self.stopped = True
        return self._note('estop', None, response)

    def _on_stop(self, _message: Any) -> None:
        self.stopped, self.stops = True, self.stops + 1

    def _on_reset(self, _request: Any, response: Any) -> Any:
        if self.refusal:
            response.message = self.refusal
            return response
        self.stopped = False
        return self._note('reset', None, response)

    def _on_stop_recording(self, request: Any, response: Any) -> Any:
        self.recording = False
        self._note('stop', request.data, response)
        response.success, response.message = False, 'the disk is full'
        return response

    def _on_discard(self, _request: Any, response: Any) -> Any:
        self.recording = False
        return self._note('discard', None, response)

    def _on_parameters(self, request: Any, response: Any) -> Any:
        [parameter] = request.parameters
        self.calls.append((parameter.name, parameter.value.double_value))
        low = parameter.value.double_value < 0.1
        response.results = [
            SetParametersResult(successful=not low, reason='' if not low else 'low')
        ]
        return response


class Bench:
    """A desk at a stack."""

    def __init__(self) -> None:
        """Start both."""
        rclpy.init()
        self.stack, node = Stack(), Node('desk')
        self.desk = OperatorDesk(node)
        self.bench = ThreadedBench(self.stack, node)
        self.bench.wait(lambda: self.desk.view()['phase'] == 'disabled')

    def note(self, text: str) -> None:
        """Wait until the desk says something."""
        self.bench.wait(lambda: self.desk.note.text == text, 10.0)

    def obstacle(self, name: str) -> str:
        """Return what is in the way of an operation."""
        [operation] = [o for o in self.desk.view()['operations'] if o['name'] == name]
        return str(operation['obstacle'])


@pytest.fixture
def at() -> Iterator[Bench]:
    """Give a desk at a stack of its own."""
    with ros_domain():
        bench = Bench()
        yield bench
        bench.bench.close()


def test_operations_become_calls_and_their_answers_notes(at: Bench) -> None:
    """In the order in which they are offered."""
    assert at.obstacle('start') == 'motion is not enabled'
    at.desk.request('enable')
    at.note('Enable: enabled')
    at.bench.wait(lambda: not at.obstacle('start'))
    at.desk.press_key(' ')
    at.note('Start: done')
    at.bench.wait(lambda: not at.obstacle('hold'))
    at.desk.press_key(' ')
    at.note('Hold: done')
    assert at.stack.calls == [('enable', True), ('activate', True), ('activate', False)]


def test_a_key_that_has_ended_motion_does_not_begin_it_again_at_once(at: Bench) -> None:
    """Pressed twice in a fright, kept down, or a moment after the policy has ended by itself."""
    at.desk.request('enable')
    at.bench.wait(lambda: not at.obstacle('start'))
    at.desk.press_key(' ')
    at.bench.wait(lambda: not at.obstacle('hold'))
    at.desk.press_key(' ')
    at.bench.wait(lambda: not at.obstacle('start'))
    at.desk.press_key(' ')
    at.note('Hold: the policy does not run')
    time.sleep(1.2)
    at.desk.press_key(' ')
    at.note('Start: done')
    activated = [value for name, value in at.stack.calls if name == 'activate']
    assert activated == [True, False, True]


def test_what_would_be_refused_is_not_called(at: Bench) -> None:
    """And the reason is said."""
    at.desk.press_key(' ')
    at.note('Start: motion is not enabled')
    at.desk.press_key('s')
    at.note('Success: no episode is recorded')
    assert at.stack.calls == []


def test_an_emergency_stop_leaves_at_once_and_is_confirmed(at: Bench) -> None:
    """Before the request returns, and in any state; then it is reset."""
    threading.Thread(target=at.desk.press_key, args=('Escape',)).start()
    at.bench.wait(lambda: at.desk.note.text.startswith('STOPPED, confirmed after'), 10.0)
    assert at.stack.stops > 0
    at.bench.wait(lambda: at.obstacle('reset') == '')
    assert at.obstacle('enable') == 'the emergency stop is latched; reset it first'
    at.desk.request('reset')
    at.note('reset; enable to move again')


def test_a_reset_that_is_refused_is_told_with_the_reason(at: Bench) -> None:
    """The executor answers, so nobody has to cut the power."""
    at.stack.refusal = 'this node stood still'
    at.desk.request('stop')
    at.bench.wait(lambda: at.desk.note.text.startswith('STOPPED, confirmed after'), 10.0)
    at.bench.wait(lambda: at.obstacle('reset') == '')
    at.desk.request('reset')
    at.note('NOT RESET, the command executor says: this node stood still')


def test_nothing_is_thrown_away_before_it_is_asked_for_twice(at: Bench) -> None:
    """And not by the second time long after the first."""
    at.stack.recording = True
    at.bench.wait(lambda: at.obstacle('redo') == '')
    at.desk.press_key('r')
    at.note('Redo: throw the running episode away? Once more does it')
    assert at.stack.calls == []
    assert [o['name'] for o in at.desk.view()['operations'] if o['asked']] == ['redo']
    at.desk.press_key('r')  # by a key that is held down
    time.sleep(0.9)
    assert at.stack.calls == []
    at.desk.press_key('ArrowLeft')
    at.note('Redo: done')
    assert at.stack.calls == [('discard', None)]


def test_a_refusal_of_the_stack_is_an_error(at: Bench) -> None:
    """With its own words."""
    at.stack.recording = True
    at.bench.wait(lambda: at.obstacle('failure') == '')
    at.desk.press_key('f')
    at.note('Failure: the disk is full')
    assert at.desk.note.level == 'error'
    assert at.stack.calls == [('stop', False)]


def test_task_and_speed_are_set_and_shown(at: Bench) -> None:
    """With what the instruction is taken for."""
    at.desk.set_task('  raise the block ')
    at.bench.wait(lambda: at.stack.tasks == ['raise the block'])
    view = at.desk.view()
    assert (view['instruction'], view['taken_for']) == ('raise the block', 'lift the cube')
    assert (view['similarity'], view['tasks'], view['speed']) == (0.83, [*TASKS], 0.5)
    at.desk.set_speed(0.25)
    at.note('Speed 25%: set')
    at.desk.set_speed(1)  # as a browser writes 1.0
    at.note('Speed 100%: set')
    at.desk.set_speed(0.05)
    at.note('Speed 5%: low')
    assert [speed for _, speed in at.stack.calls] == [0.25, 1.0, 0.05]
    with pytest.raises(ValueError, match='1 to 200 characters'):
        at.desk.set_task(' ')


def test_what_is_no_number_and_no_words_is_refused_at_once(at: Bench) -> None:
    """In the thread of whoever asked, before it is anybody's message."""
    with pytest.raises(ValueError, match='1 to 1000000 episodes can be wanted, got 0'):
        at.desk.set_episodes(0)
    with pytest.raises(ValueError, match='1 to 1000000 episodes can be wanted'):
        at.desk.set_episodes(10**30)
    for words in ('', ' ', 'two\nlines', '\ud800'):
        with pytest.raises(ValueError, match='words are one line of text'):
            at.desk.add_words('episode_000001', '', words)
    at.desk.add_words('episode_000001', 'dropped', '')
    at.note('Words: nobody offers recorder/label')


def test_a_stop_that_nobody_confirms_is_said_in_time() -> None:
    """With what helps then."""
    with ros_domain():
        rclpy.init()
        node = Node('desk')
        desk = OperatorDesk(node)
        bench = ThreadedBench(node)
        began_s = time.monotonic()
        desk.request('stop')
        bench.wait(lambda: desk.note.level == 'error', 10.0)
        assert time.monotonic() - began_s < 1.0
        assert desk.note.text == (
            'NOT CONFIRMED: nobody answers; use the switch that cuts the power'
        )
        assert desk.view()['speed'] is None
        bench.close()


def test_keys_of_a_pedal_are_keys(at: Bench) -> None:
    """And its end is said; codes that mean nothing do nothing."""
    at.desk.follow_keys(iter([999, 0, 31]), '/dev/input/pedal')
    at.note('/dev/input/pedal is gone')
    assert at.stack.calls == []
    assert math.isfinite(at.desk.view()['similarity'])
