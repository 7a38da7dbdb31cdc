# SPDX-License-Identifier: Apache-2.0
"""An engine is built without a GPU where the library can: the real builder, a minute each."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
import re
import shutil
from typing import Any

from cosmos_policy_ros.backends.engines import NOTE
from cosmos_policy_ros.backends.export import export_tensorrt, NOT_RUN
from cosmos_policy_ros.backends.tensorrt_build import build_engine, engine_facts, FILE
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
import pytest
from tiny import save_tiny_checkpoint
import torch

COMMITTED = share_path('models', 'aloha_sim')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec('tensorrt') or find_spec('tensorrt_rtx')),
        reason='TensorRT is not installed',
    ),
]


@pytest.fixture(scope='module')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny checkpoint."""
    path = tmp_path_factory.mktemp('tensorrt') / 'checkpoint'
    save_tiny_checkpoint(path, read_robot(share_path('config', 'robots', 'aloha_sim.yaml')))
    return path


def test_committed_checkpoint_becomes_an_engine(tmp_path: Path) -> None:
    """With the inputs, outputs and profiles that planning asks for; nothing else stays."""
    path = shutil.copytree(COMMITTED, tmp_path / 'checkpoint')
    shown: list[str] = []
    folder, note = export_tensorrt(path, 'bfloat16', (1, 8), show_progress=shown.append)
    assert sorted(file.name for file in folder.iterdir()) == [FILE, NOTE]
    assert (folder / FILE).stat().st_size > 14e6  # bytes of the weights
    assert note['facts'] == {**engine_facts(path), 'precision': 'bfloat16', 'rows': [1, 8]}
    if not torch.cuda.is_available():
        assert note['parity'] == NOT_RUN
    assert note['network']['inputs'] == {
        'latents': {'type': 'FLOAT', 'shape': [-1, 16, 11, 4, 4]},
        'time': {'type': 'FLOAT', 'shape': [-1]},
        'text': {'type': 'FLOAT', 'shape': [6, 2, 4, 2, 64]},
        'asked': {'type': 'INT64', 'shape': [-1]},
    }
    assert note['network']['outputs'] == {
        'velocity': {'type': 'FLOAT', 'shape': [-1, 16, -1, 4, 4]}
    }
    first, second = note['network']['profiles']
    assert [shape[0] for shape in first['latents']] == [1, 1, 1]
    assert [shape[0] for shape in second['latents']] == [2, 8, 8]
    assert second['time'] == [[2], [8], [8]]
    assert first['asked'] == second['asked'] == [[1], [6], [11]]
    assert shown[0] == 'writing ONNX'
    assert any(re.fullmatch(r'[a-z ]+ \d+/\d+', what) for what in shown)
    assert export_tensorrt(path, 'bfloat16', (1, 8))[0] == folder


@pytest.mark.parametrize('precision', ['float32', 'float16'])
def test_every_precision_builds(tiny: Path, tmp_path: Path, precision: Any) -> None:
    """The types of the network are those of the file, which the library does not change."""
    build_engine(tmp_path, tiny, precision, (2,))
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
