# SPDX-License-Identifier: Apache-2.0
"""From bags to a checkpoint, at toy size."""

from dataclasses import replace
import json
import logging
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.backends.torch_backend import TorchBackend
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.core.config import read_config
from cosmos_policy_ros.core.images import scale_pixels
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.core.vision import Vision
from cosmos_policy_ros.data.episodes import StoredEpisode
from cosmos_policy_ros.evaluation.demonstration import record_demonstration
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.training.config import read_train_config, TrainConfig, write_train_config
from cosmos_policy_ros.training.episode_cache import _write_cache_file
from cosmos_policy_ros.training.sizes import AutoencoderConfig, LoraConfig, TransformerConfig
from cosmos_policy_ros.training.trainer import train
from cosmos_policy_ros.types import ConfigError, Observation
import numpy as np
import pytest
from ros_domains import free_port
from safetensors.torch import load_file
from test_bag import META, record as record_bag, ROBOT as BAG_ROBOT
import tiny
import torch

CLI = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()']
WEIGHTS = 'diffusion_pytorch_model.safetensors'
TOY = TrainConfig(
    image_size=32,
    tick_hz=12.5,
    horizon=4,
    updates=4,
    batch_size=4,
    warmup=1,
    decay=1,
    held_out=0.34,
    precision=tiny.PRECISION,
    autoencoder=AutoencoderConfig(
        base_dim=8, dim_mult=(1, 1, 1), patch=2, updates=10, batch_size=2
    ),
    transformer=TransformerConfig(heads=1, head_dim=24, layers=1, adaln_dim=4),
)


@pytest.fixture(scope='module')
def robot() -> RobotSpec:
    """Return the simulated robot."""
    return read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory, robot: RobotSpec) -> Path:
    """Return a folder of three recorded episodes and a damaged one."""
    folder = tmp_path_factory.mktemp('bags')
    for seed in (0, 1, 2):
        record_demonstration(folder / f'episode_{seed}', 'transfer_cube', seed, robot)
    (folder / 'episode_9').mkdir()
    (folder / 'episode_9' / 'metadata.yaml').write_text('no bag')
    return folder


@pytest.fixture(scope='module')
def out(tmp_path_factory: pytest.TempPathFactory, bags: Path, robot: RobotSpec) -> Path:
    """Return the folder of a finished toy run."""
    folder = tmp_path_factory.mktemp('train') / 'toy'
    train([bags], folder, robot, TOY)
    return folder


def test_trained_checkpoint_plans(out: Path, robot: RobotSpec) -> None:
    """What the trainer writes, the policy loads and predictions with."""
    policy = load_policy(out, threads=1)
    images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in robot.cameras}
    task = policy.tasks[0]
    answer = policy.plan(Observation(0, images, robot.start, task), PlanQuery(2)).candidates
    assert answer.positions.shape == (2, 4, 14)


def test_run_ends_with_pictures_of_what_it_predicts(out: Path) -> None:
    """Futures and values of the validation set that ``figures.json`` comes from."""
    sheets = out / 'work' / 'sheets'
    assert {'final.png', 'final_values.png'} <= {file.name for file in sheets.iterdir()}


def test_damaged_episode_is_named_and_left_out(
    bags: Path, out: Path, robot: RobotSpec, caplog: pytest.LogCaptureFixture
) -> None:
    """One bad folder among many neither stops the run nor passes in silence."""
    with caplog.at_level(logging.INFO):
        train([bags], out, robot, TOY, resume=True)
    assert 'episode_9' in caplog.text
    assert '3 of 4 episodes ready' in caplog.text


def test_longer_run_continues_where_the_first_ended(
    bags: Path, out: Path, robot: RobotSpec, caplog: pytest.LogCaptureFixture
) -> None:
    """Weights, averages and the optimiser's state come back."""
    with caplog.at_level(logging.INFO):
        train([bags], out, robot, TOY, resume=True)
    assert 'continuing at step 4' in caplog.text


def test_second_run_in_the_same_folder_needs_resume(
    bags: Path, out: Path, robot: RobotSpec
) -> None:
    """Nobody continues, or overwrites, a run by mistake."""
    with pytest.raises(ConfigError, match='go on with --resume'):
        train([bags], out, robot, TOY)


def test_resume_needs_a_run(tmp_path: Path, bags: Path, robot: RobotSpec) -> None:
    """A typo in --out must not start from scratch."""
    with pytest.raises(ConfigError, match='holds no run to go on with'):
        train([bags], tmp_path, robot, TOY, resume=True)


def test_resumed_run_cannot_change_its_network(bags: Path, out: Path, robot: RobotSpec) -> None:
    """The message names the key, what it was and what it is."""
    changed = replace(TOY, horizon=5)
    with pytest.raises(ConfigError, match=r'horizon \(was 4, now 5\)'):
        train([bags], out, robot, changed, resume=True)


def begin(out: Path, folder: Path, config: TrainConfig) -> list[str]:
    """Prepare a run whose first stages are done, and return the command that resumes it."""
    work = folder / 'work'
    shutil.copytree(out / 'work', work, ignore=shutil.ignore_patterns('state*', 'log*', 'board'))
    write_train_config(work / 'train.yaml', config)
    write_train_config(folder / 'train.yaml', config)
    return ['train', '--out', str(folder), '--config', str(folder / 'train.yaml'), '--resume']


def log_of(folder: Path) -> list[dict[str, float]]:
    """Return the lines of a run's log."""
    lines = (folder / 'work' / 'log.jsonl').read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_killed_run_resumes_to_the_same_curve(tmp_path: Path, bags: Path, out: Path) -> None:
    """Every figure of the log and every weight is the same to the last bit."""
    config = replace(TOY, updates=300, save_s=0.0, measure_every=150)
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    subprocess.run([*CLI, *begin(out, whole, config), '--data', str(bags)], check=True)
    command = [*CLI, *begin(out, killed, config), '--data', str(bags)]
    state = killed / 'work' / 'state.safetensors'
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 240
        while not state.exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    with (killed / 'work' / 'log.jsonl').open('a') as log:
        log.write('{"step": 1')  # as a kill in the middle of a write leaves it
    subprocess.run(command, check=True)
    assert [line['step'] for line in log_of(whole)] == [100, 150, 200, 300]
    assert log_of(killed) == log_of(whole)
    weights = [load_file(f / 'transformer' / WEIGHTS) for f in (whole, killed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_two_processes_train_what_one_does(tmp_path: Path, bags: Path, out: Path) -> None:
    """Sharded over two processes or in two parts in one: the same loss, as floats add up."""
    config = replace(TOY, updates=100, precision='float32', measure_every=50)
    one, two = tmp_path / 'one', tmp_path / 'two'
    command = [*CLI, *begin(out, one, replace(config, accumulate=2)), '--data', str(bags)]
    subprocess.run(command, check=True)
    launcher = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2']
    script = shutil.which('cosmos-policy', path=str(Path(sys.executable).parent))
    command = [*launcher, f'--master-port={free_port()}', script, *begin(out, two, config)]
    subprocess.run([*command, '--data', str(bags)], check=True)
    assert [line['step'] for line in log_of(two)] == [50, 100]
    first, second = log_of(one)[-1], log_of(two)[-1]
    assert first.pop('value_auc') is second.pop('value_auc') is None  # nothing failed
    assert second == pytest.approx(first, rel=2e-3, abs=1e-3)
    a, b = (load_file(f / 'transformer' / WEIGHTS) for f in (one, two))
    assert all(torch.allclose(a[n].float(), b[n].float(), atol=2e-3) for n in a)


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


def test_causal_autoencoder_is_not_trained_on_single_pictures(
    tmp_path: Path, bags: Path, robot: RobotSpec
) -> None:
    """That would cut its connections through time without a word."""
    tiny.save_tiny_checkpoint(tmp_path / 'init', robot, independent_frames=False)
    with pytest.raises(ConfigError, match='looks at earlier frames'):
        train([bags], tmp_path / 'run', robot, TOY, init=tmp_path / 'init')


def test_less_memory_trains_the_same(tmp_path: Path, bags: Path, out: Path) -> None:
    """Activations computed twice are the same activations."""
    config = replace(TOY, updates=100, checkpointing=True)
    plain, frugal = tmp_path / 'plain', tmp_path / 'frugal'
    for folder, one in ((plain, replace(config, checkpointing=False)), (frugal, config)):
        subprocess.run([*CLI, *begin(out, folder, one), '--data', str(bags)], check=True)
    assert log_of(frugal)[0] == pytest.approx(log_of(plain)[0], rel=1e-3)


def test_noise_levels_of_the_training_are_those_of_the_checkpoint(
    tmp_path: Path, bags: Path, out: Path, robot: RobotSpec
) -> None:
    """Given ones, else those of --init, else the reference's."""
    first, second = tmp_path / 'first', tmp_path / 'second'
    low = replace(TOY, sigma_low=1.0, sigma_high=20.0)
    kept = AutoencoderConfig(updates=0)
    train([bags], first, robot, replace(low, autoencoder=kept), init=out)
    train([bags], second, robot, replace(TOY, autoencoder=kept), init=first)
    levels = [read_config(run / 'policy.json') for run in (out, first, second)]
    assert [(c.sigma_max, c.sigma_min) for c in levels] == [(80.0, 4.0), (20.0, 1.0), (20.0, 1.0)]
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
        )
