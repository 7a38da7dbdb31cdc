# SPDX-License-Identifier: Apache-2.0
"""Plays one rollout that a person, or a script in the place of one, begins and ends and judges.

What happens is appended to ``<out>/events.jsonl``; what is wanted is read from
``<out>/requests.jsonl``, one JSON object a line: ``go`` enables and starts the policy, ``stop``
ends the rollout, ``quit`` ends it without one. Nothing moves before ``go``. The rollout becomes a
rosbag in ``<out>/bags``. ``cosmos-policy evaluate-robot`` writes the requests; with ``scene`` it
is the simulator's scene that is set up, and its verdict that is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.data.bags.preflight import stream_rates
from cosmos_policy_ros.data.bags.recording import Recording
from cosmos_policy_ros.data.bags.writer import definition
from cosmos_policy_ros.event_log import EventLog, FILE_NAME, read_events, REQUESTS
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.rollout_watch import RolloutWatch
from cosmos_policy_ros.ros.stack_client import run_to_end
from cosmos_policy_ros.topics import JOINT_COMMAND, QUERY, TASK
from rclpy.node import Node
from std_msgs.msg import String

LOOK_S = 0.05  # [s] between two looks for requests
PROGRESS_S = 0.2  # [s] between two events of progress


@dataclass(frozen=True)
class TrialParams:
    """Parameters of the trial node."""

    robot: str = param('', 'Robot YAML file; the command sets it.')
    out: str = param('', 'Folder for events, requests and the bag; the command sets it.')
    instruction: str = param(
        '', 'Instruction that is published on task; empty leaves that to the simulator.'
    )
    scene: int = param(-1, 'Scene of the simulator; -1 where there is none.', -1, 2**31)
    seconds: float = param(20.0, 'Longest rollout [s]; it ends by itself then.', 1.0, 3600.0)
    ready_s: float = param(400.0, 'How long the other nodes may take to start [s].', 1.0, 3600.0)
    discovery_s: float = param(
        3.5,
        'How long to search for a second stack [s]; a shorter time may overlook one.',
        0.0,
        30.0,
    )


class TrialNode(Node):
    """Wait for a request, act, wait for the next."""

    def __init__(self) -> None:
        """Make sure that the domain is free, then subscribe.

        Start the rest of the stack after the event ``clear``.

        Raises:
            ConfigError: The robot file is wrong or a stack runs on this domain already.
        """
        super().__init__('trial')
        self.params = p = declare(self, TrialParams)
        self.robot = robot = read_robot(Path(p.robot))  # with the names of topics in bags
        live = read_robot(Path(p.robot), self.get_namespace())
        out = Path(p.out)
        self._bags, self._requests, self._read = out / 'bags', out / REQUESTS, 0
        self._bags.mkdir(parents=True, exist_ok=True)
        self._events = EventLog(out / FILE_NAME)
        taken = [QUERY.ros_name, JOINT_COMMAND.ros_name]
        taken += live.joint_state_topics if p.scene >= 0 else []
        refuse_second_stack(self, taken, p.discovery_s)
        if p.instruction:
            self._task_publisher = create_publisher(self, TASK)
            self._task_publisher.publish(String(data=p.instruction))
        self.watch = RolloutWatch(self, robot, live, self._on_answer, simulated=p.scene >= 0)
        for msg_type in {topic.type for topic in self.watch.topics.values()}:
            definition(msg_type)  # now, not while the rollout starts
        self._events.write('clear')

    def run(self) -> None:
        """Play the rollout; raises as ``run_to_end``."""
        run_to_end(self, self._run, lambda reason: self._events.write('failed', reason=reason))

    def _run(self) -> None:
        p, watch = self.params, self.watch
        watch.client.wait_until_ready(watch.missing, p.ready_s)
        if p.scene >= 0:
            watch.client.reset(p.scene)
        self._events.write('ready', task=watch.task)
        while not (wanted := self._wanted() & {'go', 'quit'}):
            watch.client.spin_once(LOOK_S)
        if 'quit' not in wanted:
            self._play()
        self._events.write('done')

    def _play(self) -> None:
        """Act until somebody stops it, the time is up, or the executor faults."""
        monitor, recording = self.watch.monitor, self._record()
        ended = self.watch.play(self._act, recording.finish)
        if self.params.scene >= 0:
            assert monitor.sim is not None
            ended |= {'success': monitor.success, 'progress': monitor.sim.progress}
        self._events.write('episode', bag=str(recording.path), **ended, **monitor.figures())

    def _act(self) -> dict[str, Any]:
        """Let the policy act; return for how many ``seconds``, and why it ``ended``."""
        p, client, monitor = self.params, self.watch.client, self.watch.monitor
        start_ns = self._now_ns()
        monitor.start(start_ns)
        self._events.write('started', start_ns=start_ns)
        client.activate(True)
        start_s, next_s, ended = time.monotonic(), 0.0, ''  # by a clock that nobody sets
        while not ended:
            client.spin_once(LOOK_S)
            at_s = time.monotonic() - start_s
            if at_s >= next_s:
                next_s = at_s + PROGRESS_S
                self._events.write('progress', **monitor.progress())
            if self._wanted() & {'stop', 'quit'}:
                ended = 'by hand'
            elif monitor.executor is not None and monitor.executor.state == 'fault':
                ended = f'fault: {monitor.executor.reason}'
            elif at_s >= p.seconds:
                ended = 'time is up'
        return {'seconds': round(at_s, 2), 'ended': ended}

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _wanted(self) -> set[str]:
        """Return the requests since the last look."""
        added, self._read = read_events(self._requests, self._read)
        return {request['event'] for request in added}

    def _on_answer(self, answer: dict[str, Any]) -> None:
        self._events.write('answer', **answer)

    def _record(self) -> Recording:
        """Begin the bag of the rollout."""
        details = {'source': 'rollout', 'task': self.watch.task, 'robot': self.robot.name}
        details |= {'namespace': self.get_namespace(), 'is_eval_episode': 'true'}
        details |= {'seed': str(self.params.scene)} if self.params.scene >= 0 else {}
        path = self._bags / 'rollout'
        recording = Recording(path, details, stream_rates(self.robot), self._now_ns())
        self.watch.capture.start(recording.write)
        return recording


def main() -> None:
    """Run the node until the rollout is over or Ctrl-C."""
    run_node(TrialNode, TrialNode.run)


if __name__ == '__main__':
    main()
