# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy bench``: what a part of the stack costs and loses on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import math
from pathlib import Path
from typing import Annotated, Literal

from cosmos_policy_ros.bench.parts import Figures, has_losses, measure_parts
from cosmos_policy_ros.cli.counts import check_counts
from cosmos_policy_ros.outputs import check_output
from cosmos_policy_ros.resources import robot_file, share_path
from cosmos_policy_ros.types import ConfigError
import tyro


@dataclass(frozen=True)
class Bench:
    """Measure a part of the stack on this machine, beside what it is compared with.

    recorder: four VGA cameras at 30 Hz and two arms at 100 Hz, each a process of its own; exit
    status 0 if nothing was lost. control: how late the commands of the executor leave while the
    stack of the demo plays, four more cameras publish, all of it is recorded and a process keeps a
    core busy, beside an empty real-time loop; exit status 0 if no deadline was missed, by more
    than 2 ms or as a skipped tick. planning: a best-of-8 query with 3 futures and 5 values against
    the reference's order of work on the same noise. latency: a query for one action chunk and one
    for the best of 8 with every backend in turn, alone and beside that recorder and a busy core,
    with errors, memory and time to the first answer, and through the running stack; half an hour,
    less with fewer --rounds or --backends. With --model 2b: direct and planning queries of the
    network at the paper's size on a GPU, with random weights and every backend. seams: success,
    jumps at the take-over, standstill and interventions over the time from query to answer, for
    every seam and task, in the simulator of evaluate; hours, less with fewer --episodes, and what
    the file has already is not played again. memory: what the network at the paper's size takes
    for queries, by precision and rows, and for training, of all weights or adapters, on each of 1,
    2, 4 and 8 GPUs, in shards that are counted in a step without numbers, without a GPU.
    conversion: an HDF5 file of --rows with the cameras of a robot to a LeRobot data set, and the
    peak of memory; exit status 0 below 1.5 GB. all: the others one after the other, each under its
    name in the file.

    Example: cosmos-policy bench recorder --seconds 60 --json recorder.json
    Example: cosmos-policy bench control --seconds 600 --json control.json
    Example: cosmos-policy bench planning --rounds 20 --json planning.json
    Example: cosmos-policy bench latency --backends openvino compiled --json latency.json
    Example: cosmos-policy bench --model 2b --json latency_2b.json
    Example: cosmos-policy bench memory
    Example: cosmos-policy bench seams --json seams.json --plot seams.png
    Example: cosmos-policy bench conversion --rows 2500
    Example: cosmos-policy bench all --json bench.json
    """

    what: tyro.conf.Positional[
        Literal[
            'recorder', 'control', 'planning', 'latency', 'seams', 'conversion', 'memory', 'all'
        ]
    ] = 'latency'
    """Parts to measure."""
    model: Literal['2b'] | None = None
    """The network whose latency is measured, instead of a checkpoint's."""
    device: Literal['cuda', 'cpu'] = 'cuda'
    """Where the 2B network runs."""
    layers: int | None = None
    """Layers of the 2B network, by default all 28; few of them to try the command on a CPU."""
    backends: tuple[str, ...] = ()
    """Backends whose latency is measured, by default all."""
    seconds: float | None = None
    """How long the recorder records, by default 60, or commands are sent, by default 600 [s]."""
    checkpoint: Path = share_path('models', 'aloha_sim')
    """Checkpoint folder of the queries."""
    rounds: int = 20
    """Observations that are planned for; turns of every backend, each of 2 s, quiet and loaded;
    most times that a query of the 2B network is repeated."""
    threads: int = 1
    """CPU threads of the networks."""
    backend: str = 'auto'
    """What runs the networks of the planning query."""
    precision: Literal['auto', 'float32', 'bfloat16', 'float16'] = 'auto'
    """Their arithmetic, and that of the 2B network."""
    episodes: int = 200
    """Scenes that are played for each task, seam and latency."""
    latencies: tuple[float, ...] = (0.1, 0.2, 0.4, 0.6, 0.8)
    """Times from query to answer of the seams [s]."""
    seams: tuple[str, ...] = ('blend', 'committed')
    """How a chunk takes over from the one before, rows of SEAMS in control/seams.py."""
    tasks: tuple[str, ...] = ('transfer_cube', 'insert_peg')
    """Simulated tasks that the seams are measured on."""
    workers: Annotated[int, tyro.conf.arg(aliases=['-j'])] = 2
    """Processes that play scenes of the seams side by side."""
    rows: int = 2500
    """Rows of the file that is converted."""
    plot: Path | None = None
    """PNG: success and jumps at the take-over over the latency, a line for each seam."""
    json: Path | None = None
    """Write the figures to this file; that of the seams is read first, and played on."""
    domain: int | None = None
    """ROS domain, by default ROS_DOMAIN_ID where that is set, else one of its own; latency takes
    the next one too."""


def run(options: Bench) -> int:
    """Measure and print; exit status 1 where something was lost or missed."""
    if options.seconds is not None and not 1.0 <= options.seconds < math.inf:
        msg = f'--seconds must be a number from 1, got {options.seconds}'
        raise ConfigError(msg)
    check_counts(options, 'rows')
    if min(options.rounds, options.threads) < 1:
        msg = f'--rounds and --threads must be at least 1, got {options.rounds}, {options.threads}'
        raise ConfigError(msg)
    if (options.model and options.what != 'latency') or (options.layers or 1) < 1:
        msg = 'only the latency of --model 2b is measured, with at least 1 of its --layers'
        raise ConfigError(msg)
    check_output('--json', options.json)
    if options.what == 'seams':
        return _seams(options)
    names = tuple(PARTS) if options.what == 'all' else (options.what,)
    parts = {name: partial(PARTS[name], options) for name in names}
    figures = measure_parts(parts, options.json, nested=options.what == 'all')
    return 1 if has_losses(figures) else 0


def _seams(options: Bench) -> int:
    """Measure the seams, which write their own file after every cell."""
    from cosmos_policy_ros.bench.seams import measure_seams
    from cosmos_policy_ros.evaluation import Agent

    check_counts(options, 'episodes', 'workers')
    check_output('--plot', options.plot)
    agent = Agent(
        options.checkpoint,
        backend=options.backend,
        precision=options.precision,
        threads=options.threads,
    )
    measure_seams(
        agent,
        options.episodes,
        options.latencies,
        options.seams,
        options.tasks,
        workers=options.workers,
        file=options.json,
        plot=options.plot,
    )
    return 0


# Imported where they are called: they load torch, MuJoCo and the readers of bags.
def _recorder(options: Bench) -> Figures:
    from cosmos_policy_ros.bench.recorder import measure_recorder

    return measure_recorder(options.seconds or 60.0, options.domain)


def _control(options: Bench) -> Figures:
    from cosmos_policy_ros.bench.control import measure_control

    return measure_control(options.seconds or 600.0, options.domain)


def _planning(options: Bench) -> Figures:
    from cosmos_policy_ros.bench.planning import measure_planning

    return measure_planning(
        options.checkpoint, options.rounds, options.threads, options.backend, options.precision
    )


def _latency(options: Bench) -> Figures:
    if options.model:
        from cosmos_policy_ros.bench.model_2b import measure_model_2b

        return measure_model_2b(
            options.layers, options.device, options.backends, options.precision, options.rounds
        )
    from cosmos_policy_ros.bench.latency import measure_latency

    return measure_latency(
        options.checkpoint, options.rounds, options.threads, options.backends, options.domain
    )


def _memory(options: Bench) -> Figures:
    from cosmos_policy_ros.bench.memory import measure_memory
    from cosmos_policy_ros.bench.random_weights import released_sizes

    return measure_memory(released_sizes(options.layers))


def _conversion(options: Bench) -> Figures:
    from cosmos_policy_ros.bench.conversion import measure_conversion

    return measure_conversion(robot_file('aloha'), options.rows)


PARTS: dict[str, Callable[[Bench], Figures]] = {
    'recorder': _recorder,
    'control': _control,
    'planning': _planning,
    'latency': _latency,
    'conversion': _conversion,
    'memory': _memory,
}
