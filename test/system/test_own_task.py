# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/tutorials/your_own_task.md, run as they are, with fewer episodes."""

from __future__ import annotations

import json
import os
from pathlib import Path
import re
import subprocess

import numpy as np
import pytest
import tiny

pytest.importorskip('rclpy')

from cosmos_policy_ros.data.bags.files import read_metadata
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.nodes.planner_node import PlannerParams
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from ros_domains import ros_domain

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ROBOT = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
CONFIG = f"""
updates: 200
warmup: 1
decay: 100
batch_size: 4
measure_every: 100
save_s: 0.0
precision: {tiny.PRECISION}
autoencoder: {{updates: 0}}
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the commands ran."""
    root = tmp_path_factory.mktemp('clone')
    for name in ('.venv', 'models', 'config'):
        (root / name).symlink_to(ROOT / name)
    folder = root / 'my_task'
    folder.mkdir()
    (folder / 'train.yaml').write_text(CONFIG, encoding='utf-8')
    page = (ROOT / 'docs' / 'tutorials' / 'your_own_task.md').read_text(encoding='utf-8')
    commands = re.findall(r'```bash\n(.*?)```', page, re.DOTALL)[0]
    fewer = {'EPISODES': '3', 'EVALUATED': '2', 'WATCHED': '1', 'KILL_AFTER': '45'}
    with ros_domain():
        environment = {**os.environ, **fewer, 'CONFIG': 'train.yaml'}
        subprocess.run(['bash', '-c', commands], cwd=folder, env=environment, check=True)
    return folder


def test_recorder_wrote_whole_labelled_demonstrations(folder: Path) -> None:
    """Every tick has what safety sent, every camera its images; nothing is missing."""
    bags = sorted((folder / 'bags').glob('episode_*'))
    assert len(bags) == 3
    for bag in bags:
        metadata = read_metadata(bag)
        assert metadata['complete'] == 'true'
        assert 'invalid' not in metadata
        assert metadata['source'] == 'demo'
        assert metadata['operator'] == 'scripted expert'
        audit = json.loads(metadata['audit'])
        episode = read_bag(bag, ROBOT, None)
        for topic in (c.topic for c in ROBOT.cameras):
            assert audit[topic]['count'] >= 0.95 * audit[topic]['expected'] > 20
        assert audit['/joint_command']['count'] >= 0.95 * len(episode.actions)
        assert len(episode.actions) > 200
        assert np.abs(episode.actions - episode.proprio)[:, ROBOT.arm_joints].max() < 0.5
    assert any(read_metadata(bag)['success'] == 'true' for bag in bags)


def test_every_format_leads_back_to_the_same_episodes(folder: Path) -> None:
    """Joints and actions to the last bit, images as many."""
    originals = [read_bag(bag, ROBOT, None) for bag in sorted((folder / 'bags').glob('episode_*'))]
    for name in ('hdf5', 'hdf5-cosmos', 'lerobot'):
        bags = sorted((folder / f'bags_from_{name}').iterdir())
        for bag, original in zip(bags, originals, strict=True):
            back = read_bag(bag, ROBOT, None)
            np.testing.assert_array_equal(back.actions, original.actions)
            np.testing.assert_array_equal(back.proprio, original.proprio)
            assert (back.success, back.task) == (original.success, original.task)
            frames = {camera: len(images) for camera, images in original.images.items()}
            assert {camera: len(images) for camera, images in back.images.items()} == frames


def test_interrupted_run_was_resumed_and_measured(folder: Path) -> None:
    """The checkpoint is whole and answers in the evaluation and in the demo."""
    lines = (folder / 'policy' / 'work' / 'log.jsonl').read_text().splitlines()
    assert [json.loads(line)['step'] for line in lines] == [100, 200]
    assert json.loads((folder / 'evaluation.json').read_text())['episodes']
    (episode,) = json.loads((folder / 'demo' / 'report.json').read_text())['episodes']
    due = episode['seconds'] / PlannerParams.replan_s
    # Slow answers that leave less of a chunk make more due, but a query has one answer at most.
    assert 0.5 * due < episode['answers'] <= episode['queries']
