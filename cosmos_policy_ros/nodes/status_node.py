# SPDX-License-Identifier: Apache-2.0
"""The status of a running stack as lines of JSON on the standard output, for a terminal.

It needs no monitor: it reads what the nodes report. It ends with its standard input.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
import select
import sys
import time

from cosmos_policy_ros.control.policy_status import severity
from cosmos_policy_ros.ros.control_loop import EventsExecutor
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stack_reports import follow_stack
from cosmos_policy_ros.status import ImaginationStatus, to_values
from cosmos_policy_ros.topics import IMAGINATION
from rclpy.node import Node


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
        executor = EventsExecutor()
        executor.add_node(self)
        period_s = 1.0 / self.params.report_hz
        next_s = time.monotonic()
        while self.context.ok() and not select.select([sys.stdin], [], [], 0.0)[0]:
            executor.spin_once(timeout_sec=max(next_s - time.monotonic(), 0.0))
            if time.monotonic() >= next_s:
                next_s += period_s
                status = self._reports.summarize(time.monotonic())
                line = {'level': severity(status), 'values': to_values(status)}
                sys.stdout.write(json.dumps(line) + '\n')
                sys.stdout.flush()


def main() -> None:
    """Run the node until its standard input ends or Ctrl-C."""
    run_node(StatusNode, StatusNode.run)


if __name__ == '__main__':
    main()
