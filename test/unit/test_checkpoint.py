# SPDX-License-Identifier: Apache-2.0
"""The checkpoint folder: round trip, and one clear line for everything a user can fix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
import shutil
from typing import Any

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.core.checkpoint import check_parts, load_checkpoint, save_checkpoint
from cosmos_policy_ros.core.config import check_robot, PolicyConfig, read_config, write_config
from cosmos_policy_ros.core.text import save_text_embeddings, TextEmbeddings
from cosmos_policy_ros.resources import COMMITTED, share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError
import pytest
from safetensors.torch import load_file, save_file
from tiny import CONFIG, TASK, tiny_config, tiny_stats, tiny_text, tiny_transformer, tiny_vae
import torch

ROBOT = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
WEIGHTS = 'diffusion_pytorch_model.safetensors'
FILES = (
    'policy.json',
    'norm_stats.json',
    'text_embeddings.safetensors',
    'transformer/config.json',
    f'transformer/{WEIGHTS}',
    'vae/config.json',
    f'vae/{WEIGHTS}',
)


@pytest.fixture(scope='module')
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny checkpoint folder that no test may change."""
    path = tmp_path_factory.mktemp('checkpoint')
    save_checkpoint(path, CONFIG, tiny_stats(), tiny_text(), tiny_transformer(), tiny_vae())
    return path


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny checkpoint folder."""
    return Path(shutil.copytree(saved, tmp_path / 'copy'))


def refuse(path: Path, match: str) -> None:
    """Check that loading fails with one line that names the folder and matches."""
    with pytest.raises(ConfigError, match=match) as caught:
        load_checkpoint(path)
    assert '\n' not in str(caught.value)
    assert str(path) in str(caught.value)


def edit(file: Path, **changes: Any) -> None:
    """Change some keys of a JSON file; None removes one."""
    data = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({k: v for k, v in data.items() if v is not None}))


def test_everything_is_written_and_read_back(saved: Path) -> None:
    """Config, statistics, text and both networks."""
    checkpoint = load_checkpoint(saved)
    assert checkpoint.config == CONFIG
    assert checkpoint.text.tasks == (TASK,)
    assert checkpoint.stats.actions_max.tolist() == [2.0] * 4
    for loaded, original in (
        (checkpoint.transformer, tiny_transformer()),
        (checkpoint.vae, tiny_vae()),
    ):
        wanted = original.state_dict()
        assert all(torch.equal(v, wanted[k]) for k, v in loaded.state_dict().items())
        assert not loaded.training


def test_folder_holds_what_the_architecture_says(saved: Path) -> None:
    """JSON and safetensors, no pickles."""
    files = {p.relative_to(saved).as_posix() for p in saved.rglob('*') if p.is_file()}
    assert files == set(FILES)


def test_half_precision_weights_are_loaded_as_float32(folder: Path) -> None:
    """A committed checkpoint may be stored in bfloat16."""
    file = folder / 'transformer' / WEIGHTS
    save_file({k: v.bfloat16() for k, v in load_file(file).items()}, file)
    weights = load_checkpoint(folder).transformer.state_dict().values()
    assert {w.dtype for w in weights} == {torch.float32}


def test_missing_folder(tmp_path: Path) -> None:
    """A wrong path."""
    refuse(tmp_path / 'none', 'no checkpoint folder')


@pytest.mark.parametrize('name', FILES)
def test_missing_file(folder: Path, name: str) -> None:
    """Each file by name."""
    (folder / name).unlink()
    refuse(folder, name.replace('.', r'\.'))


@pytest.mark.parametrize('network', ['transformer', 'vae'])
def test_truncated_weights(folder: Path, network: str) -> None:
    """An interrupted copy."""
    file = folder / network / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    refuse(folder, f'{network}/{WEIGHTS} is damaged')


def test_weights_that_are_no_safetensors(folder: Path) -> None:
    """A Git LFS pointer instead of the file."""
    (folder / 'vae' / WEIGHTS).write_text('version https://git-lfs.github.com/spec/v1')
    refuse(folder, 'is damaged')


def test_weights_of_another_shape(folder: Path) -> None:
    """The tensor, both shapes."""
    file = folder / 'transformer' / WEIGHTS
    weights = load_file(file)
    weights['proj_out.weight'] = torch.zeros(3, 24)
    save_file(weights, file)
    refuse(folder, r'proj_out\.weight has shape \(3, 24\).*wants \(16, 24\)')


def test_weights_that_are_missing_or_too_many(folder: Path) -> None:
    """A tensor of another name."""
    file = folder / 'transformer' / WEIGHTS
    weights = load_file(file)
    weights['extra'] = weights.pop('proj_out.weight')
    save_file(weights, file)
    refuse(folder, r'extra has shape \(16, 24\).*wants none')


def test_network_of_another_class(folder: Path) -> None:
    """The two folders swapped."""
    (folder / 'vae').rename(folder / 'other')
    (folder / 'transformer').rename(folder / 'vae')
    (folder / 'other').rename(folder / 'transformer')
    refuse(folder, 'is for AutoencoderKLWan, not CosmosTransformer3DModel')


def test_network_config_that_is_no_network(folder: Path) -> None:
    """A wrong type in config.json."""
    edit(folder / 'transformer' / 'config.json', num_layers='two')
    refuse(folder, 'does not describe a CosmosTransformer3DModel')


@pytest.mark.parametrize('size', [{}, [], [16, 8, 'a']])
def test_network_size_that_is_no_size(saved: Path, size: Any) -> None:
    """Networks without the layers that need it are built with any."""
    checkpoint = load_checkpoint(saved)
    checkpoint.transformer.register_to_config(max_size=size)
    with pytest.raises(ConfigError, match=r'max_size .* must be three whole numbers'):
        check_parts(checkpoint)


def test_unknown_and_missing_keys(folder: Path) -> None:
    """Both lists in one line."""
    edit(folder / 'policy.json', horizn=6, horizon=None)
    refuse(folder, r"unknown keys \['horizn'\] and lacks the keys \['horizon'\]")


def test_other_format_version(folder: Path) -> None:
    """A folder of a later release."""
    edit(folder / 'policy.json', format_version=2)
    refuse(folder, 'format_version 2, this release reads 1')


def test_broken_policy_json(folder: Path) -> None:
    """Half a file."""
    (folder / 'policy.json').write_text('{"cameras": [')
    refuse(folder, 'not valid JSON')


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        ({'cameras': []}, 'cameras must be a list of at least one'),
        ({'cameras': ['high', 'high']}, 'cameras must be distinct names'),
        ({'horizon': 0}, 'horizon must be a whole number above 0, got 0'),
        ({'horizon': 6.5}, 'horizon must be a whole number, got 6.5'),
        ({'rate_hz': float('nan')}, 'rate_hz must be a finite number'),
        ({'centre_crop': 'yes'}, 'centre_crop must be true or false'),
        ({'latent_size': [4]}, 'latent_size must be two whole numbers'),
        ({'value_kind': 'v'}, 'value_kind must be one of'),
        ({'sigma_min': 90.0}, 'sigma_min must be below sigma_max'),
        ({'return_discount': 1.5}, 'return_discount must be at most 1'),
        ({'action_size': 5}, 'action_size must be the 4 joint_names, got 5'),
        ({'open_loop_rows': 7}, 'open_loop_rows must be a whole number from 0 to 6, got 7'),
        ({'jpeg_quality': 101}, 'jpeg_quality must be a whole number from 0 to 100, got 101'),
        ({'base_seed': -1}, 'base_seed must be a whole number from 0 to 2147483648, got -1'),
        ({'resize_first': 10**9}, 'resize_first must be a whole number from 0 to 8192'),
        ({'two_steps_are_one': 1}, 'two_steps_are_one must be true or false'),
    ],
)
def test_wrong_fields(folder: Path, changes: dict[str, Any], match: str) -> None:
    """Type and range of every kind of field."""
    edit(folder / 'policy.json', **changes)
    refuse(folder, match)


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        ({'proprio_size': 5}, r'norm_stats\.json 4 does not fit policy\.json proprio_size 5'),
        ({'image_size': 64}, r'latents of an image \(8, 8\) does not fit policy'),
        ({'latent_channels': 8}, 'vae z_dim 4 does not fit'),
        ({'horizon': 17}, '17 x 4 actions exceed a frame of 64 numbers'),
        ({'cameras': list('abcdef')}, '17 latent frames exceed the transformer max_size 16'),
    ],
)
def test_parts_that_do_not_fit(folder: Path, changes: dict[str, Any], match: str) -> None:
    """Each fact stands in one place and must agree with its neighbours."""
    edit(folder / 'policy.json', **changes)
    refuse(folder, match)


def test_text_of_another_width(folder: Path) -> None:
    """Embeddings of another encoder."""
    wide = TextEmbeddings({'a': torch.ones(2, 9)})
    save_text_embeddings(folder / 'text_embeddings.safetensors', wide)
    refuse(folder, 'text_embed_dim 8')


def test_autoencoder_that_looks_back_is_not_frame_independent(tmp_path: Path) -> None:
    """Saving refuses what would be encoded wrongly later."""
    with pytest.raises(ConfigError, match='depends on earlier frames'):
        save_checkpoint(
            tmp_path, CONFIG, tiny_stats(), tiny_text(), tiny_transformer(), tiny_vae(False)
        )


def test_config_is_written_and_read_back(tmp_path: Path) -> None:
    """Tuples survive JSON."""
    config = tiny_config(value_kind='value_future_only', centre_crop=True)
    write_config(tmp_path / 'policy.json', config)
    assert read_config(tmp_path / 'policy.json') == config


def test_load_policy_is_ready_to_be_asked(saved: Path) -> None:
    """The one call that nodes and the command line make."""
    assert load_policy(saved).config == CONFIG


def test_planning_checkpoint_scores_for_its_base(saved: Path) -> None:
    """The same one fits itself."""
    policy = load_policy(saved, planning=saved)
    assert policy.scorer is not policy


def test_committed_planning_checkpoint_scores_for_the_committed_policy() -> None:
    """It judges the predicted state alone; both are small enough to come with the repository."""
    base, planning = (share_path('models', name) for name in COMMITTED)
    policy = load_policy(base, planning=planning)
    assert policy.scorer.config.value_kind == 'value_future_only'
    for folder in (base, planning):
        files = [f for f in folder.rglob('*') if f.is_file() and 'engines' not in f.parts]
        assert sum(f.stat().st_size for f in files) < 40e6


@pytest.mark.parametrize(
    ('spoil', 'match'),
    [
        (
            lambda f: edit(f / 'norm_stats.json', actions_max=[3.0] * 4),
            'norm_stats.json actions_max',
        ),
        (lambda f: edit(f / 'policy.json', rate_hz=5.0), 'rate_hz'),
        (lambda f: _double(f / 'vae' / WEIGHTS), 'autoencoder'),
    ],
)
def test_planning_checkpoint_of_another_base(
    saved: Path, folder: Path, spoil: Callable[[Path], None], match: str
) -> None:
    """It would misread what it is shown; the line says what differs and how to train one."""
    spoil(folder)
    with pytest.raises(ConfigError, match=f'{match}.*--role planning'):
        load_policy(saved, planning=folder)


def _double(file: Path) -> None:
    save_file({name: 2 * weight for name, weight in load_file(file).items()}, file)


def test_unknown_backend_device_and_precision(saved: Path) -> None:
    """Each names what came."""
    with pytest.raises(ConfigError, match=r"no backend 'jax'; choose one of \('auto'"):
        load_policy(saved, backend='jax')
    with pytest.raises(ConfigError, match="device 'gpu' cannot be used"):
        load_policy(saved, device='gpu')
    with pytest.raises(ConfigError, match="got 'int8'"):
        load_policy(saved, precision='int8')
    with pytest.raises(ConfigError, match='threads must be at least 1'):
        load_policy(saved, threads=0)


@pytest.fixture(scope='module')
def robot() -> RobotSpec:
    """Return the simulated ALOHA."""
    return read_robot(ROBOT)


@pytest.fixture
def aloha(robot: RobotSpec) -> PolicyConfig:
    """Return a configuration for the simulated ALOHA."""
    return tiny_config(joint_names=robot.joint_names, action_size=14, proprio_size=14)


def test_robot_that_fits(robot: RobotSpec, aloha: PolicyConfig) -> None:
    """The order of the cameras is the checkpoint's affair."""
    check_robot(aloha, robot)


def test_robot_with_another_camera(robot: RobotSpec, aloha: PolicyConfig) -> None:
    """Both sides are named."""
    with pytest.raises(ConfigError, match=r"cameras: .*'top'.*\['high', 'left_wrist'"):
        check_robot(replace(aloha, cameras=('left_wrist', 'right_wrist', 'top')), robot)


def test_robot_with_a_camera_more(robot: RobotSpec, aloha: PolicyConfig) -> None:
    """A camera the checkpoint does not know."""
    with pytest.raises(ConfigError, match='disagree on cameras'):
        check_robot(replace(aloha, cameras=('left_wrist', 'high')), robot)


def test_robot_with_other_joints(robot: RobotSpec, aloha: PolicyConfig) -> None:
    """The order of the joints matters."""
    with pytest.raises(ConfigError, match='disagree on joints'):
        check_robot(replace(aloha, joint_names=robot.joint_names[::-1]), robot)


def test_robot_with_another_proprio(robot: RobotSpec, aloha: PolicyConfig) -> None:
    """Both sizes are named."""
    with pytest.raises(ConfigError, match='proprio size: the checkpoint has 9, the robot has 14'):
        check_robot(replace(aloha, proprio_size=9), robot)


def test_robot_that_is_too_slow(robot: RobotSpec, aloha: PolicyConfig) -> None:
    """Rows would be skipped."""
    with pytest.raises(ConfigError, match=r'the checkpoint has 100\.0, the robot has 50\.0'):
        check_robot(replace(aloha, rate_hz=100.0), robot)
