# SPDX-License-Identifier: Apache-2.0
"""Arms of one joint-state topic, and arms without a gripper, from the message to the episode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from cosmos_policy_ros.align import arm_pose, implausible
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.gripper import FingerLinkage
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.types import Episode
import numpy as np
from rosbags.rosbag2 import Reader

OPENARM = read_robot(share_path('config', 'robots', 'openarm.yaml'))
UR5E = read_robot(share_path('config', 'robots', 'ur5e.yaml'))


def small(robot: RobotSpec) -> RobotSpec:
    """Return the robot with one camera of 32x24 px."""
    camera = replace(robot.cameras[0], width=32, height=24)
    return replace(robot, cameras=(camera,))


def episode_of(robot: RobotSpec) -> Episode:
    """Return half a second of small motion with velocities and efforts."""
    n, rng = 25, np.random.default_rng(0)
    pose = robot.start + 0.2 + 0.002 * np.arange(n)[:, None] * np.arange(robot.size)
    return Episode(
        source='demo', task='move', success=True, rate_hz=50.0,
        stamps_ns=1_700_000_000_000_000_000 + np.arange(n) * 20_000_000,
        images={c.name: np.zeros((1, c.height, c.width, 3), np.uint8) for c in robot.cameras},
        image_index={c.name: np.zeros(n, np.int64) for c in robot.cameras},
        proprio=pose.astype(np.float32), actions=pose.astype(np.float32),
        velocity=rng.normal(0, 0.3, (n, robot.size)).astype(np.float32),
        effort=rng.normal(0, 5.0, (n, robot.size)).astype(np.float32), expert=np.ones(n, bool),
        human_intervention=np.zeros(n, bool),
    )  # fmt: skip


def check_round_trip(path: Path, robot: RobotSpec) -> None:
    """Write an episode as a bag and compare what is read back."""
    episode = episode_of(robot)
    write_bag(path, episode, robot)
    got = read_bag(path, robot, 50.0, max_image_age_s=10.0)
    np.testing.assert_allclose(got.proprio, episode.proprio, atol=1e-6)
    assert got.velocity is not None
    assert got.effort is not None
    np.testing.assert_allclose(got.velocity, episode.velocity, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got.effort, episode.effort)


def test_both_arms_are_read_from_one_message_by_name() -> None:
    """Each arm finds its joints among those of the other, whatever their order."""
    left, right = OPENARM.arms
    names = [*right.state_joints, *left.state_joints]
    numbers = [*(0.1 * i for i in range(7)), 0.044, *(-0.1 * i for i in range(7)), 0.011]
    message = SimpleNamespace(name=names, position=numbers)
    wanted = [0.0, -0.1, -0.2, -0.3, -0.4, -0.5, -0.6, 0.25]
    np.testing.assert_allclose(arm_pose(left, message), wanted, atol=1e-6)
    np.testing.assert_allclose(arm_pose(right, message)[[1, 6, 7]], [0.1, 0.6, 1.0], atol=1e-6)


def test_episode_of_arms_on_one_topic_comes_back_from_its_bag(tmp_path: Path) -> None:
    """One message per tick holds both arms, in the units of the driver."""
    check_round_trip(tmp_path / 'bag', small(OPENARM))
    with Reader(tmp_path / 'bag') as bag:
        counts = {c.topic: c.msgcount for c in bag.connections}
    assert counts['/joint_states'] == 25


def test_episode_of_an_arm_without_a_gripper_comes_back_from_its_bag(tmp_path: Path) -> None:
    """Six numbers, all of them joints."""
    check_round_trip(tmp_path / 'bag', small(UR5E))


def test_episode_of_a_linked_gripper_comes_back_from_its_bag(tmp_path: Path) -> None:
    """Positions and velocities of the fingers go through the linkage and back."""
    robot = small(read_robot(share_path('config', 'robots', 'aloha.yaml')))
    arms = []
    for arm in robot.arms:
        assert arm.gripper is not None
        gripper = replace(
            arm.gripper, state_open=0.0623, command_open=1.45, linkage=FingerLinkage(0.0275, 0.035)
        )
        arms.append(replace(arm, gripper=gripper))
    check_round_trip(tmp_path / 'bag', replace(robot, arms=tuple(arms)))


def test_jump_of_the_last_joint_of_an_arm_without_a_gripper_is_noticed() -> None:
    """The last number is a joint there, not a gripper that may jump."""
    (arm,) = UR5E.arms
    pose = np.zeros(6, np.float32)
    jumped = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0], np.float32)
    assert implausible(arm, pose, pose, 0.01) is None
    assert implausible(arm, jumped, pose, 0.01) == (
        '/joint_states: wrist_3_joint jumped +1.00 rad in 10 ms'
    )
