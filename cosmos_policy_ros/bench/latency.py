# SPDX-License-Identifier: Apache-2.0
"""How long a query takes with every backend, alone and beside a robot's other work.

All backends answer in this process, one after the other in every round, so that what disturbs one
disturbs all. A latency runs from an observation in memory to the chosen chunk in memory: images
prepared and encoded, rows denoised, the best one chosen. The baseline is the plain network of
diffusers in float32 on the same device; errors are those against its answers on the CPU. Start and
memory are those of processes of their own, and ``stack_latency.py`` measures in the running stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.backends import choose_backend
from cosmos_policy_ros.backends.first_answer import time_first_answer
from cosmos_policy_ros.backends.parity import CANDIDATES, compare
from cosmos_policy_ros.bench.latency_table import print_figures
from cosmos_policy_ros.bench.load import Condition, CONDITIONS
from cosmos_policy_ros.bench.planning import sample_observations
from cosmos_policy_ros.bench.stack_latency import time_stacks
from cosmos_policy_ros.bench.variants import AUTO, BASELINE, load_variants, Variant
from cosmos_policy_ros.core.planner import make_plan
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.protocol import Policy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.metrics import percentiles
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.report.machine import describe_machine, load_average
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.types import Observation, Plan
import numpy as np

KINDS = {'direct': 1, 'best_of_8': CANDIDATES}  # queries by joint value, and their candidates
OBSERVATIONS = 100  # on which answers are compared
SLICE_S = 1.0  # [s] of a backend and a kind of query in every round
LEAST = 5  # queries in a round, however long they take
STARTS, EPISODES = 3, 5  # at most: processes of a backend, episodes of a stack
Rounds = list[list[float]]  # [s] of the queries of every round
Policies = Mapping[Variant, CosmosPolicy]


def measure_latency(
    checkpoint: Path,
    rounds: int,
    threads: int,
    backends: Sequence[str] = (),
    domain: int | None = None,
) -> dict[str, Any]:
    """Time queries, print tables and return the figures.

    Args:
        checkpoint: Checkpoint folder.
        rounds: Rounds in which every backend has its turn, quiet and again loaded.
        threads: CPU threads of the networks.
        backends: Their names, none for all; the baseline is always there.
        domain: ROS domain of the load, the stack takes the next one; None for two of their own.

    Returns:
        ``backends``, by name: ``ms`` of the direct query, quiet; the errors of ``parity.compare``;
        ``time_starts``; under ``quiet`` and ``loaded`` the latencies of ``KINDS``, see
        ``summarize``. ``stack``: ``time_stacks``. ``left_out``: name -> why. Also ``load`` before
        and after, and on what all this was measured.

    Raises:
        ConfigError: The checkpoint or the name of a backend is wrong.
    """
    load_before = load_average()
    domain = choose_domain(domain)
    conditions, stack = dict(CONDITIONS), {}
    with Progress(transient=True) as progress:
        policies, left_out = load_variants(checkpoint, backends, threads, progress)
        if not find_spec('rclpy'):
            del conditions['loaded']
            left_out['loaded'] = left_out['stack'] = 'there is no ROS 2 (no module rclpy)'
        observations = sample_observations(policies[BASELINE], OBSERVATIONS)
        errors = compare_all(policies, observations, progress)
        queries = {
            name: time_queries(
                policies,
                observations,
                progress.track(range(rounds), description=name),
                condition,
            )
            for name, condition in conditions.items()
        }
        variants = list(policies)
        policies.clear()  # leaves the memory to the processes to come
        starts = time_starts(checkpoint, variants, threads, min(rounds, STARTS), progress)
        if 'stack' not in left_out:
            episodes = min(rounds, EPISODES)
            stack = time_stacks(checkpoint, conditions, episodes, domain, progress)
    machine = describe_machine()
    figures = {
        'backends': {
            v.name: {
                'ms': queries['quiet'][v]['direct']['ms'],
                **v._asdict(),
                **errors[v],
                **starts[v],
                **{name: of[v] for name, of in queries.items()},
            }
            for v in variants
        },
        'stack': stack,
        'auto': choose_backend(checkpoint, AUTO.device),
        'left_out': left_out,
        'baseline': BASELINE.name,
        'rounds': rounds,
        'threads': threads,
        'load': {'before': load_before, 'after': load_average()},
        'machine': machine['processor'],
        'cores': machine['cores'],
        'versions': machine['versions'],
    }
    print_figures(figures)
    return figures


def compare_all(
    policies: Policies, observations: Sequence[Observation], progress: Progress
) -> dict[Variant, dict[str, object]]:
    """Return errors of every variant's best of 8 against the baseline, see ``parity.compare``."""
    query = PlanQuery(CANDIDATES)
    truths = [policies[BASELINE].plan(obs, query).candidates for obs in observations]
    return {
        variant: compare(
            [policy.plan(obs, query).candidates for obs in observations], truths, policy.config
        )
        for variant, policy in progress.track(policies.items(), description='comparing')
    }


def time_queries(
    policies: Policies,
    observations: Sequence[Observation],
    rounds: Iterable[int],
    condition: Condition,
    slice_s: float = SLICE_S,
) -> dict[Variant, dict[str, dict[str, float]]]:
    """Return latencies by variant and kind of query, as ``summarize`` describes them.

    Args:
        policies: Policies by variant; the baseline of every device is among them.
        observations: Inputs of the queries, one after the other.
        rounds: Rounds.
        condition: Load under which each of them runs.
        slice_s: Time of a variant and kind in a round [s].
    """
    queries = {
        (variant, kind): (partial(_choose, policy, PlanQuery(n)), cycle(observations))
        for kind, n in KINDS.items()
        for variant, policy in policies.items()
    }
    times: dict[tuple[Variant, str], Rounds] = {key: [] for key in queries}
    for _ in rounds:
        with condition():
            for key, (query, turn) in queries.items():
                times[key].append(_time_slice(query, turn, slice_s))
    return {
        v: {
            kind: summarize(times[v, kind], times[BASELINE._replace(device=v.device), kind])
            for kind in KINDS
        }
        for v in policies
    }


def summarize(times: Rounds, baseline: Rounds) -> dict[str, float]:
    """Return ``ms``, the median of the rounds' medians, ``p99_ms``, ``max_ms`` and more.

    Args:
        times: Durations of queries [s], by round.
        baseline: Those of the baseline in the same rounds.

    Returns:
        Also ``ratio``, how many times faster than the baseline: the median of the rounds' ratios
        of medians; and ``samples``.
    """
    medians, peers = ([float(np.median(row)) for row in rows] for rows in (times, baseline))
    every = np.concatenate([np.array(row) for row in times]) * 1e3
    slowest = percentiles(every)
    return {
        'ms': round(1e3 * float(np.median(medians)), 3),
        'p99_ms': round(slowest['p99'], 3),
        'max_ms': round(slowest['max'], 3),
        'ratio': round(float(np.median(np.array(peers) / np.array(medians))), 3),
        'samples': len(every),
    }


def time_starts(
    checkpoint: Path, variants: Sequence[Variant], threads: int, times: int, progress: Progress
) -> dict[Variant, dict[str, float]]:
    """Return the medians of ``time_first_answer`` over some processes of every variant.

    ``start_over_compiled`` is the time to the first answer as a share of that of the compiled
    network in the same precision, where that was measured.
    """
    rows: dict[Variant, list[dict[str, float]]] = {v: [] for v in variants}
    for _ in progress.track(range(times), description='first answers'):
        for v, row in rows.items():
            row.append(time_first_answer(checkpoint, threads=threads, **v._asdict()))
    medians = {
        v: {name: round(float(np.median([r[name] for r in row])), 3) for name in row[0]}
        for v, row in rows.items()
    }
    for v, figures in medians.items():
        compiled = medians.get(v._replace(backend='compiled'))
        if compiled:
            figures['start_over_compiled'] = round(figures['start_s'] / compiled['start_s'], 4)
    return medians


def _choose(policy: Policy, query: PlanQuery, obs: Observation) -> Plan:
    return make_plan(policy.plan(obs, query).candidates, policy.config.rate_hz)


def _time_slice(
    query: Callable[[Observation], object], turn: Iterator[Observation], slice_s: float
) -> list[float]:
    """Return the durations of queries [s], one after the other until the time is over."""
    times: list[float] = []
    while len(times) < LEAST or sum(times) < slice_s:
        obs = next(turn)
        start_s = time.perf_counter()
        query(obs)
        times.append(time.perf_counter() - start_s)
    return times
