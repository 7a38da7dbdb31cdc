# SPDX-License-Identifier: Apache-2.0
"""The newest measured joints of all arms, without poses that no arm can have reached."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cosmos_policy_ros.align import arm_pose, push_pose, stamp_of, StreamBuffer
from cosmos_policy_ros.robot import ArmSpec, RobotSpec
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.topics import JOINT_STATES
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState

Note = Callable[[str, 'str | None'], None]


class JointStates:
    """Subscribe to every arm's joint states and keep the newest.

    Attributes:
        trusting: Whether any finite pose is taken, however far from the last, as while the arms
            may be moved by hand or the scene reset.
    """

    def __init__(self, node: Node, robot: RobotSpec, note: Note) -> None:
        """Subscribe.

        Args:
            node: Node that owns the subscriptions.
            robot: Robot with the arms.
            note: Called with a topic and why its message was refused, or None when it was good.
        """
        self.trusting = True
        self._clock, self._note = node.get_clock(), note
        self._streams = [
            StreamBuffer[NDArray[np.float32]](arm.joint_state_topic, 1) for arm in robot.arms
        ]
        for arm, stream in zip(robot.arms, self._streams, strict=True):
            topic = JOINT_STATES.at(arm.joint_state_topic)
            create_subscription(node, topic, partial(self.on_message, arm, stream))

    def on_message(
        self, arm: ArmSpec, stream: StreamBuffer[NDArray[np.float32]], message: JointState
    ) -> None:
        """Take a joint state of an arm, or note why it is refused."""
        now_ns = self._clock.now().nanoseconds
        if self.trusting:
            stream.clear()
        try:
            pose = arm_pose(arm, message)
        except ValueError as error:
            self._note(arm.joint_state_topic, str(error))
            return
        # a stamp ahead of this clock would never grow old; one of zero has no meaning
        stamp_ns = min(stamp_of(message) or now_ns, now_ns)
        self._note(arm.joint_state_topic, push_pose(stream, arm, stamp_ns, pose))

    def measure(self, now_ns: int) -> tuple[NDArray[np.float32] | None, float]:
        """Return the (A,) float32 joints [rad; gripper 0..1] and the age of the oldest arm [s].

        That is None and infinity until a joint state of every arm has arrived.
        """
        if not all(len(stream) for stream in self._streams):
            return None, float('inf')
        poses = [stream.newest_at(stream.last_ns, 0.0) for stream in self._streams]
        oldest_ns = min(pose.stamp_ns for pose in poses)
        return np.concatenate([pose.value for pose in poses]), (now_ns - oldest_ns) * 1e-9
