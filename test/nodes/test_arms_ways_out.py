# SPDX-License-Identifier: Apache-2.0
"""Arms moved by name beside an executor that runs, which is disabled again however that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
import signal
import subprocess
import sys

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.stack.node_list import EXECUTOR, node_command, SIM
from cosmos_policy_ros.stack.processes import start_process, stop_nodes
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import EXECUTOR_STATUS
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from ros_domains import ros_domain

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
COMMAND = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()', 'arms']
JOG = ('jog', '--joint', 'follower_left/waist', '--step', '0.4', '--joint-speed', '0.1')
LONG_S = 120.0  # a process may take to start where others use the processor


class Lab(ThreadedBench):
    """A simulated robot and its executor, which looks at no camera, as processes."""

    def __init__(self, out: Path) -> None:
        """Start them."""
        rclpy.init()
        self.node, self.out = Node('lab'), out
        self.status: ExecutorStatus | None = None
        subscribe_status(self.node, EXECUTOR_STATUS, ExecutorStatus, self._on_status)
        super().__init__(self.node)
        self.sim = start_process(node_command(SIM, {}), out / 'sim.log')
        given = ('-p', 'max_image_age_s:=0.0', '-p', 'max_joint_age_s:=0.3')
        self.executor = start_process([*node_command(EXECUTOR, {}), *given], out / 'executor.log')
        self.wait(lambda: self.status is not None and self.status.joint_age_s < 0.1, LONG_S)

    def _on_status(self, status: ExecutorStatus) -> None:
        self.status = status

    def is_in(self, state: str) -> bool:
        """Whether the executor has reported a state last."""
        return self.status is not None and self.status.state == state

    def stop(self) -> None:
        """End everything."""
        stop_nodes([self.executor, self.sim])
        self.close()


@pytest.fixture(scope='module')
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Return a lab whose executor is disabled."""
    with ros_domain():
        lab = Lab(tmp_path_factory.mktemp('lab'))
        yield lab
        lab.stop()


def interrupt(lab: Lab, command: subprocess.Popen[str]) -> None:
    """Press Ctrl-C."""
    command.send_signal(signal.SIGINT)


def terminate(lab: Lab, command: subprocess.Popen[str]) -> None:
    """Ask the command to end, as a system that shuts down."""
    command.send_signal(signal.SIGTERM)


def go_silent(lab: Lab, command: subprocess.Popen[str]) -> None:
    """Let no joint states come any more, so that the executor holds."""
    lab.sim.send_signal(signal.SIGSTOP)
    command.wait(LONG_S)
    lab.sim.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ('end', 'status', 'told'),
    [
        (interrupt, 130, 'cosmos-policy: interrupted'),
        (terminate, 143, ''),
        (go_silent, 1, 'the executor does not play at'),
    ],
)
def test_an_executor_that_ran_is_disabled_again(
    lab: Lab,
    tmp_path: Path,
    end: Callable[[Lab, subprocess.Popen[str]], None],
    status: int,
    told: str,
) -> None:
    """As it was found: nobody beside the arms shall take them for harmless while they are not."""
    assert lab.is_in('disabled')
    words = [*COMMAND, *JOG, '--robot', str(ROBOT_FILE), '--yes', '--out', str(tmp_path / 'out')]
    command = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        lab.wait(lambda: lab.status is not None and lab.status.mode == 'playing', LONG_S)
        end(lab, command)
        _, errors = command.communicate(timeout=LONG_S)
    finally:
        command.kill()
    lab.wait(lambda: lab.is_in('disabled'), 10.0)
    assert command.returncode == status
    assert told in errors
    log = (tmp_path / 'out' / 'logs' / 'arms.log').read_text(encoding='utf-8')
    assert 'motion is disabled again' in log
