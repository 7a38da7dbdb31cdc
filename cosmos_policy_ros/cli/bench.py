# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy bench``: what a part of the stack costs and loses on this machine."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
from typing import Literal

from cosmos_policy_ros.cli import bench_recorder
from cosmos_policy_ros.types import ConfigError
import tyro

MEASURES = {'recorder': bench_recorder.measure}  # name -> seconds, domain -> figures


@dataclass(frozen=True)
class Bench:
    """Measure a part of the stack with processes of its own.

    recorder: four VGA cameras at 30 Hz and two arms at 100 Hz; exit status 0 if nothing was lost.

    Example: cosmos-policy bench recorder --seconds 60 --json recorder.json
    """

    what: tyro.conf.Positional[Literal['recorder']]
    """What is measured."""
    seconds: float = 60.0
    """How long [s]."""
    json: Path | None = None
    """Write the figures to this file."""
    domain: int | None = None
    """ROS domain, by default ROS_DOMAIN_ID where that is set, else one of its own."""


def run(options: Bench) -> int:
    """Measure, print a table and write the figures."""
    if not options.seconds >= 1.0:
        msg = f'--seconds must be at least 1, got {options.seconds}'
        raise ConfigError(msg)
    figures = MEASURES[options.what](options.seconds, options.domain)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + '\n', encoding='utf-8')
    return 1 if figures['lost'] else 0
