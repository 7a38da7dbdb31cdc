# SPDX-License-Identifier: Apache-2.0
"""Memory of the networks: what is loaded, what is stated, and what is refused for it."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import subprocess
import sys

from cosmos_policy_ros.backends import load_cosmos_policy
from cosmos_policy_ros.bench.memory import query_bytes
from cosmos_policy_ros.bench.model_2b import _check_memory
from cosmos_policy_ros.bench.random_weights import released_sizes, Sizes, write_random_checkpoint
from cosmos_policy_ros.bench.training_memory import _trace_step, FEW, state_bytes, step_bytes
from cosmos_policy_ros.cli import main
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.core.denoiser import to_mixed_precision
from cosmos_policy_ros.core.networks import predict_velocity
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.types import ConfigError
import pytest
from samples import ROBOT
from tiny import save_tiny_checkpoint, tiny_config, tiny_transformer, tiny_vae
import torch

TINY = Sizes(
    tiny_config(independent_frames=False),
    {k: v for k, v in tiny_transformer().config.items() if k[0] != '_'},
    {k: v for k, v in tiny_vae(False).config.items() if k[0] != '_'},
    tokens=2,
)
WIDE = Sizes(  # weights take more than what becomes of its few tokens
    TINY.config,
    {**TINY.transformer, 'num_attention_heads': 8, 'attention_head_dim': 96, 'num_layers': 6},
    TINY.vae,
    tokens=2,
)


def held(network: torch.nn.Module) -> int:
    """Return the bytes of all weights."""
    return sum(w.numel() * w.element_size() for w in network.parameters())


def test_half_precision_is_loaded_without_copies_in_float32(tmp_path: Path) -> None:
    """Layers of mixed precision are read in it: the same numbers as converted afterwards."""
    save_tiny_checkpoint(tmp_path / 'tiny', ROBOT)
    got = load_checkpoint(tmp_path / 'tiny', mixed=torch.bfloat16).transformer
    want = load_checkpoint(tmp_path / 'tiny').transformer
    whole = held(want)
    to_mixed_precision(want, torch.bfloat16)
    weights = want.state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in got.state_dict().items())
    assert {k: v.dtype for k, v in got.state_dict().items()} == {
        k: v.dtype for k, v in weights.items()
    }
    stated = query_bytes(TINY, 'torch', 'bfloat16', 1)['transformer']
    assert held(got) == stated < 0.75 * whole
    assert whole == query_bytes(TINY, 'torch', 'float32', 1)['transformer']


@pytest.mark.parametrize(
    ('backend', 'precision', 'kind'),
    [
        ('torch', 'bfloat16', torch.bfloat16),
        ('torch', 'float32', torch.float32),
        ('diffusers', 'bfloat16', torch.float32),
    ],
)
def test_backend_decides_what_is_loaded(
    tmp_path: Path, backend: str, precision: str, kind: torch.dtype
) -> None:
    """The plain network keeps float32, since all others are compared with it."""
    save_tiny_checkpoint(tmp_path / 'tiny', ROBOT)
    policy = load_cosmos_policy(tmp_path / 'tiny', backend, precision=precision)
    block = policy.backend._transformer.transformer_blocks[0]
    assert block.attn1.to_q.weight.dtype == kind
    assert block.attn2.to_k.weight.dtype == torch.float32


LOAD = """
from pathlib import Path
import resource
import sys

from cosmos_policy_ros.core.checkpoint import load_checkpoint
import torch

pages = int(Path('/proc/self/statm').read_text().split()[1])
before = pages * resource.getpagesize()
kind = getattr(torch, sys.argv[2])
checkpoint = load_checkpoint(Path(sys.argv[1]), mixed=kind)
print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_half_precision_never_takes_the_memory_of_float32(tmp_path: Path) -> None:
    """At no moment: the most that a process holds grows by the file and what is read from it."""
    write_random_checkpoint(tmp_path / 'wide', WIDE)
    grown = {
        kind: int(subprocess.check_output([sys.executable, '-c', LOAD, tmp_path / 'wide', kind]))
        for kind in ('float32', 'bfloat16')
    }
    whole, half = (query_bytes(WIDE, 'torch', kind, 1)['transformer'] for kind in grown)
    file = whole / 2
    assert half < 0.55 * whole
    assert 60e6 < half < grown['bfloat16'] < 1.1 * (file + half) + 20e6
    assert grown['float32'] - grown['bfloat16'] > 0.8 * (whole - half)


def test_memory_of_the_released_network() -> None:
    """1.96 billion numbers: 7.8 GB in float32, 4.5 GB where most of them are halved."""
    sizes = released_sizes()
    whole = query_bytes(sizes, 'torch', 'float32', 1)
    assert whole['transformer'] == pytest.approx(7.83e9, rel=0.01)
    assert whole['autoencoder'] == pytest.approx(0.508e9, rel=0.01)
    assert query_bytes(sizes, 'torch', 'bfloat16', 1)['transformer'] == 4_537_319_424
    rows = [query_bytes(sizes, 'torch', 'bfloat16', n)['rows'] for n in (1, 2, 3)]
    assert rows[2] - rows[1] == rows[1] - rows[0] == 34 * 2048 * 2156


def test_training_memory_is_divided_over_the_gpus() -> None:
    """Five float32 numbers for each of the weights, and a count of steps for each tensor."""
    one, four = (state_bytes(TINY, n) for n in (1, 4))
    weights = [w.numel() for w in tiny_transformer().parameters()]
    numbers = 4 * sum(weights)
    assert one['weights'] == one['averages'] == one['gradients'] == numbers
    assert one['optimizer'] == 2 * numbers + 4 * len(weights)
    assert 0.25 <= four['weights'] / one['weights'] < 0.27  # what does not divide evenly
    assert four['averages'] == four['gradients'] == four['weights']
    assert four['optimizer'] == 2 * four['weights'] + 4 * len(weights)
    adapters = state_bytes(TINY, 4, rank=2)
    assert adapters['weights'] > four['weights']
    for part in ('averages', 'gradients', 'optimizer'):
        assert adapters[part] < four[part] / 2


@pytest.mark.slow
def test_a_gathered_layer_is_given_up_before_its_gradients() -> None:
    """One GPU keeps all weights in bfloat16 for the gradients, of several each a layer or two."""
    one, four = (step_bytes(WIDE, n) for n in (1, 4))
    halves = query_bytes(WIDE, 'torch', 'float32', 1)['transformer'] / 2
    assert one['activations'] > halves
    assert four['activations'] < one['activations'] - 0.6 * halves
    assert one['step'] > 2 * halves  # in the end all gradients, in float32
    assert four['step'] < one['step']


@pytest.mark.slow
@pytest.mark.parametrize('gpus', [1, 4])
def test_every_further_layer_takes_what_the_last_one_takes(gpus: int) -> None:
    """So that few layers tell of many: six of them, gone through and continued from four."""
    six = replace(TINY, transformer={**TINY.transformer, 'num_layers': FEW + 2})
    for checkpointing in (False, True):
        config = TrainConfig(checkpointing=checkpointing, precision='bfloat16')
        through = _trace_step(six, gpus, 1, config)
        assert step_bytes(six, gpus, checkpointing=checkpointing) == through


def test_activations_follow_the_samples() -> None:
    """They grow with them and shrink with checkpointing."""
    one, two, three = (step_bytes(TINY, 1, samples=n)['activations'] for n in (1, 2, 3))
    assert three - two == two - one > 0
    assert step_bytes(TINY, 1, checkpointing=True)['activations'] < one


def test_activations_are_those_that_torch_keeps() -> None:
    """The step without numbers against a call with them, of all that is kept for gradients."""
    kept: list[torch.UntypedStorage] = []  # held, so that none takes the place of another
    model = tiny_transformer().train()
    own = {w.data_ptr() for w in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.untyped_storage())
        return tensor

    shape = TINY.config.latent_shape
    mask = torch.zeros(1, shape[1])
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast('cpu', torch.bfloat16, cache_enabled=False),
    ):
        words = torch.zeros(1, 2, 8)
        predict_velocity(model, torch.zeros(1, *shape), mask, words, mask)
    sizes = {s.data_ptr(): s.nbytes() for s in kept if s.data_ptr() not in own}
    stated = step_bytes(TINY, 1)['activations']
    assert stated == pytest.approx(sum(sizes.values()), rel=0.05)


@pytest.mark.slow
def test_too_little_memory_is_refused_before_it_fails() -> None:
    """Both numbers, and the device."""
    with pytest.raises(ConfigError, match=r'needs 1000000\.0 GB, .* GB are free on cpu'):
        _check_memory(10**15, 'cpu')


@pytest.mark.slow
def test_command_states_memory_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By precision and rows, and for 1, 2, 4 and 8 GPUs."""
    file = tmp_path / 'memory.json'
    words = ['cosmos-policy', 'bench', 'memory', '--layers', '1', '--json', str(file)]
    monkeypatch.setattr('sys.argv', words)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code in (0, None)
    figures = json.loads(file.read_text())
    assert [row['precision'] for row in figures['queries']][:2] == ['float32', 'bfloat16']
    training = figures['training'][0]['gb']
    assert list(training) == ['1', '2', '4', '8']
    assert training['1'] > training['8']
    assert 'LoRA' in capsys.readouterr().out
