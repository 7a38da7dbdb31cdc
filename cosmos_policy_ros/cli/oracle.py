# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy oracle``: what choosing can gain, and what a value takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from cosmos_policy_ros.backends import Precision
from cosmos_policy_ros.cli.counts import check_counts
from cosmos_policy_ros.cli.figures import print_figures, write_figures
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.outputs import check_output
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.resources import robot_file, share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.experts.table import TASKS
from cosmos_policy_ros.sim.states import States
import tyro


@dataclass(frozen=True)
class Oracle:
    """Measure oracle best-of-N: what a choice can gain, and how much of it a value takes.

    Every candidate of one query per scene is tried, so the best choice in hindsight is known. It
    is an upper limit: it knows what luck comes after, which no value can.

    Example: cosmos-policy oracle --planning-checkpoints models/aloha_sim_planning
    --task transfer_cube --states hard --episodes 40 --json oracle.json
    """

    checkpoint: Path = share_path('models', 'aloha_sim')
    """Checkpoint folder that proposes; its own value is measured too."""
    planning_checkpoints: tuple[Path, ...] = ()
    """Checkpoint folders whose values are measured."""
    futures: int = 1
    """Predicted futures M per candidate, of the planning checkpoints."""
    values: int = 1
    """Value samples K per future, of the planning checkpoints."""
    depth: int = 1
    """With 2, every value is also read two chunks ahead, in an imagined state."""
    task: Annotated[str, tyro.conf.arg(help=f'Simulated task: {" or ".join(TASKS)}.')] = (
        'transfer_cube'
    )
    states: States = 'normal'
    """Start states, as for evaluate."""
    episodes: int = 40
    """Number of scenes."""
    seed: int = 150000
    """Scene i uses seed + i."""
    candidates: int = 8
    """Candidates N, each played once."""
    spread_rad: float = 0.0
    """Standard deviation by which all candidates but the first are displaced [rad]."""
    temperature: float = 0.0
    """How far the candidates are spread as different plans, see evaluate."""
    paired: bool = True
    """Judge all candidates with the same noise, see evaluate."""
    replan_s: float = 0.8
    """Time between two queries [s]."""
    between_s: tuple[float, float] = (0.8, 4.8)
    """A scene branches in the first query after a time that is drawn from between these [s]; 0 and
    0 are the first query of all, for a task that is decided there."""
    workers: Annotated[int, tyro.conf.arg(aliases=['-j'])] = 2
    """Processes that play scenes side by side."""
    backend: str = 'auto'
    """What runs the networks; auto takes what cosmos-policy export wrote, else torch."""
    precision: Precision = 'auto'
    """Arithmetic of the networks; auto is bfloat16 where the processor has it."""
    json: Path | None = None
    """Write the figures to this file, after every scene; one that is there is read first, and
    scenes that it lacks are played."""


def run(options: Oracle) -> int:
    """Play the scenes, print a table and write the figures."""
    from cosmos_policy_ros.evaluation import (  # loads torch and MuJoCo
        Agent,
        check_branches,
        describe_branches,
        Displacement,
        OracleScene,
        play_branches,
        read_scenes,
        Scenario,
        summarize_oracle,
    )

    check_counts(options, 'episodes', 'candidates', 'workers')
    check_output('--json', options.json)
    scenario = Scenario(options.task, states=options.states, replan_s=options.replan_s)
    own = PlanQuery(options.candidates, temperature=options.temperature, paired=options.paired)
    judged = replace(own, futures=options.futures, values=options.values)
    agent = partial(
        Agent,
        checkpoint=options.checkpoint,
        displacement=Displacement(options.spread_rad),
        backend=options.backend,
        precision=options.precision,
    )
    agents = [
        agent(planning_checkpoint=path, query=replace(query, depth=depth))
        for depth in sorted({1, options.depth})
        for path, query in (
            (None, own),  # by the policy's own value
            *((path, judged) for path in options.planning_checkpoints),
        )
    ]
    robot = read_robot(robot_file('aloha_sim'))
    measured = {}
    if options.json:
        measured = describe_branches(agents, scenario, robot, options.between_s)
    done = read_scenes(options.json, measured)
    known = {scene.seed for scene in done}
    seeds = range(options.seed, options.seed + options.episodes)
    missing = [seed for seed in seeds if seed not in known]
    if missing:
        check_branches(agents, scenario, robot, options.between_s)
    if done:
        print(f'{options.json} has {len(done)} scenes already; {len(missing)} are played now')
    with Progress() as progress:
        bar = progress.add_task('scenes', total=len(done) + len(missing), completed=len(done))

        def note(scene: OracleScene) -> None:
            done.append(scene)
            done.sort(key=lambda one: one.seed)
            progress.advance(bar)
            if options.json:
                rows = [asdict(one) for one in done]
                figures = summarize_oracle(done)
                write_figures(options.json, figures, options, measured=measured, results=rows)

        if missing:
            play_branches(
                agents,
                scenario,
                robot,
                missing,
                between_s=options.between_s,
                workers=options.workers,
                on_scene=note,
            )
    print_figures(summarize_oracle(done))
    return 0
