# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy evaluate``: success rate in the simulator, faster than real time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TYPE_CHECKING

from cosmos_policy_ros.backends import Precision
from cosmos_policy_ros.core.perturb import displace, displacement_rng
from cosmos_policy_ros.core.planner import make_plan
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation import rollout_bag
from cosmos_policy_ros.evaluation.displacement import plan_displaced
from cosmos_policy_ros.evaluation.episode import play_episode, play_scenes
from cosmos_policy_ros.evaluation.summary import (
    EpisodeResult,
    print_figures,
    summarize,
    write_figures,
)
from cosmos_policy_ros.outputs import check_output
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.sim.experts.table import TASKS
from cosmos_policy_ros.sim.states import Ingredient, States
from cosmos_policy_ros.types import Candidates, ConfigError, Observation, Plan
from rich.progress import Progress
import tyro

if TYPE_CHECKING:
    from cosmos_policy_ros.core.paraphrase import Match
    from cosmos_policy_ros.core.policy import CosmosPolicy
    from cosmos_policy_ros.sim.aloha import AlohaSim


@dataclass(frozen=True)
class Evaluate:
    """Measure the success rate on seeded scenes, faster than real time.

    Example: cosmos-policy evaluate --checkpoint models/aloha_sim --episodes 100
    --seed 100000 --json evaluation.json
    """

    checkpoint: Path = share_path('models', 'aloha_sim')
    """Checkpoint folder."""
    planning_checkpoint: Path | None = None
    """Checkpoint folder that scores the candidates; otherwise the first one does so itself."""
    task: Annotated[str, tyro.conf.arg(help=f'Simulated task: {" or ".join(TASKS)}.')] = (
        'transfer_cube'
    )
    instruction: str | None = None
    """What the policy is told, a task of the checkpoint or a paraphrase; None is the simulated
    task's own."""
    states: States = 'normal'
    """Start states: normal as in training; hard ones have pieces beside the range of training, in
    other colours and pushed once, and cameras moved a little."""
    without: tuple[Ingredient, ...] = ()
    """Ingredients of hard states that are as in training, to see what makes them hard."""
    episodes: int = 100
    """Number of episodes."""
    seed: int = 100000
    """Episode i uses seed + i; training used seeds below 100000."""
    candidates: int = 1  # the plain policy, what a success rate is first of all about
    """Candidates N per query; the best by value is played."""
    keep: tuple[int, ...] = ()
    """Candidates kept after each denoising step, by value so far; none keeps all to the end."""
    futures: int = 0
    """Predicted futures M per candidate; 0 reads the value from the joint denoising."""
    values: int = 0
    """Value samples K per future; 0 reads the value from the stage before."""
    spread_rad: float = 0.0
    """Standard deviation by which all candidates but the first are displaced in every arm joint,
    for more to choose from [rad]."""
    explore: float = 0.0
    """Share of the queries whose chunk is displaced by --spread-rad and played whatever comes of
    it, so that --record shows what does; for --candidates 1. The value recorded with it is that of
    the chunk before."""
    steps: int = 0
    """Denoising steps of the action chunk; 0 takes the checkpoint's."""
    replan_s: float = 0.8
    """Time between two queries [s]."""
    latency_s: float = 0.2
    """Simulated time between a query and its answer [s]."""
    workers: Annotated[int, tyro.conf.arg(aliases=['-j'])] = 2
    """Processes that play episodes side by side."""
    threads: int = 1
    """CPU threads of the networks in each process."""
    backend: str = 'auto'
    """What runs the networks; auto takes what cosmos-policy export wrote, else torch."""
    precision: Precision = 'auto'
    """Arithmetic of the networks; auto is bfloat16 where the processor has it."""
    robot: Path = share_path('config', 'robots', 'aloha_sim.yaml')
    """Robot YAML."""
    json: Path | None = None
    """Write the figures to this file."""
    record: Path | None = None
    """Write a bag of every episode to this folder, with all candidates and their values, to train
    on (--role planning) or to look at (cosmos-policy report)."""


def run(options: Evaluate) -> int:
    """Play the episodes, print a table and write the figures."""
    check(options, 'episodes', 'candidates', 'workers', 'threads')
    if options.without and options.states != 'hard':
        msg = f'--without is of hard states; give --states hard, not {options.states}'
        raise ConfigError(msg)
    if not 0.0 <= options.explore <= 1.0:
        msg = f'--explore must be between 0 and 1, got {options.explore}'
        raise ConfigError(msg)
    if options.explore and (options.candidates > 1 or not options.spread_rad):
        msg = '--explore plays the one candidate displaced; give --candidates 1 and --spread-rad'
        raise ConfigError(msg)
    seeds = range(options.seed, options.seed + options.episodes)
    if options.record:
        rollout_bag.refuse_existing(options.record, seeds)
    *_, taken = load(options)  # a mistake shows here, not in the middle of a worker
    if options.instruction not in (None, taken.task):
        print(f'taken for {taken.task!r} (similarity {taken.similarity:.2f})')
    results: list[EpisodeResult] = []
    with Progress() as progress:
        bar = progress.add_task('episodes', total=options.episodes)
        for result in play_scenes(partial(_prepare, options), _play, seeds, options.workers):
            results.append(result)
            done = sum(r.success for r in results)
            progress.update(bar, advance=1, description=f'{done} of {len(results)} succeeded')
    results.sort(key=lambda r: r.seed)
    figures = summarize(results)
    print_figures(figures)
    if options.json:
        rows = [asdict(r) for r in results]
        write_figures(options.json, figures, options, instruction=taken._asdict(), results=rows)
    return 0


def check(options: Any, *counts: str) -> None:
    """Refuse a count below 1, a negative --spread-rad or a --json that cannot be written.

    Raises:
        ConfigError: They have.
    """
    for name in counts:
        if getattr(options, name) < 1:
            msg = f'--{name} must be at least 1, got {getattr(options, name)}'
            raise ConfigError(msg)
    if options.spread_rad < 0.0:
        msg = f'--spread-rad must be at least 0, got {options.spread_rad}'
        raise ConfigError(msg)
    check_output('--json', options.json)


_WORKER: list[tuple[CosmosPolicy, AlohaSim, RobotSpec, Match, Evaluate]] = []  # of this process


def _prepare(options: Evaluate) -> None:
    """Load policy and scene once per process."""
    _WORKER.append((*load(options), options))


def load(options: Evaluate) -> tuple[CosmosPolicy, AlohaSim, RobotSpec, Match]:
    """Return policy, scene, robot and the task that the instruction means.

    Raises:
        ConfigError: One of them is wrong, or they do not fit each other.
    """
    from cosmos_policy_ros.backends import load_policy
    from cosmos_policy_ros.core.config import check_robot
    from cosmos_policy_ros.core.paraphrase import TaskMatcher
    from cosmos_policy_ros.sim.aloha import AlohaSim
    from cosmos_policy_ros.sim.task_words import task_synonyms

    robot = read_robot(options.robot)
    policy = load_policy(
        options.checkpoint,
        options.backend,
        threads=options.threads,
        precision=options.precision,
        planning=options.planning_checkpoint,
    )
    check_robot(policy.config, robot)
    plan_query(options, 0).check(policy.config.action_steps)
    sim = AlohaSim(options.task, (robot.cameras[0].height, robot.cameras[0].width))
    told = sim.task if options.instruction is None else options.instruction
    return policy, sim, robot, TaskMatcher(policy.tasks, task_synonyms()).find(told)


def propose(
    policy: CosmosPolicy, observation: Observation, options: Evaluate, seed: int
) -> Candidates:
    """Return the candidates that the options ask for."""
    query = plan_query(options, seed)
    return plan_displaced(policy, observation, query, options.spread_rad).candidates


def plan_query(options: Evaluate, seed: int) -> PlanQuery:
    """Return the planning query that the options ask for, with the noise of a seed."""
    return PlanQuery(
        candidates=options.candidates,
        futures=options.futures,
        values=options.values,
        keep=options.keep,
        seed=seed,
        steps=options.steps or None,
    )


def _play(seed: int) -> EpisodeResult:
    policy, sim, robot, taken, options = _WORKER[0]

    def ask(observation: Observation) -> tuple[Candidates, Plan]:
        # The noise is the same in every query: the candidates differ by theirs alone.
        answer = propose(policy, observation, options, seed)
        rng = displacement_rng(seed, observation.stamp_ns)
        if rng.random() < options.explore:
            chunk = displace(answer.positions[0], rng, options.spread_rad, policy.grippers)
            answer = replace(answer, positions=chunk[None])
        return answer, make_plan(answer, policy.config.rate_hz)

    return play_episode(ask, sim, robot, taken.task, options, seed)
