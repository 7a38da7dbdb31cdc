# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy evaluate``: success rate in the simulator, faster than real time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TYPE_CHECKING

from cosmos_policy_ros.backends import Precision
from cosmos_policy_ros.cli.counts import check_counts
from cosmos_policy_ros.cli.figures import print_figures, write_figures
from cosmos_policy_ros.core.config import Conditioning
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.outputs import check_output
from cosmos_policy_ros.resources import robot_file, share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.experts.table import TASKS
from cosmos_policy_ros.sim.states import Ingredient, States
from cosmos_policy_ros.sim.tasks import UNSEEN_SEED
from rich.progress import Progress
import tyro

if TYPE_CHECKING:
    from cosmos_policy_ros.evaluation import EpisodeResult


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
    """Instruction given to the policy, a task of the checkpoint or a paraphrase; by
    default the simulated task's own."""
    states: States = 'normal'
    """Start states: normal as in training; hard ones have pieces beside the range of training, in
    other colours and pushed once, and cameras moved a little."""
    without: tuple[Ingredient, ...] = ()
    """Ingredients of hard states that are as in training, to see what makes them hard."""
    episodes: int = 100
    """Number of episodes."""
    seed: int = UNSEEN_SEED
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
    conditioning: Conditioning = 'auto'
    """How a chunk comes to begin with the committed rows; auto takes the first of trained,
    corrected and replaced that the checkpoint is made for."""
    robot: Path = robot_file('aloha_sim')
    """Robot YAML."""
    json: Path | None = None
    """Write the figures to this file."""
    record: Path | None = None
    """Write a bag of every episode to this folder, with all candidates and their values, to train
    on (--role planning) or to look at (cosmos-policy report)."""


def run(options: Evaluate) -> int:
    """Play the episodes, print a table and write the figures."""
    from cosmos_policy_ros.evaluation import (  # loads torch and MuJoCo
        Agent,
        check_evaluation,
        Displacement,
        evaluate_scenes,
        Scenario,
        summarize_episodes,
    )

    check_counts(options, 'episodes', 'candidates', 'workers', 'threads')
    check_output('--json', options.json)
    scenario = Scenario(
        task=options.task,
        instruction=options.instruction,
        states=options.states,
        without=options.without,
        replan_s=options.replan_s,
        latency_s=options.latency_s,
    )
    agent = Agent(
        checkpoint=options.checkpoint,
        planning_checkpoint=options.planning_checkpoint,
        query=PlanQuery(
            candidates=options.candidates,
            futures=options.futures,
            values=options.values,
            keep=options.keep,
            steps=options.steps or None,
        ),
        displacement=Displacement(options.spread_rad, options.explore),
        backend=options.backend,
        precision=options.precision,
        threads=options.threads,
        conditioning=options.conditioning,
    )
    robot = read_robot(options.robot)
    seeds = range(options.seed, options.seed + options.episodes)
    match = check_evaluation(agent, scenario, robot, options.record, seeds)
    if options.instruction not in (None, match.task):
        print(f'taken for {match.task!r} (similarity {match.similarity:.2f})')
    with Progress() as progress:
        bar = progress.add_task('episodes', total=options.episodes)
        succeeded = []

        def show(result: EpisodeResult) -> None:
            succeeded.append(result.success)
            description = f'{sum(succeeded)} of {len(succeeded)} succeeded'
            progress.update(bar, advance=1, description=description)

        results = evaluate_scenes(
            agent,
            scenario,
            robot,
            seeds,
            workers=options.workers,
            record=options.record,
            on_result=show,
        )
    figures = summarize_episodes(results)
    print_figures(figures)
    if options.json:
        rows = [asdict(result) for result in results]
        write_figures(options.json, figures, options, instruction=match._asdict(), results=rows)
    return 0
