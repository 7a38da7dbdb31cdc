# SPDX-License-Identifier: Apache-2.0
"""The observation at a time from live messages, or which stream is too old for one.

Messages go through ``align.py``, exactly as the bag reader's do, so that an observation taken live
equals the one read from a recording of the same messages.

Where the clock is set back, what was received before has a time that is still to come, or passes
for newer than it is. It is forgotten then.
"""

from __future__ import annotations

from functools import partial

from cosmos_policy_ros.align import (
    ArmStream,
    camera_image,
    describe_missing,
    sample_at,
    stamp_of,
    StreamBuffer,
)
from cosmos_policy_ros.image_decoder import ImageDecoder, UNNAMED
from cosmos_policy_ros.robot import ArmSpec, CameraSpec, RobotSpec
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.ros.image_check import ImageCheck
from cosmos_policy_ros.stream_judge import describe_unnamed, UNSTAMPED
from cosmos_policy_ros.topics import (
    camera_images,
    JOINT_STATES,
    TASK,
)
from cosmos_policy_ros.types import Observation
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

KEPT_IMAGES = 8  # per camera; a query needs the last 0.1 s
KEPT_POSES = 100  # per arm, 1 s of the Interbotix driver
AHEAD_NS = 100_000_000  # a stamp farther ahead of this clock would hide all that follow
SET_BACK_NS = 10_000_000  # the clocks of two machines differ by more
LONGEST_TASK = 200  # characters; a longer instruction is none


class Observer:
    """Subscribe to a robot's cameras, joint states and task, and sample them.

    Attributes:
        refused: Image topic, or stream of an arm as in ``RobotSpec.joint_streams``, -> why its
            last message was refused; a good message removes the entry.
        task: Newest task, empty before the first.
    """

    def __init__(
        self, node: Node, robot: RobotSpec, max_image_age_s: float, max_joint_age_s: float
    ) -> None:
        """Subscribe.

        Args:
            node: Node that owns the subscriptions.
            robot: Cameras and arms.
            max_image_age_s: Oldest image an observation may hold [s].
            max_joint_age_s: Oldest joint state an observation may hold [s].
        """
        self.task = ''
        self._clock, self._log = node.get_clock(), node.get_logger()
        self._read_ns = 0  # what the clock showed when it was read last
        self.refused: dict[str, str] = {}
        self._robot = robot
        self._max_image_age_s, self._max_joint_age_s = max_image_age_s, max_joint_age_s
        self._cameras = {
            c.name: StreamBuffer[NDArray[np.uint8]](c.topic, KEPT_IMAGES) for c in robot.cameras
        }
        self._decoders = {camera.name: ImageDecoder() for camera in robot.cameras}
        self._checks = {camera.name: ImageCheck(camera) for camera in robot.cameras}
        self._joint_streams = robot.joint_streams
        self._arms = {
            arm.name: ArmStream(arm, self._joint_streams[arm.name], KEPT_POSES)
            for arm in robot.arms
        }
        self._unnamed: set[str] = set()  # topics whose images name no order of colours
        for camera in robot.cameras:
            create_subscription(node, camera_images(camera), partial(self.on_image, camera))
        for arm in robot.arms:
            topic = JOINT_STATES.at(arm.joint_state_topic)
            create_subscription(node, topic, partial(self.on_joints, arm))
        create_subscription(node, TASK, self.on_task)

    def observation(self, stamp_ns: int) -> Observation:
        """Return the observation at a time.

        Args:
            stamp_ns: Time of the observation [ns, ROS clock]; later messages are left out.

        Raises:
            TimeoutError: There is no task yet, or a stream is missing or too old; names it, how
                old, the limit, and why its last message was refused if it was.
        """
        self._now_ns()
        if not self.task:
            msg = f'{TASK.name}: no task yet; publish one (std_msgs/String, transient local)'
            raise TimeoutError(msg)
        try:
            images = sample_at(self._cameras, stamp_ns, self._max_image_age_s)
            poses = sample_at(self._arms, stamp_ns, self._max_joint_age_s)
        except TimeoutError as error:
            reasons = [r for stream, r in self.refused.items() if str(error).startswith(stream)]
            msg = '; last message refused: '.join([str(error), *reasons])
            raise TimeoutError(msg) from error
        return Observation(
            stamp_ns=stamp_ns,
            images={name: image.value for name, image in images.items()},
            proprio=np.concatenate([poses[a.name].value.pose for a in self._robot.arms]),
            task=self.task,
        )

    def ages_s(self, now_ns: int) -> dict[str, float]:
        """Return stream -> age of its newest message [s]; infinite when there is none."""
        streams = [*self._cameras.values(), *self._arms.values()]
        return {s.name: (now_ns - s.last_ns) * 1e-9 if len(s) else np.inf for s in streams}

    def on_task(self, message: String) -> None:
        """Take the task of the episodes to come; one that is too long is none."""
        n = len(message.data)
        if n > LONGEST_TASK:
            self._log.error(f'{TASK.name} has {n} characters, limit {LONGEST_TASK}; ignored')
        self.task = '' if n > LONGEST_TASK else message.data

    def on_image(self, camera: CameraSpec, message: Image) -> None:
        """Take an image of a camera, or note why it is refused."""
        try:
            image = camera_image(camera, message, self._decoders[camera.name])
        except ValueError as error:
            self.refused[camera.topic] = str(error)
            return
        if image is None:  # video that began between two key frames
            return
        stamp_ns, now_ns = stamp_of(message), self._now_ns()
        self._note_unnamed(camera, message)
        refusal = self._checks[camera.name].refuse_image(image, stamp_ns, now_ns)
        if not refusal:
            self._cameras[camera.name].push(stamp_ns, image)
        self._note(camera.topic, refusal or None)

    def on_joints(self, arm: ArmSpec, message: JointState) -> None:
        """Take a joint state of an arm, or note why it is refused."""
        if not set(arm.state_joints) & set(message.name):  # of another arm on the topic
            if not len(self._arms[arm.name]):
                self._note(self._joint_streams[arm.name], describe_missing(arm, message))
            return
        reason = self._find_ahead(stamp_of(message))
        try:
            reason = reason or self._arms[arm.name].push(stamp_of(message), message)
        except ValueError as error:
            reason = str(error)
        unstamped = reason is not None and not stamp_of(message)
        self._note(self._joint_streams[arm.name], UNSTAMPED if unstamped else reason)

    def _now_ns(self) -> int:
        """Return the time now [ns, ROS clock]; forget what came before the clock was set back."""
        now_ns = self._clock.now().nanoseconds
        back_ns, self._read_ns = self._read_ns - now_ns, now_ns
        if back_ns > SET_BACK_NS:
            self._log.warning(
                f'the clock was set back by {back_ns * 1e-9:.2f} s; images and joint states of '
                'before are forgotten'
            )
            for camera in self._robot.cameras:
                self._cameras[camera.name].clear()
                self._checks[camera.name] = ImageCheck(camera)
            for arm in self._arms.values():
                arm.clear()
        return now_ns

    def _note_unnamed(self, camera: CameraSpec, message: Image) -> None:
        """Log once what is taken for colours that have no order."""
        encoding = getattr(message, 'encoding', '')
        if encoding in UNNAMED and camera.topic not in self._unnamed:
            self._unnamed.add(camera.topic)
            self._log.warning(describe_unnamed(camera, encoding))

    def _find_ahead(self, stamp_ns: int) -> str | None:
        """Return that a stamp is too far ahead of this clock [ns, ROS clock], None if not."""
        ahead_ns = stamp_ns - self._now_ns()
        if ahead_ns <= AHEAD_NS:
            return None
        return f'its stamp is {ahead_ns * 1e-6:.0f} ms ahead of this clock'

    def _note(self, topic: str, reason: str | None) -> None:
        if reason is None:
            self.refused.pop(topic, None)
        else:
            self.refused[topic] = reason
