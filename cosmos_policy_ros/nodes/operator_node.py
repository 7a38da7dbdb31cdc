# SPDX-License-Identifier: Apache-2.0
"""Plays episodes in the simulator as a person would: reset, enable, start, watch, stop, judge.

What happens is appended to ``<out>/events.jsonl``, one JSON object a line, while it happens; every
episode becomes a rosbag in ``<out>/bags``. Nothing else is computed here, since the episode needs
the processor; ``cosmos-policy demo`` makes the report afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.data.bags.recording import Recording, stream_rates
from cosmos_policy_ros.data.bags.writer import definition
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.capture import Capture, recorded_topics, type_name
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.episode_monitor import EpisodeLog
from cosmos_policy_ros.ros.observer import TASK_TOPIC
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stack_client import Controls
from cosmos_policy_ros.sim.tasks import EPISODE_S
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import String

PROGRESS_S = 0.2  # [s] between two events of progress
REPORT_S = 5.0  # [s] within which simulator and executor must report


@dataclass(frozen=True)
class OperatorParams:
    """Parameters of the operator node."""

    robot: str = param('', 'Robot YAML.')
    out: str = param('', 'Folder for events and bags.')
    episodes: int = param(5, 'Number of episodes.', 1, 100000)
    seed: int = param(100000, 'Episode i plays the scene of seed + i.', 0, 2**31)
    ready_s: float = param(180.0, 'How long the other nodes may take to start [s].', 1.0, 3600.0)
    discovery_s: float = param(3.5, 'Search for a second stack before starting [s].', 0.0, 30.0)


class OperatorNode(Node):
    """Play the episodes one after the other."""

    def __init__(self) -> None:
        """Make sure that the domain is free, then subscribe.

        Start the rest of the stack after the event ``clear``.

        Raises:
            ConfigError: The robot file is wrong or a stack runs on this domain already.
        """
        super().__init__('operator')
        self.params = p = declare(self, OperatorParams)
        self.robot = robot = read_robot(Path(p.robot))
        out = Path(p.out)
        self._bags = out / 'bags'
        self._bags.mkdir(parents=True, exist_ok=True)
        self._events = (out / 'events.jsonl').open('a', encoding='utf-8')
        self._task = ''
        arms = [arm.joint_state_topic for arm in robot.arms]
        refuse_second_stack(self, [*arms, 'policy/query', 'joint_command'], p.discovery_s)

        self.log = EpisodeLog(robot.joint_names, self.now_ns, self._on_answer)
        listeners = {
            TASK_TOPIC: self._on_task,
            '/diagnostics': self.log.on_diagnostics,
            '/policy/query': self.log.on_query,
            '/policy/candidates': self.log.on_candidates,
            '/policy/action_chunk': self.log.on_chunk,
            '/sim/success': self.log.on_success,
        }
        futures = {f'/policy/future/{camera.name}': Image for camera in robot.cameras}
        topics = recorded_topics(robot) | futures
        for kind in set(topics.values()):
            definition(type_name(kind))  # now, not while an episode starts
        self.capture = Capture(self, topics, listeners)
        self.controls = Controls(self)
        self._tell('clear')
        self.get_logger().info(f'{p.episodes} episodes from seed {p.seed} go to {p.out}')

    def run(self) -> None:
        """Play all episodes.

        Raises:
            SystemExit: Something refused or did not answer; the status is 1.
        """
        p = self.params
        try:
            self.controls.wait(lambda: not self._missing(), p.ready_s, self._describe_missing)
            self._tell('ready', task=self._task)
            for i in range(p.episodes):
                self.play(p.seed + i)
            self._tell('done')
        except (RuntimeError, TimeoutError) as error:
            if not self.context.ok():
                return  # Ctrl-C
            self.get_logger().error(str(error))
            self._tell('failed', reason=str(error))
            raise SystemExit(1) from error

    def play(self, seed: int) -> None:
        """Play one episode; write its events and its bag.

        Raises:
            RuntimeError: A service refused.
            TimeoutError: A service, the simulator or the executor did not answer.
        """
        controls, log = self.controls, self.log
        controls.reset(seed)
        recording = self._record(seed)
        controls.enable(True)
        start_ns = self.now_ns()
        log.start(start_ns)
        self._tell('started', seed=seed, start_ns=start_ns)
        controls.activate(True)
        end_ns, next_s = start_ns + round(EPISODE_S * 1e9), 0.0
        while self.now_ns() < end_ns:
            controls.spin_once((end_ns - self.now_ns()) * 1e-9)
            if time.perf_counter() >= next_s:
                next_s = time.perf_counter() + PROGRESS_S
                self._tell('progress', **log.progress())
        controls.wait(lambda: log.success_ns >= end_ns, REPORT_S, _describe_silence)
        verdict = log.verdict()
        self.capture.stop()
        recording.finish(self.now_ns(), bool(verdict['success']))
        controls.activate(False)
        controls.enable(False)
        controls.wait(log.is_disabled, REPORT_S, _describe_silence)
        bag = str(recording.path)
        self._tell('episode', seed=seed, seconds=EPISODE_S, bag=bag, **verdict, **log.summary())

    def now_ns(self) -> int:
        """Return the time now [ns, ROS clock]."""
        return self.get_clock().now().nanoseconds

    def _missing(self) -> list[str]:
        """Return what is not there yet of what an episode needs."""
        streams = [c.topic for c in self.robot.cameras]
        streams += [a.joint_state_topic for a in self.robot.arms]
        silent = [topic for topic in streams if topic not in self.capture.newest_ns]
        silent += [name for name in ('sim', 'command_executor') if name not in self.log.status]
        return [*self.controls.missing(), *silent, *([] if self._task else [TASK_TOPIC])]

    def _describe_missing(self) -> str:
        missing = ', '.join(self._missing())
        return f'not ready after {self.params.ready_s:.0f} s, nothing seen of {missing}'

    def _on_task(self, message: String) -> None:
        self._task = message.data

    def _on_answer(self, answer: dict[str, Any]) -> None:
        self._tell('answer', **answer)

    def _record(self, seed: int) -> Recording:
        """Begin the bag of an episode."""
        path = self._bags / f'episode_{seed:06d}'
        details = {'source': 'rollout', 'task': self._task, 'robot': self.robot.name}
        details['seed'] = str(seed)
        recording = Recording(path, details, stream_rates(self.robot), self.now_ns())
        self.capture.start(recording.write)
        return recording

    def _tell(self, event: str, **details: object) -> None:
        """Append an event for whoever follows."""
        self._events.write(json.dumps({'event': event, **details}) + '\n')
        self._events.flush()


def _describe_silence() -> str:
    return f'no report of the simulator or the executor for {REPORT_S:.0f} s'


def main() -> None:
    """Run the node until all episodes are played or Ctrl-C."""
    run_node(OperatorNode, OperatorNode.run)


if __name__ == '__main__':
    main()
