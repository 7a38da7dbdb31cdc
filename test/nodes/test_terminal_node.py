# SPDX-License-Identifier: Apache-2.0
"""A node that a command runs in its terminal ends with the command."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import subprocess
import sys

import pytest

pytest.importorskip('rclpy')

from ros_domains import wait_for

CODE = """
from cosmos_policy_ros.stack.node_list import VISUALIZER
from cosmos_policy_ros.stack.processes import run_in_terminal
run_in_terminal(VISUALIZER, {})
"""


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_node_in_the_terminal_ends_with_its_command(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Whoever signals the command alone, as a service manager does, means its node too."""
    log = tmp_path / 'log'
    with log.open('wb') as output:
        command = subprocess.Popen(
            [sys.executable, '-c', CODE], stderr=output, start_new_session=True
        )
    try:
        wait_for(lambda: 'drawing the scene' in log.read_text(encoding='utf-8'), 60.0)
        command.send_signal(number)
        command.wait(20.0)
        wait_for(lambda: not _runs(command.pid), 20.0)
    finally:
        if _runs(command.pid):
            os.killpg(command.pid, signal.SIGKILL)


def _runs(group: int) -> bool:
    """Whether a process of a group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
