# SPDX-License-Identifier: Apache-2.0
"""Demonstrations of another simulator: recorded, read as any episode, and trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.cli.demonstrate import Demonstrate, run as demonstrate
from cosmos_policy_ros.core.config import read_config
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.data.episodes import list_episodes, read_episode
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.evaluation import suite_demonstration
from cosmos_policy_ros.evaluation.benchmark import play_trial, Trial
from cosmos_policy_ros.evaluation.suite_demonstration import (
    episode_file,
    missing_files,
    play_demonstration,
    record_suite_demonstrations,
)
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim import libero
from cosmos_policy_ros.sim.experts.pick_and_place import PickAndPlace
from cosmos_policy_ros.sim.simulator import find_demonstration, Suite
from cosmos_policy_ros.training.trainer import train
from cosmos_policy_ros.types import ConfigError
from hand_world import HandWorld
import numpy as np
import pytest
from toy_training import TOY

PANDA = read_robot(robot_file('libero_panda'), simulated=True)
IDLE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
RULES = Suite(('put_the_cup_into_the_basket',), 50, 10, IDLE, 280)


def script_of(world: HandWorld) -> Callable[[np.random.Generator, float], PickAndPlace]:
    """Return what makes the script of a world."""
    return lambda rng, row_s: PickAndPlace(world, 'cup', 'basket', rng, row_s)


def record(folder: Path, seed: int, rules: Suite = RULES, rate_hz: float = 10.0) -> HandWorld:
    """Record a demonstration, and return the world as it is then."""
    world = HandWorld()
    episode = play_demonstration(world, script_of(world), PANDA, rules, seed, rate_hz)
    folder.mkdir(parents=True, exist_ok=True)
    write_hdf5(episode_file(folder, seed), episode, PANDA)
    return world


def test_demonstration_is_read_with_the_numbers_of_the_robot_file(tmp_path: Path) -> None:
    """Nine measured numbers, seven of an action, an image of each camera a row."""
    world = record(tmp_path, seed=3)
    (stored,) = list_episodes(tmp_path)
    episode = read_episode(stored, PANDA)
    assert (episode.source, episode.success, episode.rate_hz) == ('demo', True, 10.0)
    assert episode.task == 'put the cup into the basket'
    n = len(episode.actions)
    assert (episode.proprio.shape, episode.actions.shape) == ((n, 9), (n, 7))
    assert {name: len(images) for name, images in episode.images.items()} == {
        'wrist': n, 'primary': n,
    }  # fmt: skip
    np.testing.assert_allclose(episode.proprio[0, 2:5], [-0.1, 0.0, 0.27], atol=1e-6)
    assert set(episode.actions[:, 6].tolist()) == {-1.0, 1.0}
    assert episode.actions[-1].tolist() == list(IDLE)
    assert world.success


def test_scene_settles_and_every_row_is_held_for_two_steps(tmp_path: Path) -> None:
    """As a policy of 10 Hz is played at the 20 Hz of the simulator."""
    world = record(tmp_path, seed=0)
    episode = read_episode(list_episodes(tmp_path)[0], PANDA)
    assert world.played[:10] == [list(IDLE)] * 10
    np.testing.assert_array_equal(np.array(world.played[10::2], np.float32), episode.actions)
    np.testing.assert_array_equal(np.array(world.played[11::2], np.float32), episode.actions)


def test_demonstration_that_failed_is_a_rollout(tmp_path: Path) -> None:
    """World model and value learn from it, and nobody imitates it."""
    record(tmp_path, seed=0, rules=replace(RULES, most_steps=40))
    episode = read_episode(list_episodes(tmp_path)[0], PANDA)
    assert (episode.source, episode.success, len(episode.actions)) == ('rollout', False, 20)


def test_what_is_there_is_not_recorded_again(tmp_path: Path) -> None:
    """Where all is there, no simulator is opened."""
    record(tmp_path, seed=1)
    assert missing_files(tmp_path, range(3)) == [0, 2]
    nothing = record_suite_demonstrations(
        tmp_path, 'libero', 'libero_object', 'a', PANDA, [], rate_hz=10.0
    )
    assert nothing == []


def test_rate_has_to_divide_that_of_the_simulator(tmp_path: Path) -> None:
    """A row that is held for two steps and a half is none."""
    for rate_hz in (8.0, 40.0, 0.0):
        with pytest.raises(ConfigError, match='take a divisor of 20'):
            record(tmp_path, seed=0, rate_hz=rate_hz)


def test_tasks_without_a_script_are_named() -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigError, match='no script does the tasks of robocasa'):
        find_demonstration('robocasa')
    with pytest.raises(ConfigError, match='no script does the tasks of libero_10'):
        libero.open_demonstration('libero_10', 'a', (8, 8))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (Demonstrate(Path('x'), suite='libero_object'), '--suite is of a benchmark'),
        (Demonstrate(Path('x'), rate_hz=5.0), '--rate-hz is of a benchmark'),
        (Demonstrate(Path('x'), sim='libero'), '--sim libero needs --suite'),
        (Demonstrate(Path('x'), sim='libero', suite='y', live=True), '--live means nothing'),
        (Demonstrate(Path('x'), episodes=0), '--episodes must be at least 1'),
    ],
    ids=lambda given: given if isinstance(given, str) else '',
)
def test_options_that_mean_nothing_are_refused(options: Demonstrate, message: str) -> None:
    """Instead of being left out without a word."""
    with pytest.raises(ConfigError, match=f'^{message}'):
        demonstrate(options)


def test_command_records_every_task_into_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What one has already is left out; the robot is that of the benchmark."""
    rules = replace(RULES, tasks=('a', 'b'))
    monkeypatch.setattr(libero, 'open_suite', lambda name: rules)
    calls = []

    def note(out: Path, *words: object, **options: object) -> list[bool]:
        calls.append((out.name, *words[:3], words[3].name, words[4], options['rate_hz']))  # type: ignore[attr-defined]
        return [True] * len(words[4])  # type: ignore[arg-type]

    monkeypatch.setattr(suite_demonstration, 'record_suite_demonstrations', note)
    record(tmp_path / 'b', seed=7)
    demonstrate(Demonstrate(tmp_path, sim='libero', suite='libero_object', episodes=2, seed=6))
    same = ('libero', 'libero_object')
    assert calls == [
        ('a', *same, 'a', 'libero_panda', [6, 7], 10.0),
        ('b', *same, 'b', 'libero_panda', [6], 10.0),
    ]
    printed = ' '.join(capsys.readouterr().out.split())
    assert '2 episodes, 1 recorded now, 1 of those successful' in printed


@pytest.mark.slow
def test_policy_is_trained_on_them_and_drives_the_hand(tmp_path: Path) -> None:
    """The whole way, at toy size: rows stay actions of the simulator, eight of them a query."""
    for seed in range(4):
        record(tmp_path / 'demonstrations' / 'cup', seed)
    config = replace(
        TOY,
        cameras=('wrist', 'primary'),
        tick_hz=10.0,
        rate_hz=10.0,
        horizon=8,
        open_loop_rows=4,
    )
    train([tmp_path / 'demonstrations'], tmp_path / 'policy', PANDA, config)
    facts = read_config(tmp_path / 'policy' / 'policy.json')
    assert (facts.action_size, facts.proprio_size, facts.open_loop_rows) == (7, 9, 4)
    assert facts.joint_names[-1] == 'panda/gripper'
    world = HandWorld()
    policy = load_policy(tmp_path / 'policy', 'torch', threads=1)
    rules = replace(RULES, most_steps=16)
    result = play_trial(policy, world, PANDA, rules, Trial('cup', 0), PlanQuery(1))
    assert (result.steps, len(result.values)) == (16, 2)
    rows = np.array(world.played[10:])
    np.testing.assert_array_equal(rows[::2], rows[1::2])
    assert np.isfinite(rows).all()
