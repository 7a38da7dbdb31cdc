# SPDX-License-Identifier: Apache-2.0
"""A stack under the keys of a terminal, as a person uses it."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import pty
import select
import subprocess
import sys
import time

import pytest

pytest.importorskip('rclpy')

from command_line import refused
from cosmos_policy_ros.stack.node_list import EXECUTOR
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
from ros_domains import ros_domain, wait_for

COMMAND = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()', 'operate']
COMMAND += ['--namespace', 'robot1']
LONG_S = 60.0  # a process may take to start where others use the processor


class Terminal:
    """The command in a terminal."""

    def __init__(self) -> None:
        """Start it."""
        self._person, terminal = pty.openpty()
        environment = os.environ | {'COLUMNS': '120', 'TERM': 'xterm'}
        self.process = subprocess.Popen(
            COMMAND, stdin=terminal, stdout=terminal, stderr=terminal, env=environment
        )
        os.close(terminal)
        self._seen = ''

    def press(self, key: str) -> None:
        """Press a key; what was seen until now is forgotten."""
        self._seen = ''
        os.write(self._person, key.encode())

    def wait_to_see(self, text: str) -> None:
        """Wait until a text is shown."""
        end_s = time.monotonic() + LONG_S
        while text not in self._seen:
            assert time.monotonic() < end_s, self._seen[-2000:]
            if select.select([self._person], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # the terminal's other end is gone
                    self._seen += os.read(self._person, 65536).decode(errors='replace')


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """Give the command in a terminal, at an executor without arms in a namespace."""
    log = tmp_path / 'executor.log'
    with ros_domain():
        executor = start_node(EXECUTOR, {'namespace': 'robot1'}, log)
        wait_for(lambda: log.exists() and b'disabled;' in log.read_bytes(), LONG_S)
        terminal = Terminal()
        yield terminal
        stop_nodes([terminal.process, executor])


def test_keys_stop_and_say_what_is_in_their_way(terminal: Terminal) -> None:
    """Escape is the stop, also with q; an arrow is none; q alone leaves."""
    terminal.wait_to_see('WAITING')
    terminal.press(' ')
    terminal.wait_to_see('Start: no planner reports')
    terminal.press('\x1b[C')
    terminal.wait_to_see('Record next: no recorder reports')
    terminal.press('\x1b[A')  # another arrow, which does nothing
    terminal.press('\x1bq')
    terminal.wait_to_see('STOPPED, confirmed after')
    terminal.press('E')
    terminal.wait_to_see('Enable: the emergency stop is latched; reset it first')
    terminal.press('q')
    assert terminal.process.wait(timeout=LONG_S) == 0


def test_without_a_terminal_it_says_what_to_do() -> None:
    """A script has no keys."""
    assert refused('operate') == (
        'cosmos-policy: no terminal to take keys from; cosmos-policy status looks without one'
    )
