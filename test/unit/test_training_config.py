# SPDX-License-Identifier: Apache-2.0
"""Training configurations: what a file may say, and that the committed ones agree."""

from __future__ import annotations

from pathlib import Path
import re
from typing import Any

from cosmos_policy_ros.cli.demonstrate import Demonstrate
from cosmos_policy_ros.resources import robot_file, share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.training.config import check_cameras, read_train_config, TrainConfig
from cosmos_policy_ros.types import ConfigError
import pytest
import yaml

FROM_SCRATCH = share_path('config', 'train.yaml')


def test_unknown_training_key_is_refused(tmp_path: Path) -> None:
    """A typo in the YAML must not train something else."""
    file = tmp_path / 'train.yaml'
    file.write_text('updatse: 3\n')
    with pytest.raises(ConfigError, match='updatse'):
        read_train_config(file)


def test_cameras_are_those_of_the_robot_and_one_left_out_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The defaults are the simulated robot's, and the stack refuses other cameras than trained."""
    aloha = read_robot(robot_file('aloha'))
    refusal = r"has cameras: \['left_wrist', .* robot aloha has \['cam_high', 'cam_low'"
    with pytest.raises(ConfigError, match=refusal):
        check_cameras(TrainConfig(), aloha)
    with pytest.raises(ConfigError, match='each once'):
        check_cameras(TrainConfig(cameras=('cam_high', 'cam_high')), aloha)
    check_cameras(TrainConfig(), read_robot(robot_file('aloha_sim')))
    assert not caplog.messages
    check_cameras(TrainConfig(cameras=('cam_high', 'cam_left_wrist', 'cam_right_wrist')), aloha)
    assert caplog.messages == [
        "cameras ['cam_low'] of robot aloha are not trained with; the checkpoint will run only "
        'with a robot file without them'
    ]


def test_number_written_as_text_is_refused(tmp_path: Path) -> None:
    """YAML reads 1e-3 as text; the message says how to write it."""
    file = tmp_path / 'train.yaml'
    file.write_text('learning_rate: 1e-3\n')
    with pytest.raises(ConfigError, match=r'0\.001'):
        read_train_config(file)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('rate_hz: 15', 'whole multiple of rate_hz'),
        ('updates: -1', 'updates must be above 0'),
        ('horizon: 0', 'horizon must be above 0'),
        ('batch_size: 2.5', 'batch_size must be a whole number, got 2.5'),
        ('sigma_low: 0', 'sigma_low must be above 0'),
        ('action_steps: 0', 'action_steps must be above 0'),
        ('open_loop_rows: 17', 'open_loop_rows must be 1 to the horizon, 16'),
        ('open_loop_rows: 0', 'open_loop_rows must be 1 to the horizon, 16'),
        ('committed_rows: -1', 'committed_rows must be at least 0'),
        ('committed_rows: 16', 'committed_rows must be below the horizon, 16'),
        ('{sigma_low: 9, sigma_high: 8}', 'sigma_low must be below sigma_high'),
        ('compile: yes please', "compile must be true or false, got 'yes please'"),
        ('cameras: high', 'cameras must be a list'),
        ('transformer: {max_size: [4, 4]}', 'max_size must be three numbers'),
        ('autoencoder: {updates: many}', 'autoencoder: updates must be a whole number'),
    ],
)
def test_training_value_that_cannot_be_is_refused(tmp_path: Path, line: str, message: str) -> None:
    """Before hours are spent on it."""
    file = tmp_path / 'train.yaml'
    file.write_text(line)
    with pytest.raises(ConfigError, match=message):
        read_train_config(file)


def test_configuration_of_libero_is_that_of_its_demonstrations() -> None:
    """Its cameras, its actions, and the rate at which ``demonstrate`` holds rows."""
    config = read_train_config(share_path('config', 'libero.yaml'))
    hand = read_robot(robot_file('libero_panda'), simulated=True)
    check_cameras(config, hand)
    assert sorted(config.cameras) == ['primary', 'wrist']
    recorded_hz = Demonstrate.__dataclass_fields__['rate_hz'].default
    assert config.tick_hz == config.rate_hz == recorded_hz == 10.0
    assert hand.control_rate_hz / config.rate_hz == 2.0
    assert config.autoencoder.updates > 0


def flat(data: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Return key -> value, keys of sections as ``section.key``."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= flat(value, f'{key}.') if isinstance(value, dict) else {prefix + key: value}
    return found


def stated(file: Path) -> dict[str, Any]:
    """Return key -> value of what a file states itself, without defaults."""
    return flat(yaml.safe_load(file.read_text(encoding='utf-8')))


@pytest.mark.parametrize(
    'name', ['finetune.yaml', 'mended.yaml', 'planning.yaml', 'several_ways.yaml']
)
def test_value_other_than_that_of_a_run_from_scratch_says_so(name: str) -> None:
    """Where both files state a key, the comment has the other value: ``train.yaml: 9000``."""
    file = share_path('config', name)
    ours, theirs = stated(file), stated(FROM_SCRATCH)
    comments, section = {}, ''
    for line in file.read_text(encoding='utf-8').splitlines():
        if line.startswith('#'):
            continue
        key = line.split(':')[0]
        section = section if key.startswith(' ') else key
        path = f'{section}.{key.strip()}' if key.startswith(' ') else key
        comments[path] = re.findall(r'train\.yaml: ([^\s;)]+)', line)
    for key in ours.keys() & theirs.keys():
        told = [yaml.safe_load(text) for text in comments[key]]
        wanted = [] if ours[key] == theirs[key] else [theirs[key]]
        assert told == wanted, f'{name}: {key} is {ours[key]}, train.yaml says {theirs[key]}'


def test_default_action_weight_is_that_of_a_run_from_scratch() -> None:
    """A configuration that leaves it out trains as config/train.yaml does."""
    assert TrainConfig().action_weight == 100.0
    assert read_train_config(FROM_SCRATCH).action_weight == 100.0
    assert read_train_config(share_path('config', 'finetune.yaml')).action_weight == 100.0
