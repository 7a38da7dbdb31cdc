# SPDX-License-Identifier: Apache-2.0
"""The stack of the demo under as much load as a robot's computer may ever have.

It plays episodes while four more VGA cameras publish at 30 Hz, the operator records all of it and
one process keeps a core busy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import Any

from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.stack.node_list import EXECUTOR, FAKE_SENSOR, NodeSpec, OPERATOR, SIM_STACK
from cosmos_policy_ros.stack.processes import start_process, stop_nodes
from cosmos_policy_ros.stack.running import Event, run_stack
import yaml

ROBOT = share_path('config', 'robots', 'aloha_sim.yaml')
SEED = 100000  # of the first scene, which no training has seen
CAMERAS, WIDTH, HEIGHT, CAMERA_HZ = 4, 640, 480, 30.0  # beside those of the robot
CUTS = 35  # in which a bag vanishes, of the 40 events of progress in an episode
BUSY = 'while True: pass'


def play(
    out: Path, episodes: int, extra: Mapping[str, str], show: Callable[[int, Event], None]
) -> dict[str, Any]:
    """Play episodes under full load and return what the stack did meanwhile.

    Args:
        out: Empty folder; the executor writes ``lateness.json`` into it.
        episodes: How many.
        extra: Name -> Python code that runs in a process of its own while episodes are played.
        show: Called with the number of complete episodes and every event of progress.

    Raises:
        ConfigError: A node ended because of something a user can change.
        ChildProcessError: A node crashed.
    """
    (out / 'logs').mkdir()
    nodes, operator = _nodes(out)
    load: list[subprocess.Popen[bytes]] = []
    played: list[Event] = []
    n_bytes = cut_bytes = 0
    try:
        with run_stack({'episodes': episodes, 'seed': SEED}, out, operator, nodes) as stack:
            for event in stack.follow():
                if event['event'] == 'ready':
                    load = [_start(out, *code) for code in {'busy': BUSY, **extra}.items()]
                elif event['event'] == 'progress':
                    show(len(played), event)
                    if played:
                        _cut(Path(played[-1]['bag']), cut_bytes)
                elif event['event'] == 'episode':
                    played.append(event)
                    size = _file(Path(event['bag'])).stat().st_size
                    n_bytes, cut_bytes = n_bytes + size, size // CUTS
                    if len(played) > 1:
                        shutil.rmtree(played[-2]['bag'])
    finally:
        stop_nodes(load)
    return _describe(played, n_bytes)


def _nodes(out: Path) -> tuple[list[NodeSpec], NodeSpec]:
    """Return the nodes and the operator, who records all cameras."""
    names = [f'load_{i}' for i in range(CAMERAS)]
    robot = yaml.safe_load(ROBOT.read_text(encoding='utf-8'))
    size = {'width': WIDTH, 'height': HEIGHT, 'rate_hz': CAMERA_HZ}
    robot['cameras'] += [{'name': n, 'topic': f'/{n}/image_raw', **size} for n in names]
    file = out / 'robot.yaml'
    file.write_text(yaml.safe_dump(robot), encoding='utf-8')
    cameras = [
        replace(FAKE_SENSOR, name=n, given={'stream': n, 'robot': str(file)}) for n in names
    ]
    logged = replace(
        EXECUTOR,
        arguments=(*EXECUTOR.arguments, 'lateness'),
        given={'lateness': str(out / 'lateness.json')},
    )
    stack = [logged if spec is EXECUTOR else spec for spec in SIM_STACK]
    return [*stack, *cameras], replace(OPERATOR, given={'robot': str(file)})


def _start(out: Path, name: str, code: str) -> subprocess.Popen[bytes]:
    return start_process([sys.executable, '-c', code], out / 'logs' / f'{name}.log')


def _file(bag: Path) -> Path:
    return next(bag.glob('*.mcap'))


def _cut(bag: Path, n_bytes: int) -> None:
    """Give a part of a bag's memory back while the next bag needs as much.

    A gigabyte at once would go back to the host of a virtual machine, which stands still for
    some 10 ms meanwhile.
    """
    file = _file(bag)
    os.truncate(file, max(0, file.stat().st_size - n_bytes))


def _describe(played: list[Event], n_bytes: int) -> dict[str, Any]:
    """Return what the stack did in the episodes."""
    return {
        'episodes': len(played),
        'queries': sum(e['queries'] for e in played),
        'answers': sum(e['answers'] for e in played),
        'standstill_s': round(sum(e['standstill_s'] for e in played), 3),
        'faults': sum(bool(e['fault']) for e in played),
        'real_time_factor_min': min(e['real_time_factor_min'] for e in played),
        'recorded_mb_per_s': round(n_bytes / 1e6 / sum(e['seconds'] for e in played), 1),
        'extra_cameras': f'{CAMERAS} x {WIDTH} x {HEIGHT} at {CAMERA_HZ:g} Hz',
        'busy_processes': 1,
    }
