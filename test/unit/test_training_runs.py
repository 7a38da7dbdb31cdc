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

from cosmos_policy_ros.bench.random_weights import Sizes
from cosmos_policy_ros.bench.training_memory import state_bytes
from cosmos_policy_ros.core.config import read_config
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.training.config import TrainConfig, write_train_config
from cosmos_policy_ros.training.distributed import Ranks
from cosmos_policy_ros.training.trainer import train
import pytest
from ros_domains import free_port
from safetensors.torch import load_file
import sharded_updates
import torch
from toy_training import TOY, WEIGHTS, write_demonstrations

pytestmark = pytest.mark.slow

CLI = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()']
TWO = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2']


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
    script = shutil.which('cosmos-policy', path=str(Path(sys.executable).parent))
    command = [*TWO, f'--master-port={free_port()}', script, *begin(out, two, config)]
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


@pytest.fixture(scope='module')
def three(tmp_path_factory: pytest.TempPathFactory, out: Path) -> Path:
    """Return what three updates left: two/ of two processes, one/ of one with as many parts."""
    folder = tmp_path_factory.mktemp('three')
    command = [*TWO, f'--master-port={free_port()}', sharded_updates.__file__, str(out / 'work')]
    subprocess.run([*command, str(folder / 'two')], check=True)
    alone = Ranks(0, 1, torch.device('cpu'))
    for name, config in sharded_updates.CONFIGS.items():
        parts = replace(config, accumulate=2)
        sharded_updates.train_three(out / 'work', folder / 'one' / name, parts, alone)
    return folder


def test_three_sharded_updates_are_those_of_one_process(three: Path) -> None:
    """Weights, averages and the moments of the optimiser, as floats add up."""
    one, two = (load_file(three / n / 'all' / 'three.safetensors') for n in ('one', 'two'))
    assert int(one['step']) == int(two['step']) == 3
    assert one.keys() == two.keys()
    assert any(name.endswith('exp_avg_sq') for name in one)
    for name, wanted in one.items():
        torch.testing.assert_close(two[name], wanted, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize('name', ['all', 'adapters'])
def test_a_sharded_run_that_is_resumed_is_the_same(three: Path, name: str) -> None:
    """To the last bit."""
    whole = load_file(three / 'two' / name / 'three.safetensors')
    resumed = load_file(three / 'two' / name / 'resumed.safetensors')
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_one_process_goes_on_with_the_state_of_two(three: Path, out: Path, tmp_path: Path) -> None:
    """Its file is whole, and as many parts of a batch have the same noise."""
    two, parts = three / 'two' / 'all', replace(sharded_updates.CONFIGS['all'], accumulate=2)
    file, alone = tmp_path / 'three.safetensors', Ranks(0, 1, torch.device('cpu'))
    sharded_updates.resume_third(out / 'work', two / 'two.safetensors', file, parts, alone)
    wanted, got = load_file(two / 'three.safetensors'), load_file(file)
    assert wanted.keys() == got.keys()
    for name, numbers in wanted.items():
        torch.testing.assert_close(got[name], numbers, rtol=1e-3, atol=1e-6, msg=name)


def test_sharded_adapters_end_in_a_plain_network(three: Path, out: Path) -> None:
    """With the names of its checkpoint, and moved as far as by one process in bfloat16."""
    start = load_file(out / 'transformer' / WEIGHTS)
    one, two = (load_file(three / n / 'adapters' / 'finished.safetensors') for n in ('one', 'two'))
    assert start.keys() == one.keys() == two.keys()
    moved = {name for name in start if not torch.equal(start[name].float(), two[name])}
    ends = ('to_q', 'to_k', 'to_v', 'to_out.0', 'ff.net.0.proj', 'ff.net.2')
    layers = tuple(f'{end}.weight' for end in ends)
    assert moved == {name for name in start if name.endswith(layers)}
    by_one, by_two = (
        torch.cat([(end[n] - start[n].float()).flatten() for n in sorted(moved)])
        for end in (one, two)
    )
    assert torch.cosine_similarity(by_one, by_two, dim=0) > 0.95


def test_memory_of_absent_ranks_is_that_of_ranks_that_are_there(three: Path, out: Path) -> None:
    """The dry run counts the bytes that the first of two processes really held."""
    held = json.loads((three / 'two' / 'all' / 'held.json').read_text())
    file = out / 'transformer' / 'config.json'
    network = {k: v for k, v in json.loads(file.read_text()).items() if k[0] != '_'}
    tokens = TOY.transformer.text_tokens
    stated = state_bytes(Sizes(read_config(out / 'policy.json'), network, {}, tokens), 2)
    assert held == {name: stated[name] for name in held}
