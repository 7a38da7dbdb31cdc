# SPDX-License-Identifier: Apache-2.0
"""The policy against numbers that the official code gives for random weights, in true layouts.

``golden/official.json`` holds them with their tolerances; ``official_rule.py`` makes what went in.
"""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.backends.torch_backend import TorchBackend
from cosmos_policy_ros.core.checkpoint import Checkpoint, load_checkpoint
from cosmos_policy_ros.core.codec import write_value, write_vector
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.diffusion import training_input
from cosmos_policy_ros.core.networks import decode_video, encode_video, predict_velocity
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.core.official.checkpoint import import_checkpoint, Sources
from cosmos_policy_ros.core.official.names import TRANSFORMER_2B, VAE_WAN
from cosmos_policy_ros.core.official.presets import Preset, preset
from cosmos_policy_ros.core.planner import aggregate
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import Observation
import numpy as np
import official_rule as rule
import pytest
import torch

GOLDEN = json.loads((Path(__file__).parents[1] / 'golden' / 'official.json').read_text())
WITHIN = GOLDEN['tolerances']
SIZES = {**TRANSFORMER_2B, 'num_attention_heads': 2, 'num_layers': 2, 'adaln_lora_dim': 32}
VAE_SIZES = {**VAE_WAN, 'base_dim': 4}
TASK = GOLDEN['about']['task']
SEED = 195
LAYOUTS: tuple[Preset, ...] = ('aloha', 'libero', 'robocasa')
WHAT = ('latents', 'noise')  # of a training batch


def slow(name: Preset) -> Any:
    """Return a parameter whose test takes half a minute."""
    return pytest.param(name, marks=pytest.mark.slow)


ONE_QUICKLY = ['libero', slow('aloha'), slow('robocasa')]


@pytest.fixture(scope='module')
def imported(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Return the checkpoint of files with the official names; all presets share the weights."""
    folder = tmp_path_factory.mktemp('release')
    for part in ('transformer', 'vae'):
        shapes = GOLDEN['tensors'][part].items()
        weights = {n: torch.from_numpy(rule.weight(n, tuple(shape))) for n, shape in shapes}
        torch.save(weights, folder / f'{part}.pt')
    torch.save({TASK: torch.from_numpy(rule.embedding()).bfloat16()}, folder / 'text.pt')
    (folder / 'stats.json').write_text(json.dumps(rule.statistics(14, 14)))
    names = ('transformer.pt', 'vae.pt', 'stats.json', 'text.pt')
    sources = Sources(*(folder / name for name in names))
    import_checkpoint(sources, folder / 'out', preset('aloha'), None, SIZES, VAE_SIZES)
    return load_checkpoint(folder / 'out')


def load(imported: Checkpoint, name: Preset, **changes: Any) -> CosmosPolicy:
    """Return the policy of a preset, some of its facts changed."""
    config = replace(preset(name), **changes)
    ranges = rule.statistics(config.action_size, config.proprio_size)
    stats = NormStats(**{key: np.array(numbers) for key, numbers in ranges.items()})
    networks = TorchBackend(imported.transformer, imported.vae)
    return CosmosPolicy(networks, config, stats, imported.text)


def observe(config: PolicyConfig, size: tuple[int, int]) -> Observation:
    """Return images of the rule as a camera or simulator has them, joints and task."""
    images = {name: rule.image(f'picture/{name}', *size) for name in config.cameras}
    joints = rule.proprio(config.proprio_size).astype(np.float32)
    return Observation(0, images, joints, TASK)


@pytest.mark.parametrize('name', LAYOUTS)
def test_images_of_the_models_size_give_the_official_answer(
    imported: Checkpoint, name: Preset
) -> None:
    """Nothing between image and network: all rows, grippers from -0.66 to 1.40 as they are."""
    policy = load(imported, name, centre_crop=False, jpeg_quality=0)
    want = GOLDEN['presets'][name]['exact']
    got = policy.plan(observe(policy.config, (224, 224)), PlanQuery(1, seed=SEED)).candidates
    np.testing.assert_allclose(got.positions[0], want['actions'], atol=WITHIN['exact_actions'])
    np.testing.assert_allclose(got.values[0], want['value'], atol=WITHIN['exact_value'])
    within = WITHIN['exact_future_proprio']
    np.testing.assert_allclose(got.future_proprio[0], want['future_proprio'], atol=within, rtol=0)
    grippers = np.array(want['actions'])[:, GOLDEN['presets'][name]['gripper_columns']]
    assert grippers.min() < -0.3


# Block and actions within: the official evaluation of the two simulators compresses images.
QUERIES = {
    'aloha': ('query', WITHIN['query_actions']['aloha']),
    'libero': ('jpeg_query', WITHIN['jpeg_query_actions']['libero']),
    'robocasa': ('jpeg_query', WITHIN['jpeg_query_actions']['robocasa']),
}


@pytest.mark.parametrize('name', ONE_QUICKLY)
def test_images_of_cameras_and_simulators_give_the_official_answer(
    imported: Checkpoint, name: Preset
) -> None:
    """The preset as it is, images as they are drawn: flips, JPEG, sizes and crop are its facts."""
    policy = load(imported, name)
    block, within = QUERIES[name]
    want = GOLDEN['presets'][name][block]
    obs = observe(policy.config, want['picture_size'])
    answer = policy.plan(obs, PlanQuery(1, seed=policy.config.base_seed))
    got = answer.candidates
    np.testing.assert_allclose(got.positions[0], want['actions'], atol=within, rtol=0)
    np.testing.assert_allclose(got.values[0], want['value'], atol=WITHIN['query_value'])
    within = WITHIN['query_future_proprio']
    np.testing.assert_allclose(got.future_proprio[0], want['future_proprio'], atol=within, rtol=0)
    levels = (answer.futures.images.numpy() + 1.0) * 127.5
    most = WITHIN['jpeg_prepared_mean_of_64' if 'jpeg' in block else 'prepared_mean_of_64']
    for image, camera in zip(levels, policy.config.cameras, strict=True):
        seen = want['prepared_pictures'][camera]
        found = [image[c, y, x] for y, x, c in seen['places_y_x_c']]
        limit = most if isinstance(most, float) else most[name]
        assert np.abs(np.array(found) - seen['values']).mean() < limit, camera
    latents = answer.futures.latents[0].numpy()
    found = [latents[tuple(at)] for at in want['vae_latent']['places_c_t_y_x']]
    known = [at[1] != 1 for at in want['vae_latent']['places_c_t_y_x']]  # frame 1 is proprio here
    off = np.abs(np.array(found) - want['vae_latent']['values'])[known]
    assert off.max() < WITHIN['query_latent'][name]


@pytest.mark.slow
@pytest.mark.parametrize('name', LAYOUTS)
def test_predicted_images_are_the_official_ones(imported: Checkpoint, name: Preset) -> None:
    """Mean, deviation and single pixels, which a random decoder amplifies."""
    policy = load(imported, name, jpeg_quality=0)
    want = GOLDEN['presets'][name]['query']
    answer = policy.plan(observe(policy.config, want['picture_size']), PlanQuery(1, seed=SEED))
    check_images(policy.images(answer), want['future_pictures'])


def check_images(got: dict[str, np.ndarray], want: dict[str, Any]) -> None:
    """Compare the images of one candidate with a block of the golden numbers."""
    for camera, seen in want.items():
        image = got[camera][0]
        assert image.mean() == pytest.approx(seen['mean'], abs=WITHIN['future_mean']), camera
        assert image.std() == pytest.approx(seen['std'], abs=WITHIN['future_std']), camera
        found = [float(image[tuple(at)]) for at in seen['places_y_x_c']]
        np.testing.assert_allclose(found, seen['values'], atol=WITHIN['future_16'], rtol=0)


@pytest.mark.slow
def test_planning_gives_the_official_values(imported: Checkpoint) -> None:
    """Fifteen values of three futures, among them those of two steps that are one call."""
    base = load(imported, 'aloha')
    scorer = load(imported, 'aloha-planning')
    base.scorer = scorer
    want = GOLDEN['presets']['aloha-planning']['planning']
    obs = observe(base.config, GOLDEN['presets']['aloha-planning']['native_picture_size'])
    answer = base.plan(obs, PlanQuery(1, futures=3, values=5, seed=SEED))
    got = answer.candidates
    values = np.array(want['values']).reshape(1, 15)
    np.testing.assert_allclose(got.values, values, atol=WITHIN['planning_values'], rtol=0)
    within = WITHIN['planning_aggregations']
    for rule_name, score in {
        'majority_mean': want['majority_mean'], **want['other_aggregations'],
    }.items():  # fmt: skip
        assert aggregate(got.values, rule_name)[0] == pytest.approx(score, abs=within)
    joints = want['future_proprio_of_last_member']
    within = WITHIN['planning_future_proprio']
    np.testing.assert_allclose(got.future_proprio[0], joints, atol=within, rtol=0)
    check_images(scorer.images(answer), want['future_pictures_of_last_member'])


@pytest.mark.parametrize('name', [*ONE_QUICKLY, slow('aloha-planning')])
def test_one_forward_and_the_loss_are_the_official_ones(
    imported: Checkpoint, name: Preset
) -> None:
    """Every mask; 10 times the mean over all frames, of which known ones count nothing."""
    policy = load(imported, name)
    network = imported.transformer
    config, layout = policy.config, policy.layout
    text = policy.text.lookup(TASK)[None]
    shape = config.latent_shape
    for kind, want in GOLDEN['presets'][name].get('network', {}).items():
        latents = torch.from_numpy(rule.normal('network_input', (1, *shape)))
        mask = torch.from_numpy(layout.mask(layout.known(kind)))[None]
        assert mask[0].tolist() == want['mask']
        with torch.inference_mode():
            velocity = predict_velocity(network, latents, 0.9 * (1.0 - mask), text, mask)[0]
        found = [float(velocity[tuple(at)]) for at in want['places_c_t_y_x']]
        np.testing.assert_allclose(found, want['values'], atol=WITHIN['network_values'], rtol=0)

    want = GOLDEN['presets'][name]['loss']
    kinds = want['kinds']
    x0, noise = (torch.from_numpy(rule.normal(f'loss/{n}', (3, *shape))) for n in WHAT)
    sizes = {
        'actions': (config.horizon, config.action_size),
        'proprio': (config.proprio_size,),
        'future_proprio': (config.proprio_size,),
    }
    frames = {'actions': 'action', 'proprio': 'proprio', 'future_proprio': 'future_proprio'}
    for key, size in sizes.items():
        numbers = (0.5 * rule.normal(f'loss/{key}', (3, *size))).clip(-1, 1)
        write_vector(x0, layout.index(frames[key]), torch.from_numpy(numbers))
    write_value(x0, layout.index('value'), torch.tensor(want['value_0_to_1']))
    mask = torch.from_numpy(np.stack([layout.mask(layout.known(kind)) for kind in kinds]))
    scored = torch.from_numpy(np.stack([layout.mask(layout.scored(kind)) for kind in kinds]))
    sigma = torch.tensor(want['sigma'], dtype=torch.float32)
    network_input, timestep, target = training_input(x0, noise, sigma, mask)
    with torch.inference_mode():
        words = text.expand(3, -1, -1)
        velocity = predict_velocity(network, network_input, timestep, words, mask)
    error = (velocity - target).pow(2).mean(dim=(1, 3, 4)) * scored
    within = WITHIN['loss_per_sample_and_frame']
    np.testing.assert_allclose(error, want['per_sample_and_frame'], atol=within, rtol=0)
    assert 10.0 * error.mean().item() == pytest.approx(want['loss'], rel=WITHIN['loss_relative'])


def test_autoencoder_is_the_official_one(imported: Checkpoint) -> None:
    """Both ways, on noise."""
    vae = imported.vae
    video = (0.5 * rule.normal('vae_video', (1, 3, 9, 64, 64))).clip(-1, 1)
    latents = torch.from_numpy(rule.normal('vae_latents', (1, 16, 3, 8, 8)))
    with torch.inference_mode():
        encoded = encode_video(vae, torch.from_numpy(video))[0]
        decoded = decode_video(vae, latents)[0].clamp(-1.0, 1.0)
    for way, got in (('encode', encoded), ('decode', decoded)):
        want = GOLDEN['vae_small'][way]
        found = [float(got[tuple(at)]) for at in want['places_c_t_y_x']]
        within = WITHIN[f'vae_small_{way}']
        np.testing.assert_allclose(found, want['values'], atol=within, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'changes'),
    [
        ('libero', {'flip_images': False}),
        ('libero', {'jpeg_quality': 0}),
        ('robocasa', {'jpeg_quality': 0}),
    ],
)
def test_a_fact_that_is_missing_shows(
    imported: Checkpoint, name: Preset, changes: dict[str, Any]
) -> None:
    """The golden numbers tell what they are to keep."""
    policy = load(imported, name, **changes)
    block, within = QUERIES[name]
    want = GOLDEN['presets'][name][block]
    obs = observe(policy.config, want['picture_size'])
    got = policy.plan(obs, PlanQuery(1, seed=SEED)).candidates.positions[0]
    assert np.abs(got - want['actions']).max() > within
