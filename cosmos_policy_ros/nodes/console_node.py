# SPDX-License-Identifier: Apache-2.0
"""A page in the browser that shows a running stack and operates it.

What it shows are topics that others publish, what it does are services that others offer, and
nobody needs it: when it is killed, or a page is closed, the stack goes on as it was. Sensors and
images are subscribed to while a page is open, poses and markers while its 3D view is.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
import secrets
from threading import Thread
import time
from typing import Any

from ament_index_python.packages import get_package_share_path, PackageNotFoundError
from cosmos_policy_ros.console.door import Access, Door, is_loopback
from cosmos_policy_ros.console.urdf import UrdfModel
from cosmos_policy_ros.console.view import View
from cosmos_policy_ros.drivers.jpeg import encode_jpeg
from cosmos_policy_ros.drivers.pedal import open_pedal, read_keys
from cosmos_policy_ros.image_decoder import decode_file, image_of
from cosmos_policy_ros.mujoco_import import mujoco
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.endpoints import create_subscription, create_timer
from cosmos_policy_ros.ros.image_wall import find_differences
from cosmos_policy_ros.ros.newest import NewestMessages
from cosmos_policy_ros.ros.operator_desk import OperatorDesk
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stream_rates import StreamRates
from cosmos_policy_ros.sim.urdf import write_urdf
from cosmos_policy_ros.status import PlannerStatus
from cosmos_policy_ros.topics import (
    IMAGES,
    JOINT_STATES,
    MARKERS,
    ROBOT_DESCRIPTION,
    ROBOT_JOINT_STATES,
    START_IMAGES,
)
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

LOOK_S = 0.25  # [s] between two looks whether anybody looks
POSE_S = 0.05  # [s] between two poses of the arms
JPEG_QUALITY = 80
OLD_S = 2.0  # [s] after which images say no longer how near the scene is to a start state
# Of ``find_differences`` up to which a camera shows the start state: a cube of 4 cm that lies 1 cm
# elsewhere makes 8 in the simulator, 2 cm 16, the noise of a sensor 1 to 2.
MATCH_LEVELS = 8.0


@dataclass(frozen=True)
class ConsoleParams:
    """Parameters of the console."""

    robot: str = param('', 'Robot YAML file with cameras and arms; the launch file sets it.')
    host: str = param(
        '127.0.0.1',
        'Address that is listened at; 0.0.0.0 lets whoever has the token in, from everywhere.',
    )
    port: int = param(8080, 'Port; 0 takes a free one.', 0, 65535)
    read_only: bool = param(
        False,
        'true lets people look and press nothing; the stop alone is for who has the second '
        'address that is logged.',
    )
    pedal: str = param(
        '', 'Input device whose keys are taken too, such as /dev/input/by-id/…; empty for none.'
    )


class ConsoleNode(Node):
    """The desk of an operator behind a page."""

    def __init__(self) -> None:
        """Listen; sensors are subscribed to once a page is open.

        Raises:
            ConfigError: The robot file is wrong, ``viser`` is missing, the address is taken, or
                the pedal cannot be read, or would do nothing.
        """
        super().__init__('console')
        self.params = p = declare(self, ConsoleParams)
        if p.pedal and p.read_only:
            msg = f'read_only is true, and the pedal {p.pedal} would stop nothing; leave one out'
            raise ConfigError(msg)
        self.robot = read_robot(Path(p.robot), self.get_namespace())
        self._start: NDArray[np.uint8] | None = None  # what the cameras are to show at first
        self._start_name, self._n_starts = '', 0
        self._differences: dict[str, float] = {}  # of the newest images to that
        self._compared_s = 0.0  # [s, monotonic]
        self._view = View(self.robot.name)
        self._desk = OperatorDesk(self)
        token = '' if is_loopback(p.host) else secrets.token_urlsafe(16)
        page = share_path('config', 'console.html').read_bytes()
        access = Access(token, p.read_only, secrets.token_urlsafe(16) if p.read_only else '')
        self.door = Door(p.host, p.port, page, access, self._view.port, self._state, self._press)
        if p.pedal:
            self._desk.follow_keys(read_keys(open_pedal(Path(p.pedal))), p.pedal)
        self._streams: StreamRates | None = None  # while a page is open, as the next
        self._images: Subscription | None = None
        self._joints: NewestMessages | None = None  # while its 3D view is open, as the next
        self._markers: Subscription | None = None
        self._queries = 0  # of the planner at the last plan that was drawn
        if self.robot.scene is not None:
            self._draw_robot(partial(_describe_scene, Path(self.robot.scene)))
        create_subscription(self, ROBOT_DESCRIPTION, self._on_description)
        create_subscription(self, START_IMAGES, self._on_start_images)
        create_timer(self, LOOK_S, self._look)
        create_timer(self, POSE_S, self._move)
        what = 'to look only' if p.read_only else 'to look and operate'
        self.get_logger().info(f'the console, {what}: {self.door.url}')
        if p.read_only:
            self.get_logger().info(f'with the emergency stop: {self.door.stop_url}')

    def destroy_node(self) -> None:
        """Close the server, then the node."""
        if hasattr(self, 'door'):
            self.door.close()
        if hasattr(self, '_view'):
            self._view.close()
        super().destroy_node()

    def _state(self) -> dict[str, Any]:
        """Return what a page shows; called in threads of the server."""
        streams = self._streams
        return self._desk.view() | {
            'streams': streams.rows() if streams is not None else [],
            'has_images': self.count_publishers(IMAGES.ros_name) > 0,
            'start': self._describe_start(),
        }

    def _describe_start(self) -> dict[str, Any] | None:
        """Return the start state and how near it is, None where there is none to show."""
        if self._start is None:
            return None
        is_old = time.monotonic() - self._compared_s > OLD_S
        differences = {} if is_old else self._differences
        return {
            'name': self._start_name,
            'number': self._n_starts,  # by which a page knows that it is another
            'differences': {name: round(levels) for name, levels in differences.items()},
            'matches': bool(differences) and max(differences.values()) <= MATCH_LEVELS,
        }

    def _press(self, kind: str, value: Any) -> None:
        """Do what was pressed on a page; called in threads of the server.

        Raises:
            ValueError: It cannot be done.
        """
        if kind == 'operation':
            self._desk.request(value)
        elif kind == 'key':
            self._desk.press_key(value)
        elif kind == 'task':
            self._desk.set_task(value)
        elif kind == 'episodes':
            self._desk.set_episodes(value)
        elif kind == 'words':
            self._add_words(value)
        else:
            self._desk.set_speed(value)

    def _add_words(self, words: dict[str, Any]) -> None:
        """Say in words what became of an episode.

        Raises:
            ValueError: It is another thing than its name and two texts.
        """
        if {*words} != {'episode', 'failure', 'note'} or {*map(type, words.values())} != {str}:
            msg = f'words are episode, failure and note, each a text, got {words}'
            raise ValueError(msg)
        self._desk.add_words(**words)

    def _look(self) -> None:
        """Subscribe while somebody looks, and only then."""
        if bool(self.door.n_pages) != (self._streams is not None):
            self._follow(self._streams is None)
        if self._view.is_open != (self._joints is not None):
            self._watch_view(self._joints is None)

    def _follow(self, wanted: bool) -> None:
        """Begin or end to follow sensors and images."""
        if self._streams is not None:
            self._streams.close()
        if self._images is not None:
            self.destroy_subscription(self._images)
        self._streams = self._images = None
        self._differences = {}
        if wanted:
            self._streams = StreamRates(self, self.robot)
            self._images = create_subscription(self, IMAGES, self._on_images)

    def _watch_view(self, wanted: bool) -> None:
        """Begin or end to follow joints and markers."""
        if self._joints is not None:
            self._joints.close()
        if self._markers is not None:
            self.destroy_subscription(self._markers)
        self._joints = self._markers = None
        if wanted:
            arms = [JOINT_STATES.at(topic) for topic in self.robot.joint_state_topics]
            self._joints = NewestMessages(self, [*arms, ROBOT_JOINT_STATES])
            self._markers = create_subscription(self, MARKERS, self._on_markers)

    def _on_images(self, message: Image) -> None:
        wall = image_of(message)
        self.door.images.put(encode_jpeg(wall, JPEG_QUALITY))
        with contextlib.suppress(ValueError):  # of another robot's recordings
            if self._start is not None:
                self._differences = find_differences(self.robot.cameras, wall, self._start)
                self._compared_s = time.monotonic()

    def _on_start_images(self, message: CompressedImage) -> None:
        """Take the start state of the next episode, or that there is none."""
        jpeg = bytes(message.data)
        try:
            self._start, self._differences = decode_file(jpeg) if jpeg else None, {}
        except ValueError as error:
            self._start = None
            self.get_logger().error(f'{START_IMAGES.name}: {error}')
        self._start_name, self._n_starts = message.header.frame_id, self._n_starts + 1
        self.door.start_image = jpeg if self._start is not None else b''

    def _on_markers(self, message: MarkerArray) -> None:
        self._view.show_markers(message.markers, time.monotonic())

    def _on_description(self, message: String) -> None:
        """Draw the robot, beside the callbacks: its meshes take a second to read."""
        Thread(target=self._draw_robot, args=(lambda: message.data,), daemon=True).start()

    def _draw_robot(self, describe: Callable[[], str]) -> None:
        """Draw the robot of a URDF; where that cannot be had, the arms are not drawn."""
        try:
            self._view.show_robot(UrdfModel(describe(), _find_package))
        except ValueError as error:
            self.get_logger().error(str(error))

    def _move(self) -> None:
        """Draw where the arms are, and what has changed otherwise."""
        if self._joints is not None:
            self._view.move(self._measure(self._joints))
            self._view.show_markers([], time.monotonic())
        planner = self._desk.reports.get(PlannerStatus)
        if planner is not None and planner.best >= 0 and planner.queries != self._queries:
            self._queries = planner.queries
            self._view.add_plan(
                time.monotonic(), planner.scores, planner.value, planner.query_ms_p50
            )

    def _measure(self, joints: NewestMessages) -> dict[str, float]:
        """Return joint -> position [rad; m], under each name that a description may have."""
        positions: dict[str, float] = {}
        for arm in self.robot.arms:
            state = joints.take(JOINT_STATES.at(arm.joint_state_topic))
            for name, position in zip(state.name, state.position, strict=False) if state else ():
                for known in (name, f'{arm.name}_{name}', f'{arm.name}/{name}'):
                    positions[known] = position
        whole = joints.take(ROBOT_JOINT_STATES)
        return positions | (dict(zip(whole.name, whole.position, strict=False)) if whole else {})


def _describe_scene(path: Path) -> str:
    """Return the scene of a robot file as a URDF, to be drawn until a driver publishes its own.

    Raises:
        ValueError: The file is damaged, or has what URDF cannot say.
    """
    model = mujoco.MjModel.from_xml_path(str(path))
    return write_urdf(model, path.stem, lambda name: name, np.zeros(3))


def _find_package(name: str) -> Path | None:
    """Return the share folder of a ROS package, None where it is not installed."""
    try:
        return get_package_share_path(name)
    except (PackageNotFoundError, ValueError):
        return None


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(ConsoleNode)


if __name__ == '__main__':
    main()
