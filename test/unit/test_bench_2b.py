# SPDX-License-Identifier: Apache-2.0
"""The measurement of the 2B network, run through on a CPU with a tiny one."""

from __future__ import annotations

from pathlib import Path
import sys

from cosmos_policy_ros.backends.device import data_sheet_flops
from cosmos_policy_ros.bench.model_2b import measure_network, VARIANTS
from cosmos_policy_ros.bench.random_weights import released_sizes, Sizes, write_random_checkpoint
from cosmos_policy_ros.cli import main
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.types import ConfigError
import pytest
from tiny import tiny_config, tiny_transformer, tiny_vae
import torch

TINY = Sizes(
    tiny_config(independent_frames=False),
    {k: v for k, v in tiny_transformer().config.items() if k[0] != '_'},
    {k: v for k, v in tiny_vae(False).config.items() if k[0] != '_'},
    tokens=3,
)


def test_work_of_the_released_network_is_what_was_calculated_by_hand() -> None:
    """28 layers of 2156 tokens and 512 of text; one layer is a 28th."""
    assert released_sizes().flop == pytest.approx(8.53e12, rel=1e-3)
    assert released_sizes(1).flop == pytest.approx(released_sizes().flop / 28)
    _, frames, height, width = released_sizes().config.latent_shape
    assert frames * height * width // 4 == 2156


def test_random_weights_are_a_checkpoint(tmp_path: Path) -> None:
    """It loads, norms do nothing, and numbers stay finite from layer to layer."""
    write_random_checkpoint(tmp_path / 'random', TINY)
    checkpoint = load_checkpoint(tmp_path / 'random')
    block = checkpoint.transformer.transformer_blocks[0]
    assert torch.equal(block.attn1.norm_q.weight, torch.ones(12))
    assert float(block.attn1.to_q.weight.detach().std()) == pytest.approx(24**-0.5, rel=0.2)
    assert checkpoint.text.shape == (3, 8)


@pytest.mark.slow
def test_every_figure_is_taken_the_same_way_on_a_cpu() -> None:
    """Two backends, each in a process of its own."""
    figures = measure_network(
        TINY, 'cpu', ('diffusers', 'torch'), 'float32', rounds=2, candidates=(1, 2)
    )
    assert figures['layers'] == 2
    assert figures['gemm_tflops'] > 0.0
    assert figures['data_sheet_tflops'] is None
    assert [v['backend'] for v in figures['variants']] == ['diffusers', 'torch']
    for variant in figures['variants']:
        assert 'failed' not in variant
        assert variant['precision'] == 'float32'
        assert list(variant['direct_ms']) == [10, 5, 1]
        assert list(variant['planning_ms']) == [1, 2]
        assert variant['planning_ms'][2] > variant['direct_ms'][1] > 0.0
        assert 0.0 < variant['load_s'] < variant['cold_start_s']
        assert variant['memory_gb'] > 0.1
        assert variant['samples'] == [2] * 5
        assert set(variant['share_of_gemm']) == {
            'direct 10', 'direct 5', 'direct 1', 'planning 1', 'planning 2',
        }  # fmt: skip
        assert 'share_of_data_sheet' not in variant


@pytest.mark.slow
def test_a_backend_that_fails_leaves_the_others_alone() -> None:
    """The reason stands in its place."""
    sizes = Sizes(TINY.config, {**TINY.transformer, 'in_channels': 7}, TINY.vae, TINY.tokens)
    figures = measure_network(sizes, 'cpu', ('torch',), 'float32', rounds=1, candidates=(1,))
    [variant] = figures['variants']
    assert 'in_channels 7 does not fit needed 6' in variant['failed']


def test_backends_that_do_not_exist_are_refused() -> None:
    """With the ones that do."""
    assert {name for name, _ in VARIANTS} == {'diffusers', 'torch', 'compiled', 'tensorrt'}
    with pytest.raises(ConfigError, match=r"cannot measure onnx; choose of \['compiled'"):
        measure_network(TINY, 'cpu', ('onnx',))


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_one_line_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written; exit status 1."""
    monkeypatch.setattr(sys, 'argv', ['cosmos-policy', 'bench', '--model', '2b'])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert 'the device cuda is not there' in error
    assert '--device cpu --layers 1' in error


def test_data_sheet_is_found_by_the_name_of_the_gpu() -> None:
    """The variant before the family; none for what is not listed."""
    assert data_sheet_flops('NVIDIA H100 80GB HBM3') == 989e12
    assert data_sheet_flops('NVIDIA H100 PCIe') == 756e12
    assert data_sheet_flops('NVIDIA GeForce RTX 4090') == 165e12
    assert data_sheet_flops('Tesla K80') is None
