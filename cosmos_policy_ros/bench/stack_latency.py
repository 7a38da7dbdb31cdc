# SPDX-License-Identifier: Apache-2.0
"""How long the running stack takes from a query to the action chunk for the arms.

It is the demo's: simulator, inference, planner and executor as processes, and the operator, which
records. The time runs from the stamp of a query, at which the newest images and joint states in
the memory of the inference node are taken, until the chunk has come to a listener of its topic:
so it also holds the way of the query and of the candidates, and the planner. The listener is the
operator, whose other work can only make it longer than it is for the executor.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import tempfile
from typing import Any

from cosmos_policy_ros.bench.load import Condition
from cosmos_policy_ros.bench.variants import AUTO, BASELINE
from cosmos_policy_ros.metrics import rounded_percentiles
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.sim.tasks import UNSEEN_SEED
from cosmos_policy_ros.stack.domain import choose_domain, HIGHEST_DOMAIN
from cosmos_policy_ros.stack.node_list import Value
from cosmos_policy_ros.stack.running import run_stack


def time_stacks(
    checkpoint: Path,
    conditions: Mapping[str, Condition],
    episodes: int,
    domain: int,
    progress: Progress,
) -> dict[str, dict[str, Any]]:
    """Return ``measure_stack`` of the baseline and of what nodes take by themselves, by condition.

    Args:
        checkpoint: Checkpoint folder.
        conditions: What each of them runs in.
        episodes: Episodes.
        domain: ROS domain of the conditions; the stack takes the next one.
        progress: Where to show how far this is.
    """
    figures: dict[str, dict[str, Any]] = {name: {} for name in conditions}
    runs = [(name, variant) for name in conditions for variant in (BASELINE, AUTO)]
    for name, variant in progress.track(runs, description='running stack'):
        values = {'checkpoint': str(checkpoint.resolve()), 'candidates': 1, **variant._asdict()}
        with conditions[name]():
            choose_domain((domain + 1) % (HIGHEST_DOMAIN + 1))  # the load has topics of a robot
            figures[name][variant.name] = measure_stack(episodes, **values)
            choose_domain(domain)
    return figures


def measure_stack(episodes: int, **values: Value) -> dict[str, Any]:
    """Play episodes and return how long answers took.

    Args:
        episodes: Episodes of 8 s with a query every 0.8 s.
        values: Arguments of the nodes, see ``node_list.ARGUMENTS``.

    Returns:
        ``p50`` and ``p99`` from query to chunk [ms], ``queries``, and ``answers``, which may be
        fewer: one that takes too long is replaced.

    Raises:
        ConfigError: A node ended because of something a user can change.
        ChildProcessError: A node crashed.
    """
    with tempfile.TemporaryDirectory(prefix='bench_stack_') as folder:
        (Path(folder) / 'logs').mkdir()
        given: dict[str, Value] = {'episodes': episodes, 'seed': UNSEEN_SEED, **values}
        with run_stack(given, Path(folder)) as stack:
            for _ in stack.follow():
                pass
    played = [e for e in stack.events if e['event'] == 'episode']
    query_ms = [e['query_ms'] for e in stack.events if e['event'] == 'answer']
    queries = sum(e['queries'] for e in played)
    return {**rounded_percentiles(query_ms), 'queries': queries, 'answers': len(query_ms)}
