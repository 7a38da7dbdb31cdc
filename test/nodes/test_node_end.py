# SPDX-License-Identifier: Apache-2.0
"""Nodes end quietly and with status 0, however often they are asked to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.node_list import (
    EXECUTOR,
    INFERENCE,
    node_command,
    NodeSpec,
    PLANNER,
    RECORDER,
    SIM,
)
from cosmos_policy_ros.stack.processes import start_node
from cosmos_policy_ros.stack.running import explain_end
from cosmos_policy_ros.types import ConfigError
from ros_domains import wait_for
from tiny import save_tiny_checkpoint

pytestmark = [pytest.mark.patient, pytest.mark.usefixtures('domain')]
READY = {
    SIM: 'simulating',
    INFERENCE: 'answering with',
    PLANNER: 'once activated',
    EXECUTOR: 'once enabled',
    RECORDER: 'ready; episodes',
}

INTERRUPTED = """
import os, signal, time
from cosmos_policy_ros.ros.params import run_node
from rclpy.event_handler import EventHandler
from rclpy.node import Node
from std_msgs.msg import String

class Interrupted(Node):
    def __init__(self):
        super().__init__('interrupted')
        self.create_subscription(String, 'heard', print, 1)
        self.create_publisher(String, 'said', 1)

def get_num_entities(self):
    asked.append(self)
    if len(asked) == 3:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)  # in which rclpy ends the context, where nothing holds it back
    return original(self)

asked, original = [], EventHandler.get_num_entities
EventHandler.get_num_entities = get_num_entities
run_node(Interrupted)
print(f'{len(asked)} registered')
"""


LOGS = """
import logging
from cosmos_policy_ros.ros.params import run_node
from rclpy.node import Node

def build():
    log = logging.getLogger('cosmos_policy_ros.backends')
    for take in (log.info, log.warning, log.info):
        take('networks are exported once')
    return Node('logs')

run_node(build, spin=lambda node: None)
"""


def end(spec: NodeSpec, folder: Path, how: Sequence[signal.Signals]) -> tuple[int, str]:
    """Start a node, send it signals once it is ready, and return its status and its output."""
    save_tiny_checkpoint(folder / 'tiny', read_robot(robot_file('aloha_sim')))
    values = {'checkpoint': str(folder / 'tiny'), 'out': str(folder / 'bags')}
    log = folder / 'log'
    with log.open('wb') as output:
        process = subprocess.Popen(
            node_command(spec, values), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            wait_for(lambda: READY[spec] in log.read_text() or process.poll() is not None)
            for number in how:
                process.send_signal(number)
                time.sleep(0.01)
            status = process.wait(60)
        finally:
            process.kill()
    return status, log.read_text()


@pytest.mark.parametrize('spec', READY, ids=lambda spec: spec.name)
def test_a_second_ctrl_c_does_not_disturb_the_end(spec: NodeSpec, tmp_path: Path) -> None:
    """An impatient person, or a terminal and launch at once; then launch loses its patience."""
    how = (signal.SIGINT, signal.SIGINT, signal.SIGINT, signal.SIGTERM)
    status, text = end(spec, tmp_path, how)
    assert status == 0, text
    assert 'Traceback' not in text
    assert 'terminate called' not in text
    assert 'context is invalid' not in text


def test_sigterm_is_a_quiet_end(tmp_path: Path) -> None:
    """As from systemd, which then sends it to all processes of a service."""
    status, text = end(EXECUTOR, tmp_path, (signal.SIGTERM, signal.SIGTERM))
    assert status == 0, text
    assert 'Traceback' not in text


def test_a_signal_while_callbacks_are_registered_is_a_quiet_end() -> None:
    """Rclpy would end the context from another thread in the midst of it, and abort at the end."""
    command = [sys.executable, '-c', INTERRUPTED]
    process = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert process.returncode == 0, process.stderr.decode()
    assert int(process.stdout.split()[0]) > 3


def test_what_parts_without_ros_log_is_in_the_log_of_ros() -> None:
    """A first start that exports networks for a minute would seem to hang."""
    done = subprocess.run([sys.executable, '-c', LOGS], capture_output=True, text=True, check=True)
    lines = [line.split(' [', 1)[0] for line in done.stderr.splitlines() if 'exported' in line]
    assert lines == ['[INFO]', '[WARN]', '[INFO]']


def test_a_mistake_is_understood_however_a_user_likes_his_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command reads them to tell a mistake from a crash."""
    monkeypatch.setenv('RCUTILS_CONSOLE_OUTPUT_FORMAT', '{message}')
    monkeypatch.setenv('RCUTILS_COLORIZED_OUTPUT', '1')
    log = tmp_path / 'log'
    process = start_node(EXECUTOR, {'robot': 'none_such'}, log)
    error = explain_end('command_executor', process.wait(60), log)
    assert isinstance(error, ConfigError), error
    assert 'none_such' in str(error)
