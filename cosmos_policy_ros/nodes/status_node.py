# SPDX-License-Identifier: Apache-2.0
"""The status of a running stack as lines of JSON on the standard output, for a terminal.

It needs no monitor: it reads what the nodes report. It ends with its standard input.
"""

from __future__ import annotations

from dataclasses import dataclass
import time

from cosmos_policy_ros.control.policy_status import severity
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stack_reports import follow_stack
from cosmos_policy_ros.ros.standard_streams import spin_lines, write_object
from cosmos_policy_ros.status import ImaginationStatus, to_values
from cosmos_policy_ros.topics import IMAGINATION
from rclpy.node import Node

LOOK_S = 0.05  # [s] between two looks whether a line is due


@dataclass(frozen=True)
class StatusParams:
    """Parameters of the status node."""

    report_hz: float = param(5.0, 'Lines per second [Hz].', 0.1, 50.0)


class StatusNode(Node):
    """Follow the stack and write its status."""

    def __init__(self) -> None:
        """Subscribe."""
        super().__init__('status')
        self.params = declare(self, StatusParams)
        self._reports = follow_stack(self)
        subscribe_status(self, IMAGINATION, ImaginationStatus, self._on_imagination)

    def _on_imagination(self, status: ImaginationStatus) -> None:
        self._reports.note(status, time.monotonic())

    def run(self) -> None:
        """Write a line at a steady rate until the standard input ends."""
        next_s = time.monotonic()
        for _ in spin_lines(self, LOOK_S):
            if time.monotonic() >= next_s:
                next_s += 1.0 / self.params.report_hz
                status = self._reports.summarize(time.monotonic())
                write_object({'level': severity(status), 'values': to_values(status)})


def main() -> None:
    """Run the node until its standard input ends or Ctrl-C."""
    run_node(StatusNode, StatusNode.run)


if __name__ == '__main__':
    main()
