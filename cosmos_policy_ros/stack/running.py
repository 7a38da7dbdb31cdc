# SPDX-License-Identifier: Apache-2.0
"""A running stack: its processes started in order, watched, and gone however it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
import logging
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time
from types import FrameType

from cosmos_policy_ros.event_log import Event, FILE_NAME, read_events
from cosmos_policy_ros.stack.node_list import (
    INFERENCE,
    MISTAKE,
    nodes_to_start,
    NodeSpec,
    OPERATOR,
    SIM_STACK,
    Value,
)
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
from cosmos_policy_ros.types import ConfigError

logger = logging.getLogger(__name__)

POLL_S = 0.1  # [s] between two checks of the processes
ENDING = signal.SIGTERM, signal.SIGHUP  # what asks a command to end, as of a terminal that closes
LINES = 12  # last lines of a crashed node's output that are shown


class RunningStack:
    """The processes of a stack and what its leader reports, in one folder.

    The leader is the node that decides what happens and when all is over, such as the operator
    of a demo. It appends events to ``events.jsonl``, one JSON object a line with its kind under
    ``event``.

    Attributes:
        events: Events of the leader so far, in order.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        out: Path,
        leader: NodeSpec = OPERATOR,
        others: Iterable[NodeSpec] = SIM_STACK,
    ) -> None:
        """Start nothing yet.

        Args:
            values: Arguments of the nodes, see ``node_list.ARGUMENTS``.
            out: Folder for events and for the nodes' output in ``logs/``, which exists; the
                nodes' ``out`` where ``values`` names no other.
            leader: Node that writes the events; all is over when it ends.
            others: Nodes that it needs, started once it found the domain free.
        """
        self.events: list[Event] = []
        self._values = {'out': str(out), **values}
        self._leader, self._others = leader, nodes_to_start(others, self._values)
        self._out = out
        self._events = out / FILE_NAME
        # bytes of the events; an earlier run may have left some
        self._read = self._events.stat().st_size if self._events.exists() else 0
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._spared: set[str] = set()  # nodes that ended and are not missed

    def follow(self) -> Iterator[Event]:
        """Run the nodes and yield the leader's events while they happen.

        The leader starts first and makes sure that the domain is free: nodes of a second stack
        would exchange messages with the first before they notice it.

        Raises:
            ConfigError: A node ended because of something a user can change, or the leader gave
                up.
            ChildProcessError: A node crashed; the message has its last lines.
        """
        self._start(self._leader)
        while True:
            finished = self._processes[self._leader.name].poll() == 0  # before its last events
            for event in self._read_events():
                if event['event'] == 'clear':
                    for spec in self._others:
                        self._start(spec)
                yield event
            if finished:
                return
            self._raise_if_ended()
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End all processes; a second Ctrl-C does not interrupt it."""
        numbers = (signal.SIGINT, *ENDING)
        before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
        try:
            stop_nodes(self._processes.values())
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self, spec: NodeSpec) -> None:
        self._processes[spec.name] = start_node(spec, self._values, self._log(spec.name))

    def _log(self, name: str) -> Path:
        return self._out / 'logs' / f'{name}.log'

    def _raise_if_ended(self) -> None:
        for name, process in self._processes.items():
            status = process.poll()
            finished = name == self._leader.name and status == 0
            if status is None or finished or name in self._spared:
                continue
            error = explain_end(name, status, self._log(name))
            if isinstance(error, ConfigError) or not self._can_spare(name):
                raise error
            self._spared.add(name)
            logger.warning('%s\ngoing on with the other inference nodes', error)

    def _can_spare(self, name: str) -> bool:
        """Whether a node is one of several inference nodes of which another still runs."""
        alike = [s.name for s in self._others if s.section == INFERENCE.section]
        return name in alike and any(self._processes[n].poll() is None for n in alike)

    def _read_events(self) -> list[Event]:
        """Return the whole lines that were added to the events."""
        added, self._read = read_events(self._events, self._read)
        self.events += added
        return added


@contextmanager
def run_stack(
    values: Mapping[str, Value],
    out: Path,
    leader: NodeSpec = OPERATOR,
    others: Iterable[NodeSpec] = SIM_STACK,
) -> Iterator[RunningStack]:
    """Yield a stack whose processes are gone at the end of the block.

    What asks this process to end ends the block, so that the leader can disable what it enabled.

    Args:
        values: Arguments of the nodes, see ``node_list.ARGUMENTS``.
        out: Folder with a folder ``logs/``, for events and output.
        leader: Node that writes the events; all is over when it ends.
        others: Nodes that it needs.
    """
    stack = RunningStack(values, out, leader, others)
    with _ended_by_signals():
        try:
            yield stack
        finally:
            stack.stop()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, unless they mean something else."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    mine = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]
    for number in mine:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def explain_end(name: str, status: int, log: Path) -> ConfigError | ChildProcessError:
    """Return why a node ended: the error it logged, or its last lines when it crashed.

    Args:
        name: The node.
        status: Its exit status.
        log: Its output.
    """
    lines = log.read_text(encoding='utf-8', errors='replace').strip().splitlines()
    logged = [re.fullmatch(r'\[(?:ERROR|FATAL)\] \[[^]]*\] \[[^]]*\]: (.*)', x) for x in lines]
    if status in (1, MISTAKE) and lines and (match := logged[-1]):
        return ConfigError(f'{name}: {match[1]}')
    if trouble := find_ros_trouble('\n'.join(lines[-LINES:])):
        return ConfigError(f'{name}: {trouble}')
    last = '\n'.join(lines[-LINES:])
    return ChildProcessError(f'{name} ended with status {status}; its last lines:\n{last}')


def find_ros_trouble(output: str) -> str:
    """Return what is wrong with the ROS 2 that a node met, empty where it is something else.

    Args:
        output: Last lines of the node.
    """
    middleware = os.environ.get('RMW_IMPLEMENTATION')
    if middleware and re.search(r'rmw_implementation|RMW implementation', output):
        package = middleware.replace('_', '-')
        return (
            f'RMW_IMPLEMENTATION is {middleware}, which is not installed in this ROS 2; unset it, '
            f'or install it (apt-get install ros-{os.environ.get("ROS_DISTRO", "<distro>")}-'
            f'{package})'
        )
    if library := re.search(r'^ImportError: (\S+\.so\S*): cannot open', output, re.MULTILINE):
        return (
            f'{library[1]} of ROS 2 is not found; source its setup.bash in this shell: sudo and '
            'services lose the LD_LIBRARY_PATH that it sets'
        )
    if re.search(r'^(ModuleNotFound|Import)Error: .*rclpy', output, re.MULTILINE):
        spec = find_spec('rclpy')
        version = '.'.join(map(str, sys.version_info[:2]))
        if spec is None:
            return f'there is no rclpy for {sys.executable}; source ROS 2, or run make setup'
        return (
            f'the rclpy in {Path(str(spec.origin)).parent} is not made for Python {version} '
            f'({sys.executable}); unset PYTHONPATH, or use the Python of that ROS 2'
        )
    return ''
