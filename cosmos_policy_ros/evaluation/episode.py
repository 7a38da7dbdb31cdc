# SPDX-License-Identifier: Apache-2.0
"""One episode of an evaluation: the running stack's loop without the processes.

The same pace of the queries, the same latencies and image ages, the same chunk player and the same
safety.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
import math
from pathlib import Path
import time
from types import MappingProxyType
from typing import NamedTuple

from cosmos_policy_ros.control.chunk_player import SeamJump
from cosmos_policy_ros.control.collision import open_scene, tool_distances_m
from cosmos_policy_ros.control.done import DoneWatch
from cosmos_policy_ros.control.pacing import most_committed_rows, Pacer
from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.control.takeover import Takeover
from cosmos_policy_ros.core.paraphrase import Match, TaskMatcher
from cosmos_policy_ros.core.planner import make_plan, Selection
from cosmos_policy_ros.core.protocol import Policy, PolicyFacts
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation.rollout_bag import describe_scene, open_rollout
from cosmos_policy_ros.evaluation.scenario import Scenario
from cosmos_policy_ros.evaluation.seen_images import SeenImages
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.person import MENDS_S, Person
from cosmos_policy_ros.sim.task_words import task_synonyms
from cosmos_policy_ros.types import Candidates, Observation, Plan
import numpy as np

PLAIN = PlanQuery(candidates=1)  # the policy without a choice
TIMEOUT_S = 0.5  # [s] as of the planner node; every query is answered here, so it seldom counts


class Proposal(NamedTuple):
    """The answer to one query.

    Attributes:
        candidates: All candidates with their values.
        plan: The choice among them.
    """

    candidates: Candidates
    plan: Plan


Planner = Callable[[Observation], Proposal]
Choose = Callable[[Candidates], Plan]


@dataclass(frozen=True)
class EpisodeResult:
    """Outcome and figures of one episode.

    Attributes:
        seed: Seed of the scene.
        success: Whether the task was done at the end.
        best_reward: Highest reward reached, 0 to 4.
        middle_value: Value of the candidate chosen nearest to the middle of the episode; None of a
            policy that has no value.
        values: Value of the chosen candidate of every query, in order; none of such a policy.
        query_ms: Durations of the queries [ms].
        choices: Of every query, whether another candidate than the first was chosen.
        apart_mm: Largest distance of a candidate from the first at the tools, of every query with
            several [mm]; empty for robots without a scene.
        seam_jumps_rad: Seam jump of every chunk that took over from another [rad].
        seam_jumps_rad_s: Its jump of speed [rad/s].
        standstill_s: Time without rows to play, from the first chunk on [s].
        committed_rows: How many rows of every answer were committed by its query.
        passed_rows: How many rows of every answer had passed when it came; more than were
            committed where it was late.
        chunks_refused: Answers that came too late to be played at all.
        interventions: Ticks whose target safety changed.
        intervention_reasons: How many of them for which reason, see ``Safety``.
        taken_over_s: When a person took over [s]; None where nobody did.
        done_s: When the value said that the task is done, and the episode ended [s]; None where it
            did not, or was not asked.
    """

    seed: int
    success: bool
    best_reward: int
    middle_value: float | None
    values: tuple[float, ...]
    query_ms: tuple[float, ...]
    choices: tuple[bool, ...]
    apart_mm: tuple[float, ...]
    seam_jumps_rad: tuple[float, ...]
    seam_jumps_rad_s: tuple[float, ...]
    standstill_s: float
    committed_rows: tuple[int, ...]
    passed_rows: tuple[int, ...]
    chunks_refused: int
    interventions: int
    intervention_reasons: Mapping[str, int]
    taken_over_s: float | None = None
    done_s: float | None = None


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
    choose = make_choose(robot, policy.config)
    planner = partial(propose, policy, replace(query, seed=seed), choose)
    try:
        return play_episode(planner, sim, robot, scenario, task, seed, policy.config, bag)
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


def propose(
    policy: Policy, query: PlanQuery, choose: Choose, observation: Observation
) -> Proposal:
    """Answer a query with a policy's candidates and a choice among them."""
    candidates = policy.plan(observation, query).candidates
    return Proposal(candidates, choose(candidates))


def make_choose(robot: RobotSpec, facts: PolicyFacts, selection: Selection = 'decisive') -> Choose:
    """Return how the running stack chooses among candidates, but for what they would touch.

    Args:
        robot: Robot, with the scene in which the candidates are compared at the tools, if any.
        facts: Rate of the policy's rows.
        selection: When another candidate than the first is played, see ``core.planner``.

    Raises:
        ConfigError: The scene cannot be read.
    """
    scene = open_scene(robot)

    def choose(candidates: Candidates) -> Plan:
        apart_m = tool_distances_m(scene, candidates.positions)
        return make_plan(candidates, facts.rate_hz, selection=selection, apart_m=apart_m)

    return choose


def play_candidate(plan: Plan, candidates: Candidates, which: int) -> Plan:
    """Return a plan that plays a given candidate, whatever it is worth."""
    chunk = replace(plan.chunk, positions=candidates.positions[which])
    return replace(plan, chunk=chunk, best=which, is_choice=which > 0)


def play_episode(
    planner: Planner,
    sim: AlohaSim,
    robot: RobotSpec,
    scenario: Scenario,
    task: str,
    seed: int,
    facts: PolicyFacts,
    bag: Path | None = None,
    details: Mapping[str, str] = MappingProxyType({}),
) -> EpisodeResult:
    """Play one episode in an open simulator and return what it came to.

    Args:
        planner: Answers a query with candidates and the choice among them.
        sim: Simulator of the scenario's task, which is reset.
        robot: Cameras, rates and limits.
        scenario: Start states, pace, latencies and image ages.
        task: Instruction given to the policy, one of its tasks.
        seed: Seed of the scene and of the pace.
        facts: Spacing and number of the rows of the answers, and how many may be committed.
        bag: Folder of a new bag of the episode; None records nothing.
        details: Further metadata of the bag.
    """
    sim.reset(seed, scenario.states, scenario.without)
    playback = Playback(robot, scenario.playback)
    person = Person(sim, seed) if scenario.mended else None
    arms = Takeover(robot, playback)
    arms.enable(sim.proprio, 0.0, 0)
    period_ns = round(1e9 / robot.control_rate_hz)
    images = SeenImages(robot, scenario.image_ages_s, seed)
    inference = _Inference(planner, scenario.latencies_s, seed)
    pacer, rate_hz = _make_pacer(scenario, facts), facts.rate_hz
    # At any time between two images, as a person starts the policy.
    start_tick = int(np.random.default_rng(seed).integers(_image_ticks(robot)))
    settings, commits = scenario.playback, scenario.playback.commits
    jumps: list[SeamJump] = []
    rows: list[tuple[int, int]] = []  # committed by a query, passed when its answer came
    chunks_refused, best_reward = 0, 0
    intervened = False
    taken_over_s: float | None = None
    watch, done_s = DoneWatch() if scenario.stop_when_done else None, None
    metadata = {**describe_scene(scenario, task, seed), **details}
    with open_rollout(bag, sim, robot, metadata) as rollout:
        for tick in range(round((scenario.seconds + MENDS_S) * robot.control_rate_hz)):
            now_ns = tick * period_ns
            led = person is not None and person.leads
            if done_s is not None or (now_ns >= scenario.seconds * 1e9 and not led):
                break
            if person is not None and person.is_done:
                break
            if tick == start_tick:
                pacer.start()
            # 1. Images and joints -> observation.
            fresh = {name: sim.render(name) for name in _due_cameras(robot, tick)}
            images.add(fresh, now_ns)
            rollout.write_sensed(fresh, now_ns)
            # 2. Observation -> candidates and choice, when it is time for a query.
            # One that commits has the stamp of the row that has become due since the last tick.
            row_ns = playback.next_row_ns(now_ns - period_ns + 1) if commits else None
            stamp_ns = now_ns if row_ns is None else row_ns
            if not led and stamp_ns <= now_ns and pacer.due(stamp_ns):
                pacer.note_query(stamp_ns)
                n_rows = pacer.committed_rows(rate_hz)
                committed = playback.upcoming(stamp_ns, rate_hz, n_rows) if commits else None
                seen = images.at(now_ns)
                inference.ask(Observation(stamp_ns, seen, sim.proprio, task, committed))
            # 3. Choice -> chunk player, once the latency has passed.
            for answer in () if led else inference.take(now_ns):
                chunk = settings.played(answer.proposal.plan.chunk, facts.open_loop_rows)
                passed = math.ceil((answer.arrival_ns - chunk.stamp_ns) * 1e-9 * rate_hz - 1e-6)
                rows.append((answer.committed_rows, passed))
                rollout.write_answer(answer.proposal.candidates, chunk, now_ns)
                score = float(answer.proposal.plan.scores[answer.proposal.plan.best])
                if watch is not None and watch.note(score, chunk.stamp_ns):
                    done_s = now_ns * 1e-9
                try:
                    playback.add(chunk, answer.arrival_ns)
                except ValueError:  # wholly in the past
                    chunks_refused += 1
                else:
                    if playback.stats.chunks > 1:
                        jumps.append(playback.stats.seam_jump)
                end_ns = answer.arrival_ns if playback.end_ns is None else playback.end_ns
                row_s = 1.0 / rate_hz if commits or settings.waits else 0.0
                chunk_s = (len(chunk.positions) - 1) / chunk.rate_hz
                arrival_ns = answer.arrival_ns
                pacer.note_answer(chunk.stamp_ns, arrival_ns, end_ns, row_s, chunk_s=chunk_s)
            # 4. A person who watches -> leaders, which are where the arms are before.
            if person is not None and playback.safety.state == 'enabled':
                held = led and arms.mode == 'hold'  # the hands go back to where the arms are
                if held or (not led and person.wants(now_ns * 1e-9)):
                    person.take_over(playback.safety.pose)
                    arms.lead(playback.safety.pose, 0.0)
                    arms.take_over()
                    taken_over_s = now_ns * 1e-9 if taken_over_s is None else taken_over_s
                if person.leads:
                    arms.lead(person.lead(), 0.0)
            # 5. Chunk or leaders -> safe command -> arms.
            command = arms.tick(sim.proprio, 0.0, now_ns)
            assert command is not None
            if arms.intervenes != intervened:
                intervened = arms.intervenes
                rollout.write_intervention(intervened, now_ns)
            rollout.step(command, now_ns)
            best_reward = max(best_reward, sim.reward)
    values = inference.values
    return EpisodeResult(
        seed=seed,
        success=sim.success,
        best_reward=best_reward,
        middle_value=values[len(values) // 2] if values else None,
        values=tuple(round(value, 4) for value in values),
        query_ms=tuple(round(ms, 2) for ms in inference.query_ms),
        choices=tuple(inference.choices),
        apart_mm=tuple(round(mm, 1) for mm in inference.apart_mm),
        seam_jumps_rad=tuple(round(jump.rad, 4) for jump in jumps),
        seam_jumps_rad_s=tuple(round(jump.rad_s, 3) for jump in jumps),
        standstill_s=round(playback.stats.standstill_s, 3),
        committed_rows=tuple(committed for committed, _ in rows),
        passed_rows=tuple(passed for _, passed in rows),
        chunks_refused=chunks_refused,
        interventions=playback.safety.interventions,
        intervention_reasons=dict(playback.safety.intervention_reasons),
        taken_over_s=taken_over_s,
        done_s=done_s,
    )


class _Answer(NamedTuple):
    """What comes back for a query, when, and how many rows the query committed to."""

    proposal: Proposal
    arrival_ns: int
    committed_rows: int


class _Inference:
    """Answers queries after a latency, one at a time, as an inference node does.

    Attributes:
        values: Value of the choice of every query, in order; none of a policy that has no value.
        query_ms: How long each was computed [ms].
        choices: Whether it chose another candidate than the first.
        apart_mm: Largest distance from the first, where it is known of several [mm].
    """

    def __init__(self, planner: Planner, latencies_s: Sequence[float], seed: int) -> None:
        self.values: list[float] = []
        self.query_ms: list[float] = []
        self.choices: list[bool] = []
        self.apart_mm: list[float] = []
        self._planner, self._latencies_s = planner, latencies_s
        self._rng = np.random.default_rng([seed, 3])
        self._answers: deque[_Answer] = deque()

    def ask(self, observation: Observation) -> None:
        """Take a query; its answer comes once its latency has passed."""
        start_s = time.perf_counter()
        proposal = self._planner(observation)
        self.query_ms.append((time.perf_counter() - start_s) * 1e3)
        plan = proposal.plan
        if not np.isnan(plan.scores[plan.best]):
            self.values.append(float(plan.scores[plan.best]))
        self.choices.append(plan.is_choice)
        if len(plan.scores) > 1 and math.isfinite(plan.apart_m):
            self.apart_mm.append(plan.apart_m * 1e3)
        free_ns = self._answers[-1].arrival_ns if self._answers else 0
        latency_ns = round(float(self._rng.choice(self._latencies_s)) * 1e9)
        arrival_ns = max(observation.stamp_ns, free_ns) + latency_ns
        n_rows = 0 if observation.committed is None else len(observation.committed)
        self._answers.append(_Answer(proposal, arrival_ns, n_rows))

    def take(self, now_ns: int) -> Iterator[_Answer]:
        """Yield the answers that have come by now [ns]."""
        while self._answers and self._answers[0].arrival_ns <= now_ns:
            yield self._answers.popleft()


def _make_pacer(scenario: Scenario, facts: PolicyFacts) -> Pacer:
    """Return the planner's pacer, which knows its latencies from the episodes before."""
    most_rows = most_committed_rows(facts.committed_rows, facts.horizon)
    waits = scenario.playback.waits
    pacer = Pacer(scenario.replan_s, scenario.margin_s, TIMEOUT_S, most_rows, waits)
    for latency_s in scenario.latencies_s:
        pacer.note_answer(0, round(latency_s * 1e9), 0)
    return pacer


def _image_ticks(robot: RobotSpec) -> int:
    """Return how many control ticks there are from one image of a camera to the next."""
    return max(1, round(robot.control_rate_hz / robot.cameras[0].rate_hz))


def _due_cameras(robot: RobotSpec, tick: int) -> list[str]:
    """Return the cameras that take an image in a control tick, all of them in the first.

    They are staggered by a tick each as in the simulator node, so that images have different ages.
    """
    cameras = enumerate(robot.cameras)
    return [c.name for i, c in cameras if not tick or (tick - i) % _image_ticks(robot) == 0]
