# SPDX-License-Identifier: Apache-2.0
"""A node that a terminal talks to: lines go to its standard input, JSON objects come back.

It is started once, finds the stack and stays, so that a key that is pressed needs no search. The
other end is ``ros/standard_streams.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
import json
import os
import select
import subprocess
from typing import Any

from cosmos_policy_ros.stack.node_list import NodeSpec, Value
from cosmos_policy_ros.stack.processes import open_node, stop_nodes
from cosmos_policy_ros.types import ConfigError

PATIENCE_S = 3.0  # [s] for a node to end with its input; one that is just starting takes a while


class NodePipe:
    """A node as a process, and a line at a time in either direction; ``select`` takes it."""

    def __init__(self, spec: NodeSpec, values: Mapping[str, Value]) -> None:
        """Start the node.

        Args:
            spec: The node.
            values: As for ``node_command``.
        """
        self._name, self._process = spec.name, open_node(spec, values)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._begun = b''  # a line that is still being written

    def fileno(self) -> int:
        """Return the descriptor that can be read once the node has written something."""
        return self._output.fileno()

    def write(self, *lines: str) -> None:
        """Send lines to the node.

        Raises:
            ConfigError: It has ended.
        """
        try:
            self._input.write(''.join(f'{line}\n' for line in lines).encode())
            self._input.flush()
        except BrokenPipeError as error:
            raise self._explain() from error

    def read(self, timeout_s: float) -> list[dict[str, Any]]:
        """Return the objects that the node has written, after no more than a time.

        Args:
            timeout_s: How long to wait for something [s].

        Raises:
            ConfigError: It has ended.
        """
        if not select.select([self], [], [], timeout_s)[0]:
            return []
        added = os.read(self.fileno(), 65536)
        if not added:
            raise self._explain()
        *lines, self._begun = (self._begun + added).split(b'\n')
        return [json.loads(line) for line in lines if line.startswith(b'{')]

    def close(self) -> None:
        """End the node by its input, so that it first does what it was told."""
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            self._input.close()
            self._process.wait(PATIENCE_S)
        stop_nodes([self._process])

    def _explain(self) -> ConfigError:
        """Return that the node has ended, and with what; its output stands in the terminal."""
        status = self._process.wait()
        ended = f'the node {self._name} ended with status {status}'
        return ConfigError(f'{ended}; see above, and what cosmos-policy doctor says')


@contextmanager
def open_pipe(spec: NodeSpec, values: Mapping[str, Value]) -> Iterator[NodePipe]:
    """Yield a node to talk to, which is gone at the end of the block.

    Args:
        spec: The node.
        values: As for ``node_command``.
    """
    pipe = NodePipe(spec, values)
    try:
        yield pipe
    finally:
        pipe.close()
