# SPDX-License-Identifier: Apache-2.0
"""How long the network of the paper takes at its real size, with random weights.

Every backend and precision has a process of its own, so that its start and its memory are its own
and one that runs out of memory leaves the others alone. The arithmetic is counted as that of the
plain network on all frames, 8.5 TFLOP a row, whatever a backend leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
import math
from pathlib import Path
import tempfile
import time
from typing import Any

from cosmos_policy_ros.backends import load_cosmos_policy, Precision
from cosmos_policy_ros.backends.device import (
    describe_device,
    free_bytes,
    has_device,
    memory_bytes,
)
from cosmos_policy_ros.backends.export import export_tensorrt
from cosmos_policy_ros.backends.parity import made_up_observations
from cosmos_policy_ros.backends.tensorrt_build import EnginePrecision
from cosmos_policy_ros.bench.memory import needed_bytes
from cosmos_policy_ros.bench.random_weights import released_sizes, Sizes, write_random_checkpoint
from cosmos_policy_ros.core.diffusion import member_steps
from cosmos_policy_ros.core.protocol import Answer
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.core.sampling import noise_levels
from cosmos_policy_ros.report.machine import describe_machine
from cosmos_policy_ros.types import ConfigError
from cosmos_policy_ros.worker_pool import open_pool
import numpy as np
from rich.console import Console
from rich.table import Table

STEPS = (10, 5, 1)  # of direct mode
CANDIDATES = (1, 2, 4, 8, 16)
FUTURES, VALUES = 3, 5  # the paper's ensemble
ROWS = (1, 8, 24)  # that an engine is tuned for; no backend gets more in one call
MAX_S = 20.0  # for one figure, once it has been taken three times
VARIANTS = (
    ('diffusers', 'bfloat16'),
    ('torch', 'bfloat16'),
    ('compiled', 'bfloat16'),
    ('tensorrt', 'bfloat16'),
    ('tensorrt', 'float16'),
)


def measure_model_2b(
    layers: int | None = None,
    device: str = 'cuda',
    backends: Sequence[str] = (),
    precision: Precision = 'auto',
    rounds: int = 20,
) -> dict[str, Any]:
    """Measure the network at the sizes of the release, as ``measure_network`` does.

    Args:
        layers: Layers of the transformer, by default all 28; few of them to try it on a CPU.
        device: Torch device.
        backends: Some of ``VARIANTS``; none is all.
        precision: Their arithmetic; ``auto`` is that of ``VARIANTS``.
        rounds: Most times that every figure is taken.

    Raises:
        ConfigError: The device is not there, or a backend is unknown.
    """
    return measure_network(released_sizes(layers), device, backends, precision, rounds)


def measure_network(
    sizes: Sizes,
    device: str = 'cuda',
    backends: Sequence[str] = (),
    precision: Precision = 'auto',
    rounds: int = 20,
    candidates: Sequence[int] = (),
) -> dict[str, Any]:
    """Time direct and planning queries with every backend, print a table, return the figures.

    Args:
        sizes: Sizes of policy, transformer, autoencoder and text.
        device: Torch device.
        backends: Some of ``VARIANTS``; none is all.
        precision: Their arithmetic; ``auto`` is that of ``VARIANTS``.
        rounds: Most times that every figure is taken, see ``MAX_S``.
        candidates: Candidates of the planning queries; none is ``CANDIDATES``, on a CPU the first.

    Returns:
        ``variants``, see ``time_queries``, with ``needed_gb`` of memory, or with ``failed``, why
        there is none, such as too little of it; name and arithmetic of the device, and ``tflop``
        of the transformer for one row.

    Raises:
        ConfigError: The device is not there, or a backend is unknown.
    """
    unknown = set(backends) - {name for name, _ in VARIANTS}
    if unknown:
        msg = f'cannot measure {", ".join(sorted(unknown))}; choose of {sorted(dict(VARIANTS))}'
        raise ConfigError(msg)
    if not has_device(device):
        msg = (
            f'the device {device} is not there, and the 2B network is too slow without a GPU; '
            f'to try the command, give --device cpu --layers 1 --rounds 1'
        )
        raise ConfigError(msg)
    candidates = tuple(candidates) or CANDIDATES[: None if device == 'cuda' else 1]
    console = Console()
    figures: dict[str, Any] = {
        **_in_process(describe_device, device),
        'layers': sizes.transformer['num_layers'],
        'tflop': round(sizes.flop / 1e12, 6),
        'torch': describe_machine()['versions']['torch'],
        'variants': [],
    }
    with tempfile.TemporaryDirectory(prefix='bench_2b_') as folder:
        path = Path(folder) / 'checkpoint'
        with console.status('writing random weights'):
            write_random_checkpoint(path, sizes)
        for backend, arithmetic in _variants(device, backends, precision):
            with console.status(f'{backend} in {arithmetic}'):
                needed = needed_bytes(sizes, backend, arithmetic, ROWS[-1], device)
                variant: dict[str, Any] = {'backend': backend, 'precision': arithmetic}
                variant['needed_gb'] = round(needed / 1e9, 2)
                try:
                    _check_memory(needed, device)
                    if backend == 'tensorrt':
                        variant |= _in_process(build_engine, path, arithmetic)
                    start_s = time.monotonic()
                    variant |= _in_process(
                        time_queries,
                        path,
                        backend,
                        device,
                        arithmetic,
                        rounds,
                        candidates,
                        start_s,
                    )
                except (ConfigError, RuntimeError) as error:
                    variant['failed'] = str(error).splitlines()[0]
            figures['variants'].append(_with_shares(variant, sizes, figures))
    _print(figures, console)
    return figures


def _check_memory(needed: int, device: str) -> None:
    """Refuse what would run out of memory.

    Raises:
        ConfigError: Less is free on the device.
    """
    free = _in_process(_free, device)['bytes']
    if free < needed:
        msg = f'needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free on {device}'
        raise ConfigError(msg)


def _free(device: str) -> dict[str, Any]:
    return {'bytes': free_bytes(device)}


def build_engine(path: Path, precision: EnginePrecision) -> dict[str, Any]:
    """Build an engine and return ``build_s`` and how far it is from the plain network."""
    _, note = export_tensorrt(path, precision, ROWS, queries=1, max_error_rad=math.inf)
    return {'build_s': note['build_s'], 'parity': note['parity']}


def time_queries(
    path: Path,
    backend: str,
    device: str,
    precision: Precision,
    rounds: int,
    candidates: Sequence[int],
    start_s: float,
) -> dict[str, Any]:
    """Load a policy, time direct and planning queries, and return their typical durations.

    Args:
        path: Checkpoint folder.
        backend: What runs the networks.
        device: Torch device.
        precision: Arithmetic of the networks.
        rounds: Most times that every figure is taken.
        candidates: Candidates of the planning queries.
        start_s: When this process was started [s, monotonic clock].

    Returns:
        ``load_s`` until the policy was loaded and ``cold_start_s`` until its first answer [s];
        ``direct_ms`` by denoising steps and ``planning_ms`` by candidates; ``memory_gb`` in use
        afterwards, which on a GPU is the peak; ``samples`` of every figure.
    """
    policy = load_cosmos_policy(path, backend, device, precision=precision, max_rows=ROWS[-1])
    load_s = time.monotonic() - start_s
    obs = made_up_observations(policy, 1)[0]
    policy.plan(obs, PlanQuery(1))
    cold_start_s = time.monotonic() - start_s
    samples: list[int] = []

    def typical_ms(work: Callable[[], Answer]) -> float:
        work()
        took_s: list[float] = []
        while len(took_s) < rounds and (len(took_s) < 3 or sum(took_s) < MAX_S):
            now_s = time.perf_counter()
            work()
            took_s.append(time.perf_counter() - now_s)
        samples.append(len(took_s))
        return round(1e3 * float(np.median(took_s)), 2)

    direct = {n: typical_ms(partial(policy.plan, obs, PlanQuery(1, steps=n))) for n in STEPS}
    planning = {
        n: typical_ms(partial(policy.plan, obs, PlanQuery(n, FUTURES, VALUES))) for n in candidates
    }
    return {
        'load_s': round(load_s, 2),
        'cold_start_s': round(cold_start_s, 2),
        'direct_ms': direct,
        'planning_ms': planning,
        'memory_gb': round(memory_bytes(device) / 1e9, 2),
        'samples': samples,
    }


def _variants(device: str, backends: Sequence[str], precision: Precision) -> list[tuple[str, str]]:
    """Return which backends are measured in which arithmetic."""
    names = dict.fromkeys(name for name, _ in VARIANTS if name in (backends or dict(VARIANTS)))
    if not device.startswith('cuda'):
        names.pop('tensorrt', None)
    if precision == 'auto':
        return [(name, arithmetic) for name, arithmetic in VARIANTS if name in names]
    return [(name, precision) for name in names if name == 'tensorrt' or precision != 'float16']


def _in_process(work: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    with open_pool(1) as process:
        return process.submit(work, *args).result()


def _with_shares(
    variant: dict[str, Any], sizes: Sizes, figures: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a variant with the share of the device's arithmetic that its queries reach."""
    if 'failed' in variant:
        return variant
    config = sizes.config
    futures = member_steps(config.future_steps, FUTURES)
    values = FUTURES * member_steps(config.value_steps, VALUES)
    stages = (config.action_steps, *futures, *values)
    rows = sum(len(noise_levels(config, steps)) for steps in stages)  # of one candidate
    work = {f'direct {n}': (n, ms) for n, ms in variant['direct_ms'].items()}
    work |= {f'planning {n}': (n * rows, ms) for n, ms in variant['planning_ms'].items()}
    reached = {name: n * figures['tflop'] / (1e-3 * ms) for name, (n, ms) in work.items()}
    for kind in ('gemm', 'data_sheet'):
        if peak := figures[f'{kind}_tflops']:
            variant[f'share_of_{kind}'] = {n: round(t / peak, 3) for n, t in reached.items()}
    return variant


def _print(figures: Mapping[str, Any], console: Console) -> None:
    """Print a row for every variant."""
    columns = [f'{n} steps' for n in STEPS]
    done = [v for v in figures['variants'] if 'failed' not in v]
    columns += [f'best of {n}' for n in (done[0]['planning_ms'] if done else ())]
    peak = figures['data_sheet_tflops']
    table = Table(
        'backend', 'precision', *columns, 'GB', 'build s', 'cold start s', 'of GEMM',
        title=f'{figures["device"]}: ms per query, {figures["layers"]} layers',
    )  # fmt: skip
    for variant in figures['variants']:
        name = (variant['backend'], variant['precision'])
        if 'failed' in variant:
            table.add_row(*name, variant['failed'])
            continue
        times = [*variant['direct_ms'].values(), *variant['planning_ms'].values()]
        best = max(variant['share_of_gemm'].values())
        rest = (variant['memory_gb'], variant.get('build_s', ''), variant['cold_start_s'])
        table.add_row(
            *name, *(f'{ms:.0f}' for ms in times), *map(str, rest), f'{100 * best:.0f} %'
        )
    console.print(table)
    console.print(
        f'{figures["tflop"]:.2f} TFLOP a row; GEMM {figures["gemm_tflops"]} TFLOP/s in bfloat16, '
        f'data sheet {peak or "unknown"}; planning with {FUTURES} futures and {VALUES} values',
        highlight=False,
        soft_wrap=True,
    )
