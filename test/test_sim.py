# SPDX-License-Identifier: Apache-2.0
"""The simulator and the scripted expert."""

from cosmos_policy_ros.sim.aloha import AlohaSim, joint_state
from cosmos_policy_ros.sim.expert import Noise
from cosmos_policy_ros.sim.transfer import TransferExpert
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest


def perform(seed: int, noise: Noise) -> tuple[AlohaSim, TransferExpert, np.ndarray]:
    """Play 8 s of the expert; return the scene, the expert and its (400,) expert flags."""
    sim = AlohaSim()
    sim.reset(seed)
    expert = TransferExpert(sim, np.random.default_rng(seed), noise)
    flags = []
    for _ in range(400):
        action = expert.action()
        flags.append(expert.expert)
        sim.step(action)
    return sim, expert, np.array(flags)


def test_same_seed_gives_the_same_scene() -> None:
    """Cube poses depend on the seed alone."""
    a, b = AlohaSim(), AlohaSim()
    a.reset(7)
    b.reset(8)
    b.reset(7)
    assert a.place('box').tolist() == b.place('box').tolist()


def test_cube_starts_where_gym_aloha_puts_it() -> None:
    """X in 0 … 0.2 m, y in 0.4 … 0.6 m, for every seed."""
    sim = AlohaSim()
    for seed in range(50):
        sim.reset(seed)
        assert 0.0 <= sim.place('box')[0] <= 0.2
        assert 0.4 <= sim.place('box')[1] <= 0.6


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_undisturbed_expert_hands_the_cube_over(seed: int) -> None:
    """The cube ends in the left gripper, off the table."""
    sim, _, flags = perform(seed, Noise())
    assert sim.success
    assert flags.all()


def test_pushed_expert_recovers_and_marks_the_push() -> None:
    """A push is not to be imitated, what follows is."""
    sim, _, flags = perform(100, Noise(pushes=2.0))
    assert sim.success
    assert 0 < (~flags).sum() < 100


def test_expert_that_misses_and_does_not_notice_fails() -> None:
    """The value function gets its failures."""
    assert not perform(3, Noise(grasp_m=0.2, retry=False))[0].success


def test_reward_of_an_untouched_cube_is_0() -> None:
    """A cube that lies on the table alone is worth nothing."""
    sim = AlohaSim()
    assert sim.reward == 0


def test_joint_state_has_the_names_of_the_real_driver() -> None:
    """Seven joints and two fingers that mirror each other."""
    names, positions = joint_state(AlohaSim(), 1)
    assert names[:7] == [
        'waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate', 'gripper',
    ]  # fmt: skip
    assert positions[7] == -positions[8]


def test_pictures_have_the_wanted_size_and_show_the_cube() -> None:
    """The high camera sees something red."""
    sim = AlohaSim(size=(120, 160))
    image = sim.render('high').astype(int)
    sim.close()
    assert image.shape == (120, 160, 3)
    assert ((image[..., 0] - image[..., 1:].max(axis=-1)) > 80).sum() > 20


def test_unknown_task_names_the_known_ones() -> None:
    """A typo must tell what would have been right."""
    with pytest.raises(ConfigError, match='transfer_cube'):
        AlohaSim('fold_shirt')
