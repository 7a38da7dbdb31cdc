# SPDX-License-Identifier: Apache-2.0
"""Publishes what one camera, or all arms, of a robot would, to load and measure other nodes.

The content is a fixed pattern; only the stamps change. What was published is written to
``<out>/<stream>.json`` at the end. With ``record_s`` the node also lets the recorder record
one episode and writes its window to ``<out>/window.json``.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
import struct
import time
from typing import Any

from cosmos_policy_ros.control.realtime import request_realtime
from cosmos_policy_ros.control.ticks import sleep_until, Ticker
from cosmos_policy_ros.robot import CameraSpec, read_robot, RobotSpec
from cosmos_policy_ros.ros.control_loop import run_ticks
from cosmos_policy_ros.ros.convert import image_message, joint_state_message
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.endpoints import create_client, create_publisher
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.topics import (
    IMAGE,
    JOINT_STATES,
    START_RECORDING,
    STOP_RECORDING,
    TASK,
)
from cosmos_policy_ros.types import ConfigError
import numpy as np
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

ARMS = 'arms'
STAMP_OFFSET = 4  # [bytes] of the stamp in a serialized message that begins with a header
RETRY_S = 0.5  # [s] between two requests to start


@dataclass(frozen=True)
class FakeSensorParams:
    """Parameters of the fake sensor."""

    robot: str = param('', 'Robot YAML file; the measurement sets it.')
    stream: str = param(ARMS, 'Name of a camera, or arms for the joint states of all arms.')
    out: str = param('', 'Folder for what was published; the measurement sets it.')
    record_s: float = param(
        0.0, 'Length of the one episode to record [s]; 0 only publishes.', 0.0, 3600.0
    )
    realtime_priority: int = param(
        40, "SCHED_FIFO priority, below the executor's; 0 keeps normal scheduling.", 0, 99
    )
    discovery_s: float = param(
        3.5,
        'How long to search for another robot on these topics [s]; a shorter time may overlook '
        'one.',
        0.0,
        30.0,
    )


class FakeSensorNode(Node):
    """Publish at the nominal rate and account for every message."""

    def __init__(self) -> None:
        """Prepare the messages.

        Raises:
            ConfigError: The robot file is wrong or has no such stream, or another robot
                publishes it.
        """
        super().__init__('fake_sensor')
        self.params = p = declare(self, FakeSensorParams)
        robot = read_robot(Path(p.robot), self.get_namespace())
        cameras = {camera.name: camera for camera in robot.cameras}
        if p.stream != ARMS and p.stream not in cameras:
            msg = f'no stream {p.stream!r}; the robot has {[ARMS, *cameras]}'
            raise ConfigError(msg)
        if p.stream == ARMS:
            rate_hz = robot.joint_state_rate_hz
            topics = [JOINT_STATES.at(topic) for topic in robot.joint_state_topics]
            messages = [_start_pose(robot, topic.name) for topic in topics]
        else:
            camera = cameras[p.stream]
            rate_hz, topics = camera.rate_hz, [IMAGE.at(camera.topic)]
            messages = [_pattern(camera)]
        self._data = [bytearray(serialize_message(message)) for message in messages]
        refuse_second_stack(self, [t.name for t in topics], p.discovery_s)
        self._publishers_of = {t.name: create_publisher(self, t) for t in topics}
        self._stamps_ns: dict[str, list[int]] = {topic.name: [] for topic in topics}
        request_realtime(p.realtime_priority)  # hardware does not wait for a processor
        self._ticker = Ticker(1.0 / rate_hz, time.perf_counter())
        if p.record_s:
            create_publisher(self, TASK).publish(String(data='measure'))
            self._start = create_client(self, START_RECORDING)
            self._stop = create_client(self, STOP_RECORDING)
            self._pending: Any = None
            self._window: dict[str, Any] = {}
            self._next_ns = 0
        self.get_logger().info(f'publishing {[topic.name for topic in topics]} at {rate_hz} Hz')

    def run(self) -> None:
        """Tick until the context is shut down, then write what was published."""
        run_ticks(self, self._ticker, self._tick)

    def destroy_node(self) -> None:
        """Write what was published."""
        _write(Path(self.params.out) / f'{self.params.stream}.json', self._stamps_ns)
        super().destroy_node()

    def _tick(self, due_s: float) -> None:
        sleep_until(due_s)
        stamp_ns = self.get_clock().now().nanoseconds
        for (topic, publisher), data in zip(self._publishers_of.items(), self._data, strict=True):
            struct.pack_into('<iI', data, STAMP_OFFSET, *divmod(stamp_ns, 10**9))
            publisher.publish(bytes(data))
            self._stamps_ns[topic].append(stamp_ns)
        if self.params.record_s:
            self._drive(stamp_ns)

    def _drive(self, now_ns: int) -> None:
        """Request the episode until it starts, wait, and end it."""
        if self._pending is not None:
            if not self._pending.done():
                return
            answer, self._pending = self._pending.result(), None
            if 'stop_ns' in self._window:
                saved_s = (now_ns - self._window['stop_ns']) * 1e-9
                self._window |= {'success': answer.success, 'message': answer.message}
                self._window['saved_s'] = saved_s
            elif answer.success:
                self._window['start_ns'] = now_ns
            else:
                self._next_ns = now_ns + round(RETRY_S * 1e9)
                return
            _write(Path(self.params.out) / 'window.json', self._window)
        elif 'start_ns' not in self._window:
            if self._start.service_is_ready() and now_ns > self._next_ns:
                self._pending = self._start.call_async(Trigger.Request())
        elif 'stop_ns' not in self._window and now_ns > self._end_ns():
            self._window['stop_ns'] = now_ns
            self._pending = self._stop.call_async(SetBool.Request(data=True))

    def _end_ns(self) -> int:
        return self._window['start_ns'] + round(self.params.record_s * 1e9)


def _start_pose(robot: RobotSpec, topic: str) -> JointState:
    """Return the joint states of the arms on a topic at their start, with closed grippers."""
    arms = [arm for arm in robot.arms if arm.joint_state_topic == topic]
    poses = [np.array([*a.start[: len(a.joints)], *(0.0 for _ in a.grippers)]) for a in arms]
    positions = [x for a, p in zip(arms, poses, strict=True) for x in a.state_of_pose(p)]
    return joint_state_message([j for a in arms for j in a.state_joints], positions, 0)


def _pattern(camera: CameraSpec) -> Image:
    """Return an image of noise, the hardest to compress."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (camera.height, camera.width, 3), np.uint8)
    return image_message(pixels, 0, camera.name)


def _write(path: Path, value: object) -> None:
    """Write a JSON file, whole or not at all, without a wait for the disk: messages are due."""
    partial = path.with_suffix('.partial')
    partial.write_text(json.dumps(value), encoding='utf-8')
    partial.replace(path)


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(FakeSensorNode, FakeSensorNode.run)


if __name__ == '__main__':
    main()
