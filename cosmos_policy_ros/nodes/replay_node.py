# SPDX-License-Identifier: Apache-2.0
"""Plays the joint commands of a bag again, as action chunks through the command executor.

It begins when the executor has been enabled, and not before: with ``simulate`` it sets up the
scene of the bag, enables by itself and disables however it ends; without, it waits until a person
enables, whose it is to disable too. The arms first go slowly from where the executor holds them to
the first recorded pose. When the executor faults, is disabled or holds for long on the way, no
further chunk comes: a recording cannot be taken up in the middle.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.control.replay import Replay
from cosmos_policy_ros.control.replay_run import refuse_leaders, ReplayRun, start_on_tick
from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.series import read_commands
from cosmos_policy_ros.event_log import EventLog, FILE_NAME
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import chunk_message
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription, has_listeners
from cosmos_policy_ros.ros.episode_monitor import EpisodeMonitor
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stack_client import run_to_end, SIM_SERVICES, StackClient
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import ACTION_CHUNK, ENABLE, JOINT_COMMAND, Qos
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

MAX_JOINT_AGE_S = 1.0  # [s] an executor with older joint states cannot be enabled
VERDICT_S = 0.5  # [s] after the last row until the outcome is read
PROGRESS_S = 0.2  # [s] between two events of progress
SPIN_S = 0.02  # [s] between two readings of the clock
EVERY_COMMAND = Qos('reliable', 'volatile', 50)  # 1 s of them, while this process is busy


@dataclass(frozen=True)
class ReplayParams:
    """Parameters of the replay node."""

    robot: str = param(
        '', 'Robot YAML file, which must have the joints of the bag; the command sets it.'
    )
    bag: str = param('', 'Bag folder whose /joint_command is played; the command sets it.')
    out: str = param('', 'Folder for the events; the command sets it.')
    speed: float = param(1.0, '1.0 plays as recorded, 0.5 takes twice as long.', 0.05, 1.0)
    lead_speed: float = param(
        0.5, 'Highest speed on the way to the first recorded pose [rad/s; gripper 1/s].', 0.01, 2.0
    )
    simulate: bool = param(
        False,
        'true resets the simulator and enables by itself; false waits for a person to enable.',
    )
    ready_s: float = param(120.0, 'How long the other nodes may take to start [s].', 1.0, 3600.0)
    discovery_s: float = param(
        3.5,
        'How long to search for another source of chunks [s]; a shorter time may overlook one.',
        0.0,
        30.0,
    )


class ReplayNode(Node):
    """Wait for the executor, go to the first pose, play, compare."""

    def __init__(self) -> None:
        """Read the bag and make sure that nobody else sends chunks.

        Raises:
            ConfigError: The robot file or the bag is wrong, they do not fit each other, or a stack
                that sends chunks runs on this domain already.
        """
        super().__init__('replay')
        self.params = p = declare(self, ReplayParams)
        self.robot = robot = read_robot(Path(p.robot), self.get_namespace())
        self.recorded = read_commands(Path(p.bag), robot)
        self.metadata = read_metadata(Path(p.bag))
        self._events = EventLog(Path(p.out) / FILE_NAME)
        self._enable = self.resolve_service_name(ENABLE.ros_name)
        self._sent: list[tuple[int, list[float]]] = []  # by the executor: stamp [ns] and pose
        taken = [ACTION_CHUNK.ros_name]
        if p.simulate:
            taken += [JOINT_COMMAND.ros_name, *robot.joint_state_topics]
        refuse_second_stack(self, taken, p.discovery_s)

        self._chunks = create_publisher(self, ACTION_CHUNK)
        create_subscription(self, JOINT_COMMAND, self._on_command, EVERY_COMMAND)
        self.monitor = EpisodeMonitor(self, robot.joint_names)
        self.client = StackClient(self, (ENABLE, *SIM_SERVICES) if p.simulate else ())
        self._events.write('clear')
        seconds = float(self.recorded.time_s[-1]) / p.speed
        self.get_logger().info(f'{len(self.recorded.time_s)} commands of {p.bag}, {seconds:.1f} s')

    def run(self) -> None:
        """Play the bag once; raises as ``run_to_end``."""
        run_to_end(self, self._run)

    def now_ns(self) -> int:
        """Return the time now [ns, ROS clock]."""
        return self.get_clock().now().nanoseconds

    def _run(self) -> None:
        self._prepare()
        self._sent.clear()
        with self.client.motion() if self.params.simulate else nullcontext():
            self._play(*self._wait_for_command())

    @property
    def _executor_status(self) -> ExecutorStatus:
        """Newest status of the executor, which ``_prepare`` has waited for."""
        assert self.monitor.executor is not None
        return self.monitor.executor

    def _prepare(self) -> None:
        """Wait for the executor, and for the simulator where it is ours.

        Raises:
            RuntimeError: The executor is not disabled or follows the leader arms, or the simulator
                refuses the seed.
            TimeoutError: One of them does not come.
        """
        p = self.params
        self.client.wait_until_ready(self._missing, p.ready_s)
        refuse_leaders(self._executor_status)
        if (state := self._executor_status.state) != 'disabled':
            msg = f'the executor is in state {state!r}, and nothing may move by a start alone; '
            msg += f'call {self._enable} with false and start the replay again'
            raise RuntimeError(msg)
        if p.simulate and (seed := self.metadata.get('seed', '')).isdecimal():
            self.client.reset(int(seed))

    def _missing(self) -> list[str]:
        """Return the names of what is not there yet."""
        status = self.monitor.executor
        missing = self.client.missing()
        if status is None or not has_listeners(self._chunks):
            missing.append('command_executor')
        if status is None or not status.joint_age_s < MAX_JOINT_AGE_S:
            missing.append('joint states')
        return missing

    def _wait_for_command(self) -> tuple[int, list[float]]:
        """Return a command by which the executor holds the arms: its time [ns] and pose (A,).

        It sends nothing while it is disabled, so its first command shows that it was enabled.
        """
        if not self.params.simulate:
            self._events.write('waiting', service=self._enable)
            self.get_logger().info(f'waiting until {self._enable} is called with true')
        self.client.wait(lambda: bool(self._sent), float('inf'), str)
        return self._sent[-1]

    def _play(self, held_ns: int, pose: list[float]) -> None:
        """Send all chunks in time and report what came of it.

        Args:
            held_ns: When the executor ticked, so that its ticks meet the rows [ns, ROS clock].
            pose: (A,) where it held the arms then [rad; gripper 0..1].

        Raises:
            RuntimeError: The arms do not follow, or this process came too late.
        """
        p, robot = self.params, self.robot
        held = np.array(pose, dtype=np.float32)
        replay = Replay(
            *self.recorded,
            measured=held,
            rate_hz=robot.control_rate_hz,
            speed=p.speed,
            lead_speed=p.lead_speed,
        )
        start_ns = start_on_tick(held_ns, self.now_ns(), robot.control_rate_hz)
        run, next_s = ReplayRun(replay, start_ns), 0.0
        self.monitor.start(start_ns)
        self._events.write(
            'started', start_ns=start_ns, lead_s=replay.lead_s, total_s=replay.total_s
        )
        while (at_s := run.seconds(self.now_ns())) < replay.total_s + VERDICT_S:
            for chunk in run.due_chunks(at_s):
                self._chunks.publish(chunk_message(chunk, robot.joint_names))
            run.check(self._executor_status, at_s)
            if at_s >= next_s:
                next_s = at_s + PROGRESS_S
                success = self.monitor.success
                self._events.write('progress', seconds=round(at_s, 2), success=success)
            self.client.spin_once(SPIN_S)
        self._events.write(
            'replayed',
            **run.compare(self._sent, robot.joint_names),
            interventions=self._executor_status.interventions,
            success=self.monitor.success if self.monitor.success_ns else None,
        )

    def _on_command(self, message: JointState) -> None:
        self._sent.append((stamp_of(message), list(message.position)))


def main() -> None:
    """Run the node until the bag is played or Ctrl-C."""
    run_node(ReplayNode, ReplayNode.run)


if __name__ == '__main__':
    main()
