# SPDX-License-Identifier: Apache-2.0
"""A policy in the simulator of a benchmark, by the benchmark's own protocol.

Nothing waits for anything: the simulator stands while the policy plans, then plays the rows that
the policy's checkpoint says, and the policy is asked again.

Source: NVlabs/cosmos-policy ``run_libero_eval``, ``run_robocasa_eval``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.core.planner import make_plan
from cosmos_policy_ros.core.protocol import Policy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation.agent import Agent
from cosmos_policy_ros.evaluation.earlier import read_earlier
from cosmos_policy_ros.evaluation.workers import map_seeds
from cosmos_policy_ros.metrics import auc, rounded_percentiles, wilson_interval
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.simulator import find_simulator, Simulator, Suite
from cosmos_policy_ros.types import Observation
import numpy as np


@dataclass(frozen=True)
class Trial:
    """A task and the number of its start state."""

    task: str
    seed: int


@dataclass(frozen=True)
class TrialResult:
    """Outcome and figures of one trial.

    Attributes:
        task: Name of the task.
        seed: Number of the start state.
        success: Whether the task was done at any time.
        steps: Steps until then, or all of them.
        middle_value: Value of the chosen candidate of the query in the middle of the trial; None
            of a policy that has no value.
        values: Those of all queries; none of such a policy.
        query_ms: How long each took [ms].
    """

    task: str
    seed: int
    success: bool
    steps: int
    middle_value: float | None
    values: tuple[float, ...]
    query_ms: tuple[float, ...]


def play_trial(
    policy: Policy, sim: Simulator, robot: RobotSpec, suite: Suite, trial: Trial, query: PlanQuery
) -> TrialResult:
    """Play one trial with a policy.

    Args:
        policy: Policy to measure.
        sim: Simulator of the task, which is reset.
        robot: Cameras, control rate and ranges of an action.
        suite: Rows that settle the scene, and the most steps.
        trial: Which start state.
        query: How much the policy computes for each answer, and its seed, the same every time.

    Raises:
        ConfigError: The policy has no such task; words are not matched here.
    """
    sim.reset(trial.seed)
    idle = np.array(suite.idle, dtype=np.float32)
    for _ in range(suite.settle):
        sim.step(idle)
    config = policy.config
    held = max(1, round(robot.control_rate_hz / config.rate_hz))  # steps of a row
    steps, success = 0, sim.success
    values: list[float] = []
    query_ms: list[float] = []
    while steps < suite.most_steps and not success:
        images = {camera: sim.render(camera) for camera in config.cameras}
        stamp_ns = round(steps / robot.control_rate_hz * 1e9)
        start_s = time.perf_counter()
        observation = Observation(stamp_ns, images, sim.proprio, sim.task)
        plan = make_plan(policy.plan(observation, query).candidates, config.rate_hz)
        query_ms.append((time.perf_counter() - start_s) * 1e3)
        if not np.isnan(plan.scores[plan.best]):
            values.append(float(plan.scores[plan.best]))
        rows = plan.chunk.positions[: config.open_loop_rows or None]
        for row in rows.clip(robot.lower, robot.upper).repeat(held, axis=0):
            sim.step(row)
            steps += 1
            success = sim.success
            if success or steps == suite.most_steps:
                break
    return TrialResult(
        task=trial.task,
        seed=trial.seed,
        success=success,
        steps=steps,
        middle_value=values[len(values) // 2] if values else None,
        values=tuple(round(value, 4) for value in values),
        query_ms=tuple(round(ms, 2) for ms in query_ms),
    )


def play_suite(
    agent: Agent,
    simulator: str,
    name: str,
    robot: RobotSpec,
    trials: Sequence[Trial],
    *,
    seed: int | None = None,
    workers: int = 2,
    on_result: Callable[[TrialResult], None] = lambda _: None,
) -> list[TrialResult]:
    """Play trials of a suite side by side and return their results in the order of the trials.

    Args:
        agent: Policy to measure, and its query.
        simulator: Row of ``sim.simulator.SIMULATORS``.
        name: Suite.
        robot: Cameras, control rate and ranges of an action.
        trials: What to play; those of a task side by side, since its simulator opens slowly.
        seed: Seed of every query; None takes the base seed of the checkpoint.
        workers: Number of processes.
        on_result: Called with every result as it comes.

    Raises:
        ConfigError: Checkpoint, simulator, suite or task are wrong or do not fit each other.
    """
    open_player = partial(_open_player, agent, simulator, name, robot, tuple(trials), seed)
    return map_seeds(open_player, range(len(trials)), workers, on_result)


def _open_player(
    agent: Agent,
    simulator: str,
    name: str,
    robot: RobotSpec,
    trials: Sequence[Trial],
    seed: int | None,
) -> Callable[[int], TrialResult]:
    """Load the policy and return the function that plays the trial of a number."""
    policy = agent.load(robot)
    open_suite, open_task = find_simulator(simulator)
    suite, size = open_suite(name), (robot.cameras[0].height, robot.cameras[0].width)
    query = replace(agent.query, seed=policy.config.base_seed if seed is None else seed)
    open_now: dict[str, Simulator] = {}  # the simulator of one task at a time

    def play(number: int) -> TrialResult:
        trial = trials[number]
        if trial.task not in open_now:
            for other in open_now.values():
                other.close()
            open_now.clear()
            open_now[trial.task] = open_task(name, trial.task, size)
        return play_trial(policy, open_now[trial.task], robot, suite, trial, query)

    return play


def summarize_trials(results: Iterable[TrialResult], paper: float | None) -> dict[str, Any]:
    """Return the figures of a suite.

    Args:
        results: At least one.
        paper: Success rate that the paper reports; None where it reports none.

    Returns:
        ``episodes``, ``successes``, ``success_rate``, ``interval_95``, ``paper``, ``value_auc``,
        ``query_ms`` percentiles, ``steps`` percentiles of what succeeded; ``tasks``, for each of
        them ``episodes``, ``successes`` and ``interval_95``.
    """
    results = list(results)
    tasks = {
        task: _rate([r for r in results if r.task == task])
        for task in dict.fromkeys(r.task for r in results)
    }
    judged = [r for r in results if r.middle_value is not None]
    middle = np.array([r.middle_value for r in judged])
    return {
        **_rate(results),
        'success_rate': sum(r.success for r in results) / len(results),
        'paper': paper,
        'value_auc': auc(middle, np.array([r.success for r in judged], dtype=np.bool_)),
        'query_ms': rounded_percentiles([ms for r in results for ms in r.query_ms]),
        'steps': rounded_percentiles([r.steps for r in results if r.success]),
        'tasks': tasks,
    }


def read_trials(file: Path | None, measured: Mapping[str, Any]) -> list[TrialResult]:
    """Return the results that a file has already; none without a file.

    Args:
        file: What an earlier run wrote.
        measured: What this run measures.

    Raises:
        ConfigError: The file is another one, or its results are of something else.
    """
    return read_earlier(file, measured, 'results', _read_trial, 'cosmos-policy evaluate --sim')


def _read_trial(row: Mapping[str, Any]) -> TrialResult:
    """Return a result as a file has it."""
    numbers = {'values': tuple(row['values']), 'query_ms': tuple(row['query_ms'])}
    return TrialResult(**{**row, **numbers})


def _rate(results: Sequence[TrialResult]) -> dict[str, Any]:
    n, successes = len(results), sum(r.success for r in results)
    low, high = wilson_interval(successes, n)
    interval = [round(low, 4), round(high, 4)]
    return {'episodes': n, 'successes': successes, 'interval_95': interval}
