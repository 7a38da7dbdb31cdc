# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy headroom``: what choosing can gain, and what a value takes.

A scene is played once for each candidate of one query in the middle of it: the same up to there,
and from there on the policy's first candidate again. So it is known how each would have ended.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TYPE_CHECKING

from cosmos_policy_ros.cli import evaluate
from cosmos_policy_ros.core.planner import make_plan
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation.episode import play_episode, play_scenes
from cosmos_policy_ros.evaluation.oracle_summary import Choice, Scene, summarize
from cosmos_policy_ros.evaluation.summary import print_figures, write_figures
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.experts.table import TASKS
from cosmos_policy_ros.sim.states import States
from cosmos_policy_ros.types import Candidates, ConfigError, Observation, Plan
import numpy as np
from rich.progress import Progress
import tyro

if TYPE_CHECKING:
    from cosmos_policy_ros.core.paraphrase import Match
    from cosmos_policy_ros.core.policy import CosmosPolicy
    from cosmos_policy_ros.sim.aloha import AlohaSim

# The candidates are tried in the first query after a time drawn from here [s]; a period up to the
# longest has one in every episode.
FROM_S, TO_S, LONGEST_S = 0.8, 4.8, 3.0


@dataclass(frozen=True)
class Headroom:
    """Measure what the choice among N candidates can gain, and how much of it a value takes.

    Every candidate of one query per scene is tried, so the best choice in hindsight is known. It
    is an upper limit: it knows what luck comes after, which no value can.

    Example: cosmos-policy headroom --planning-checkpoints models/aloha_sim_planning
    --task transfer_cube --states hard --episodes 40 --json headroom.json
    """

    checkpoint: Path = share_path('models', 'aloha_sim')
    """Checkpoint folder that proposes; its own value is measured too."""
    planning_checkpoints: tuple[Path, ...] = ()
    """Checkpoint folders whose values are measured."""
    futures: int = 1
    """Predicted futures M per candidate, of the planning checkpoints."""
    values: int = 1
    """Value samples K per future, of the planning checkpoints."""
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
    replan_s: float = 0.8
    """Time between two queries [s]."""
    workers: Annotated[int, tyro.conf.arg(aliases=['-j'])] = 2
    """Processes that play scenes side by side."""
    backend: str = 'auto'
    """What runs the networks; auto takes what cosmos-policy export wrote, else torch."""
    json: Path | None = None
    """Write the figures to this file."""


def run(options: Headroom) -> int:
    """Play the scenes, print a table and write the figures."""
    evaluate.check(options, 'episodes', 'candidates', 'workers')
    if not 0.0 < options.replan_s <= LONGEST_S:
        msg = f'--replan-s must be above 0 and at most {LONGEST_S} s, got {options.replan_s}'
        raise ConfigError(msg)
    for settings in _settings(options):
        evaluate.load(settings)  # a mistake shows here, not in the middle of a worker
    seeds = range(options.seed, options.seed + options.episodes)
    scenes: list[Scene] = []
    with Progress() as progress:
        bar = progress.add_task('scenes', total=options.episodes)
        for scene in play_scenes(partial(_prepare, options), _play, seeds, options.workers):
            scenes.append(scene)
            progress.update(bar, advance=1)
    scenes.sort(key=lambda scene: scene.seed)
    figures = summarize(scenes)
    print_figures(figures)
    if options.json:
        rows = [asdict(scene) for scene in scenes]
        write_figures(options.json, figures, options, scenes=rows)
    return 0


def _settings(options: Headroom) -> list[evaluate.Evaluate]:
    """Return how the candidates are asked for: with the policy's own value, then with others."""
    shared = ('checkpoint', 'task', 'states', 'candidates', 'spread_rad', 'replan_s', 'backend')
    common: dict[str, Any] = {name: getattr(options, name) for name in shared}
    own = evaluate.Evaluate(**common)
    return [own] + [
        evaluate.Evaluate(
            planning_checkpoint=path, futures=options.futures, values=options.values, **common
        )
        for path in options.planning_checkpoints
    ]


Asked = tuple[evaluate.Evaluate, 'CosmosPolicy', 'AlohaSim', RobotSpec, 'Match']
_WORKER: list[Asked] = []  # of this process


def _prepare(options: Headroom) -> None:
    _WORKER.extend((settings, *evaluate.load(settings)) for settings in _settings(options))


def _play(seed: int) -> Scene:
    settings, policy, sim, robot, taken = _WORKER[0]
    at_s = np.random.default_rng([seed, 1]).uniform(FROM_S, TO_S)
    branch = _Branch(seed, round(at_s * 1e9))
    played = []
    for branch.candidate in range(settings.candidates):
        played.append(play_episode(branch, sim, robot, taken.task, settings, seed))
    answers = branch.answers
    plans = [make_plan(answer, policy.config.rate_hz) for answer in answers]
    arms = answers[0].positions[:, :, robot.arm_joints]
    return Scene(
        seed=seed,
        at_s=round(answers[0].stamp_ns * 1e-9, 2),
        success=tuple(episode.success for episode in played),
        spread_rad=float(arms.std(0).mean()),
        shift_rad=float(arms.mean(1).std(0).mean()),
        values={
            _name(worker[0]): Choice(tuple(plan.scores.tolist()), plan.best)
            for worker, plan in zip(_WORKER, plans, strict=True)
        },
        later=tuple(episode.values[branch.before + 1 :] for episode in played),
    )


def _name(settings: evaluate.Evaluate) -> str:
    """Return what a value is called in the figures."""
    return str(settings.planning_checkpoint or 'own')


class _Branch:
    """Answers queries with the policy's first candidate, and one of them with a given one.

    Attributes:
        candidate: The given one.
        answers: What that query was answered with every value; the candidates are the same. Every
            episode is the same up to there, so it is asked in the first one only.
        before: Number of queries before that one.
    """

    def __init__(self, seed: int, from_ns: int) -> None:
        """Take the noise's seed, and from when on that query comes."""
        self.candidate, self.before = 0, 0
        self.answers: list[Candidates] = []
        self._seed, self._from_ns = seed, from_ns

    def __call__(self, observation: Observation) -> tuple[Candidates, Plan]:
        """Answer a query."""
        policy = _WORKER[0][1]
        if not self.answers and observation.stamp_ns >= self._from_ns:
            self.answers = [
                evaluate.propose(policy, observation, s, self._seed) for s, policy, *_ in _WORKER
            ]
        self.before += not self.answers
        if not self.answers or observation.stamp_ns != self.answers[0].stamp_ns:
            answer = policy.plan(observation, PlanQuery(1, seed=self._seed)).candidates
            return answer, make_plan(answer, policy.config.rate_hz)
        answer = self.answers[0]
        plan = make_plan(answer, policy.config.rate_hz)
        chunk = replace(plan.chunk, positions=answer.positions[self.candidate])
        return answer, replace(plan, chunk=chunk, best=self.candidate)
