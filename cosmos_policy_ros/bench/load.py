# SPDX-License-Identifier: Apache-2.0
"""What keeps the computer of a robot busy while something is measured on it.

There are two loads. That of the sensors is the recorder's: four VGA cameras at 30 Hz and two arms,
each published by a process of its own, all of it recorded. That of the running stack is a demo
with four such cameras beside its own, all of it recorded. In both a process keeps one core busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any

from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.sim.tasks import UNSEEN_SEED
from cosmos_policy_ros.stack.node_list import (
    EXECUTOR,
    FAKE_SENSOR,
    NodeSpec,
    OPERATOR,
    RECORDER,
    SIM_STACK,
    Value,
)
from cosmos_policy_ros.stack.processes import start_node, start_process, stop_nodes
from cosmos_policy_ros.stack.running import explain_end, run_stack
import yaml

ROBOT = robot_file('aloha_sim')
SENSORS = ('high', 'low', 'left_wrist', 'right_wrist')  # cameras of the load of the sensors
EXTRA = ('load_0', 'load_1', 'load_2', 'load_3')  # cameras beside those of the running stack
WIDTH, HEIGHT, CAMERA_HZ = 640, 480, 30.0
ARMS = 'arms'  # what publishes the joint states of all arms
CUTS = 35  # in which a bag vanishes, of the 40 events of progress in an episode
BUSY = 'while True: pass'
LONGEST_S = 3600.0  # [s] of an episode; the recorder writes 110 MB/s until the block ends
START_S = 120.0  # [s] within which the processes must be up
POLL_S = 0.05


@contextmanager
def under_sensor_load() -> Iterator[None]:
    """Publish and record the sensors and keep one core busy, while the block runs.

    Raises:
        ConfigError: A process ended because of something a user can change.
        ChildProcessError: A process crashed, so that not all was measured under load.
        TimeoutError: The recorder does not begin.
    """
    with tempfile.TemporaryDirectory(prefix='bench_load_') as folder:
        out = Path(folder)
        with record_sensors(out, LONGEST_S) as processes:
            processes['busy'] = start_process([sys.executable, '-c', BUSY], out / 'busy.log')
            yield
            raise_if_ended(out, processes)


Condition = Callable[[], AbstractContextManager[None]]
CONDITIONS: dict[str, Condition] = {'quiet': nullcontext, 'loaded': under_sensor_load}


@contextmanager
def record_sensors(out: Path, seconds: float) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Publish the sensors and record them, from the first message of an episode on.

    Args:
        out: Folder of what was published, of logs and, in ``bags``, of the episode. The episode
            itself is described by ``window.json``, see ``wait_for_window``.
        seconds: Length of the episode [s].

    Yields:
        The processes by name, such as ``recorder``; they end with the block.

    Raises:
        ConfigError: A process ended because of something a user can change.
        ChildProcessError: A process crashed.
        TimeoutError: The episode does not begin.
    """
    robot = write_robot(out / 'robot.yaml', SENSORS)
    common: dict[str, Value] = {'robot': str(robot), 'out': str(out)}
    processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str, spec: NodeSpec, **values: Value) -> None:
        processes[name] = start_node(spec, common | values, out / f'{name}.log')

    try:
        start('recorder', RECORDER, out=str(out / 'bags'), source='rollout')
        for camera in SENSORS:
            start(camera, FAKE_SENSOR, stream=camera)
        start(ARMS, FAKE_SENSOR, stream=ARMS, record_s=seconds)
        wait_for_window(out, processes, 'start_ns', START_S)
        yield processes
    finally:
        stop_nodes(processes.values(), patience_s=20.0)


def wait_for_window(
    out: Path, processes: Mapping[str, subprocess.Popen[bytes]], key: str, timeout_s: float
) -> None:
    """Wait until the description of the recorded episode has a key.

    Args:
        out: Folder of ``record_sensors``; the file is ``window.json``.
        processes: Those that must go on meanwhile.
        key: ``start_ns`` from the begin of the episode on, ``success`` from its end on.
        timeout_s: How long that may take [s].

    Raises:
        ConfigError: A process ended because of something a user can change.
        ChildProcessError: A process crashed.
        TimeoutError: The key does not come.
    """
    file, end_s = out / 'window.json', time.perf_counter() + timeout_s
    while not file.exists() or key not in json.loads(file.read_text(encoding='utf-8')):
        raise_if_ended(out, processes)
        if time.perf_counter() > end_s:
            log = (out / 'recorder.log').read_text(encoding='utf-8')
            msg = f'the recorder did not get to {key} within {timeout_s:.0f} s:\n{log[-2000:]}'
            raise TimeoutError(msg)
        time.sleep(POLL_S)


def raise_if_ended(out: Path, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Raise why one of the processes has ended, if one has.

    Args:
        out: Folder with ``<name>.log`` of every process.
        processes: The processes by name.

    Raises:
        ConfigError: It ended because of something a user can change.
        ChildProcessError: It crashed.
    """
    for name, process in processes.items():
        if process.poll() is not None:
            raise explain_end(name, process.poll() or 0, out / f'{name}.log')


def play_under_load(
    out: Path, episodes: int, extra: Mapping[str, str], show: Callable[[int, Event], None]
) -> dict[str, Any]:
    """Play episodes on the running stack under load, and return what it achieved meanwhile.

    Args:
        out: Empty folder; the executor writes ``lateness.json`` into it.
        episodes: How many.
        extra: Name -> Python code that runs in a process of its own while episodes are played.
        show: Called with the number of complete episodes and every event of progress.

    Returns:
        ``episodes``, ``queries`` and ``answers``, ``standstill_s``, ``faults``,
        ``real_time_factor_min``, ``recorded_mb_per_s``, and what the load was.

    Raises:
        ConfigError: A node ended because of something a user can change.
        ChildProcessError: A node crashed.
    """
    (out / 'logs').mkdir()
    nodes, operator = _loaded_stack(out)
    load: list[subprocess.Popen[bytes]] = []
    played: list[Event] = []
    n_bytes = cut_bytes = 0
    try:
        with run_stack({'episodes': episodes, 'seed': UNSEEN_SEED}, out, operator, nodes) as stack:
            for event in stack.follow():
                if event['event'] == 'ready':
                    load = [_start(out, *code) for code in {'busy': BUSY, **extra}.items()]
                elif event['event'] == 'progress':
                    show(len(played), event)
                    if played:
                        _cut(Path(played[-1]['bag']), cut_bytes)
                elif event['event'] == 'episode':
                    played.append(event)
                    size = _storage(Path(event['bag'])).stat().st_size
                    n_bytes, cut_bytes = n_bytes + size, size // CUTS
                    if len(played) > 1:
                        shutil.rmtree(played[-2]['bag'])
    finally:
        stop_nodes(load)
    return {
        'episodes': len(played),
        'queries': sum(e['queries'] for e in played),
        'answers': sum(e['answers'] for e in played),
        'standstill_s': round(sum(e['standstill_s'] for e in played), 3),
        'faults': sum(bool(e['fault']) for e in played),
        'real_time_factor_min': min(e['real_time_factor_min'] for e in played),
        'recorded_mb_per_s': round(n_bytes / 1e6 / sum(e['seconds'] for e in played), 1),
        'extra_cameras': f'{len(EXTRA)} x {WIDTH} x {HEIGHT} at {CAMERA_HZ:g} Hz',
        'busy_processes': 1,
    }


def write_robot(file: Path, cameras: Sequence[str], beside_its_own: bool = False) -> Path:
    """Write the file of the simulated robot with VGA cameras at 30 Hz, and return the path.

    Args:
        file: Robot YAML to write.
        cameras: Names of the cameras.
        beside_its_own: Keep the cameras of the simulated robot too.
    """
    robot: dict[str, Any] = yaml.safe_load(ROBOT.read_text(encoding='utf-8'))
    size = {'width': WIDTH, 'height': HEIGHT, 'rate_hz': CAMERA_HZ}
    own = robot['cameras'] if beside_its_own else []
    robot['cameras'] = [*own, *({'name': n, 'topic': f'/{n}/image_raw', **size} for n in cameras)]
    file.write_text(yaml.safe_dump(robot), encoding='utf-8')
    return file


def _loaded_stack(out: Path) -> tuple[list[NodeSpec], NodeSpec]:
    """Return the nodes with the extra cameras, and the operator, who records all cameras."""
    robot = str(write_robot(out / 'robot.yaml', EXTRA, beside_its_own=True))
    cameras = [replace(FAKE_SENSOR, name=n, given={'stream': n, 'robot': robot}) for n in EXTRA]
    logged = replace(
        EXECUTOR,
        arguments=(*EXECUTOR.arguments, 'lateness'),
        given={'lateness': str(out / 'lateness.json')},
    )
    stack = [logged if spec is EXECUTOR else spec for spec in SIM_STACK]
    return [*stack, *cameras], replace(OPERATOR, given={'robot': robot})


def _start(out: Path, name: str, code: str) -> subprocess.Popen[bytes]:
    return start_process([sys.executable, '-c', code], out / 'logs' / f'{name}.log')


def _storage(bag: Path) -> Path:
    return next(bag.glob('*.mcap'))


def _cut(bag: Path, n_bytes: int) -> None:
    """Give a part of a bag's memory back while the next bag needs as much.

    A gigabyte at once would go back to the host of a virtual machine, which stands still for
    some 10 ms meanwhile.
    """
    file = _storage(bag)
    os.truncate(file, max(0, file.stat().st_size - n_bytes))
