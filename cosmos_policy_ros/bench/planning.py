# SPDX-License-Identifier: Apache-2.0
"""How much faster a planning query is than the reference's order of work, and whether it agrees.

Both run in this process on the same weights, observations and noise, one after the other in every
round. The reference denoises one candidate, one future and one value at a time, encodes a whole
video for every candidate and decodes every future; see ``bench/reference_order.py``. Searches that
are cheaper than the exact one are measured by ``bench/search.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
import time
from typing import Any, TypeVar

from cosmos_policy_ros.backends import load_cosmos_policy, Precision
from cosmos_policy_ros.bench.reference_order import reference_plan
from cosmos_policy_ros.bench.search import (
    CANDIDATES,
    compare_searches,
    Counted,
    ENSEMBLE,
    FUTURES,
    JOINT,
    print_searches,
    VALUES,
)
from cosmos_policy_ros.core.planner import make_plan
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.report.machine import describe_machine, load_average
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.experts.table import make_expert, TASKS
from cosmos_policy_ros.sim.tasks import UNSEEN_SEED
from cosmos_policy_ros.types import Candidates, ConfigError, Observation
import numpy as np
from rich.console import Console
from rich.table import Table

Result = TypeVar('Result')

CURVE = (1, 2, 4, 8, 16)  # candidates
DEPTHS = (1, 2, 3)  # chunks imagined one after the other
OBSERVATIONS = 100  # on which searches by joint value are compared


def measure_planning(
    checkpoint: Path,
    rounds: int,
    threads: int,
    backend: str = 'auto',
    precision: Precision = 'auto',
) -> dict[str, Any]:
    """Time planning queries, print a table and return the figures.

    Args:
        checkpoint: Checkpoint folder.
        rounds: Observations that both orders of work answer, and searches with ensembles.
        threads: CPU threads of the networks.
        backend: What runs the networks of the batched query; the reference's order takes
            ``diffusers`` in float32.
        precision: Their arithmetic.

    Returns:
        ``speedup_vs_reference`` of a query with 8 candidates, 3 futures and 5 values, and
        ``speedup_n1`` of one candidate; ``same_choice``, the share of queries with the same
        chosen candidate; ``max_action_error_rad`` and ``max_value_error`` against the reference;
        ``t8_over_8t1``; ``network_calls`` and those of the reference; ``ms`` by candidates;
        ``depth_ms`` of 8 candidates by joint value, by depth; under ``searches`` cost and choice
        of cheaper ones, see ``compare_searches``.
    """
    policy = load_cosmos_policy(checkpoint, backend, threads=threads, precision=precision)
    exact = load_cosmos_policy(checkpoint, 'diffusers', threads=threads, precision='float32')
    fast = policy.backend = Counted(policy.backend)
    slow = exact.backend = Counted(exact.backend)
    observations = sample_observations(policy, max(rounds, OBSERVATIONS))
    pairs = {n: Pair(policy, exact, n) for n in (1, CANDIDATES)}
    curve: dict[int, list[float]] = {n: [] for n in CURVE}
    deeper: dict[int, list[float]] = {depth: [] for depth in DEPTHS}
    with Progress(transient=True) as progress:
        for obs in progress.track(observations[:rounds], description='planning'):
            for pair in pairs.values():
                fast.calls = slow.calls = 0
                pair.run(obs)
                pair.calls = fast.calls, slow.calls
            for n, times in curve.items():
                times.append(_time(partial(policy.plan, obs, PlanQuery(n, FUTURES, VALUES)))[0])
            for depth, times in deeper.items():
                query = PlanQuery(CANDIDATES, depth=depth)
                times.append(_time(partial(policy.plan, obs, query))[0])
        searches = {
            **compare_searches(
                policy, JOINT, progress.track(observations, description='searching')
            ),
            **compare_searches(policy, ENSEMBLE, progress.track(observations[:rounds])),
        }
    most, one = pairs[CANDIDATES], pairs[1]
    machine = describe_machine()
    ms = {n: round(1e3 * float(np.median(times)), 2) for n, times in curve.items()}
    figures: dict[str, Any] = {
        'speedup_vs_reference': round(most.speedup, 2),
        'speedup_n1': round(one.speedup, 2),
        'same_choice': round(float(np.mean(most.same)), 4),
        'max_action_error_rad': round(max(most.action_error), 5),
        'max_value_error': round(max(most.value_error), 5),
        't8_over_8t1': round(ms[8] / (8 * ms[1]), 3),
        'network_calls': most.calls[0],
        'network_calls_reference': most.calls[1],
        'ms': ms,
        'depth_ms': {d: round(1e3 * float(np.median(times)), 2) for d, times in deeper.items()},
        'reference_ms': {n: round(1e3 * float(np.median(p.slow)), 1) for n, p in pairs.items()},
        'samples': rounds,
        'searches': searches,
        'threads': threads,
        'backend': backend,
        'precision': f'{policy.backend.precision} against float32',
        'machine': machine['processor'],
        'cores': machine['cores'],
        'load': load_average(),
        'torch': machine['versions']['torch'],
    }
    _print(figures)
    return figures


class Pair:
    """Both orders of work on the same observations.

    Attributes:
        fast: Durations of batched queries [s].
        slow: Durations of the reference's order [s].
        same: Whether both chose the same candidate.
        action_error: Largest difference of an action [rad; gripper 0..1].
        value_error: Largest difference of a value.
        calls: Network calls of the last query, batched and in the reference's order.
    """

    def __init__(self, policy: CosmosPolicy, exact: CosmosPolicy, candidates: int) -> None:
        """Measure nothing yet."""
        self._policy, self._exact, self._n = policy, exact, candidates
        self.fast: list[float] = []
        self.slow: list[float] = []
        self.same: list[bool] = []
        self.action_error: list[float] = []
        self.value_error: list[float] = []
        self.calls = (0, 0)

    def run(self, obs: Observation) -> None:
        """Answer one observation in both ways."""
        fast_s, answer = _time(partial(self._answer, obs))
        slow_s, truth = _time(partial(reference_plan, self._exact, obs, self._n, FUTURES, VALUES))
        self.fast.append(fast_s)
        self.slow.append(slow_s)
        rate_hz = self._policy.config.rate_hz
        self.same.append(make_plan(answer, rate_hz).best == make_plan(truth, rate_hz).best)
        self.action_error.append(float(np.abs(answer.positions - truth.positions).max()))
        self.value_error.append(float(np.abs(answer.values - truth.values).max()))

    def _answer(self, obs: Observation) -> Candidates:
        """Plan, and decode what a person would watch: the future of the best candidate."""
        answer = self._policy.plan(obs, PlanQuery(self._n, FUTURES, VALUES))
        best = make_plan(answer.candidates, self._policy.config.rate_hz).best
        self._policy.images(answer, [best])
        return answer.candidates

    @property
    def speedup(self) -> float:
        """Median of the rounds' ratios."""
        return float(np.median(np.array(self.slow) / np.array(self.fast)))


def sample_observations(policy: CosmosPolicy, n: int) -> list[Observation]:
    """Return observations from times spread over episodes of the scripted experts.

    Args:
        policy: Tasks of its own are taken.
        n: How many, each of another scene.


    Raises:
        ConfigError: The policy knows none of the simulated tasks.
    """
    robot = read_robot(robot_file('aloha_sim'))
    size = (robot.cameras[0].height, robot.cameras[0].width)
    tasks = [name for name, instruction in TASKS.items() if instruction in policy.tasks]
    if not tasks:
        msg = f'the checkpoint knows {policy.tasks}, and none of the simulated tasks {TASKS}'
        raise ConfigError(msg)
    rng = np.random.default_rng(UNSEEN_SEED)
    observations = []
    for i in range(n):
        sim = AlohaSim(tasks[i % len(tasks)], size)
        sim.reset(UNSEEN_SEED + i)
        expert = make_expert(sim, np.random.default_rng(i))
        for _ in range(int(rng.integers(250))):
            sim.step(expert.action())
        images = {c.name: sim.render(c.name) for c in robot.cameras}
        observations.append(Observation(0, images, sim.proprio, sim.task))
        sim.close()
    return observations


def _time(work: Callable[[], Result]) -> tuple[float, Result]:
    start_s = time.perf_counter()
    answer = work()
    return time.perf_counter() - start_s, answer


def _print(figures: dict[str, Any]) -> None:
    """Print the curve over the candidates and what it comes to."""
    table = Table('candidates', 'ms', 'ms / candidate', 'reference ms', title='planning query')
    for n, ms in figures['ms'].items():
        peer = figures['reference_ms'].get(n)
        table.add_row(str(n), f'{ms:.1f}', f'{ms / n:.1f}', '' if peer is None else f'{peer:.0f}')
    depths = Table('depth', 'ms', 'times depth 1', title=f'best of {CANDIDATES} by joint value')
    for depth, ms in figures['depth_ms'].items():
        depths.add_row(str(depth), f'{ms:.1f}', f'{ms / figures["depth_ms"][1]:.2f}')
    console = Console()
    console.print(table)
    console.print(depths)
    print_searches(figures['searches'])
    console.print(
        f'{figures["speedup_vs_reference"]} times faster with {CANDIDATES} candidates, '
        f'{figures["speedup_n1"]} with one; {figures["network_calls"]} network calls instead of '
        f'{figures["network_calls_reference"]}; same choice in '
        f'{100 * figures["same_choice"]:.0f} % of {figures["samples"]} queries '
        f'({figures["precision"]}); load {figures["load"]} on {figures["cores"]} cores',
        highlight=False,
        soft_wrap=True,
    )
