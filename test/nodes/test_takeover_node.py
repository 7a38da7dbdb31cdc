# SPDX-License-Identifier: Apache-2.0
"""The executor as a process from which a person at leaders that follow takes over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
import os
from pathlib import Path
import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray
import pytest
import yaml

pytest.importorskip('rclpy')

from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import leader_robot, read_robot
from cosmos_policy_ros.ros.convert import joint_state_message, trajectory_message
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.endpoints import create_slow_service, create_subscription
from cosmos_policy_ros.ros.stand_ins.parameters import serve_parameters
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import EXECUTOR_STATUS, FREE_LEADER, HUMAN_INTERVENTION
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from ros_domains import ros_domain, wait_for as wait_long
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

MAX_AGE_S = 1.5  # more than this process may pause on a busy machine
RATE_HZ = 12.5  # of the rows of chunks
WAIST, GRIPPER = 0, 6
wait_for = partial(wait_long, timeout_s=30.0)


def write_robot(folder: Path) -> Path:
    """Return the simulated robot's file with leaders that take commands and can be let go."""
    path = share_path('config', 'robots', 'aloha_sim.yaml')
    robot = yaml.safe_load(path.read_text(encoding='utf-8'))
    robot.pop('scene')
    for arm in robot['arms']:
        side = arm['name'].removeprefix('follower_')
        arm['leader']['driver'] = 'joint_state'
        arm['leader']['command_topic'] = f'leader_{side}/target_joint'
        arm['leader']['free_service'] = f'leader_{side}/gravity_compensation_enable'
    path = folder / 'robot.yaml'
    path.write_text(yaml.safe_dump(robot), encoding='utf-8')
    return path


class FakeArms(Node):
    """Followers and leaders that do at once what they are told, a policy and a person."""

    def __init__(self, robot_file: Path) -> None:
        """Publish all joint states at 50 Hz."""
        super().__init__('fake_arms')
        self.robot = robot = read_robot(robot_file)
        self.followers = {arm.name: arm_pose(robot.start, i) for i, arm in enumerate(robot.arms)}
        self.leaders = {arm.name: arm_pose(robot.start, i) for i, arm in enumerate(robot.arms)}
        self.light: dict[str, bool] = {}  # follower -> what its leader was told last
        self.refusing = False  # whether the leaders refuse to let go
        self.slow = False  # whether they take long to do what they are told
        self.unanswered: list[Callable[[], None]] = []  # what sends their answers then
        self.stuck = False  # whether something keeps the leaders where they are
        self.hand = 0.0  # [rad] a person moves light leaders to, over the pose taken over
        self.silent = False  # whether the leaders publish nothing
        self.interventions: list[bool] = []
        self.status = ExecutorStatus('disabled', 'disabled')
        self._taken = self.leaders
        self._publishers_of = []
        for arm, leader in zip(robot.arms, leader_robot(robot).arms, strict=True):
            assert arm.leader is not None
            topics = (arm.joint_state_topic, leader.joint_state_topic)
            self._publishers_of.append(
                [self.create_publisher(JointState, t, qos_profile_sensor_data) for t in topics]
            )
            self._listen(arm.name, arm.command_topic, arm.leader.command_topic)
            service = replace(FREE_LEADER, name=arm.leader.free_service, namespaced=False)
            create_slow_service(self, service, self._make_free(arm.name))
            serve_parameters(
                self, f'/{arm.name}_controller', {'joints': [*arm.joints, 'left_finger']}
            )
        self.chunks = self.create_publisher(JointTrajectory, '/policy/action_chunk', 1)
        self.enable = self.create_client(SetBool, '/command_executor/enable')
        self.take_over = self.create_client(SetBool, '/command_executor/take_over')
        self.estop = self.create_client(Trigger, '/command_executor/estop')
        self.reset = self.create_client(Trigger, '/command_executor/reset')
        subscribe_status(self, EXECUTOR_STATUS, ExecutorStatus, self._on_status)
        create_subscription(self, HUMAN_INTERVENTION, self._on_intervention)
        self.create_timer(0.02, self._publish)

    def _listen(self, name: str, follower: str, leader: str) -> None:
        def on_follower(message: Float64MultiArray) -> None:
            opening = (message.data[6] - 0.01844) / (0.058 - 0.01844)
            self.followers[name] = np.array([*message.data[:6], opening])

        def on_leader(message: JointState) -> None:
            assert not self.light.get(name), 'a leader in the hand is commanded'
            if not self.stuck:
                self.leaders[name] = np.array([*message.position, self.followers[name][GRIPPER]])

        self.create_subscription(Float64MultiArray, follower, on_follower, 10)
        self.create_subscription(JointState, leader, on_leader, 10)

    def _make_free(
        self, name: str
    ) -> Callable[[SetBool.Request, SetBool.Response, Callable[[], None]], None]:
        def on_free(
            request: SetBool.Request, response: SetBool.Response, answer: Callable[[], None]
        ) -> None:
            response.success, response.message = not self.refusing, 'the motors are hot'
            if not self.refusing:
                self.light[name] = request.data
                self._taken = {n: pose.copy() for n, pose in self.leaders.items()}
            if self.slow:
                self.unanswered.append(answer)
            else:
                answer()

        return on_free

    def _on_status(self, status: ExecutorStatus) -> None:
        self.status = status

    def _on_intervention(self, message: Bool) -> None:
        self.interventions.append(message.data)

    def _publish(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        for arm, (follower, leader) in zip(self.robot.arms, self._publishers_of, strict=True):
            pose = self.followers[arm.name]
            names = [*arm.joints, 'left_finger']
            state = arm.state_of_pose(np.float32(pose))
            follower.publish(joint_state_message(names, state, now_ns))
            if self.light.get(arm.name):
                self.leaders[arm.name] = self._taken[arm.name].copy()
                self.leaders[arm.name][WAIST] += self.hand
            if not self.silent:
                leads = self.leaders[arm.name]
                leader.publish(joint_state_message([*arm.joints, 'gripper'], leads, now_ns))

    def send(self, waist: float, before_s: float = 0.0) -> None:
        """Send a chunk in which both waists rest at an angle [rad]."""
        rows = np.tile(self.robot.start, (16, 1))
        rows[:, [0, 7]] = waist
        stamp_ns = self.get_clock().now().nanoseconds - round(before_s * 1e9)
        self.chunks.publish(trajectory_message(stamp_ns, rows, RATE_HZ, self.robot.joint_names))

    def waists(self, of: dict[str, NDArray[np.float64]]) -> list[float]:
        """Return the angles of both waists [rad]."""
        return [float(pose[WAIST]) for pose in of.values()]


def arm_pose(start: NDArray[np.float32], number: int) -> NDArray[np.float64]:
    """Return the (7,) start pose of an arm."""
    return start[7 * number : 7 * number + 7].astype(np.float64)


class Bench(ThreadedBench):
    """The fake arms beside an executor."""

    def __init__(self, robot_file: Path) -> None:
        """Start both."""
        self.arms = FakeArms(robot_file)
        super().__init__(self.arms)
        given = [f'robot:={robot_file}', 'takeover:=true', 'discovery_s:=0.0']
        given += ['max_image_age_s:=0.0', 'fault_joint_age_s:=60.0', 'leader_speed:=3.0']
        given += [f'max_joint_age_s:={MAX_AGE_S}', 'max_gap_area:=10.0', 'max_chunk_age_s:=10.0']
        words = [word for p in given for word in ('-p', p)]
        node = [sys.executable, '-m', 'cosmos_policy_ros.nodes.command_executor', '--ros-args']
        self.process = subprocess.Popen([*node, *words], env=os.environ)
        self.wait(self.arms.enable.service_is_ready)
        self.wait(self.arms.chunks.get_subscription_count)

    def set(self, client: object, data: bool) -> SetBool.Response:
        """Call a service that takes true or false."""
        return self.call(client, SetBool.Request(data=data))

    def begin(self) -> None:
        """Enable, and let the policy move both waists to 0.2 rad."""
        arms = self.arms
        wait_for(lambda: self.set(arms.enable, True).success)
        self.move(0.2)
        wait_for(lambda: np.allclose(arms.waists(arms.leaders), 0.2, atol=1e-3))

    def move(self, waist: float) -> None:
        """Let the policy move both waists; what it saw during a hold is sent anew."""
        end_s = time.monotonic() + 30.0
        while not np.allclose(self.arms.waists(self.arms.followers), waist, atol=1e-3):
            assert time.monotonic() < end_s, self.arms.status.reason
            self.arms.send(waist)
            time.sleep(0.3)

    def end(self) -> None:
        """Disable, with leaders that nobody holds."""
        self.call(self.arms.reset, Trigger.Request())
        self.set(self.arms.enable, False)
        arms = self.arms
        arms.light.clear()
        arms.refusing = arms.slow = arms.stuck = arms.silent = False
        arms.hand = 0.0
        arms.leaders |= {name: pose.copy() for name, pose in arms.followers.items()}
        time.sleep(0.3)  # joint states agree on that again


@pytest.fixture(scope='module')
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return fake arms beside an executor that lets a person take over."""
    with ros_domain():
        rclpy.init()
        bench = Bench(write_robot(tmp_path_factory.mktemp('robot')))
        yield bench
        bench.process.kill()
        bench.process.wait(20)
        bench.close()


@pytest.fixture
def bench(running: Bench) -> Iterator[Bench]:
    """Return it with the policy acting, and disable at the end."""
    running.begin()
    yield running
    running.end()


def test_a_person_takes_over_leads_and_gives_back(bench: Bench) -> None:
    """Leaders follow, lead, follow again; the policy goes on by a chunk asked for since."""
    arms = bench.arms
    wait_for(lambda: arms.status.can_take_over)
    assert bench.set(arms.take_over, True).success
    assert arms.light == {'follower_left': True, 'follower_right': True}
    wait_for(lambda: arms.interventions[-1:] == [True])
    assert arms.status.led_by == 'person'

    arms.hand = 0.1
    wait_for(lambda: np.allclose(arms.waists(arms.followers), 0.3, atol=1e-3))
    arms.send(-0.2)  # nobody asked for it
    time.sleep(0.3)
    np.testing.assert_allclose(arms.waists(arms.followers), 0.3, atol=1e-3)

    assert bench.set(arms.take_over, False).success
    wait_for(lambda: arms.interventions[-1] is False)
    assert arms.light == {'follower_left': False, 'follower_right': False}
    wait_for(lambda: arms.status.led_by == 'policy')
    arms.send(0.25, before_s=5.0)
    wait_for(lambda: 'before the start or the end of a hold' in arms.status.reason)
    np.testing.assert_allclose(arms.waists(arms.followers), 0.3, atol=1e-3)
    bench.move(0.25)
    wait_for(lambda: np.allclose(arms.waists(arms.leaders), 0.25, atol=1e-3))


def test_a_leader_that_could_not_follow_is_too_far_away(bench: Bench) -> None:
    """The answer says which joint and how far, and the policy acts on."""
    arms = bench.arms
    arms.stuck = True
    bench.move(-0.05)
    answer = bench.set(arms.take_over, True)
    assert not answer.success
    assert 'rad from follower_left/waist, limit 0.2' in answer.message
    assert arms.light == {'follower_left': False, 'follower_right': False}
    assert arms.status.led_by == 'policy'
    wait_for(lambda: 'leaders: they do not follow' in arms.status.reason)
    bench.move(0.1)


def test_a_silent_leader_holds_the_followers(bench: Bench) -> None:
    """And nobody intervenes meanwhile."""
    arms = bench.arms
    assert bench.set(arms.take_over, True).success
    wait_for(lambda: arms.interventions[-1:] == [True])
    arms.silent = True
    wait_for(lambda: 'leader joint states are' in arms.status.reason)
    assert (arms.status.mode, arms.status.led_by) == ('hold', 'person')
    wait_for(lambda: arms.interventions[-1] is False)


def test_leaders_that_stay_stiff_let_nobody_lead(bench: Bench) -> None:
    """All stands, with the reason, until the person tries again."""
    arms = bench.arms
    arms.refusing = True
    answer = bench.set(arms.take_over, True)
    assert not answer.success
    assert 'the motors are hot' in answer.message
    wait_for(lambda: arms.status.mode == 'hold' and 'the motors are hot' in arms.status.reason)
    arms.send(-0.2)
    time.sleep(0.3)
    np.testing.assert_allclose(arms.waists(arms.followers), 0.2, atol=1e-3)
    arms.refusing = False
    assert bench.set(arms.take_over, True).success
    wait_for(lambda: arms.interventions[-1:] == [True])


def test_an_emergency_stop_ends_the_takeover(bench: Bench) -> None:
    """The person's hands move nothing any more, and do not after enabling either."""
    arms = bench.arms
    assert bench.set(arms.take_over, True).success
    wait_for(lambda: arms.interventions[-1:] == [True])
    assert bench.call(arms.estop, Trigger.Request()).success
    wait_for(lambda: arms.status.mode == 'fault' and arms.interventions[-1] is False)
    arms.hand = 0.15
    time.sleep(0.3)
    np.testing.assert_allclose(arms.waists(arms.followers), 0.2, atol=1e-3)
    answer = bench.set(arms.take_over, True)
    assert 'not enabled' in answer.message


def test_a_takeover_does_not_outlive_the_motion_that_it_was_asked_in(bench: Bench) -> None:
    """A fault while leaders are let go, then enabled: nobody is told to lead, and leaders hold."""
    arms = bench.arms
    arms.slow = True
    asked = arms.take_over.call_async(SetBool.Request(data=True))
    wait_for(lambda: arms.unanswered)
    topic = arms.robot.arms[0].command_topic
    stranger = arms.create_publisher(Float64MultiArray, topic, 10)
    wait_for(lambda: arms.status.state == 'fault')
    arms.destroy_publisher(stranger)
    arms.slow = False
    wait_for(lambda: bench.set(arms.enable, True).success)
    arms.unanswered.pop()()
    wait_for(asked.done)
    assert not asked.result().success
    assert asked.result().message == 'nobody leads now: motion is enabled anew'
    time.sleep(0.3)
    assert arms.light == {'follower_left': False, 'follower_right': False}
    assert (arms.status.state, arms.status.led_by) == ('enabled', 'policy')
