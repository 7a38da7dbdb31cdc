# SPDX-License-Identifier: Apache-2.0
"""RoboCasa: kitchens that whoever has them installed can measure in; a suite is one task.

**Never run by this package**: RoboCasa and its kitchens are on no package index. What is tested is
that this file speaks to an environment with the members that it has, see ``test_robosuite.py``.

Source: NVlabs/cosmos-policy ``run_robocasa_eval`` by description: seven of twelve numbers of an
action are the policy's, the mobile base stands still; three cameras.
Differs: the reference has its own list of layouts and styles for the trials; here a start is the
seed of the environment.
"""

from __future__ import annotations

from importlib import import_module
import importlib.util
from typing import Any

from cosmos_policy_ros.sim.robosuite import RobosuiteSim
from cosmos_policy_ros.sim.simulator import Suite
from cosmos_policy_ros.types import ConfigError
import numpy as np

CAMERAS = {
    'wrist': 'robot0_eye_in_hand',
    'primary': 'robot0_agentview_left',
    'secondary': 'robot0_agentview_right',
}
BASE = (0.0, 0.0, 0.0, 0.0, -1.0)  # of an action: the base stands still, the arm is meant
IDLE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
STARTS, SETTLE, MOST_STEPS = 50, 10, 500  # the reference has 300 to 1000 steps, by task


class _Environment:
    """A RoboCasa environment with the members that ``RobosuiteSim`` asks for."""

    def __init__(self, env: Any) -> None:
        self._env = env

    @property
    def sim(self) -> Any:
        return self._env.sim

    def step(self, action: list[float]) -> Any:
        return self._env.step(action)

    def check_success(self) -> bool:
        return bool(self._env._check_success())

    def close(self) -> None:
        self._env.close()


def open_suite(suite: str) -> Suite:
    """Return a task as a suite of one.

    Args:
        suite: Name of an environment, such as ``PnPCounterToSink``.
    """
    return Suite((suite,), STARTS, SETTLE, IDLE, MOST_STEPS)


def open_task(suite: str, task: str, size: tuple[int, int]) -> RobosuiteSim:
    """Return the simulator of a task.

    Args:
        suite: The task once more.
        task: Name of an environment.
        size: Height and width of the images [px].

    Raises:
        ConfigError: RoboCasa is not installed, or has no such environment.
    """
    if importlib.util.find_spec('robocasa') is None:
        msg = 'RoboCasa is not installed; it comes with its kitchens from its own repository'
        raise ConfigError(msg)
    make = import_module('robocasa.utils.env_utils').create_env
    try:
        env = make(
            env_name=task,
            robots='PandaOmron',
            camera_names=list(CAMERAS.values()),
            camera_heights=size[0],
            camera_widths=size[1],
            seed=0,
        )
    except (KeyError, ValueError, TypeError) as error:
        msg = f'RoboCasa opens no {task!r} ({error})'
        raise ConfigError(msg) from error

    def reset(start: int) -> Any:
        env.seed = start
        env.rng = np.random.default_rng(start)
        return env.reset()

    return RobosuiteSim(
        _Environment(env), reset, lambda: str(env.get_ep_meta()['lang']), CAMERAS, size, BASE
    )
