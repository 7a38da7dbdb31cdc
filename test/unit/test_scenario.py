# SPDX-License-Identifier: Apache-2.0
"""What an evaluation plays, and who plays it, is checked once when it is written down."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import math
import os
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.cli.evaluate import Evaluate
from cosmos_policy_ros.cli.oracle import Oracle
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation import Agent, Displacement, Scenario
from cosmos_policy_ros.evaluation.workers import map_seeds
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.types import ConfigError
import pytest
import yaml


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'task': 'fold_shirt'}, r"no simulated task 'fold_shirt'.*insert_peg.*transfer_cube"),
        ({'states': 'easy'}, r"no start states 'easy'.*normal.*hard"),
        ({'states': 'hard', 'without': ('wind',)}, r"hard states have no \['wind'\].*place.*push"),
        ({'without': ('push',)}, 'give states hard, not normal'),
        ({'replan_s': -0.1}, 'replan_s must be at least 0 s, got -0.1'),
        ({'latencies_s': (0.1, math.nan)}, 'latencies_s must be at least 0 s, got nan'),
        ({'latencies_s': ()}, 'latencies_s is empty'),
        ({'image_ages_s': (-0.1,)}, 'image_ages_s must be at least 0 s, got -0.1'),
        ({'seconds': 0.0}, 'an episode takes at least 1 s, got 0.0'),
    ],
)
def test_scenario_that_cannot_be_played_is_refused(fields: dict[str, Any], message: str) -> None:
    """Before a policy is loaded."""
    with pytest.raises(ConfigError, match=message):
        Scenario(**fields)


def test_commands_play_at_the_pace_of_a_scenario_and_of_the_running_stack() -> None:
    """A success rate is about what the demo does, so the defaults of all of them agree."""
    nodes = yaml.safe_load(share_path('config', 'nodes.yaml').read_text(encoding='utf-8'))
    planner = nodes['planner']['ros__parameters']
    assert Evaluate().replan_s == Oracle().replan_s == Scenario().replan_s == planner['replan_s']
    assert Scenario().margin_s == planner['margin_s']
    assert (Evaluate().latency_s,) == Scenario().latencies_s


def test_scenario_gives_the_instruction_of_its_task_unless_it_has_another() -> None:
    """A policy is told by words alone what to do."""
    assert Scenario('insert_peg').given_instruction == 'insert the red peg into the blue socket'
    assert Scenario('insert_peg', 'put it in').given_instruction == 'put it in'


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: Displacement(spread_rad=-0.1), 'spread_rad must be at least 0, got -0.1'),
        (lambda: Displacement(0.1, explore=1.5), 'explore must be between 0 and 1, got 1.5'),
        (lambda: Agent(threads=0), 'threads must be at least 1, got 0'),
        (
            lambda: Agent(query=PlanQuery(2), displacement=Displacement(0.1, 0.5)),
            'not candidates 2 with spread_rad 0.1',
        ),
    ],
)
def test_agent_that_cannot_be_measured_is_refused(make: Callable[[], Any], message: str) -> None:
    """Before a checkpoint is loaded."""
    with pytest.raises(ConfigError, match=message):
        make()


def test_plain_agent_measures_the_policy_without_a_choice() -> None:
    """A success rate is first of all about one candidate."""
    assert Agent().query == PlanQuery(candidates=1, futures=0, values=0)


def open_player() -> Callable[[int], tuple[int, int]]:
    """Return what plays a seed, with the process that opened it."""
    opened_by = os.getpid()
    return lambda seed: (seed, opened_by)


def test_seeds_are_played_in_other_processes_that_open_once() -> None:
    """Policy and simulator are loaded as often as there are processes, not as there are seeds."""
    shown: list[Any] = []
    results = map_seeds(open_player, range(7, 12), 1, shown.append)
    assert sorted(shown) == sorted(results)
    assert [seed for seed, _ in results] == [7, 8, 9, 10, 11]
    (opened_by,) = {process for _, process in results}
    assert opened_by != os.getpid()


def open_failing_player(folder: Path) -> Callable[[int], int]:
    """Return what plays slow scenes, notes each in a folder, and fails at the first."""

    def play(seed: int) -> int:
        (folder / str(seed)).touch()
        if seed == 0:
            msg = 'the simulator is gone'
            raise RuntimeError(msg)
        time.sleep(0.2)
        return seed

    return play


def test_no_scene_is_handed_out_after_one_has_failed(tmp_path: Path) -> None:
    """Hours of them would be played before anybody learned why; some are under way by then."""
    with pytest.raises(RuntimeError, match='the simulator is gone'):
        map_seeds(partial(open_failing_player, tmp_path), range(20), 1)
    assert len([*tmp_path.iterdir()]) < 20
