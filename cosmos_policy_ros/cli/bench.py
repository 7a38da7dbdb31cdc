# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy bench``: what a part of the stack costs and loses on this machine."""

from __future__ import annotations

from dataclasses import dataclass
import json
import math
from pathlib import Path
from typing import Literal

from cosmos_policy_ros.cli import bench_control, bench_recorder
from cosmos_policy_ros.stack import share_path
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
    the reference's order of work on the same noise.

    Example: cosmos-policy bench recorder --seconds 60 --json recorder.json
    Example: cosmos-policy bench control --seconds 600 --json control.json
    Example: cosmos-policy bench planning --rounds 20 --json planning.json
    """

    what: tyro.conf.Positional[Literal['recorder', 'control', 'planning']]
    """What is measured."""
    seconds: float | None = None
    """How long the recorder records, by default 60, or commands are sent, by default 600 [s]."""
    checkpoint: Path = share_path('models', 'aloha_sim_transfer_cube')
    """Checkpoint folder of the planning query."""
    rounds: int = 20
    """Observations that are planned for."""
    threads: int = 1
    """CPU threads of the networks."""
    json: Path | None = None
    """Write the figures to this file."""
    domain: int | None = None
    """ROS domain, by default ROS_DOMAIN_ID where that is set, else one of its own."""


def run(options: Bench) -> int:
    """Measure, print a table and write the figures."""
    if options.seconds is not None and not 1.0 <= options.seconds < math.inf:
        msg = f'--seconds must be a number from 1, got {options.seconds}'
        raise ConfigError(msg)
    if min(options.rounds, options.threads) < 1:
        msg = f'--rounds and --threads must be at least 1, got {options.rounds}, {options.threads}'
        raise ConfigError(msg)
    if options.what == 'recorder':
        figures = bench_recorder.measure(options.seconds or 60.0, options.domain)
    elif options.what == 'control':
        figures = bench_control.measure(options.seconds or 600.0, options.domain)
    else:
        from cosmos_policy_ros.cli import bench_planning  # torch takes a while to load

        figures = bench_planning.measure(options.checkpoint, options.rounds, options.threads)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + '\n', encoding='utf-8')
    return 1 if figures.get('lost') or figures.get('misses') else 0
