# SPDX-License-Identifier: Apache-2.0
"""How much faster a cheaper search is than the exact one, and what its choice costs.

A cheaper search stops candidates early, on the value they are estimated to have so far, or takes
fewer denoising steps. On every observation it runs right after the exact search, with the same
noise, and its choice is judged by the values that the exact search gives the candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import time
from typing import Any, NamedTuple

from cosmos_policy_ros.core.planner import make_plan
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import Candidates, Observation
import numpy as np
from rich.console import Console
from rich.table import Table

CANDIDATES, FUTURES, VALUES = 8, 3, 5  # the paper's planning query


class Search(NamedTuple):
    """A way to search for the best action chunk.

    Attributes:
        name: In figures and tables.
        query: Candidates, futures, values, pruning, denoising steps.
    """

    name: str
    query: PlanQuery = PlanQuery(CANDIDATES)


# The first of each is the exact search that the others are compared with.
JOINT = (
    Search('exact'),
    Search('one candidate', PlanQuery(1)),
    Search('keep 6', PlanQuery(CANDIDATES, keep=(6,))),
    Search('keep 4', PlanQuery(CANDIDATES, keep=(4,))),
    Search('keep 4 2 1', PlanQuery(CANDIDATES, keep=(4, 2, 1))),
    Search('keep 1', PlanQuery(CANDIDATES, keep=(1,))),
    Search('2 steps', PlanQuery(CANDIDATES, steps=2)),
    Search('2 steps, keep 6', PlanQuery(CANDIDATES, keep=(6,), steps=2)),
    Search('1 step', PlanQuery(CANDIDATES, steps=1)),
)
ENSEMBLE = (
    Search('ensemble exact', PlanQuery(CANDIDATES, FUTURES, VALUES)),
    Search('ensemble keep 4', PlanQuery(CANDIDATES, FUTURES, VALUES, keep=(4,))),
    Search('ensemble keep 4 2', PlanQuery(CANDIDATES, FUTURES, VALUES, keep=(4, 2))),
)


class Counted:
    """A backend that counts the calls and rows of its network.

    Attributes:
        calls: Calls of the transformer since the last reset.
        rows: Rows of all of them.
    """

    def __init__(self, backend: Any) -> None:
        """Wrap a backend."""
        self._backend, self.calls, self.rows = backend, 0, 0
        self.device, self.precision = backend.device, backend.precision
        self.encode, self.decode = backend.encode, backend.decode
        self.encode_text = backend.encode_text

    def denoise(self, latents: Any, *inputs: Any) -> Any:
        """Count a call and pass it on."""
        self.calls += 1
        self.rows += len(latents)
        return self._backend.denoise(latents, *inputs)


class Found(NamedTuple):
    """Cost and outcome of one search.

    Attributes:
        took_s: How long it took [s].
        rows: Rows of all its network calls.
        chosen: Number of the chosen candidate, from 0, among all that it began with.
        kept: Numbers of the candidates in its answer.
        answer: These candidates.
    """

    took_s: float
    rows: int
    chosen: int
    kept: list[int]
    answer: Candidates


def compare_searches(
    policy: CosmosPolicy, searches: Sequence[Search], observations: Iterable[Observation]
) -> dict[str, dict[str, float]]:
    """Return costs and choices of every search, by name.

    Args:
        policy: The policy.
        searches: The first one is the exact search; those that need more denoising steps than the
            policy takes are left out.
        observations: What is searched for.

    Returns:
        ``ms``; ``speedup``, the median of the ratios to the exact search on the same observation;
        ``row_share``, rows of all network calls over those of the exact search; ``same_choice``,
        the share of queries with the same chosen candidate; ``value_regret``, how much less the
        chosen one is worth on average, by the exact search; ``mean_action_error_rad`` of what
        both searches answer (gripper 0..1).
    """
    networks, steps = policy.backend, policy.config.action_steps
    policy.backend = counted = Counted(networks)
    fitting = [s for s in searches if max(len(s.query.keep), s.query.steps or 1) <= steps]
    found: dict[str, list[Found]] = {search.name: [] for search in fitting}
    for obs in observations:
        for search in fitting:
            found[search.name].append(_search_once(policy, counted, search, obs))
    policy.backend = networks
    exact = found[searches[0].name]
    return {name: _judge(rows, exact) for name, rows in found.items()}


def _search_once(
    policy: CosmosPolicy, counted: Counted, search: Search, obs: Observation
) -> Found:
    """Search for the best chunk of one observation."""
    counted.rows, start_s = 0, time.perf_counter()
    answer = policy.plan(obs, search.query)
    best = make_plan(answer.candidates, policy.config.rate_hz).best
    took_s = time.perf_counter() - start_s
    kept = list(answer.futures.seeds)
    return Found(took_s, counted.rows, kept[best], kept, answer.candidates)


def _judge(rows: Sequence[Found], exact: Sequence[Found]) -> dict[str, float]:
    """Return the figures of a search beside the exact one on the same observations."""
    pairs = list(zip(rows, exact, strict=True))
    values = [truth.answer.values.mean(axis=1) for truth in exact]
    regrets = [
        v[truth.chosen] - v[row.chosen] for v, (row, truth) in zip(values, pairs, strict=True)
    ]
    errors = [
        np.abs(row.answer.positions - truth.answer.positions[row.kept]).mean()
        for row, truth in pairs
    ]
    figures = {
        'ms': 1e3 * float(np.median([row.took_s for row in rows])),
        'speedup': float(np.median([truth.took_s / row.took_s for row, truth in pairs])),
        'row_share': sum(row.rows for row in rows) / sum(truth.rows for truth in exact),
        'same_choice': float(np.mean([row.chosen == truth.chosen for row, truth in pairs])),
        'value_regret': float(np.mean(regrets)),
        'mean_action_error_rad': float(np.mean(errors)),
    }
    return {name: float(f'{figure:.4g}') for name, figure in figures.items()}


def print_searches(figures: dict[str, dict[str, float]]) -> None:
    """Print a table of searches.

    Args:
        figures: What ``compare_searches`` returned.
    """
    table = Table(title=f'cheaper searches beside the exact one, best of {CANDIDATES}')
    table.add_column('', no_wrap=True)
    for head in ('ms', 'faster', 'rows', 'same best', 'regret', 'mean rad'):
        table.add_column(head, justify='right')
    for name, row in figures.items():
        table.add_row(
            name,
            f'{row["ms"]:.1f}',
            f'{row["speedup"]:.2f} x',
            f'{100 * row["row_share"]:.0f} %',
            f'{100 * row["same_choice"]:.0f} %',
            f'{row["value_regret"]:.1e}',
            f'{row["mean_action_error_rad"]:.1e}',
        )
    Console().print(table)
