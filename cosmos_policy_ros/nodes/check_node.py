# SPDX-License-Identifier: Apache-2.0
"""Looks at a running robot for a few seconds and reports whether it is the one in the file.

Nothing is commanded and nothing is set: topics are listened to, and the drivers ask their own
questions (``ros/arms``), as the command executor does before it enables. Every finding is an
event in ``<out>/events.jsonl``, and what is not well a line of the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
import time

from cosmos_policy_ros.align import implausible, JointParts, stamp_of
from cosmos_policy_ros.control.limit_check import compare_limits, read_limits
from cosmos_policy_ros.control.safety import WatchdogLimits
from cosmos_policy_ros.control.stream_check import Stream
from cosmos_policy_ros.event_log import EventLog, FILE_NAME
from cosmos_policy_ros.finding import Finding, judge, refuse
from cosmos_policy_ros.robot import ArmSpec, CameraSpec, CommandOutput, read_robot
from cosmos_policy_ros.ros.arms import DRIVERS, open_setups, open_watches
from cosmos_policy_ros.ros.control_loop import EventsExecutor, make_executor
from cosmos_policy_ros.ros.endpoints import create_subscription, create_timer, ros_class
from cosmos_policy_ros.ros.graph_check import check_commands, check_sensor
from cosmos_policy_ros.ros.image_check import ImageCheck
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.service_calls import Conversation
from cosmos_policy_ros.topics import (
    ARM_FORWARD_COMMAND,
    ARM_INTERBOTIX_GROUP,
    ARM_INTERBOTIX_SINGLE,
    ARM_JOINT_STATE_COMMAND,
    ARM_TRAJECTORY_COMMAND,
    camera_images,
    JOINT_STATES,
    ROBOT_DESCRIPTION,
    Topic,
)
import numpy as np
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import String

WAITS = 2  # times as long as it listens, for cameras and drivers that are starting
LOOK_S = 0.5  # [s] between two looks for robot descriptions
COMMANDS = {  # driver -> row of its command topics; Interbotix's gripper has one of its own
    'forward': ARM_FORWARD_COMMAND,
    'trajectory': ARM_TRAJECTORY_COMMAND,
    'joint_state': ARM_JOINT_STATE_COMMAND,
    'interbotix': ARM_INTERBOTIX_GROUP,
}


@dataclass(frozen=True)
class CheckParams:
    """Parameters of the check."""

    robot: str = param('', 'Robot YAML file; the command or the launch file sets it.')
    out: str = param('', 'Folder for the findings; empty logs them only.')
    check_s: float = param(
        4.0,
        'How long to listen once every topic has come [s]; it waits twice as long for that.',
        1.0,
        60.0,
    )


class CheckNode(Node):
    """Listen, ask, and report."""

    def __init__(self) -> None:
        """Subscribe and begin to ask.

        Raises:
            ConfigError: The robot file is wrong, or the message package of a driver is missing.
        """
        super().__init__('check')
        self.params = p = declare(self, CheckParams)
        self.robot = robot = read_robot(Path(p.robot), self.get_namespace())
        self._events = EventLog(Path(p.out) / FILE_NAME) if p.out else None
        self._listened_s = 0.0
        self._descriptions: dict[str, str] = {}  # topic -> URDF
        self._asked: set[str] = set()  # topics with a description that are subscribed to
        self._watches = open_watches(self, robot.arms, 1.0 / robot.control_rate_hz)
        self._setups = open_setups(self, robot.arms)
        self._troubles: dict[str, str] = {}  # command topic -> what its setup found
        self._images, self._joints = {}, {}
        for camera in robot.cameras:
            self._images[camera.name] = Stream(camera.topic, camera.rate_hz)
            callback = partial(self._on_image, camera, ImageCheck(camera))
            create_subscription(self, camera_images(camera), callback, raw=True)
        self._poses: dict[str, np.ndarray] = {}
        self._parts = {arm.name: JointParts(arm) for arm in self.robot.arms}
        for arm in robot.arms:
            stream = Stream(robot.joint_streams[arm.name], robot.joint_state_rate_hz)
            self._joints[arm.name] = stream
            topic = JOINT_STATES.at(arm.joint_state_topic)
            create_subscription(self, topic, partial(self._on_joints, arm))
        create_timer(self, LOOK_S, self._look_for_descriptions)

    def run(self) -> None:
        """Listen for a while, then report."""
        executor = make_executor(self)
        check_s = self.params.check_s
        began_s, streams = time.perf_counter(), [*self._images.values(), *self._joints.values()]
        came_s = began_s + WAITS * check_s
        while (now_s := time.perf_counter()) < came_s + check_s:
            self._spin_once(executor)
            if all(stream.came for stream in streams):
                came_s = min(came_s, now_s)
        self._listened_s = now_s - began_s
        for topic, setup in self._setups.items():
            inspection = Conversation()
            inspection.start(setup.inspect(), partial(self._troubles.__setitem__, topic))
            while topic not in self._troubles:
                self._spin_once(executor)
        findings = list(self.findings())
        for finding in findings:
            if self._events is not None:
                self._events.write('finding', **asdict(finding))
            if finding.level == 'error':
                self.get_logger().error(_sentence(finding))
            elif finding.level == 'warning':
                self.get_logger().warning(_sentence(finding))
        wrong = sum(finding.level == 'error' for finding in findings)
        self.get_logger().info(f'{len(findings)} things checked, {wrong} wrong')
        if self._events is not None:
            self._events.write('done')

    def _spin_once(self, executor: EventsExecutor) -> None:
        """Run the callbacks that are due, or wait for one.

        Raises:
            ExternalShutdownException: Ctrl-C came.
        """
        if not self.context.ok():
            raise ExternalShutdownException
        executor.spin_once(timeout_sec=LOOK_S)

    def findings(self) -> Iterator[Finding]:
        """Yield everything that was found out until now."""
        for arm in self.robot.arms:
            yield from self._check_arm(arm)
        for camera in self.robot.cameras:
            topic = camera_images(camera)
            stream = self._images[camera.name]
            yield from check_sensor(self, topic)
            if self._is_absent(topic, stream):
                continue
            yield from stream.findings(self._listened_s)
            yield judge(
                camera.topic,
                'frame id',
                bool(stream.frame_id),
                stream.frame_id or 'none',
                'a name',
                'name the optical frame in the driver; RViz and transforms need it',
                'warning',
            )

    def _check_arm(self, arm: ArmSpec) -> Iterator[Finding]:
        topic, stream = JOINT_STATES.at(arm.joint_state_topic), self._joints[arm.name]
        yield from check_sensor(self, topic)
        if not self._is_absent(topic, stream):
            yield from stream.findings(self._listened_s)
            yield self._pose_finding(arm)
        for output in arm.outputs:
            yield from self._check_output(output)
        urdf = self._description_of(arm)
        yield judge(
            arm.name,
            'robot_description',
            urdf is not None,
            'there' if urdf is not None else 'none',
            'the URDF of the arm',
            'start robot_state_publisher to have the limits of the robot file compared',
            'warning',
        )
        if urdf is not None:
            yield from compare_limits(arm, read_limits(urdf))

    def _is_absent(self, topic: Topic, stream: Stream) -> bool:
        """Whether there is nothing to say of a stream but that nobody publishes it."""
        return not stream.came and not self.count_publishers(topic.name)

    def _check_output(self, output: CommandOutput) -> Iterator[Finding]:
        driver = DRIVERS[output.driver]
        for topic in driver.topics(output):
            row = (
                ARM_INTERBOTIX_SINGLE
                if topic.endswith('joint_single')
                else COMMANDS[output.driver]
            )
            yield from check_commands(self, row.at(topic))
        trouble = self._watches[output.topic]() or self._troubles.get(output.topic, '')
        yield refuse(output.topic, f'driver {output.driver}', trouble, 'would do as commanded')

    def _pose_finding(self, arm: ArmSpec) -> Finding:
        """Return whether the arm is where motion may be enabled."""
        if arm.name not in self._poses:
            return Finding(arm.name, 'pose', 'unknown', 'inside its limits', level='error')
        pose = self._poses[arm.name][: len(arm.joints)]
        excess = np.maximum(np.subtract(arm.lower, pose), np.subtract(pose, arm.upper))
        i = int(excess.argmax())
        return judge(
            f'{arm.name}/{arm.joints[i]}',
            'pose',
            bool(excess[i] <= WatchdogLimits.max_excess_rad),
            f'{pose[i]:.3f} rad',
            f'{arm.lower[i]:g} to {arm.upper[i]:g} rad',
            'before enabling bring it inside: Interbotix arms by cosmos-policy arms home, others '
            'by hand',
        )

    def _description_of(self, arm: ArmSpec) -> str | None:
        """Return the description nearest to an arm: in its namespace, or of the whole robot."""
        topic = arm.joint_state_topic
        while topic:
            topic = topic.rpartition('/')[0]
            if (found := self._descriptions.get(f'{topic}{ROBOT_DESCRIPTION.name}')) is not None:
                return found
        return None

    def _look_for_descriptions(self) -> None:
        for name, _ in self.get_topic_names_and_types():
            if name.endswith(ROBOT_DESCRIPTION.name) and name not in self._asked:
                self._asked.add(name)
                topic = ROBOT_DESCRIPTION.at(name)
                create_subscription(self, topic, partial(self._on_description, name))

    def _on_description(self, topic: str, message: String) -> None:
        self._descriptions[topic] = message.data

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_image(self, camera: CameraSpec, check: ImageCheck, data: bytes) -> None:
        now_ns, stream = self._now_ns(), self._images[camera.name]
        refusal = check.refuse_message(data, now_ns)
        kind = ros_class(camera_images(camera).type)
        header = deserialize_message(data, kind).header
        stream.frame_id = header.frame_id
        stream.add(header.stamp.sec * 10**9 + header.stamp.nanosec, now_ns, refusal)

    def _on_joints(self, arm: ArmSpec, message: JointState) -> None:
        now_ns, refusal = self._now_ns(), ''
        try:
            pose = self._parts[arm.name].join(stamp_of(message), message)
            refusal = '' if pose is None else implausible(arm, pose.value, None, 0.0) or ''
            if pose is not None and not refusal:
                self._poses[arm.name] = pose.value
        except ValueError as error:
            refusal = str(error)
        self._joints[arm.name].add(stamp_of(message), now_ns, refusal)


def _sentence(finding: Finding) -> str:
    """Return a finding that is not well as one line."""
    expected = f', expected {finding.expected}' if finding.expected else ''
    advice = f'; {finding.advice}' if finding.advice else ''
    return f'{finding.subject}: {finding.check}: {finding.found}{expected}{advice}'


def main() -> None:
    """Run the node until it has reported or Ctrl-C."""
    run_node(CheckNode, CheckNode.run)


if __name__ == '__main__':
    main()
