# SPDX-License-Identifier: Apache-2.0
"""Backends, precisions and devices that can run the networks of a checkpoint on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cosmos_policy_ros.backends import BACKENDS, load_cosmos_policy, Precision
from cosmos_policy_ros.backends.parity import CANDIDATES, made_up_observations
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.types import ConfigError

PRECISIONS: tuple[Precision, ...] = ('float32', 'bfloat16')
DEVICES = ('cpu', 'cuda')
REASON = 300  # characters that are kept of an error


class Variant(NamedTuple):
    """A way to run the networks, as ``load_cosmos_policy`` takes it."""

    backend: str
    precision: Precision = 'float32'
    device: str = 'cpu'

    @property
    def name(self) -> str:
        """Its name in figures."""
        return ' '.join(dict.fromkeys(word for word in self if word != 'cpu'))


BASELINE = Variant('diffusers')  # on a GPU, its like there
AUTO = Variant('auto', 'auto')  # what the inference node takes by itself


def load_variants(
    checkpoint: Path, backends: Sequence[str], threads: int, progress: Progress
) -> tuple[dict[Variant, CosmosPolicy], dict[str, str]]:
    """Return the policies that can answer here, warmed up, and why the others cannot, by name.

    Args:
        checkpoint: Checkpoint folder.
        backends: Names of backends, none for all; the baseline is always there, and first.
        threads: CPU threads of the networks.
        progress: Where to show what is loaded.

    Raises:
        ConfigError: The checkpoint or the name of a backend is wrong.
    """
    known = [name for name in BACKENDS if name != 'auto']
    if unknown := sorted(set(backends) - set(known)):
        msg = f'no backends {unknown}; --backends takes some of {known}'
        raise ConfigError(msg)
    chosen = [name for name in known if name in (backends or known)]
    policies: dict[Variant, CosmosPolicy] = {}
    left_out: dict[str, str] = {}
    task = progress.add_task('', total=None)
    for device in DEVICES:
        base = BASELINE._replace(device=device)
        others = [Variant(name, precision, device) for name in chosen for precision in PRECISIONS]
        for variant in dict.fromkeys([base, *others]):
            progress.update(task, description=f'loading {variant.name}')
            try:
                policies[variant] = _load(checkpoint, variant, threads)
            except (ConfigError, RuntimeError) as error:  # RuntimeError: a compiler's, or memory
                if variant == BASELINE:
                    raise
                name = device if variant == base else variant.name
                left_out[name] = ' '.join(str(error).split())[:REASON]
                if variant == base:
                    break
    progress.remove_task(task)
    return policies, left_out


def _load(checkpoint: Path, variant: Variant, threads: int) -> CosmosPolicy:
    """Return a policy that has compiled what it compiles at its first queries."""
    policy = load_cosmos_policy(checkpoint, threads=threads, **variant._asdict())
    for candidates in (1, CANDIDATES):
        policy.plan(made_up_observations(policy, 1)[0], PlanQuery(candidates))
    return policy
