# SPDX-License-Identifier: Apache-2.0
"""What the batched policy answers is what the official order of work answers."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.backends.parity import made_up_observations
from cosmos_policy_ros.core.diffusion import sigma_levels
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
import numpy as np
import pytest
from reference_inference import Answer, ReferenceInference
from tiny import save_tiny_checkpoint
import torch

COMMITTED = share_path('models', 'aloha_sim')


def check(path: Path, shape: tuple[int, int, int], atol: float, seed: int = 195) -> None:
    """Compare both ways of planning: candidates, futures and values in ``shape``.

    Args:
        path: Checkpoint folder.
        shape: Candidates, futures of each, values of each of those.
        atol: Largest difference [rad; gripper 0..1], and of a value.
        seed: Base seed.
    """
    candidates, futures, values = shape
    policy = load_policy(path, 'torch', precision='float32')
    reference = ReferenceInference(path, policy.config.two_steps_are_one)
    obs = made_up_observations(policy, 1)[0]
    got, shown, _ = policy.plan(obs, PlanQuery(candidates, futures, values, seed=seed))
    images = policy.read_images(shown)
    want: list[Answer] = [
        reference.candidate(obs.images, obs.proprio, obs.task, seed + i, futures, values)
        for i in range(candidates)
    ]
    actions = np.stack([answer.action for answer in want])
    np.testing.assert_allclose(got.positions, actions, atol=atol)
    np.testing.assert_allclose(got.values, [answer.values for answer in want], atol=atol)
    last = [answer.futures[-1] for answer in want]  # of the member with most steps
    np.testing.assert_allclose(got.future_proprio, last, atol=atol)
    for i, answer in enumerate(want):
        for name, image in answer.images[-1].items():
            difference = np.abs(images[name][i].astype(int) - image)
            assert difference.max() <= 1, name  # a rounding
    spread = np.abs(actions[0] - actions[-1]).max()
    assert candidates == 1 or spread > 100 * atol, 'the candidates are all alike'


@pytest.mark.parametrize('independent', [True, False])
@pytest.mark.parametrize('kind', ['value', 'value_future_only'])
def test_tiny_policy_plans_as_the_official_code(
    tmp_path: Path, kind: str, independent: bool
) -> None:
    """Two candidates, two futures and two values of each; both kinds of autoencoder and value."""
    robot = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
    changes = {'value_kind': kind, 'independent_frames': independent}
    save_tiny_checkpoint(tmp_path / 'tiny', robot, **changes)
    check(tmp_path / 'tiny', (2, 2, 2), atol=1e-5)


@pytest.mark.parametrize(('kind', 'shape'), [('value', (2, 0, 0)), ('value_q', (2, 0, 3))])
def test_stages_that_are_left_out(tmp_path: Path, kind: str, shape: tuple[int, int, int]) -> None:
    """All from one denoising, and values of actions without a future."""
    robot = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
    save_tiny_checkpoint(tmp_path / 'tiny', robot, value_kind=kind)
    check(tmp_path / 'tiny', shape, atol=1e-5)


def test_two_steps_that_are_one_are_those_of_the_official_code(tmp_path: Path) -> None:
    """As the presets have it: members of 1, 2 and 3 steps, of which the second makes one call."""
    robot = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
    facts = {'two_steps_are_one': True, 'future_steps': 3, 'value_steps': 3}
    save_tiny_checkpoint(tmp_path / 'tiny', robot, **facts)
    check(tmp_path / 'tiny', (2, 3, 3), atol=1e-5)


@pytest.mark.parametrize('shape', [(2, 0, 0), (1, 2, 2)])
def test_committed_checkpoint_plans_as_the_official_code(shape: tuple[int, int, int]) -> None:
    """With trained weights, where an error would be carried from step to step."""
    check(COMMITTED, shape, atol=1e-5)


@pytest.mark.parametrize('two_steps_are_one', [False, True])
def test_noise_levels_are_the_official_ones(tmp_path: Path, two_steps_are_one: bool) -> None:
    """With and without the official short cut of two steps: 61 or 64 calls for a candidate."""
    robot = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
    save_tiny_checkpoint(tmp_path / 'tiny', robot, value_kind='value_future_only')
    reference = ReferenceInference(tmp_path / 'tiny', two_steps_are_one)
    for steps in (1, 2, 3, 5, 10):
        want = sigma_levels(1 if two_steps_are_one and steps == 2 else steps)
        assert reference.levels(steps) == pytest.approx(want)
    obs = made_up_observations(load_policy(tmp_path / 'tiny'), 1)[0]
    reference.candidate(obs.images, obs.proprio, obs.task, 195, futures=3, values=5)
    assert reference.calls == (61 if two_steps_are_one else 64)
    given, known = torch.zeros(1, 4, 11, 4, 4), [True] * 5 + [False] * 6
    one, two = (reference.denoise(given, known, obs.task, 195, steps) for steps in (1, 2))
    assert torch.equal(one, two) == two_steps_are_one
