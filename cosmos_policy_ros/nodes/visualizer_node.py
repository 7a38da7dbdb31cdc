# SPDX-License-Identifier: Apache-2.0
"""Draws what the policy is about to do, for RViz and Foxglove, while somebody looks.

The ways of the hands are those of the scene in the robot file (``control/collision.py``), in whose
frame everything is drawn; without a scene there is only text. Sensors and commands are looked at
when a picture is drawn, a few times a second, and ways are drawn then if any has changed: a query,
its candidates and the chosen one come one after the other. Predicted images that were drawn
already are not drawn again.

To receive costs about as much as to draw, since sensors send hundreds of messages a second. So
measured joints, most of these messages, are subscribed to only while no joint is commanded, and
nothing at all while nobody looks.
"""

from __future__ import annotations

from collections.abc import Mapping
import contextlib
from dataclasses import dataclass
from pathlib import Path
import textwrap
from typing import Any

from cosmos_policy_ros.align import arm_pose, stamp_of
from cosmos_policy_ros.control.collision import open_scene
from cosmos_policy_ros.image_decoder import image_array, image_of
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros import markers
from cosmos_policy_ros.ros.convert import (
    candidates_from_message,
    command_positions,
    image_message,
    time_message,
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
)
from cosmos_policy_ros.types import Candidates, find_played
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image, PointCloud2
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
    rate_hz: float = param(4.0, 'Pictures per second [Hz].', 0.5, 30.0)
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
        self._commands: NewestMessages | None = None  # while somebody looks at markers
        self._followed: list[Subscription] = []  # then
        self._states: NewestMessages | None = None  # then, while nothing is commanded
        self._views: NewestMessages | None = None  # while somebody looks at images
        self._wall: Image | None = None  # then, sent again and again with other pixels
        self._drawn: dict[str, Any] = {}  # camera -> message of the prediction in it
        cameras = self.robot.cameras
        self._live = {c.name: camera_images(c) for c in cameras}
        self._predicted = {c.name: future_image(c.name) for c in cameras}
        create_timer(self, LOOK_S, self._look)
        self._drawing = create_timer(self, 1.0 / p.rate_hz, self._draw)
        self._drawing.cancel()  # until somebody looks
        where = f'the scene of {self.robot.name}' if self._scene else 'no scene, so text only'
        self.get_logger().info(f'drawing {where} at {p.rate_hz} Hz while somebody looks')

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _look(self) -> None:
        """Subscribe and draw while somebody looks, and only then."""
        if bool(self._commands) != has_listeners(self._markers):
            self._watch_motion(not self._commands)
        if bool(self._views) != has_listeners(self._images):
            self._watch_images(not self._views)
        is_seen = bool(self._commands or self._views)
        if not is_seen:
            self._drawing.cancel()
        elif self._drawing.is_canceled():
            self._drawing.reset()

    def _watch_motion(self, wanted: bool) -> None:
        """Begin or end to follow what the arms do."""
        self._answers, self._is_new, self._status = [], False, None
        if self._commands is not None:
            self._commands.close()
        while self._followed:
            self.destroy_subscription(self._followed.pop())
        self._commands = None
        self._watch_states(False)
        if wanted:
            self._commands = NewestMessages(self, [JOINT_COMMAND])
            self._followed = [
                create_subscription(self, CANDIDATES, self._on_candidates),
                create_subscription(self, ACTION_CHUNK, self._on_chunk),
                create_subscription(self, QUERY, self._on_query),
                create_subscription(self, TASK, self._on_task),
                subscribe_status(self, EXECUTOR_STATUS, ExecutorStatus, self._on_status),
            ]

    def _watch_states(self, wanted: bool) -> None:
        """Follow the measured joints, or do not."""
        if self._states is not None and not wanted:
            self._states.close()
            self._states = None
        elif self._states is None and wanted:
            topics = [JOINT_STATES.at(topic) for topic in self.robot.joint_state_topics]
            self._states = NewestMessages(self, topics)

    def _watch_images(self, wanted: bool) -> None:
        """Begin or end to follow cameras and predictions, which are made for who follows them."""
        if self._views is not None:
            self._views.close()
        self._views, self._wall, self._drawn = None, None, {}
        if wanted:
            topics = [*self._live.values(), *self._predicted.values()]
            self._views = NewestMessages(self, topics)
            wall = compose_wall(self.robot.cameras, {}, {}, None)
            self._wall = image_message(wall, self._now_ns(), self.params.frame)

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
        if self._commands:
            drawn = [self._draw_state()]
            if (pose := self._pose(self._commands)) is not None:
                drawn += self._draw_pose(pose)
            anew, self._is_new = self._is_new, False
            drawn += self._draw_ways() if anew else []
            self._markers.publish(markers.marker_array(drawn, self.params.frame, anew))
        if self._views and self._wall:
            self._publish_images(self._views, self._wall)

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

    def _pose(self, commands: NewestMessages) -> NDArray[np.float32] | None:
        """Return the (A,) commanded pose, or the measured one where nothing is commanded now."""
        command = commands.take(JOINT_COMMAND)
        is_commanded = command is not None and abs(self._now_ns() - stamp_of(command)) < OLD_NS
        self._watch_states(not is_commanded)
        with contextlib.suppress(ValueError):  # of another robot, which others report
            if is_commanded:
                return command_positions(command, self.robot.joint_names)
            topics = [JOINT_STATES.at(arm.joint_state_topic) for arm in self.robot.arms]
            states = [self._states.take(topic) for topic in topics] if self._states else [None]
            if all(state is not None for state in states):
                pairs = zip(self.robot.arms, states, strict=True)
                return np.concatenate([arm_pose(arm, state) for arm, state in pairs])
        return None

    def _publish_images(self, views: NewestMessages, wall: Image) -> None:
        """Send what the cameras show above what is predicted, drawn into the message itself."""
        live, predicted = (
            {camera: m for camera, topic in of.items() if (m := views.take(topic)) is not None}
            for of in (self._live, self._predicted)
        )
        now_ns = self._now_ns()
        ahead_s = max(((stamp_of(m) - now_ns) * 1e-9 for m in predicted.values()), default=None)
        anew, self._drawn = predicted != self._drawn, predicted
        images = self._decode(live), self._decode(predicted) if anew else None
        compose_wall(self.robot.cameras, *images, ahead_s, image_array(wall))
        wall.header.stamp = time_message(now_ns)
        self._images.publish(wall)

    def _decode(self, messages: Mapping[str, Any]) -> dict[str, NDArray[np.uint8]]:
        """Return camera -> image; one that cannot be shown is left out, and others say why."""
        images = {}
        for camera in self.robot.cameras:
            if camera.name in messages:
                with contextlib.suppress(ValueError):  # depth, or damaged
                    images[camera.name] = image_of(messages[camera.name], camera.colours)
        return images


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(VisualizerNode)


if __name__ == '__main__':
    main()
