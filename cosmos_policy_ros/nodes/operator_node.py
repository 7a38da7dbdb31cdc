# SPDX-License-Identifier: Apache-2.0
"""Plays episodes in the simulator as a person would: reset, enable, start, watch, stop, judge.

What happens is appended to ``<out>/events.jsonl``, one JSON object a line, while it happens; every
episode becomes a rosbag in ``<out>/bags``. Nothing else is computed here, since the episode needs
the processor; ``cosmos-policy demo`` makes the report afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.data.bags.preflight import stream_rates
from cosmos_policy_ros.data.bags.recording import Recording
from cosmos_policy_ros.data.bags.writer import definition
from cosmos_policy_ros.event_log import EventLog, FILE_NAME
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.rollout_watch import RolloutWatch
from cosmos_policy_ros.ros.stack_client import run_to_end
from cosmos_policy_ros.sim.tasks import EPISODE_S, UNSEEN_SEED
from cosmos_policy_ros.topics import JOINT_COMMAND, QUERY
from rclpy.node import Node

PROGRESS_S = 0.2  # [s] between two events of progress


@dataclass(frozen=True)
class OperatorParams:
    """Parameters of the operator node."""

    robot: str = param('', 'Robot YAML file; the demo sets it.')
    out: str = param('', 'Folder for events and bags; the demo sets it.')
    episodes: int = param(5, 'Episodes to play; the node ends after the last one.', 1, 100000)
    seed: int = param(
        UNSEEN_SEED,
        'Episode i plays the scene of seed + i; training used seeds below 100000.',
        0,
        2**31,
    )
    ready_s: float = param(
        400.0,
        'How long the other nodes may take to start [s]; with a slow disk they need minutes.',
        1.0,
        3600.0,
    )
    discovery_s: float = param(
        3.5,
        'How long to search for a second stack [s]; a shorter time may overlook one.',
        0.0,
        30.0,
    )


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
        self.robot = robot = read_robot(Path(p.robot))  # with the names of topics in bags
        live = read_robot(Path(p.robot), self.get_namespace())
        out = Path(p.out)
        self._bags = out / 'bags'
        self._bags.mkdir(parents=True, exist_ok=True)
        self._events = EventLog(out / FILE_NAME)
        taken = [*live.joint_state_topics, QUERY.ros_name, JOINT_COMMAND.ros_name]
        refuse_second_stack(self, taken, p.discovery_s)

        self.watch = RolloutWatch(self, robot, live, self._on_answer)
        for msg_type in {topic.type for topic in self.watch.topics.values()}:
            definition(msg_type)  # now, not while an episode starts
        self._events.write('clear')
        self.get_logger().info(f'{p.episodes} episodes from seed {p.seed} go to {p.out}')

    def run(self) -> None:
        """Play all episodes; raises as ``run_to_end``."""
        run_to_end(self, self._run, lambda reason: self._events.write('failed', reason=reason))

    def _run(self) -> None:
        p = self.params
        self.watch.client.wait_until_ready(self.watch.missing, p.ready_s)
        self._events.write('ready', task=self.watch.task)
        for i in range(p.episodes):
            self.play(p.seed + i)
        self._events.write('done')

    def play(self, seed: int) -> None:
        """Play one episode; write its events and its bag.

        Raises:
            RuntimeError: A service refused.
            TimeoutError: A service, the simulator or the executor did not answer.
        """
        monitor = self.watch.monitor
        self.watch.client.reset(seed)
        recording = self._record(seed)
        self.watch.play(lambda: self._act(seed), recording.finish)
        self._events.write(
            'episode',
            seed=seed,
            seconds=EPISODE_S,
            bag=str(recording.path),
            **monitor.verdict(),
            **monitor.summary(),
        )

    def _act(self, seed: int) -> None:
        """Let the policy act for the time of an episode."""
        client, monitor = self.watch.client, self.watch.monitor
        start_ns = self.now_ns()
        monitor.start(start_ns)
        self._events.write('started', seed=seed, start_ns=start_ns)
        client.activate(True)
        end_s, next_s = time.perf_counter() + EPISODE_S, 0.0
        while (left_s := end_s - time.perf_counter()) > 0.0:
            client.spin_once(left_s)
            if time.perf_counter() >= next_s:
                next_s = time.perf_counter() + PROGRESS_S
                self._events.write('progress', **monitor.progress())

    def now_ns(self) -> int:
        """Return the time now [ns, ROS clock]."""
        return self.get_clock().now().nanoseconds

    def _on_answer(self, answer: dict[str, Any]) -> None:
        self._events.write('answer', **answer)

    def _record(self, seed: int) -> Recording:
        """Begin the bag of an episode."""
        path = self._bags / f'episode_{seed:06d}'
        details = {'source': 'rollout', 'task': self.watch.task, 'robot': self.robot.name}
        details |= {'seed': str(seed), 'namespace': self.get_namespace()}
        recording = Recording(path, details, stream_rates(self.robot), self.now_ns())
        self.watch.capture.start(recording.write)
        return recording


def main() -> None:
    """Run the node until all episodes are played or Ctrl-C."""
    run_node(OperatorNode, OperatorNode.run)


if __name__ == '__main__':
    main()
