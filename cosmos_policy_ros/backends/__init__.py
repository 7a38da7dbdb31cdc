# SPDX-License-Identifier: Apache-2.0
"""Ways to run the networks of a checkpoint, by name, and how one is chosen.

``diffusers`` is the plain network that all others are compared with. ``torch`` leaves out the work
that a query would repeat, ``compiled`` compiles that. ``openvino`` and ``onnxruntime`` on a CPU,
``tensorrt`` on a GPU run what ``cosmos-policy export`` wrote. ``auto`` takes the fastest that is
there; for a CPU it exports a network that nobody has. ``table.py`` has a row for each.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, TYPE_CHECKING

from cosmos_policy_ros.backends.table import choose_precision, Networks, Precision, ROWS
from cosmos_policy_ros.core.cosmos3.facts import Cosmos3Facts
from cosmos_policy_ros.core.facts import read_facts
from cosmos_policy_ros.types import ConfigError

if TYPE_CHECKING:
    from cosmos_policy_ros.core.config import Conditioning
    from cosmos_policy_ros.core.policy import CosmosPolicy
    from cosmos_policy_ros.core.protocol import Policy

__all__ = ['BACKENDS', 'Precision', 'choose_backend', 'load_cosmos_policy', 'load_policy']

logger = logging.getLogger(__name__)
NO_RESIDUALS = (
    '%s has no residuals.safetensors and was not trained with committed rows: they replace the '
    'first rows of its chunks and the others do not follow; to let them, measure the file with '
    'cosmos-policy residuals on recorded demonstrations'
)
COMMITTED_REPLACED = (
    '%s was not trained with committed rows: they replace the first rows of its chunks and the '
    'others do not follow; the seam blends them'
)
COSMOS3_PRECISIONS = ('bfloat16', 'float32')
BACKENDS = ('auto', *ROWS)
MaxRows = int | Literal['auto'] | None


def load_policy(
    path: Path,
    backend: str = 'auto',
    device: str = 'cpu',
    threads: int | None = None,
    precision: Precision = 'auto',
    max_rows: MaxRows = None,
    planning: Path | None = None,
    conditioning: Conditioning = 'auto',
) -> Policy:
    """Load the policy of a checkpoint folder, whatever kind it is of.

    The stack and the measurements of success need no more of it than ``Policy`` has. A folder of
    another kind is a branch here, as that of a Cosmos 3 policy is.

    Args:
        path: Checkpoint folder.
        backend: See ``load_cosmos_policy``, as for all that follow.
        device: Torch device.
        threads: CPU threads of the networks.
        precision: Arithmetic of the networks.
        max_rows: Most rows of one network call.
        planning: Checkpoint folder that scores what the first one proposes.
        conditioning: How chunks come to begin with committed rows.

    Raises:
        ConfigError: See ``load_cosmos_policy``; or a Cosmos 3 policy is to plan, to go on from
            committed rows, or to run on another backend than its own.
    """
    if (path / 'policy.json').is_file() and isinstance(read_facts(path), Cosmos3Facts):
        if planning is not None:
            msg = f'{path} is a Cosmos 3 policy, whose candidates {planning} cannot judge'
            raise ConfigError(msg)
        if conditioning not in ('auto', 'replaced'):
            msg = f'{path} was not trained with committed rows; give conditioning replaced or auto'
            raise ConfigError(msg)
        return _load_cosmos3(path, backend, device, threads, precision)
    return load_cosmos_policy(
        path, backend, device, threads, precision, max_rows, planning, conditioning
    )


def _load_cosmos3(
    path: Path, backend: str, device: str, threads: int | None, precision: Precision
) -> Policy:
    """Load a Cosmos 3 policy, which diffusers runs.

    Raises:
        ConfigError: The folder is damaged, or the backend, device or precision is another.
    """
    kind = choose_precision(device, precision)
    if backend not in ('auto', 'diffusers') or kind not in COSMOS3_PRECISIONS:
        msg = (
            f'a Cosmos 3 policy runs on diffusers, in {" or ".join(COSMOS3_PRECISIONS)}; got the '
            f'backend {backend} and the precision {kind}'
        )
        raise ConfigError(msg)
    from cosmos_policy_ros.core.cosmos3.checkpoint import load_cosmos3

    _set_threads(threads)
    logger.info(COMMITTED_REPLACED, path)
    return load_cosmos3(path, device, kind)


def _set_threads(threads: int | None) -> None:
    """Bound the CPU threads of torch; None leaves the choice to it.

    Raises:
        ConfigError: There is to be none.
    """
    import torch

    if threads is not None:
        if threads < 1:
            msg = f'threads must be at least 1, got {threads}'
            raise ConfigError(msg)
        torch.set_num_threads(threads)


def load_cosmos_policy(
    path: Path,
    backend: str = 'auto',
    device: str = 'cpu',
    threads: int | None = None,
    precision: Precision = 'auto',
    max_rows: MaxRows = None,
    planning: Path | None = None,
    conditioning: Conditioning = 'auto',
) -> CosmosPolicy:
    """Load the Cosmos Policy of a checkpoint folder, with its networks on a backend.

    It is for those that need its parts: the measurements of networks, stages and searches.

    Args:
        path: Checkpoint folder.
        backend: A name in ``BACKENDS``.
        device: Torch device, ``cpu`` or ``cuda``.
        threads: CPU threads of the networks; None leaves the choice to their library. On a machine
            that also controls a robot take 1 or 2: spinning threads slow each other down.
        precision: Arithmetic of the networks; ``bfloat16`` is faster where the hardware has it,
            which ``auto`` finds out. ``float16`` is for ``tensorrt`` alone.
        max_rows: Most rows of one network call, to bound memory; None is all of them. ``auto`` is
            as many as fit into what is free of a GPU, and all of them on a CPU.
        planning: Checkpoint folder that scores what the first one proposes.
        conditioning: How chunks come to begin with committed rows, see ``core.config``.

    Raises:
        ConfigError: A checkpoint is damaged, the two do not fit each other, the backend, device
            or precision is unknown, the checkpoint has not what ``conditioning`` takes, or a GPU
            has no room for a single row.
    """
    if backend not in BACKENDS:
        msg = f'no backend {backend!r}; choose one of {BACKENDS}'
        raise ConfigError(msg)
    from cosmos_policy_ros.backends.first_use import export_at_first_use
    from cosmos_policy_ros.backends.row_limit import rows_that_fit
    from cosmos_policy_ros.core.checkpoint import check_planning, load_checkpoint
    from cosmos_policy_ros.core.policy import CosmosPolicy
    import torch

    _set_threads(threads)

    def load(path: Path) -> tuple[str, Networks]:
        """Return the name of the backend and the networks of a checkpoint."""
        if backend == 'auto':
            export_at_first_use(path, device)
        name = choose_backend(path, device) if backend == 'auto' else backend
        half = ROWS[name].mixed and choose_precision(device, precision) == 'bfloat16'
        mixed = torch.bfloat16 if half else None
        checkpoint = load_checkpoint(path, exported=ROWS[name].exported, mixed=mixed)
        return name, Networks(path, checkpoint, device, precision, threads)

    def build(
        name: str,
        networks: Networks,
        scorer: CosmosPolicy | None = None,
        conditioning: Conditioning = 'auto',
    ) -> CosmosPolicy:
        """Return the policy of the networks on a backend."""
        config, stats, text, _, _, residuals = networks.checkpoint
        network = ROWS[name].open(networks)
        most = None if max_rows == 'auto' else max_rows
        return CosmosPolicy(network, config, stats, text, most, scorer, residuals, conditioning)

    name, base = load(path)
    without = not base.checkpoint.config.committed_rows and base.checkpoint.residuals is None
    if conditioning == 'auto' and without:
        logger.info(NO_RESIDUALS, path)
    scorer = None
    if planning is not None:
        scoring_name, scoring = load(planning)
        try:
            check_planning(base.checkpoint, scoring.checkpoint)
        except ConfigError as error:
            msg = f'{planning}: {error}'
            raise ConfigError(msg) from error
        scorer = build(scoring_name, scoring)
    policy = build(name, base, scorer, conditioning)
    if max_rows == 'auto':
        for part in (policy, scorer) if scorer else (policy,):  # all networks are in the memory
            part.max_rows = rows_that_fit(part, device)
        if policy.max_rows is not None:
            logger.info('%s: up to %d rows in one call', device, policy.max_rows)
    return policy


def choose_backend(path: Path, device: str) -> str:
    """Return the fastest backend that is there for a checkpoint on a device.

    A TensorRT engine counts once its answers were compared with those of the plain network.

    Args:
        path: Checkpoint folder.
        device: Torch device.

    Raises:
        ConfigError: A part of the checkpoint is missing, or what was exported is damaged.
    """
    return next(name for name, row in ROWS.items() if row.is_found(path, device))
