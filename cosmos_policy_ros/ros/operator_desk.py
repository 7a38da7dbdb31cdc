# SPDX-License-Identifier: Apache-2.0
"""What an operator sees and does at a running stack, whatever screen or pedal it comes from.

It reads the status of the nodes and calls their services; it decides nothing, and when it is gone
the stack goes on as it was. Requests may come from any thread: they are done in that of the node,
but for the emergency stop, which leaves at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from threading import Thread
import time
from typing import Any, Literal, NamedTuple

from cosmos_policy_ros.control.operations import (
    describe_keys,
    describe_loop,
    ENDING,
    find_obstacle,
    find_operation,
    HOME,
    KEYS,
    OPERATIONS,
    STOP,
)
from cosmos_policy_ros.control.policy_status import describe_status, severity
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.emergency_stop import EmergencyStop
from cosmos_policy_ros.ros.endpoints import (
    create_client,
    create_publisher,
    create_subscription,
    create_timer,
)
from cosmos_policy_ros.ros.observer import LONGEST_TASK
from cosmos_policy_ros.ros.stack_reports import follow_stack
from cosmos_policy_ros.status import (
    ImaginationStatus,
    InferenceStatus,
    PlannerStatus,
    RecorderStatus,
)
from cosmos_policy_ros.topics import (
    ACTIVATE,
    DISCARD_RECORDING,
    ENABLE,
    HOME as HOMEWARD,
    IMAGINATION,
    LABEL_RECORDING,
    RESET_SIM,
    SET_PLANNER_PARAMETERS,
    SET_RECORDER_PARAMETERS,
    START_RECORDING,
    STOP_RECORDING,
    TAKE_OVER,
    TASK,
)
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Empty, String
from std_srvs.srv import SetBool, Trigger

WORK_S = 0.02  # [s] between two looks for requests
CONFIRM_S = 0.3  # [s] within which the executor has to confirm an emergency stop
ANSWER_S = 25.0  # [s] until a missing answer is reported; arms are set up while motion is enabled
AGAIN_S = 1.0  # [s] for which a key that ended motion, or would have, does not begin it again
QUESTION_S = 5.0  # [s] within which a question is answered by the same request again …
READ_S = 0.8  # [s] … but not before: a key that is held down, or a double click, is no answer
MOST_EPISODES = 1_000_000  # that may be wanted
CALLS = {  # operation -> its service and what it is called with
    'enable': (ENABLE, SetBool.Request(data=True)),
    'disable': (ENABLE, SetBool.Request(data=False)),
    'start': (ACTIVATE, SetBool.Request(data=True)),
    'hold': (ACTIVATE, SetBool.Request(data=False)),
    'take_over': (TAKE_OVER, SetBool.Request(data=True)),
    'give_back': (TAKE_OVER, SetBool.Request(data=False)),
    'next': (START_RECORDING, Trigger.Request()),
    'success': (STOP_RECORDING, SetBool.Request(data=True)),
    'failure': (STOP_RECORDING, SetBool.Request(data=False)),
    'redo': (DISCARD_RECORDING, Trigger.Request()),
    'reset_scene': (RESET_SIM, Trigger.Request()),
}


class Note(NamedTuple):
    """What became of the last request.

    Attributes:
        level: ``ok``, ``warn`` or ``error``.
        text: For people.
    """

    level: Literal['ok', 'warn', 'error']
    text: str


class _Call(NamedTuple):
    """A call that waits for its answer."""

    label: str
    client: Any
    answer: Any
    until_s: float


class OperatorDesk:
    """Operations on a stack, with what came of the last one.

    Attributes:
        reports: What the nodes reported.
        note: What became of the last request.
    """

    def __init__(self, node: Node) -> None:
        """Open everything.

        Args:
            node: Node that owns it, and is spun.
        """
        self._node = node
        self.reports = follow_stack(node)
        subscribe_status(node, IMAGINATION, ImaginationStatus, self._on_imagination)
        self.note = Note('ok', '')
        self._instruction = ''
        self._question, self._until_s = '', 0.0  # operation that was asked for once, until when
        self._ending_s: dict[str, float] = {}  # of ``ENDING`` -> when its key last meant it
        self._wanted: deque[Callable[[], None]] = deque()
        self._calls: list[_Call] = []
        services = {service.name: service for service, _ in CALLS.values()}
        self._clients = {name: create_client(node, service) for name, service in services.items()}
        self._set_parameters = create_client(node, SET_PLANNER_PARAMETERS)
        self._set_episodes = create_client(node, SET_RECORDER_PARAMETERS)
        self._label = create_client(node, LABEL_RECORDING)
        self._task = create_publisher(node, TASK)
        self._home = create_publisher(node, HOMEWARD)
        create_subscription(node, TASK, self._on_task)
        self._stop = EmergencyStop(node, CONFIRM_S, self._on_stop)
        create_timer(node, WORK_S, self._work)

    def request(self, name: str) -> None:
        """Do an operation, from any thread; an emergency stop leaves before this returns.

        Args:
            name: Name of a row of ``OPERATIONS``.

        Raises:
            ValueError: There is no such row.
        """
        if name not in OPERATIONS:
            msg = f'no operation {name!r}; there are {[*OPERATIONS]}'
            raise ValueError(msg)
        if name == STOP:
            self._stop.publish_stop()
        self._wanted.append(lambda: self._do(name))

    def press_key(self, key: str) -> None:
        """Do what a key stands for now, from any thread; other keys do nothing.

        Args:
            key: Name of a key in ``KEYS``.
        """
        if key in OPERATIONS[STOP].keys:
            self.request(STOP)
        elif key in KEYS:
            self._wanted.append(lambda: self._do(self._find_operation(key)))

    def follow_keys(self, codes: Iterable[int], device: str) -> None:
        """Take the keys of a device too, in a thread of its own.

        Args:
            codes: Codes of the keys while they are pressed, as of ``drivers.pedal.read_keys``.
            device: Its name, for the note that it is gone.
        """
        names = {key.code: name for name, key in KEYS.items() if key.code}

        def follow() -> None:
            for code in codes:
                self.press_key(names.get(code, ''))
            self._wanted.append(lambda: self._tell('error', f'{device} is gone'))

        Thread(target=follow, name='keys', daemon=True).start()

    def set_task(self, instruction: str) -> None:
        """Publish another instruction, from any thread; the queries end with the old one.

        Raises:
            ValueError: It is empty or too long.
        """
        if not 0 < len(instruction.strip()) <= LONGEST_TASK:
            msg = f'an instruction has 1 to {LONGEST_TASK} characters, got {len(instruction)}'
            raise ValueError(msg)
        self._wanted.append(lambda: self._publish_task(instruction.strip()))

    def set_speed(self, share: float) -> None:
        """Set the share of its own speed at which the policy moves the arms, from any thread."""
        number = float(share)  # a browser sends 1, which a message would take for another number
        self._wanted.append(lambda: self._call_speed(number))

    def set_episodes(self, wanted: int) -> None:
        """Set how many episodes are wanted, from any thread.

        Raises:
            ValueError: It is no number of episodes.
        """
        if not 0 < wanted <= MOST_EPISODES:
            msg = f'1 to {MOST_EPISODES} episodes can be wanted, got {wanted}'
            raise ValueError(msg)
        self._wanted.append(lambda: self._call_episodes(wanted))

    def add_words(self, episode: str, failure: str, note: str) -> None:
        """Say in words what became of an ended episode, from any thread.

        Args:
            episode: Its name; empty for the one that labels are for.
            failure: A word for what went wrong; empty leaves it as it is, and so does the other.
            note: What else is worth knowing.

        Raises:
            ValueError: They are no words.
        """
        given = {'failure': failure.strip(), 'note': note.strip()}
        words = {name: text for name, text in given.items() if text}
        if not words or not all(text.isprintable() for text in (episode, *words.values())):
            msg = f'words are one line of text, got {given}'
            raise ValueError(msg)
        self._wanted.append(lambda: self._call_label('Words', words, episode))

    def view(self) -> dict[str, Any]:
        """Return what a screen shows, as plain values for JSON.

        Its members: ``level``, ``phase`` and ``reason``; ``figures`` by name, as text;
        ``operations``, each with ``name``, ``label``, ``keys``, ``key_names``, ``meaning``,
        whether it says how far an episode came (``is_label``), the ``obstacle`` in its way and
        whether it is ``asked`` for once; ``note`` with ``level`` and ``text``; ``instruction``;
        the task that it is ``taken_for`` with ``similarity``, the known ``tasks``, and ``speed``,
        None where no node reports them; ``loop``, None without a recorder, with ``next``, which
        says what is to be done, ``wanted``, ``done``, ``recording``, and the ``episode`` that
        labels are for with its ``label``.
        """
        now_s = time.monotonic()
        status = self.reports.summarize(now_s)
        inference = self.reports.get_fresh(InferenceStatus, now_s)
        planner = self.reports.get_fresh(PlannerStatus, now_s)
        recorder = self.reports.get_fresh(RecorderStatus, now_s)
        asked = self._question if now_s < self._until_s else ''
        return {
            'level': severity(status),
            'phase': status.phase,
            'reason': status.reason,
            'figures': describe_status(status),
            'operations': [
                {
                    'name': name,
                    'label': operation.label,
                    'keys': describe_keys(operation),
                    'key_names': list(operation.keys),
                    'meaning': operation.meaning,
                    'is_label': operation.progress is not None,
                    'obstacle': find_obstacle(name, self.reports, now_s),
                    'asked': name == asked,
                }
                for name, operation in OPERATIONS.items()
            ],
            'note': self.note._asdict(),
            'instruction': self._instruction,
            'taken_for': inference.task if inference else None,
            'similarity': round(inference.task_similarity, 2) if inference else None,
            'tasks': list(inference.tasks) if inference else None,
            'speed': planner.speed_scale if planner else None,
            'loop': {
                'next': describe_loop(recorder),
                'wanted': recorder.wanted,
                'done': recorder.done,
                'recording': recorder.state == 'recording',
                'episode': recorder.episode,
                'label': recorder.label,
            }
            if recorder
            else None,
        }

    def _find_operation(self, key: str) -> str:
        """Return what a key stands for: what it stood for where that ended motion just now.

        Somebody who presses twice, keeps a key down or comes too late means to end it.
        """
        now_s = time.monotonic()
        for name in ENDING:
            last_s = self._ending_s.get(name, -AGAIN_S)
            if key in OPERATIONS[name].keys and now_s - last_s < AGAIN_S:
                return name
        return find_operation(key, self.reports, now_s)

    def _note_endings(self, now_s: float) -> None:
        """Note which keys would end motion now."""
        for name in ENDING:
            keys = OPERATIONS[name].keys
            if name in (find_operation(key, self.reports, now_s) for key in keys):
                self._ending_s[name] = now_s

    def _work(self) -> None:
        """Do what was requested, and report answers that are missing."""
        self._note_endings(time.monotonic())
        while self._wanted:
            self._wanted.popleft()()
        self._stop.update()
        now_s = time.monotonic()
        for call in [call for call in self._calls if now_s > call.until_s]:
            self._calls.remove(call)
            call.client.remove_pending_request(call.answer)
            self._tell('error', f'{call.label}: no answer of {call.client.srv_name}')

    def _do(self, name: str) -> None:
        """Do an operation, unless something is in its way or it has to be asked for again."""
        operation, now_s = OPERATIONS[name], time.monotonic()
        if name == STOP:
            self._stop.press('stop')  # before the log, which may wait for a disk
            self._tell('warn', 'emergency stop sent')
            return
        if obstacle := find_obstacle(name, self.reports, now_s):
            self._tell('warn', f'{operation.label}: {obstacle}')
            return
        asked = name == self._question and now_s < self._until_s
        if asked and now_s < self._until_s - QUESTION_S + READ_S:
            return
        if operation.question and not asked:
            self._question, self._until_s = name, now_s + QUESTION_S
            self._tell('warn', f'{operation.label}: {operation.question} Once more does it')
            return
        self._question = ''
        if name == 'reset':
            self._stop.press('reset')
            return
        if name == HOME:
            self._home.publish(Empty())
            self._tell('ok', 'on the way to the start pose, while it is pressed')
            return
        if operation.progress is not None:
            self._call_label(operation.label, {'progress': operation.progress})
            return
        if name == 'redo_last':
            self._call_label(operation.label, {'trash': True})
            return
        service, request = CALLS[name]
        self._call(operation.label, self._clients[service.name], request)

    def _call(self, label: str, client: Any, request: Any) -> None:
        """Call a service, and note what it answers."""
        if not client.service_is_ready():
            self._tell('error', f'{label}: nobody offers {client.srv_name}')
            return
        call = _Call(label, client, client.call_async(request), time.monotonic() + ANSWER_S)
        self._calls.append(call)
        self._tell('ok', f'{label} …')
        call.answer.add_done_callback(lambda future: self._on_answer(call, future.result()))

    def _on_answer(self, call: _Call, response: Any) -> None:
        if call not in self._calls:
            return  # it was reported missing
        self._calls.remove(call)
        if isinstance(response, SetParameters.Response):
            [result] = response.results
            done, text = result.successful, result.reason or 'set'
        elif isinstance(response, SetParametersAtomically.Response):
            done, text = response.result.successful, response.result.reason
        else:
            done, text = response.success, response.message
        self._tell('ok' if done else 'error', f'{call.label}: {text}')

    def _call_speed(self, share: float) -> None:
        request = SetParameters.Request(parameters=_parameters(speed_scale=share))
        self._call(f'Speed {share:.0%}', self._set_parameters, request)

    def _call_episodes(self, wanted: int) -> None:
        request = SetParameters.Request(parameters=_parameters(n_episodes=wanted))
        self._call(f'{wanted} episodes', self._set_episodes, request)

    def _call_label(
        self, label: str, given: Mapping[str, str | bool | int], episode: str = ''
    ) -> None:
        """Ask the recorder to keep what is said of an ended episode."""
        recorder = self.reports.get_fresh(RecorderStatus, time.monotonic())
        name = episode or (recorder.episode if recorder else '')
        request = SetParametersAtomically.Request(parameters=_parameters(episode=name, **given))
        self._call(label, self._label, request)

    def _publish_task(self, instruction: str) -> None:
        self._task.publish(String(data=instruction))
        self._tell('ok', f'the task is {instruction!r}; start the policy again')

    def _on_task(self, message: String) -> None:
        self._instruction = message.data

    def _on_imagination(self, status: ImaginationStatus) -> None:
        self.reports.note(status, time.monotonic())

    def _on_stop(self, event: str, **details: Any) -> None:
        if event == 'unconfirmed':
            who = 'the command executor does not answer' if details['found'] else 'nobody answers'
            if details['word'] == 'reset':
                self._tell('error', f'NOT RESET: {who}')
            else:
                self._tell('error', f'NOT CONFIRMED: {who}; use the switch that cuts the power')
        elif event == 'stop':
            took_ms = details['seconds'] * 1e3
            self._tell('warn', f'STOPPED, confirmed after {took_ms:.0f} ms; latched until reset')
        elif event == 'reset':
            self._tell('ok', 'reset; enable to move again')
        elif event == 'refused':
            self._tell('error', f'NOT RESET, the command executor says: {details["reason"]}')
        elif event == 'lost':
            self._tell('error', 'the command executor is gone')

    def _tell(self, level: Literal['ok', 'warn', 'error'], text: str) -> None:
        """Keep what became of a request for the screens, and log it when it is another."""
        before, self.note = self.note, Note(level, text)
        if self.note == before:
            return  # as of a button that is held
        if not self._node.context.ok():
            return  # it is being ended
        if level == 'error':
            self._node.get_logger().error(text)
        else:
            self._node.get_logger().info(text)


def _parameters(**values: str | bool | float) -> list[Any]:
    """Return parameters of a service call."""
    return [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
