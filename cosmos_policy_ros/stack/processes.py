# SPDX-License-Identifier: Apache-2.0
"""How processes of the stack start and end: none outlives the one that started it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
import ctypes
import os
from pathlib import Path
import signal
import subprocess
import tempfile
import time

from cosmos_policy_ros.resources import ros_logs
from cosmos_policy_ros.stack.node_list import environment, node_command, NodeSpec, Value


def start_node(spec: NodeSpec, values: Mapping[str, Value], log: Path) -> subprocess.Popen[bytes]:
    """Start a node as ``start_process`` does.

    Args:
        spec: The node.
        values: As for ``node_command``.
        log: File that its output is appended to.

    Raises:
        KeyError: An argument does not exist.
    """
    return start_process(node_command(spec, values), log)


def open_node(spec: NodeSpec, values: Mapping[str, Value]) -> subprocess.Popen[bytes]:
    """Start a node that is talked to over pipes, see ``node_pipe.py``, as ``start_process`` does.

    Args:
        spec: The node.
        values: As for ``node_command``.

    Raises:
        KeyError: An argument does not exist.
    """
    return subprocess.Popen(
        node_command(spec, values),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(Path(tempfile.gettempdir())),
        start_new_session=True,
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one system call, takes no lock
    )


def run_in_terminal(spec: NodeSpec, values: Mapping[str, Value]) -> int:
    """Run a node in the terminal of this process until it ends, and return its exit status.

    It dies with this process, and an interrupt of this process alone is passed on to it.

    Args:
        spec: The node.
        values: As for ``node_command``.

    Raises:
        KeyError: An argument does not exist.
    """
    process = subprocess.Popen(
        node_command(spec, values),
        env=_environment(Path(tempfile.gettempdir())),
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one system call, takes no lock
    )
    try:
        return process.wait()
    except KeyboardInterrupt:  # by Ctrl-C the node has got it too, and minds no second one
        process.send_signal(signal.SIGINT)
        return process.wait()


def start_process(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process of the stack in a process group of its own, which dies with this process.

    Call it from the main thread: the kernel ends the process when the thread that started it ends.

    Args:
        command: Command line.
        log: File that its output is appended to.
    """
    with log.open('ab') as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(log.parent),
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop the others
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one system call, takes no lock
        )


def stop_nodes(processes: Iterable[subprocess.Popen[bytes]], patience_s: float = 5.0) -> None:
    """Terminate processes, and kill those that are still there after ``patience_s``."""
    running = [p for p in processes if p.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + patience_s
    while any(p.poll() is None for p in running) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def can_log() -> bool:
    """Return whether ROS can write to its folder of logs, which is made where it is missing."""
    folder = ros_logs()
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            return os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        pass
    return False


# Of the lines in which the nodes of a command say why they ended, whatever a user likes to read.
LOG_FORMAT = {
    'RCUTILS_CONSOLE_OUTPUT_FORMAT': '[{severity}] [{time}] [{name}]: {message}',
    'RCUTILS_COLORIZED_OUTPUT': '0',
}


def _environment(logs: Path) -> dict[str, str]:
    """Return the environment of a process of the stack.

    Args:
        logs: Where ROS logs to if it cannot to its own folder: nodes would not start.
    """
    place = {} if can_log() else {'ROS_LOG_DIR': str(logs)}
    return os.environ | environment() | LOG_FORMAT | place


def _die_with_parent() -> Callable[[], None]:
    """Return a function that a child calls so that not even a killed parent leaves it behind.

    Nor does it inherit real-time scheduling: each node asks for its own.
    """
    libc = ctypes.CDLL(None)  # loaded before the fork
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG

    def set_signal() -> None:
        libc.prctl(set_parent_death_signal, signal.SIGKILL)
        if os.sched_getscheduler(0) == os.SCHED_FIFO:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    return set_signal
