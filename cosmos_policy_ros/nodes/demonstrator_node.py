# SPDX-License-Identifier: Apache-2.0
"""Demonstrates in the running simulator as a person at the leader arms would, and records it.

A scripted expert that sees the whole scene moves two leader arms that exist as topics only. The
command executor follows them as it follows real ones, and the recorder writes what happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.event_log import EventLog, FILE_NAME, read_events
from cosmos_policy_ros.robot import leader_robot, read_robot
from cosmos_policy_ros.ros.convert import joint_state_message
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription, create_timer
from cosmos_policy_ros.ros.episode_monitor import EpisodeMonitor
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stack_client import (
    RECORDER_SERVICES,
    run_to_end,
    SIM_SERVICES,
    StackClient,
)
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.experts.base import Expert, LIMIT_S, REST_S
from cosmos_policy_ros.sim.experts.table import make_expert
from cosmos_policy_ros.topics import (
    ENABLE,
    EXPERT,
    JOINT_COMMAND,
    LEADER_JOINT_STATES,
    SIM_STATE,
)
import numpy as np
from rclpy.node import Node
from std_msgs.msg import Bool, Float64MultiArray

FOLLOW_S = 20.0  # [s] the followers may take to reach the leaders
REPORT_S = 5.0  # [s] within which simulator and executor must report
PROGRESS_S = 0.2  # [s] between two events of progress
LATE_TICKS = 3  # a command is sent this much later than its leader pose, at most


@dataclass(frozen=True)
class DemonstratorParams:
    """Parameters of the demonstrator."""

    robot: str = param('', 'Robot YAML file with leaders; the command sets it.')
    task: str = param('transfer_cube', 'Simulated task, which must be that of the simulator.')
    out: str = param('', 'Folder of the bags; the events go to .live in it. The command sets it.')
    episodes: int = param(50, 'Episodes to record; the node ends after the last one.', 1, 100000)
    seed: int = param(
        0, 'Episode i uses seed + i for the scene and for what goes wrong in it.', 0, 2**31
    )
    ready_s: float = param(60.0, 'How long the other nodes may take to start [s].', 1.0, 3600.0)
    discovery_s: float = param(
        3.5,
        'How long to search for a second stack [s]; a shorter time may overlook one.',
        0.0,
        30.0,
    )


class DemonstratorNode(Node):
    """Move the leaders through the episodes, one after the other."""

    def __init__(self) -> None:
        """Make sure that the domain is free, then stand still with closed grippers.

        Start the rest of the stack after the event ``clear``.

        Raises:
            ConfigError: The robot file or the task is wrong, or a stack runs on this domain.
        """
        super().__init__('demonstrator')
        self.params = p = declare(self, DemonstratorParams)
        self.robot = robot = read_robot(Path(p.robot), self.get_namespace())
        self.leaders = leader_robot(robot)
        self.scene = AlohaSim(p.task)  # a copy of the simulator's scene
        self._file = Path(p.out) / '.live' / FILE_NAME  # beside the bags, none itself
        self._events = EventLog(self._file)
        arms = [a.joint_state_topic for r in (robot, self.leaders) for a in r.arms]
        refuse_second_stack(self, [*arms, JOINT_COMMAND.ros_name], p.discovery_s)

        self._ready = np.where(robot.arm_joints, robot.start, 0.0).astype(np.float32)
        self._pose = self._ready
        self._expert: Expert | None = None
        self._wrong_ticks = 0  # until what is sent is the expert's own again
        self._has_state = False  # whether a state of the simulator has arrived
        self.monitor = EpisodeMonitor(self, robot.joint_names)
        topics = [LEADER_JOINT_STATES.at(arm.joint_state_topic) for arm in self.leaders.arms]
        self._leading = [create_publisher(self, topic) for topic in topics]
        self._flag = create_publisher(self, EXPERT)
        create_subscription(self, SIM_STATE, self._on_state)
        create_timer(self, 1.0 / robot.control_rate_hz, self._tick)
        self.client = StackClient(self, (ENABLE, *SIM_SERVICES, *RECORDER_SERVICES))
        self._events.write('clear')

    def run(self) -> None:
        """Demonstrate the episodes that are not in the folder yet; raises as ``run_to_end``."""
        run_to_end(self, self._run)

    def _run(self) -> None:
        p = self.params
        done = self._find_done()
        seeds = [s for s in range(p.seed, p.seed + p.episodes) if s not in done]
        self.client.wait_until_ready(self._missing, p.ready_s)
        self._events.write('ready', task=self.scene.task, missing=len(seeds))
        for seed in seeds:
            self.demonstrate(seed)

    def demonstrate(self, seed: int) -> None:
        """Record one episode.

        Raises:
            RuntimeError: A service refused.
            TimeoutError: A service, the simulator or the executor did not answer.
        """
        self.client.reset(seed)
        with self.client.motion():
            episode = self._record(seed)
        self.client.wait(self.monitor.is_disabled, REPORT_S, self._describe_executor)
        self._events.write('episode', seed=seed, **episode)

    def _record(self, seed: int) -> dict[str, Any]:
        """Record an episode while motion is enabled, and return its figures.

        It ends with the recording and not with motion: an episode needs commands to its last row.
        """
        client, monitor = self.client, self.monitor
        client.wait(self._follows, FOLLOW_S, self._describe_executor)
        client.start_recording()
        client.wait(self._records, REPORT_S, lambda: 'the recorder reports nothing')
        assert monitor.recorder is not None
        bag = monitor.recorder.path
        expert = self._expert = make_expert(self.scene, np.random.default_rng(seed))
        self._events.write('started', seed=seed)
        start_s, next_s = time.monotonic(), 0.0
        while (at_s := time.monotonic() - start_s) < LIMIT_S and expert.rested_s < REST_S:
            client.spin_once(1.0 / self.robot.control_rate_hz)
            if at_s >= next_s:
                next_s = at_s + PROGRESS_S
                self._events.write('progress', seconds=round(at_s, 2), phase=expert.phase)
            if not self._plays():
                break  # the executor holds or faults; what was recorded is a failure
        end_ns = self.now_ns()
        client.wait(lambda: monitor.success_ns >= end_ns, REPORT_S, self._describe_executor)
        success = monitor.success and self._plays()
        whole, message = client.stop_recording(success)
        self._expert, self._pose, self._wrong_ticks = None, self._ready, 0
        return {
            'bag': bag,
            'success': success and whole,
            'whole': whole,
            'message': message,
            'seconds': round(at_s, 2),
        }

    def now_ns(self) -> int:
        """Return the time now [ns, ROS clock]."""
        return self.get_clock().now().nanoseconds

    def _tick(self) -> None:
        """Publish where the leaders are, and whether they are there on purpose."""
        if self._expert is not None:
            self._pose = self._expert.action()
            wrong = not self._expert.expert
            self._wrong_ticks = LATE_TICKS if wrong else max(0, self._wrong_ticks - 1)
            self._flag.publish(Bool(data=self._wrong_ticks == 0))
        stamp_ns, leaders = self.now_ns(), self.leaders
        for arm, mine, publisher in zip(
            leaders.arms, leaders.arm_slices, self._leading, strict=True
        ):
            positions = arm.state_of_pose(self._pose[mine])
            publisher.publish(joint_state_message(arm.state_joints, positions, stamp_ns))

    def _on_state(self, message: Float64MultiArray) -> None:
        """Bring the copy of the scene into the state of the simulator."""
        self.scene.show(np.array(message.data))
        self._has_state = True

    def _plays(self) -> bool:
        """Whether the executor moves the followers as it should."""
        executor = self.monitor.executor
        return executor is not None and executor.mode == 'playing'

    def _follows(self) -> bool:
        """Whether the followers have come to where the leaders stand, and follow them."""
        executor = self.monitor.executor
        return executor is not None and executor.mode == 'playing' and not executor.reason

    def _records(self) -> bool:
        """Whether the recorder reported that it records."""
        recorder = self.monitor.recorder
        return recorder is not None and recorder.state == 'recording'

    def _missing(self) -> list[str]:
        """Return the names of what an episode needs and is not there yet."""
        missing = self.client.missing()
        missing += [] if self._has_state else [SIM_STATE.ros_name]
        missing += [] if self.monitor.sim else ['sim']
        return missing + ([] if self.monitor.executor else ['command_executor'])

    def _describe_executor(self) -> str:
        executor = self.monitor.executor
        reason = 'nothing' if executor is None else executor.reason or executor.mode
        return f'the executor or the simulator is silent or does not follow; its status: {reason}'

    def _find_done(self) -> set[int]:
        """Return the seeds whose bags are there already."""
        events, _ = read_events(self._file)
        ended = [event for event in events if event['event'] == 'episode']
        return {e['seed'] for e in ended if e['whole'] and Path(e['bag']).is_dir()}


def main() -> None:
    """Run the node until all episodes are recorded or Ctrl-C."""
    run_node(DemonstratorNode, DemonstratorNode.run)


if __name__ == '__main__':
    main()
