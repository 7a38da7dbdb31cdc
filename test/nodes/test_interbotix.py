# SPDX-License-Identifier: Apache-2.0
"""From the first enable on: the Interbotix driver against the stand-in for the vendor's."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('interbotix_xs_msgs')

from cosmos_policy_ros.robot import ArmSpec, read_robot
from cosmos_policy_ros.ros.arms.interbotix import Setup
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.endpoints import create_slow_service
from cosmos_policy_ros.ros.service_calls import Conversation
from cosmos_policy_ros.ros.stand_ins.interbotix import XsSdk
from cosmos_policy_ros.ros.stand_ins.joints import SimulatedJoints
from cosmos_policy_ros.ros.stand_ins.xs_arm import LINKAGE, SLEEP, XsArm
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import EXECUTOR_STATUS, INTERBOTIX_INFO
from node_bench import SteppedBench, ThreadedBench
import rclpy
from rclpy.node import Node
from ros_domains import ros_domain
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

ROOT = Path(__file__).parents[2]
ROBOT_FILE = ROOT / 'config' / 'robots' / 'aloha_sim_interbotix.yaml'
ROBOT = read_robot(ROBOT_FILE)
LEFT, RIGHT = ROBOT.arms
START = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0, -0.3)  # [rad] of all motors


class Plant:
    """Motors that are at once where they are driven to."""

    def __init__(self, pose: tuple[float, ...] = START) -> None:
        """Stand at a pose."""
        self.pose = np.array(pose)
        self.held = False  # by something stronger than the motors

    def joints(self, arm: ArmSpec) -> SimulatedJoints:
        """Return them as the joints of an arm."""
        (output,) = arm.outputs
        return SimulatedJoints(
            output,
            arm.joint_state_topic,
            self.drive,
            self.measure,
            lambda: (np.zeros(7), np.zeros(7)),
        )

    def measure(self) -> NDArray[np.float64]:
        """Return where they are, the gripper as its finger [m]."""
        return np.array([*self.pose[:6], LINKAGE.finger(float(self.pose[6]))])

    def drive(self, targets: NDArray[np.float64]) -> None:
        """Go there."""
        if not self.held:
            self.pose = targets.copy()


class Motors(XsArm):
    """Motors that keep what was done to them."""

    def __init__(self) -> None:
        """Start as the vendor's."""
        super().__init__()
        self.done: list[tuple[object, ...]] = []
        self.deaf: set[str] = set()  # registers that take nothing

    def set_modes(self, kind: str, name: str, mode: str, *rest: Any) -> None:
        """Keep the mode."""
        self.done.append(('mode', name, mode))
        super().set_modes(kind, name, mode, *rest)

    def switch_torque(self, kind: str, name: str, on: bool) -> None:
        """Keep the switch."""
        self.done.append(('torque', name, on))
        super().switch_torque(kind, name, on)

    def write(self, kind: str, name: str, register: str, value: int) -> None:
        """Keep register and value."""
        self.done.append((register, name, value))
        if register not in self.deaf:
            super().write(kind, name, register, value)

    def command_single(self, name: str, command: float, now_s: float) -> None:
        """Keep what the gripper was sent."""
        self.done.append(('command', name, command))
        super().command_single(name, command, now_s)


GRIPPER_STEPS = [
    ('mode', 'gripper', 'current_based_position'),
    ('torque', 'gripper', False),
    ('Current_Limit', 'gripper', 300),
    ('Goal_Current', 'gripper', 300),
    ('torque', 'gripper', True),
]


class Lab(SteppedBench):
    """The setup of one arm and the stand-in for its driver."""

    def __init__(self, arm: ArmSpec = LEFT) -> None:
        """Start both."""
        self.driver, self.node = Node('xs_sdk'), Node('asker')
        super().__init__(self.driver, self.node)
        self.motors = Motors()
        XsSdk(self.driver, Plant().joints(LEFT), self.motors)
        (output,) = arm.outputs
        self.setup = Setup(self.node, output)
        self.wait(lambda: all(c.service_is_ready() for c in self.setup._clients.values()))

    def prepare(self) -> str:
        """Return why the arm could not be set up, empty if it was."""
        ends: list[str] = []
        Conversation().start(self.setup.prepare(), ends.append)
        self.wait(lambda: ends)
        return ends[0]


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Return a lab in a domain of its own."""
    with ros_domain():
        rclpy.init()
        lab = Lab()
        yield lab
        lab.close()
        rclpy.shutdown()


def test_the_gripper_gets_radians_and_its_current_limit_register_by_register(lab: Lab) -> None:
    """The arm is as it must be and is left alone; the limit is written without torque."""
    assert lab.prepare() == ''
    assert lab.motors.done == GRIPPER_STEPS
    assert lab.motors.mode('single', 'gripper') == 'current_based_position'
    assert lab.motors.read('single', 'gripper', 'Operating_Mode') == [5]
    assert lab.motors.read('single', 'gripper', 'Current_Limit') == [300]
    assert lab.motors.read('single', 'gripper', 'Goal_Current') == [300]
    assert lab.setup.ready


def test_what_is_set_up_already_is_not_touched(lab: Lab) -> None:
    """A gripper that holds something keeps it when motion is enabled again."""
    lab.prepare()
    lab.motors.done.clear()
    assert lab.prepare() == ''
    assert lab.motors.done == []


def test_a_profile_is_taken_away_without_letting_go(lab: Lab) -> None:
    """The default of xsarm_control would make the arm crawl."""
    for register, value in (('Profile_Velocity', 2000), ('Profile_Acceleration', 300)):
        lab.motors.write('group', 'arm', register, value)
    lab.motors.done.clear()
    assert lab.prepare() == ''
    assert lab.motors.done[:2] == [
        ('Profile_Velocity', 'arm', 0), ('Profile_Acceleration', 'arm', 0),
    ]  # fmt: skip
    assert lab.motors.read('group', 'arm', 'Torque_Enable') == [1] * 6


def test_a_limp_arm_gets_its_torque_back(lab: Lab) -> None:
    """It holds where it is."""
    lab.motors.switch_torque('group', 'arm', on=False)
    assert lab.prepare() == ''
    assert ('torque', 'arm', True) in lab.motors.done
    assert lab.motors.read('group', 'arm', 'Torque_Enable') == [1] * 6


def test_a_register_that_does_not_read_back_is_refused(lab: Lab) -> None:
    """The service that sets it says nothing."""
    lab.motors.deaf.add('Current_Limit')
    assert lab.prepare() == (
        '/follower_left: register Current_Limit of gripper was set to 300 and is [200]; see the '
        'output of the driver'
    )
    assert not lab.setup.ready


def test_a_standing_arm_in_another_mode_is_refused(lab: Lab) -> None:
    """Setting the mode would let it fall."""
    lab.motors.set_modes('group', 'arm', 'velocity', 'velocity', 0, 0)
    lab.motors.done.clear()
    assert lab.prepare().startswith('/follower_left: the arm is in mode velocity, and another')
    assert lab.motors.done == []


def test_a_limp_arm_in_another_mode_is_put_into_position_mode(lab: Lab) -> None:
    """Nothing can fall then."""
    lab.motors.set_modes('group', 'arm', 'velocity', 'velocity', 0, 0)
    lab.motors.switch_torque('group', 'arm', on=False)
    lab.motors.done.clear()
    assert lab.prepare() == ''
    assert lab.motors.done[0] == ('mode', 'arm', 'position')
    assert lab.motors.read('group', 'arm', 'Operating_Mode') == [3] * 6


def test_another_order_of_joints_is_refused(lab: Lab) -> None:
    """Commands are numbers without names."""
    arm = replace(LEFT, joints=(*LEFT.joints[:4], 'wrist_rotate', 'wrist_angle'))
    lab.setup = Setup(lab.node, arm.outputs[0])
    lab.wait(lambda: all(c.service_is_ready() for c in lab.setup._clients.values()))
    assert 'commands have no names: list them as the driver does' in lab.prepare()


def test_a_motor_with_an_error_is_refused_by_name(lab: Lab) -> None:
    """With what it means and what to do."""
    lab.motors.fail('elbow', 32)
    assert lab.prepare() == (
        '/follower_left: motor elbow reports overload (Hardware_Error_Status 32) and holds '
        'nothing; support the arm, mend the cause, call /follower_left/reboot_motors for it'
    )


def test_an_error_while_enabled_is_told_and_leaves_the_arm_held(lab: Lab) -> None:
    """Others than the motor go on holding."""
    lab.prepare()
    lab.motors.fail('gripper', 4 + 32)
    lab.wait(lambda: lab.setup.trouble)
    assert 'motor gripper reports overheating and overload' in lab.setup.trouble
    assert lab.setup.ready


def test_a_gripper_back_in_metres_gets_nothing_more(lab: Lab) -> None:
    """So a driver that was started anew begins."""
    lab.prepare()
    lab.motors.set_modes('single', 'gripper', 'linear_position', 'velocity', 0, 0)
    lab.wait(lambda: lab.setup.trouble)
    assert 'gripper is in mode linear_position' in lab.setup.trouble
    assert not lab.setup.ready


def run(lab: Lab, steps: Coroutine[Any, None, None]) -> str:
    """Run steps of the setup and return why they failed, empty if they did not."""
    ends: list[str] = []
    Conversation().start(steps, ends.append)
    lab.wait(lambda: ends)
    return ends[0]


def test_a_slow_pace_is_a_speed_or_a_time_as_the_motors_have_it(lab: Lab) -> None:
    """0.1 rad/s are 4 counts of 0.024 rad/s; 0.2 rad take 2000 ms."""
    assert run(lab, lab.setup.slow_down(0.1, 0.2)) == ''
    assert lab.motors.read('group', 'arm', 'Profile_Velocity') == [4] * 6
    lab.motors.set_modes('group', 'arm', 'position', 'time', 0, 0)
    assert run(lab, lab.setup.slow_down(0.1, 0.2)) == ''
    assert lab.motors.read('group', 'arm', 'Profile_Velocity') == [2000] * 6
    assert lab.prepare() == ''
    assert lab.motors.read('group', 'arm', 'Profile_Velocity') == [0] * 6


def test_motors_that_measure_their_pace_differently_are_refused(lab: Lab) -> None:
    """One number would be slow for some and fast for the others."""
    lab.motors.motors['elbow'].registers['Drive_Mode'] = 4
    reason = run(lab, lab.setup.slow_down(0.1, 0.2))
    assert reason == (
        '/follower_left: motors of arm have Drive_Mode [0, 0, 4, 0, 0, 0]; set one for all'
    )


def test_letting_go_is_read_back(lab: Lab) -> None:
    """And the setup sends nothing more."""
    lab.prepare()
    assert run(lab, lab.setup.let_go()) == ''
    assert lab.motors.read('group', 'arm', 'Torque_Enable') == [0] * 6
    assert lab.motors.read('single', 'gripper', 'Torque_Enable') == [0]
    assert not lab.setup.ready


def test_missing_services_are_refused() -> None:
    """The driver does not run."""
    with ros_domain():
        rclpy.init()
        node = Node('asker')
        bench, ends = SteppedBench(node), []
        setup = Setup(node, LEFT.outputs[0])
        Conversation().start(setup.prepare(), ends.append)
        bench.wait(lambda: ends)
        bench.close()
        rclpy.shutdown()
    assert ends == ['nobody offers /follower_left/get_robot_info; start the driver of the arm']


def test_a_driver_that_does_not_answer_is_refused() -> None:
    """Within two seconds, while other callbacks run."""
    with ros_domain():
        rclpy.init()
        node = Node('asker')
        bench, ends = SteppedBench(node), []
        create_slow_service(node, INTERBOTIX_INFO.at('/follower_left'), lambda *_: None)
        setup = Setup(node, LEFT.outputs[0])
        bench.wait(setup._clients[INTERBOTIX_INFO.name].service_is_ready)
        begin_s = time.monotonic()
        Conversation().start(setup.prepare(), ends.append)
        bench.wait(lambda: ends)
        bench.close()
        rclpy.shutdown()
    assert ends == ['/follower_left/get_robot_info has not answered for 2 s; see the driver']
    assert time.monotonic() - begin_s < 4.0


class Arms(Node):
    """The stand-ins for both drivers, and somebody who enables."""

    def __init__(self, pose: tuple[float, ...]) -> None:
        """Publish joint states at 100 Hz."""
        super().__init__('arms')
        self.motors = {arm.name: Motors() for arm in ROBOT.arms}
        self.plants = {arm.name: Plant(pose) for arm in ROBOT.arms}
        drivers = [
            XsSdk(self, self.plants[arm.name].joints(arm), self.motors[arm.name])
            for arm in ROBOT.arms
        ]
        self.create_timer(0.01, lambda: [driver.publish() for driver in drivers])
        self.enable = self.create_client(SetBool, '/command_executor/enable')
        self.estop = self.create_client(Trigger, '/command_executor/estop')
        self.status: ExecutorStatus | None = None
        subscribe_status(self, EXECUTOR_STATUS, ExecutorStatus, self._on_status)
        self.commands: list[JointState] = []
        self.create_subscription(JointState, '/joint_command', self.commands.append, 10)

    def _on_status(self, status: ExecutorStatus) -> None:
        self.status = status


class Bench(ThreadedBench):
    """Both drivers and a command executor as a process."""

    def __init__(self, pose: tuple[float, ...] = START, *given: str) -> None:
        """Start all, the executor with some parameters, and wait until they hear each other."""
        rclpy.init()
        self.arms = arms = Arms(pose)
        super().__init__(arms)
        given += (f'robot:={ROBOT_FILE}', 'discovery_s:=0.0', 'max_image_age_s:=0.0')
        words = [word for p in (*given, 'max_joint_age_s:=0.3') for word in ('-p', p)]
        module = 'cosmos_policy_ros.nodes.command_executor'
        self.process = subprocess.Popen([sys.executable, '-m', module, '--ros-args', *words])
        self.wait(arms.enable.service_is_ready)
        self.wait(arms.estop.service_is_ready)
        self.wait(lambda: arms.status)
        time.sleep(0.5)  # ten joint states that agree

    def enable(self) -> str:
        """Enable and return the answer."""
        answer = self.call(self.arms.enable, SetBool.Request(data=True))
        assert answer.success == (answer.message == 'enabled')
        return str(answer.message)

    def close(self) -> None:
        """End the process and the nodes."""
        self.process.terminate()
        self.process.wait(timeout=20)
        super().close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a bench in a domain of its own."""
    with ros_domain():
        bench = Bench()
        yield bench
        bench.close()


def test_both_arms_are_set_up_when_motion_is_enabled_and_do_not_move(bench: Bench) -> None:
    """Nothing is set or sent before, and the first command is where the arms are."""
    arms = bench.arms
    assert [m.done for m in arms.motors.values()] == [[], []]
    before = {name: plant.pose.copy() for name, plant in arms.plants.items()}
    assert bench.enable() == 'enabled'
    bench.wait(lambda: len(arms.commands) > 10)
    for name, motors in arms.motors.items():
        steps = [step for step in motors.done if step[0] != 'command']
        assert steps == GRIPPER_STEPS
        assert np.abs(arms.plants[name].pose - before[name]).max() < 0.005


def test_a_failed_bus_read_does_nothing(bench: Bench) -> None:
    """One message of -pi while enabled: no hold, no step."""
    arms = bench.arms
    bench.enable()
    bench.wait(lambda: len(arms.commands) > 10)
    arms.commands.clear()
    arms.motors['follower_left'].failed_reads = 1
    bench.wait(lambda: len(arms.commands) > 25)
    assert arms.status is not None
    assert arms.status.state == 'enabled'
    poses = np.array([command.position for command in arms.commands])
    assert np.abs(np.diff(poses, axis=0)).max() < 1e-4


def test_an_overloaded_motor_is_a_latched_fault_with_its_name(bench: Bench) -> None:
    """Found within a look at the registers, and refused until it is rebooted."""
    arms = bench.arms
    bench.enable()
    arms.motors['follower_right'].fail('wrist_angle', 32)
    bench.wait(lambda: arms.status is not None and arms.status.state == 'fault')
    assert arms.status is not None
    reason = '/follower_right: motor wrist_angle reports overload'
    assert reason in arms.status.reason
    assert bench.enable().startswith(f'not enabled: {reason}')
    arms.motors['follower_right'].reboot('single', 'wrist_angle', True, False)
    assert bench.enable() == 'enabled'


def test_an_emergency_stop_ends_the_setting_up(bench: Bench) -> None:
    """Whoever enables is told, and nothing is enabled."""
    arms = bench.arms
    answer = arms.enable.call_async(SetBool.Request(data=True))
    bench.call(arms.estop, Trigger.Request())
    bench.wait(answer.done)
    assert 'emergency stop' in bench.enable()


def test_the_sleep_pose_of_the_vendor_is_refused_with_what_to_do() -> None:
    """It lies outside of the limits of the motors, which take no command there."""
    with ros_domain():
        bench = Bench((*SLEEP, -0.3))
        message = bench.enable()
        done = [motors.done for motors in bench.arms.motors.values()]
        bench.close()
    assert message == (
        'not enabled: follower_left/shoulder is at -2.050 rad, outside its range -1.850 to 1.257; '
        'switch off the torque of the arm, move it inside by hand, then enable'
    )
    assert done == [[], []]


def test_an_arm_that_sank_out_of_its_range_gets_no_command_of_the_fault_on_its_way_in() -> None:
    """Its motors would go to the end of the range at once, before they were told to be slow."""
    with ros_domain():
        bench = Bench(START, 'enter_range:=true')
        arms, plant = bench.arms, bench.arms.plants['follower_left']
        assert bench.enable() == 'enabled'
        plant.held = True
        while plant.pose[1] > -2.05:
            plant.pose[1] -= 0.01
            time.sleep(0.01)
        bench.wait(lambda: arms.status is not None and arms.status.state == 'fault')
        time.sleep(0.5)  # ten joint states that agree
        done, slow = arms.motors['follower_left'].done, ('Profile_Velocity', 'arm', 4)
        arms.enable.call_async(SetBool.Request(data=True))
        bench.wait(lambda: slow in done)
        time.sleep(1.0)
        then = done[done.index(slow) :]
        bench.close()
    assert [step[0] for step in then].count('command') == 1
