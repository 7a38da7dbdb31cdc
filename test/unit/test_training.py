# SPDX-License-Identifier: Apache-2.0
"""From bags to a checkpoint, at toy size."""

from dataclasses import replace
from io import StringIO
import json
import logging
from pathlib import Path
from typing import Any

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.backends.torch_backend import TorchBackend
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.core.config import ImageRecipe, read_config
from cosmos_policy_ros.core.images import scale_pixels
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.core.vision import Vision
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.episodes import StoredEpisode
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.training import training_data
from cosmos_policy_ros.training.config import read_train_config, TrainConfig
from cosmos_policy_ros.training.episode_cache import _write_cache_file
from cosmos_policy_ros.training.sizes import AutoencoderConfig, LoraConfig
from cosmos_policy_ros.training.trainer import train
from cosmos_policy_ros.training.training_data import load_autoencoder, load_training_data
from cosmos_policy_ros.types import ConfigError, Observation
from diffusers import AutoencoderKLWan
import numpy as np
import pytest
from safetensors.torch import load_file
from samples import sample_episode
from test_bag import META, record as record_bag, ROBOT as BAG_ROBOT
import tiny
import torch
from toy_training import TOY, WEIGHTS, write_demonstrations


@pytest.fixture(scope='module')
def robot() -> RobotSpec:
    """Return the simulated robot."""
    return read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory, robot: RobotSpec) -> Path:
    """Return a folder of three recorded episodes and a damaged one."""
    folder = tmp_path_factory.mktemp('bags')
    write_demonstrations(folder, robot)
    return folder


@pytest.fixture(scope='module')
def out(tmp_path_factory: pytest.TempPathFactory, bags: Path, robot: RobotSpec) -> Path:
    """Return the folder of a finished toy run."""
    folder = tmp_path_factory.mktemp('train') / 'toy'
    train([bags], folder, robot, TOY)
    return folder


@pytest.fixture(scope='module')
def resumed_log(bags: Path, out: Path, robot: RobotSpec) -> str:
    """Return what the finished run logs when it is resumed."""
    text, logger = StringIO(), logging.getLogger('cosmos_policy_ros')
    handler, level = logging.StreamHandler(text), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    train([bags], out, robot, TOY, resume=True)
    logger.setLevel(level)
    logger.removeHandler(handler)
    return text.getvalue()


def test_trained_checkpoint_plans(out: Path, robot: RobotSpec) -> None:
    """What the trainer writes, the policy loads and predictions with."""
    policy = load_policy(out, threads=1)
    images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in robot.cameras}
    task = policy.tasks[0]
    answer = policy.plan(Observation(0, images, robot.start, task), PlanQuery(2)).candidates
    assert answer.positions.shape == (2, 4, 14)


def test_run_ends_with_images_of_what_it_predicts(out: Path) -> None:
    """Futures and values of the validation set that ``figures.json`` comes from."""
    sheets = out / 'work' / 'sheets'
    assert {'final.png', 'final_values.png'} <= {file.name for file in sheets.iterdir()}


def test_damaged_episode_is_named_and_left_out(resumed_log: str) -> None:
    """One bad folder among many neither stops the run nor passes in silence."""
    assert 'episode_9' in resumed_log
    assert '3 of 4 episodes ready' in resumed_log


def test_longer_run_continues_where_the_first_ended(resumed_log: str) -> None:
    """Weights, averages and the optimiser's state come back."""
    assert 'continuing at step 4' in resumed_log


def test_second_run_in_the_same_folder_needs_resume(
    bags: Path, out: Path, robot: RobotSpec
) -> None:
    """Nobody continues, or overwrites, a run by mistake."""
    with pytest.raises(ConfigError, match='go on with --resume'):
        train([bags], out, robot, TOY)


def test_cameras_of_another_robot_are_refused_before_a_run_begins(
    tmp_path: Path, bags: Path
) -> None:
    """Else the first episode that is read ends it, with a trace."""
    aloha = read_robot(share_path('config', 'robots', 'aloha.yaml'))
    with pytest.raises(ConfigError, match='robot aloha has'):
        train([bags], tmp_path / 'run', aloha, TOY)
    assert not (tmp_path / 'run').exists()


def test_resume_needs_a_run(tmp_path: Path, bags: Path, robot: RobotSpec) -> None:
    """A typo in --out must not start from scratch."""
    with pytest.raises(ConfigError, match='holds no run to go on with'):
        train([bags], tmp_path, robot, TOY, resume=True)


def test_resumed_run_cannot_change_its_network(bags: Path, out: Path, robot: RobotSpec) -> None:
    """The message names the key, what it was and what it is."""
    changed = replace(TOY, horizon=5)
    with pytest.raises(ConfigError, match=r'horizon \(was 4, now 5\)'):
        train([bags], out, robot, changed, resume=True)


def test_resumed_run_cannot_change_what_it_began_with(
    tmp_path: Path, bags: Path, out: Path, robot: RobotSpec
) -> None:
    """Its text, its image recipe and, with adapters, its network are those of --init."""
    tiny.save_tiny_checkpoint(tmp_path, robot)
    with pytest.raises(ConfigError, match='this run began without --init; give that, or'):
        train([bags], out, robot, TOY, init=tmp_path, resume=True)
    turned = replace(robot, arms=robot.arms[::-1])
    with pytest.raises(ConfigError, match='this run began with another --robot; give'):
        train([bags], out, turned, TOY, resume=True)


def cache_files(folder: Path, robot: RobotSpec, n: int) -> list[Path]:
    """Write n episodes and what a training keeps of each."""
    files = [folder / f'episode_{number}.npz' for number in range(n)]
    for number, file in enumerate(files):
        bag = folder / f'episode_{number}'
        write_bag(bag, sample_episode(number, 40), robot)
        stored = StoredEpisode('bag', bag)
        _write_cache_file(stored, file, robot, TOY, Reading(), ImageRecipe(TOY.image_size))
    return files


def test_versions_that_were_encoded_before_a_kill_are_kept(
    tmp_path: Path, robot: RobotSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes minutes; what came of two runs is what one would have made."""
    files, vae = cache_files(tmp_path, robot, 2), tiny.tiny_vae()
    config, encoded = replace(TOY, augment=1), []
    encode, killed = training_data.encode_images, [1]

    def note(*given: Any) -> torch.Tensor:
        encoded.append(given[-1])
        if given[-1] in killed:
            raise KeyboardInterrupt
        return encode(*given)

    monkeypatch.setattr(training_data, 'encode_images', note)
    with pytest.raises(KeyboardInterrupt):
        load_training_data(files, vae, tmp_path, robot, config)
    killed.clear()
    data = load_training_data(files, vae, tmp_path, robot, config)
    assert encoded == [0, 1, 1]
    (tmp_path / 'whole').mkdir()
    whole = load_training_data(files, vae, tmp_path / 'whole', robot, config)
    assert torch.equal(data.latents.latents, whole.latents.latents)
    assert not list(tmp_path.glob('latents_*'))


def test_latents_of_other_episodes_and_ranges_of_other_joints_are_refused(
    tmp_path: Path, robot: RobotSpec
) -> None:
    """As many images, or joints, as before do not make them the same."""
    files = cache_files(tmp_path, robot, 3)
    vae = tiny.tiny_vae()
    first = load_training_data(files[:2], vae, tmp_path, robot, TOY)
    again = load_training_data(files[:2], vae, tmp_path, robot, TOY)
    assert torch.equal(again.latents.latents, first.latents.latents)
    with pytest.raises(ConfigError, match='of other episodes, with or without episode_1, episo'):
        load_training_data([files[0], files[2]], vae, tmp_path, robot, TOY)
    tiny.save_tiny_checkpoint(tmp_path / 'init', robot, joint_names=robot.joint_names[::-1])
    other = load_checkpoint(tmp_path / 'init')
    with pytest.raises(ConfigError, match='ranges is init, and --init has those of'):
        load_training_data(files[:2], vae, tmp_path, robot, replace(TOY, ranges='init'), other)


def test_autoencoder_that_a_kill_left_half_written_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run could not be resumed otherwise."""
    config = replace(TOY, autoencoder=AutoencoderConfig(updates=0))

    def killed(_vae: AutoencoderKLWan, folder: Path) -> None:
        folder.mkdir()
        (folder / 'config.json').write_text('{}', encoding='utf-8')
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(AutoencoderKLWan, 'save_pretrained', killed)
        with pytest.raises(KeyboardInterrupt):
            load_autoencoder([], tmp_path, config, tiny.tiny_vae())
    vae = load_autoencoder([], tmp_path, config, tiny.tiny_vae())
    assert load_autoencoder([], tmp_path, config).config.z_dim == vae.config.z_dim == 4


@pytest.mark.slow
def test_adapters_are_merged_into_the_checkpoint(
    tmp_path: Path, bags: Path, out: Path, robot: RobotSpec
) -> None:
    """A run with adapters ends as a plain network that differs from where it started."""
    pytest.importorskip('peft')
    config = replace(TOY, lora=LoraConfig(rank=2, layers=('to_q', 'to_v')), learning_rate=0.1)
    train([bags], tmp_path, robot, config, init=out)
    start, end = (load_file(f / 'transformer' / WEIGHTS) for f in (out, tmp_path))
    assert start.keys() == end.keys()
    moved = {n for n in start if not torch.equal(start[n], end[n])}
    assert moved == {n for n in start if n.endswith(('to_q.weight', 'to_v.weight'))}


@pytest.mark.slow
def test_causal_autoencoder_is_kept_and_encodes_as_on_the_robot(
    tmp_path: Path, bags: Path, robot: RobotSpec
) -> None:
    """As the large model's: a image's latent depends on what the video showed before it."""
    init, folder = tmp_path / 'init', tmp_path / 'run'
    tiny.save_tiny_checkpoint(init, robot, independent_frames=False)
    config = replace(TOY, updates=2, autoencoder=AutoencoderConfig(updates=0))
    train([bags], folder, robot, config, init=init)
    start, end = load_checkpoint(init), load_checkpoint(folder)
    assert not end.config.independent_frames
    assert end.config.action_steps == start.config.action_steps == 10
    latents = load_file(folder / 'work' / 'latents.safetensors')['latents']
    with np.load(sorted((folder / 'work' / 'episodes').glob('*.npz'))[0]) as data:
        images = [data[f'images/{c}'][data[f'index/{c}'][0]] for c in config.cameras]
    vision = Vision(TorchBackend(end.transformer, end.vae), end.config)
    with torch.inference_mode():
        seen = vision.encode_current(scale_pixels(np.stack(images)))[0, :, 2:]
    torch.testing.assert_close(latents[:3].float(), seen.transpose(0, 1), atol=2e-3, rtol=2e-3)


def test_causal_autoencoder_is_not_trained_on_single_images(
    tmp_path: Path, bags: Path, robot: RobotSpec
) -> None:
    """That would cut its connections through time without a word."""
    tiny.save_tiny_checkpoint(tmp_path / 'init', robot, independent_frames=False)
    with pytest.raises(ConfigError, match='depends on earlier frames'):
        train([bags], tmp_path / 'run', robot, TOY, init=tmp_path / 'init')


@pytest.mark.slow
def test_noise_levels_and_steps_of_the_training_are_those_of_the_checkpoint(
    tmp_path: Path, bags: Path, out: Path, robot: RobotSpec
) -> None:
    """Given ones, else those of --init, else the reference's."""
    first, second = tmp_path / 'first', tmp_path / 'second'
    low = replace(TOY, sigma_low=1.0, sigma_high=20.0, action_steps=3)
    kept = AutoencoderConfig(updates=0)
    train([bags], first, robot, replace(low, autoencoder=kept), init=out)
    train([bags], second, robot, replace(TOY, autoencoder=kept), init=first)
    levels = [read_config(run / 'policy.json') for run in (out, first, second)]
    assert [(c.sigma_max, c.sigma_min) for c in levels] == [(80.0, 4.0), (20.0, 1.0), (20.0, 1.0)]
    assert [c.action_steps for c in levels] == [5, 3, 3]
    assert read_train_config(first / 'train.yaml').sigma_low == 1.0
    assert read_train_config(second / 'train.yaml').sigma_low is None


def test_checkpoint_holds_no_pickle(out: Path) -> None:
    """Safetensors and text are all a checkpoint is made of."""
    kinds = {p.suffix for p in out.rglob('*') if p.is_file() and 'work' not in p.parts}
    assert kinds == {'.json', '.safetensors', '.yaml'}
    assert json.loads((out / 'policy.json').read_text())['horizon'] == 4


def test_an_episode_without_an_outcome_is_left_out(tmp_path: Path) -> None:
    """One that was cut off has no return; the log would say so."""
    record_bag(tmp_path / 'a', meta={k: v for k, v in META.items() if k != 'success'})
    with pytest.raises(ConfigError, match='a has no outcome'):
        _write_cache_file(
            StoredEpisode('bag', tmp_path / 'a'),
            tmp_path / 'a.npz',
            BAG_ROBOT,
            TrainConfig(tick_hz=25.0),
            Reading(),
            ImageRecipe(128),
        )
