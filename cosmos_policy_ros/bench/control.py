# SPDX-License-Identifier: Apache-2.0
"""How late the executor's commands leave under full load, beside a loop that does nothing.

The executor logs when every command was due, when it began to leave and when it had left. An empty
loop in a process of its own ticks half a period after the executor: the two take turns at its
rate, under one load, and never meet.
"""

from __future__ import annotations

import gc
import math
from pathlib import Path
import platform
import signal
import sys
import tempfile
import time
from typing import Any

from cosmos_policy_ros.bench.load import play_under_load, ROBOT
from cosmos_policy_ros.control.realtime import request_realtime
from cosmos_policy_ros.control.ticks import (
    Lateness,
    MISS_S,
    read_lateness,
    sleep_until,
    Ticker,
)
from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.metrics import percentiles
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.report.machine import describe_machine, load_average
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.tasks import EPISODE_S
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import EXECUTOR, parameters
import numpy as np
from numpy.typing import NDArray
import psutil
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

EMPTY = 'from cosmos_policy_ros.bench.control import run_empty_loop as run; run'
TIMES_EMPTY = 1.5  # times the empty loop's p99 that p99 may be under SCHED_FIFO
NORMAL_MS = 2.0  # [ms] that p99 may be without


def measure_control(seconds: float, domain: int | None = None) -> dict[str, Any]:
    """Play episodes under load, print how late the commands were, and return the figures.

    Args:
        seconds: How long commands are sent [s]; whole episodes are played.
        domain: ROS domain, None for one of its own.

    Returns:
        ``lateness_ms`` (``p50``, ``p99``, ``max``) from when commands were due to when they began
        to leave, ``sent_ms`` to when they had left for all arms, ``misses``, of which
        ``misses_half_period`` by more than half a period and ``skipped`` altogether,
        ``empty_loop_p99_ms`` and more about the empty loop, ``samples``, ``rate_hz``,
        ``scheduling``, ``load``, ``stolen_s`` that the host of a virtual machine took away,
        ``cores``, ``versions``, and what else ran in ``stack``.

    Raises:
        ConfigError: A node ended because of something a user can change.
        ChildProcessError: A node crashed.
    """
    choose_domain(domain)
    episodes = math.ceil(seconds / EPISODE_S)
    rate_hz = read_robot(ROBOT).control_rate_hz
    priority = parameters(EXECUTOR)['realtime_priority']
    columns = TextColumn('{task.description}'), BarColumn(), TextColumn('{task.fields[figures]}')
    with (
        tempfile.TemporaryDirectory(prefix='bench_control_') as folder,
        Progress(*columns, TimeRemainingColumn(), transient=True) as progress,
    ):
        out = Path(folder)
        empty_log = out / 'empty.json'
        bar = progress.add_task('starting', total=episodes * EPISODE_S, figures='')

        def show(n_played: int, event: Event) -> None:
            late_ms = event['late_ms_p99'] or math.nan
            progress.update(
                bar,
                description=f'episode {n_played + 1} of {episodes}',
                completed=n_played * EPISODE_S + event['seconds'],
                figures=f'p99 {late_ms:.3f} ms, {event["deadline_misses"]} missed',
            )

        empty = f'{EMPTY}({rate_hz}, {priority}, {str(empty_log)!r})'
        stolen_s = psutil.cpu_times().steal
        stack = play_under_load(out, episodes, {'empty': empty}, show)
        stolen_s = psutil.cpu_times().steal - stolen_s
        own, empty_loop = read_lateness(out / 'lateness.json'), read_lateness(empty_log)
        figures = compare_loops(own, empty_loop, rate_hz)
    machine = describe_machine()
    machine['versions']['kernel'] = platform.release()
    load = {'load': load_average(), 'stolen_s': round(stolen_s, 2)}
    figures |= {**load, **machine, 'stack': stack}
    _print(figures)
    return figures


def compare_loops(
    own: tuple[str, NDArray[np.float64]], empty: tuple[str, NDArray[np.float64]], rate_hz: float
) -> dict[str, Any]:
    """Return lateness, misses and the verdict of the executor's loop beside the empty one.

    Of the empty loop only the ticks between two commands count.

    Args:
        own: Scheduling and ticks of the executor, as ``read_lateness`` returns them.
        empty: Those of the empty loop.
        rate_hz: Ticks per second of both [Hz].

    Raises:
        RuntimeError: There are no commands.
    """
    (scheduling, ticks), (empty_scheduling, beside) = own, empty
    if not len(ticks):
        msg = 'the executor sent no command; nothing was measured'
        raise RuntimeError(msg)
    before = np.searchsorted(ticks[:, 0], beside[:, 0]) - 1
    beside = beside[(before >= 0) & (beside[:, 0] - ticks[before, 0] < 1.0 / rate_hz)]
    lateness, floor = percentiles(ticks[:, 1] * 1e3), percentiles(beside[:, 1] * 1e3)
    misses = _misses(ticks, MISS_S)
    limit_ms = NORMAL_MS if scheduling == 'normal' else TIMES_EMPTY * floor['p99']
    return {
        'rate_hz': rate_hz,
        'samples': len(ticks),
        'lateness_ms': _rounded(lateness),
        'sent_ms': _rounded(percentiles(ticks[:, 2] * 1e3)),
        'misses': misses,
        'misses_half_period': _misses(ticks, 0.5 / rate_hz),
        'skipped': int(ticks[:, 3].sum()),
        'miss_ms': MISS_S * 1e3,
        'scheduling': scheduling,
        'empty_loop_p99_ms': round(floor['p99'], 4),
        'empty_loop_ms': _rounded(floor),
        'empty_loop_samples': len(beside),
        'empty_loop_misses': _misses(beside, MISS_S),
        'empty_loop_scheduling': empty_scheduling,
        'p99_limit_ms': round(limit_ms, 4),
        'passed': not misses and lateness['p99'] <= limit_ms,
    }


def run_empty_loop(rate_hz: float, priority: int, out: str) -> None:
    """Tick half a period after the executor until SIGTERM; write how late the ticks were.

    Args:
        rate_hz: Ticks per second [Hz].
        priority: SCHED_FIFO priority.
        out: File to write.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    scheduling = request_realtime(priority)
    lateness, skipped = Lateness(out), 0
    ticker = Ticker.by_clock(1.0 / rate_hz, shift_s=0.5 / rate_hz)
    gc.disable()
    try:
        while True:
            due_s = ticker.take(time.perf_counter())
            sleep_until(due_s)
            now_s = time.perf_counter()
            lateness.add(due_s, now_s, now_s, ticker.skipped - skipped)
            skipped = ticker.skipped
    finally:
        lateness.write(scheduling)


def _misses(ticks: NDArray[np.float64], limit_s: float) -> int:
    """Return how many deadlines were missed by more than a limit; a skipped tick always is."""
    return int(ticks[:, 3].sum() + (ticks[:, 2] > limit_s).sum())


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(number, 4) for name, number in numbers.items()}


def _print(figures: dict[str, Any]) -> None:
    """Print both loops and the verdict."""
    names = ('loop', 'scheduling', 'ticks', 'p50 ms', 'p99 ms', 'max ms', 'missed')
    table = Table(*names, title=f'control at {figures["rate_hz"]:g} Hz')
    for name, prefix in (('command executor', ''), ('empty loop', 'empty_loop_')):
        ms = figures['empty_loop_ms' if prefix else 'lateness_ms']
        cells = [figures[f'{prefix}scheduling'], str(figures[f'{prefix}samples'])]
        cells += [f'{ms[key]:.3f}' for key in ('p50', 'p99', 'max')]
        table.add_row(name, *cells, str(figures[f'{prefix}misses']))
    console = Console()
    console.print(table)
    verdict = '[green]holds[/green]' if figures['passed'] else '[red]does not hold[/red]'
    stack, sent = figures['stack'], figures['sent_ms']
    console.print(
        f'target {verdict}: p99 {figures["lateness_ms"]["p99"]:.3f} ms, at most '
        f'{figures["p99_limit_ms"]:.3f} ms; {figures["misses"]} deadlines missed by more than '
        f'{figures["miss_ms"]:g} ms, {figures["misses_half_period"]} by more than half a period '
        f'({figures["skipped"]} skipped)\n'
        f'all arms had theirs after {sent["p50"]:.3f} ms (p50), {sent["p99"]:.3f} ms (p99)\n'
        f'{stack["answers"]} of {stack["queries"]} queries answered, '
        f'{stack["recorded_mb_per_s"]} MB/s recorded, load {figures["load"]} on '
        f'{figures["cores"]} cores, {figures["stolen_s"]} s taken by a host',
        highlight=False,
        soft_wrap=True,
    )
