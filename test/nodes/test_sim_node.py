# SPDX-License-Identifier: Apache-2.0
"""The simulator behaves like the robot's drivers and cameras, in real time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.align import arm_pose, stamp_of
from cosmos_policy_ros.image_decoder import image_array
from cosmos_policy_ros.nodes.sim_node import SimNode
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.topics import (
    camera_info,
    IMAGE,
    ROBOT_DESCRIPTION,
    ROBOT_JOINT_STATES,
    TASK,
    TF,
)
from cosmos_policy_ros.types import ConfigError
from node_bench import SteppedBench
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from ros_domains import ros_domain
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
LEFT = ROBOT.arms[0]


class Bench(SteppedBench):
    """A simulator, a node that listens to it, and what it heard."""

    def __init__(self) -> None:
        """Start both in this process."""
        self.sim, self.node = SimNode(), Node('sim_test')
        super().__init__(self.sim, self.node)
        self.heard: dict[str, list[object]] = {}
        for camera in ROBOT.cameras:
            self.listen(Image, camera.topic)
        for arm in ROBOT.arms:
            self.listen(JointState, arm.joint_state_topic)
        self.listen(Bool, '/sim/success')
        self.command = self.node.create_publisher(Float64MultiArray, LEFT.command_topic, 10)
        self.reset_client = self.node.create_client(Trigger, '/sim/reset')
        self.wait(lambda: self.heard['/sim/success'] and self.command.get_subscription_count())

    def listen(self, kind: type, topic: str) -> None:
        """Keep what a topic says."""
        self.heard[topic] = []
        callback = self.heard[topic].append
        self.node.create_subscription(kind, topic, callback, qos_profile_sensor_data)

    def reset(self, seed: int) -> str:
        """Reset the scene and return what the service said."""
        self.sim.set_parameters([Parameter('seed', value=seed)])
        return self.call(self.reset_client, Trigger.Request()).message

    def pose(self) -> np.ndarray:
        """Return the next pose of the left arm."""
        heard = self.heard[LEFT.joint_state_topic]
        heard.clear()
        self.wait(lambda: heard)
        return arm_pose(LEFT, heard[-1])


@pytest.fixture(scope='module')
def bench() -> Iterator[Bench]:
    """Return one simulator for all tests, in a ROS domain of its own."""
    with ros_domain():
        given = [f'robot:={ROBOT_FILE}', 'discovery_s:=0.2', 'realtime_priority:=0']
        rclpy.init(args=['--ros-args', *(w for g in given for w in ('-p', f'sim:{g}'))])
        bench = Bench()
        yield bench
        bench.close()
        rclpy.shutdown()


def test_joint_states_carry_the_driver_s_names(bench: Bench) -> None:
    """Nine joints per arm in the order of the Interbotix driver."""
    bench.wait(lambda: bench.heard['/follower_right/joint_states'])
    message = bench.heard['/follower_right/joint_states'][-1]
    assert list(message.name[:2]) == ['waist', 'shoulder']
    assert list(message.name[-3:]) == ['gripper', 'left_finger', 'right_finger']


def test_joint_states_carry_velocities_and_efforts(bench: Bench) -> None:
    """One of each per name; soon the elbow carries the forearm."""
    heard = bench.heard['/follower_right/joint_states']
    bench.wait(lambda: heard and abs(heard[-1].effort[2]) > 1.0)
    assert len(heard[-1].velocity) == len(heard[-1].effort) == len(heard[-1].name) == 9


def test_a_timer_that_catches_up_sends_no_stamp_twice(bench: Bench) -> None:
    """Readers take joint states that are not newer than the last for trouble of the driver."""
    heard = bench.heard[LEFT.joint_state_topic]
    heard.clear()
    for _ in range(10):
        bench.sim._publish_joints()  # as an executor does when timers are overdue
    bench.wait(lambda: len(heard) >= 3)
    assert all(stamp_of(first) < stamp_of(second) for first, second in pairwise(heard))


def test_every_camera_sends_rgb_of_the_robot_file_s_size(bench: Bench) -> None:
    """320x240, and not black."""
    bench.wait(lambda: all(bench.heard[c.topic] for c in ROBOT.cameras))
    images = [image_array(bench.heard[c.topic][-1]) for c in ROBOT.cameras]
    assert {image.shape for image in images} == {(240, 320, 3)}
    assert min(image.std() for image in images) > 5


def test_cameras_take_turns(bench: Bench) -> None:
    """No two cameras show the same instant."""
    for camera in ROBOT.cameras:
        bench.heard[camera.topic].clear()
    bench.wait(lambda: all(len(bench.heard[c.topic]) >= 3 for c in ROBOT.cameras))
    stamps = [stamp_of(m) for c in ROBOT.cameras for m in bench.heard[c.topic]]
    assert len(set(stamps)) == len(stamps)


def test_scene_time_follows_the_clock(bench: Bench) -> None:
    """A second of stamps is a second of physics."""
    bench.reset(0)
    bench.wait(lambda: bench.sim.scene.sim.data.time > 1.0)
    start_ns = bench.sim.scene.stamp_ns - round(bench.sim.scene.sim.data.time * 1e9)
    elapsed_s = (bench.sim.get_clock().now().nanoseconds - start_ns) * 1e-9
    assert bench.sim.scene.sim.data.time == pytest.approx(elapsed_s, abs=0.25)


def test_command_moves_the_arm_and_its_gripper(bench: Bench) -> None:
    """Six joints in rad, then the finger position in m."""
    bench.reset(0)
    target = [0.3, -0.96, 1.16, 0.0, -0.3, 0.0, 0.058]
    bench.command.publish(Float64MultiArray(data=target))
    bench.wait(lambda: abs(bench.pose()[0] - 0.3) < 0.02)
    bench.wait(lambda: bench.pose()[6] > 0.5)


@pytest.mark.parametrize('data', [[1.0, 2.0], [float('nan')] * 7, [float('inf')] + [0.0] * 6])
def test_bad_command_is_ignored(bench: Bench, data: list[float]) -> None:
    """A command of another size or with a NaN leaves the arm where it is."""
    bench.reset(0)
    bench.command.publish(Float64MultiArray(data=data))
    bench.spin(0.3)
    np.testing.assert_array_equal(bench.sim.scene.target, ROBOT.start)


def test_same_seed_gives_the_same_scene(bench: Bench) -> None:
    """The cube stands where the seed says, whatever happened before."""
    assert bench.reset(5) == 'scene of seed 5'
    first = bench.sim.scene.sim.place('box')[:2]
    bench.reset(6)
    other = bench.sim.scene.sim.place('box')[:2]
    bench.reset(5)
    np.testing.assert_allclose(bench.sim.scene.sim.place('box')[:2], first, atol=1e-4)
    assert np.abs(other - first).max() > 0.001


def test_reset_puts_the_arms_into_the_start_pose(bench: Bench) -> None:
    """The last command is forgotten."""
    bench.command.publish(Float64MultiArray(data=[0.5, -0.96, 1.16, 0.0, -0.3, 0.0, 0.058]))
    bench.wait(lambda: bench.pose()[0] > 0.2)
    bench.reset(1)
    np.testing.assert_allclose(bench.pose(), LEFT.start, atol=0.03)
    np.testing.assert_array_equal(bench.sim.scene.target, ROBOT.start)


def test_success_is_false_while_the_cube_lies_on_the_table(bench: Bench) -> None:
    """The topic says what gym-aloha's reward 4 says."""
    bench.reset(0)
    bench.heard['/sim/success'].clear()
    bench.wait(lambda: bench.heard['/sim/success'])
    assert not bench.heard['/sim/success'][-1].data


def test_task_is_published_for_late_listeners(bench: Bench) -> None:
    """The scene comes with the instruction that belongs to it."""
    heard: list[String] = []
    create_subscription(bench.node, TASK, heard.append)
    bench.wait(lambda: heard)
    assert heard[0].data == 'hand the red cube from the right gripper to the left'


def test_an_image_comes_with_its_projection(bench: Bench) -> None:
    """A point of the scene is where the camera says, by its stamp and in its frame."""
    images: list[Image] = []
    infos: list[CameraInfo] = []
    create_subscription(bench.node, IMAGE.at('/high/image_raw'), images.append)
    create_subscription(bench.node, camera_info('/high/image_raw'), infos.append)
    bench.wait(lambda: images and infos)
    bench.wait(lambda: images[-1].header.stamp == infos[-1].header.stamp)
    assert infos[-1].header.frame_id == images[-1].header.frame_id == 'high_optical_frame'
    assert (infos[-1].width, infos[-1].height) == (320, 240)
    assert infos[-1].k[0] == pytest.approx(312.61, abs=0.01)  # 120 px / tan(21 degrees)
    assert infos[-1].k[2] == 159.5


def test_window_without_a_display_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to do."""
    from cosmos_policy_ros.nodes.sim_node import _open_window

    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    with pytest.raises(ConfigError, match='no display; set render to false'):
        _open_window(bench.sim.scene.sim)


def test_the_robot_is_described_to_whoever_comes_late(bench: Bench) -> None:
    """And its joints are published under the names of the description, while somebody looks."""
    texts: list[String] = []
    states: list[JointState] = []
    create_subscription(bench.node, ROBOT_DESCRIPTION, texts.append)
    create_subscription(bench.node, ROBOT_JOINT_STATES, states.append)
    bench.wait(lambda: texts and states)
    joints = [
        joint.attrib['name']
        for joint in ET.fromstring(texts[0].data).iter('joint')
        if joint.attrib['type'] != 'fixed'
    ]
    assert states[-1].name == joints
    assert joints[:2] == ['follower_left/waist', 'follower_left/shoulder']
    assert states[-1].position[1] == pytest.approx(ROBOT.start[1], abs=0.05)


def test_links_are_sent_to_rviz_where_it_can_be(bench: Bench) -> None:
    """In the frame of the robot file's scene."""
    pytest.importorskip('tf2_msgs')
    heard: list[Any] = []
    create_subscription(bench.node, TF, heard.append)
    bench.wait(lambda: heard)
    transforms = {t.child_frame_id: t for t in heard[-1].transforms}
    assert {t.header.frame_id for t in transforms.values()} == {'world'}
    base = transforms['follower_right/base_link'].transform
    assert (base.translation.x, base.translation.y) == pytest.approx((0.469, 0.0))
    assert abs(base.rotation.z) == pytest.approx(1.0)  # it faces the left arm
    assert 'follower_left/gripper_link' in transforms
