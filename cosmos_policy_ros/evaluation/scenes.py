# SPDX-License-Identifier: Apache-2.0
"""An evaluation: many seeded scenes with one policy, in worker processes side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.core.paraphrase import Match
from cosmos_policy_ros.evaluation.agent import Agent
from cosmos_policy_ros.evaluation.displacement import propose_displaced
from cosmos_policy_ros.evaluation.earlier import read_earlier
from cosmos_policy_ros.evaluation.episode import (
    EpisodeResult,
    make_choose,
    match_instruction,
    open_sim,
    play_episode,
)
from cosmos_policy_ros.evaluation.rollout_bag import refuse_existing
from cosmos_policy_ros.evaluation.scenario import Scenario
from cosmos_policy_ros.evaluation.sim_bag import bag_path
from cosmos_policy_ros.evaluation.workers import map_seeds
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError


def check_evaluation(
    agent: Agent,
    scenario: Scenario,
    robot: RobotSpec,
    record: Path | None = None,
    seeds: Iterable[int] = (),
) -> Match:
    """Load all that an evaluation needs once and return the task that the instruction means.

    A mistake shows here, not in the middle of a worker process.

    Args:
        agent: Policy to measure, and its query.
        scenario: Task, start states and pace.
        robot: Cameras, rates and limits.
        record: Folder for a bag of every episode, None to record nothing.
        seeds: Seeds of those episodes.

    Raises:
        ConfigError: A bag exists already; checkpoints, robot, query or instruction are wrong or do
            not fit each other; or the simulator's files are not installed.
    """
    if record is not None:
        refuse_existing(record, seeds)
    policy = agent.load(robot)
    if scenario.stop_when_done and not policy.config.has_value:
        msg = f'{agent.checkpoint} has no value that could say that the task is done; leave out '
        msg += 'stop_when_done'
        raise ConfigError(msg)
    open_sim(scenario, robot)
    return match_instruction(policy, scenario)


def evaluate_scenes(
    agent: Agent,
    scenario: Scenario,
    robot: RobotSpec,
    seeds: Iterable[int],
    *,
    workers: int = 2,
    record: Path | None = None,
    on_result: Callable[[EpisodeResult], None] = lambda _: None,
) -> list[EpisodeResult]:
    """Play seeded scenes side by side and return their results in the order of the seeds.

    Args:
        agent: Policy to measure, and its query.
        scenario: Task, start states and pace.
        robot: Cameras, rates and limits.
        seeds: Seeds of the scenes.
        workers: Number of processes.
        record: Folder for a bag of every episode, with all candidates and their values; None
            records nothing.
        on_result: Called with every result as it comes, to show progress.

    Raises:
        ConfigError: See ``check_evaluation``, which shows a mistake sooner.
    """
    open_player = partial(_open_player, agent, scenario, robot, record)
    return map_seeds(open_player, seeds, workers, on_result)


def describe_measured(agent: Agent, scenario: Scenario, robot: RobotSpec) -> dict[str, Any]:
    """Return all that the results of scenes depend on but their seeds, as JSON has it.

    Args:
        agent: Policy that is measured, and its query.
        scenario: Task, start states and pace.
        robot: Cameras, rates and limits.

    Raises:
        ConfigError: A checkpoint folder is missing.
    """
    chosen = ('selection', 'backend', 'precision', 'conditioning')
    details = {
        **agent.describe(),
        **asdict(agent.query),
        **asdict(agent.displacement),
        **asdict(scenario),
        **{name: getattr(agent, name) for name in chosen},
        'robot': robot.name,
    }
    return dict(json.loads(json.dumps(details)))  # with lists, as they are read back


def read_results(file: Path | None, measured: Mapping[str, Any]) -> list[EpisodeResult]:
    """Return the results that a file of an evaluation has already; none without a file.

    Args:
        file: What an earlier run wrote, perhaps one that was interrupted.
        measured: What this run measures, see ``describe_measured``.

    Raises:
        ConfigError: The file is another one, or its results are of something else.
    """
    return read_earlier(file, measured, 'results', _read_result, 'cosmos-policy evaluate')


def _read_result(row: Mapping[str, Any]) -> EpisodeResult:
    """Return a result as a file has it."""
    facts: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in row.items()}
    return EpisodeResult(**facts)


def _open_player(
    agent: Agent, scenario: Scenario, robot: RobotSpec, record: Path | None
) -> Callable[[int], EpisodeResult]:
    """Load policy and simulator and return the function that plays the scene of a seed."""
    policy, sim = agent.load(robot), open_sim(scenario, robot)
    task = match_instruction(policy, scenario).task
    facts = policy.config
    details = agent.describe() if record is not None else {}
    choose = make_choose(robot, facts, agent.selection)

    def play(seed: int) -> EpisodeResult:
        # The noise is the same in every query: the candidates differ by theirs alone.
        query = replace(agent.query, seed=seed)
        planner = partial(propose_displaced, policy, query, agent.displacement, choose)
        bag = None if record is None else bag_path(record, seed)
        return play_episode(planner, sim, robot, scenario, task, seed, facts, bag, details)

    return play
