# SPDX-License-Identifier: Apache-2.0
"""The emergency stop's client against an executor as a process: at once, or it says so."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from dataclasses import replace
import os
from pathlib import Path
import pty
import re
import select
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip('rclpy')

from command_line import refused
from cosmos_policy_ros.control.stall import SETTLED_S
from cosmos_policy_ros.ros.emergency_stop import EmergencyStop
from cosmos_policy_ros.ros.endpoints import create_service
from cosmos_policy_ros.ros.service_calls import ANSWER_S
from cosmos_policy_ros.stack.node_list import ESTOP, EXECUTOR
from cosmos_policy_ros.stack.node_pipe import NodePipe, open_pipe
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
from cosmos_policy_ros.terminal.estop import describe, press_once
from cosmos_policy_ros.topics import RESET_ESTOP
from cosmos_policy_ros.types import ConfigError
from node_bench import ros_node, SteppedBench
from ros_domains import ros_domain, wait_for, without_shared_memory
from std_srvs.srv import Trigger

LIMIT_S = 0.3
LONG_S = 60.0  # a process may take to start where others use the processor
COMMAND = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()', 'estop']


@pytest.fixture(scope='module')
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[bytes]]:
    """Return an executor that runs, is disabled, and has no arms."""
    log = tmp_path_factory.mktemp('logs') / 'executor.log'
    with ros_domain(), without_shared_memory():
        process = start_node(EXECUTOR, {}, log)
        wait_for(lambda: log.exists() and b'disabled;' in log.read_bytes(), LONG_S)
        yield process
        stop_nodes([process])


@pytest.fixture
def client(executor: subprocess.Popen[bytes]) -> Iterator[NodePipe]:
    """Return a client that has found the executor."""
    assert executor.poll() is None
    with open_pipe(ESTOP, {}) as client:
        read(client, 'found')
        yield client


def read(client: NodePipe, *kinds: str) -> dict[str, object]:
    """Return the next event of one of some kinds."""
    end_s = time.monotonic() + LONG_S
    while time.monotonic() < end_s:
        for event in client.read(0.1):
            if event['event'] in kinds:
                return event
    pytest.fail(f'no event {kinds}')


@contextlib.contextmanager
def standing_still(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let a process do nothing in the block."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def reset_when_settled(client: NodePipe) -> None:
    """Reset an executor that has stood still, once nothing asked of it can have waited."""
    time.sleep(SETTLED_S)
    client.write('reset')
    read(client, 'reset')


def test_nobody_is_reported_as_such(domain: int) -> None:
    """And what helps then."""
    confirmed, line = press_once('stop', domain, search_s=0.2)
    assert not confirmed
    assert line == (
        f'NOT CONFIRMED: nobody answers on ROS_DOMAIN_ID={domain}; use the switch that cuts the '
        'power'
    )


def test_a_press_is_confirmed_in_time_and_latched(client: NodePipe) -> None:
    """Ten times over, also while it is disabled; a reset lets go."""
    for _ in range(10):
        client.write('stop')
        event = read(client, 'stop', 'unconfirmed')
        assert event['event'] == 'stop'
        assert float(str(event['seconds'])) < LIMIT_S
        client.write('reset')
        assert read(client, 'reset', 'unconfirmed')['event'] == 'reset'


def test_an_executor_that_hangs_is_reported_in_time_and_stopped_later(
    client: NodePipe, executor: subprocess.Popen[bytes]
) -> None:
    """The stop is still sent when it goes on."""
    with standing_still(executor):
        begin_s = time.monotonic()
        client.write('stop')
        assert read(client, 'stop', 'unconfirmed') == {
            'event': 'unconfirmed', 'word': 'stop', 'found': True,
        }  # fmt: skip
        assert LIMIT_S <= time.monotonic() - begin_s < LIMIT_S + 0.3
    assert float(str(read(client, 'stop')['seconds'])) > LIMIT_S
    client.write('reset')
    read(client, 'reset')


def test_a_reset_that_may_have_waited_is_refused(
    client: NodePipe, executor: subprocess.Popen[bytes]
) -> None:
    """Who is told that it is not reset must not find it reset later."""
    client.write('stop')
    read(client, 'stop')
    with standing_still(executor):
        time.sleep(ANSWER_S + 0.5)
    time.sleep(1.0)  # it has woken up, and answers in time
    client.write('reset')
    line = describe(read(client, 'refused', 'reset'), int(os.environ['ROS_DOMAIN_ID']))
    assert line.startswith('NOT RESET, the command executor says: this node stood still for ')
    reset_when_settled(client)


def test_an_answer_that_comes_late_is_told_too(
    client: NodePipe, executor: subprocess.Popen[bytes]
) -> None:
    """It says how things stand, whatever was told before."""
    client.write('stop')
    read(client, 'stop')
    with standing_still(executor):
        client.write('reset')
        assert read(client, 'unconfirmed', 'reset') == {
            'event': 'unconfirmed', 'word': 'reset', 'found': True,
        }  # fmt: skip
        time.sleep(ANSWER_S)
    assert 'this node stood still for ' in str(read(client, 'refused', 'reset')['reason'])
    reset_when_settled(client)


def test_only_the_answer_to_the_last_press_counts() -> None:
    """The refusal of the one before says nothing of it, and comes first."""
    events: list[str] = []
    answers = iter([False, True])

    def answer(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = next(answers)
        return response

    with ros_node('desk') as node:
        create_service(node, RESET_ESTOP, answer)
        stop = EmergencyStop(node, LONG_S, lambda event, **_: events.append(event))
        bench = SteppedBench(node)
        bench.wait(stop._switches['reset'].service_is_ready)
        stop.press('reset')
        stop.press('reset')
        bench.wait(lambda: events)
        bench.executor.shutdown()
    assert events == ['reset']


def test_a_node_that_ends_is_told_with_its_status(domain: int) -> None:
    """Nobody is to press keys that go nowhere."""
    mistaken = replace(ESTOP, given={'nonsense': 1})
    with (
        open_pipe(mistaken, {}) as client,
        pytest.raises(ConfigError, match='the node estop ended with status 78'),
    ):
        read(client, 'started')


class Person:
    """Somebody at a terminal in which the command runs."""

    def __init__(self) -> None:
        """Start it."""
        self._terminal, other = pty.openpty()
        self.process = subprocess.Popen(COMMAND, stdin=other, stdout=other, stderr=other)
        os.close(other)
        self._seen = ''

    def types(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._terminal, keys)

    def waits_to_see(self, text: str) -> None:
        """Look until the terminal shows a regular expression."""
        end_s = time.monotonic() + LONG_S
        while not re.search(text, self._seen):
            assert time.monotonic() < end_s, self._seen
            if select.select([self._terminal], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # the terminal's other end is gone
                    self._seen += os.read(self._terminal, 4096).decode()


@pytest.fixture
def person() -> Iterator[Person]:
    """Return a person who has just started the command."""
    person = Person()
    yield person
    person.process.kill()
    person.process.wait()


@pytest.mark.usefixtures('executor')
def test_a_key_presses_and_r_resets(person: Person) -> None:
    """At a terminal, as a person uses it; Ctrl-Z, which ends other programs for a while, too."""
    person.waits_to_see('found the command executor')
    person.types(b' ')
    person.waits_to_see(r'STOPPED, confirmed after \d+ ms')
    person.types(b'r')
    person.waits_to_see('reset; enable to move again')
    person.types(b'\x1a')
    person.waits_to_see(r'reset; enable to move again\s+STOPPED, confirmed after \d+ ms')
    person.types(b'r')
    person.waits_to_see(r'STOPPED(.|\s)*STOPPED(.|\s)*reset; enable to move again')
    person.types(b'q')
    person.waits_to_see('the emergency stop is as it was')
    assert person.process.wait(LONG_S) == 0


@pytest.mark.usefixtures('executor')
@pytest.mark.parametrize('by_signal', [False, True])
def test_ctrl_c_is_an_emergency_stop_too(person: Person, by_signal: bool) -> None:
    """Who presses it in a hurry wants the arms to stand; the exit status says that they do."""
    person.waits_to_see('found the command executor')
    if by_signal:
        person.process.send_signal(signal.SIGINT)
    else:
        person.types(b'\x03')
    person.waits_to_see(r'STOPPED, confirmed after \d+ ms')
    assert person.process.wait(LONG_S) == 0
    assert press_once('reset', int(os.environ['ROS_DOMAIN_ID']), LONG_S)[0]


@pytest.mark.usefixtures('domain')
def test_ctrl_c_that_nobody_confirms_says_so(person: Person) -> None:
    """And what helps then; the exit status is another one."""
    person.waits_to_see('searching for the command executor')
    person.types(b'\x03')
    person.waits_to_see('NOT CONFIRMED: nobody answers .* use the switch that cuts the power')
    assert person.process.wait(LONG_S) == 1


@pytest.mark.usefixtures('executor')
def test_scripts_press_once_and_reset() -> None:
    """The exit status says whether the executor confirmed."""
    for word, said in (('--once', 'STOPPED'), ('--reset', 'reset')):
        done = subprocess.run([*COMMAND, word], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(said)


def test_a_robot_in_a_namespace_is_stopped_there(domain: int, tmp_path: Path) -> None:
    """And found nowhere else."""
    log = tmp_path / 'executor.log'
    process = start_node(EXECUTOR, {'namespace': 'robot1'}, log)
    try:
        wait_for(lambda: log.exists() and b'disabled;' in log.read_bytes(), LONG_S)
        assert press_once('stop', domain, LONG_S, '/robot1')[0]
        assert not press_once('stop', domain, 3.0, 'robot2')[0]
    finally:
        stop_nodes([process])


@pytest.mark.usefixtures('domain')
@pytest.mark.parametrize(('words', 'stopped'), [(['stop'], True), (['stop', 'reset'], False)])
def test_a_stop_that_nobody_got_waits_for_an_executor_until_it_is_reset(
    tmp_path: Path, words: list[str], stopped: bool
) -> None:
    """A key that was tried before anything runs must not surprise whoever starts it."""
    log = tmp_path / 'executor.log'
    with open_pipe(ESTOP, {}) as client:
        read(client, 'started')
        for word in words:
            client.write(word)
            assert read(client, 'unconfirmed')['word'] == word
        process = start_node(EXECUTOR, {}, log)
        try:
            seen: list[str] = []
            end_s = time.monotonic() + LONG_S
            while 'found' not in seen and time.monotonic() < end_s:
                seen += [event['event'] for event in client.read(0.1)]
            end_s = time.monotonic() + 1.0
            while time.monotonic() < end_s:
                seen += [event['event'] for event in client.read(0.1)]
        finally:
            stop_nodes([process])
    assert 'found' in seen
    assert ('stop' in seen) == stopped
    assert (b'emergency stop' in log.read_bytes()) == stopped


def test_without_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    """Nothing is started."""
    empty = tmp_path / 'input'
    empty.touch()
    with empty.open() as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'stdin', file)
        assert '--once presses the emergency stop' in refused('estop')
