# SPDX-License-Identifier: Apache-2.0
"""What the policy imagined beside what came, from the messages of a running stack."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
from functools import partial

from cosmos_policy_ros.align import arm_pose, stamp_of
from cosmos_policy_ros.control.imagination import compare, Comparison, Expectation, shrink
from cosmos_policy_ros.image_decoder import image_of
from cosmos_policy_ros.robot import CameraSpec, RobotSpec
from cosmos_policy_ros.ros.convert import candidates_from_message, chunk_from_message
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.ros.newest import NewestMessages
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    camera_images,
    CANDIDATES,
    future_image,
    JOINT_STATES,
)
from cosmos_policy_ros.types import Candidates, find_played
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2
from trajectory_msgs.msg import JointTrajectory

PATIENCE_NS = 300_000_000  # how long images may take that show an instant
LATE_NS = 60_000_000  # how old joints may be at it


class ImaginationFollower:
    """Expectations of the chunks that are played, and the comparisons when they are due."""

    def __init__(self, node: Node, robot: RobotSpec, share: float) -> None:
        """Subscribe; the inference node predicts images from then on.

        Args:
            node: Node that owns the subscriptions.
            robot: Robot whose cameras and arms are looked at.
            share: Share of the area of a live image that the predicted ones show.
        """
        self._robot, self._share, self._clock = robot, share, node.get_clock()
        self._colours = {camera.name: camera.colours for camera in robot.cameras}
        self._answers: list[tuple[Candidates, float]] = []  # of the newest query, with their rate
        self._due: dict[int, int] = {}  # stamp of predicted images -> when they are really due
        self._expected: dict[int, Expectation] = {}  # by when it is due [ns, ROS clock]
        self._images = {camera.name: camera_images(camera) for camera in robot.cameras}
        self._joints = {arm.name: JOINT_STATES.at(arm.joint_state_topic) for arm in robot.arms}
        self._sensors = NewestMessages(node, [*self._images.values(), *self._joints.values()])
        create_subscription(node, CANDIDATES, self._on_candidates)
        create_subscription(node, ACTION_CHUNK, self._on_chunk)
        for camera in robot.cameras:
            callback = partial(self._on_future, camera)
            create_subscription(node, future_image(camera.name), callback)

    def forget(self) -> None:
        """Expect nothing any more, as when the arms stop."""
        self._expected.clear()
        self._due.clear()

    def compare_due(self, now_ns: int) -> Iterator[Comparison]:
        """Yield the comparisons of what has come due.

        Args:
            now_ns: Time now [ns, ROS clock].
        """
        for due_ns in sorted(ns for ns in self._expected if ns <= now_ns):
            expected = self._expected[due_ns]
            images = self._take_images(expected.images, due_ns)
            if len(images) < len(expected.images) and now_ns - due_ns < PATIENCE_NS:
                continue  # an image of that instant is still on its way
            pose = self._take_pose(due_ns)
            del self._expected[due_ns]
            yield compare(expected, pose, images, self._robot.arm_joints)

    def _on_candidates(self, message: PointCloud2) -> None:
        with contextlib.suppress(ValueError):  # the planner says what is wrong with it
            candidates, rate_hz = candidates_from_message(message, self._robot.joint_names)
            if self._answers and self._answers[0][0].stamp_ns != candidates.stamp_ns:
                self._answers = []
            self._answers.append((candidates, rate_hz))

    def _on_chunk(self, message: JointTrajectory) -> None:
        """Expect the joints that the chosen candidate leads to, and images at that time."""
        with contextlib.suppress(ValueError):
            chunk = chunk_from_message(message, self._robot.joint_names)
            answers = [a for a in self._answers if a[0].stamp_ns == chunk.stamp_ns]
            if not answers:
                return
            candidates = [answer for answer, _ in answers]
            poses = np.concatenate([answer.future_proprio for answer in candidates])
            chosen, _ = find_played(candidates, chunk.positions)
            horizon, rate_hz = candidates[0].positions.shape[1], answers[0][1]
            if chosen is None or len(chunk.positions) < horizon:
                return  # what was predicted is of when all rows are played
            # images are stamped for the policy's own speed, which the chunk may be played below
            stamp_ns = chunk.stamp_ns + round(horizon / rate_hz * 1e9)
            due_ns = chunk.stamp_ns + round(horizon / chunk.rate_hz * 1e9)
            self._due = {ns: due for ns, due in self._due.items() if ns > chunk.stamp_ns}
            if due_ns <= self._clock.now().nanoseconds:
                return  # too late to be played
            self._due[stamp_ns] = due_ns
            pose = poses[chosen] if poses.shape[1] else None  # of a policy that predicts none
            self._expected[due_ns] = Expectation(due_ns, pose, {}, {})

    def _on_future(self, camera: CameraSpec, message: Image) -> None:
        """Expect an image, and keep what the camera shows meanwhile."""
        due_ns = self._find_due(stamp_of(message))
        expected = None if due_ns is None else self._expected.get(due_ns)
        if expected is None:
            return
        before = dict(expected.before)
        live = self._sensors.take(self._images[camera.name])
        if live is not None:
            before[camera.name] = shrink(image_of(live, camera.colours), self._share)
        images = {**expected.images, camera.name: shrink(image_of(message))}
        self._expected[expected.due_ns] = expected._replace(images=images, before=before)

    def _find_due(self, stamp_ns: int) -> int | None:
        """Return when predicted images of a stamp are due, as rates travel rounded."""
        near = [due for ns, due in self._due.items() if abs(ns - stamp_ns) < 1_000_000]
        return near[0] if near else None

    def _take_images(self, cameras: object, due_ns: int) -> dict[str, NDArray[np.float32]]:
        """Return camera -> thumbnail, of those whose newest image is of an instant or later."""
        found = {}
        for camera in cameras:
            message = self._sensors.take(self._images[camera])
            if message is not None and stamp_of(message) >= due_ns:
                colours = self._colours[camera]
                found[camera] = shrink(image_of(message, colours), self._share)
        return found

    def _take_pose(self, due_ns: int) -> NDArray[np.float32] | None:
        """Return the (P,) measured joints of an instant, None where an arm is silent."""
        poses = []
        for arm in self._robot.arms:
            message = self._sensors.take(self._joints[arm.name])
            if message is None or stamp_of(message) < due_ns - LATE_NS:
                return None
            with contextlib.suppress(ValueError):
                poses.append(arm_pose(arm, message))
        return np.concatenate(poses) if len(poses) == len(self._robot.arms) else None
