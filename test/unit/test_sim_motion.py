# SPDX-License-Identifier: Apache-2.0
"""Velocities and efforts of the simulated joints are those of the physics."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.data.bags.files import read_topics
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.evaluation.sim_bag import write_joint_states
from cosmos_policy_ros.sim.aloha import AlohaSim, joint_state
from cosmos_policy_ros.sim.motion import joint_motion
import numpy as np
import pytest
from samples import ROBOT

STEP_S = 0.002  # of the physics


def moving() -> AlohaSim:
    """Return a scene in which all joints move, the left gripper opens and the right closes."""
    sim = AlohaSim()
    target = sim.proprio + np.float32(0.2)
    target[[6, 13]] = 0.9, 0.0
    sim.step(target, 20)
    return sim


@pytest.mark.parametrize('arm', [0, 1])
def test_velocities_are_the_rates_of_the_positions(arm: int) -> None:
    """All nine, in their order and units, the gripper motor and the fingers too."""
    sim = moving()
    _, before = joint_state(sim, arm)
    sim.step(sim.data.ctrl[[*range(7), *range(8, 15)]].astype(np.float32), 1)
    _, after = joint_state(sim, arm)
    velocities, _ = joint_motion(sim, arm)
    assert np.abs(velocities).min() > 1e-3
    np.testing.assert_allclose(velocities, (after - before) / STEP_S, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('arm', [0, 1])
def test_efforts_are_the_forces_of_the_actuators(arm: int) -> None:
    """Every actuator through its own joint; the motor does the work of both fingers."""
    sim = moving()
    velocities, efforts = joint_motion(sim, arm)
    wanted = np.zeros(16)
    for i, (joint, _) in enumerate(sim.model.actuator_trnid):
        gear = sim.model.actuator_gear[i, 0]
        wanted[sim.model.jnt_dofadr[joint]] += gear * sim.data.actuator_force[i]
    np.testing.assert_allclose(efforts[[*range(6), 7, 8]], wanted.reshape(2, 8)[arm], rtol=1e-12)
    assert np.abs(efforts[1]) > 1.0  # [N m] the shoulder carries the arm
    finger_speed = velocities[7]
    work = efforts[7] * finger_speed - efforts[8] * finger_speed
    np.testing.assert_allclose(efforts[6] * velocities[6], work, rtol=1e-9)


def test_reading_them_changes_nothing() -> None:
    """Two scenes that differ in who looks stay bit-identical."""
    seen, unseen = AlohaSim(), AlohaSim()
    target = seen.proprio + np.float32(0.1)
    for _ in range(20):
        joint_motion(seen, 0)
        seen.step(target)
        unseen.step(target)
    assert seen.data.qpos.tobytes() == unseen.data.qpos.tobytes()
    assert seen.data.qvel.tobytes() == unseen.data.qvel.tobytes()


def test_demonstrations_carry_them(tmp_path: Path) -> None:
    """Nine of each in the joint states of both arms, in the order of the names."""
    sim = moving()
    with BagWriter(tmp_path / 'a', {}) as bag:
        write_joint_states(bag, sim, ROBOT, 0)
    topics = [arm.joint_state_topic for arm in ROBOT.arms]
    found = read_topics(tmp_path / 'a', topics)
    for arm, topic in enumerate(topics):
        ((_, message),) = found[topic]
        names, positions = joint_state(sim, arm)
        velocities, efforts = joint_motion(sim, arm)
        assert list(message.name) == names
        np.testing.assert_array_equal(message.position, positions)
        np.testing.assert_array_equal(message.velocity, velocities)
        np.testing.assert_array_equal(message.effort, efforts)
