# SPDX-License-Identifier: Apache-2.0
"""One episode of an evaluation: the running stack's loop without the processes.

The same observation age, the same latency between query and answer, the same chunk player and the
same safety.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
import time
from types import MappingProxyType
from typing import NamedTuple

from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.core.paraphrase import Match, TaskMatcher
from cosmos_policy_ros.core.planner import make_plan
from cosmos_policy_ros.core.protocol import Policy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation.rollout_bag import describe_scene, open_rollout
from cosmos_policy_ros.evaluation.scenario import Scenario
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.task_words import task_synonyms
from cosmos_policy_ros.sim.tasks import EPISODE_S
from cosmos_policy_ros.types import ActionChunk, Candidates, Observation, Plan
import numpy as np
from numpy.typing import NDArray

PLAIN = PlanQuery(candidates=1)  # the policy without a choice


class Proposal(NamedTuple):
    """The answer to one query.

    Attributes:
        candidates: All candidates with their values.
        plan: The choice among them.
    """

    candidates: Candidates
    plan: Plan


Planner = Callable[[Observation], Proposal]


@dataclass(frozen=True)
class EpisodeResult:
    """Outcome and figures of one episode.

    Attributes:
        seed: Seed of the scene.
        success: Whether the task was done at the end.
        best_reward: Highest reward reached, 0 to 4.
        middle_value: Value of the candidate chosen nearest to the middle of the episode.
        values: Value of the chosen candidate of every query, in order.
        query_ms: Durations of the queries [ms].
        seam_jump_rad: Largest seam jump [rad].
        interventions: Ticks whose target safety changed.
    """

    seed: int
    success: bool
    best_reward: int
    middle_value: float
    values: tuple[float, ...]
    query_ms: tuple[float, ...]
    seam_jump_rad: float
    interventions: int


def play_scene(
    policy: Policy,
    scenario: Scenario,
    robot: RobotSpec,
    seed: int,
    query: PlanQuery = PLAIN,
    bag: Path | None = None,
) -> EpisodeResult:
    """Play one seeded scene with a policy, faster than real time.

    Args:
        policy: Policy to measure.
        scenario: Task, start states and pace.
        robot: Cameras, rates and limits.
        seed: Seed of the scene, of the pace and of the candidates.
        query: How much the policy computes for each answer; its seed is not used.
        bag: Folder of a new bag of the episode; None records nothing.

    Raises:
        ConfigError: The instruction means none of the policy's tasks.
    """
    sim = open_sim(scenario, robot)
    task = match_instruction(policy, scenario).task
    planner = partial(propose, policy, replace(query, seed=seed))
    try:
        return play_episode(planner, sim, robot, scenario, task, seed, bag)
    finally:
        sim.close()


def open_sim(scenario: Scenario, robot: RobotSpec) -> AlohaSim:
    """Return the simulator of a scenario, with images of the size of the robot's cameras."""
    return AlohaSim(scenario.task, (robot.cameras[0].height, robot.cameras[0].width))


def match_instruction(policy: Policy, scenario: Scenario) -> Match:
    """Return which of a policy's tasks the instruction of a scenario means.

    Raises:
        ConfigError: It means none of them, or more than one.
    """
    return TaskMatcher(policy.tasks, task_synonyms()).find(scenario.given_instruction)


def propose(policy: Policy, query: PlanQuery, observation: Observation) -> Proposal:
    """Answer a query with a policy's candidates and the best of them by value."""
    candidates = policy.plan(observation, query).candidates
    return Proposal(candidates, make_plan(candidates, policy.config.rate_hz))


def play_episode(
    planner: Planner,
    sim: AlohaSim,
    robot: RobotSpec,
    scenario: Scenario,
    task: str,
    seed: int,
    bag: Path | None = None,
    details: Mapping[str, str] = MappingProxyType({}),
) -> EpisodeResult:
    """Play one episode in an open simulator and return what it came to.

    Args:
        planner: Answers a query with candidates and the choice among them.
        sim: Simulator of the scenario's task, which is reset.
        robot: Cameras, rates and limits.
        scenario: Start states, pace and latency.
        task: Instruction given to the policy, one of its tasks.
        seed: Seed of the scene and of the pace.
        bag: Folder of a new bag of the episode; None records nothing.
        details: Further metadata of the bag.
    """
    sim.reset(seed, scenario.states, scenario.without)
    playback = Playback(robot, scenario.playback)
    playback.enable(sim.proprio, 0.0, 0)
    period_ns = round(1e9 / robot.control_rate_hz)
    replan_ticks = max(1, round(scenario.replan_s * robot.control_rate_hz))
    latency_ticks = round(scenario.latency_s * robot.control_rate_hz)
    images: dict[str, NDArray[np.uint8]] = {}
    waiting: list[tuple[int, Candidates, ActionChunk]] = []  # tick of arrival, answer, choice
    values: list[float] = []
    query_ms: list[float] = []
    best_reward, next_query = 0, 0
    rng = np.random.default_rng(seed)
    metadata = {**describe_scene(scenario, task, seed), **details}
    with open_rollout(bag, sim, robot, metadata) as rollout:
        for tick in range(round(EPISODE_S * robot.control_rate_hz)):
            now_ns = tick * period_ns
            # 1. Images and joints -> observation.
            fresh = {name: sim.render(name) for name in _due_cameras(robot, tick)}
            images |= fresh
            rollout.write_sensed(fresh, now_ns)
            # 2. Observation -> candidates and choice, when it is time for a query.
            if tick >= next_query:
                # The pace wanders a little, so that queries do not always meet fresh images.
                next_query = tick + replan_ticks + int(rng.integers(-1, 2))
                start_s = time.perf_counter()
                candidates, plan = planner(Observation(now_ns, dict(images), sim.proprio, task))
                query_ms.append((time.perf_counter() - start_s) * 1e3)
                values.append(float(plan.scores[plan.best]))
                waiting.append((tick + latency_ticks, candidates, plan.chunk))
            # 3. Choice -> chunk player, once the latency has passed.
            while waiting and waiting[0][0] <= tick:
                _, candidates, chunk = waiting.pop(0)
                playback.add(chunk, now_ns)
                rollout.write_answer(candidates, chunk, now_ns)
            # 4. Chunk -> safe command -> arms.
            command = playback.tick(sim.proprio, 0.0, now_ns)
            assert command is not None
            rollout.step(command, now_ns)
            best_reward = max(best_reward, sim.reward)
    return EpisodeResult(
        seed=seed,
        success=sim.success,
        best_reward=best_reward,
        middle_value=values[len(values) // 2],
        values=tuple(round(value, 4) for value in values),
        query_ms=tuple(round(ms, 2) for ms in query_ms),
        seam_jump_rad=round(playback.stats.seam_jump_rad_max, 4),
        interventions=playback.safety.interventions,
    )


def _due_cameras(robot: RobotSpec, tick: int) -> list[str]:
    """Return the cameras that take an image in a control tick, all of them in the first.

    They are staggered by a tick each as in the simulator node, so that images have different ages.
    """
    image_ticks = round(robot.control_rate_hz / robot.cameras[0].rate_hz)
    cameras = enumerate(robot.cameras)
    return [c.name for i, c in cameras if not tick or (tick - i) % image_ticks == 0]
