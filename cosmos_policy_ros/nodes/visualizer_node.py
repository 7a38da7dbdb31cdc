# SPDX-License-Identifier: Apache-2.0
"""Draws what the policy is about to do, for RViz and Foxglove, while somebody looks.

The ways of the hands are those of the scene in the robot file (``control/collision.py``), in whose
frame everything is drawn; without a scene there is only text. Sensors and commands are looked at
when a picture is drawn, a few times a second, and ways are drawn then if any has changed: a query,
its candidates and the chosen one come one after the other. Nothing is subscribed to while nobody
looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import contextlib
from dataclasses import dataclass
from pathlib import Path
import textwrap
from typing import Any

from cosmos_policy_ros.align import arm_pose, stamp_of
from cosmos_policy_ros.control.collision import open_scene
from cosmos_policy_ros.image_decoder import image_of
from cosmos_policy_ros.robot import CameraSpec, read_robot
from cosmos_policy_ros.ros import markers
from cosmos_policy_ros.ros.convert import (
    candidates_from_message,
    command_positions,
    image_message,
    trajectory_rows,
)
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.endpoints import (
    create_publisher,
    create_subscription,
    create_timer,
    has_listeners,
)
from cosmos_policy_ros.ros.image_wall import compose_wall
from cosmos_policy_ros.ros.newest import NewestMessages
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    camera_images,
    CANDIDATES,
    EXECUTOR_STATUS,
    future_image,
    IMAGES,
    JOINT_COMMAND,
    JOINT_STATES,
    MARKERS,
    QUERY,
    TASK,
    Topic,
)
from cosmos_policy_ros.types import Candidates, find_played
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import Marker

LOOK_S = 0.5  # [s] between two looks whether anybody subscribes
OLD_NS = 3_000_000_000  # a command tells no longer where the arms are
AT_LIMIT = 2e-3  # [rad] from the end of its range at which a joint counts as there
TEXT_PLACE = np.array([0.0, 0.0, 0.75])  # [m] of state and reason, above the table
LINE = 60  # characters of a line of text
COLOURS = {
    'playing': markers.GREEN,
    'disabled': markers.GREY,
    'ended': markers.AMBER,
    'hold': markers.AMBER,
    'fault': markers.RED,
}


@dataclass(frozen=True)
class VisualizerParams:
    """Parameters of the visualizer."""

    robot: str = param('', 'Robot YAML file with the scene; the launch file sets it.')
    rate_hz: float = param(5.0, 'Pictures per second [Hz].', 0.5, 30.0)
    frame: str = param('world', "Frame of the robot file's scene, in which everything is drawn.")


class VisualizerNode(Node):
    """Markers and images for people."""

    def __init__(self) -> None:
        """Open the topics of the pictures; nothing is subscribed to before somebody looks.

        Raises:
            ConfigError: The robot file or its scene is wrong.
        """
        super().__init__('visualizer')
        self.params = p = declare(self, VisualizerParams)
        self.robot = read_robot(Path(p.robot), self.get_namespace())
        self._scene = open_scene(self.robot)
        self._answers: list[Candidates] = []  # of the newest query, one of every inference node
        self._chunk: NDArray[np.float32] | None = None  # chosen for it
        self._committed: NDArray[np.float32] | None = None  # rows of that query
        self._query_ns = self._chunk_ns = 0  # stamps [ns, ROS clock]
        self._is_new = False  # whether the ways of these were not drawn yet
        self._status: ExecutorStatus | None = None
        self._task = ''

        self._markers = create_publisher(self, MARKERS)
        self._images = create_publisher(self, IMAGES)
        self._motion: NewestMessages | None = None  # while somebody looks at markers
        self._followed: list[Subscription] = []  # then
        self._views: NewestMessages | None = None  # while somebody looks at images
        create_timer(self, LOOK_S, self._look)
        create_timer(self, 1.0 / p.rate_hz, self._draw)
        where = f'the scene of {self.robot.name}' if self._scene else 'no scene, so text only'
        self.get_logger().info(f'drawing {where} at {p.rate_hz} Hz while somebody looks')

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _look(self) -> None:
        """Subscribe while somebody looks, and only then."""
        if bool(self._motion) != has_listeners(self._markers):
            self._watch_motion(not self._motion)
        if bool(self._views) != has_listeners(self._images):
            self._watch_images(not self._views)

    def _watch_motion(self, wanted: bool) -> None:
        """Begin or end to follow what the arms do."""
        self._answers, self._is_new, self._status = [], False, None
        if self._motion is not None:
            self._motion.close()
        while self._followed:
            self.destroy_subscription(self._followed.pop())
        self._motion = None
        if wanted:
            joints = [JOINT_STATES.at(topic) for topic in self.robot.joint_state_topics]
            self._motion = NewestMessages(self, [JOINT_COMMAND, *joints])
            self._followed = [
                create_subscription(self, CANDIDATES, self._on_candidates),
                create_subscription(self, ACTION_CHUNK, self._on_chunk),
                create_subscription(self, QUERY, self._on_query),
                create_subscription(self, TASK, self._on_task),
                subscribe_status(self, EXECUTOR_STATUS, ExecutorStatus, self._on_status),
            ]

    def _watch_images(self, wanted: bool) -> None:
        """Begin or end to follow cameras and predictions, which are made for who follows them."""
        if self._views is not None:
            self._views.close()
        self._views = None
        if wanted:
            cameras = self.robot.cameras
            live, predicted = _image_topics(cameras)
            self._views = NewestMessages(self, [*live.values(), *predicted.values()])

    def _on_candidates(self, message: PointCloud2) -> None:
        with contextlib.suppress(ValueError):  # the planner says what is wrong with it
            candidates, _ = candidates_from_message(message, self.robot.joint_names)
            if self._answers and self._answers[0].stamp_ns != candidates.stamp_ns:
                self._answers = []
            self._answers.append(candidates)
            self._is_new = True

    def _on_chunk(self, message: JointTrajectory) -> None:
        with contextlib.suppress(ValueError):
            self._chunk = trajectory_rows(message, self.robot.joint_names)
            self._chunk_ns = stamp_of(message)
            self._is_new |= self._answers_query(self._chunk_ns)

    def _on_query(self, message: JointTrajectory) -> None:
        with contextlib.suppress(ValueError):
            self._committed = trajectory_rows(message, self.robot.joint_names)
            self._query_ns = stamp_of(message)
            self._is_new |= self._answers_query(self._query_ns)

    def _on_task(self, message: String) -> None:
        self._task = message.data

    def _on_status(self, status: ExecutorStatus) -> None:
        self._status = status

    def _answers_query(self, stamp_ns: int) -> bool:
        """Return whether the candidates at hand are those of a query."""
        return bool(self._answers) and self._answers[0].stamp_ns == stamp_ns

    def _draw_ways(self) -> list[Marker]:
        """Return the candidates of the newest query and the rows that it committed to."""
        if self._scene is None:
            return []
        rows = [rows for answer in self._answers for rows in answer.positions]  # (H, A) each
        values = [value for answer in self._answers for value in answer.mean_values]
        chosen = None
        if self._chunk is not None and self._answers_query(self._chunk_ns):
            chosen, _ = find_played(self._answers, self._chunk)
        drawn = markers.draw_paths(
            [
                markers.Path(path, float(value), i == chosen)
                for i, (chunk, value) in enumerate(zip(rows, values, strict=True))
                for path in self._scene.tool_paths(chunk)
            ]
        )
        if self._committed is not None and self._answers_query(self._query_ns):
            places = self._scene.tool_paths(self._committed).reshape(-1, 3)
            drawn += markers.draw_committed(places)
        return drawn

    def _draw(self) -> None:
        """Send a picture to whoever looks."""
        if self._motion:
            drawn = [self._draw_state()]
            if (pose := self._pose(self._motion)) is not None:
                drawn += self._draw_pose(pose)
            anew, self._is_new = self._is_new, False
            drawn += self._draw_ways() if anew else []
            self._markers.publish(markers.marker_array(drawn, self.params.frame, anew))
        if self._views:
            self._publish_images(self._views)

    def _draw_state(self) -> Marker:
        """Return what the executor does and why, as text."""
        status = self._status
        if status is None:
            text, colour = 'no command executor', markers.GREY
        else:
            mode = status.mode.upper() if status.state != 'enabled' else status.mode
            mode = 'EMERGENCY STOP' if status.stopped else mode
            lines = textwrap.wrap(status.reason, LINE)
            text = '\n'.join([mode, *lines, *textwrap.wrap(self._task, LINE)])
            colour = markers.RED if status.stopped else COLOURS[status.mode]
        return markers.draw_text('state', 0, text, TEXT_PLACE, colour)

    def _draw_pose(self, pose: NDArray[np.float32]) -> list[Marker]:
        """Return the joints at their limits and the two nearest shapes at an (A,) pose."""
        if self._scene is None:
            return []
        robot, places = self.robot, self._scene.joint_places(pose)
        at_limit = (pose < robot.lower + AT_LIMIT) | (pose > robot.upper - AT_LIMIT)
        hit = [n for n, at in zip(robot.joint_names, at_limit, strict=True) if at and n in places]
        near = self._scene.clearance(pose)
        text = f'{near.shapes}: {near.distance_m * 1e3:.0f} mm'
        return [
            *markers.draw_limits([places[name] for name in hit]),
            *markers.draw_clearance(near.ends, text, near.distance_m < robot.clearance_m),
        ]

    def _pose(self, motion: NewestMessages) -> NDArray[np.float32] | None:
        """Return the (A,) commanded pose, or the measured one where nothing is commanded now."""
        command = motion.take(JOINT_COMMAND)
        with contextlib.suppress(ValueError):  # of another robot, which others report
            if command is not None and abs(self._now_ns() - stamp_of(command)) < OLD_NS:
                return command_positions(command, self.robot.joint_names)
            topics = [JOINT_STATES.at(arm.joint_state_topic) for arm in self.robot.arms]
            states = [motion.take(topic) for topic in topics]
            if all(state is not None for state in states):
                pairs = zip(self.robot.arms, states, strict=True)
                return np.concatenate([arm_pose(arm, state) for arm, state in pairs])
        return None

    def _publish_images(self, views: NewestMessages) -> None:
        """Send what the cameras show above what is predicted."""
        topics = _image_topics(self.robot.cameras)
        live, predicted = (
            {c: m for c, topic in of.items() if (m := views.take(topic)) is not None}
            for of in topics
        )
        now_ns = self._now_ns()
        ahead_s = max(((stamp_of(m) - now_ns) * 1e-9 for m in predicted.values()), default=None)
        images = [_decode(of, self.robot.cameras) for of in (live, predicted)]
        wall = compose_wall(self.robot.cameras, *images, ahead_s)
        self._images.publish(image_message(wall, now_ns, self.params.frame))


def _image_topics(cameras: Iterable[CameraSpec]) -> tuple[dict[str, Topic], dict[str, Topic]]:
    """Return camera -> topic of its images, and camera -> topic of its predicted images."""
    cameras = tuple(cameras)
    return (
        {c.name: camera_images(c.topic, c.transport) for c in cameras},
        {c.name: future_image(c.name) for c in cameras},
    )


def _decode(
    messages: Mapping[str, Any], cameras: Iterable[CameraSpec]
) -> dict[str, NDArray[np.uint8]]:
    """Return camera -> image; one that cannot be shown is left out, and others say why."""
    images = {}
    for camera in cameras:
        if camera.name in messages:
            with contextlib.suppress(ValueError):  # depth, or damaged
                images[camera.name] = image_of(messages[camera.name], camera.colours)
    return images


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(VisualizerNode)


if __name__ == '__main__':
    main()
