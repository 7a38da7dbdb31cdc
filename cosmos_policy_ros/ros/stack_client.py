# SPDX-License-Identifier: Apache-2.0
"""The controls of a running stack: set up a scene, allow motion, start and stop the policy."""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Any

from cosmos_policy_ros.ros.control_loop import EventsExecutor
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

CALL_S = 20.0  # [s] a service may take on a machine that is busy with other things
SPIN_S = 0.05  # [s] between two looks at a condition
# After a reset the arms seem to have jumped, and a jump is believed only when the time since the
# last good message allows it: half a turn at the motors' 3.14 rad/s.
SETTLE_S = 1.2


class Controls:
    """Call the services of a stack from a node and wait, while the node's callbacks run."""

    def __init__(self, node: Node) -> None:
        """Open the clients.

        Args:
            node: Node that calls; nothing else may spin it.
        """
        self._node = node
        self._seed = node.create_client(SetParameters, 'sim/set_parameters')
        self._reset = node.create_client(Trigger, 'sim/reset')
        self._activate = node.create_client(SetBool, 'planner/activate')
        self._enable = node.create_client(SetBool, 'command_executor/enable')
        self._record = node.create_client(Trigger, 'recorder/start')
        self._stop = node.create_client(SetBool, 'recorder/stop')
        self._executor = EventsExecutor()
        self._executor.add_node(node)

    def missing(self, policy: bool = True, recorder: bool = False) -> list[str]:
        """Return what is not there yet of services and nodes.

        Args:
            policy: Whether those of the policy are needed.
            recorder: Whether the recorder's are.
        """
        clients = [self._seed, self._reset, self._enable, *([self._activate] if policy else [])]
        clients += [self._record, self._stop] if recorder else []
        missing = [c.srv_name for c in clients if not c.service_is_ready()]
        if policy and not self._node.count_publishers('policy/candidates'):
            missing.append('inference node')
        return missing

    def reset(self, seed: int) -> None:
        """Set up the scene of a seed and wait until everybody trusts the joint states again.

        Raises:
            RuntimeError: The simulator refuses the seed.
            TimeoutError: It does not answer.
        """
        number = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name='seed', value=number)])
        result = self._call(self._seed, request).results[0]
        if not result.successful:
            msg = f'the simulator refuses seed {seed}: {result.reason}'
            raise RuntimeError(msg)
        self._call(self._reset, Trigger.Request())
        self.pause(SETTLE_S)

    def enable(self, wanted: bool) -> None:
        """Allow or end motion.

        Raises:
            RuntimeError: The executor refuses.
            TimeoutError: It does not answer.
        """
        self._ask(self._enable, wanted)

    def activate(self, wanted: bool) -> None:
        """Start or stop asking the policy.

        Raises:
            RuntimeError: The planner refuses.
            TimeoutError: It does not answer.
        """
        self._ask(self._activate, wanted)

    def start_recording(self) -> str:
        """Let the recorder begin an episode; return what it says.

        Raises:
            RuntimeError: It refuses.
            TimeoutError: It does not answer.
        """
        response = self._call(self._record, Trigger.Request())
        if not response.success:
            msg = f'{self._record.srv_name} refused: {response.message}'
            raise RuntimeError(msg)
        return response.message

    def stop_recording(self, success: bool) -> tuple[bool, str]:
        """Let the recorder end its episode with a label.

        Returns:
            Whether the whole episode is in the bag, and what the recorder says.

        Raises:
            TimeoutError: It does not answer.
        """
        response = self._call(self._stop, SetBool.Request(data=success))
        return response.success, response.message

    def pause(self, seconds: float) -> None:
        """Do nothing but listen for a while."""
        end_s = time.perf_counter() + seconds
        while (left_s := end_s - time.perf_counter()) > 0:
            self.spin_once(left_s)

    def wait(
        self, condition: Callable[[], bool], timeout_s: float, describe: Callable[[], str]
    ) -> None:
        """Listen until a condition holds.

        Args:
            condition: The condition.
            timeout_s: How long it may take [s].
            describe: Says what is missing when it does not hold in time.

        Raises:
            TimeoutError: It does not hold in time.
        """
        end_s = time.perf_counter() + timeout_s
        while not condition():
            if time.perf_counter() > end_s:
                raise TimeoutError(describe())
            self.spin_once(SPIN_S)

    def spin_once(self, timeout_s: float) -> None:
        """Run what is due.

        Raises:
            ExternalShutdownException: Ctrl-C came.
        """
        if not self._node.context.ok():
            raise ExternalShutdownException
        self._executor.spin_once(timeout_sec=timeout_s)

    def _call(self, client: Any, request: Any) -> Any:
        future = client.call_async(request)
        self.wait(future.done, CALL_S, lambda: f'{client.srv_name}: no answer for {CALL_S:.0f} s')
        return future.result()

    def _ask(self, client: Any, wanted: bool) -> None:
        response = self._call(client, SetBool.Request(data=wanted))
        if not response.success:
            msg = f'{client.srv_name} refused: {response.message}'
            raise RuntimeError(msg)
