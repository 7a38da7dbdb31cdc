# SPDX-License-Identifier: Apache-2.0
"""What runs the networks, chosen by name; a backend is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TYPE_CHECKING

from cosmos_policy_ros.types import ConfigError

if TYPE_CHECKING:
    from cosmos_policy_ros.core.backend import Backend
    from cosmos_policy_ros.core.checkpoint import Checkpoint
    from cosmos_policy_ros.core.policy import CosmosPolicy
    from diffusers import AutoencoderKLWan, CosmosTransformer3DModel

Precision = Literal['auto', 'float32', 'bfloat16']


def _torch_backend(
    transformer: CosmosTransformer3DModel, vae: AutoencoderKLWan, device: str, precision: Precision
) -> Backend:
    from cosmos_policy_ros.backends.torch_backend import TorchBackend

    return TorchBackend(transformer, vae, device, precision)


BACKENDS: dict[
    str, Callable[[CosmosTransformer3DModel, AutoencoderKLWan, str, Precision], Backend]
] = {'torch': _torch_backend}


def load_policy(
    path: Path,
    backend: str = 'torch',
    device: str = 'cpu',
    threads: int | None = None,
    precision: Precision = 'auto',
    max_rows: int | None = None,
    planning: Path | None = None,
) -> CosmosPolicy:
    """Load a checkpoint folder, ready to be asked.

    Args:
        path: Checkpoint folder.
        backend: A name in ``BACKENDS``.
        device: Torch device, ``cpu`` or ``cuda``.
        threads: CPU threads of torch; None leaves torch's own choice. On a machine that also
            controls a robot take 1 or 2: spinning threads slow each other down.
        precision: Arithmetic of the networks; ``bfloat16`` is faster where the hardware has it,
            which ``auto`` finds out.
        max_rows: Most rows of one network call, to bound memory; None is all of them.
        planning: Checkpoint folder that scores what the first one proposes.

    Raises:
        ConfigError: A checkpoint is damaged, the two do not fit each other, or the backend, device
            or precision is unknown.
    """
    if backend not in BACKENDS:
        msg = f'no backend {backend!r}; choose one of {sorted(BACKENDS)}'
        raise ConfigError(msg)
    from cosmos_policy_ros.core.checkpoint import check_planning, load_checkpoint
    from cosmos_policy_ros.core.policy import CosmosPolicy
    import torch

    if threads is not None:
        if threads < 1:
            msg = f'threads must be at least 1, got {threads}'
            raise ConfigError(msg)
        torch.set_num_threads(threads)
    if precision == 'auto':
        has_half = device.startswith('cuda') or torch.cpu._is_avx512_bf16_supported()
        precision = 'bfloat16' if has_half else 'float32'

    def build(checkpoint: Checkpoint, scorer: CosmosPolicy | None = None) -> CosmosPolicy:
        config, stats, text, transformer, vae = checkpoint
        networks = BACKENDS[backend](transformer, vae, device, precision)
        return CosmosPolicy(networks, config, stats, text, max_rows, scorer)

    base = load_checkpoint(path)
    if planning is None:
        return build(base)
    scoring = load_checkpoint(planning)
    try:
        check_planning(base, scoring)
    except ConfigError as error:
        msg = f'{planning}: {error}'
        raise ConfigError(msg) from error
    return build(base, build(scoring))
