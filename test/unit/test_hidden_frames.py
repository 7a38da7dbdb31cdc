# SPDX-License-Identifier: Apache-2.0
"""Frames hidden from the value are left out of its sequence, in training and at run time."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.backends.export import export
from cosmos_policy_ros.backends.torch_backend import TorchBackend
from cosmos_policy_ros.core.config import read_config, write_config
from cosmos_policy_ros.core.denoiser import Denoiser, encode_text
from cosmos_policy_ros.core.networks import predict_velocity
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.training.batch import loss_weights, velocity_error
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.dataset import Batch, POLICY, VALUE, WORLD_MODEL
from cosmos_policy_ros.training.latent_cache import LatentCache
from cosmos_policy_ros.training.microbatch import frames_of, split_batch
from diffusers.models.transformers.transformer_cosmos import CosmosAttnProcessor2_0
import numpy as np
import pytest
from tiny import (
    save_tiny_checkpoint,
    tiny_config,
    tiny_observation,
    tiny_stats,
    tiny_text,
    tiny_transformer,
    tiny_vae,
)
import torch
from torch import Tensor

SHAPE = (4, 11, 4, 4)
SHOWN = [0, 6, 7, 8, 9, 10]  # blank, the predicted state, and the value that is asked for
HIDDEN = [1, 2, 3, 4, 5]  # the current state and the action
LEARNED = {'extra_pos_embed_type': 'learnable', 'max_size': (11, 4, 4)}
DROPPING = tiny_config(value_kind='value_future_only', drop_hidden_frames=True)
OBS = tiny_observation()


def learned_transformer(**changes: Any) -> Any:
    """Return a tiny transformer whose learned positions, if any, are not all alike."""
    transformer = tiny_transformer(**changes)
    torch.manual_seed(2)
    for name, weight in transformer.named_parameters():
        if 'pos_emb_' in name:
            weight.data.normal_()
    return transformer


def question() -> tuple[Tensor, Tensor, Tensor]:
    """Return latents of three rows, their times and a text."""
    torch.manual_seed(3)
    return torch.randn(3, *SHAPE), torch.tensor([0.8, 0.9, 0.99]), torch.randn(2, 8)


def dropped(transformer: Any, latents: Tensor, time: Tensor, text: Tensor) -> Tensor:
    """Return the velocity of the value in a sequence without the hidden frames."""
    mask = torch.tensor([[1.0] * 5 + [0.0]]).expand(3, -1)
    timestep, words = (1 - mask) * time[:, None], text.expand(3, -1, -1)
    return predict_velocity(transformer, latents[:, :, SHOWN], timestep, words, mask, SHOWN)[
        :, :, 5:
    ]


class LookAway(CosmosAttnProcessor2_0):
    """An attention in which nobody sees the hidden frames."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        image_rotary_emb: Any = None,
    ) -> Tensor:
        """Attend with a mask."""
        seen = torch.ones(SHAPE[1], 4, dtype=torch.bool)  # 2 x 2 patches
        seen[HIDDEN] = False
        mask = seen.flatten().expand(1, 1, seen.numel(), -1)
        return super().__call__(attn, hidden_states, None, mask, image_rotary_emb)


@pytest.mark.parametrize('changes', [{}, LEARNED])
@torch.inference_mode()
def test_a_frame_left_out_is_a_frame_that_nobody_sees(changes: dict[str, object]) -> None:
    """The others keep their positions: as in the whole sequence, attention masked."""
    transformer, (latents, time, text) = learned_transformer(**changes), question()
    short = dropped(transformer, latents, time, text)
    mask = torch.ones(3, 11)
    mask[:, 10] = 0.0
    given = latents, (1 - mask) * time[:, None], text.expand(3, -1, -1), mask
    plain = predict_velocity(transformer, *given)[:, :, 10:]
    for block in transformer.transformer_blocks:
        block.attn1.processor = LookAway()
    masked = predict_velocity(transformer, *given)[:, :, 10:]
    torch.testing.assert_close(short, masked, atol=2e-6, rtol=1e-5)
    assert (short - plain).abs().max() > 1e-2


@pytest.mark.parametrize('changes', [{}, LEARNED])
@torch.inference_mode()
def test_the_network_without_repeated_work_leaves_out_the_same(changes: dict[str, object]) -> None:
    """It gets the positions with the frames."""
    transformer, (latents, time, text) = learned_transformer(**changes), question()
    plain, known = dropped(transformer, latents, time, text), encode_text(transformer, text)
    denoiser, frames = Denoiser(transformer, SHAPE), torch.tensor(SHOWN)
    fast = denoiser(latents[:, :, SHOWN], time, known, torch.tensor([5]), frames)
    torch.testing.assert_close(fast, plain, atol=2e-6, rtol=1e-5)


class NotingBackend(TorchBackend):
    """The torch backend with a note of how many frames the network is given."""

    def __init__(self) -> None:
        """Start with no notes."""
        super().__init__(tiny_transformer(), tiny_vae())
        self.lengths: list[int] = []

    def denoise(self, latents: Tensor, *others: Any) -> Tensor:
        """Note the length of the sequence."""
        self.lengths.append(latents.shape[2])
        return super().denoise(latents, *others)


def dropping_policy(**changes: Any) -> CosmosPolicy:
    """Return a policy that leaves out hidden frames, with some fields changed."""
    config = replace(DROPPING, **changes)
    return CosmosPolicy(NotingBackend(), config, tiny_stats(), tiny_text())


@pytest.mark.parametrize('drop', [True, False])
def test_the_value_does_not_depend_on_hidden_frames(drop: bool) -> None:
    """Of the current state and the action not even the noise; with them there as noise it does."""
    policy = dropping_policy(drop_hidden_frames=drop)
    future = policy.predict_future(policy.act(OBS, PlanQuery(2)))
    other = future.latents.clone()
    other[:, :, HIDDEN] += 1.0
    values = [policy.predict_value(f) for f in (future, replace(future, latents=other))]
    assert torch.equal(*values)  # those frames are overwritten with noise
    policy.config = replace(policy.config, drop_hidden_frames=not drop)
    assert not torch.equal(policy.predict_value(future), values[0])


def test_sequences_of_the_value_are_shorter() -> None:
    """6 instead of 11 frames; those of action and future are whole."""
    policy = dropping_policy()
    policy.plan(OBS, PlanQuery(2, 1, 1))
    assert isinstance(policy.backend, NotingBackend)
    assert policy.backend.lengths == [11] * 10 + [11] * 5 + [6] * 5


def test_which_frames_are_there_depends_on_the_question() -> None:
    """Q(s, a) leaves out the future; who judges by everything leaves out nothing."""
    assert DROPPING.frames('policy') == DROPPING.frames('world_model') == list(range(11))
    assert DROPPING.frames('value_future_only') == SHOWN
    assert DROPPING.frames('value_q') == [0, 1, 2, 3, 4, 5, 10]
    assert DROPPING.frames('value') == list(range(11))
    assert replace(DROPPING, drop_hidden_frames=False).frames('value_q') == list(range(11))


def samples(kinds: list[int]) -> Batch:
    """Return samples that differ in every frame, of images 0 to 2 n - 1."""
    n, rng = len(kinds), np.random.default_rng(0)
    cameras, horizon = len(DROPPING.cameras), DROPPING.horizon
    rows = np.arange(2 * n * cameras).reshape(2, n, cameras)
    return Batch(
        kind=np.array(kinds),
        chunk=rng.uniform(-1, 1, (n, horizon, 4)).astype('f4'),
        imitate=np.ones((n, horizon), bool),
        proprio=rng.uniform(-1, 1, (n, 4)).astype('f4'),
        future_proprio=rng.uniform(-1, 1, (n, 4)).astype('f4'),
        image_row=rows[0],
        future_row=rows[1],
        latent_row=np.concatenate([rows[0], rows[1]], axis=1),
        value=rng.random(n).astype('f4'),
        task=np.zeros(n, np.int64),
        version=np.zeros(n, np.int64),
        committed=np.zeros(n, np.int64),
        label=np.zeros(n, np.int64),
    )


def train_once(batch: Batch, drop: bool, seed: int = 0) -> tuple[float, Tensor]:
    """Return the loss of a batch and its gradient; part i has the noise of ``seed + i``."""
    transformer = tiny_transformer().train()
    policy = replace(DROPPING, drop_hidden_frames=drop)
    torch.manual_seed(0)
    cache = LatentCache(torch.randn(24, 4, 4, 4), torch.zeros(4, 4, 4), tiny_text_table())
    loss = torch.zeros(())
    for number, part, weight in split_batch(batch, policy, 1, [0]):
        error = velocity_error(
            transformer, part, cache, policy, tiny_stats(), TrainConfig(precision='float32'),
            torch.Generator().manual_seed(seed + number), torch.device('cpu'),
        )  # fmt: skip
        loss = loss + (weight * error * loss_weights(part, policy, 1.0)).sum()
    loss.backward()
    gradients = [p.grad.flatten() for p in transformer.parameters() if p.grad is not None]
    return loss.item(), torch.cat(gradients)


def tiny_text_table() -> Tensor:
    """Return the (1, L, D) embeddings of the tiny policy."""
    return torch.stack(list(tiny_text().embeddings.values()))


@pytest.mark.parametrize('drop', [True, False])
def test_nothing_is_learned_from_hidden_frames(drop: bool) -> None:
    """Other images, joints and actions: the same gradient; as noise they shine through."""
    batch = samples([VALUE, VALUE])
    rows = batch.latent_row.copy()
    rows[:, :3] = rows[::-1, :3]
    other = replace(batch, chunk=batch.chunk[::-1].copy(), proprio=batch.proprio[::-1].copy(),
                    latent_row=rows)  # fmt: skip
    (_, one), (_, two) = train_once(batch, drop), train_once(other, drop)
    assert one.abs().max() > 0
    assert torch.equal(one, two) == drop


def test_samples_that_share_a_call_have_the_same_frames() -> None:
    """Value samples go on their own, and every sample goes once."""
    batch = samples([POLICY, VALUE, WORLD_MODEL, VALUE])
    parts = split_batch(batch, DROPPING, 2, range(2))
    assert [number for number, _, _ in parts] == [0, 1, 2, 3]
    assert [part.kind.tolist() for _, part, _ in parts] == [
        [POLICY],
        [WORLD_MODEL],
        [VALUE],
        [VALUE],
    ]
    assert [len(frames_of(part, DROPPING)) for _, part, _ in parts] == [11, 11, 6, 6]
    values = [part.value[0] for _, part, _ in parts]
    assert values == batch.value[[0, 2, 1, 3]].tolist()
    with pytest.raises(ValueError, match='cannot share a call'):
        frames_of(batch, DROPPING)


def test_every_rank_calls_the_network_equally_often() -> None:
    """Who has no value sample takes one that counts nothing; without any nobody calls for them."""
    batch = samples([POLICY, WORLD_MODEL, VALUE])
    split = [split_batch(batch, DROPPING, 2, [rank]) for rank in range(2)]
    assert [[weight for _, _, weight in parts] for parts in split] == [[1.0, 1.0], [1.0, 0.0]]
    assert [len(split_batch(samples([POLICY] * 2), DROPPING, 2, [rank])) for rank in range(2)] == [
        1,
        1,
    ]


def test_a_batch_without_shorter_sequences_is_split_as_ever() -> None:
    """All kinds together, every second sample."""
    policy = replace(DROPPING, drop_hidden_frames=False)
    batch = samples([POLICY, VALUE, WORLD_MODEL, VALUE])
    [(number, part, weight)] = split_batch(batch, policy, 2, [1])
    assert (number, weight) == (1, 1.0)
    np.testing.assert_array_equal(part.chunk, batch.part(1, 2).chunk)


def test_a_mixed_batch_teaches_what_its_kinds_teach_alone() -> None:
    """Loss and gradient are the sums, with the same noise."""
    batch = samples([POLICY, VALUE, VALUE])
    both, gradient = train_once(batch, True)
    action, one = train_once(batch.rows(batch.kind == POLICY), True)
    value, other = train_once(batch.rows(batch.kind == VALUE), True, seed=1)
    assert both == pytest.approx(action + value, rel=1e-6)
    torch.testing.assert_close(gradient, one + other, rtol=1e-4, atol=1e-4)
    assert other.abs().max() > 1e-2


@pytest.fixture(scope='module')
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an exported checkpoint that leaves out hidden frames."""
    pytest.importorskip('onnxscript')
    path = tmp_path_factory.mktemp('hidden') / 'checkpoint'
    robot = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
    save_tiny_checkpoint(path, robot, value_kind='value_future_only', drop_hidden_frames=True)
    export(path, queries=1)
    return path


@pytest.mark.slow
@pytest.mark.parametrize('runtime', ['openvino', 'onnxruntime', 'torch'])
def test_all_backends_leave_out_the_same(exported: Path, runtime: str) -> None:
    """Actions, futures and values are those of the plain network."""
    if runtime != 'torch':
        pytest.importorskip(runtime)
    from cosmos_policy_ros.backends.parity import made_up_observations

    plain = load_policy(exported, 'diffusers', precision='float32')
    fast = load_policy(exported, runtime, precision='float32', threads=1)
    obs = made_up_observations(plain, 1)[0]
    want, got = (
        plain.plan(obs, PlanQuery(2, 2, 2)).candidates,
        fast.plan(obs, PlanQuery(2, 2, 2)).candidates,
    )
    np.testing.assert_allclose(got.positions, want.positions, atol=1e-4)
    np.testing.assert_allclose(got.values, want.values, atol=1e-4)
    assert np.ptp(want.values) > 1e-3


def test_an_older_policy_file_shows_hidden_frames_as_noise(tmp_path: Path) -> None:
    """It does not know the key; a newer one keeps it."""
    file = tmp_path / 'policy.json'
    write_config(file, DROPPING)
    assert read_config(file) == DROPPING
    data = json.loads(file.read_text(encoding='utf-8'))
    del data['drop_hidden_frames']
    file.write_text(json.dumps(data), encoding='utf-8')
    assert read_config(file) == replace(DROPPING, drop_hidden_frames=False)
