# SPDX-License-Identifier: Apache-2.0
"""What an operator may do with a running stack now, and by which key.

One table for the terminal, the page in the browser and pedals: an operation that the stack would
refuse is not offered, and the obstacle is said instead. The emergency stop is always offered. Keys
have the names that browsers give them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cosmos_policy_ros.control.policy_status import StackReports
from cosmos_policy_ros.status import ExecutorStatus, PlannerStatus, RecorderStatus, SimStatus
from cosmos_policy_ros.types import MOST_PROGRESS

STOP = 'stop'  # name of the emergency stop in ``OPERATIONS``
ENDING = ('hold', 'disable')  # operations that end motion, by a key that also begins it
HOME = 'home'  # name of what is done for as long as it is pressed


class Key(NamedTuple):
    """A key as people, terminals and Linux know it.

    Attributes:
        shown: What is written on it.
        terminal: What a terminal sends for it.
        code: Its number in ``linux/input-event-codes.h``, which a pedal sends; 0 for none.
    """

    shown: str
    terminal: tuple[str, ...]
    code: int


KEYS = {  # name as in KeyboardEvent.key of browsers -> the key
    ' ': Key('Space', (' ',), 57),
    'n': Key('n', ('n',), 49),
    'ArrowRight': Key('→', ('\x1b[C', '\x1bOC'), 106),
    'r': Key('r', ('r',), 19),
    'ArrowLeft': Key('←', ('\x1b[D', '\x1bOD'), 105),
    's': Key('s', ('s',), 31),
    'f': Key('f', ('f',), 33),
    'h': Key('h', ('h',), 35),
    '0': Key('0', ('0',), 11),
    '1': Key('1', ('1',), 2),
    '2': Key('2', ('2',), 3),
    '3': Key('3', ('3',), 4),
    '4': Key('4', ('4',), 5),
    'E': Key('Shift E', ('E',), 0),  # not by a pedal, nor by a hand that rests on a key
    'Tab': Key('Tab', ('\t',), 15),
    'Escape': Key('Esc', ('\x1b',), 1),
}


@dataclass(frozen=True)
class Operation:
    """Something that an operator does.

    Attributes:
        label: On its button.
        meaning: What happens then, for people.
        keys: Names of its keys in ``KEYS``; operations that share one exclude each other.
        question: What is asked before it is done, since it cannot be undone; empty for nothing.
        progress: How far it says that the ended episode came; None for other operations.
    """

    label: str
    meaning: str
    keys: tuple[str, ...] = ()
    question: str = ''
    progress: int | None = None


PROGRESS = (  # what each number means
    'nothing of the task was done',
    'a quarter of it was done',
    'half of it was done',
    'most of it was done',
    'all of it was done, a success',
)
OPERATIONS = {
    STOP: Operation('E-STOP', 'Brake at once; no motion until it is reset.', ('Escape',)),
    'reset': Operation('Reset E-stop', 'Let go of the emergency stop; nothing moves by that.'),
    'enable': Operation('Enable', 'Allow motion, from where the arms are.', ('E',)),
    'disable': Operation('Disable', 'End motion: the arms keep the last command.', ('E',)),
    'start': Operation('Start', 'Let the policy move the arms.', (' ',)),
    'hold': Operation('Hold', 'Let the arms play their chunk to its end and wait there.', (' ',)),
    'take_over': Operation('Take over', 'Lead the arms by the leader arms.', ('Tab',)),
    'give_back': Operation('Give back', 'Let the policy lead the arms again.', ('Tab',)),
    'next': Operation('Record next', 'Begin the next episode.', ('n', 'ArrowRight')),
    'success': Operation('Success', 'End the episode; the task was done.', ('s',)),
    'failure': Operation('Failure', 'End the episode; the task was not done.', ('f',)),
    'redo': Operation(
        'Redo',
        'Throw the running episode away, to record it again.',
        ('r', 'ArrowLeft'),
        'throw the running episode away?',
    ),
    'redo_last': Operation(
        'Redo last',
        'Move the last episode to the trash, to record it again.',
        ('r', 'ArrowLeft'),
        'move the last episode to the trash?',
    ),
    HOME: Operation(
        'Home, held', 'Go slowly to the start pose for as long as this is pressed.', ('h',)
    ),
    'reset_scene': Operation('Reset scene', 'Put the simulated scene into its start state.'),
    **{
        f'progress_{n}': Operation(str(n), f'The ended episode: {done}.', (str(n),), progress=n)
        for n, done in enumerate(PROGRESS)
    },
}


class _Stack(NamedTuple):
    """The newest status of the nodes that report now."""

    executor: ExecutorStatus | None
    planner: PlannerStatus | None
    recorder: RecorderStatus | None
    sim: SimStatus | None


def find_obstacle(name: str, reports: StackReports, now_s: float) -> str:
    """Return why an operation cannot be done now; empty when nothing is known against it.

    Args:
        name: Name of the operation.
        reports: What the nodes reported.
        now_s: Time now [s, monotonic].
    """
    stack = _Stack(
        reports.get_fresh(ExecutorStatus, now_s),
        reports.get_fresh(PlannerStatus, now_s),
        reports.get_fresh(RecorderStatus, now_s),
        reports.get_fresh(SimStatus, now_s),
    )
    return '' if name == STOP else _OBSTACLES[name](stack)


def find_operation(key: str, reports: StackReports, now_s: float) -> str:
    """Return the operation that a key stands for now, empty where it stands for none.

    Args:
        key: Name of the key.
        reports: As for ``find_obstacle``.
        now_s: As for ``find_obstacle``.
    """
    names = [name for name, operation in OPERATIONS.items() if key in operation.keys]
    possible = (name for name in names if not find_obstacle(name, reports, now_s))
    return next(possible, names[0] if names else '')


def describe_loop(recorder: RecorderStatus | None) -> str:
    """Return what an operator is to do next for the episodes that are wanted.

    Args:
        recorder: Status of the recorder, None where none reports.
    """
    if recorder is None:
        return ''
    number = f'episode {recorder.done + 1}'
    number += f' of {recorder.wanted}' if recorder.wanted else ''
    if recorder.state == 'recording':
        return f'{number} is recorded: end it with success or failure'
    # one that ended by itself has nobody to whom a service says what became of it
    lost = f'{recorder.last}. ' if recorder.failed else ''
    if recorder.is_unlabelled:
        return f'{lost}{recorder.episode} has no label: 0 to {MOST_PROGRESS} say how far it came'
    if recorder.wanted and recorder.done >= recorder.wanted:
        return f'{lost}all {recorder.wanted} episodes are done'
    return f'{lost}{number}: set the scene up, then record'


def describe_keys(operation: Operation) -> str:
    """Return what is written on the keys of an operation, empty where it has none."""
    return ' '.join(KEYS[key].shown for key in operation.keys)


def _enabled(stack: _Stack, wanted: bool) -> str:
    """Return what is against enabling or disabling."""
    if stack.executor is None:
        return 'no command executor reports'
    if wanted and stack.executor.stopped:
        return 'the emergency stop is latched; reset it first'
    if wanted and stack.executor.preparing:
        return 'motion is being enabled'
    if wanted:
        return 'motion is enabled' if stack.executor.state == 'enabled' else ''
    ended = stack.executor.state == 'disabled' and not stack.executor.preparing
    return 'motion is disabled' if ended else ''


def _stopped(stack: _Stack) -> str:
    if stack.executor is None:
        return 'no command executor reports'
    return '' if stack.executor.stopped else 'no emergency stop is latched'


def _active(stack: _Stack, wanted: bool) -> str:
    """Return what is against starting or holding the policy."""
    if stack.planner is None:
        return 'no planner reports'
    if wanted and (stack.executor is None or stack.executor.state != 'enabled'):
        return 'motion is not enabled'
    if stack.planner.active == wanted:
        return 'the policy runs' if wanted else 'the policy does not run'
    return ''


def _led(stack: _Stack, wanted: bool) -> str:
    """Return what is against a person taking over or giving back."""
    if stack.executor is None:
        return 'no command executor reports'
    leads = stack.executor.led_by == 'person'
    if not wanted:
        return '' if leads else 'the policy leads'
    if leads:
        return 'a person leads'
    if not stack.executor.can_take_over:
        return 'the stack was started without takeover:=true'
    return '' if stack.executor.state == 'enabled' else 'motion is not enabled'


def _recording(stack: _Stack, wanted: bool) -> str:
    """Return what is against an operation for which an episode must be recorded or not."""
    if stack.recorder is None:
        return 'no recorder reports'
    if (stack.recorder.state == 'recording') == wanted:
        return ''
    if wanted:
        return 'no episode is recorded'
    return 'an episode is recorded; say success or failure first'


def _next(stack: _Stack) -> str:
    """Return what is against another episode."""
    if obstacle := _recording(stack, False):
        return obstacle
    assert stack.recorder is not None
    if stack.recorder.is_unlabelled:
        return f'{stack.recorder.episode} has no label; 0 to {MOST_PROGRESS} give it one'
    return ''


def _ended(stack: _Stack) -> str:
    """Return what is against a label for the last episode."""
    if obstacle := _recording(stack, False):
        return obstacle
    assert stack.recorder is not None
    return '' if stack.recorder.episode else 'no episode has ended yet'


def _homeward(stack: _Stack) -> str:
    """Return what is against going to the start pose."""
    if stack.planner is None:
        return 'no planner reports, which leads the arms there'
    if stack.executor is None or stack.executor.state != 'enabled':
        return 'motion is not enabled'
    if stack.planner.active:
        return 'the policy runs'
    if stack.executor.led_by == 'person':
        return 'a person leads'
    recorded = stack.recorder is not None and stack.recorder.state == 'recording'
    return 'an episode is recorded; say success or failure first' if recorded else ''


def _resettable(stack: _Stack) -> str:
    if stack.sim is None:
        return 'no simulator reports'
    moving = stack.executor is not None and stack.executor.state == 'enabled'
    return 'motion is enabled; disable it first' if moving else ''


_OBSTACLES: dict[str, Callable[[_Stack], str]] = {
    'reset': _stopped,
    'enable': lambda stack: _enabled(stack, True),
    'disable': lambda stack: _enabled(stack, False),
    'start': lambda stack: _active(stack, True),
    'hold': lambda stack: _active(stack, False),
    'take_over': lambda stack: _led(stack, True),
    'give_back': lambda stack: _led(stack, False),
    'next': _next,
    'success': lambda stack: _recording(stack, True),
    'failure': lambda stack: _recording(stack, True),
    'redo': lambda stack: _recording(stack, True),
    'redo_last': _ended,
    HOME: _homeward,
    'reset_scene': _resettable,
    **{name: _ended for name, operation in OPERATIONS.items() if operation.progress is not None},
}
