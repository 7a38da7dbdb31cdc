# SPDX-License-Identifier: Apache-2.0
"""Whether the recorder keeps up with four VGA cameras and two arms, and at what cost.

Every publisher is a process that writes down the stamps it published; they are compared with the
stamps in the bag, so that no message can be missed by counting.
"""

from __future__ import annotations

import json
from pathlib import Path
import tempfile
import time
from typing import Any

from cosmos_policy_ros.bench.load import ARMS, record_sensors, SENSORS, START_S, wait_for_window
from cosmos_policy_ros.data.bags.throughput import measure_writer, read_stamps
from cosmos_policy_ros.report.machine import describe_machine, load_average
from cosmos_policy_ros.stack.domain import choose_domain
import psutil
from rich.console import Console
from rich.table import Table

IN_FLIGHT_NS = 250_000_000  # a message this young may still be on its way when the bag is closed


def measure_recorder(seconds: float, domain: int | None = None) -> dict[str, Any]:
    """Record one episode of the sensors, print what was lost and return the figures.

    Args:
        seconds: Length of the episode [s].
        domain: ROS domain, None for one of its own.

    Returns:
        ``lost`` messages, ``cpu_share`` of one core that the recorder took, ``mb_per_s`` recorded,
        ``saved_s`` from the request to stop until the disk had all of it, ``peer_mb_per_s`` that
        the plain rosbags writer manages, and ``topics`` with the counts.
    """
    choose_domain(domain)
    with tempfile.TemporaryDirectory(prefix='bench_recorder_') as folder:
        out = Path(folder)
        cpu_share = _record(out, seconds)
        window = json.loads((out / 'window.json').read_text(encoding='utf-8'))
        bag = next((out / 'bags').iterdir())
        topics = compare_stamps(out, bag, window)
        n_bytes = sum(file.stat().st_size for file in bag.iterdir())
        figures = {
            'seconds': seconds,
            'lost': sum(row['lost'] for row in topics.values()),
            'cpu_share': round(cpu_share, 3),
            'mb_per_s': round(n_bytes / 1e6 / seconds, 1),
            'saved_s': round(window['saved_s'], 2),
            'peer_mb_per_s': round(measure_writer(bag, out / 'peer'), 1),
            'label_accepted': window['success'],
            'message': window['message'].replace(f'{out}/', ''),
            'cores': describe_machine()['cores'],
            'load': load_average(),
            'topics': topics,
        }
    _print(figures)
    return figures


def _record(out: Path, seconds: float) -> float:
    """Let all processes run for one episode and return the CPU share of the recorder."""
    with record_sensors(out, seconds) as processes:
        recorder = psutil.Process(processes['recorder'].pid)
        cpu_s, start_s = sum(recorder.cpu_times()[:2]), time.perf_counter()
        wait_for_window(out, processes, 'success', seconds + START_S)
        cpu_s = sum(recorder.cpu_times()[:2]) - cpu_s
        return cpu_s / (time.perf_counter() - start_s)


def compare_stamps(out: Path, bag: Path, window: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return topic -> messages ``published`` in the window, ``recorded`` and ``lost`` of those.

    Args:
        out: Folder with ``<stream>.json``, topic -> published stamps [ns].
        bag: The recorded bag.
        window: ``start_ns`` and ``stop_ns`` of the episode. What may still have been on its way
            at the end does not count.
    """
    first_ns, last_ns = window['start_ns'], window['stop_ns'] - IN_FLIGHT_NS
    rows = {}
    for stream in (*SENSORS, ARMS):
        published = json.loads((out / f'{stream}.json').read_text(encoding='utf-8'))
        recorded = read_stamps(bag, published)
        for topic, stamps in published.items():
            wanted = {stamp for stamp in stamps if first_ns <= stamp <= last_ns}
            lost = len(wanted - set(recorded[topic]))
            n = len(wanted)
            rows[topic] = {'published': n, 'recorded': n - lost, 'lost': lost}
    return rows


def _print(figures: dict[str, Any]) -> None:
    """Print topics and totals."""
    table = Table('topic', 'published', 'recorded', 'lost', title='recorder')
    for topic, row in figures['topics'].items():
        table.add_row(topic, str(row['published']), str(row['recorded']), str(row['lost']))
    console = Console()
    console.print(table)
    console.print(
        f'{figures["message"]}\n'
        f'lost {figures["lost"]}, {figures["cpu_share"]:.2f} of a core, '
        f'{figures["mb_per_s"]} MB/s, on the disk {figures["saved_s"]:.2f} s after the stop; '
        f'plain rosbags writer {figures["peer_mb_per_s"]} MB/s; '
        f'load {figures["load"]} on {figures["cores"]} cores',
        highlight=False,
        soft_wrap=True,
    )
