# SPDX-License-Identifier: Apache-2.0
"""Motion is enabled in steps: no command leaves before the drivers of all arms are set up for it.

That takes calls of the drivers, one after the other, while the control loop ticks on and sends
nothing. Whoever asked is answered at the end, or when somebody ends motion meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
import time

from cosmos_policy_ros.control.safety import MOST_OUTSIDE_RAD, Safety
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.ros.arms import open_setups
from cosmos_policy_ros.ros.arms.driver import Pack
from cosmos_policy_ros.ros.joint_states import JointStates
from cosmos_policy_ros.ros.leaders import Leaders
from cosmos_policy_ros.ros.service_calls import Caller, Conversation
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

ENTER_RAD_S = 0.1  # [rad/s] at which motors bring an arm into its range
ENTER_SLACK_S = 2.0  # [s] longer than that takes
ENTERED_S = 0.5  # [s] until joint states show an arm at rest
ENTERED_RAD = 0.04  # [rad] from where they were to be: an arm sags under its own weight


class Enabling:
    """Sets the drivers of the arms up for motion, one call at a time.

    Attributes:
        max_excess_rad: How far outside of their range arms may be when it starts [rad], as of
            ``Safety.find_refusal``.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotSpec,
        safety: Safety,
        joints: JointStates,
        leaders: Leaders | None,
        pack: Pack,
        now_ns: Callable[[], int],
        enter_range: bool,
    ) -> None:
        """Open what drivers are asked by; nothing is asked or set yet.

        Args:
            node: Node that calls the drivers.
            robot: Robot with the arms.
            safety: What the arms are commanded through.
            joints: Their measured joints.
            leaders: Leader arms that are to hold before motion begins, None without any.
            pack: Gets the commands of all arms ready.
            now_ns: Returns the time now [ns, ROS clock].
            enter_range: Whether arms that lie outside of their range are brought into it, by the
                motors themselves, where all drivers can.
        """
        self._robot, self._safety, self._joints = robot, safety, joints
        self._leaders, self._pack, self._now_ns = leaders, pack, now_ns
        self._log, self._caller, self._steps = node.get_logger(), Caller(node), Conversation()
        self._setups = open_setups(node, robot.arms)
        n_outputs = sum(len(arm.outputs) for arm in robot.arms)
        self._enters_range = enter_range and len(self._setups) == n_outputs
        self.max_excess_rad = MOST_OUTSIDE_RAD if self._enters_range else None
        self._settle: Callable[[str], None] | None = None  # answers who asked, while that lasts

    @property
    def runs(self) -> bool:
        """Whether drivers are being set up."""
        return self._settle is not None

    @property
    def ready(self) -> bool:
        """Whether commands may leave.

        Drivers that are being set up get none: in a fault their motors may be where no command of
        before is meant for them.
        """
        return not self.runs and all(setup.ready for setup in self._setups.values())

    @property
    def trouble(self) -> str:
        """What was found wrong with a driver since it was set up, and what to do; else empty."""
        return next((setup.trouble for setup in self._setups.values() if setup.trouble), '')

    def start(self, begin: Callable[[], None], settle: Callable[[str], None]) -> None:
        """Set the drivers up, then let motion begin.

        Args:
            begin: Called when they are; ``ValueError`` says what is against it.
            settle: Called once, at the end, with what was in the way; empty where nothing was.
        """
        self._settle = settle
        self._steps.start(self._prepare(), lambda trouble: self._finish(begin, trouble))

    def abandon(self, reason: str) -> None:
        """End the steps that run, and answer who asked for them."""
        self._steps.stop()
        if self._settle is not None:
            settle, self._settle = self._settle, None
            settle(f'not enabled: {reason}')

    async def _prepare(self) -> None:
        """Set up the drivers that need it, one after the other.

        Raises:
            ValueError: A driver refuses, or an arm does not get into its range.
            TimeoutError: A driver does not answer.
        """
        for setup in self._setups.values():
            await setup.prepare()
        if self._leaders is not None:
            await self._leaders.take_hold(self._now_ns())
        measured, _ = self._joints.measure(self._now_ns())
        if self._enters_range and measured is not None:
            entry = self._safety.find_entry(measured)
            if entry is not None:
                await self._enter_range(measured, entry)

    async def _enter_range(
        self, measured: NDArray[np.float32], entry: NDArray[np.float32]
    ) -> None:
        """Have the motors bring the arms into their range at a pace of their own.

        A motor takes no command outside of its range, so it cannot be led through it by many.

        Args:
            measured: (A,) float32 where the arms are [rad; gripper 0..1].
            entry: (A,) float32 where they are to be [rad; gripper 0..1].

        Raises:
            ValueError: An arm does not get there.
            TimeoutError: A driver does not answer.
        """
        longest_rad = float(np.abs((entry - measured) * self._robot.arm_joints).max())
        self._log.warning(
            f'bringing arms {longest_rad:.2f} rad into their range at {ENTER_RAD_S} rad/s'
        )
        for setup in self._setups.values():
            await setup.slow_down(ENTER_RAD_S, longest_rad)
        for leave in self._pack(entry):
            leave()
        patience_s = longest_rad / ENTER_RAD_S + ENTER_SLACK_S
        gap = np.full(self._robot.size, np.inf)
        until_s = time.perf_counter() + patience_s
        while gap.max() > ENTERED_RAD and time.perf_counter() < until_s:
            await self._caller.pause(0.1)
            now, age_s = self._joints.measure(self._now_ns())
            if now is not None and age_s <= self._safety.watchdog.max_joint_age_s:
                gap = np.abs(now - entry) * self._robot.arm_joints
        if gap.max() > ENTERED_RAD:
            i = int(gap.argmax())
            msg = (
                f'{self._robot.joint_names[i]} is {gap[i]:.3f} rad short of its range after '
                f'{patience_s:.0f} s; switch off the torque of the arm and move it inside by hand'
            )
            raise ValueError(msg)
        await self._caller.pause(ENTERED_S)
        for setup in self._setups.values():
            await setup.prepare()

    def _finish(self, begin: Callable[[], None], trouble: str) -> None:
        """Let motion begin, unless the drivers or anything else have a reason against it."""
        settle, self._settle = self._settle, None
        assert settle is not None
        try:
            if trouble:
                raise ValueError(trouble)
            begin()
        except ValueError as error:
            trouble = f'not enabled: {error}'
        settle(trouble)
