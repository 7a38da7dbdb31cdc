# SPDX-License-Identifier: Apache-2.0
"""The emergency stop of a running executor, pressed and reset from a node that stays.

A node that has to find the executor first needs a second or more for it. This one finds it when it
starts. A stop that nobody confirms is sent again and again.
"""

from __future__ import annotations

from collections.abc import Callable
import time

from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.endpoints import create_client, create_publisher, has_listeners
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import ESTOP, EXECUTOR_STATUS, RESET_ESTOP, STOP
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

AGAIN_S = 0.05  # [s] between two messages of a stop that nobody has confirmed
LOOK_S = 0.1  # [s] between two looks for the executor, which cost some 0.2 ms


class EmergencyStop:
    """Knows the executor, and gives it a word at once."""

    def __init__(self, node: Node, confirm_s: float, report: Callable[..., None]) -> None:
        """Open everything that a press needs.

        Args:
            node: Node that presses.
            confirm_s: How long an answer may take until it is reported missing [s].
            report: Called with what happens and its details by name: ``found`` and ``lost`` of
                the executor, ``stop`` and ``reset`` that it confirmed within ``seconds``,
                ``refused`` with the ``reason`` why it does not reset, and ``unconfirmed`` with
                the ``word`` and whether an executor was ``found``. An answer to the last
                press that comes after that is reported all the same: it says how things stand.
        """
        self._confirm_s, self._report = confirm_s, report
        self._stop = create_publisher(node, STOP)
        self._switches = {
            'stop': create_client(node, ESTOP),
            'reset': create_client(node, RESET_ESTOP),
        }
        subscribe_status(node, EXECUTOR_STATUS, ExecutorStatus, self._on_status)
        self._found, self._looked_s = False, 0.0
        self._word = ''  # that waits for an answer
        self._answer: Future | None = None  # to the last press
        self._since_s = self._sent_s = 0.0  # when it was pressed and sent last [s, monotonic]
        self._overdue = False  # whether the answer was reported missing

    def press(self, word: str) -> None:
        """Send ``stop`` or ``reset``."""
        self._word, self._since_s, self._overdue = word, time.monotonic(), False
        self._send()
        client, self._answer = self._switches[word], None
        if client.service_is_ready():
            self._answer = client.call_async(Trigger.Request())
            self._answer.add_done_callback(lambda future: self._on_answer(word, future))

    def publish_stop(self) -> None:
        """Send one stop, from any thread, whatever else is going on."""
        self._stop.publish(Empty())

    def update(self) -> None:
        """Look for the executor, and send an unconfirmed stop again; call it often."""
        now_s = time.monotonic()
        if now_s - self._looked_s > LOOK_S:
            self._look(now_s)
        if self._word and now_s - self._sent_s > AGAIN_S:
            self._send()
        if self._word and not self._overdue and now_s - self._since_s > self._confirm_s:
            self._overdue = True
            self._report('unconfirmed', word=self._word, found=self._found)

    def _look(self, now_s: float) -> None:
        """Report that the executor was found or is gone."""
        self._looked_s = now_s
        found = has_listeners(self._stop)
        found &= all(client.service_is_ready() for client in self._switches.values())
        if found != self._found:
            self._found = found
            self._report('found' if found else 'lost')

    def _send(self) -> None:
        self._sent_s = time.monotonic()
        if self._word == 'stop':
            self.publish_stop()

    def _on_status(self, status: ExecutorStatus) -> None:
        if self._word == 'stop' and status.stopped:
            self._confirm()

    def _on_answer(self, word: str, answer: Future) -> None:
        if word != self._word or answer is not self._answer:
            return  # another word was given since, or the same once more
        response = answer.result()
        if response.success:
            self._confirm()
        elif word == 'reset':
            self._word = ''
            self._report('refused', reason=response.message)

    def _confirm(self) -> None:
        self._report(self._word, seconds=round(time.monotonic() - self._since_s, 3))
        self._word = ''
