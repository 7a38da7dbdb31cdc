# SPDX-License-Identifier: Apache-2.0
"""Service calls one after the other in a node that must not wait: a coroutine between callbacks.

A control loop runs callbacks in the thread that ticks, and rclpy's events executor runs no
coroutines. So a step of ``Steps`` begins when the answer to the step before arrives, or when that
is overdue.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
import time
import types
from typing import Any

from cosmos_policy_ros.ros.endpoints import create_timer
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future

Steps = Coroutine[Future, None, None]
ANSWER_S = 2.0  # [s] within which a service must answer
CLOCK_S = 0.05  # [s] by which a limit may be passed


class Conversation:
    """Runs steps that call services; one at a time."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._steps: Steps | None = None

    def start(self, steps: Steps, done: Callable[[str], None]) -> None:
        """Run steps, in place of those that run now.

        Args:
            steps: What to do; ``ValueError`` and ``TimeoutError`` end it.
            done: Called at the end with the message of that error, empty without one.
        """
        self.stop()
        self._steps = steps
        self._resume(steps, done)

    def stop(self) -> None:
        """End the steps where they are; ``done`` is not called."""
        if self._steps is not None:
            self._steps, steps = None, self._steps
            steps.close()

    def _resume(self, steps: Steps, done: Callable[[str], None]) -> None:
        if steps is not self._steps:
            return  # stopped meanwhile
        try:
            future = steps.send(None)
        except (StopIteration, ValueError, TimeoutError) as end:
            self._steps = None
            done('' if isinstance(end, StopIteration) else str(end))
            return
        future.add_done_callback(lambda _: self._resume(steps, done))


class Caller:
    """Calls services and waits, for the steps of a conversation."""

    def __init__(self, node: Node) -> None:
        """Start the clock of all that is waited for: rclpy has no timers that fire once.

        Args:
            node: Node that calls.
        """
        self._waits: list[tuple[float, Future]] = []  # until when [s, monotonic], and for what
        create_timer(node, CLOCK_S, self._on_clock)

    async def call(self, client: Client, request: Any, limit_s: float = ANSWER_S) -> Any:
        """Return the response of a service.

        Args:
            client: Client of the service.
            request: The request.
            limit_s: How long the answer may take [s].

        Raises:
            TimeoutError: Nobody offers the service, or it does not answer in time.
        """
        if not client.service_is_ready():
            msg = f'nobody offers {client.srv_name}; start the driver of the arm'
            raise TimeoutError(msg)
        answer = client.call_async(request)
        await self._settled(answer, limit_s)
        if not answer.done():
            client.remove_pending_request(answer)
            msg = f'{client.srv_name} has not answered for {limit_s:.0f} s; see the driver'
            raise TimeoutError(msg)
        return answer.result()

    async def pause(self, seconds: float) -> None:
        """Let other callbacks run for a while [s]."""
        await self._settled(Future(), seconds)

    @types.coroutine
    def _settled(self, future: Future, limit_s: float) -> Generator[Future, None, None]:
        """Go on when a future is done, or cancelled since its time is over."""
        wait = (time.perf_counter() + limit_s, future)
        self._waits.append(wait)
        try:
            yield future
        finally:
            self._waits.remove(wait)

    def _on_clock(self) -> None:
        now_s = time.perf_counter()
        for future in [future for until_s, future in self._waits if now_s >= until_s]:
            future.cancel()
