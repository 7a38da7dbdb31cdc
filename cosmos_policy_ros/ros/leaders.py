# SPDX-License-Identifier: Apache-2.0
"""The leader arms of a stack in which a person takes over: where they are, and how they follow.

While a policy acts, leaders that have a driver in the robot file follow the commands to their
followers, slowly and through a safety of their own, so that a person who takes hold of them takes
over without a jump. A hand that keeps one from following is no danger to it: the safety of the
leaders faults then, and they give way to the hand until they are made to hold anew. Before a
person leads they are let go: by the service of the robot file that makes them light, as gravity
compensation does, or by their driver, which switches their torque off. A gripper is never moved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import math

from cosmos_policy_ros.control.safety import Limits, Safety, WatchdogLimits
from cosmos_policy_ros.robot import following_leaders, leader_robot, RobotSpec
from cosmos_policy_ros.ros.arms import command_topics, open_arms, open_setups, open_watches
from cosmos_policy_ros.ros.arms.driver import Pack, Setup, Watch
from cosmos_policy_ros.ros.endpoints import create_client
from cosmos_policy_ros.ros.joint_states import JointStates, Note
from cosmos_policy_ros.ros.service_calls import Caller
from cosmos_policy_ros.topics import FREE_LEADER
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
from rclpy.client import Client
from rclpy.node import Node
from std_srvs.srv import SetBool

FREE_S = 5.0  # [s] that changing the mode of all motors of a leader may take


def leader_topics(robot: RobotSpec) -> list[str]:
    """Return the topics on which nobody else may command leaders that follow.

    None are those of a leader with a ``free_service``: what makes it light commands it there.
    """
    moved = following_leaders(robot, math.inf)
    if moved is None:
        return []
    pairs = zip(robot.arms, moved.arms, strict=True)
    return command_topics([m for a, m in pairs if a.leader and not a.leader.free_service])


class Leaders:
    """All leader arms of a robot.

    Attributes:
        states: Their measured joints, in the followers' order and units.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotSpec,
        note: Note,
        max_speed: float = 0.0,
        max_joint_age_s: float = WatchdogLimits.max_joint_age_s,
    ) -> None:
        """Subscribe, and open the commands of those that follow; nothing is sent yet.

        Args:
            node: Node that owns all of it.
            robot: Robot whose arms all have leaders.
            note: As of ``JointStates``; ``leaders`` is the stream that does not follow.
            max_speed: Highest speed at which they follow [rad/s]; 0 moves none.
            max_joint_age_s: Age of a leader's joint states beyond which it holds [s].

        Raises:
            ConfigError: An arm has no leader, or a leader has a driver and no way to be let go.
        """
        # an approach after every hold is slow, so any pose of theirs is good then
        self.states = JointStates(node, leader_robot(robot), note, math.inf)
        self._note, self._arm_joints = note, robot.arm_joints
        self._caller = Caller(node)
        self._safety: Safety | None = None
        moved = following_leaders(robot, max_speed) if max_speed else None
        if moved is None:
            return
        period_s = 1.0 / robot.control_rate_hz
        watchdog = WatchdogLimits(max_joint_age_s=max_joint_age_s)
        self._safety = Safety(Limits.from_robot(moved), watchdog)
        self._setups: dict[str, Setup] = open_setups(node, moved.arms)
        self._frees: list[Client] = []
        self._switched: list[Setup] = []  # of those whose torque is switched off to let go
        for arm in robot.arms:
            assert arm.leader is not None
            if arm.leader.free_service:
                service = replace(FREE_LEADER, name=arm.leader.free_service, namespaced=False)
                self._frees.append(create_client(node, service))
            elif arm.leader.command_topic in self._setups:
                self._switched.append(self._setups[arm.leader.command_topic])
            else:
                msg = (
                    f'the leader of {arm.name} follows by driver {arm.leader.driver}, which '
                    'cannot let go of it; give the robot file free_service: of its driver'
                )
                raise ConfigError(msg)
        self._pack: Pack = open_arms(node, moved.arms, period_s)
        self._watches: dict[str, Watch] = open_watches(node, moved.arms, period_s)

    async def let_go(self) -> None:
        """Move no more, and make them light in the hand.

        Raises:
            ValueError: A driver refuses.
            TimeoutError: A driver does not answer.
        """
        self.rest()
        if self._safety is None:
            return
        await self._make_light(True)
        for setup in self._switched:
            await setup.let_go()

    async def take_hold(self, now_ns: int) -> None:
        """Let them hold where they are, ready to follow.

        Args:
            now_ns: Time now [ns, ROS clock].

        Raises:
            ValueError: They are unknown, stale or outside of the followers' range, nobody listens
                to commands, or a driver refuses.
            TimeoutError: A driver does not answer.
        """
        self.rest()
        if self._safety is None:
            return
        if refusal := self._safety.find_refusal(*self._measure(now_ns)):
            msg = f'the leaders cannot follow: {refusal}'
            raise ValueError(msg)
        for trouble in (watch() for watch in self._watches.values()):
            if trouble:
                raise ValueError(trouble)
        await self._make_light(False)
        for setup in self._setups.values():
            await setup.prepare()

    async def _make_light(self, light: bool) -> None:
        for client in self._frees:
            answer = await self._caller.call(client, SetBool.Request(data=light), FREE_S)
            if not answer.success:
                msg = f'{client.srv_name} refuses: {answer.message}'
                raise ValueError(msg)

    def begin(self, now_ns: int) -> None:
        """Follow from now on, from where they are.

        Args:
            now_ns: Time now [ns, ROS clock].

        Raises:
            ValueError: An emergency stop is latched, or their joints are unknown or stale.
        """
        if self._safety is not None:
            try:
                self._safety.enable(*self._measure(now_ns))
            except ValueError as error:
                msg = f'the leaders cannot follow: {error}'
                raise ValueError(msg) from error

    def _measure(self, now_ns: int) -> tuple[NDArray[np.float32] | None, float]:
        """Return their arm joints [rad] and the age of the oldest [s], see ``JointStates``."""
        measured, age_s = self.states.measure(now_ns)
        return None if measured is None else measured[self._arm_joints], age_s

    def rest(self) -> None:
        """Send nothing more; they keep the last command they got."""
        if self._safety is not None:
            self._safety.disable()
            self._note('leaders', None)

    def stop(self) -> None:
        """Brake for an emergency stop, and stay until ``reset`` and ``begin``."""
        if self._safety is not None:
            self._safety.stop()

    def reset(self) -> None:
        """Let go of an emergency stop."""
        if self._safety is not None:
            self._safety.reset()

    def follow(self, pose: NDArray[np.float32], now_ns: int) -> None:
        """Move on towards the followers, by one tick; nothing happens while they rest.

        Args:
            pose: (A,) float32 what the followers were commanded [rad; gripper 0..1].
            now_ns: Time of this tick [ns, ROS clock].
        """
        if self._safety is None or self._safety.state == 'disabled':
            return
        command = self._safety.step(pose[self._arm_joints], *self._measure(now_ns), now_ns)
        sent: list[Callable[[], None]] = []
        if command is not None and all(setup.ready for setup in self._setups.values()):
            sent = self._pack(command.positions)
        for leave in sent:
            leave()
        trouble = next((s.trouble for s in self._setups.values() if s.trouble), '')
        if trouble:
            self._safety.fault(trouble)
        held = command is not None and command.status in ('hold', 'fault')
        self._note('leaders', f'they do not follow: {self._safety.reason}' if held else None)
