# SPDX-License-Identifier: Apache-2.0
"""Demonstrates in the running simulator as a person at the leader arms would, and records it.

A scripted expert that sees the whole scene moves two leader arms that exist as topics only. The
command executor follows them as it follows real ones, and the recorder writes what happened.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

from cosmos_policy_ros.control.teleop import leader_robot
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import joint_state_message
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.episode_monitor import EpisodeLog, EXECUTOR
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stack_client import Controls
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.experts.base import Expert, LIMIT_S, REST_S
from cosmos_policy_ros.sim.experts.table import make_expert
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray

RECORDER = 'recorder'
FOLLOW_S = 20.0  # [s] the followers may take to reach the leaders
REPORT_S = 5.0  # [s] within which simulator and executor must report
PROGRESS_S = 0.2  # [s] between two events of progress
LATE_TICKS = 3  # a command is sent this much later than its leader pose, at most


@dataclass(frozen=True)
class DemonstratorParams:
    """Parameters of the demonstrator."""

    robot: str = param('', 'Robot YAML with leaders.')
    task: str = param('transfer_cube', 'Simulated task.')
    out: str = param('', 'Folder of the bags; events go to .live in it.')
    episodes: int = param(50, 'Number of episodes.', 1, 100000)
    seed: int = param(0, 'Episode i uses seed + i for the scene and what goes wrong.', 0, 2**31)
    ready_s: float = param(60.0, 'How long the other nodes may take to start [s].', 1.0, 3600.0)
    discovery_s: float = param(3.5, 'Search for a second stack before starting [s].', 0.0, 30.0)


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
        self.robot = robot = read_robot(Path(p.robot))
        self.leaders = leader_robot(robot)
        self.scene = AlohaSim(p.task)  # a copy that shows what the simulator says
        self._file = Path(p.out) / '.live' / 'events.jsonl'  # beside the bags, none itself
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._events = self._file.open('a', encoding='utf-8')
        arms = [a.joint_state_topic for r in (robot, self.leaders) for a in r.arms]
        refuse_second_stack(self, [*arms, 'joint_command'], p.discovery_s)

        self._ready = np.where(robot.arm_joints, robot.start, 0.0).astype(np.float32)
        self._pose = self._ready
        self._expert: Expert | None = None
        self._wrong_ticks = 0  # until what is sent is the expert's own again
        self._heard = False
        self.log = EpisodeLog(robot.joint_names, self.now_ns, lambda _answer: None)
        qos = qos_profile_sensor_data
        self._leading = [
            self.create_publisher(JointState, a.joint_state_topic, qos) for a in self.leaders.arms
        ]
        self._flag = self.create_publisher(Bool, 'demonstration/expert', 10)
        self.create_subscription(Float64MultiArray, 'sim/state', self._on_state, qos)
        self.create_subscription(DiagnosticArray, '/diagnostics', self.log.on_diagnostics, 50)
        self.create_subscription(Bool, 'sim/success', self.log.on_success, 10)
        self.create_timer(1.0 / robot.control_rate_hz, self._tick)
        self.controls = Controls(self)
        self._tell('clear')

    def run(self) -> None:
        """Demonstrate what is not in the folder yet.

        Raises:
            SystemExit: Something refused or did not answer; the status is 1.
        """
        p = self.params
        done = self._find_done()
        seeds = [s for s in range(p.seed, p.seed + p.episodes) if s not in done]
        try:
            self.controls.wait(lambda: not self._missing(), p.ready_s, self._describe_missing)
            self._tell('ready', task=self.scene.task, missing=len(seeds))
            for seed in seeds:
                self.demonstrate(seed)
        except (RuntimeError, TimeoutError) as error:
            if not self.context.ok():
                return  # Ctrl-C
            self.get_logger().error(str(error))
            raise SystemExit(1) from error

    def demonstrate(self, seed: int) -> None:
        """Record one episode.

        Raises:
            RuntimeError: A service refused.
            TimeoutError: A service, the simulator or the executor did not answer.
        """
        controls, log = self.controls, self.log
        controls.reset(seed)
        controls.enable(True)
        controls.wait(self._follows, FOLLOW_S, self._describe_executor)
        controls.start_recording()
        controls.wait(self._records, REPORT_S, lambda: 'the recorder reports nothing')
        bag = log.status[RECORDER]['message']
        expert = self._expert = make_expert(self.scene, np.random.default_rng(seed))
        self._tell('started', seed=seed)
        start_ns, next_s = self.now_ns(), 0.0
        while (at_s := (self.now_ns() - start_ns) * 1e-9) < LIMIT_S and expert.rested_s < REST_S:
            controls.spin_once(1.0 / self.robot.control_rate_hz)
            if at_s >= next_s:
                next_s = at_s + PROGRESS_S
                self._tell('progress', seconds=round(at_s, 2), phase=expert.phase)
            if self._mode() != 'playing':
                break  # the executor holds or faults; what was recorded is a failure
        end_ns = self.now_ns()
        controls.wait(lambda: log.success_ns >= end_ns, REPORT_S, self._describe_executor)
        success = log.success and self._mode() == 'playing'
        whole, told = controls.stop_recording(success)
        self._expert, self._pose, self._wrong_ticks = None, self._ready, 0
        controls.enable(False)
        controls.wait(log.is_disabled, REPORT_S, self._describe_executor)
        seconds = round((end_ns - start_ns) * 1e-9, 2)
        result = {'success': success and whole, 'whole': whole, 'told': told, 'seconds': seconds}
        self._tell('episode', seed=seed, bag=bag, **result)

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
        stamp_ns, first = self.now_ns(), 0
        for arm, publisher in zip(self.leaders.arms, self._leading, strict=True):
            last = first + len(arm.joints)
            gripper = arm.gripper.to_state(self._pose[last])
            positions = [*self._pose[first:last], gripper]
            publisher.publish(joint_state_message(arm.state_joints, positions, stamp_ns))
            first = last + 1

    def _on_state(self, message: Float64MultiArray) -> None:
        """Let the copy of the scene show what the simulator says."""
        self.scene.show(np.array(message.data))
        self._heard = True

    def _mode(self) -> str:
        """Return what the executor does."""
        return self.log.status.get(EXECUTOR, {}).get('mode', '')

    def _follows(self) -> bool:
        """Whether the followers have come to where the leaders stand, and follow them."""
        return self._mode() == 'playing' and not self.log.status[EXECUTOR]['reason']

    def _records(self) -> bool:
        """Whether the recorder reported that it records."""
        return self.log.status.get(RECORDER, {}).get('state') == 'recording'

    def _missing(self) -> list[str]:
        """Return what is not there yet of what an episode needs."""
        missing = self.controls.missing(policy=False, recorder=True)
        missing += [] if self._heard else ['sim/state']
        return missing + [n for n in ('sim', EXECUTOR) if n not in self.log.status]

    def _describe_missing(self) -> str:
        missing = ', '.join(self._missing())
        return f'not ready after {self.params.ready_s:.0f} s, nothing seen of {missing}'

    def _describe_executor(self) -> str:
        reason = self.log.status.get(EXECUTOR, {}).get('message', 'nothing')
        return f'the executor or the simulator is silent or does not follow; it says: {reason}'

    def _find_done(self) -> set[int]:
        """Return the seeds whose bags are there already."""
        lines = self._file.read_text(encoding='utf-8').splitlines()
        events = [json.loads(line) for line in lines if line.endswith('}')]
        ended = [e for e in events if e['event'] == 'episode']
        return {e['seed'] for e in ended if e['whole'] and Path(e['bag']).is_dir()}

    def _tell(self, event: str, **details: object) -> None:
        """Append an event for whoever follows."""
        self._events.write(json.dumps({'event': event, **details}) + '\n')
        self._events.flush()


def main() -> None:
    """Run the node until all episodes are recorded or Ctrl-C."""
    run_node(DemonstratorNode, DemonstratorNode.run)


if __name__ == '__main__':
    main()
