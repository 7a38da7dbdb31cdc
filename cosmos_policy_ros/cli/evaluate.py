# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy evaluate``: success rate in the simulator, faster than real time.

The loop is the running stack's without the processes: the same observation age, the same latency
between asking and answering, the same chunk player and the same safety.
"""

from __future__ import annotations

from concurrent.futures import as_completed, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
import json
import multiprocessing
from pathlib import Path
import time
from typing import Annotated, TYPE_CHECKING

from cosmos_policy_ros.backends import Precision
from cosmos_policy_ros.cli import evaluate_record
from cosmos_policy_ros.cli.evaluate_report import EpisodeResult, print_figures, summarize
from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.core.planner import check_keep, make_plan
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.sim.states import States
from cosmos_policy_ros.sim.tasks import TASKS
from cosmos_policy_ros.stack import share_path
from cosmos_policy_ros.types import ActionChunk, Candidates, ConfigError, Observation
import numpy as np
from numpy.typing import NDArray
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
    episodes: int = 100
    """Number of episodes."""
    seed: int = 100000
    """Episode i uses seed + i; training used seeds below 100000."""
    candidates: int = 1
    """Candidates N per query; the best by value is played."""
    keep: tuple[int, ...] = ()
    """Candidates kept after each denoising step, by value so far; none keeps all to the end."""
    futures: int = 0
    """Predicted futures M per candidate; 0 reads the value from the joint denoising."""
    values: int = 0
    """Value samples K per future; 0 reads the value from the stage before."""
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
    for name in ('episodes', 'candidates', 'workers', 'threads'):
        if getattr(options, name) < 1:
            msg = f'--{name} must be at least 1, got {getattr(options, name)}'
            raise ConfigError(msg)
    if options.json and not options.json.parent.is_dir():
        msg = f'--json {options.json}: there is no folder {options.json.parent}; make it first'
        raise ConfigError(msg)
    if options.record:
        seeds = range(options.seed, options.seed + options.episodes)
        evaluate_record.refuse_existing(options.record, seeds)
    *_, taken = _load(options)  # a mistake shows here, not in the middle of a worker
    if options.instruction not in (None, taken.task):
        print(f'taken for {taken.task!r} (similarity {taken.similarity:.2f})')
    results: list[EpisodeResult] = []
    # spawn: neither an EGL context nor torch's threads survive a fork
    pool = ProcessPoolExecutor(
        max(1, options.workers), multiprocessing.get_context('spawn'), _prepare, (options,)
    )
    with pool, Progress() as progress:
        jobs = [pool.submit(_play, options.seed + i) for i in range(options.episodes)]
        bar = progress.add_task('episodes', total=options.episodes)
        for job in as_completed(jobs):
            results.append(job.result())
            done = sum(r.success for r in results)
            progress.update(bar, advance=1, description=f'{done} of {len(results)} succeeded')
    results.sort(key=lambda r: r.seed)
    figures = summarize(results)
    print_figures(figures)
    if options.json:
        details = {
            **figures,
            'instruction': taken._asdict(),
            'options': {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()},
            'results': [asdict(r) for r in results],
        }
        options.json.write_text(json.dumps(details, indent=2) + '\n', encoding='utf-8')
    return 0


_WORKER: list[tuple[CosmosPolicy, AlohaSim, RobotSpec, Match, Evaluate]] = []  # of this process


def _prepare(options: Evaluate) -> None:
    """Load policy and scene once per process."""
    _WORKER.append((*_load(options), options))


def _load(options: Evaluate) -> tuple[CosmosPolicy, AlohaSim, RobotSpec, Match]:
    """Return policy, scene, robot and the task that the instruction means.

    Raises:
        ConfigError: One of them is wrong, or they do not fit each other.
    """
    from cosmos_policy_ros.backends import load_policy
    from cosmos_policy_ros.core.config import check_robot
    from cosmos_policy_ros.core.paraphrase import TaskMatcher
    from cosmos_policy_ros.sim.aloha import AlohaSim

    robot = read_robot(options.robot)
    policy = load_policy(
        options.checkpoint,
        options.backend,
        threads=options.threads,
        precision=options.precision,
        planning=options.planning_checkpoint,
    )
    check_robot(policy.config, robot)
    if options.steps:
        policy.config = replace(policy.config, action_steps=options.steps)
    check_keep(options.keep, options.candidates, policy.config.action_steps)
    sim = AlohaSim(options.task, (robot.cameras[0].height, robot.cameras[0].width))
    told = sim.task if options.instruction is None else options.instruction
    return policy, sim, robot, TaskMatcher(policy.text.tasks).find(told)


def _play(seed: int) -> EpisodeResult:
    policy, sim, robot, taken, options = _WORKER[0]
    return play_episode(policy, sim, robot, taken.task, options, seed)


def play_episode(
    policy: CosmosPolicy, sim: AlohaSim, robot: RobotSpec, task: str, options: Evaluate, seed: int
) -> EpisodeResult:
    """Play one episode and return what it came to.

    Args:
        policy: Policy under test.
        sim: Scene, which is reset.
        robot: Rates and limits.
        task: What the policy is told, one of its tasks.
        options: Candidates, latency and so on.
        seed: Seed of the scene and of the noise, which is the same in every query.
    """
    from cosmos_policy_ros.sim.aloha import EPISODE_S

    sim.reset(seed, options.states)
    path = evaluate_record.bag_path(options.record, seed) if options.record else None
    details = {'task': task, 'seed': str(seed), 'states': options.states}
    if path is not None:
        checkpoints = options.checkpoint, options.planning_checkpoint
        details |= evaluate_record.checkpoint_hashes(*checkpoints)
    playback = Playback(robot)
    playback.enable(sim.proprio, 0.0, 0)
    period_ns = round(1e9 / robot.control_rate_hz)
    image_ticks = round(robot.control_rate_hz / robot.cameras[0].rate_hz)
    replan_ticks = max(1, round(options.replan_s * robot.control_rate_hz))
    latency_ticks = round(options.latency_s * robot.control_rate_hz)
    images: dict[str, NDArray[np.uint8]] = {}
    waiting: list[tuple[int, Candidates, ActionChunk]] = []  # tick of arrival, answer, choice
    values, query_ms, best = [], [], 0
    rng, next_query = np.random.default_rng(seed), 0
    with evaluate_record.rollout(path, sim, robot, details) as played:
        for tick in range(round(EPISODE_S * robot.control_rate_hz)):
            now_ns = tick * period_ns
            # Staggered as in the simulator node, so that images have different ages.
            due = [
                c.name
                for i, c in enumerate(robot.cameras)
                if not tick or (tick - i) % image_ticks == 0
            ]
            fresh = {name: sim.render(name) for name in due}
            images |= fresh
            played.see(fresh, now_ns)
            if tick >= next_query:
                # The pace wanders a little, so that queries do not always meet fresh images.
                next_query = tick + replan_ticks + int(rng.integers(-1, 2))
                start_s = time.perf_counter()
                answer = policy.plan(
                    Observation(now_ns, dict(images), sim.proprio, task),
                    options.candidates, options.futures, options.values, seed, keep=options.keep,
                )  # fmt: skip
                plan = make_plan(answer, policy.config.rate_hz)
                query_ms.append((time.perf_counter() - start_s) * 1e3)
                values.append(float(plan.scores[plan.best]))
                waiting.append((tick + latency_ticks, answer, plan.chunk))
            while waiting and waiting[0][0] <= tick:
                _, answer, chunk = waiting.pop(0)
                playback.add(chunk, now_ns)
                played.hear(answer, chunk, now_ns)
            command = playback.tick(sim.proprio, 0.0, now_ns)
            assert command is not None
            played.step(command, now_ns)
            best = max(best, sim.reward)
    return EpisodeResult(
        seed=seed,
        success=sim.success,
        best_reward=best,
        middle_value=values[len(values) // 2],
        values=tuple(round(value, 4) for value in values),
        query_ms=tuple(round(ms, 2) for ms in query_ms),
        seam_jump_rad=round(playback.tally.seam_jump_rad_max, 4),
        interventions=playback.safety.interventions,
    )
