# SPDX-License-Identifier: Apache-2.0
"""Whether the recorder keeps up with four VGA cameras and two arms, and at what cost.

Every publisher is a process that writes down the stamps it published; they are compared with the
stamps in the bag, so that no message can be missed by counting.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import json
from pathlib import Path
import subprocess
import tempfile
import time
from typing import Any

from cosmos_policy_ros.data.bags.throughput import measure_writer, read_stamps
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import FAKE_SENSOR, NodeSpec, RECORDER, Value
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
from cosmos_policy_ros.stack.running import explain_end
import psutil
from rich.console import Console
from rich.table import Table
import yaml

CAMERAS = ('high', 'low', 'left_wrist', 'right_wrist')
CAMERA_HZ = 30.0
IN_FLIGHT_NS = 250_000_000  # a message this young may still be on its way when the bag is closed
START_S = 120.0  # [s] within which the processes must be up
POLL_S = 0.05


def measure(seconds: float, domain: int | None) -> dict[str, Any]:
    """Record for a while, print what came and return the figures.

    Args:
        seconds: Length of the episode [s].
        domain: ROS domain, None for one of its own.

    Returns:
        ``lost`` messages, ``cpu_share`` of one core that the recorder took, ``mb_per_s`` recorded,
        ``peer_mb_per_s`` that the plain rosbags writer manages, and ``topics`` with the counts.
    """
    choose_domain(domain)
    with tempfile.TemporaryDirectory(prefix='bench_recorder_') as folder:
        out = Path(folder)
        cpu_share = _record(out, seconds)
        window = json.loads((out / 'window.json').read_text(encoding='utf-8'))
        bag = next((out / 'bags').iterdir())
        topics = _compare(out, bag, window)
        n_bytes = sum(file.stat().st_size for file in bag.iterdir())
        figures = {
            'seconds': seconds,
            'lost': sum(row['lost'] for row in topics.values()),
            'cpu_share': round(cpu_share, 3),
            'mb_per_s': round(n_bytes / 1e6 / seconds, 1),
            'peer_mb_per_s': round(measure_writer(bag, out / 'peer'), 1),
            'label_accepted': window['success'],
            'message': window['message'].replace(f'{out}/', ''),
            'cores': psutil.cpu_count(),
            'load': round(psutil.getloadavg()[0], 2),
            'topics': topics,
        }
    _print(figures)
    return figures


def _record(out: Path, seconds: float) -> float:
    """Let all processes run for one episode and return the CPU share of the recorder."""
    with recording(out, seconds) as processes:
        recorder = psutil.Process(processes['recorder'].pid)
        cpu_s, start_s = sum(recorder.cpu_times()[:2]), time.perf_counter()
        _wait(out, processes, 'success', seconds + START_S)
        cpu_s = sum(recorder.cpu_times()[:2]) - cpu_s
        return cpu_s / (time.perf_counter() - start_s)


@contextmanager
def recording(out: Path, seconds: float) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run the publishers and the recorder, which has just begun an episode; yield them by name.

    Args:
        out: Folder of what was published, of logs and, in ``bags``, of the episode.
        seconds: Length of the episode [s].

    Raises:
        ConfigError: A process ended because of something a user can change.
        ChildProcessError: A process crashed.
        TimeoutError: The episode does not begin.
    """
    robot = out / 'robot.yaml'
    robot.write_text(yaml.safe_dump(_robot()), encoding='utf-8')
    common: dict[str, Value] = {'robot': str(robot), 'out': str(out)}
    processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str, spec: NodeSpec, **values: Value) -> None:
        processes[name] = start_node(spec, common | values, out / f'{name}.log')

    try:
        start('recorder', RECORDER, out=str(out / 'bags'))
        for camera in CAMERAS:
            start(camera, FAKE_SENSOR, stream=camera)
        start('arms', FAKE_SENSOR, stream='arms', record_s=seconds)
        _wait(out, processes, 'start_ns', START_S)
        yield processes
    finally:
        stop_nodes(processes.values(), patience_s=20.0)


def _wait(
    out: Path, processes: dict[str, subprocess.Popen[bytes]], key: str, timeout_s: float
) -> None:
    """Wait until the window of the episode has a key.

    Raises:
        ConfigError: A process ended because of something a user can change.
        ChildProcessError: A process crashed.
        TimeoutError: It does not happen.
    """
    file, end_s = out / 'window.json', time.perf_counter() + timeout_s
    while not file.exists() or key not in json.loads(file.read_text(encoding='utf-8')):
        raise_if_ended(out, processes)
        if time.perf_counter() > end_s:
            log = (out / 'recorder.log').read_text(encoding='utf-8')
            msg = f'the recorder did not get to {key} within {timeout_s:.0f} s:\n{log[-2000:]}'
            raise TimeoutError(msg)
        time.sleep(POLL_S)


def raise_if_ended(out: Path, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Raise what ``_wait`` does if one of the processes has ended."""
    for name, process in processes.items():
        if process.poll() is not None:
            raise explain_end(name, process.poll() or 0, out / f'{name}.log')


def _compare(out: Path, bag: Path, window: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return topic -> messages ``published`` in the window, ``recorded`` and ``lost`` of those."""
    first_ns, last_ns = window['start_ns'], window['stop_ns'] - IN_FLIGHT_NS
    rows = {}
    for stream in (*CAMERAS, 'arms'):
        published = json.loads((out / f'{stream}.json').read_text(encoding='utf-8'))
        recorded = read_stamps(bag, published)
        for topic, stamps in published.items():
            wanted = {stamp for stamp in stamps if first_ns <= stamp <= last_ns}
            lost = len(wanted - set(recorded[topic]))
            n = len(wanted)
            rows[topic] = {'published': n, 'recorded': n - lost, 'lost': lost}
    return rows


def _robot() -> dict[str, Any]:
    """Return the simulated robot's file with four VGA cameras."""
    file = share_path('config', 'robots', 'aloha_sim.yaml')
    robot: dict[str, Any] = yaml.safe_load(file.read_text(encoding='utf-8'))
    size = {'width': 640, 'height': 480, 'rate_hz': CAMERA_HZ}
    robot['cameras'] = [{'name': c, 'topic': f'/{c}/image_raw', **size} for c in CAMERAS]
    return robot


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
        f'{figures["mb_per_s"]} MB/s; plain rosbags writer {figures["peer_mb_per_s"]} MB/s; '
        f'load {figures["load"]} on {figures["cores"]} cores',
        highlight=False,
        soft_wrap=True,
    )
