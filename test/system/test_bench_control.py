# SPDX-License-Identifier: Apache-2.0
"""The measurement of the control loop finds missed deadlines, also those of a stopped process."""

from __future__ import annotations

from collections.abc import Iterator
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.bench.control import compare_loops
from ros_domains import wait_for

STOPPED_S = 0.1  # the executor is stopped for at least this long


def ticks(*rows: tuple[float, float, float, int]) -> np.ndarray:
    """Return ticks from when each was due, began to leave late, had left late, skipped before."""
    return np.array(rows, np.float64)


COMMANDS = ticks(
    (10.0, 0.0001, 0.0003, 0),
    (10.02, 0.0002, 0.0021, 0),
    (10.08, 0.0110, 0.0112, 2),
    (10.10, 0.0001, 0.0003, 0),
)
EMPTY = ticks((9.99, 5, 5, 0), (10.01, 0.001, 0.001, 0), (10.09, 0.003, 0.003, 1), (20.0, 5, 5, 0))


def test_late_and_skipped_commands_are_misses() -> None:
    """Two had left after more than 2 ms, two ticks had no command; one was half a period late."""
    figures = compare_loops(('fifo 50', COMMANDS), ('fifo 50', EMPTY), 50.0)
    assert figures['samples'] == 4
    assert (figures['misses'], figures['misses_half_period'], figures['skipped']) == (4, 3, 2)
    assert figures['lateness_ms']['max'] == pytest.approx(11.0)
    assert figures['sent_ms']['max'] == pytest.approx(11.2)
    assert not figures['passed']


def test_the_empty_loop_counts_between_commands_only() -> None:
    """Before the first and long after the last one there was another load."""
    figures = compare_loops(('fifo 50', COMMANDS), ('fifo 50', EMPTY), 50.0)
    assert figures['empty_loop_samples'] == 2
    assert figures['empty_loop_ms']['max'] == pytest.approx(3.0)
    assert figures['empty_loop_misses'] == 2


def test_the_target_depends_on_the_scheduling() -> None:
    """1.5 times the empty loop under SCHED_FIFO, 2 ms without."""
    commands, empty = COMMANDS[:1], EMPTY[1:2]
    fifo = compare_loops(('fifo 50', commands), ('fifo 50', empty), 50.0)
    normal = compare_loops(('normal', commands), ('normal', empty), 50.0)
    assert (fifo['p99_limit_ms'], normal['p99_limit_ms']) == (pytest.approx(1.5), 2.0)
    assert fifo['passed']
    assert normal['passed']


def test_nothing_sent_is_no_result() -> None:
    """A figure without commands would look perfect."""
    with pytest.raises(RuntimeError, match='sent no command'):
        compare_loops(('fifo 50', COMMANDS[:0]), ('fifo 50', EMPTY), 50.0)


@pytest.mark.slow
def test_bench_counts_the_deadlines_of_a_stopped_executor(tmp_path: Path, domain: int) -> None:
    """One episode under full load; the command at the stop is late, the next ones are skipped."""
    command = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()']
    command += ['bench', 'control', '--seconds', '8', '--domain', str(domain)]
    with subprocess.Popen(
        [*command, '--json', str(tmp_path / 'x.json')],
        env=os.environ | {'TMPDIR': str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as bench:
        wait_for(lambda: bench.poll() is not None or 2.0 < seconds_played(tmp_path) < 6.0, 300.0)
        for executor in executors(bench.pid):
            executor.send_signal(signal.SIGSTOP)
            time.sleep(STOPPED_S)
            executor.send_signal(signal.SIGCONT)
        output, _ = bench.communicate(timeout=200)
    assert (tmp_path / 'x.json').exists(), output
    figures = json.loads((tmp_path / 'x.json').read_text(encoding='utf-8'))
    assert bench.returncode == 1, output
    assert figures['lateness_ms']['max'] >= (STOPPED_S - 0.02) * 1e3
    assert figures['skipped'] >= 3
    assert figures['misses'] >= figures['misses_half_period'] >= 4
    assert figures['lateness_ms']['p50'] < 20.0
    assert figures['rate_hz'] == 50.0
    assert figures['samples'] > 100
    assert figures['empty_loop_samples'] > 100
    assert 0.0 < figures['empty_loop_p99_ms'] <= figures['empty_loop_ms']['max']
    assert figures['scheduling'] in ('normal', 'fifo 50')
    assert {'load', 'cores', 'versions', 'processor'} <= set(figures)
    assert figures['stack']['queries'] > 0
    assert figures['stack']['recorded_mb_per_s'] > 1.0
    assert 'command executor' in output


def seconds_played(folder: Path) -> float:
    """Return how far the episode is [s]; 0 before it begins."""
    lines = [line for f in folder.glob('*/events.jsonl') for line in f.read_text().splitlines()]
    events = [json.loads(line) for line in lines if line.endswith('}')]
    return max((e['seconds'] for e in events if e['event'] == 'progress'), default=0.0)


def executors(pid: int) -> Iterator[psutil.Process]:
    """Return the command executors that a process started."""
    for child in psutil.Process(pid).children(recursive=True):
        if 'cosmos_policy_ros.nodes.command_executor' in child.cmdline():
            yield child
