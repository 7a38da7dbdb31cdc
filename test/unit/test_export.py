# SPDX-License-Identifier: Apache-2.0
"""The network without repeated work, and the exported one, answer what the plain one does."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
import shutil
import threading

from cosmos_policy_ros.backends import choose_backend, engines, first_use, load_policy
from cosmos_policy_ros.backends.engines import NOTE
from cosmos_policy_ros.backends.export import export, MAX_ERROR_RAD
from cosmos_policy_ros.backends.export_all import onnx_precisions
from cosmos_policy_ros.backends.onnx_backend import FILE, OnnxBackend, write_onnx
from cosmos_policy_ros.backends.parity import made_up_observations, refuse_worse
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.core.denoiser import Denoiser, encode_text
from cosmos_policy_ros.core.networks import predict_velocity
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tiny import save_tiny_checkpoint, tiny_transformer
import torch

COMMITTED = share_path('models', 'aloha_sim')
SHAPE = (4, 11, 4, 4)
LEARNED = {'extra_pos_embed_type': 'learnable', 'max_size': (11, 4, 4)}
PROJECTED = {
    'use_crossattn_projection': True,
    'crossattn_proj_in_channels': 6,
    'encoder_hidden_states_channels': 8,
}


@pytest.mark.parametrize('target', [[5, 6, 7, 8, 9, 10], [10], [1, 2, 3, 4, 5, 10]])
@pytest.mark.parametrize(
    ('changes', 'tokens', 'width'),
    [({}, 3, 8), ({}, 1, 8), (LEARNED, 3, 8), (PROJECTED, 3, 6)],
)
def test_nothing_changes_without_repeated_work(
    changes: dict[str, object], tokens: int, width: int, target: list[int]
) -> None:
    """Every row at a noise level of its own, some frames as target."""
    transformer = tiny_transformer(**changes)
    torch.manual_seed(2)
    for name, weight in transformer.named_parameters():
        if 'pos_emb_' in name:
            weight.data.normal_()
    latents, text = torch.randn(3, *SHAPE), torch.randn(tokens, width)
    time = torch.tensor([0.8, 0.9, 0.99])
    mask = torch.ones(3, 11)
    mask[:, target] = 0.0
    with torch.inference_mode():
        denoiser = Denoiser(transformer, SHAPE)
        fast = denoiser(latents, time, encode_text(transformer, text), torch.tensor(target))
        plain = predict_velocity(
            transformer, latents, (1 - mask) * time[:, None], text.expand(3, -1, -1), mask
        )[:, :, target]
    assert fast.shape == (3, 4, len(target), 4, 4)
    assert plain.abs().max() > 0.5
    torch.testing.assert_close(fast, plain, atol=2e-6, rtol=1e-5)


@pytest.fixture(scope='module')
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint whose network was exported."""
    pytest.importorskip('onnxscript')
    path = tmp_path_factory.mktemp('export') / 'checkpoint'
    save_tiny_checkpoint(path, read_robot(share_path('config', 'robots', 'aloha_sim.yaml')))
    folder, note = export(path, queries=2)
    report = note['parity']
    assert folder.parent == path / 'engines'
    assert 0.0 <= report['max_action_error_rad'] < 1e-4
    assert report['same_choice'] == 1.0
    return path


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    """Return a copy that may be spoilt."""
    return shutil.copytree(exported, tmp_path / 'checkpoint')


@pytest.mark.slow
@pytest.mark.parametrize('runtime', ['openvino', 'onnxruntime', 'torch', 'compiled'])
def test_all_backends_give_the_same_answer(exported: Path, runtime: str) -> None:
    """Candidates, futures and values, with rows that leave the batch."""
    if runtime in ('openvino', 'onnxruntime'):
        pytest.importorskip(runtime)
    if runtime == 'compiled' and not shutil.which('g++'):
        pytest.skip('needs a C++ compiler')
    queries = (2, 2, 2) if runtime != 'compiled' else (1,)  # every size is compiled
    plain = load_policy(exported, 'diffusers', precision='float32')
    fast = load_policy(exported, runtime, precision='float32', threads=1)
    obs = made_up_observations(plain, 1)[0]
    want, got = (
        plain.plan(obs, PlanQuery(*queries)).candidates,
        fast.plan(obs, PlanQuery(*queries)).candidates,
    )
    np.testing.assert_allclose(got.positions, want.positions, atol=1e-4)
    np.testing.assert_allclose(got.values, want.values, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('target', [[5, 10], [10], [5, 6, 7, 8, 9, 10]])
def test_openvino_divides_rows_into_sizes_that_it_compiles(
    exported: Path, target: list[int]
) -> None:
    """27 rows are 24, 2 and 1, each with its own latents and noise level, in this order."""
    pytest.importorskip('openvino')
    time, answers = torch.linspace(0.8, 0.99, 27), []
    for name in ('torch', 'openvino'):
        policy = load_policy(exported, name, precision='float32', threads=1)
        shape = policy.config.latent_shape
        text = policy.backend.encode_text(next(iter(policy.text.embeddings.values())))
        latents = torch.randn(27, *shape, generator=torch.Generator().manual_seed(3))
        answers.append(policy.backend.denoise(latents, time, text, torch.tensor(target)))
    assert answers[0].shape == (27, *shape[:1], len(target), *shape[2:])
    assert (answers[0][0] - answers[0][26]).abs().max() > 0.1
    torch.testing.assert_close(answers[1], answers[0], atol=2e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason='needs two cores')
def test_openvino_computes_on_whatever_core_is_free(exported: Path) -> None:
    """A thread that stays on one core waits for what runs there, such as a real-time process."""
    pytest.importorskip('openvino')
    policy = load_policy(exported, 'openvino', precision='float32', threads=1)
    query, obs = PlanQuery(24), made_up_observations(policy, 1)[0]
    cores, asked = os.sched_getaffinity(0), threading.get_native_id()
    seen: list[set[int]] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.0005):
            seen.append(os.sched_getaffinity(asked))

    looker = threading.Thread(target=look)
    looker.start()
    for _ in range(20):
        policy.plan(obs, query)
    done.set()
    looker.join()
    assert len(seen) > 20
    assert all(there == cores for there in seen)


@pytest.mark.slow
def test_openvino_is_right_for_any_number_of_target_frames(tmp_path: Path) -> None:
    """On the committed weights: compiled for a single target frame it is off by more than 0.3."""
    pytest.importorskip('openvino')
    pytest.importorskip('onnxscript')
    checkpoint = load_checkpoint(COMMITTED)
    write_onnx(tmp_path / FILE, checkpoint)
    exported = OnnxBackend(tmp_path / FILE, checkpoint, threads=1)
    plain = load_policy(COMMITTED, 'torch', precision='float32', threads=1).backend
    torch.manual_seed(4)
    latents, time = torch.randn(3, *checkpoint.config.latent_shape), torch.tensor([0.8, 0.9, 0.99])
    text = plain.encode_text(next(iter(checkpoint.text.embeddings.values())))
    for target in ([10], [5], [6, 7], [5, 6, 7, 8, 9, 10]):
        query = latents, time, text, torch.tensor(target)
        torch.testing.assert_close(
            exported.denoise(*query), plain.denoise(*query), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize(
    ('has_bfloat16', 'precisions'), [(False, ('float32',)), (True, ('float32', 'bfloat16'))]
)
def test_only_what_the_cpu_computes_in_is_exported(
    monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool, precisions: tuple[str, ...]
) -> None:
    """``auto`` takes no other one there."""
    monkeypatch.setattr(torch.cpu, '_is_avx512_bf16_supported', lambda: has_bfloat16)
    assert onnx_precisions() == precisions


@pytest.mark.slow
def test_bfloat16_is_a_file_of_its_own(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken where it is there and the CPU computes in it; ONNX Runtime never does."""
    pytest.importorskip('openvino')
    monkeypatch.setattr(torch.cpu, '_is_avx512_bf16_supported', lambda: True)
    assert load_policy(copied, 'openvino').backend.precision == 'float32'
    _, note = export(copied, 'bfloat16', queries=1)
    assert 1e-6 < note['parity']['max_action_error_rad'] < MAX_ERROR_RAD['bfloat16']
    assert load_policy(copied, 'openvino').backend.precision == 'bfloat16'
    assert load_policy(copied, 'onnxruntime').backend.precision == 'float32'
    with pytest.raises(ConfigError, match='computes in float32 on a CPU, not bfloat16'):
        load_policy(copied, 'onnxruntime', precision='bfloat16')


@pytest.mark.slow
def test_an_exported_network_is_taken_by_itself(exported: Path, copied: Path) -> None:
    """Until the checkpoint changes: then it is one for another network."""
    assert choose_backend(exported, 'cpu') in ('openvino', 'onnxruntime')
    assert choose_backend(exported, 'cuda') == 'torch'
    weights = copied / 'transformer' / 'diffusion_pytorch_model.safetensors'
    tensors = load_file(weights)
    save_file({name: tensor * 1.01 for name, tensor in tensors.items()}, weights)
    assert choose_backend(copied, 'cpu') == 'torch'
    with pytest.raises(ConfigError, match='no exported network in float32; run: cosmos-policy'):
        load_policy(copied, 'onnxruntime')


@pytest.mark.slow
def test_a_network_is_exported_at_first_use(
    copied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And only once."""
    shutil.rmtree(copied / 'engines')
    monkeypatch.setattr(first_use, 'SIZES', range(1, 1_000_000_000))
    caplog.set_level(logging.INFO)
    assert type(load_policy(copied).backend).__name__ == 'OnnxBackend'
    [folder] = (copied / 'engines').glob('onnx-*')
    assert (folder / FILE).is_file()
    assert caplog.text.count('exporting') == 1
    load_policy(copied)
    assert caplog.text.count('exporting') == 1


def test_what_belongs_to_a_folder_that_cannot_be_written_is_cached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a checkpoint that was installed; another one with the same facts finds it too."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(engines.os, 'access', lambda *_: False)  # tests may run as root

    def make(folder: Path) -> dict[str, object]:
        (folder / 'network').write_text('fast', encoding='utf-8')
        return {}

    folder = engines.write_engine(tmp_path / 'installed', 'onnx', {'model': 'a'}, make)
    assert folder.parent == tmp_path / 'cache' / 'cosmos_policy_ros' / 'engines'
    assert engines.find_engine(tmp_path / 'installed', 'onnx', {'model': 'a'}) == folder
    assert engines.find_engine(tmp_path / 'installed', 'onnx', {'model': 'b'}) is None
    assert engines.find_engines(tmp_path / 'installed', 'onnx', {}) == [folder]


@pytest.mark.slow
def test_a_network_that_cannot_be_exported_runs_in_torch(
    copied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is a warning."""
    shutil.rmtree(copied / 'engines')
    monkeypatch.setattr(first_use, 'SIZES', range(1, 1_000_000_000))
    monkeypatch.setattr(first_use, '_export', _fail)
    assert type(load_policy(copied).backend).__name__ == 'TorchBackend'
    assert 'could not be exported (no compiler); torch runs it, slower' in caplog.text


def _fail(_path: Path) -> None:
    msg = 'no compiler'
    raise RuntimeError(msg)


@pytest.mark.slow
def test_a_damaged_export_is_never_loaded(copied: Path) -> None:
    """One changed byte is enough; exporting again mends it."""
    [folder] = (copied / 'engines').iterdir()
    data = bytearray((folder / FILE).read_bytes())
    data[-1] ^= 1
    (folder / FILE).write_bytes(data)
    with pytest.raises(ConfigError, match='is not what was exported; write it again: cosmos'):
        load_policy(copied)
    export(copied, queries=1)
    assert load_policy(copied)


@pytest.mark.slow
def test_a_foreign_export_is_never_loaded(copied: Path) -> None:
    """A folder that was renamed to the right key tells what it was made from."""
    [folder] = (copied / 'engines').iterdir()
    note = json.loads((folder / NOTE).read_text(encoding='utf-8'))
    note['facts']['model'] = '0' * 64
    (folder / NOTE).write_text(json.dumps(note), encoding='utf-8')
    with pytest.raises(ConfigError, match='was made from another model; write it again'):
        load_policy(copied)


@pytest.mark.slow
def test_a_network_that_answers_otherwise_is_refused(copied: Path) -> None:
    """Nothing is left of it."""
    shutil.rmtree(copied / 'engines')
    with pytest.raises(ConfigError, match=r'rad off in an action .*, limit 1e-12'):
        export(copied, queries=1, max_error_rad=1e-12)
    assert not list((copied / 'engines').iterdir())


@pytest.mark.parametrize(
    ('action', 'value', 'off'), [(0.02, 0.0, 'action'), (0.0, 0.2, 'value'), (0.0, None, 'value')]
)
def test_actions_and_values_are_both_judged(action: float, value: float | None, off: str) -> None:
    """A library can be right for an action chunk and wrong for a single frame."""
    report = {'max_action_error_rad': action, 'max_value_error': value}
    with pytest.raises(ConfigError, match=f'off in an? {off}'):
        refuse_worse(report, 0.01, 0.1)
    refuse_worse({'max_action_error_rad': 0.01, 'max_value_error': 0.1}, 0.01, 0.1)
