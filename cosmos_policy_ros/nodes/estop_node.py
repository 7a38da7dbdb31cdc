# SPDX-License-Identifier: Apache-2.0
"""Presses and resets the emergency stop as soon as it reads the word, and reports what came of it.

A program that has to find the executor first needs a second or more for it. This one finds it when
it starts and then waits: words come on its standard input, events leave on its standard output,
one JSON object a line, as ``cosmos-policy estop`` writes and reads them. A stop that nobody
confirms is sent again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
import os
import select
import sys
import time
from typing import Any

from cosmos_policy_ros.ros.control_loop import EventsExecutor
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.endpoints import create_client, create_publisher, has_listeners
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import ESTOP, EXECUTOR_STATUS, RESET_ESTOP, STOP
from rclpy.node import Node
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

SPIN_S = 0.01  # [s] between two looks at the standard input
AGAIN_S = 0.05  # [s] between two messages of a stop that nobody has confirmed


@dataclass(frozen=True)
class EstopParams:
    """Parameters of the emergency stop's client."""

    confirm_s: float = param(
        0.3, 'How long an answer may take until it is reported missing [s].', 0.05, 5.0
    )


class EstopNode(Node):
    """Know the executor, and say a word to it at once."""

    def __init__(self) -> None:
        """Open everything that a press needs."""
        super().__init__('estop')
        self.params = declare(self, EstopParams)
        self._stop = create_publisher(self, STOP)
        self._switches = {
            'stop': create_client(self, ESTOP),
            'reset': create_client(self, RESET_ESTOP),
        }
        subscribe_status(self, EXECUTOR_STATUS, ExecutorStatus, self._on_status)
        self._found = False
        self._word = ''  # that waits for an answer
        self._since_s = self._sent_s = 0.0  # when it was read and sent last [s, monotonic]
        self._overdue = False  # whether the answer was reported missing

    def run(self) -> None:
        """Press and reset until the standard input ends."""
        executor, words = EventsExecutor(), b''
        executor.add_node(self)
        _report('started')
        while self.context.ok():
            executor.spin_once(timeout_sec=SPIN_S)
            self._look()
            if select.select([sys.stdin], [], [], 0.0)[0]:
                read = os.read(sys.stdin.fileno(), 4096)
                if not read:
                    return
                *lines, words = (words + read).split(b'\n')
                for line in lines:
                    self._press(line.decode())
            self._insist()

    def _look(self) -> None:
        """Report that the executor was found or is gone."""
        found = has_listeners(self._stop)
        found &= all(client.service_is_ready() for client in self._switches.values())
        if found != self._found:
            self._found = found
            _report('found' if found else 'lost')

    def _press(self, word: str) -> None:
        self._word, self._since_s, self._overdue = word, time.monotonic(), False
        self._send()
        client = self._switches[word]
        if client.service_is_ready():
            answer = client.call_async(Trigger.Request())
            answer.add_done_callback(lambda future: self._on_answer(word, future.result()))

    def _send(self) -> None:
        self._sent_s = time.monotonic()
        if self._word == 'stop':
            self._stop.publish(Empty())

    def _insist(self) -> None:
        """Send an unconfirmed stop again, and report an answer that is missing."""
        now_s = time.monotonic()
        if self._word and now_s - self._sent_s > AGAIN_S:
            self._send()
        if self._word and not self._overdue and now_s - self._since_s > self.params.confirm_s:
            self._overdue = True
            _report('unconfirmed', word=self._word, found=self._found)
            if self._word == 'reset':
                self._word = ''

    def _on_status(self, status: ExecutorStatus) -> None:
        if self._word == 'stop' and status.stopped:
            self._confirm()

    def _on_answer(self, word: str, response: Any) -> None:
        if word == self._word and response.success:
            self._confirm()

    def _confirm(self) -> None:
        _report(self._word, seconds=round(time.monotonic() - self._since_s, 3))
        self._word = ''


def _report(event: str, **details: object) -> None:
    sys.stdout.write(json.dumps({'event': event, **details}) + '\n')
    sys.stdout.flush()


def main() -> None:
    """Run the node until its standard input ends or Ctrl-C."""
    run_node(EstopNode, EstopNode.run)


if __name__ == '__main__':
    main()
