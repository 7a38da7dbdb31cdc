# SPDX-License-Identifier: Apache-2.0
"""Oracle best-of-N: every candidate of one query is played to the end of the episode.

A scene is played once for each candidate of a query in the middle of it: the same up to there, and
from there on the policy's first candidate again. So it is known how each would have ended, which
no value can know, and what the choices of some values come to can be compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
import math
from pathlib import Path
from typing import Any

from cosmos_policy_ros.control.collision import open_scene, tool_distances_m
from cosmos_policy_ros.core.planner import make_plan
from cosmos_policy_ros.core.protocol import Policy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation.agent import Agent
from cosmos_policy_ros.evaluation.displacement import plan_displaced
from cosmos_policy_ros.evaluation.earlier import read_earlier
from cosmos_policy_ros.evaluation.episode import (
    match_instruction,
    open_sim,
    play_candidate,
    play_episode,
    Proposal,
)
from cosmos_policy_ros.evaluation.oracle_summary import Choice, OracleScene
from cosmos_policy_ros.evaluation.scenario import Scenario
from cosmos_policy_ros.evaluation.scenes import check_evaluation, describe_measured
from cosmos_policy_ros.evaluation.workers import map_seeds
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.types import Candidates, ConfigError, Observation
import numpy as np

MIDDLE_S = (0.8, 4.8)  # of an episode
LONGEST_S = 3.0  # pace at which an episode has a query after any of these times


def check_branches(
    agents: Sequence[Agent],
    scenario: Scenario,
    robot: RobotSpec,
    between_s: tuple[float, float] = MIDDLE_S,
) -> None:
    """Load all that oracle best-of-N needs once.

    A mistake shows here, not in the middle of a worker process.

    Args:
        agents: See ``play_branches``.
        scenario: Task, start states and pace.
        robot: Cameras, rates and limits.
        between_s: See ``play_branches``.

    Raises:
        ConfigError: The pace or the times are such that an episode may have no query to branch
            in, or as ``check_evaluation`` for one of the agents.
    """
    if not 0.0 < scenario.replan_s <= LONGEST_S:
        msg = f'replan_s must be above 0 and at most {LONGEST_S} s, got {scenario.replan_s}'
        raise ConfigError(msg)
    first_s, last_s = between_s
    if not 0.0 <= first_s <= last_s <= MIDDLE_S[1]:
        msg = f'scenes branch between two times from 0 to {MIDDLE_S[1]} s, got {between_s}'
        raise ConfigError(msg)
    for agent in agents:
        check_evaluation(agent, scenario, robot)


def play_branches(
    agents: Sequence[Agent],
    scenario: Scenario,
    robot: RobotSpec,
    seeds: Sequence[int],
    *,
    between_s: tuple[float, float] = MIDDLE_S,
    workers: int = 2,
    on_scene: Callable[[OracleScene], None] = lambda _: None,
) -> list[OracleScene]:
    """Play every candidate of one query of each scene and return what came of them, by seed.

    Args:
        agents: The first one proposes the candidates and plays; the values of all are measured.
            They share checkpoint, candidates and displacement, so that the candidates are the
            same, and differ in what judges them.
        scenario: Task, start states and pace.
        robot: Cameras, rates and limits.
        seeds: Seeds of the scenes.
        between_s: A scene branches in the first query after a time that is drawn from between
            these [s]; 0 and 0 are the first query of all.
        workers: Number of processes.
        on_scene: Called with every scene as it comes, to show progress.

    Raises:
        ConfigError: See ``check_branches``, which shows a mistake sooner.
    """
    open_player = partial(_open_player, agents, scenario, robot, between_s)
    return map_seeds(open_player, seeds, workers, on_scene)


def describe_branches(
    agents: Sequence[Agent], scenario: Scenario, robot: RobotSpec, between_s: tuple[float, float]
) -> dict[str, Any]:
    """Return all that the scenes of ``play_branches`` depend on but their seeds, as JSON has it.

    Args:
        agents: See ``play_branches``.
        scenario: Task, start states and pace.
        robot: Cameras, rates and limits.
        between_s: See ``play_branches``.

    Raises:
        ConfigError: A checkpoint folder is missing.
    """
    described = {_name_value(agent): describe_measured(agent, scenario, robot) for agent in agents}
    return {'values': described, 'between_s': list(between_s)}


def read_scenes(file: Path | None, measured: Mapping[str, Any]) -> list[OracleScene]:
    """Return the scenes that a file has already; none without a file.

    Args:
        file: What an earlier run wrote, perhaps one that was interrupted.
        measured: What this run measures, see ``describe_branches``.

    Raises:
        ConfigError: The file is another one, or its scenes are of something else.
    """
    return read_earlier(file, measured, 'results', _read_scene, 'cosmos-policy oracle')


def _read_scene(row: Mapping[str, Any]) -> OracleScene:
    """Return a scene as a file has it."""
    values = {name: Choice(tuple(scores), best) for name, (scores, best) in row['values'].items()}
    later = tuple(tuple(one) for one in row['later'])
    listed = {name: tuple(row[name]) for name in ('success', 'next_values')}
    return OracleScene(**{**row, **listed, 'values': values, 'later': later})


def _name_value(agent: Agent) -> str:
    """Return the name of an agent's value in the figures."""
    name, depth = str(agent.planning_checkpoint or 'own'), agent.query.depth
    return f'{name}, depth {depth}' if depth > 1 else name


@dataclass(frozen=True)
class _Judge:
    """An agent with its policy loaded."""

    agent: Agent
    policy: Policy

    def plan(self, observation: Observation, seed: int) -> Candidates:
        """Return the candidates with its values."""
        query = replace(self.agent.query, seed=seed)
        spread_rad = self.agent.displacement.spread_rad
        return plan_displaced(self.policy, observation, query, spread_rad).candidates


def _open_player(
    agents: Sequence[Agent],
    scenario: Scenario,
    robot: RobotSpec,
    between_s: tuple[float, float],
) -> Callable[[int], OracleScene]:
    """Load policies and simulator and return the function that plays a scene's candidates."""
    judges = [_Judge(agent, agent.load(robot)) for agent in agents]
    sim = open_sim(scenario, robot)
    task = match_instruction(judges[0].policy, scenario).task
    return partial(_play_candidates, judges, sim, robot, scenario, between_s, task)


def _play_candidates(
    judges: Sequence[_Judge],
    sim: AlohaSim,
    robot: RobotSpec,
    scenario: Scenario,
    between_s: tuple[float, float],
    task: str,
    seed: int,
) -> OracleScene:
    """Play a scene once for each candidate of the branching query."""
    at_s = np.random.default_rng([seed, 1]).uniform(*between_s)
    branch = _Branch(judges, seed, round(at_s * 1e9))
    episodes, next_values, facts = [], [], judges[0].policy.config
    chunk_ns = round(facts.horizon / facts.rate_hz * 1e9)
    for branch.candidate in range(judges[0].agent.query.candidates):
        branch.stamps_ns.clear()
        episode = play_episode(branch, sim, robot, scenario, task, seed, facts)
        ahead_ns = np.array(branch.stamps_ns) - branch.answers[0].stamp_ns - chunk_ns
        nearest = int(np.abs(ahead_ns).argmin())
        near = abs(ahead_ns[nearest]) * 1e-9 <= scenario.replan_s / 2
        next_values.append(episode.values[nearest] if near else None)
        episodes.append(episode)
    answers = branch.answers
    plans = [make_plan(answer, facts.rate_hz) for answer in answers]
    apart_m = tool_distances_m(open_scene(robot), answers[0].positions)
    arms = answers[0].positions[:, :, robot.arm_joints]
    return OracleScene(
        seed=seed,
        at_s=round(answers[0].stamp_ns * 1e-9, 2),
        success=tuple(episode.success for episode in episodes),
        spread_rad=float(arms.std(0).mean()),
        shift_rad=float(arms.mean(1).std(0).mean()),
        apart_mm=math.nan if apart_m is None else round(float(apart_m.max()) * 1e3, 1),
        values={
            _name_value(judge.agent): Choice(tuple(plan.scores.tolist()), plan.best)
            for judge, plan in zip(judges, plans, strict=True)
        },
        later=tuple(episode.values[branch.before + 1 :] for episode in episodes),
        next_values=tuple(next_values),
    )


class _Branch:
    """Answers queries with the policy's first candidate, and one of them with a given one.

    Attributes:
        candidate: The given one.
        answers: The branching query's answer with every judge's values; the candidates are the
            same. Every episode is the same up to there, so it is planned in the first one only.
        before: Number of queries before that one.
        stamps_ns: Stamps of the queries of an episode, for who clears it before each [ns].
    """

    def __init__(self, judges: Sequence[_Judge], seed: int, from_ns: int) -> None:
        """Begin before the first episode of a scene.

        Args:
            judges: The first one proposes; the values of all are kept.
            seed: Seed of the noise.
            from_ns: The first query from this time on branches [ns].
        """
        self.candidate, self.before = 0, 0
        self.answers: list[Candidates] = []
        self.stamps_ns: list[int] = []
        self._judges, self._seed, self._from_ns = judges, seed, from_ns

    def __call__(self, observation: Observation) -> Proposal:
        """Answer a query."""
        self.stamps_ns.append(observation.stamp_ns)
        policy = self._judges[0].policy
        if not self.answers and observation.stamp_ns >= self._from_ns:
            self.answers = [judge.plan(observation, self._seed) for judge in self._judges]
        self.before += not self.answers
        if not self.answers or observation.stamp_ns != self.answers[0].stamp_ns:
            plain = PlanQuery(candidates=1, seed=self._seed)
            only = policy.plan(observation, plain).candidates
            return Proposal(only, make_plan(only, policy.config.rate_hz))
        answer = self.answers[0]
        plan = make_plan(answer, policy.config.rate_hz)
        return Proposal(answer, play_candidate(plan, answer, self.candidate))
