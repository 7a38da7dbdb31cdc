# SPDX-License-Identifier: Apache-2.0
"""A stack ends with its nodes, but for one of several inference nodes."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from cosmos_policy_ros.stack.domain import (
    choose_domain,
    choose_domain_of_running_robot,
    LAST_DOMAIN,
)
from cosmos_policy_ros.stack.node_list import POLICY_STACK
from cosmos_policy_ros.stack.processes import start_process, stop_nodes
from cosmos_policy_ros.stack.running import find_ros_trouble, run_stack, RunningStack
from cosmos_policy_ros.types import ConfigError
import pytest

WAIT = 'import time; time.sleep(60)'
CRASH = 'raise SystemExit(3)'
REFUSE = "print('[ERROR] [1.0] [cosmos_policy_ros]: no such device'); raise SystemExit(1)"


class Stack(RunningStack):
    """A stack of two inference nodes whose processes do what the test says."""

    def __init__(self, out: Path) -> None:
        """Start nothing yet."""
        (out / 'logs').mkdir()
        super().__init__({'device': 'cpu,cpu'}, out, others=POLICY_STACK)

    def run(self, name: str, code: str) -> None:
        """Start a process in place of a node, and wait for one that ends."""
        stop_nodes([self._processes[name]] if name in self._processes else [])
        self._processes[name] = start_process([sys.executable, '-c', code], self._log(name))
        if code != WAIT:
            self._processes[name].wait(30)

    def look(self) -> None:
        """Look at the processes once."""
        self._raise_if_ended()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Return a stack that runs."""
    stack = Stack(tmp_path)
    for name in ('operator', 'inference', 'inference_2', 'planner', 'command_executor'):
        stack.run(name, WAIT)
    stack.look()
    yield stack
    stop_nodes(stack._processes.values())


def test_one_of_two_inference_nodes_may_crash(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once; the stack ends with the other one."""
    stack.run('inference', CRASH)
    stack.look()
    stack.look()
    (told,) = caplog.messages
    assert told.startswith('inference ended with status 3')
    assert told.endswith('going on with the other inference nodes')
    stack.run('inference_2', CRASH)
    with pytest.raises(ChildProcessError, match='inference_2 ended with status 3'):
        stack.look()


def test_a_mistake_that_a_user_can_fix_ends_the_stack(stack: Stack) -> None:
    """Nobody plays with half of the devices that were asked for without knowing."""
    stack.run('inference_2', REFUSE)
    with pytest.raises(ConfigError, match='inference_2: no such device'):
        stack.look()


def test_any_other_node_ends_the_stack(stack: Stack) -> None:
    """There is one of each."""
    stack.run('planner', CRASH)
    with pytest.raises(ChildProcessError, match='planner ended with status 3'):
        stack.look()


def test_a_middleware_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do."""
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    monkeypatch.setenv('ROS_DISTRO', 'jazzy')
    output = "Expected RMW implementation identifier of 'rmw_cyclonedds_cpp' but instead found"
    assert find_ros_trouble(output) == (
        'RMW_IMPLEMENTATION is rmw_cyclonedds_cpp, which is not installed in this ROS 2; unset '
        'it, or install it (apt-get install ros-jazzy-rmw-cyclonedds-cpp)'
    )


def test_ros_for_another_python_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its folder and this interpreter."""
    package = tmp_path / 'rclpy'
    package.mkdir()
    (package / '__init__.py').touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'rclpy', raising=False)
    trouble = find_ros_trouble("Traceback\nImportError: cannot import name '_rclpy_pybind11'\n")
    assert f'the rclpy in {package} is not made for Python 3.' in trouble
    assert sys.executable in trouble
    assert find_ros_trouble('ValueError: about rclpy') == ''


@pytest.mark.parametrize('given', ['robot', '-1', str(LAST_DOMAIN + 1)])
def test_a_domain_that_is_none_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a node is started, and by the emergency stop too."""
    monkeypatch.setenv('ROS_DOMAIN_ID', given)
    for choose in (choose_domain, choose_domain_of_running_robot):
        with pytest.raises(ConfigError, match=f'from 0 to [0-9]*, got ROS_DOMAIN_ID={given}'):
            choose(None)


def _be_asked_to_end(out: Path, nodes: list[subprocess.Popen[bytes]]) -> None:
    """Run a stack of one process in which this process gets a SIGTERM."""
    (out / 'logs').mkdir()
    with run_stack({}, out, others=()):
        nodes.append(start_process([sys.executable, '-c', WAIT], out / 'logs' / 'operator.log'))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30.0)


def test_what_asks_a_command_to_end_ends_its_stack(tmp_path: Path) -> None:
    """The leader is asked to end too, and can disable what it enabled; a kill would leave it."""
    nodes: list[subprocess.Popen[bytes]] = []
    with pytest.raises(SystemExit) as end:
        _be_asked_to_end(tmp_path, nodes)
    stop_nodes(nodes)
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
