# SPDX-License-Identifier: Apache-2.0
"""What a node that plays rollouts hears of the stack, captures of it, and calls in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.ros.capture import Capture, recorded_topics
from cosmos_policy_ros.ros.episode_monitor import EpisodeMonitor
from cosmos_policy_ros.ros.stack_client import SIM_SERVICES, StackClient
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    ACTIVATE,
    CANDIDATES,
    ENABLE,
    future_image,
    QUERY,
    TASK,
)
from rclpy.node import Node
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

T = TypeVar('T')
REPORT_S = 5.0  # [s] within which simulator and executor must report
BROKEN_OFF = 'the rollout was broken off'
Finish = Callable[[int, bool | None, str], object]  # end [ns, ROS clock], success, why it was cut


class RolloutWatch:
    """Monitor, capture and services of a stack, opened once.

    Attributes:
        monitor: What the stack says of the rollout.
        capture: Takes every message that a recording of it holds.
        client: Calls the services.
        topics: What is captured, by the names that bags have.
        task: Instruction that is in force; empty before the first.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotSpec,
        live: RobotSpec,
        on_answer: Callable[[dict[str, Any]], None],
        simulated: bool = True,
    ) -> None:
        """Subscribe.

        Args:
            node: Node that owns everything; nothing else may spin it.
            robot: Robot with the names of topics in bags.
            live: The same with those of the running stack.
            on_answer: As of ``EpisodeMonitor``.
            simulated: Whether the simulator plays too, and judges.
        """
        self.task, self._robot, self._simulated = '', robot, simulated
        self._clock = node.get_clock()
        self.monitor = EpisodeMonitor(node, robot.joint_names, on_answer)
        self.topics = recorded_topics(robot, live)
        for future in (future_image(camera.name) for camera in robot.cameras):
            self.topics[future.name] = future
        listeners = {
            TASK.name: self._on_task,
            QUERY.name: self._on_query,
            CANDIDATES.name: self.monitor.on_candidates,
            ACTION_CHUNK.name: self.monitor.on_chunk,
        }
        self.capture = Capture(node, self.topics, listeners)
        services = (ENABLE, ACTIVATE, *(SIM_SERVICES if simulated else ()))
        self.client = StackClient(node, services)

    def missing(self) -> list[str]:
        """Return the names of what a rollout needs and is not there yet."""
        streams = [*(c.topic for c in self._robot.cameras), *self._robot.joint_state_topics]
        silent = [topic for topic in streams if topic not in self.capture.newest_ns]
        silent += [] if self.monitor.sim or not self._simulated else ['sim']
        silent += [] if self.monitor.executor else ['command_executor']
        return [*self.client.missing(), *silent, *([] if self.task else [TASK.name])]

    def play(self, act: Callable[[], T], finish: Finish) -> T:
        """Allow motion, act, end motion, hear the simulator where it judges, and save.

        Motion ends first, since all that comes then may take long. What was captured is saved
        however this ends: without an outcome where nobody has judged it, and as cut where the
        rollout itself did not come to its end.

        Args:
            act: Activates the policy and returns when the rollout is over.
            finish: Saves what was captured.

        Returns:
            What ``act`` returned.

        Raises:
            RuntimeError: A service refuses.
            TimeoutError: A service, the simulator or the executor does not answer.
        """
        end_ns, success, cut = self._now_ns(), None, BROKEN_OFF
        try:
            with self.client.motion():
                try:
                    acted = act()
                finally:
                    self.capture.stop()  # motion ends though a disk takes no more
                    end_ns = self._now_ns()
            cut = ''
            self.client.activate(False)
            self._wait(self.monitor.is_disabled)
            if self._simulated:
                self._wait(lambda: self.monitor.success_ns >= end_ns)
                success = self.monitor.success
        finally:
            self.capture.stop()
            finish(end_ns, success, cut)
        return acted

    def _wait(self, condition: Callable[[], bool]) -> None:
        self.client.wait(condition, REPORT_S, _describe_silence)

    def _now_ns(self) -> int:
        return self._clock.now().nanoseconds

    def _on_task(self, message: String) -> None:
        self.task = message.data

    def _on_query(self, message: JointTrajectory) -> None:
        ages_s = self.capture.image_ages_s(self._robot.cameras, stamp_of(message))
        self.monitor.on_query(message, ages_s)


def _describe_silence() -> str:
    return f'no report of the simulator or the executor for {REPORT_S:.0f} s'
