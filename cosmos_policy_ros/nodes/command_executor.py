# SPDX-License-Identifier: Apache-2.0
"""Action chunks or leader arms in, safe joint commands out; disabled until somebody enables it.

The arms move only while this node is enabled, and only as ``control/safety.py`` allows. When no
new chunk comes it plays the running one to its end and holds; without joint states, or when a
camera shows nothing new, it holds at once. While it is enabled nobody else may publish what it
sends, and only one node its chunks. With ``teleop`` the leader arms are followed instead; with
``takeover`` a person at them takes over from the policy and gives back. Drivers that need it are
set up when motion is enabled (``ros/enabling.py``), which takes a second, and get nothing before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import time

from cosmos_policy_ros.control.chunk_player import MOST_ROWS
from cosmos_policy_ros.control.executor_status import executor_status, severity
from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.control.realtime import request_realtime
from cosmos_policy_ros.control.safety import WatchdogLimits
from cosmos_policy_ros.control.stall import StallWatch
from cosmos_policy_ros.control.steady_time import SteadyTime
from cosmos_policy_ros.control.takeover import MAX_APART, Takeover
from cosmos_policy_ros.control.teleop import Teleop
from cosmos_policy_ros.control.ticks import Lateness, sleep_until, Ticker
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.ros.arms import command_topics, open_arms, open_watches
from cosmos_policy_ros.ros.camera_watch import CameraWatch
from cosmos_policy_ros.ros.control_loop import run_ticks
from cosmos_policy_ros.ros.convert import chunk_from_message, command_message
from cosmos_policy_ros.ros.diagnostics import StatusReport
from cosmos_policy_ros.ros.discovery import find_second_stack, refuse_second_stack
from cosmos_policy_ros.ros.enabling import Enabling
from cosmos_policy_ros.ros.endpoints import (
    create_publisher,
    create_service,
    create_slow_service,
    create_subscription,
)
from cosmos_policy_ros.ros.handover import Handover
from cosmos_policy_ros.ros.joint_states import JointStates
from cosmos_policy_ros.ros.leaders import leader_topics, Leaders
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.playback_params import PlaybackParams
from cosmos_policy_ros.ros.service_calls import ANSWER_S
from cosmos_policy_ros.status import EXECUTOR_NAME
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    CLOCK,
    ENABLE,
    ESTOP,
    EXECUTOR_STATUS,
    HUMAN_INTERVENTION,
    JOINT_COMMAND,
    RESET_ESTOP,
    STOP,
    TAKE_OVER,
)
from cosmos_policy_ros.types import ConfigError, JointCommand
import numpy as np
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from std_msgs.msg import Bool, Empty
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

CHUNK_BURST, CHUNK_BURST_S = 10, 0.2  # as many chunks in a time [s] and no more are read
WATCH_S = 0.1  # [s] between looks for foreign publishers
# A chunk with more bytes is not even read: one of 100,000 rows would cost a second of ticks.
ROW_BYTES, NAME_BYTES = 40, 80  # of a row apart from its numbers, of a joint's name at most


@dataclass(frozen=True)
class ExecutorParams(PlaybackParams):
    """Parameters of the command executor."""

    robot: str = param('', 'Robot YAML file with limits and rates; the launch file sets it.')
    teleop: bool = param(
        False, 'true follows the leader arms of the robot YAML file instead of chunks.'
    )
    takeover: bool = param(
        False,
        'true lets a person at the leader arms take over from the policy; leaders with a driver '
        'in the robot YAML file follow the followers until then.',
    )
    approach_speed: float = param(
        0.5,
        'Highest speed to the leaders before following them [rad/s; gripper 1/s]; slower is '
        'safer and takes longer.',
        0.01,
        3.0,
    )
    max_apart: float = param(
        MAX_APART,
        'Farthest that a leader may be from its follower where a person takes over [rad; gripper '
        '0..1].',
        0.01,
        1.0,
    )
    leader_speed: float = param(
        1.0,
        'Highest speed at which leaders follow the followers [rad/s]; a slower one is gentler to '
        'hands and lags.',
        0.05,
        3.0,
    )
    max_joint_age_s: float = param(
        0.1, 'Age of a joint state beyond which the arms hold [s].', 0.005, 5.0
    )
    max_image_age_s: float = param(
        0.25,
        'Time without a new image of a camera after which the arms hold [s]; 0 watches no camera.',
        0.0,
        5.0,
    )
    fault_image_age_s: float = param(
        10.0,
        'Time without a new image of a camera after which a fault is latched [s]: a camera that '
        'is started again moves nothing.',
        0.1,
        600.0,
    )
    fault_joint_age_s: float = param(
        2.0, 'Age of a joint state beyond which a fault is latched [s].', 0.01, 60.0
    )
    max_gap_rad: float = param(
        WatchdogLimits.max_gap_rad,
        'Gap between a command and the measured arm joint that is well [rad]; a larger one is a '
        'fault after a while.',
        0.01,
        6.3,
    )
    max_gap_area: float = param(
        WatchdogLimits.max_gap_area,
        'What a gap is larger by, times how long, that is a fault [rad s]; a joint lags for a '
        'moment in a quick motion.',
        0.0,
        10.0,
    )
    release_rad: float = param(
        WatchdogLimits.release_rad,
        'Gap down to which a command is taken back to the measured arm joint in hold and fault '
        '[rad]; it must be more than the arm sags, or it creeps down.',
        0.01,
        0.5,
    )
    resume_s: float = param(
        WatchdogLimits.resume_s,
        'How long all must have been well before a hold ends [s].',
        0.0,
        10.0,
    )
    max_jump_rad: float = param(
        WatchdogLimits.max_jump_rad,
        'Farthest that a new chunk may pass from the commanded pose in any arm joint [rad]; one '
        'that is farther is refused.',
        0.01,
        6.3,
    )
    max_chunk_age_s: float = param(
        WatchdogLimits.max_chunk_age_s,
        'Age of the observation that a chunk was planned from, above which it is refused [s]; a '
        'slower policy needs a higher one and moves in steps, blind for as long.',
        0.1,
        60.0,
    )
    enter_range: bool = param(
        False,
        'true lets enabling bring arms that lie outside of their range into it, slowly and by '
        'the motors themselves, where their driver can; no stop but the switch ends that motion.',
    )
    report_hz: float = param(
        5.0, 'Rate of the status reports [Hz]; a change of mode is reported at once.', 0.1, 50.0
    )
    realtime_priority: int = param(
        50, 'SCHED_FIFO priority of the control loop; 0 keeps normal scheduling.', 0, 99
    )
    lateness: str = param(
        '', 'File for the lateness of all commands, written at the end; empty writes none.'
    )
    discovery_s: float = param(
        3.5,
        'How long to search for a second stack [s]; a shorter time may overlook one.',
        0.0,
        30.0,
    )


class CommandExecutor(Node):
    """Play chunks through the safety at the robot's control rate."""

    def __init__(self) -> None:
        """Open the topics and services; nothing is sent before ``command_executor/enable``.

        Raises:
            ConfigError: The robot file is wrong, a seam or an interpolation does not exist, or
                another stack commands the same arms.
        """
        super().__init__(EXECUTOR_NAME)
        self.params = p = declare(self, ExecutorParams)
        self.robot = robot = read_robot(Path(p.robot), self.get_namespace())
        watchdog = WatchdogLimits(
            max_joint_age_s=p.max_joint_age_s,
            fault_joint_age_s=p.fault_joint_age_s,
            max_gap_rad=p.max_gap_rad,
            max_gap_area=p.max_gap_area,
            release_rad=p.release_rad,
            resume_s=p.resume_s,
            max_jump_rad=p.max_jump_rad,
            max_chunk_age_s=p.max_chunk_age_s,
        )
        self.playback = _open_playback(p, robot, watchdog)
        self._takeover = self.playback if isinstance(self.playback, Takeover) else None
        self._period_s = 1.0 / robot.control_rate_hz
        self._ticks_per_report = max(1, round(robot.control_rate_hz / p.report_hz))
        self._ticks_per_watch = max(1, round(robot.control_rate_hz * WATCH_S))
        self._ticks, self._skipped, self._n_refused = 0, 0, 0
        self._chunks_s: deque[float] = deque(maxlen=CHUNK_BURST)  # read at [s, monotonic]
        self._most_bytes = MOST_ROWS * (8 * robot.size + ROW_BYTES) + NAME_BYTES * (robot.size + 1)
        self._lateness, self._sending = Lateness(p.lateness), False
        self._refusals: dict[str, str] = {}  # stream -> it, and why its last message was refused
        self._mode = 'disabled'
        self._time, self._stall = SteadyTime(time.perf_counter()), StallWatch(ANSWER_S)
        self._enabled_ns = 0  # when motion was enabled last [ns, ROS clock]
        self._intervenes: bool | None = None  # as last published
        self._saw_s = 0.0  # when all cameras were well, or did not matter [s, monotonic]
        self._outputs = [JOINT_COMMAND.ros_name, *command_topics(robot.arms)]
        self._outputs += leader_topics(robot) if p.takeover else []
        refuse_second_stack(self, self._outputs, p.discovery_s)

        self._pack = open_arms(self, robot.arms, self._period_s)
        self._watches = open_watches(self, robot.arms, self._period_s)
        self._commands = create_publisher(self, JOINT_COMMAND)
        self._status = StatusReport(self, EXECUTOR_STATUS, EXECUTOR_NAME, robot.name)
        self._joints = JointStates(self, robot, self._note)
        self._leaders, self._handover = self._open_leaders(), None
        if self._takeover is not None and self._leaders is not None:
            self._handover = Handover(
                self._takeover, self._leaders, self._now_ns, self._report_now
            )
        self._enabling = Enabling(
            self,
            robot,
            self.playback.safety,
            self._joints,
            self._leaders,
            self._pack,
            self._now_ns,
            p.enter_range,
        )
        self._interventions = create_publisher(self, HUMAN_INTERVENTION) if p.takeover else None
        self._note_intervention()
        watched = robot.cameras if p.max_image_age_s and not p.teleop else ()
        self._cameras = CameraWatch(self, watched)
        if not p.teleop:
            create_subscription(self, ACTION_CHUNK, self._on_chunk, raw=True)
        create_subscription(self, STOP, self._on_stop)
        create_slow_service(self, ENABLE, self._on_enable)
        create_service(self, ESTOP, self._on_estop)
        create_service(self, RESET_ESTOP, self._on_reset)
        create_slow_service(self, TAKE_OVER, self._on_take_over)
        self._scheduling = request_realtime(p.realtime_priority)
        if p.realtime_priority and self._scheduling == 'normal':
            self.get_logger().warning('no real-time scheduling; give this user an rtprio limit')
        self._ticker = Ticker.by_clock(self._period_s)
        self.get_logger().info(
            f'disabled; once enabled, commands go to {robot.name} at {robot.control_rate_hz} Hz, '
            f'scheduling {self._scheduling}'
        )

    def run(self) -> None:
        """Tick until the context is shut down."""
        try:
            run_ticks(self, self._ticker, self._tick)
        finally:
            self._lateness.write(self._scheduling)

    def _now_ns(self) -> int:
        """Return the time by which everything here grows old [ns, ROS clock]."""
        return self._time.read(self.get_clock().now().nanoseconds, time.perf_counter())

    def _find_standstill(self) -> str:
        """Return that the ROS clock stands still; empty while it runs."""
        self._now_ns()
        stands_s = self._time.standstill_s(time.perf_counter())
        if not stands_s:
            return ''
        return f'{CLOCK.name} has stood still for {stands_s:.1f} s, and use_sim_time is true'

    def _on_chunk(self, data: bytes) -> None:
        """Play a chunk, or note why it is refused; ignored unless enabled and led by chunks."""
        if self.playback.safety.state != 'enabled' or self.playback.led_by == 'person':
            return
        now_s = time.perf_counter()
        if len(data) > self._most_bytes:
            self._refuse_chunk(f'{len(data)} bytes are more than {MOST_ROWS} rows have')
            return
        if len(self._chunks_s) == CHUNK_BURST and now_s - self._chunks_s[0] < CHUNK_BURST_S:
            self._refuse_chunk(f'more than {CHUNK_BURST} chunks came within {CHUNK_BURST_S} s')
            return
        self._chunks_s.append(now_s)
        message = deserialize_message(data, JointTrajectory)
        if not all(np.isfinite(point.positions).all() for point in message.points):
            reason = 'action chunk has NaN or infinite positions; check the policy'
            self.playback.safety.fault(reason)
            return
        try:
            chunk = chunk_from_message(message, self.robot.joint_names)
            self.playback.add(chunk, self._now_ns())
        except ValueError as error:
            self._refuse_chunk(str(error))
            return
        self._note(ACTION_CHUNK.ros_name, None)

    def _refuse_chunk(self, reason: str) -> None:
        self._n_refused += 1
        self._note(ACTION_CHUNK.ros_name, f'refused: {reason}')

    def _note(self, stream: str, refusal: str | None) -> None:
        """Keep why the newest message of a stream is refused, and log the first refusal.

        Args:
            stream: Name of the topic.
            refusal: Why; None if the message is good.
        """
        if refusal is None:
            self._refusals.pop(stream, None)
            return
        told = refusal if stream in refusal else f'{stream}: {refusal}'
        if stream not in self._refusals:
            self.get_logger().error(told)
        self._refusals[stream] = told

    def _on_enable(
        self, request: SetBool.Request, response: SetBool.Response, answer: Callable[[], None]
    ) -> None:
        """Enable from where the arms are once their drivers are set up, or disable."""
        settle = self._answering(response, answer, 'enabled' if request.data else 'disabled')
        if not request.data:
            self._abandon('disabled')
            self.playback.disable()
            if self._leaders is not None:
                self._leaders.rest()
            self._note_intervention()
            self._set_trust()
            self._report_now()
            settle('')
        elif self.playback.safety.state == 'enabled':
            settle('')
        elif self._enabling.runs:
            settle('not enabled: the drivers are being set up for another call')
        elif trouble := self._find_obstacle(self._enabling.max_excess_rad):
            settle(f'not enabled: {trouble}')
        else:
            if self._handover is not None:  # one that has outlived a fault
                self._handover.abandon('motion is enabled anew')
            self._enabling.start(self._begin, settle)
            if self._enabling.runs:  # it takes a while
                self._report_now()

    def _answering(
        self, response: SetBool.Response, answer: Callable[[], None], done: str
    ) -> Callable[[str], None]:
        """Return what logs and answers a call, given its trouble: ``done`` where there is none."""

        def settle(trouble: str) -> None:
            response.success, response.message = not trouble, trouble or done
            if trouble:  # one line of code logs with one severity, else rclpy raises
                self.get_logger().error(trouble)
            else:
                self.get_logger().info(done)
            answer()

        return settle

    def _begin(self) -> None:
        """Allow motion from where the arms are, now that their drivers are set up.

        Raises:
            ValueError: Something is against it.
        """
        now_ns = self._now_ns()
        if trouble := self._find_obstacle():
            raise ValueError(trouble)
        if self._leaders is not None:
            self._leaders.begin(now_ns)
        self.playback.enable(*self._joints.measure(now_ns), now_ns)
        self._enabled_ns, self._n_refused = now_ns, 0
        self._mode = 'disabled'  # so that the first tick reports, whatever was before
        self._refusals.pop(ACTION_CHUNK.ros_name, None)
        self._set_trust()

    def _abandon(self, reason: str) -> None:
        """End an enabling or a handover that runs, and answer who asked for it."""
        self._enabling.abandon(reason)
        if self._handover is not None:
            self._handover.abandon(reason)

    def _on_take_over(
        self, request: SetBool.Request, response: SetBool.Response, answer: Callable[[], None]
    ) -> None:
        """Let the leader arms lead, or the policy again."""
        person = bool(request.data)
        done = 'the leader arms lead' if person else 'the policy leads'
        settle = self._answering(response, answer, done)
        if self._handover is None:
            settle('this executor was started without takeover: true, nobody can take over')
        else:
            self._handover.start(person, settle)

    def _note_intervention(self) -> None:
        """Publish whether a person's hands lead, where that has changed."""
        before = self._intervenes
        self._intervenes = self._takeover is not None and self._takeover.intervenes
        if self._interventions is not None and self._intervenes != before:
            self._interventions.publish(Bool(data=self._intervenes))

    def _open_leaders(self) -> Leaders | None:
        """Return the leader arms where they lead or may lead."""
        p = self.params
        if not (p.teleop or p.takeover):
            return None
        max_speed = p.leader_speed if p.takeover else 0.0
        return Leaders(self, self.robot, self._note, max_speed, p.max_joint_age_s)

    def _find_obstacle(self, max_excess_rad: float | None = None) -> str:
        """Return why motion cannot be enabled now; empty when nothing is known against it.

        Args:
            max_excess_rad: As of ``Safety.find_refusal``.
        """
        return (
            self._stall.find(time.perf_counter())
            or self._find_standstill()
            or self._find_strangers()
            or next((trouble for watch in self._watches.values() if (trouble := watch())), '')
            or self._joints.find_unrest(self.params.max_joint_age_s / 2)
            or self.playback.safety.find_refusal(
                *self._joints.measure(self._now_ns()), max_excess_rad
            )
        )

    def _on_estop(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Brake and stay until reset and enabled again."""
        self._stop()
        response.success = True
        response.message = f'{self.playback.safety.state}; reset and enable to move again'
        return response

    def _on_stop(self, _message: Empty) -> None:
        """Stop; a pedal may say so again and again."""
        if not self.playback.safety.stopped:
            self._stop()

    def _stop(self) -> None:
        self._abandon('emergency stop')
        self.playback.safety.stop()
        if self._leaders is not None:
            self._leaders.stop()
        self._report_now()  # before the log, which may wait for a disk
        self.get_logger().error('emergency stop')

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Let go of an emergency stop."""
        if stall := self._stall.find(time.perf_counter()):
            response.success, response.message = False, stall
            self.get_logger().error(f'not reset: {stall}')
            return response
        self.playback.safety.reset()
        if self._leaders is not None:
            self._leaders.reset()
        self._report_now()
        response.success, response.message = True, 'reset; enable to move again'
        self.get_logger().info(response.message)
        return response

    def _find_strangers(self) -> str:
        """Return who else sends commands, or that several nodes send chunks; empty if nobody."""
        chunks = [] if self.params.teleop else [ACTION_CHUNK.ros_name]
        return find_second_stack(self, [*self._outputs, *chunks], n_own=1)

    def _find_trouble(self) -> str:
        """Return why the arms would not do as commanded by what their drivers say, else empty."""
        found = (trouble for watch in self._watches.values() if (trouble := watch()))
        return next(found, self._enabling.trouble)

    def _tick(self, due_s: float) -> None:
        """Get one command ready, send it when it is due and report changes."""
        self._stall.note(time.perf_counter())
        now_ns = self._now_ns() + round(max(due_s - time.perf_counter(), 0.0) * 1e9)
        watch = self._sending and self._ticks % self._ticks_per_watch == 0
        if watch and (trouble := self._find_strangers() or self._find_trouble()):
            self.playback.safety.fault(trouble)
        missed, self._skipped = self._ticker.skipped - self._skipped, self._ticker.skipped
        measured, age_s = self._joints.measure(now_ns)
        if self._leaders is not None:
            self.playback.lead(*self._leaders.states.measure(now_ns))
        standstill = self._find_standstill()
        stands_s = self._time.standstill_s(time.perf_counter())
        if standstill and max(stands_s, age_s) > self.params.fault_joint_age_s:
            # A simulator that dies takes both along; which is missed first is chance.
            self.playback.safety.fault(f'{standstill}; no joint states for {age_s:.1f} s')
        blind = self._find_blindness(now_ns)
        why = standstill or blind
        command = self.playback.tick(measured, age_s, now_ns, 1 + missed, why)
        self._note_intervention()
        if command is not None:
            self._send(command, due_s, missed)
            if self._leaders is not None:
                self._leaders.follow(command.positions, now_ns)
        self._sending = command is not None
        self._set_trust()
        self._ticks += 1
        changed, self._mode = self.playback.mode != self._mode, self.playback.mode
        if changed:
            self._log_mode()
        if changed or self._ticks % self._ticks_per_report == 0:
            self._report(age_s)

    def _find_blindness(self, now_ns: int) -> str:
        """Return which camera that the arms are moved by shows nothing new, empty for none.

        One that is missed for too long is a fault, so that whoever starts it again moves nothing.
        """
        if self.playback.led_by == 'person':
            blind = ''
        else:
            blind = self._cameras.blind(now_ns, self.params.max_image_age_s)
        now_s = time.perf_counter()
        if not (blind and self._sending):
            self._saw_s = now_s
        elif now_s - self._saw_s > self.params.fault_image_age_s:
            self.playback.safety.fault(f'{blind}; see to the camera')
        return blind

    def _set_trust(self) -> None:
        """Believe new poses only while nothing is sent that may follow them."""
        self._joints.trusting = self.playback.safety.state == 'disabled'
        if self._leaders is not None:
            self._leaders.states.trusting = self._joints.trusting

    def _send(self, command: JointCommand, due_s: float, missed: int) -> None:
        """Send every arm its part when it is due, then the whole to whoever records."""
        ready = self._pack(command.positions) if self._enabling.ready else []
        sleep_until(due_s)
        began_s = time.perf_counter()
        for leave in ready:
            leave()
        if self._sending:  # the first one has no deadline: enabling takes its time
            self._lateness.add(due_s, began_s, time.perf_counter(), missed)
        self._commands.publish(command_message(command, self.robot.joint_names))

    def _log_mode(self) -> None:
        log = self.get_logger()
        if self._mode == 'fault':
            log.error(f'fault: {self.playback.reason}')
        elif self._mode in ('hold', 'ended') and self.playback.stats.chunks:
            log.warning(f'holding: {self.playback.reason}')
        else:
            log.info(self.playback.reason or self._mode)

    def _report_now(self) -> None:
        """Report a change that someone waits for, even if it lasts no tick."""
        self._report(self._joints.measure(self._now_ns())[1])

    def _report(self, joint_age_s: float) -> None:
        """Publish state, reason and figures since enabling."""
        status = executor_status(
            self.playback,
            self._lateness,
            self._refusals,
            joint_age_s=joint_age_s,
            chunks_refused=self._n_refused,
            ticks_skipped=self._skipped,
            scheduling=self._scheduling,
            preparing=self._enabling.runs,
            enabled_ns=self._enabled_ns,
        )
        level = severity(status, self._refusals)
        self._status.publish(level, status.reason or status.mode, status)


def _open_playback(
    params: ExecutorParams, robot: RobotSpec, watchdog: WatchdogLimits
) -> Playback | Teleop | Takeover:
    """Return what makes commands of chunks, of leaders, or of both in turn.

    Raises:
        ConfigError: Both parameters are true, or a seam or an interpolation does not exist.
    """
    if params.teleop and params.takeover:
        msg = 'teleop and takeover are both true: with teleop a person leads from the beginning'
        raise ConfigError(msg)
    settings = params.playback  # refused also where no chunk is played
    if params.teleop:
        return Teleop(robot, params.approach_speed, watchdog)
    playback = Playback(robot, settings, watchdog)
    if params.takeover:
        return Takeover(robot, playback, params.approach_speed, params.max_apart)
    return playback


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(CommandExecutor, CommandExecutor.run)


if __name__ == '__main__':
    main()
