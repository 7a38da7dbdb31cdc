# SPDX-License-Identifier: Apache-2.0
"""Processes end when they are told to, and with the one that started them."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

from cosmos_policy_ros.stack import processes
from cosmos_policy_ros.stack.node_list import ESTOP
from cosmos_policy_ros.stack.processes import open_node, start_process, stop_nodes
import pytest

SLEEP = 'import time; time.sleep(60)'
TELL_AND_SLEEP = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'
IGNORE_AND_SLEEP = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, '-c', {TELL_AND_SLEEP!r}])
time.sleep(60)
"""


def test_stopping_ends_a_process_that_listens(tmp_path: Path) -> None:
    """A well-behaved process is gone at once."""
    process = start_process([sys.executable, '-c', SLEEP], tmp_path / 'log')
    start = time.monotonic()
    stop_nodes([process], patience_s=10.0)
    assert process.returncode is not None
    assert time.monotonic() - start < 5.0


def test_ros_logs_beside_the_output_where_the_home_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes would not start: ROS makes ~/.ros/log first."""
    monkeypatch.delenv('ROS_LOG_DIR', raising=False)
    monkeypatch.delenv('ROS_HOME', raising=False)
    tell = [sys.executable, '-c', 'import os; print(os.environ.get("ROS_LOG_DIR"))']
    monkeypatch.setenv('HOME', '/proc')
    start_process(tell, tmp_path / 'log').wait(20)
    assert (tmp_path / 'log').read_text(encoding='utf-8').strip() == str(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    start_process(tell, tmp_path / 'other').wait(20)
    assert (tmp_path / 'other').read_text(encoding='utf-8').strip() == 'None'


@pytest.mark.parametrize(('name', 'value'), [('HOME', ''), ('ROS_LOG_DIR', '/proc/x')])
def test_ros_logs_elsewhere_where_its_own_folder_is_none(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service has no HOME, and ROS does not ask the system for it."""
    monkeypatch.delenv('ROS_LOG_DIR', raising=False)
    monkeypatch.delenv('ROS_HOME', raising=False)
    monkeypatch.setenv(name, value)
    tell = [sys.executable, '-c', 'import os; print(os.environ.get("ROS_LOG_DIR"))']
    start_process(tell, tmp_path / 'log').wait(20)
    assert (tmp_path / 'log').read_text(encoding='utf-8').strip() == str(tmp_path)


def test_a_node_of_a_terminal_starts_where_the_home_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emergency stop is one of them."""
    monkeypatch.delenv('ROS_LOG_DIR', raising=False)
    monkeypatch.delenv('ROS_HOME', raising=False)
    monkeypatch.setenv('HOME', '/proc')
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    monkeypatch.setattr(tempfile, 'tempdir', None)
    code = 'import os; print(os.environ["ROS_LOG_DIR"], flush=True)'
    monkeypatch.setattr(processes, 'node_command', lambda *_: [sys.executable, '-c', code])
    with open_node(ESTOP, {}) as node:
        assert node.stdout is not None
        assert node.stdout.read() == f'{tmp_path}\n'.encode()


def test_stopping_kills_a_process_that_does_not_listen(tmp_path: Path) -> None:
    """A process that ignores the request is killed with all it started."""
    log = tmp_path / 'log'
    process = start_process([sys.executable, '-c', IGNORE_AND_SLEEP], log)
    child = int(_wait_for_text(log))
    stop_nodes([process], patience_s=0.2)
    _wait_until_gone(child)


def test_a_killed_parent_leaves_no_process_behind(tmp_path: Path) -> None:
    """Even without a chance to clean up, nothing stays."""
    log = tmp_path / 'log'
    code = f"""
import pathlib, sys, time
from cosmos_policy_ros.stack.processes import start_process
start_process([sys.executable, '-c', {TELL_AND_SLEEP!r}], pathlib.Path({str(log)!r}))
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, '-c', code]) as parent:
        child = int(_wait_for_text(log))
        parent.kill()
    _wait_until_gone(child)


def _wait_for_text(path: Path, timeout_s: float = 20.0) -> str:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if path.exists() and path.read_text(encoding='utf-8').endswith('\n'):
            return path.read_text(encoding='utf-8')
        time.sleep(0.02)
    raise TimeoutError(path)


def _wait_until_gone(pid: int, timeout_s: float = 10.0) -> None:
    """Wait until a process has ended; one that nobody has waited for yet has ended too."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if ') Z' in Path(f'/proc/{pid}/stat').read_text(encoding='utf-8'):
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.02)
    msg = f'process {pid} still runs'
    raise TimeoutError(msg)
