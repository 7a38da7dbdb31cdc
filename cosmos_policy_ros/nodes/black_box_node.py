# SPDX-License-Identifier: Apache-2.0
"""Keeps the last half minute in memory, and writes it when motion faults or is stopped.

A report is a folder with a bag of what came (images as JPEG, a few a second), what all nodes
logged and their parameters. Nothing depends on this node: a disk that is full or may not be
written costs one line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
import math
from pathlib import Path
import re
from threading import Thread
import time
from typing import Any

from cosmos_policy_ros.data.bags.message_ring import Kept, MessageRing, write_report
from cosmos_policy_ros.data.bags.writer import definition
from cosmos_policy_ros.drivers.jpeg import encode_jpeg
from cosmos_policy_ros.image_decoder import image_of
from cosmos_policy_ros.resources import fault_reports, PACKAGE
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.capture import Capture, recorded_topics
from cosmos_policy_ros.ros.convert import compressed_message
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.endpoints import create_client, create_timer
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.service_calls import Caller, Conversation
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import (
    COMPRESSED_IMAGE,
    EXECUTOR_STATUS,
    GET_PARAMETERS,
    HUMAN_INTERVENTION,
    IMAGE,
    INFERENCE_STATUS,
    LIST_PARAMETERS,
    PLANNER_STATUS,
    RECORDER_STATUS,
    ROSOUT,
    SIM_STATUS,
    TASK,
)
from cosmos_policy_ros.types import ConfigError
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import GetParameters, ListParameters
import rclpy
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
import yaml

TICK_HZ = 5.0
STATUSES = (EXECUTOR_STATUS, PLANNER_STATUS, INFERENCE_STATUS, RECORDER_STATUS, SIM_STATUS)
LASTING = (TASK, HUMAN_INTERVENTION, *STATUSES)  # topics whose last message holds
LOG_LEVELS = {10: 'DEBUG', 20: 'INFO', 30: 'WARN', 40: 'ERROR', 50: 'FATAL'}
ANSWER_S = 1.0  # [s] that a node may take to tell its parameters
SLUG = 40  # characters of the reason in the name of a report


@dataclass(frozen=True)
class BlackBoxParams:
    """Parameters of the node that keeps the last seconds."""

    robot: str = param('', 'Robot YAML file; the launch file sets it.')
    out: str = param(
        '',
        'Folder of the reports; empty is fault_reports in the folder of the logs of ROS 2.',
    )
    seconds: float = param(30.0, 'How much is kept in memory [s].', 1.0, 600.0)
    after_s: float = param(2.0, 'How much after a fault or stop is kept too [s].', 0.0, 60.0)
    image_hz: float = param(
        5.0, 'Images of a camera that are kept, as JPEG [Hz]; 0 keeps none.', 0.0, 100.0
    )
    jpeg_quality: int = param(80, 'Quality of them, 1 to 100.', 1, 100)
    max_mb: float = param(
        200.0, 'Most that is kept in memory [MB]; the oldest messages give way.', 1.0, 1e5
    )
    keep: int = param(10, 'Reports that stay; older ones give way.', 1, 1000)
    min_free_mb: float = param(500.0, 'Disk that stays free beside a report [MB].', 0.0, 1e9)


class BlackBoxNode(Node):
    """A ring of messages, written when the executor faults or is stopped."""

    def __init__(self) -> None:
        """Subscribe to all that an episode is made of, to statuses and logs.

        Raises:
            ConfigError: The robot file is wrong.
        """
        super().__init__('black_box')
        self.params = p = declare(self, BlackBoxParams)
        robot = read_robot(Path(p.robot))
        live = read_robot(Path(p.robot), self.get_namespace())
        self._robot_text = Path(p.robot).read_text(encoding='utf-8')
        self._robot = robot.name
        self._folder = Path(p.out).expanduser() if p.out else fault_reports()
        self._ring = MessageRing(
            p.seconds + p.after_s, round(p.max_mb * 1e6), [topic.name for topic in LASTING]
        )
        self._image_s: dict[str, float] = {}  # topic -> when its last kept image came [monotonic]
        self._refused: set[str] = set()  # cameras whose images cannot be kept
        self._well = True  # as the executor reported last
        self._reason = ''  # of the report that is due
        self._due_s = math.inf  # when it is to be written [s, monotonic]
        self._kept: tuple[list[Kept], str, datetime] | None = None  # of it, while nodes are asked
        self._writer: Thread | None = None
        self._caller, self._asking = Caller(self), Conversation()
        self._told: dict[str, dict[str, Any]] = {}  # node -> name -> value

        topics = recorded_topics(robot, live) | {t.name: t for t in (*STATUSES, ROSOUT)}
        for msg_type in {COMPRESSED_IMAGE.type, *(topic.type for topic in topics.values())}:
            definition(msg_type)  # now, not in the moment of a fault
        self._capture = Capture(self, topics, {})
        self._capture.start(self._keep)
        subscribe_status(self, EXECUTOR_STATUS, ExecutorStatus, self._on_executor)
        create_timer(self, 1.0 / TICK_HZ, self._tick)
        self.get_logger().info(
            f'keeping the last {p.seconds:g} s; at a fault or stop they go to {self._folder}'
        )

    def destroy_node(self) -> None:
        """Write the report that is due, or finish the one that is being made."""
        if self._writer is not None:
            self._writer.join()
        if self._kept is not None:
            self._write(*self._kept)
        if self._due_s < math.inf:
            self._write(self._ring.snapshot(), self._reason, datetime.now())
        super().destroy_node()

    def _keep(self, topic: str, msg_type: str, data: bytes, stamp_ns: int) -> None:
        """Keep a message; of images as many as are asked for, as JPEG."""
        now_s = time.monotonic()
        if msg_type in (IMAGE.type, COMPRESSED_IMAGE.type):
            rate_hz = self.params.image_hz
            if not rate_hz or now_s - self._image_s.get(topic, -math.inf) < 1.0 / rate_hz:
                return
            self._image_s[topic] = now_s
        if msg_type != IMAGE.type:
            self._ring.add(topic, msg_type, data, stamp_ns, now_s)
            return
        message = deserialize_message(data, Image)
        try:
            jpeg = encode_jpeg(image_of(message), self.params.jpeg_quality)
        except ValueError as error:
            if topic not in self._refused:
                self.get_logger().warning(f'{topic} is not kept: {error}')
            self._refused.add(topic)
            return
        sensed_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        small = compressed_message(jpeg, sensed_ns, message.header.frame_id)
        name = f'{topic}/compressed'
        self._ring.add(name, COMPRESSED_IMAGE.type, serialize_message(small), stamp_ns, now_s)

    def _on_executor(self, status: ExecutorStatus) -> None:
        """Let a report become due when something ends motion that nobody ordered."""
        before, self._well = self._well, status.state != 'fault' and not status.stopped
        if before and not self._well and self._due_s == math.inf:
            # a stop is latched before the arms stand: the reason is still that of before then
            self._reason = 'emergency stop' if status.stopped else status.reason
            self._due_s = time.monotonic() + self.params.after_s

    def _tick(self) -> None:
        """Ask all nodes for their parameters when a report is due, then write it."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = math.inf
        writes = self._writer is not None and self._writer.is_alive()
        if writes or self._kept is not None:
            self.get_logger().warning(f'not kept, since another report is written: {self._reason}')
            return
        self._kept, self._told = (self._ring.snapshot(), self._reason, datetime.now()), {}
        self._asking.start(self._ask_parameters(), self._start_writing)

    def _start_writing(self, _trouble: str) -> None:
        """Write what was kept, beside the callbacks."""
        kept, self._kept = self._kept, None
        assert kept is not None
        self._writer = Thread(target=self._write, args=kept, daemon=True)
        self._writer.start()

    async def _ask_parameters(self) -> None:
        """Ask the nodes of this namespace, one after the other; one that is dead is left out."""
        own = self.get_namespace()
        names = {name for name, space in self.get_node_names_and_namespaces() if space == own}
        for name in sorted(names - {self.get_name()}):
            owner = f'{own.rstrip("/")}/{name}'
            clients = [create_client(self, s.at(owner)) for s in (LIST_PARAMETERS, GET_PARAMETERS)]
            try:
                listed = await self._caller.call(clients[0], ListParameters.Request(), ANSWER_S)
                keys = list(listed.result.names)
                request = GetParameters.Request(names=keys)
                values = (await self._caller.call(clients[1], request, ANSWER_S)).values
            except TimeoutError as error:
                self._told[name] = {'not told': str(error)}
            else:
                told = map(parameter_value_to_python, values)
                self._told[name] = {
                    key: value if isinstance(value, bool | int | float | str) else str(value)
                    for key, value in zip(keys, told, strict=True)
                }
            finally:
                for client in clients:
                    self.destroy_client(client)

    def _write(self, messages: list[Kept], reason: str, at: datetime) -> None:
        """Write a report; say where it is, or why there is none."""
        p, size_mb = self.params, sum(len(kept.data) for kept in messages) / 1e6
        slug = re.sub(r'[^a-z0-9]+', '_', reason.lower())[:SLUG].strip('_')
        details = {
            'robot': self._robot,
            'robot_yaml': self._robot_text,
            'namespace': self.get_namespace(),
            'invalid': f'kept for a report: {reason}',  # nobody shall learn from it
        }
        texts = {
            'parameters.yaml': yaml.safe_dump(self._told),
            'log.txt': ''.join(f'{line}\n' for line in _log_lines(messages)),
            'reason.txt': f'{at.isoformat(" ", "seconds")} {reason}\n',
        }
        try:
            path = write_report(
                self._folder,
                f'{at:%Y%m%d-%H%M%S}_{slug}',
                messages,
                details,
                texts,
                p.keep,
                round(p.min_free_mb * 1e6),
            )
        except (OSError, ConfigError) as error:  # the other of a disk that is full or locked
            line = f'the last {p.seconds:g} s before {reason!r} are not kept: {error}'
        else:
            line = f'the last {p.seconds:g} s ({size_mb:.1f} MB) before {reason!r} are in {path}'
        log = self.get_logger() if self.context.ok() else rclpy.logging.get_logger(PACKAGE)
        log.warning(line)


def _log_lines(messages: Iterable[Kept]) -> Iterable[str]:
    """Yield what nodes logged, a line each."""
    for kept in messages:
        if kept.topic == ROSOUT.name:
            log = deserialize_message(kept.data, Log)
            at_s = log.stamp.sec + log.stamp.nanosec * 1e-9
            yield f'[{LOG_LEVELS.get(log.level, log.level)}] [{at_s:.3f}] [{log.name}]: {log.msg}'


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(BlackBoxNode)


if __name__ == '__main__':
    main()
