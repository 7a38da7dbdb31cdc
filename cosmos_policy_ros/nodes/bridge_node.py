# SPDX-License-Identifier: Apache-2.0
"""Shows the topics of a stack to Foxglove, over a websocket and for looking only.

Messages are passed on as they are, and a topic is subscribed to only while somebody looks at it.
In a namespace topics keep the names that they have without one, as in bags: one layout shows each
robot through the bridge of its own. It needs ``foxglove-sdk``, and no installation of ROS beside
the wheels.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.bags.writer import definition
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.ros.endpoints import create_subscription, create_timer, has_messages
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    camera_images,
    DIAGNOSTICS,
    DIAGNOSTICS_AGG,
    EXECUTOR_STATUS,
    future_image,
    IMAGES,
    IMAGINATION,
    INFERENCE_STATUS,
    JOINT_COMMAND,
    JOINT_STATES,
    MARKERS,
    PLANNER_STATUS,
    POLICY_STATUS,
    QUERY,
    RECORDER_STATUS,
    ROBOT_DESCRIPTION,
    ROBOT_JOINT_STATES,
    SIM_STATUS,
    SUCCESS,
    TASK,
    TF,
    Topic,
)
from cosmos_policy_ros.types import ConfigError
from rclpy.node import Node
from rclpy.subscription import Subscription

LOOK_S = 0.25  # [s] between two looks whether anybody looks
AGAIN_S = 2.0  # [s] after which a latched message is sent again, to whoever came since
SHOWN = (
    ROBOT_DESCRIPTION, ROBOT_JOINT_STATES, TF, MARKERS, IMAGES, TASK, QUERY, ACTION_CHUNK,
    JOINT_COMMAND, SUCCESS, POLICY_STATUS, IMAGINATION, EXECUTOR_STATUS, PLANNER_STATUS,
    INFERENCE_STATUS, RECORDER_STATUS, SIM_STATUS, DIAGNOSTICS, DIAGNOSTICS_AGG,
)  # fmt: skip


@dataclass(frozen=True)
class BridgeParams:
    """Parameters of the bridge."""

    robot: str = param('', 'Robot YAML file with cameras and arms; the launch file sets it.')
    host: str = param(
        '127.0.0.1',
        'Address that is listened at; 0.0.0.0 shows the robot to everybody on the network.',
    )
    port: int = param(8765, 'Port; 0 takes a free one.', 0, 65535)


class BridgeNode(Node):
    """A websocket channel for every topic."""

    def __init__(self) -> None:
        """Listen; nothing is subscribed to before somebody looks.

        Raises:
            ConfigError: The robot file is wrong, ``foxglove-sdk`` is missing, or the port is
                taken.
        """
        super().__init__('bridge')
        self.params = p = declare(self, BridgeParams)
        topics = shown_topics(
            read_robot(Path(p.robot)), read_robot(Path(p.robot), self.get_namespace())
        )
        foxglove = _import_foxglove()
        self._sink = foxglove.Context()
        self._channels = {
            topic: _open_channel(foxglove, self._sink, name, topic.type)
            for name, topic in topics.items()
            if has_messages(topic)
        }
        try:
            self._server = foxglove.start_server(
                name='cosmos_policy_ros', host=p.host, port=p.port, context=self._sink
            )
        except (OSError, RuntimeError) as error:
            msg = f'{p.host}:{p.port} cannot be listened at: {error}; give another port'
            raise ConfigError(msg) from error
        self._passed_on: dict[Topic, Subscription] = {}
        self._latched: dict[Topic, bytes] = {}
        create_timer(self, LOOK_S, self._look)
        create_timer(self, AGAIN_S, self._send_again)
        self.get_logger().info(
            f'{len(self._channels)} topics for Foxglove at ws://{p.host}:{self._server.port}'
        )

    def destroy_node(self) -> None:
        """Close the connections, then the node."""
        if hasattr(self, '_server'):
            self._server.stop()
        super().destroy_node()

    def _look(self) -> None:
        """Subscribe to what somebody looks at, and to nothing else."""
        for topic, channel in self._channels.items():
            if channel.has_sinks() == (topic in self._passed_on):
                continue
            if topic in self._passed_on:
                self.destroy_subscription(self._passed_on.pop(topic))
                self._latched.pop(topic, None)
            else:
                self._passed_on[topic] = self._pass_on(topic, channel)

    def _pass_on(self, topic: Topic, channel: Any) -> Subscription:
        """Pass the messages of a topic on as bytes."""

        def on_message(data: bytes) -> None:
            channel.log(data, log_time=self.get_clock().now().nanoseconds)
            if topic.qos.durability == 'transient_local':
                self._latched[topic] = data

        return create_subscription(self, topic, on_message, raw=True)

    def _send_again(self) -> None:
        for topic, data in self._latched.items():
            self._channels[topic].log(data, log_time=self.get_clock().now().nanoseconds)


def shown_topics(robot: RobotSpec, live: RobotSpec) -> dict[str, Topic]:
    """Return what people look at: name in Foxglove -> topic.

    Args:
        robot: Robot as its file describes it for a stack without a namespace, whose names these
            are.
        live: The same in the namespace of the bridge.
    """
    cameras = {
        camera_images(here).name: camera_images(there)
        for here, there in zip(robot.cameras, live.cameras, strict=True)
    }
    joints = {
        here: JOINT_STATES.at(there)
        for here, there in zip(robot.joint_state_topics, live.joint_state_topics, strict=True)
    }
    others = [*SHOWN, *(future_image(camera.name) for camera in robot.cameras)]
    return {**{topic.name: topic for topic in others}, **cameras, **joints}


def _open_channel(foxglove: Any, context: Any, name: str, message_type: str) -> Any:
    """Return a channel for messages of a type."""
    text, _ = definition(message_type)
    schema = foxglove.Schema(name=message_type, encoding='ros2msg', data=text.encode())
    return foxglove.Channel(name, message_encoding='cdr', schema=schema, context=context)


def _import_foxglove() -> Any:
    """Return the package ``foxglove``.

    Raises:
        ConfigError: It is not installed.
    """
    if find_spec('foxglove') is None:
        msg = 'the bridge to Foxglove needs foxglove-sdk; run: pip install foxglove-sdk'
        raise ConfigError(msg)
    import foxglove

    return foxglove


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(BridgeNode)


if __name__ == '__main__':
    main()
