# SPDX-License-Identifier: Apache-2.0
"""The command executor as a process, with fake arms at the other end of the topics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import signal
import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.control.stall import SETTLED_S
from cosmos_policy_ros.robot import ArmSpec, read_robot
from cosmos_policy_ros.ros.convert import (
    image_message,
    joint_state_message,
    trajectory_message,
)
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.service_calls import ANSWER_S
from cosmos_policy_ros.ros.stand_ins.parameters import serve_parameters
from cosmos_policy_ros.stack.node_list import MISTAKE
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import EXECUTOR_STATUS
from diagnostic_msgs.msg import DiagnosticArray
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.subscription import Subscription
from ros_domains import ros_domain
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Empty, Float64MultiArray
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

ROOT = Path(__file__).parents[2]
ROBOT_FILE = ROOT / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
START = ROBOT.start
LEFT, RIGHT = ROBOT.arms
MAX_AGE_S = 0.3  # more than this process may pause on a busy machine
MAX_IMAGE_AGE_S = 0.5  # likewise
FAULT_IMAGE_AGE_S = 4.0  # longer than a camera is missed in other tests
PERIOD_S = 0.02
SLACK_S = 0.3  # discovery, and this process on a busy machine
NAMES = ROBOT.joint_names


def start_executor(*parameters: str, discovery_s: float = 0.0) -> subprocess.Popen[str]:
    """Start a command executor."""
    given = (
        f'robot:={ROBOT_FILE}',
        f'discovery_s:={discovery_s}',
        f'max_joint_age_s:={MAX_AGE_S}',
        f'max_image_age_s:={MAX_IMAGE_AGE_S}',
        f'fault_image_age_s:={FAULT_IMAGE_AGE_S}',
        *parameters,
    )
    words = [word for p in given for word in ('-p', p)]
    return subprocess.Popen(
        [sys.executable, '-m', 'cosmos_policy_ros.nodes.command_executor', '--ros-args', *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Executor:
    """A command executor that can be ended and started again."""

    def __init__(self) -> None:
        """Start it."""
        self.process = start_executor()

    def stop(self, how: signal.Signals) -> int:
        """End it with a signal and return its exit status."""
        self.process.send_signal(how)
        self.process.communicate(timeout=20)
        return self.process.returncode


class FakeArms(Node):
    """Two arms that do at once what they are told, and somebody who watches and enables."""

    def __init__(self) -> None:
        """Publish joint states at 100 Hz and listen to everything the executor sends."""
        super().__init__('fake_arms')
        self.silent: set[str] = set()  # arms and cameras that publish nothing
        self.broken_reads = 0  # so many next messages of the left arm are failed bus reads
        self.nan_reads = 0  # so many next messages of the left arm have a NaN
        self.wrong_joint = False  # whether the left wrist is said to be at -pi
        self.parameters = {  # arm -> parameters of its controller
            arm.name: {'joints': [*arm.joints, 'left_finger']} for arm in ROBOT.arms
        }
        self.listening: dict[str, Subscription] = {}  # arm -> its controller, if it is there
        self.drift = 0.0  # [rad] that the left waist moves by from message to message
        self.sent_ns: dict[str, int] = {}  # arm or camera -> when it last published
        self.frozen: set[str] = set()  # cameras that send their last image again
        self.black: set[str] = set()  # cameras that send black images
        self.pixels: dict[str, NDArray[np.uint8]] = {}  # camera -> its last image
        self.image_ns: dict[str, int] = {}  # camera -> when that was new
        self.rng = np.random.default_rng(0)  # of the noise that the cameras see
        self.home()
        self.received: list[tuple[float, str, list[float]]] = []  # (monotonic s, arm, command)
        self.commands: list[JointState] = []
        self.status: dict[str, str] = {}
        self._states = {}
        for arm in ROBOT.arms:
            self._states[arm.name] = self.create_publisher(
                JointState, arm.joint_state_topic, qos_profile_sensor_data
            )
            self.listen(arm)
            serve_parameters(self, f'/{arm.name}_controller', self.parameters[arm.name])
        self.create_subscription(JointState, '/joint_command', self.commands.append, 10)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.chunks = self.create_publisher(JointTrajectory, '/policy/action_chunk', 1)
        self.enable_client = self.create_client(SetBool, '/command_executor/enable')
        self.estop_client = self.create_client(Trigger, '/command_executor/estop')
        self.reset_client = self.create_client(Trigger, '/command_executor/reset')
        self.stop = self.create_publisher(Empty, '/command_executor/stop', 1)
        self.create_timer(0.01, self._publish)
        self._images = {
            c.name: self.create_publisher(Image, c.topic, qos_profile_sensor_data)
            for c in ROBOT.cameras
        }
        self.create_timer(0.05, self._publish_images)

    def listen(self, arm: ArmSpec) -> None:
        """Let the controller of an arm take commands."""
        self.listening[arm.name] = self.create_subscription(
            Float64MultiArray, arm.command_topic, lambda m: self._on_command(arm, m), 10
        )

    def leave(self, arm: ArmSpec) -> None:
        """Let the controller of an arm go away."""
        self.destroy_subscription(self.listening.pop(arm.name))

    def home(self) -> None:
        """Put both arms at the start pose."""
        self.pose = {'follower_left': START[:7].copy(), 'follower_right': START[7:].copy()}

    def now_ns(self) -> int:
        """Return the time of the ROS clock."""
        return self.get_clock().now().nanoseconds

    def _on_command(self, arm: ArmSpec, message: Float64MultiArray) -> None:
        numbers = np.array(message.data)
        self.received.append((time.monotonic(), arm.name, numbers.tolist()))
        numbers[-1] = (numbers[-1] - 0.01844) / (0.058 - 0.01844)
        self.pose[arm.name] = numbers.astype(np.float32)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == 'command_executor':
                self.status = {v.key: v.value for v in status.values}

    def _publish_images(self) -> None:
        for name, publisher in self._images.items():
            if name not in self.silent:
                self.sent_ns[name] = self.now_ns()
                if name not in self.frozen:
                    self.image_ns[name] = self.sent_ns[name]
                    self.pixels[name] = self.rng.integers(0, 256, (240, 320, 3), np.uint8)
                image = self.pixels[name] * (name not in self.black)
                publisher.publish(image_message(image, self.sent_ns[name], ''))

    def _publish(self) -> None:
        for arm in ROBOT.arms:
            if arm.name in self.silent:
                continue
            numbers = self.pose[arm.name].astype(float)
            numbers[-1] = 0.01844 + numbers[-1] * (0.058 - 0.01844)
            if arm is LEFT and self.broken_reads:
                self.broken_reads -= 1
                numbers = np.full(7, -np.pi)
            if arm is LEFT and self.nan_reads:
                self.nan_reads -= 1
                numbers[2] = np.nan
            if arm is LEFT and self.wrong_joint:
                numbers[5] = -np.pi
            if arm is LEFT:
                self.pose[arm.name][0] += self.drift
            names = ['right_finger', *arm.joints, 'left_finger']  # more, and in another order
            self.sent_ns[arm.name] = self.now_ns()
            numbers = [-numbers[-1], *numbers]
            message = joint_state_message(names, numbers, self.sent_ns[arm.name])
            self._states[arm.name].publish(message)


class Bench(ThreadedBench):
    """Fake arms that spin in a thread, and what tests do with them."""

    def __init__(self) -> None:
        """Start spinning."""
        rclpy.init()
        self.arms = FakeArms()
        super().__init__(self.arms)

    def connect(self) -> None:
        """Wait until an executor hears this side and is heard."""
        arms = self.arms
        self.wait(arms.enable_client.service_is_ready)
        self.wait(arms.estop_client.service_is_ready)
        self.wait(arms.reset_client.service_is_ready)
        self.wait(arms.stop.get_subscription_count)
        self.wait(arms.chunks.get_subscription_count)
        for arm in ROBOT.arms:
            self.wait(lambda a=arm: arms.count_publishers(a.command_topic))
            self.wait(lambda a=arm: arms._states[a.name].get_subscription_count())
        self.wait(lambda: arms.status)

    def enable(self, on: bool = True) -> SetBool.Response:
        """Call the enable service."""
        return self.call(self.arms.enable_client, SetBool.Request(data=on))

    def start_anew(self, arm: ArmSpec, parameters: dict[str, object], joints: list[str]) -> None:
        """Let the controller of an arm go away and come back with other joints."""
        self.arms.leave(arm)
        parameters['joints'] = joints
        time.sleep(1.5)
        self.arms.listen(arm)

    def restart(self) -> None:
        """Reset, disable, go home, enable."""
        self.call(self.arms.reset_client, Trigger.Request())
        self.enable(on=False)
        self.arms.silent.clear()
        self.arms.wrong_joint, self.arms.drift = False, 0.0
        time.sleep(0.05)
        self.arms.home()
        time.sleep(0.4)  # until joint states of 0.2 s agree
        self.arms.received.clear()
        self.arms.commands.clear()
        self.arms.status = {}
        response = self.enable()
        assert response.success, response.message
        self.wait(lambda: self.arms.received)

    def send(self, rows: np.ndarray, joints: tuple[str, ...] = ROBOT.joint_names) -> int:
        """Publish a chunk whose row 0 is due now and return its stamp [ns]."""
        stamp_ns = self.arms.now_ns()
        self.arms.chunks.publish(trajectory_message(stamp_ns, rows, 25.0, joints))
        return stamp_ns

    def waist_commands(self) -> list[tuple[int, float]]:
        """Return the stamp [ns] and the left waist [rad] of every /joint_command."""
        return [(stamp_of(c), c.position[0]) for c in list(self.arms.commands)]

    def status(self, **wanted: str) -> dict[str, str]:
        """Wait for a status and return it."""
        self.wait(lambda: all(self.arms.status.get(k) == v for k, v in wanted.items()))
        return self.arms.status

    @property
    def waist_rad(self) -> float:
        """Where the left waist was last told to be; NaN before it was."""
        told = [command[0] for _, arm, command in list(self.arms.received) if arm == LEFT.name]
        return told[-1] if told else float('nan')


def waist(start_rad: float, end_rad: float, n_rows: int = 26) -> np.ndarray:
    """Return (n_rows, 14) float32 rows that move only the left waist."""
    rows = np.tile(START, (n_rows, 1))
    rows[:, 0] = np.linspace(start_rad, end_rad, n_rows)
    return rows


@pytest.fixture(scope='module')
def bench() -> Iterator[Bench]:
    """Return fake arms in a ROS domain of their own."""
    with ros_domain():
        bench = Bench()
        yield bench
        bench.close()


@pytest.fixture(scope='module')
def executor(bench: Bench) -> Iterator[Executor]:
    """Return an executor for all tests; Ctrl-C ends it well."""
    executor = Executor()
    bench.connect()
    yield executor
    assert executor.stop(signal.SIGINT) == 0


@pytest.fixture
def live(bench: Bench, executor: Executor) -> Bench:
    """Return fake arms at home whose executor was just enabled."""
    assert executor.process.poll() is None
    bench.restart()
    return bench


def test_missing_robot_file_ends_it_with_one_line() -> None:
    """The status of a mistake; the file and what to give are named."""
    process = start_executor('robot:=/no/such/robot.yaml')
    output, _ = process.communicate(timeout=20)
    assert process.returncode == MISTAKE
    (line,) = output.strip().splitlines()
    assert 'no robot file /no/such/robot.yaml; give one of' in line


@pytest.mark.usefixtures('executor')
def test_nothing_is_sent_before_enabling(bench: Bench) -> None:
    """Joint states and chunks arrive, and no arm gets a command."""
    bench.send(waist(0.0, 0.3))
    time.sleep(0.4)
    assert bench.arms.received == []
    assert bench.arms.commands == []
    assert bench.status(state='disabled')['mode'] == 'disabled'


@pytest.mark.usefixtures('executor')
def test_enabling_needs_the_joint_states_of_every_arm(bench: Bench) -> None:
    """The answer says what is missing, and nothing moves."""
    bench.arms.silent.add('follower_right')
    time.sleep(MAX_AGE_S + 0.1)
    response = bench.enable()
    bench.arms.silent.clear()
    assert not response.success
    assert 'joint states are' in response.message
    assert 'limit 300 ms' in response.message
    assert bench.arms.received == []


def test_enabled_arms_hold_their_measured_pose(live: Bench) -> None:
    """No jump: the first commands are where the arms are, in controller units."""
    live.wait(lambda: len(live.arms.received) > 20)
    expected = [0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.01844 + 0.1 * (0.058 - 0.01844)]
    for _, _, command in live.arms.received:
        assert command == pytest.approx(expected, abs=1e-5)
    assert live.status(mode='hold')['reason'] == 'no action chunk yet'


def test_status_is_there_for_whoever_comes_late(live: Bench) -> None:
    """The newest one at once, typed, with the figures of /diagnostics."""
    live.status(mode='hold')
    found: list[ExecutorStatus] = []
    subscribe_status(live.arms, EXECUTOR_STATUS, ExecutorStatus, found.append)
    live.wait(lambda: found)
    assert (found[0].state, found[0].mode) == ('enabled', 'hold')
    assert found[0].reason == 'no action chunk yet'
    assert found[0].joint_age_s < 0.3
    assert set(found[0].figures()) == set(live.arms.status)


def test_chunk_is_played_to_its_end_and_held(live: Bench) -> None:
    """Both arms get a command per tick, /joint_command tells the whole, standstill is counted."""
    stamp_ns = live.send(waist(0.0, 0.3))
    live.wait(lambda: live.waist_rad == pytest.approx(0.3, abs=1e-5))
    status = live.status(mode='ended')
    assert status['reason'] == 'action chunk ended, holding its last row'
    assert status['state'] == 'enabled'
    live.wait(lambda: float(live.arms.status['standstill_s']) > 0.4)
    command = live.arms.commands[-1]
    assert tuple(command.name) == ROBOT.joint_names
    assert command.position.tolist() == pytest.approx(waist(0.3, 0.3)[0].tolist(), abs=1e-5)
    assert live.arms.status['interventions'] == '0'
    for tick_ns, at_rad in live.waist_commands():
        due_rad = min(0.3 * (tick_ns - stamp_ns) * 1e-9, 0.3)
        assert at_rad == pytest.approx(max(due_rad, 0.0), abs=0.02)


def test_commands_leave_at_the_control_rate(live: Bench) -> None:
    """50 Hz; the figures about lateness are there."""
    live.wait(lambda: len(live.arms.commands) > 50)
    stamps_ns = [tick_ns for tick_ns, _ in live.waist_commands()]
    assert np.median(np.diff(stamps_ns)) * 1e-9 == pytest.approx(PERIOD_S, abs=0.003)
    status = live.arms.status
    assert float(status['late_ms_p50']) < 10.0
    assert status['scheduling'] in ('normal', 'fifo 50')


def test_new_chunk_joins_the_running_one_without_a_jump(live: Bench) -> None:
    """The seam jump is told in rad, the commands have none."""
    live.send(waist(0.0, 0.0))
    time.sleep(0.3)
    live.send(waist(0.1, 0.1))
    status = live.status(chunks='2')
    live.wait(lambda: live.waist_rad == pytest.approx(0.1, abs=1e-5))
    assert float(status['seam_jump_rad_max']) == pytest.approx(0.1, abs=1e-3)
    assert float(status['seam_jump_rad']) == pytest.approx(0.1, abs=1e-3)
    steps = np.diff([at_rad for _, at_rad in live.waist_commands()])
    assert np.abs(steps).max() < 0.06


def test_missing_joint_states_hold_until_a_new_chunk_comes(live: Bench) -> None:
    """Within two control periods after the age limit the arms stand, and the reason is told.

    With fresh ones they wait for a chunk that was asked for since, and nothing is caught up with.
    """
    live.send(waist(0.0, 0.6, n_rows=76))
    live.status(mode='playing')
    live.arms.silent.add('follower_right')
    assert 'ms old, limit 300 ms' in live.status(mode='hold')['reason']
    time.sleep(0.2)
    stale_ns = live.arms.sent_ns['follower_right'] + round((MAX_AGE_S + 2 * PERIOD_S) * 1e9)
    held = {at_rad for tick_ns, at_rad in live.waist_commands() if tick_ns > stale_ns}
    assert len(held) == 1
    live.arms.silent.clear()
    live.status(mode='hold', reason='no action chunk yet')
    assert {live.waist_rad} == held
    live.arms.commands.clear()
    live.send(waist(live.waist_rad, 0.6, n_rows=51))
    live.wait(lambda: live.waist_rad == pytest.approx(0.6, abs=1e-5))
    assert int(live.arms.status['interventions']) > 0
    stamps_ns, at_rad = np.array(live.waist_commands()).T
    speeds = np.diff(at_rad) / np.maximum(np.diff(stamps_ns) * 1e-9, PERIOD_S)
    assert speeds.max() < 0.5


def test_silent_camera_holds_within_two_periods_and_says_which(live: Bench) -> None:
    """Arms that cannot see stop, though there are rows to play, and go on with the camera."""
    live.send(waist(0.0, 0.6, n_rows=76))
    live.status(mode='playing')
    live.arms.silent.add('high')
    assert '/high/image_raw is silent for' in live.status(mode='hold')['reason']
    time.sleep(0.2)
    blind_ns = live.arms.sent_ns['high'] + round((MAX_IMAGE_AGE_S + 2 * PERIOD_S) * 1e9)
    # transport of the last image, which the executor counts from
    held = {at_rad for tick_ns, at_rad in live.waist_commands() if tick_ns > blind_ns + 20_000_000}
    assert len(held) == 1
    live.arms.silent.clear()
    live.status(mode='hold', reason='no action chunk yet')
    live.send(waist(live.waist_rad, 0.6, n_rows=51))
    live.wait(lambda: live.waist_rad == pytest.approx(0.6, abs=1e-5))


@pytest.mark.parametrize('fault', ['frozen', 'black'])
def test_camera_that_shows_nothing_new_holds_as_a_silent_one(live: Bench, fault: str) -> None:
    """Its stamps go on, its pixels do not; the arms go on with the camera."""
    live.send(waist(0.0, 0.6, n_rows=76))
    live.status(mode='playing')
    blind: set[str] = getattr(live.arms, fault)
    blind.add('high')
    blind_ns = live.arms.image_ns['high']
    reason = live.status(mode='hold')['reason']
    assert '/high/image_raw shows nothing new for' in reason
    assert fault in reason
    time.sleep(0.2)
    blind_ns += round((MAX_IMAGE_AGE_S + 2 * PERIOD_S) * 1e9)
    held = {at_rad for tick_ns, at_rad in live.waist_commands() if tick_ns > blind_ns + 20_000_000}
    assert len(held) == 1
    blind.clear()
    live.status(mode='hold', reason='no action chunk yet')
    live.send(waist(live.waist_rad, 0.6, n_rows=51))
    live.wait(lambda: live.waist_rad == pytest.approx(0.6, abs=1e-5))


def test_camera_that_is_missed_for_long_is_a_fault(live: Bench) -> None:
    """Whoever starts it again moves nothing by that."""
    live.send(waist(0.0, 0.3))
    live.status(mode='playing')
    live.arms.silent.add('high')
    live.status(mode='hold')
    assert '/high/image_raw is silent for' in live.status(mode='fault')['reason']
    live.arms.silent.clear()
    time.sleep(0.5)
    live.send(waist(live.waist_rad, 0.3))
    time.sleep(0.3)
    assert live.status(state='fault')['mode'] == 'fault'


def test_failed_bus_read_is_dropped(live: Bench) -> None:
    """One message with every joint at -pi neither stops nor moves the arms."""
    live.send(waist(0.0, 0.3))
    live.arms.broken_reads = 2
    live.wait(lambda: live.waist_rad == pytest.approx(0.3, abs=1e-5))
    assert live.status(mode='ended')['interventions'] == '0'


def test_nan_joint_states_hold_with_their_reason(live: Bench) -> None:
    """What the driver sends is never taken for a pose."""
    live.send(waist(0.0, 0.6, n_rows=51))
    live.status(mode='playing')
    live.arms.nan_reads = 60
    status = live.status(mode='hold')
    assert (
        "/follower_left/joint_states has a NaN or infinite position for ['elbow']"
        in (status['reason'])
    )
    live.status(mode='hold', reason='no action chunk yet')


def test_nan_chunk_is_a_latched_fault(live: Bench) -> None:
    """Later chunks do not move the arms; enabling again lifts it."""
    at = live.waist_rad
    rows = waist(0.0, 0.3)
    rows[7, 3] = np.nan
    live.send(rows)
    status = live.status(state='fault')
    assert status['reason'] == 'action chunk has NaN or infinite positions; check the policy'
    live.send(waist(0.0, 0.3))
    time.sleep(0.3)
    assert live.waist_rad == at
    assert live.enable().success
    live.send(waist(0.0, 0.3))
    live.wait(lambda: live.waist_rad == pytest.approx(0.3, abs=1e-5))


def test_malformed_chunk_is_refused_and_the_running_one_plays_on(live: Bench) -> None:
    """Wrong joints, uneven rows and an old stamp; the reason is on /diagnostics."""
    live.send(waist(0.0, 0.3))
    live.status(chunks='1')
    live.send(waist(0.9, 0.9), joints=tuple(reversed(ROBOT.joint_names)))
    live.status(chunks_refused='1')
    assert 'policy/action_chunk: refused: trajectory is for' in live.arms.status['reason']
    uneven = trajectory_message(live.arms.now_ns(), waist(0.9, 0.9), 25.0, ROBOT.joint_names)
    uneven.points[3].time_from_start.sec = 5
    live.arms.chunks.publish(uneven)
    live.status(chunks_refused='2')
    old = trajectory_message(1, waist(0.0, 0.3), 25.0, ROBOT.joint_names)
    live.arms.chunks.publish(old)
    assert 'planned from what was seen' in live.status(chunks_refused='3')['reason']
    live.wait(lambda: live.waist_rad == pytest.approx(0.3, abs=1e-5))
    assert live.status(mode='ended')['state'] == 'enabled'


@pytest.mark.parametrize('by', ['service', 'topic'])
def test_emergency_stop_is_latched_until_it_is_reset(live: Bench, by: str) -> None:
    """The arms stop within 0.3 s, and no enabling moves them before the reset."""
    live.send(waist(0.0, 0.6, n_rows=51))
    time.sleep(0.5)
    start_ns = live.arms.now_ns()
    if by == 'service':
        assert live.call(live.arms.estop_client, Trigger.Request()).success
    else:
        live.arms.stop.publish(Empty())
    status = live.status(state='fault', mode='fault')
    assert (status['reason'], status['stopped']) == ('emergency stop', 'True')
    time.sleep(0.6)
    late = [rad for tick_ns, rad in live.waist_commands() if tick_ns > start_ns + 300_000_000]
    assert 0.0 < late[0] < 0.5
    assert len(set(late)) == 1
    assert 'reset it first' in live.enable().message
    live.enable(on=False)
    assert 'reset it first' in live.enable().message
    assert live.call(live.arms.reset_client, Trigger.Request()).success
    assert live.enable().success


def test_emergency_stop_while_disabled_is_latched(live: Bench) -> None:
    """Nothing is sent, the status says so, and enabling is refused."""
    live.enable(on=False)
    live.arms.received.clear()
    assert live.call(live.arms.estop_client, Trigger.Request()).success
    live.status(state='disabled', stopped='True', reason='emergency stop')
    assert not live.enable().success
    assert live.call(live.arms.reset_client, Trigger.Request()).success
    live.status(state='disabled', stopped='False', reason='')
    assert live.arms.received == []


@pytest.mark.usefixtures('executor')
def test_controller_with_another_order_of_joints_is_not_enabled(bench: Bench) -> None:
    """It is asked anew when it was away and listens again; its order is named."""
    bench.enable(on=False)
    parameters = bench.arms.parameters[LEFT.name]
    right = parameters['joints']
    bench.start_anew(LEFT, parameters, right[::-1])
    bench.wait(lambda: "commands the joints ['left_finger', " in bench.enable().message, 20.0)
    bench.start_anew(LEFT, parameters, right)
    bench.wait(lambda: bench.enable().success, 20.0)


def test_controller_that_goes_away_is_a_fault(live: Bench) -> None:
    """Nobody takes the commands any more, and whoever comes next starts from elsewhere."""
    live.arms.leave(LEFT)
    reason = live.status(state='fault')['reason']
    live.arms.listen(LEFT)
    assert reason.startswith('nobody listens on /follower_left_controller/commands; start')
    live.wait(lambda: live.enable(on=False).success)
    live.wait(lambda: live.enable().success, 20.0)


def test_foreign_publisher_on_a_command_topic_is_a_fault_within_0_3_s(live: Bench) -> None:
    """Two nodes never fight over an arm: the commands stay where the arms are."""
    live.send(waist(0.0, 0.6, n_rows=51))
    live.status(mode='playing')
    start_s = time.monotonic()
    other = live.arms.create_publisher(Float64MultiArray, RIGHT.command_topic, 1)
    reason = live.status(mode='fault')['reason']
    assert time.monotonic() - start_s < 0.3 + SLACK_S
    assert f'{RIGHT.command_topic} is published by' in reason
    live.arms.destroy_publisher(other)
    live.wait(lambda: live.arms.count_publishers(RIGHT.command_topic) == 1)


def test_second_source_of_chunks_is_a_fault(live: Bench) -> None:
    """A stranger that sends chunks beside the planner ends motion."""
    live.send(waist(0.0, 0.6, n_rows=51))
    live.status(mode='playing')
    other = live.arms.create_publisher(JointTrajectory, '/policy/action_chunk', 1)
    assert 'policy/action_chunk is published by' in live.status(mode='fault')['reason']
    live.arms.destroy_publisher(other)
    live.wait(lambda: live.arms.count_publishers('/policy/action_chunk') == 1)


def test_chunk_that_is_far_away_too_long_or_of_the_future_is_refused(live: Bench) -> None:
    """Each is told, none moves the arms or costs ticks, and the next good one is played."""
    at = live.waist_rad
    live.send(waist(at + 1.0, at + 1.0))
    assert 'rad from where the arms are, limit 0.3' in live.status(chunks_refused='1')['reason']
    live.arms.chunks.publish(
        trajectory_message(live.arms.now_ns() + 3_600 * 10**9, waist(0.0, 0.0), 25.0, NAMES)
    )
    assert 'in the future' in live.status(chunks_refused='2')['reason']
    skipped = int(live.arms.status['ticks_skipped'])
    live.send(waist(0.0, 0.1, n_rows=20_000))
    assert 'bytes are more than 256 rows have' in live.status(chunks_refused='3')['reason']
    assert int(live.arms.status['ticks_skipped']) - skipped < 5
    assert live.waist_rad == at
    live.send(waist(0.0, 0.3))
    live.wait(lambda: live.waist_rad == pytest.approx(0.3, abs=1e-5))


def test_one_joint_at_minus_pi_is_never_believed(live: Bench) -> None:
    """The arms hold and stay where they are, and after 2 s that is a fault."""
    live.send(waist(0.0, 0.6, n_rows=76))
    live.status(mode='playing')
    live.arms.wrong_joint = True
    assert 'wrist_rotate jumped -3.14 rad' in live.status(mode='hold')['reason']
    time.sleep(0.1)
    at = live.waist_rad
    assert 'no joint states for' in live.status(mode='fault')['reason']
    assert live.waist_rad == at
    wrists = [command[5] for _, arm, command in live.arms.received if arm == LEFT.name]
    assert np.abs(wrists).max() < 1e-3


def test_moving_arm_is_not_enabled(live: Bench) -> None:
    """The answer says which joint moves."""
    live.enable(on=False)
    live.arms.drift = 0.003  # 0.3 rad/s
    time.sleep(0.3)
    response = live.enable()
    live.arms.drift = 0.0
    assert not response.success
    assert 'waist moves; keep the arm still' in response.message


def test_disabling_is_silent_at_once(live: Bench) -> None:
    """The arms keep their last command."""
    live.send(waist(0.0, 0.6, n_rows=51))
    time.sleep(0.3)
    assert live.enable(on=False).success
    time.sleep(0.1)
    live.arms.received.clear()
    time.sleep(0.3)
    assert live.arms.received == []


def test_what_waited_while_the_executor_stood_still_is_refused(
    live: Bench, executor: Executor
) -> None:
    """Whoever asked has given up and may stand beside the arms; who asks again is obeyed."""
    live.enable(on=False)
    assert live.call(live.arms.estop_client, Trigger.Request()).success
    executor.process.send_signal(signal.SIGSTOP)
    reset = live.arms.reset_client.call_async(Trigger.Request())
    enabled = live.arms.enable_client.call_async(SetBool.Request(data=True))
    time.sleep(ANSWER_S + 0.5)
    executor.process.send_signal(signal.SIGCONT)
    live.wait(lambda: reset.done() and enabled.done())
    assert not reset.result().success
    assert reset.result().message.startswith('this node stood still for ')
    assert enabled.result().message.startswith('not enabled: this node stood still for ')
    live.status(state='disabled', stopped='True')
    time.sleep(SETTLED_S)
    live.restart()


def test_second_executor_ends_with_one_line(live: Bench) -> None:
    """Status 1; the first one goes on."""
    second = start_executor(discovery_s=20.0)
    output, _ = second.communicate(timeout=40)
    assert second.returncode == MISTAKE
    (line,) = output.strip().splitlines()
    assert 'a second stack on the same domain: ' in line
    assert 'command_executor' in line
    live.arms.received.clear()
    live.wait(lambda: live.arms.received)


def test_other_publisher_on_a_command_topic_blocks_enabling(live: Bench) -> None:
    """Two nodes never fight over an arm; enabling works when the other is gone."""
    other = live.arms.create_publisher(Float64MultiArray, LEFT.command_topic, 1)
    answers: list[SetBool.Response] = []

    def try_again() -> SetBool.Response:
        live.enable(on=False)
        answers.append(live.enable())
        return answers[-1]

    live.wait(lambda: not try_again().success)
    assert 'a second stack on the same domain' in answers[-1].message
    assert LEFT.command_topic in answers[-1].message
    live.arms.destroy_publisher(other)
    live.wait(lambda: try_again().success)


def test_restarted_executor_is_disabled(live: Bench, executor: Executor) -> None:
    """A process that ends in motion and comes back moves nothing."""
    live.send(waist(0.0, 0.6, n_rows=51))
    time.sleep(0.3)
    assert executor.stop(signal.SIGTERM) == 0
    live.arms.received.clear()
    live.arms.status = {}
    executor.process = start_executor()
    live.connect()
    live.send(waist(0.0, 0.6, n_rows=51))
    time.sleep(0.3)
    assert live.arms.received == []
    assert live.status(state='disabled')
