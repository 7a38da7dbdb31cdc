# SPDX-License-Identifier: Apache-2.0
"""Trainings as processes: killed and resumed, on two processors, with less memory."""

from dataclasses import replace
import json
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.training.config import TrainConfig, write_train_config
from cosmos_policy_ros.training.trainer import train
import pytest
from ros_domains import free_port
from safetensors.torch import load_file
import torch
from toy_training import TOY, WEIGHTS, write_demonstrations

pytestmark = pytest.mark.slow

CLI = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()']


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


def test_less_memory_trains_the_same(tmp_path: Path, bags: Path, out: Path) -> None:
    """Activations computed twice are the same activations."""
    config = replace(TOY, updates=100, checkpointing=True)
    plain, frugal = tmp_path / 'plain', tmp_path / 'frugal'
    for folder, one in ((plain, replace(config, checkpointing=False)), (frugal, config)):
        subprocess.run([*CLI, *begin(out, folder, one), '--data', str(bags)], check=True)
    assert log_of(frugal)[0] == pytest.approx(log_of(plain)[0], rel=1e-3)
