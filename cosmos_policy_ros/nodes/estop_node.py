# SPDX-License-Identifier: Apache-2.0
"""Presses and resets the emergency stop as soon as it reads the word, and reports what came of it.

Words come on its standard input, events leave on its standard output, one JSON object a line, as
``cosmos-policy estop`` writes and reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.ros.emergency_stop import EmergencyStop
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.standard_streams import spin_lines, write_object
from rclpy.node import Node


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
        _report('started')
        for words in spin_lines(self):
            self._stop.update()
            for word in words:
                self._stop.press(word)


def _report(event: str, **details: object) -> None:
    write_object({'event': event, **details})


def main() -> None:
    """Run the node until its standard input ends or Ctrl-C."""
    run_node(EstopNode, EstopNode.run)


if __name__ == '__main__':
    main()
