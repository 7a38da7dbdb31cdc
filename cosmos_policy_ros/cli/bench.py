# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy bench``: what a part of the stack costs and loses on this machine."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any, Literal

from cosmos_policy_ros.cli import bench_recorder
from cosmos_policy_ros.stack import share_path
from cosmos_policy_ros.types import ConfigError
import tyro


@dataclass(frozen=True)
class Bench:
    """Measure a part of the stack on this machine, beside what it is compared with.

    recorder: four VGA cameras at 30 Hz and two arms at 100 Hz, each a process of its own; exit
    status 0 if nothing was lost. planning: a best-of-8 query with 3 futures and 5 values against
    the reference's order of work on the same noise. latency --model 2b: direct and planning
    queries of the network at the paper's size on a GPU, with random weights and every backend.

    Example: cosmos-policy bench recorder --seconds 60 --json recorder.json
    Example: cosmos-policy bench planning --rounds 20 --json planning.json
    Example: cosmos-policy bench --model 2b --json latency_2b.json
    """

    what: tyro.conf.Positional[Literal['recorder', 'planning', 'latency']] = 'latency'
    """What is measured."""
    model: Literal['2b'] | None = None
    """The network whose latency is measured, instead of a checkpoint's."""
    device: Literal['cuda', 'cpu'] = 'cuda'
    """Where the 2B network runs."""
    layers: int | None = None
    """Layers of the 2B network, by default all 28; few of them to try the command on a CPU."""
    backends: tuple[str, ...] = ()
    """Backends whose latency is measured, by default all."""
    seconds: float = 60.0
    """How long the recorder records [s]."""
    checkpoint: Path = share_path('models', 'aloha_sim_transfer_cube')
    """Checkpoint folder of the planning query."""
    rounds: int = 20
    """Observations that are planned for; most times that a query of the 2B network is asked."""
    threads: int = 1
    """CPU threads of the networks."""
    backend: str = 'auto'
    """What runs the networks."""
    precision: Literal['auto', 'float32', 'bfloat16', 'float16'] = 'auto'
    """Arithmetic of the networks."""
    json: Path | None = None
    """Write the figures to this file."""
    domain: int | None = None
    """ROS domain, by default ROS_DOMAIN_ID where that is set, else one of its own."""


def run(options: Bench) -> int:
    """Measure, print a table and write the figures."""
    if not options.seconds >= 1.0:
        msg = f'--seconds must be at least 1, got {options.seconds}'
        raise ConfigError(msg)
    if min(options.rounds, options.threads) < 1:
        msg = f'--rounds and --threads must be at least 1, got {options.rounds}, {options.threads}'
        raise ConfigError(msg)
    if options.model == '2b' or options.what == 'latency':
        figures = _latency(options)
    elif options.what == 'recorder':
        figures = bench_recorder.measure(options.seconds, options.domain)
    else:
        from cosmos_policy_ros.cli import bench_planning  # torch takes a while to load

        figures = bench_planning.measure(
            options.checkpoint, options.rounds, options.threads, options.backend, options.precision
        )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + '\n', encoding='utf-8')
    return 1 if figures.get('lost') else 0


def _latency(options: Bench) -> dict[str, Any]:
    """Measure the 2B network."""
    if options.model is None or options.what != 'latency' or (options.layers or 1) < 1:
        msg = 'latency is measured of --model 2b, with at least 1 of its --layers'
        raise ConfigError(msg)
    from cosmos_policy_ros.cli import bench_2b
    from cosmos_policy_ros.core.random_weights import released_sizes

    return bench_2b.measure(
        released_sizes(options.layers),
        options.device,
        options.backends,
        options.precision,
        options.rounds,
    )
