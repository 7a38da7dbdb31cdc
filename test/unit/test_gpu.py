# SPDX-License-Identifier: Apache-2.0
"""What runs the networks on a GPU answers what the plain network in float32 does."""

from __future__ import annotations

from pathlib import Path
import shutil
from typing import Any

from cosmos_policy_ros.backends import choose_backend, load_policy
from cosmos_policy_ros.backends.export import export_tensorrt, MAX_ERROR_RAD
from cosmos_policy_ros.backends.parity import compare_answers, made_up_observations
from cosmos_policy_ros.backends.tensorrt_backend import TensorrtBackend
from cosmos_policy_ros.backends.tensorrt_build import FILE, load_tensorrt
from cosmos_policy_ros.bench.model_2b import measure_network
from cosmos_policy_ros.bench.random_weights import released_sizes
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest
import torch

pytestmark = pytest.mark.gpu
COMMITTED = share_path('models', 'aloha_sim')
ROWS = (1, 8)


@pytest.fixture(scope='module')
def truth() -> CosmosPolicy:
    """Return the plain network in float32."""
    return load_policy(COMMITTED, 'diffusers', 'cuda', precision='float32')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the committed checkpoint."""
    return shutil.copytree(COMMITTED, tmp_path_factory.mktemp('gpu') / 'checkpoint')


def engine(path: Path, precision: Any) -> Path:
    """Return an engine, or skip the test where TensorRT has none for this GPU."""
    try:
        load_tensorrt()
        return export_tensorrt(path, precision, ROWS)[0] / FILE
    except ConfigError as error:
        if 'not installed' in str(error) or 'does not run on' in str(error):
            pytest.skip(str(error))
        raise


def test_the_gpu_answers_what_the_cpu_does(truth: CosmosPolicy) -> None:
    """The plain network on both."""
    on_cpu = load_policy(COMMITTED, 'diffusers', precision='float32')
    obs = made_up_observations(truth, 1)[0]
    got, want = (policy.plan(obs, PlanQuery(2, 1, 1)).candidates for policy in (truth, on_cpu))
    np.testing.assert_allclose(got.positions, want.positions, atol=1e-3)
    np.testing.assert_allclose(got.values, want.values, atol=1e-3)


@pytest.mark.parametrize(
    ('backend', 'precision'),
    [
        ('torch', 'float32'),
        ('torch', 'bfloat16'),
        ('compiled', 'float32'),
        ('compiled', 'bfloat16'),
        ('tensorrt', 'float32'),
        ('tensorrt', 'float16'),
        ('tensorrt', 'bfloat16'),
    ],
)
def test_every_backend_is_as_exact_as_it_promises(
    truth: CosmosPolicy, checkpoint: Path, backend: str, precision: Any
) -> None:
    """Best of eight on 100 made-up observations, by joint."""
    if backend == 'tensorrt':
        engine(checkpoint, precision)
    policy = load_policy(checkpoint, backend, 'cuda', precision=precision)
    report = compare_answers(policy, truth, made_up_observations(truth, 100))
    errors: Any = report['action_error_rad']
    assert max(errors.values()) <= MAX_ERROR_RAD[precision], report
    assert report['max_value_error'] <= 0.02, report  # type: ignore[operator]
    assert report['value_regret'] <= 0.001, report  # type: ignore[operator]


def test_an_engine_is_taken_by_itself(checkpoint: Path) -> None:
    """Once it was built and compared here."""
    engine(checkpoint, 'bfloat16')
    assert choose_backend(checkpoint, 'cuda') == 'tensorrt'
    assert isinstance(load_policy(checkpoint, device='cuda').backend, TensorrtBackend)


def test_captured_launches_compute_the_same(checkpoint: Path) -> None:
    """Sizes in turns, in calls before, during and after the capture, more rows than one call."""
    file = engine(checkpoint, 'float16')
    loaded = load_checkpoint(checkpoint, exported=True)
    backends = [TensorrtBackend(file, loaded, 'cuda', 'float16', g) for g in (True, False)]
    shape, asked = loaded.config.latent_shape, torch.arange(5, 11, device='cuda')
    text = next(iter(loaded.text.embeddings.values()))
    read = [backend.encode_text(text) for backend in backends]
    answers: list[list[torch.Tensor]] = [[], []]
    for call in range(3):
        for rows in (1, 8, 3, 11):
            torch.manual_seed(100 * call + rows)
            latents = torch.randn(rows, *shape, device='cuda')
            time = torch.rand(rows, device='cuda')
            for backend, known, kept in zip(backends, read, answers, strict=True):
                frames = asked[rows % 2 :]
                kept.append(backend.denoise(latents, time, known, frames))
    for captured, launched in zip(*answers, strict=True):
        torch.testing.assert_close(captured, launched, atol=1e-5, rtol=0.0)


def test_a_call_does_not_wait_for_the_gpu(checkpoint: Path) -> None:
    """After the first one, torch meets nothing that makes the host wait."""
    file = engine(checkpoint, 'bfloat16')
    loaded = load_checkpoint(checkpoint, exported=True)
    backend = TensorrtBackend(file, loaded, 'cuda', 'bfloat16')
    text = backend.encode_text(next(iter(loaded.text.embeddings.values())))
    latents = torch.randn(8, *loaded.config.latent_shape, device='cuda')
    inputs = latents, torch.rand(8, device='cuda'), text, torch.arange(5, 11, device='cuda')
    backend.denoise(*inputs)
    torch.cuda.set_sync_debug_mode('error')
    try:
        backend.denoise(*inputs)
    finally:
        torch.cuda.set_sync_debug_mode('default')


@pytest.mark.parametrize('backend', ['torch', 'tensorrt'])
def test_the_network_of_the_paper_runs_at_its_size(backend: str) -> None:
    """With random weights; every figure is there and no part of the chip is used twice."""
    figures = measure_network(released_sizes(), 'cuda', (backend,), 'bfloat16', 1, candidates=(1,))
    [variant] = figures['variants']
    if 'not installed' in variant.get('failed', '') or 'does not run' in variant.get('failed', ''):
        pytest.skip(variant['failed'])
    assert 'failed' not in variant
    assert variant['direct_ms'][10] > variant['direct_ms'][1] > 0.0
    assert all(0.0 < share < 1.2 for share in variant['share_of_gemm'].values())
    assert variant['memory_gb'] > 3.9  # of the weights
