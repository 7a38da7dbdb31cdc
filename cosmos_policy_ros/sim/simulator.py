# SPDX-License-Identifier: Apache-2.0
"""What a simulator has to have so that a policy is measured in it, and those that there are.

A new one is a file beside this with a class of these members, and a row of ``SIMULATORS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray


class Simulator(Protocol):
    """One simulated task: reset, look, step, and see whether it is done.

    ``sim.aloha.AlohaSim`` is one, ``sim.robosuite.RobosuiteSim`` another.
    """

    @property
    def task(self) -> str:
        """Instruction of the task."""

    @property
    def proprio(self) -> NDArray[np.float32]:
        """(P,) float32 measured numbers, in the order and the units of the robot file."""

    @property
    def success(self) -> bool:
        """Whether the task is done now."""

    def reset(self, seed: int) -> None:
        """Begin with the start state of a number.

        Args:
            seed: Its number.
        """

    def render(self, camera: str) -> NDArray[np.uint8]:
        """Return (height, width, 3) uint8 RGB of a camera of the robot file, as it is drawn.

        Args:
            camera: Its name.
        """

    def step(self, action: NDArray[np.float32]) -> None:
        """Play one row for a period of the robot's control.

        Args:
            action: (A,) float32.
        """

    def close(self) -> None:
        """Free what it holds."""


@dataclass(frozen=True)
class Suite:
    """Tasks that are measured together, and how.

    Attributes:
        tasks: Names of the tasks.
        starts: Start states of each task.
        settle: Rows that do nothing, played before the first query.
        idle: Such a row.
        most_steps: Steps after which a trial has failed.
        paper: Success rate that the paper reports for Cosmos Policy; None where it reports none.
    """

    tasks: tuple[str, ...]
    starts: int
    settle: int
    idle: tuple[float, ...]
    most_steps: int
    paper: float | None = None


@dataclass(frozen=True)
class Row:
    """A simulator that ``evaluate --sim`` knows.

    Attributes:
        module: Module beside this one with ``open_suite(suite)``, which returns a ``Suite``, and
            ``open_task(suite, task, size)``, which returns a ``Simulator`` with images of
            (height, width).
        robot: Robot file in ``config/robots``.
    """

    module: str
    robot: str


SIMULATORS = {
    'libero': Row('libero', 'libero_panda'),
    'robocasa': Row('robocasa', 'robocasa_panda'),
}
OpenSuite = Callable[[str], Suite]
OpenTask = Callable[[str, str, tuple[int, int]], Simulator]


def find_simulator(name: str) -> tuple[OpenSuite, OpenTask]:
    """Return what opens the suites and the tasks of a simulator.

    Args:
        name: Row of ``SIMULATORS``.

    Raises:
        ConfigError: There is no such row.
    """
    if name not in SIMULATORS:
        msg = f'no simulator {name!r}; choose one of {sorted(SIMULATORS)}'
        raise ConfigError(msg)
    module = import_module(f'{__package__}.{SIMULATORS[name].module}')
    return module.open_suite, module.open_task
