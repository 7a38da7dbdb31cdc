# SPDX-License-Identifier: Apache-2.0
"""A client of a running stack: set up a scene, allow motion, activate the policy, record, wait.

A node that leads a stack has no thread for its callbacks; they run while it waits here. It opens
the services that it calls and no others, since more are forbidden where security is enforced.

When the client goes away, as by a kill or a cable, nothing here ends by itself but what runs out:

- chunks that a node sends itself, as arms and replay do: the executor plays the last one to its
  end and holds, enabled;
- a block of ``motion`` that ends in any other way than by a kill, which disables.

All else goes on until somebody else ends it: motion that was enabled stays enabled, a policy that
was activated moves the arms on, an episode is recorded on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
import time
from typing import Any

from cosmos_policy_ros.resources import PACKAGE
from cosmos_policy_ros.ros.control_loop import make_executor
from cosmos_policy_ros.ros.ending import noted_signals
from cosmos_policy_ros.ros.endpoints import create_client
from cosmos_policy_ros.topics import (
    ACTIVATE,
    CANDIDATES,
    ENABLE,
    RESET_SIM,
    Service,
    SET_SIM_PARAMETERS,
    START_RECORDING,
    STOP_RECORDING,
)
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

CALL_S = 20.0  # [s] a service may take on a machine that is busy with other things
SPIN_S = 0.05  # [s] between two evaluations of a condition
DISABLED_S = 3.0  # [s] that the end of motion may take where something else went wrong before
STILL_ENABLED = 'motion may still be enabled; call it with false, or use cosmos-policy estop'
# After a reset the arms seem to have jumped, and a jump is believed only when the time since the
# last good message allows it: half a turn at the motors' 3.14 rad/s.
SETTLE_S = 1.2
SIM_SERVICES = (SET_SIM_PARAMETERS, RESET_SIM)
RECORDER_SERVICES = (START_RECORDING, STOP_RECORDING)


class StackClient:
    """Call the services of a stack from a node and wait, while the node's callbacks run."""

    def __init__(self, node: Node, services: Iterable[Service]) -> None:
        """Open the clients.

        Args:
            node: Node that calls; nothing else may spin it. One of its callbacks may run now.
            services: What it will call: ``ENABLE``, ``ACTIVATE``, ``SIM_SERVICES`` or
                ``RECORDER_SERVICES``.
        """
        self._node = node
        self._clients = {service.name: create_client(node, service) for service in services}
        self._executor = make_executor(node)
        self._interrupted = False  # by Ctrl-C or SIGTERM, while motion is enabled here

    def missing(self) -> list[str]:
        """Return the names of the services that are not there yet, and of nodes behind them."""
        missing = [c.srv_name for c in self._clients.values() if not c.service_is_ready()]
        if ACTIVATE.name in self._clients and not self._node.count_publishers(CANDIDATES.ros_name):
            missing.append('inference node')
        return missing

    def reset(self, seed: int) -> None:
        """Set up the scene of a seed and wait until joint states are believed again.

        Raises:
            RuntimeError: The simulator refuses the seed.
            TimeoutError: It does not answer.
        """
        number = Parameter('seed', value=seed).to_parameter_msg()
        request = SetParameters.Request(parameters=[number])
        result = self._call(SET_SIM_PARAMETERS, request).results[0]
        if not result.successful:
            msg = f'the simulator refuses seed {seed}: {result.reason}'
            raise RuntimeError(msg)
        self._call(RESET_SIM, Trigger.Request())
        self.pause(SETTLE_S)

    def enable(self, wanted: bool) -> None:
        """Allow or end motion, which stays allowed when this client goes away; see ``motion``.

        Raises:
            RuntimeError: The executor refuses.
            TimeoutError: It does not answer.
        """
        self._switch(ENABLE, wanted)

    @contextmanager
    def motion(self) -> Iterator[None]:
        """Allow motion for the time of the block, and end it whatever ends the block.

        Ctrl-C and SIGTERM end the block where it waits next; a kill leaves motion enabled. Call it
        from the main thread.

        Raises:
            RuntimeError: The executor refuses.
            TimeoutError: It does not answer.
        """
        with noted_signals(self._interrupt):
            try:
                self.enable(True)
                yield
                self.enable(False)
            except BaseException:
                self._end_motion()
                raise

    def _interrupt(self, _number: int) -> None:
        self._interrupted = True

    def _end_motion(self) -> None:
        """Disable, whatever else went wrong, and log what came of it."""
        self._interrupted, log = False, self._node.get_logger()
        enable = self._clients[ENABLE.name]
        if not self._node.context.ok():  # somebody has shut it down: nothing can be sent any more
            get_logger(PACKAGE).warning(f'{enable.srv_name} was not called: {STILL_ENABLED}')
            return
        answer = enable.call_async(SetBool.Request(data=False))
        end_s = time.perf_counter() + DISABLED_S
        while not answer.done() and time.perf_counter() < end_s:
            if not enable.service_is_ready():
                log.warning('the command executor is gone')
                return
            self._executor.spin_once(timeout_sec=SPIN_S)
        if answer.done():
            log.info('motion is disabled again')
        else:
            log.warning(f'{enable.srv_name} does not answer: {STILL_ENABLED}')

    def activate(self, wanted: bool) -> None:
        """Start or stop querying the policy, which goes on when this client goes away.

        It ends by itself only with motion, with the answers, or when another task is published.

        Raises:
            RuntimeError: The planner refuses.
            TimeoutError: It does not answer.
        """
        self._switch(ACTIVATE, wanted)

    def start_recording(self) -> str:
        """Begin an episode of the recorder and return its message for people.

        It is recorded on when this client goes away, until a stream falls silent.

        Raises:
            RuntimeError: The recorder refuses.
            TimeoutError: It does not answer.
        """
        response = self._call(START_RECORDING, Trigger.Request())
        if not response.success:
            msg = f'{self._clients[START_RECORDING.name].srv_name} refused: {response.message}'
            raise RuntimeError(msg)
        return response.message

    def stop_recording(self, success: bool) -> tuple[bool, str]:
        """End the episode of the recorder with a label.

        Returns:
            Whether the whole episode is in the bag, and the recorder's message for people.

        Raises:
            TimeoutError: The recorder does not answer.
        """
        response = self._call(STOP_RECORDING, SetBool.Request(data=success))
        return response.success, response.message

    def pause(self, seconds: float) -> None:
        """Run nothing but callbacks for a while."""
        end_s = time.perf_counter() + seconds
        while (left_s := end_s - time.perf_counter()) > 0:
            self.spin_once(left_s)

    def wait(
        self, condition: Callable[[], bool], timeout_s: float, describe: Callable[[], str]
    ) -> None:
        """Run callbacks until a condition holds.

        Args:
            condition: The condition.
            timeout_s: How long it may take [s].
            describe: Returns the error message for a condition that does not hold in time.

        Raises:
            TimeoutError: The condition does not hold in time.
        """
        end_s = time.perf_counter() + timeout_s
        while not condition():
            if time.perf_counter() > end_s:
                raise TimeoutError(describe())
            self.spin_once(SPIN_S)

    def wait_until_ready(self, missing: Callable[[], list[str]], timeout_s: float) -> None:
        """Run callbacks until nothing is missing.

        Args:
            missing: Returns the names of what an episode needs and is not there yet.
            timeout_s: How long it may take [s].

        Raises:
            TimeoutError: Something is still missing; names it.
        """
        self.wait(
            lambda: not missing(),
            timeout_s,
            lambda: f'not ready after {timeout_s:.0f} s, nothing seen of {", ".join(missing())}',
        )

    def spin_once(self, timeout_s: float) -> None:
        """Run the callbacks that are due, or wait for one.

        Args:
            timeout_s: How long to wait for one [s].

        Raises:
            ExternalShutdownException: Ctrl-C or SIGTERM came.
        """
        if self._interrupted or not self._node.context.ok():
            raise ExternalShutdownException
        self._executor.spin_once(timeout_sec=timeout_s)

    def _call(self, service: Service, request: Any) -> Any:
        """Return the response of a service.

        Raises:
            TimeoutError: It does not answer.
        """
        client = self._clients[service.name]
        future = client.call_async(request)
        self.wait(future.done, CALL_S, lambda: f'{client.srv_name}: no answer for {CALL_S:.0f} s')
        return future.result()

    def _switch(self, service: Service, wanted: bool) -> None:
        """Call a SetBool service.

        Raises:
            RuntimeError: It refuses.
            TimeoutError: It does not answer.
        """
        response = self._call(service, SetBool.Request(data=wanted))
        if not response.success:
            msg = f'{self._clients[service.name].srv_name} refused: {response.message}'
            raise RuntimeError(msg)


def run_to_end(
    node: Node, play: Callable[[], None], on_failure: Callable[[str], None] | None = None
) -> None:
    """Run the one thing that a node was started for.

    Args:
        node: The node.
        play: Does it.
        on_failure: Called with the reason when the stack fails.

    Raises:
        SystemExit: A node of the stack refused, did not answer or stopped the arms, which was
            logged; the status is 1.
    """
    try:
        play()
    except (RuntimeError, TimeoutError) as error:
        if not node.context.ok():
            return  # Ctrl-C
        node.get_logger().error(str(error))
        if on_failure is not None:
            on_failure(str(error))
        raise SystemExit(1) from error
