# SPDX-License-Identifier: Apache-2.0
"""Advantage as an input: the label in the text, its guidance, and a training that writes it."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

from cosmos_policy_ros.backends import load_cosmos_policy
from cosmos_policy_ros.cli.train import run, Train
from cosmos_policy_ros.core.advantage import write_label
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.core.text import TextEmbeddings
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.training.advantages import describe_labels, FILE, shares_that_came_true
from cosmos_policy_ros.training.config import read_train_config
from cosmos_policy_ros.training.dataset import CachedEpisode
from cosmos_policy_ros.training.trainer import train
from cosmos_policy_ros.types import ConfigError, Observation
import numpy as np
import pytest
from samples import sample_episode
from tiny import CONFIG, NotingBackend, TASK, tiny_observation, tiny_policy, tiny_stats, tiny_text
import torch
from torch import Tensor
from toy_training import TOY

OBS = tiny_observation()
BETTER = torch.ones(1)


class ReadingBackend(NotingBackend):
    """A backend that notes the text of every call too."""

    def __init__(self) -> None:
        """Start with no notes."""
        super().__init__()
        self.texts: list[Tensor] = []

    def denoise(self, latents: Tensor, time: Tensor, text: Tensor, *others: Tensor) -> Tensor:
        """Note the text."""
        self.texts.append(text)
        return super().denoise(latents, time, text, *others)


def told_policy() -> tuple[CosmosPolicy, ReadingBackend]:
    """Return a tiny policy that was told what went better, and its notes."""
    backend = ReadingBackend()
    config = replace(CONFIG, advantage=True)
    return CosmosPolicy(backend, config, tiny_stats(), tiny_text()), backend


def test_label_is_added_to_the_last_token_and_taken_away_from_it() -> None:
    """In the size of the text's numbers; the other tokens and texts without one stay."""
    text = torch.full((3, 4, 1024), 2.0)
    labelled = write_label(text, torch.tensor([1, -1, 0]))
    label = labelled[0, 3] - 2.0
    assert torch.equal(labelled[:, :3], text[:, :3])
    assert torch.equal(labelled[2], text[2])
    assert torch.allclose(labelled[1, 3], 2.0 - label, atol=1e-5)
    assert float(label.std()) == pytest.approx(2.0, rel=0.1)
    assert abs(float(label.mean())) < 0.2


def test_label_of_a_padded_text_is_a_token_of_its_own() -> None:
    """Of the size of the tokens that are there, not thinned by the empty ones."""
    text = torch.zeros(1, 512, 1024)
    text[0, :3] = 0.1
    labelled = write_label(text, BETTER)
    assert torch.equal(labelled[0, :511], text[0, :511])
    assert float(labelled[0, 511].std()) == pytest.approx(0.1, rel=0.1)


def test_policy_is_asked_for_better_chunks_and_its_world_model_for_what_comes() -> None:
    """The label is in the text of the action alone, of every chunk that is imagined."""
    policy, backend = told_policy()
    policy.plan(OBS, PlanQuery(2, 1, 1, 2))
    plain, better = (policy._encode_text(TASK, labelled) for labelled in (False, True))
    asked = ['better' if torch.equal(text, better) else 'plain' for text in backend.texts]
    assert not torch.equal(plain, better)
    assert asked == ['better'] * 10 + ['plain'] * 5 + ['better'] * 10 + ['plain'] * 10


def test_a_policy_that_was_told_nothing_is_asked_as_ever() -> None:
    """And refuses to be guided."""
    policy = tiny_policy()
    assert policy._guidance(PlanQuery(1)) == 0.0
    with pytest.raises(ConfigError, match='train it with --role improve, or give 1'):
        policy.plan(OBS, PlanQuery(1, guidance=2.0))


def test_without_guidance_a_told_policy_is_the_plain_one() -> None:
    """To the last bit."""
    told = told_policy()[0].plan(OBS, PlanQuery(2, guidance=0.0)).candidates
    plain = tiny_policy().plan(OBS, PlanQuery(2)).candidates
    assert np.array_equal(told.positions, plain.positions)
    assert np.array_equal(told.values, plain.values)


def test_guidance_moves_the_action_beyond_what_the_label_makes_of_it() -> None:
    """One step: twice as far from the plain answer; future and value are those of the label."""
    policy, backend = told_policy()
    plain, once, twice = (
        policy.plan(OBS, PlanQuery(2, steps=1, guidance=g)).candidates for g in (0.0, 1.0, 2.0)
    )
    assert len(backend.calls) == 1 + 1 + 2
    moved = once.positions - plain.positions
    assert np.abs(moved).max() > 1e-4
    np.testing.assert_allclose(twice.positions - plain.positions, 2.0 * moved, atol=1e-4)
    np.testing.assert_allclose(twice.values, once.values, atol=1e-6)
    np.testing.assert_allclose(twice.future_proprio, once.future_proprio, atol=1e-6)


@pytest.mark.parametrize('guidance', [-1.0, 0.5, 3.5, float('nan')])
def test_guidance_is_none_or_from_one_to_three(guidance: float) -> None:
    """Below 1 a label would mean less than it did in training."""
    with pytest.raises(ConfigError, match='guidance of a query is 0 or from 1 to 3'):
        PlanQuery(1, guidance=guidance)


def test_labels_are_described_by_where_they_are() -> None:
    """For the log of a training."""
    column = np.zeros((4, 1), np.float32)
    rows = [
        CachedEpisode(
            d, s, np.zeros((4, 1), int), column, column, np.ones(4, bool), np.ones(4, bool)
        )
        for d, s in ((True, True), (False, True), (False, False))
    ]
    labels = [np.array(x, bool) for x in ([1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0])]
    assert describe_labels(rows, labels) == (
        '50 % of 4 in demonstrations, 75 % of 4 in successes, 0 % of 4 in failures'
    )


def test_value_is_scaled_to_what_came_of_it_in_rollouts() -> None:
    """Least squares through 0, of each task by itself; what people and scripts did is left out."""
    kinds = (  # policy, helped, task, return
        (True, False, 0, 0.8), (True, False, 0, 0.0), (True, True, 0, 0.9), (False, False, 0, 0.0),
        (False, False, 0, 0.9), (True, False, 1, 0.9), (False, False, 2, 0.0),
    )  # fmt: skip
    column = np.zeros((2, 1), np.float32)
    rows = [
        CachedEpisode(
            False, came > 0, np.zeros((2, 1), int), column, column, np.ones(2, bool),
            np.array([False, helped]), task, policy=policy,
        )
        for policy, helped, task, came in kinds
    ]  # fmt: skip
    returns = [np.full(2, came) for *_, came in kinds]
    shares = shares_that_came_true(rows, [np.array([0.4, 0.8])] * len(rows), returns)
    # (0.4 * 0.8 + 0.8 * 0.8) / (2 * (0.16 + 0.64)), and 0.9 * 1.2 / 0.8, which is no share
    assert shares == {0: pytest.approx(0.6), 1: 1.0}
    assert shares_that_came_true(rows[-1:], [np.zeros(2)], returns[-1:]) == {}


def test_a_configuration_takes_what_it_leaves_out_from_the_checkpoint(tmp_path: Path) -> None:
    """Its rate, rows and images; what the file says is kept."""
    file = tmp_path / 'improve.yaml'
    file.write_text('advantage: true\nhorizon: 8\n', encoding='utf-8')
    base = replace(CONFIG, rate_hz=25.0, committed_rows=4, centre_crop=True)
    config = read_train_config(file, base)
    assert (config.rate_hz, config.horizon, config.committed_rows) == (25.0, 8, 4)
    assert (config.augment, config.image_size, config.return_discount) == (1, 32, 0.99)
    assert read_train_config(file).rate_hz == 12.5


@pytest.fixture(scope='module')
def robot() -> RobotSpec:
    """Return the simulated robot."""
    return read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))


@pytest.fixture(scope='module')
def improved(tmp_path_factory: pytest.TempPathFactory, robot: RobotSpec) -> Path:
    """Return what one command makes of a base, its demonstrations and its rollouts."""
    folder = tmp_path_factory.mktemp('improve')
    for seed in range(3):
        write_bag(folder / 'demos' / f'demo_{seed}', sample_episode(seed, n=150), robot)
        rollout = sample_episode(10 + seed, n=150, source='rollout', success=seed > 0)
        write_bag(folder / 'rollouts' / f'rollout_{seed}', rollout, robot)
    train([folder / 'demos'], folder / 'base', robot, replace(TOY, committed_rows=2))
    yaml = share_path('config', 'improve.yaml').read_text(encoding='utf-8')
    short = 'updates: 4\nwarmup: 1\ndecay: 1\ncompile: false\nbatch_size: 4\ntick_hz: 12.5\n'
    kept = [line for line in yaml.splitlines() if line.partition(':')[0] not in short]
    config = folder / 'improve.yaml'
    config.write_text(
        '\n'.join(kept) + f'\n{short}held_out: 0.34\nprecision: {TOY.precision}\n',
        encoding='utf-8',
    )
    options = Train(
        data=(folder / 'demos', folder / 'rollouts'),
        out=folder / 'improved',
        role='improve',
        config=config,
        init=folder / 'base',
    )
    assert run(options) == 0
    return folder


@pytest.mark.slow
def test_one_command_improves_a_policy_from_demonstrations_and_rollouts(improved: Path) -> None:
    """The checkpoint knows the label, keeps the facts of its base, and can be guided."""
    facts = json.loads((improved / 'improved' / 'policy.json').read_text(encoding='utf-8'))
    assert (facts['advantage'], facts['committed_rows'], facts['horizon']) == (True, 2, 4)
    policy = load_cosmos_policy(improved / 'improved', 'torch', threads=1)
    robot = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
    images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in robot.cameras}
    obs = Observation(0, images, robot.start, policy.tasks[0])
    positions = policy.plan(obs, PlanQuery(2, guidance=2.0, depth=2)).candidates.positions
    assert positions.shape == (2, 4, 14)


def test_advantages_are_kept_and_belong_to_the_episodes(improved: Path) -> None:
    """Return less value, so at least -1 and at most 1; never above 0 in a failure."""
    with np.load(improved / 'improved' / 'work' / FILE) as data:
        advantages = [data[name] for name in data.files]
    assert [len(a) for a in advantages] == [38] * 4  # two of six were held out
    assert all((np.abs(a) <= 1.0).all() for a in advantages)
    assert max(a.max() for a in advantages) > 0.0
    assert any((a <= 0.0).all() for a in advantages)


def test_improving_needs_a_checkpoint_and_its_configuration(improved: Path) -> None:
    """Both are named."""
    options = Train(data=(improved / 'demos',), out=improved / 'nothing', role='improve')
    with pytest.raises(ConfigError, match='--role improve needs --init'):
        run(options)
    file = improved / 'plain.yaml'
    file.write_text('updates: 1\n', encoding='utf-8')
    with pytest.raises(ConfigError, match='advantage: true in its configuration'):
        run(replace(options, init=improved / 'base', config=file))


def test_labels_need_a_value(improved: Path, robot: RobotSpec) -> None:
    """A run from scratch has none."""
    with pytest.raises(ConfigError, match='give --init'):
        train(
            [improved / 'demos', improved / 'rollouts'],
            improved / 'scratch',
            robot,
            replace(TOY, advantage=True),
        )


@pytest.mark.slow
def test_a_checkpoint_is_continued_with_its_own_rows(improved: Path) -> None:
    """A configuration that names none does not make others of it."""
    config = improved / 'continue.yaml'
    config.write_text(
        'updates: 2\nwarmup: 1\ndecay: 1\nbatch_size: 4\ntick_hz: 12.5\nheld_out: 0.34\n'
        f'precision: {TOY.precision}\nautoencoder:\n  updates: 0\n',
        encoding='utf-8',
    )
    out = improved / 'continued'
    options = Train(data=(improved / 'demos',), out=out, config=config, init=improved / 'base')
    assert run(options) == 0
    facts = json.loads((out / 'policy.json').read_text(encoding='utf-8'))
    assert [facts[k] for k in ('committed_rows', 'horizon', 'image_size')] == [2, 4, 32]


def test_value_is_asked_about_what_it_was_trained_on(improved: Path, robot: RobotSpec) -> None:
    """Other ranges, another autoencoder and another horizon would make labels of nothing."""
    data = [improved / 'demos', improved / 'rollouts']
    config = replace(TOY, advantage=True, horizon=3)
    with pytest.raises(ConfigError, match='horizon must be 4, got 3, ranges must be init, got da'):
        train(data, improved / 'other', robot, config, init=improved / 'base')


def test_a_labelled_text_has_the_shape_of_the_plain_one() -> None:
    """So an exported network takes it."""
    text = TextEmbeddings({TASK: torch.ones(1, 8)}).lookup(TASK)
    assert write_label(text[None], BETTER).shape == (1, 1, 8)
