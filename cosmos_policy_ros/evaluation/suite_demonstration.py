# SPDX-License-Identifier: Apache-2.0
"""Scripted demonstrations in the simulator of a benchmark, as HDF5 files to train on.

The rows are actions of the simulator. A row is held for some of its steps, as a policy of that
rate is played, and cameras are drawn once a row: drawing takes ten times as long as a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from cosmos_policy_ros.data.assemble import row_stamps
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.evaluation.workers import map_seeds
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.sim.experts.base import REST_S
from cosmos_policy_ros.sim.simulator import (
    find_demonstration,
    find_simulator,
    MakeDemonstrator,
    Simulator,
    Suite,
)
from cosmos_policy_ros.types import ConfigError, Episode
import numpy as np
from numpy.typing import NDArray


def episode_file(out: Path, seed: int) -> Path:
    """Return the file of the demonstration of a seed."""
    return out / f'episode_{seed:06d}.hdf5'


def record_suite_demonstrations(
    out: Path,
    simulator: str,
    suite: str,
    task: str,
    robot: RobotSpec,
    seeds: Sequence[int],
    *,
    rate_hz: float,
    workers: int = 2,
    on_episode: Callable[[bool], None] = lambda _: None,
) -> list[bool]:
    """Record demonstrations of a task side by side and return which succeeded, by their seeds.

    Args:
        out: Folder of the files, which is made.
        simulator: Row of ``sim.simulator.SIMULATORS``.
        suite: Suite of the task.
        task: Name of the task.
        robot: Cameras, control rate and ranges of an action.
        seeds: Seeds of the episodes, none of which has a file yet.
        rate_hz: Rows per second [Hz].
        workers: Number of processes, each with a simulator of its own.
        on_episode: Called with the success of every episode as it ends, to show progress.

    Raises:
        ConfigError: The rate does not divide the control rate, there is no such task, or no script
            does it.
    """
    steps_of_row(robot, rate_hz)
    if not seeds:
        return []
    open_recorder = partial(_open_recorder, out, simulator, suite, task, robot, rate_hz)
    return map_seeds(open_recorder, seeds, min(workers, len(seeds)), on_episode)


def play_demonstration(
    sim: Simulator,
    make: MakeDemonstrator,
    robot: RobotSpec,
    rules: Suite,
    seed: int,
    rate_hz: float,
) -> Episode:
    """Play one demonstration, until the task has been done for ``REST_S`` or the time is over.

    Args:
        sim: Simulator of the task, which is reset.
        make: Makes what does it.
        robot: Cameras, control rate and ranges of an action.
        rules: Rows that settle the scene, and the most steps.
        seed: Seed of the start and of what goes wrong.
        rate_hz: Rows per second [Hz].

    Raises:
        ConfigError: The rate does not divide the control rate.
    """
    steps = steps_of_row(robot, rate_hz)
    sim.reset(seed)
    for _ in range(rules.settle):
        sim.step(np.array(rules.idle, dtype=np.float32))
    demonstrator = make(np.random.default_rng(seed), steps / robot.control_rate_hz)
    images: dict[str, list[NDArray[np.uint8]]] = {camera.name: [] for camera in robot.cameras}
    proprio, actions, expert = [], [], []
    for _ in range(rules.most_steps // steps):
        for name, drawn in images.items():
            drawn.append(sim.render(name))
        proprio.append(sim.proprio)
        actions.append(demonstrator.action().clip(robot.lower, robot.upper))
        expert.append(demonstrator.expert)
        for _ in range(steps):
            sim.step(actions[-1])
        if demonstrator.rested_s > REST_S:
            break
    n = len(actions)
    return Episode(
        source='demo' if sim.success else 'rollout',
        task=sim.task,
        success=sim.success,
        rate_hz=rate_hz,
        stamps_ns=row_stamps(0, n, rate_hz),
        images={name: np.stack(drawn) for name, drawn in images.items()},
        image_index={name: np.arange(n, dtype=np.int64) for name in images},
        proprio=np.stack(proprio).astype(np.float32),
        actions=np.stack(actions).astype(np.float32),
        expert=np.array(expert, dtype=np.bool_),
        human_intervention=np.zeros(n, dtype=np.bool_),
    )


def missing_files(out: Path, seeds: Iterable[int]) -> list[int]:
    """Return the seeds whose demonstration has no file in a folder yet."""
    return [seed for seed in seeds if not episode_file(out, seed).exists()]


def steps_of_row(robot: RobotSpec, rate_hz: float) -> int:
    """Return for how many steps of the simulator a row is held.

    Raises:
        ConfigError: For no whole number.
    """
    steps = round(robot.control_rate_hz / rate_hz) if rate_hz > 0 else 0
    if steps < 1 or abs(steps * rate_hz - robot.control_rate_hz) > 1e-6:
        msg = f'the simulator makes {robot.control_rate_hz:g} steps per second, of which rows at '
        msg += f'{rate_hz:g} Hz are no whole number; take a divisor of {robot.control_rate_hz:g}'
        raise ConfigError(msg)
    return steps


def _open_recorder(
    out: Path, simulator: str, suite: str, task: str, robot: RobotSpec, rate_hz: float
) -> Callable[[int], bool]:
    """Open the simulator and return the function that records the episode of a seed."""
    open_suite, _ = find_simulator(simulator)
    rules, size = open_suite(suite), (robot.cameras[0].height, robot.cameras[0].width)
    sim, make = find_demonstration(simulator)(suite, task, size)

    def record(seed: int) -> bool:
        episode = play_demonstration(sim, make, robot, rules, seed, rate_hz)
        with whole_file(episode_file(out, seed)) as partial_file:
            write_hdf5(partial_file, episode, robot)
        return bool(episode.success)

    return record
