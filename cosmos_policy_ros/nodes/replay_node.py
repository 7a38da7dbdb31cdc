# SPDX-License-Identifier: Apache-2.0
"""Plays the joint commands of a bag again, as action chunks through the command executor.

It begins when the executor has been enabled, and not before: with ``simulate`` it sets up the
scene of the bag and enables by itself, without it waits until a person enables. The arms first go
slowly from where the executor holds them to the first recorded pose. When the executor faults, is
disabled or holds for long on the way, no further chunk comes: a recording cannot be taken up in
the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.control.replay import CHUNK_S, Replay, STEP_S
from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.series import read_commands
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import chunk_message
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.episode_monitor import EpisodeLog, EXECUTOR
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stack_client import Controls
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from trajectory_msgs.msg import JointTrajectory

COMMAND, CHUNK = 'joint_command', 'policy/action_chunk'
AHEAD_S = 0.2  # [s] a chunk is sent before its row 0 is due
PATIENCE_S = 1.0  # [s] the executor may hold, for a late joint state or before the first chunk
VERDICT_S = 0.5  # [s] after the last row until the outcome is read
PROGRESS_S = 0.2  # [s] between two events of progress
SPIN_S = 0.02  # [s] between two looks at the clock


@dataclass(frozen=True)
class ReplayParams:
    """Parameters of the replay node."""

    robot: str = param('', 'Robot YAML.')
    bag: str = param('', 'Bag folder.')
    out: str = param('', 'Folder for events.')
    speed: float = param(1.0, 'How fast to play; 1 as recorded, less is slower.', 0.05, 1.0)
    lead_speed: float = param(0.5, 'Highest speed to the first pose, grippers in 1/s.', 0.01, 2.0)
    simulate: bool = param(False, 'Reset the simulator and enable without asking.')
    ready_s: float = param(120.0, 'How long the other nodes may take to start [s].', 1.0, 3600.0)
    discovery_s: float = param(3.5, 'Search for other sources of chunks [s].', 0.0, 30.0)


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
        self.robot = robot = read_robot(Path(p.robot))
        self.recorded = read_commands(Path(p.bag), robot)
        self.metadata = read_metadata(Path(p.bag))
        Path(p.out).mkdir(parents=True, exist_ok=True)
        self._events = (Path(p.out) / 'events.jsonl').open('a', encoding='utf-8')
        self._sent: list[tuple[int, list[float]]] = []  # what the executor sent
        taken = [CHUNK]
        if p.simulate:
            taken += [COMMAND, *(arm.joint_state_topic for arm in robot.arms)]
        refuse_second_stack(self, taken, p.discovery_s)

        self.log = EpisodeLog(robot.joint_names, self.now_ns, lambda _answer: None)
        self._chunks = self.create_publisher(JointTrajectory, CHUNK, QoSProfile(depth=1))
        self.create_subscription(JointState, COMMAND, self._on_command, 50)
        self.create_subscription(DiagnosticArray, '/diagnostics', self.log.on_diagnostics, 50)
        self.create_subscription(Bool, 'sim/success', self.log.on_success, 10)
        self.controls = Controls(self)
        self._tell('clear')
        seconds = float(self.recorded.time_s[-1]) / p.speed
        self.get_logger().info(f'{len(self.recorded.time_s)} commands of {p.bag}, {seconds:.1f} s')

    def run(self) -> None:
        """Play the bag once.

        Raises:
            SystemExit: Something refused, did not answer or stopped the arms; the status is 1.
        """
        try:
            self._prepare()
            self._play(*self._wait_until_enabled())
        except (RuntimeError, TimeoutError) as error:
            if not self.context.ok():
                return  # Ctrl-C
            self.get_logger().error(str(error))
            raise SystemExit(1) from error

    def now_ns(self) -> int:
        """Return the time now [ns, ROS clock]."""
        return self.get_clock().now().nanoseconds

    def _prepare(self) -> None:
        """Wait for the executor, and for the simulator where it is ours.

        Raises:
            RuntimeError: The executor is not disabled, or the simulator refuses the seed.
            TimeoutError: One of them does not come.
        """
        p = self.params
        self.controls.wait(lambda: not self._missing(), p.ready_s, self._describe_missing)
        if (state := self.log.status[EXECUTOR]['state']) != 'disabled':
            msg = f'the executor is in state {state!r}, and nothing may move by a start alone; '
            msg += 'call /command_executor/enable with false and start the replay again'
            raise RuntimeError(msg)
        if p.simulate and (seed := self.metadata.get('seed', '')).isdecimal():
            self.controls.reset(int(seed))

    def _missing(self) -> list[str]:
        """Return what is not there yet."""
        status = self.log.status.get(EXECUTOR, {})
        missing = self.controls.missing(policy=False) if self.params.simulate else []
        if not status or not self._chunks.get_subscription_count():
            missing.append(EXECUTOR)
        if not float(status.get('joint_age_ms', 'inf')) < 1e3:
            missing.append('joint states')
        return missing

    def _describe_missing(self) -> str:
        missing = ', '.join(self._missing())
        return f'not ready after {self.params.ready_s:.0f} s, nothing seen of {missing}'

    def _wait_until_enabled(self) -> tuple[int, list[float]]:
        """Return a command by which the executor holds the arms: its time [ns] and pose (A,).

        It sends nothing while it is disabled, so its first command says that somebody enabled it.

        Raises:
            RuntimeError: It refuses to be enabled.
        """
        self._sent.clear()
        if self.params.simulate:
            self.controls.enable(True)
        else:
            self._tell('waiting')
            self.get_logger().info('waiting until /command_executor/enable is called with true')
        self.controls.wait(lambda: bool(self._sent), float('inf'), str)
        return self._sent[-1]

    def _play(self, held_ns: int, pose: list[float]) -> None:
        """Send all chunks in time and tell what came of it.

        Args:
            held_ns: When the executor ticked, so that its ticks meet the rows [ns, ROS clock].
            pose: (A,) where it held the arms then [rad; gripper 0..1].

        Raises:
            RuntimeError: The arms do not follow, or this process came too late.
        """
        p, rate_hz = self.params, self.robot.control_rate_hz
        held = np.array(pose, dtype=np.float32)
        replay = Replay(*self.recorded, held, rate_hz, p.speed, p.lead_speed)
        period_ns = round(1e9 / rate_hz)
        ticks = (self.now_ns() + round(AHEAD_S * 1e9) - held_ns) // period_ns + 1
        start_ns = held_ns + ticks * period_ns
        self.log.start(start_ns)
        self._tell('started', start_ns=start_ns, lead_s=replay.lead_s, total_s=replay.total_s)
        sent, playing_s, next_s = 0, 0.0, 0.0
        while (at_s := (self.now_ns() - start_ns) * 1e-9) < replay.total_s + VERDICT_S:
            while sent < replay.n_chunks and at_s >= sent * STEP_S - AHEAD_S:
                if at_s - sent * STEP_S > CHUNK_S - STEP_S:
                    msg = f'stalled at {at_s:.1f} s, the arms have stopped; start the replay again'
                    raise RuntimeError(msg)
                chunk = replay.chunk(sent, start_ns)
                self._chunks.publish(chunk_message(chunk, self.robot.joint_names))
                sent += 1
            playing_s = self._check(at_s, playing_s)
            if at_s >= next_s:
                next_s = at_s + PROGRESS_S
                self._tell('progress', seconds=round(at_s, 2), success=self.log.success)
            self.controls.spin_once(SPIN_S)
        self._tell('replayed', **self._compare(replay, start_ns))
        if p.simulate:
            self.controls.enable(False)

    def _check(self, at_s: float, playing_s: float) -> float:
        """Return when the executor was last seen to play, 0 before it has begun [s].

        Args:
            at_s: Now, since the start of the whole [s].
            playing_s: What was returned last [s].

        Raises:
            RuntimeError: It does not begin, or has stopped.
        """
        status = self.log.status[EXECUTOR]
        mode, reason = status['mode'], status['reason'] or 'no reason given'
        if mode in ('playing', 'ended'):
            return max(at_s, 0.0)
        stopped = mode == 'fault' or (mode == 'disabled' and playing_s > 0)
        if stopped or at_s - playing_s > PATIENCE_S:
            msg = f'the executor does not play at {at_s:.1f} s but is in {mode} ({reason}); no '
            msg += 'further chunk is sent; start the replay again'
            raise RuntimeError(msg)
        return playing_s

    def _compare(self, replay: Replay, start_ns: int) -> dict[str, object]:
        """Return how far what was sent is from the recording, joint by joint."""
        rows = [(ns, pose) for ns, pose in self._sent if ns >= start_ns]
        time_s = np.array([(ns - start_ns) * 1e-9 for ns, _ in rows])
        sent = np.array([pose for _, pose in rows]).reshape(len(rows), self.robot.size)
        errors = replay.errors(time_s, sent)
        if not len(errors):
            msg = f'nothing was heard on {COMMAND} while the recording was due'
            raise RuntimeError(msg)
        status = self.log.status[EXECUTOR]
        return {
            'commands': len(errors),
            'max_error': self._by_joint(np.abs(errors).max(axis=0)),
            'rms_error': self._by_joint(np.sqrt((errors**2).mean(axis=0))),
            'interventions': int(status['interventions']),
            'success': self.log.success if self.log.success_ns else None,
        }

    def _by_joint(self, numbers: np.ndarray) -> dict[str, float]:
        rounded = [round(float(number), 5) for number in numbers]
        return dict(zip(self.robot.joint_names, rounded, strict=True))

    def _on_command(self, message: JointState) -> None:
        self._sent.append((stamp_of(message), list(message.position)))

    def _tell(self, event: str, **details: object) -> None:
        """Append an event for whoever follows."""
        self._events.write(json.dumps({'event': event, **details}) + '\n')
        self._events.flush()


def main() -> None:
    """Run the node until the bag is played or Ctrl-C."""
    run_node(ReplayNode, ReplayNode.run)


if __name__ == '__main__':
    main()
