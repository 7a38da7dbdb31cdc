# SPDX-License-Identifier: Apache-2.0
"""An engine is built without a GPU where the library can, and found only by who can run it."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
import json
from pathlib import Path
import shutil
import sys
from typing import Any

from cosmos_policy_ros.backends import choose_backend, load_policy
from cosmos_policy_ros.backends.engines import NOTE, read_note, write_engine
from cosmos_policy_ros.backends.export import NOT_RUN
from cosmos_policy_ros.backends.onnx_backend import write_onnx
from cosmos_policy_ros.backends.parity import made_up_observations
from cosmos_policy_ros.backends.tensorrt_backend import find_tensorrt, TensorrtBackend
from cosmos_policy_ros.backends.tensorrt_build import engine_facts, FILE, KIND
from cosmos_policy_ros.cli import main
from cosmos_policy_ros.cli.export import Export, run
from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.core.denoiser import Denoiser, encode_text, text_layers, to_mixed_precision
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ConfigError
from fake_gpu import FakeEngine, install
import numpy as np
import pytest
from tiny import save_tiny_checkpoint
import torch

COMMITTED = share_path('models', 'aloha_sim')
needs_tensorrt = pytest.mark.skipif(
    not (find_spec('tensorrt') or find_spec('tensorrt_rtx')), reason='TensorRT is not installed'
)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny checkpoint."""
    path = tmp_path_factory.mktemp('tensorrt') / 'checkpoint'
    save_tiny_checkpoint(path, read_robot(share_path('config', 'robots', 'aloha_sim.yaml')))
    return path


@pytest.mark.slow
@pytest.mark.parametrize('half', [torch.bfloat16, torch.float16])
def test_only_attention_and_feed_forward_are_lowered(tiny: Path, half: torch.dtype) -> None:
    """In torch and in the file; the text's keys and values are read in float32."""
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxscript')
    checkpoint = load_checkpoint(tiny)
    file = tiny / f'{half}.onnx'
    write_onnx(file, checkpoint, str(half).removeprefix('torch.'))
    lowered = {n for n, w in checkpoint.transformer.named_parameters() if w.dtype == half}
    block = 'transformer_blocks.0.'
    assert {n.removeprefix(block) for n in lowered if n.startswith(block)} == {
        *(f'attn1.{layer}.weight' for layer in ('to_q', 'to_k', 'to_v', 'to_out.0')),
        *(f'attn2.{layer}.weight' for layer in ('to_q', 'to_out.0')),
        *(f'ff.net.{layer}.weight' for layer in ('0.proj', '2')),
    }
    large = [w for w in onnx.load(file).graph.initializer if len(w.dims) == 2]
    types = Counter(onnx.TensorProto.DataType.Name(w.data_type) for w in large)
    assert types[str(half).removeprefix('torch.').upper()] == len(lowered)
    file.unlink()


def test_lowered_network_is_close_to_the_plain_one() -> None:
    """On the committed weights; ``torch.autocast`` in bfloat16 is 0.013 off."""
    checkpoint = load_checkpoint(COMMITTED)
    shape, text = checkpoint.config.latent_shape, next(iter(checkpoint.text.embeddings.values()))
    torch.manual_seed(0)
    target = torch.arange(5, 11)
    inputs = torch.randn(4, *shape), torch.tensor([0.8, 0.9, 0.95, 0.99])
    velocity = []
    for precision in (torch.float32, torch.bfloat16):
        to_mixed_precision(checkpoint.transformer, precision)
        with torch.inference_mode():
            read = encode_text(checkpoint.transformer, text)
            velocity.append(Denoiser(checkpoint.transformer, shape)(*inputs, read, target))
    assert velocity[1].dtype == torch.float32
    error = (velocity[1] - velocity[0]).abs().mean()
    assert 0.0 < error < 0.005


def test_an_exported_network_needs_little_of_the_transformer(tiny: Path) -> None:
    """What reads the text has its weights, nothing else has any."""
    whole, part = (
        load_checkpoint(tiny).transformer,
        load_checkpoint(tiny, exported=True).transformer,
    )
    text = torch.randn(2, 8)
    assert torch.equal(encode_text(part, text), encode_text(whole, text))
    read = {id(w) for layer in text_layers(part) for w in layer.parameters()}
    assert all((id(w) in read) != w.is_meta for w in part.parameters())


@pytest.mark.parametrize('graphs', [True, False])
def test_planning_through_an_engine_gives_the_same_answer(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, graphs: bool
) -> None:
    """Every profile, calls that are divided, and launches that were captured."""
    checkpoint = load_checkpoint(tiny)
    network = Denoiser(checkpoint.transformer, checkpoint.config.latent_shape)
    engine = FakeEngine(network, (2, 2, 2, 2, 12), rows=(1, 3))
    install(monkeypatch, engine)
    (tiny / FILE).write_bytes(b'engine')
    loaded = load_checkpoint(tiny, exported=True)
    backend = TensorrtBackend(tiny / FILE, loaded, 'cpu', 'float32', graphs)
    policy = CosmosPolicy(backend, loaded.config, loaded.stats, loaded.text)
    plain = load_policy(tiny, precision='float32')
    for obs in made_up_observations(plain, 2):
        got, want = (p.plan(obs, PlanQuery(2, 2, 2)).candidates for p in (policy, plain))
        np.testing.assert_allclose(got.positions, want.positions, atol=1e-5)
        np.testing.assert_allclose(got.values, want.values, atol=1e-5)
    sizes = {(0, 1, 1), (0, 1, 5), (1, 2, 1), (1, 2, 5), (1, 2, 6), (1, 3, 1), (1, 3, 5)}
    assert set(engine.launches) == sizes
    assert engine.contexts == len(sizes)


def test_an_answer_stays_when_the_next_one_comes(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And another task is read, though the text is copied only when it changes."""
    checkpoint = load_checkpoint(tiny)
    network = Denoiser(checkpoint.transformer, checkpoint.config.latent_shape)
    install(monkeypatch, FakeEngine(network, (2, 2, 2, 2, 12), rows=(2,)))
    (tiny / FILE).write_bytes(b'engine')
    backend = TensorrtBackend(tiny / FILE, load_checkpoint(tiny, exported=True), 'cpu', 'float32')
    target, time = torch.arange(5, 11), torch.tensor([0.8, 0.9])
    texts = [backend.encode_text(torch.randn(2, 8)) for _ in range(2)]
    calls = [(torch.randn(2, 4, 11, 4, 4), text) for text in (*texts, *texts)]
    answers = [backend.denoise(latents, time, text, target) for latents, text in calls]
    with torch.inference_mode():
        for (latents, text), answer in zip(calls, answers, strict=True):
            torch.testing.assert_close(answer, network(latents, time, text, target))


def add_engine(path: Path, precision: str = 'bfloat16', **changes: Any) -> Path:
    """Put something in the place of an engine, some facts of it changed."""
    facts = {**engine_facts(path), 'precision': precision, 'rows': [8], **changes}

    def make(folder: Path) -> dict[str, Any]:
        (folder / FILE).write_bytes(b'engine')
        return {'parity': NOT_RUN}

    return write_engine(path, KIND, facts, make)


def change_note(folder: Path, **changes: Any) -> None:
    """Write other things into the note of an engine."""
    (folder / NOTE).write_text(json.dumps({**read_note(folder), **changes}), encoding='utf-8')


@pytest.fixture
def copied(tiny: Path, tmp_path: Path) -> Path:
    """Return a checkpoint that may be spoilt."""
    return shutil.copytree(tiny, tmp_path / 'checkpoint')


@needs_tensorrt
@pytest.mark.parametrize(
    ('fact', 'other'),
    [
        ('model', '0' * 64),
        ('library', 'tensorrt 9.9'),
        ('gpu', 'another one'),
        ('text', [3, 8]),
    ],
)
def test_an_engine_for_something_else_is_not_found(copied: Path, fact: str, other: Any) -> None:
    """Another network, library, GPU or length of the text."""
    assert fact in engine_facts(copied)
    add_engine(copied, **{fact: other})
    assert find_tensorrt(copied) is None
    with pytest.raises(
        ConfigError, match=r'no engine in auto precision .*run: cosmos-policy export'
    ):
        load_policy(copied, 'tensorrt', 'cuda')


@needs_tensorrt
def test_precision_and_rows_are_chosen_from_what_is_there(copied: Path) -> None:
    """A compared engine first, then bfloat16, then more rows."""
    exact, half = add_engine(copied, 'float32'), add_engine(copied)
    more = add_engine(copied, rows=[8, 24])
    assert find_tensorrt(copied) == more
    assert find_tensorrt(copied, 'float32') == exact
    assert find_tensorrt(copied, 'float16') is None
    change_note(half, parity={})
    assert find_tensorrt(copied) == half


@needs_tensorrt
def test_a_damaged_engine_is_never_loaded(copied: Path) -> None:
    """Changed, cut off, gone, or without a readable note."""
    folder = add_engine(copied)
    for data in (b'enginf', b'eng'):
        (folder / FILE).write_bytes(data)
        with pytest.raises(ConfigError, match='is not what was exported; write it again'):
            find_tensorrt(copied)
    (folder / FILE).unlink()
    with pytest.raises(ConfigError, match='is damaged'):
        find_tensorrt(copied)
    (folder / NOTE).write_text('{', encoding='utf-8')
    with pytest.raises(ConfigError, match='is damaged'):
        find_tensorrt(copied)


@needs_tensorrt
def test_a_foreign_engine_is_never_loaded(copied: Path) -> None:
    """One whose note was changed to fit has the name of another."""
    folder = add_engine(copied, gpu='another one')
    change_note(folder, facts={**read_note(folder)['facts'], **engine_facts(copied)})
    with pytest.raises(ConfigError, match='other facts than its name says'):
        find_tensorrt(copied)


@needs_tensorrt
def test_only_a_compared_engine_is_taken_by_itself(copied: Path) -> None:
    """And only where there is a GPU."""
    assert choose_backend(copied, 'cuda') == 'torch'
    folder = add_engine(copied)
    assert choose_backend(copied, 'cuda') == 'torch'
    change_note(folder, parity={'max_action_error_rad': 0.001})
    assert choose_backend(copied, 'cuda') == 'tensorrt'
    assert choose_backend(copied, 'cpu') == 'torch'


def test_an_engine_does_not_run_on_a_cpu(tiny: Path) -> None:
    """Whether there is one or not."""
    with pytest.raises(ConfigError, match='GPU only'):
        load_policy(tiny, 'tensorrt')


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        ({'rows': (1, 8)}, 'are for --backend tensorrt'),
        ({'precision': 'bf16'}, 'are for --backend tensorrt'),
        ({'backend': 'tensorrt', 'rows': (8, 1)}, '--rows must rise'),
        ({'backend': 'tensorrt', 'rows': (0,)}, '--rows must rise'),
        ({'backend': 'tensorrt', 'rows': (5000,)}, 'at most 4096'),
        ({'max_error': 0.0}, '--max-error above 0'),
    ],
)
def test_options_without_a_meaning_are_refused(changes: dict[str, Any], match: str) -> None:
    """Before anything is loaded."""
    with pytest.raises(ConfigError, match=match):
        run(Export(**changes))


@pytest.mark.slow
@needs_tensorrt
def test_command_says_what_was_built_and_what_was_not_run(
    copied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folder, precision, library, GPU, rows, comparison."""
    argv = ['cosmos-policy', 'export', '--backend', 'tensorrt', str(copied)]
    monkeypatch.setattr(sys, 'argv', [*argv, '--precision', 'fp16', '--rows', '2'])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    facts = engine_facts(copied)
    assert f'float16 for {facts["library"]} on {facts["gpu"]}; rows [2]' in printed
    assert torch.cuda.is_available() or 'with the original not run: no GPU here' in printed
