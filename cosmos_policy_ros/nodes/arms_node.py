# SPDX-License-Identifier: Apache-2.0
"""Moves the arms slowly as a person asks for by name, as action chunks through the executor.

``home`` goes to the start pose, ``park`` over it to the sleep pose, where the torque of arms whose
driver can is switched off, ``jog`` moves one joint by a step and back, ``grippers`` opens and
closes the grippers to measure their scale. It begins with a disabled executor, enables it and
disables it however the motion ends; whatever ends it on the way ends the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.control.arm_motions import (
    check_motion,
    motion_poses,
    Pose,
    REST_S,
    trace,
)
from cosmos_policy_ros.control.gripper_fit import fit_scale
from cosmos_policy_ros.control.replay import Replay
from cosmos_policy_ros.control.replay_run import refuse_leaders, ReplayRun, start_on_tick
from cosmos_policy_ros.event_log import EventLog, FILE_NAME
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.arms import open_setups
from cosmos_policy_ros.ros.convert import chunk_message
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription, has_listeners
from cosmos_policy_ros.ros.joint_states import JointStates
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.service_calls import Conversation
from cosmos_policy_ros.ros.stack_client import run_to_end, StackClient
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import ACTION_CHUNK, ENABLE, EXECUTOR_STATUS, JOINT_COMMAND
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState

MAX_JOINT_AGE_S = 0.5  # [s] an executor with older joint states cannot be enabled
SETTLE_S = 0.5  # [s] after the last row until the arms are measured
ARRIVED_RAD = 0.06  # [rad] from where they were to be: an arm sags under its own weight
ANSWERS_S = 0.4  # [s] until joint states of 0.2 s agree, after the first ones
LET_GO_S = 20.0  # [s] that all drivers may take to switch the torque off
PROGRESS_S = 0.2  # [s] between two events of progress
SPIN_S = 0.02  # [s] between two readings of the clock


@dataclass(frozen=True)
class ArmsParams:
    """Parameters of the node that moves arms by name."""

    robot: str = param('', 'Robot YAML file; the command sets it.')
    motion: str = param('home', 'What to do: home, park, jog or grippers.')
    joint: str = param('', 'Joint that jog moves, as <arm>/<joint>.')
    step: float = param(0.05, 'How far jog moves it [rad; gripper 0..1].', -0.5, 0.5)
    joint_speed: float = param(
        0.3, 'Highest speed of any joint on the way [rad/s; gripper 1/s].', 0.02, 1.0
    )
    out: str = param('', 'Folder for the events; the command sets it.')
    ready_s: float = param(30.0, 'How long the other nodes may take to start [s].', 1.0, 3600.0)
    discovery_s: float = param(
        3.5,
        'How long to search for another source of chunks and for an executor [s]; a shorter time '
        'may overlook one.',
        0.0,
        30.0,
    )


class ArmsNode(Node):
    """Enable, move, look where the arms are, disable."""

    def __init__(self) -> None:
        """Read the robot file, and look for others who move the arms.

        Raises:
            ConfigError: The file is wrong, the motion cannot be, or somebody else sends chunks.
        """
        super().__init__('arms')
        self.params = p = declare(self, ArmsParams)
        self.robot = robot = read_robot(Path(p.robot), self.get_namespace())
        self._events = EventLog(Path(p.out) / FILE_NAME)
        self._status: ExecutorStatus | None = None
        self._held: tuple[int, list[float]] | None = None  # newest command: stamp [ns] and pose
        check_motion(robot, p.motion, p.joint, p.step)
        refuse_second_stack(self, [ACTION_CHUNK.ros_name], p.discovery_s)

        self._chunks = create_publisher(self, ACTION_CHUNK)
        subscribe_status(self, EXECUTOR_STATUS, ExecutorStatus, self._on_status)
        create_subscription(self, JOINT_COMMAND, self._on_command)
        self._joints = JointStates(self, robot, lambda *_: None)
        self._setups, self._conversation = open_setups(self, robot.arms), Conversation()
        self.client = StackClient(self, (ENABLE,))
        if not self.count_publishers(EXECUTOR_STATUS.ros_name):
            self._events.write('clear')  # who started this node starts an executor
        self.get_logger().info(f'{p.motion} of {robot.name}, at most {p.joint_speed} rad/s')

    def run(self) -> None:
        """Move once; raises as ``run_to_end``."""
        run_to_end(self, self._run)

    def _run(self) -> None:
        self._prepare()
        self._held = None  # whatever somebody commanded before
        with self.client.motion():
            self._go()
        if self.params.motion == 'park':
            self._let_go()

    def _go(self) -> None:
        """Move, look where the arms are, and report what was measured.

        Raises:
            RuntimeError: The motion cannot be done from there, or did not come to its end.
            TimeoutError: The executor sends nothing.
        """
        p = self.params
        self.client.wait(
            lambda: self._held is not None,
            5.0,
            lambda: 'the executor is enabled and sends nothing',
        )
        assert self._held is not None
        held_ns, held = self._held[0], np.array(self._held[1])
        try:
            poses = motion_poses(self.robot, p.motion, held, p.joint, p.step)
        except ValueError as error:
            raise RuntimeError(str(error)) from error
        replay = self._lay_out(poses, held)
        samples = self._move(replay, held_ns)
        self._check_arrival(poses[-1], samples[-1][1])
        if p.motion == 'jog':
            self._report_jog(replay, poses, samples)
        elif p.motion == 'grippers':
            self._report_scales(replay, samples)

    def _prepare(self) -> None:
        """Wait for the executor and the joint states.

        Raises:
            RuntimeError: The executor is not disabled, or follows the leader arms.
            TimeoutError: One of them does not come.
        """
        self.client.wait_until_ready(self._missing, self.params.ready_s)
        assert self._status is not None
        refuse_leaders(self._status)
        if self._status.state != 'disabled':
            msg = (
                f'the executor is in state {self._status.state!r}, so somebody else moves the '
                f'arms; call {ENABLE.name} with false and try again'
            )
            raise RuntimeError(msg)
        self.client.pause(ANSWERS_S)

    def _missing(self) -> list[str]:
        """Return the names of what is not there yet."""
        missing = []
        if self._status is None or not has_listeners(self._chunks):
            missing.append('a command executor that plays chunks')
        if self._status is None or not self._status.joint_age_s < MAX_JOINT_AGE_S:
            missing.append(f'joint states on {", ".join(self.robot.joint_state_topics)}')
        if self._measure() is None:
            missing.append('joint states that agree')
        return missing

    def _lay_out(self, poses: list[Pose], held: Pose) -> Replay:
        """Return the motion as a recording that is played again."""
        speed, rate_hz = self.params.joint_speed, self.robot.control_rate_hz
        time_s, positions = trace(poses, rate_hz, speed)
        return Replay(time_s, positions, held.astype(np.float32), rate_hz, lead_speed=speed)

    def _move(self, replay: Replay, held_ns: int) -> list[tuple[float, Pose]]:
        """Send all chunks in time.

        Args:
            replay: The motion.
            held_ns: When the executor ticked [ns, ROS clock].

        Returns:
            Times since the start [s] and (A,) measured poses then [rad; gripper 0..1].

        Raises:
            RuntimeError: The arms do not follow, or this process came too late.
        """
        rate_hz = self.robot.control_rate_hz
        run = ReplayRun(replay, start_on_tick(held_ns, self._now_ns(), rate_hz))
        samples: list[tuple[float, Pose]] = []
        next_s, end_s = 0.0, replay.total_s + SETTLE_S
        self._events.write('started', total_s=end_s)
        while (at_s := run.seconds(self._now_ns())) < end_s:
            for chunk in run.due_chunks(at_s):
                self._chunks.publish(chunk_message(chunk, self.robot.joint_names))
            assert self._status is not None
            run.check(self._status, at_s)
            measured = self._measure()
            if at_s >= 0.0 and measured is not None:
                samples.append((at_s, measured.astype(np.float64)))
            if at_s >= next_s:
                next_s = at_s + PROGRESS_S
                self._events.write('progress', seconds=round(at_s, 2))
            self.client.spin_once(SPIN_S)
        return samples

    def _check_arrival(self, wanted: Pose, measured: Pose) -> None:
        """Compare the measured pose with the one the arms were sent to.

        Raises:
            RuntimeError: An arm joint is elsewhere.
        """
        gap = np.abs(measured - wanted) * self.robot.arm_joints
        i = int(gap.argmax())
        if gap[i] > ARRIVED_RAD:
            msg = (
                f'{self.robot.joint_names[i]} is at {measured[i]:.3f} rad, sent to '
                f'{wanted[i]:.3f}; see what holds it, the torque stays on'
            )
            raise RuntimeError(msg)
        self._events.write('arrived', joint=self.robot.joint_names[i], gap=round(float(gap[i]), 4))

    def _report_jog(
        self, replay: Replay, poses: list[Pose], samples: list[tuple[float, Pose]]
    ) -> None:
        """Report which joint really moved, and how far."""
        leg_s = (replay.total_s - replay.lead_s - 3 * REST_S) / 2  # rest, there, rest, back, rest
        turn_s = replay.lead_s + REST_S + leg_s + 0.8 * REST_S
        times_s = np.array([at_s for at_s, _ in samples])
        moved = samples[int(np.abs(times_s - turn_s).argmin())][1] - samples[0][1]
        i, names = int(np.abs(moved).argmax()), self.robot.joint_names
        asked = names.index(self.params.joint)
        self._events.write(
            'jogged',
            joint=names[asked],
            wanted=round(float(poses[1][asked] - poses[0][asked]), 4),
            measured=round(float(moved[asked]), 4),
            most=names[i],
            most_measured=round(float(moved[i]), 4),
        )

    def _report_scales(self, replay: Replay, samples: list[tuple[float, Pose]]) -> None:
        """Report the measured scale of every gripper.

        Raises:
            RuntimeError: A gripper did not move as it was commanded.
        """
        times_s = np.array([at_s for at_s, _ in samples])
        measured = np.array([pose for _, pose in samples])
        commanded, scales = replay.at(times_s), {}
        during = times_s >= replay.lead_s
        for arm, part in zip(self.robot.arms, self.robot.arm_slices, strict=True):
            if arm.gripper is None:
                continue
            opening = measured[during, part][:, -1]
            try:
                fit = fit_scale(arm.gripper, commanded[during, part][:, -1], opening)
            except ValueError as error:
                msg = f'{arm.name}: {error}'
                raise RuntimeError(msg) from error
            scales[arm.name] = {
                'state_closed': fit.state_closed,
                'state_open': fit.state_open,
                'state_between': fit.state_between,
            }
        self._events.write('measured', scales=scales)

    def _let_go(self) -> None:
        """Switch the torque of all arms off whose driver can.

        Raises:
            RuntimeError: A driver refuses or does not answer.
        """
        ends: list[str] = []
        self._conversation.start(self._let_all_go(), ends.append)
        self.client.wait(lambda: bool(ends), LET_GO_S, lambda: 'a driver does not answer')
        if ends[0]:
            raise RuntimeError(ends[0])
        outputs = [output.topic for arm in self.robot.arms for output in arm.outputs]
        kept = [topic for topic in outputs if topic not in self._setups]
        self._events.write('let_go', without_torque=list(self._setups), kept=kept)

    async def _let_all_go(self) -> None:
        for setup in self._setups.values():
            await setup.let_go()

    def _measure(self) -> NDArray[np.float32] | None:
        """Return the (A,) measured joints [rad; gripper 0..1], None while nobody knows them."""
        return self._joints.measure(self._now_ns())[0]

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_status(self, status: ExecutorStatus) -> None:
        self._status = status

    def _on_command(self, message: JointState) -> None:
        self._held = stamp_of(message), list(message.position)


def main() -> None:
    """Run the node until the motion is done or Ctrl-C."""
    run_node(ArmsNode, ArmsNode.run)


if __name__ == '__main__':
    main()
