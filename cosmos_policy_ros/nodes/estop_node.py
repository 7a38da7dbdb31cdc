# SPDX-License-Identifier: Apache-2.0
"""Presses and resets the emergency stop as soon as it reads the word, and reports what came of it.

Words come on its standard input, events leave on its standard output, one JSON object a line, as
``cosmos-policy estop`` writes and reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
import os
import select
import sys

from cosmos_policy_ros.ros.control_loop import EventsExecutor
from cosmos_policy_ros.ros.emergency_stop import EmergencyStop
from cosmos_policy_ros.ros.params import declare, param, run_node
from rclpy.node import Node

SPIN_S = 0.01  # [s] between two looks at the standard input


@dataclass(frozen=True)
class EstopParams:
    """Parameters of the emergency stop's client."""

    confirm_s: float = param(
        0.3, 'How long an answer may take until it is reported missing [s].', 0.05, 5.0
    )


class EstopNode(Node):
    """Read a word, and press."""

    def __init__(self) -> None:
        """Open everything that a press needs."""
        super().__init__('estop')
        self.params = declare(self, EstopParams)
        self._stop = EmergencyStop(self, self.params.confirm_s, _report)

    def run(self) -> None:
        """Press and reset until the standard input ends."""
        executor, words = EventsExecutor(), b''
        executor.add_node(self)
        _report('started')
        while self.context.ok():
            executor.spin_once(timeout_sec=SPIN_S)
            self._stop.update()
            if select.select([sys.stdin], [], [], 0.0)[0]:
                read = os.read(sys.stdin.fileno(), 4096)
                if not read:
                    return
                *lines, words = (words + read).split(b'\n')
                for line in lines:
                    self._stop.press(line.decode())


def _report(event: str, **details: object) -> None:
    sys.stdout.write(json.dumps({'event': event, **details}) + '\n')
    sys.stdout.flush()


def main() -> None:
    """Run the node until its standard input ends or Ctrl-C."""
    run_node(EstopNode, EstopNode.run)


if __name__ == '__main__':
    main()
