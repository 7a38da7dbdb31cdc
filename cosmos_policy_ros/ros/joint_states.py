# SPDX-License-Identifier: Apache-2.0
"""The newest measured joints of all arms, without poses that no arm can have reached."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cosmos_policy_ros.align import JointParts, stamp_of
from cosmos_policy_ros.control.joint_filter import JointFilter, LONGEST_S
from cosmos_policy_ros.robot import ArmSpec, RobotSpec
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.topics import JOINT_STATES
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState

Note = Callable[[str, 'str | None'], None]
# By which a stamp is ahead of the time only where a clock was set back since.
AHEAD_NS = 50_000_000


class JointStates:
    """Subscribe to every arm's joint states and keep the newest that is believed.

    Attributes:
        trusting: Whether a pose far from the last one may be believed, once many messages agree on
            it, as while the arms may be moved by hand or the scene reset.
    """

    def __init__(
        self, node: Node, robot: RobotSpec, note: Note, longest_s: float = LONGEST_S
    ) -> None:
        """Subscribe.

        Args:
            node: Node that owns the subscriptions.
            robot: Robot with the arms.
            note: Called with a stream, as in ``RobotSpec.joint_streams``, and why its message was
                refused, or None when it was good.
            longest_s: As of ``JointFilter``.
        """
        self.trusting = True
        self._node, self._clock, self._note = node, node.get_clock(), note
        self._names = robot.joint_streams
        self._arms = robot.arms
        self._filters = [JointFilter(arm, longest_s) for arm in robot.arms]
        self._parts = {arm.name: JointParts(arm) for arm in robot.arms}
        for arm, joints in zip(robot.arms, self._filters, strict=True):
            topic = JOINT_STATES.at(arm.joint_state_topic)
            create_subscription(node, topic, partial(self.on_message, arm, joints))

    def on_message(self, arm: ArmSpec, joints: JointFilter, message: JointState) -> None:
        """Take a joint state of an arm, or note why it is refused."""
        now_ns = self._clock.now().nanoseconds
        # a stamp ahead of this clock would never grow old; one of zero has no meaning
        stamp_ns = min(stamp_of(message) or now_ns, now_ns)
        try:
            pose = self._parts[arm.name].join(stamp_ns, message)
        except ValueError as error:
            self._note(self._names[arm.name], str(error))
            return
        if pose is not None:
            reason = joints.add(pose.stamp_ns, pose.value, self.trusting)
            self._note(self._names[arm.name], reason)

    def measure(self, now_ns: int) -> tuple[NDArray[np.float32] | None, float]:
        """Return the (A,) float32 joints [rad; gripper 0..1] and the age of the oldest arm [s].

        That is None and infinity until a pose of every arm is believed. The age is infinite too
        where a clock was set back since: nobody knows how old what is stamped later than now is.
        """
        poses = [joints.believed for joints in self._filters]
        believed = [pose for pose in poses if pose is not None]
        if len(believed) < len(poses):
            return None, float('inf')
        stamps_ns = [pose.stamp_ns for pose in believed]
        is_ahead = max(stamps_ns) > now_ns + AHEAD_NS
        age_s = float('inf') if is_ahead else (now_ns - min(stamps_ns)) * 1e-9
        return np.concatenate([pose.value for pose in believed]), age_s

    def find_unrest(self, longest_gap_s: float) -> str:
        """Return why motion cannot start from the newest poses; empty when it can.

        Args:
            longest_gap_s: As of ``JointFilter.find_unrest``.
        """
        reasons = (
            joints.find_unrest(longest_gap_s) if joints.received else self._find_silence(arm)
            for arm, joints in zip(self._arms, self._filters, strict=True)
        )
        return next((reason for reason in reasons if reason), '')

    def _find_silence(self, arm: ArmSpec) -> str:
        """Return why nothing has ever come from an arm."""
        topic = arm.joint_state_topic
        n = self._node.count_publishers(topic)
        if not n:
            return f'nobody publishes {topic}; start the driver of {arm.name}'
        return (
            f'{topic} has {n} publisher{"s" * (n > 1)} and nothing of it has arrived here; see '
            f'"ros2 topic hz {topic}". If messages come there, start this node again: shared '
            'memory of a node that was killed may be in its way'
        )
