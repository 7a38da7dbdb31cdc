# SPDX-License-Identifier: Apache-2.0
"""Processes that die, stand still or come back: nothing moves because of that."""

from __future__ import annotations

import signal

from cosmos_policy_ros.control.stall import SETTLED_S
from cosmos_policy_ros.faults.bench import FaultBench
from cosmos_policy_ros.faults.fault import Act, Fault, fault
from cosmos_policy_ros.stack.node_list import EXECUTOR, INFERENCE, PLANNER, SIM
import numpy as np

ENDED_S = 3.5  # a chunk and what it takes to tell
COMES_BACK_S = 25.0  # an inference node has loaded its networks by then, and would answer
FEW_COMMANDS = 3  # on their way while a process dies


def _kill(name: str) -> Act:
    return lambda bench: bench.signal(name, signal.SIGKILL)


def _pause(name: str) -> Act:
    return lambda bench: bench.signal(name, signal.SIGSTOP)


def _restart(name: str) -> Act:
    """Return what kills a node and starts it again."""

    def begin(bench: FaultBench) -> None:
        bench.signal(name, signal.SIGKILL)
        bench.start(name)

    return begin


def _kill_executor(bench: FaultBench) -> None:
    """Kill it and start it again; its arms must not move, and nobody enables it."""
    bench.signal(EXECUTOR.name, signal.SIGKILL)
    bench.pause(0.2)
    n, start = len(bench.commands), _measured(bench)
    bench.start(EXECUTOR.name)
    bench.pause(8.0)
    if len(bench.commands) > n + FEW_COMMANDS:
        bench.complaint = f'{len(bench.commands) - n} commands though nobody enabled it'
    bench.pause(0.5)
    way = float(np.abs(_measured(bench) - start).max())
    if way > 0.2:  # what was commanded last is still reached
        bench.complaint = f'the arms moved {way:.2f} rad after their executor had died'


def _restart_inference(bench: FaultBench) -> None:
    """Kill it and start it again; the arms must not go on because of that."""
    _restart(INFERENCE.name)(bench)
    bench.pause(ENDED_S)
    start = bench.pose
    bench.pause(COMES_BACK_S)
    way = float(np.abs(bench.pose - start)[bench.robot.arm_joints].max())
    if way > 0.05:
        bench.complaint = f'the arms moved {way:.2f} rad, though nobody activated the policy'


def _measured(bench: FaultBench) -> np.ndarray:
    topics = bench.robot.joint_state_topics
    return np.concatenate([bench.proxy.measured[topic].position[:6] for topic in topics])


FAULTS: tuple[Fault, ...] = (
    fault('executor_killed', 'the executor dies and comes back', 'safe', 0.0, _kill_executor, 0.2),
    fault(
        'executor_paused',
        'the executor stands still for 1 s',
        'safe',
        0.0,
        _pause(EXECUTOR.name),
        1.0,
        after_s=2.0,
    ),
    fault('planner_killed', 'the planner dies', 'ended', ENDED_S, _kill(PLANNER.name), 4.0),
    fault(
        'planner_restarted',
        'the planner dies and comes back',
        'ended',
        ENDED_S,
        _restart(PLANNER.name),
        8.0,
    ),
    fault(
        'planner_paused',
        'the planner stands still for 3 s',
        'ended',
        ENDED_S,
        _pause(PLANNER.name),
        3.0,
        after_s=SETTLED_S,
    ),
    fault(
        'inference_paused',
        'inference stands still for 3 s',
        'ended',
        ENDED_S,
        _pause(INFERENCE.name),
        3.0,
        after_s=2.0,
    ),
    fault('inference_killed', 'inference dies', 'ended', ENDED_S, _kill(INFERENCE.name), 4.0),
    fault(
        'inference_restarted',
        'inference dies and comes back',
        'ended',
        ENDED_S,
        _restart_inference,
        0.5,
    ),
    fault(
        'driver_paused',
        'the driver stands still for 1 s',
        'hold',
        0.25,
        _pause(SIM.name),
        1.0,
        after_s=2.0,
    ),
    fault(
        'driver_dead',
        'the driver stands still for 3 s',
        'fault',
        2.5,
        _pause(SIM.name),
        3.0,
        after_s=2.0,
    ),
)
