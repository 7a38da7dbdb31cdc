# SPDX-License-Identifier: Apache-2.0
"""What a simulator has to have so that a policy is measured in it, and those that there are.

A new one is a file beside this with a class of these members, and a row of ``SIMULATORS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
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


class Demonstrator(Protocol):
    """What does a task of a simulator, looking at where things really are."""

    @property
    def expert(self) -> bool:
        """Whether the last row is one to imitate."""

    @property
    def rested_s(self) -> float:
        """Time since the task was done [s]."""

    def action(self) -> NDArray[np.float32]:
        """Return (A,) float32, the next row."""


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
            (height, width). Where scripts do its tasks, ``open_demonstration(suite, task, size)``
            returns a ``Simulator`` whose ``reset`` takes a seed, and what makes a ``Demonstrator``
            of its numbers at random and the length of a row [s].
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
MakeDemonstrator = Callable[[np.random.Generator, float], Demonstrator]
OpenDemonstration = Callable[[str, str, tuple[int, int]], tuple[Simulator, MakeDemonstrator]]


def find_simulator(name: str) -> tuple[OpenSuite, OpenTask]:
    """Return what opens the suites and the tasks of a simulator.

    Args:
        name: Row of ``SIMULATORS``.

    Raises:
        ConfigError: There is no such row.
    """
    module = _load_module(name)
    return module.open_suite, module.open_task


def find_demonstration(name: str) -> OpenDemonstration:
    """Return what opens the demonstrations of a simulator.

    Args:
        name: Row of ``SIMULATORS``.

    Raises:
        ConfigError: There is no such row, or no script does a task of it.
    """
    module = _load_module(name)
    if not hasattr(module, 'open_demonstration'):
        msg = f'no script does the tasks of {name}; record some of your own'
        raise ConfigError(msg)
    opened: OpenDemonstration = module.open_demonstration
    return opened


def _load_module(name: str) -> ModuleType:
    """Return the module of a row.

    Raises:
        ConfigError: There is no such row.
    """
    if name not in SIMULATORS:
        msg = f'no simulator {name!r}; choose one of {sorted(SIMULATORS)}'
        raise ConfigError(msg)
    return import_module(f'{__package__}.{SIMULATORS[name].module}')
