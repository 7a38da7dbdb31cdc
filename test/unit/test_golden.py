# SPDX-License-Identifier: Apache-2.0
"""The policy against numbers that the official code gives for random weights, in true layouts.

``golden/official.json`` holds them with their tolerances; ``official_rule.py`` makes what went in.
"""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.backends import load_cosmos_policy
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.official.checkpoint import import_checkpoint, Sources
from cosmos_policy_ros.core.official.names import TRANSFORMER_2B, VAE_WAN
from cosmos_policy_ros.core.official.presets import Preset, preset
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import Candidates, Observation
import numpy as np
import official_rule as rule
import pytest
import torch

GOLDEN = json.loads((Path(__file__).parents[1] / 'golden' / 'official.json').read_text())
WITHIN = GOLDEN['tolerances']
SIZES = {**TRANSFORMER_2B, 'num_attention_heads': 2, 'num_layers': 2, 'adaln_lora_dim': 32}
VAE_SIZES = {**VAE_WAN, 'base_dim': 4}
TASK = GOLDEN['about']['task']
SEED = 195
LAYOUTS: tuple[Preset, ...] = ('aloha', 'libero', 'robocasa')


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of weights and text under the official names, which all presets share."""
    folder = tmp_path_factory.mktemp('release')
    for part in ('transformer', 'vae'):
        shapes = GOLDEN['tensors'][part].items()
        weights = {n: torch.from_numpy(rule.weight(n, tuple(shape))) for n, shape in shapes}
        torch.save(weights, folder / f'{part}.pt')
    torch.save({TASK: torch.from_numpy(rule.embedding()).bfloat16()}, folder / 'text.pt')
    return folder


def load(files: Path, out: Path, name: Preset, **changes: Any) -> CosmosPolicy:
    """Return the imported policy of a preset, some of its facts changed."""
    config = replace(preset(name), **changes)
    stats = files / f'{name}.json'
    stats.write_text(json.dumps(rule.statistics(config.action_size, config.proprio_size)))
    sources = Sources(files / 'transformer.pt', files / 'vae.pt', stats, files / 'text.pt')
    import_checkpoint(sources, out, config, None, SIZES, VAE_SIZES)
    return load_cosmos_policy(out, 'torch', precision='float32')


def observe(config: PolicyConfig, size: tuple[int, int], flipped: bool = False) -> Observation:
    """Return images of the rule as a camera or simulator has them, joints and task."""
    images = {name: rule.image(f'picture/{name}', *size) for name in config.cameras}
    if flipped:
        images = {name: np.ascontiguousarray(np.flipud(image)) for name, image in images.items()}
    joints = rule.proprio(config.proprio_size).astype(np.float32)
    return Observation(0, images, joints, TASK)


def check_answer(got: Candidates, want: dict[str, Any], actions: float, block: str) -> None:
    """Compare one candidate with a block of the golden numbers."""
    np.testing.assert_allclose(got.positions[0], want['actions'], atol=actions, rtol=0)
    np.testing.assert_allclose(got.values[0], want['value'], atol=WITHIN[f'{block}_value'])
    within = WITHIN[f'{block}_future_proprio']
    np.testing.assert_allclose(got.future_proprio[0], want['future_proprio'], atol=within, rtol=0)


@pytest.mark.parametrize('name', LAYOUTS)
def test_images_of_the_models_size_give_the_official_answer(
    files: Path, tmp_path: Path, name: Preset
) -> None:
    """Nothing between image and network: all rows, grippers from -0.66 to 1.40 as they are."""
    policy = load(files, tmp_path / name, name, centre_crop=False)
    want = GOLDEN['presets'][name]['exact']
    obs = observe(policy.config, (224, 224), flipped=name != 'aloha')
    got = policy.plan(obs, PlanQuery(1, seed=SEED)).candidates
    check_answer(got, want, WITHIN['exact_actions'], 'exact')
    grippers = np.array(want['actions'])[:, GOLDEN['presets'][name]['gripper_columns']]
    assert grippers.min() < -0.3
