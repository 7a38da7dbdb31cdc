# SPDX-License-Identifier: Apache-2.0
"""Say what the nodes cost that people look at, while the policy moves the simulated robot.

Processor time is counted while nobody looks, while somebody looks at the markers, and while
somebody looks at the images too, as RViz does by its file. That of the thread that runs Python is
shown apart: the rest is receiving and sending.

    MUJOCO_GL=egl python scripts/viewers.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import os
from pathlib import Path
import subprocess
import tempfile
import time
from typing import NamedTuple

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.ros.newest import NewestMessages
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import BLACK_BOX, environment, MONITOR, VISUALIZER
from cosmos_policy_ros.topics import ACTION_CHUNK, IMAGES, MARKERS, Topic
import psutil
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from screenshots import run_policy, watched_stack
import tyro

NODES = tuple(spec.name for spec in (VISUALIZER, MONITOR, BLACK_BOX))
LOOKS: Mapping[str, Sequence[Topic]] = {  # what somebody looks at
    'nothing': (),
    'markers': (MARKERS,),
    'markers and images': (MARKERS, IMAGES),
}
SETTLE_S = 2.0  # [s] until subscriptions are known everywhere
OLDEST_S = 4.0  # [s] age of the last plan of a policy that still acts


class Times(NamedTuple):
    """Processor time that a process has taken until now.

    Attributes:
        all_s: Of all its threads [s].
        python_s: Of the thread that runs its callbacks [s].
    """

    all_s: float
    python_s: float


def read_times(process: psutil.Process) -> Times:
    """Return the processor time of a process."""
    own = [t.user_time + t.system_time for t in process.threads() if t.id == process.pid]
    return Times(sum(process.cpu_times()[:2]), sum(own))


def measure(processes: Mapping[str, subprocess.Popen[bytes]], seconds: float) -> dict[str, Times]:
    """Return name -> processor time in each second [s].

    Args:
        processes: The processes by name.
        seconds: How long they are watched [s].
    """
    watched = {name: psutil.Process(process.pid) for name, process in processes.items()}
    before, start_s = {n: read_times(p) for n, p in watched.items()}, time.perf_counter()
    time.sleep(seconds)
    after, took_s = {n: read_times(p) for n, p in watched.items()}, time.perf_counter() - start_s
    return {
        name: Times(*((b - a) / took_s for a, b in zip(before[name], after[name], strict=True)))
        for name in watched
    }


def refuse_standstill(node: Node, plans: NewestMessages) -> None:
    """Refuse figures of a policy that did not act.

    Raises:
        RuntimeError: It has not planned for a while.
    """
    chunk, now_ns = plans.take(ACTION_CHUNK), node.get_clock().now().nanoseconds
    if chunk is None or now_ns - stamp_of(chunk) > OLDEST_S * 1e9:
        msg = f'the policy has not planned for {OLDEST_S:g} s; nothing was measured'
        raise RuntimeError(msg)


@dataclass(frozen=True)
class Viewers:
    """Say what the nodes cost that people look at, while the policy moves the simulated robot."""

    seconds: float = 8.0
    """How long each is measured [s]."""


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Viewers)
    choose_domain(None)
    for name, value in environment().items():
        os.environ.setdefault(name, value)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C ends the stack too
    with tempfile.TemporaryDirectory() as folder, watched_stack(Path(folder)) as (processes, url):
        node = Node('person')
        plans = NewestMessages(node, [ACTION_CHUNK])
        nodes = {name: processes[name] for name in NODES}
        run_policy(url)
        for look, topics in LOOKS.items():
            seen = NewestMessages(node, topics)
            time.sleep(SETTLE_S)
            shares = measure(nodes, options.seconds)
            refuse_standstill(node, plans)
            seen.close()
            for name, (all_s, python_s) in shares.items():
                share = f'{all_s:.1%} of a core, {python_s:.1%} in Python'
                print(f'{look}: {name} {share}', flush=True)
        node.context.try_shutdown()


if __name__ == '__main__':
    main()
