# SPDX-License-Identifier: Apache-2.0
"""What options say of a benchmark: tasks of a suite, and its robot."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.sim.experts.table import TASKS
from cosmos_policy_ros.types import ConfigError

OWN_ROBOT = robot_file('aloha_sim')  # of the package's own simulator
DEFAULT_TASK = 'transfer_cube'  # of the same
TASK_HELP = (
    f'Simulated task: {" or ".join(TASKS)}, by default {DEFAULT_TASK}. Of a benchmark the number '
    'or the name of a task of the suite; by default all of them.'
)


def find_suite_tasks(suite: str, task: str | None, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tasks of a suite that are played, by number or name; all where none is given.

    Args:
        suite: Name of the suite.
        task: What the option says; None where it is left out.
        tasks: Those of the suite.

    Raises:
        ConfigError: There is no such task.
    """
    if task is None:
        return tasks
    if task.isdigit() and int(task) < len(tasks):
        return (tasks[int(task)],)
    if task not in tasks:
        shown = '\n  '.join(f'{i} {name}' for i, name in enumerate(tasks))
        msg = f'{suite} has no task {task!r}; it has\n  {shown}'
        raise ConfigError(msg)
    return (task,)


def read_suite_robot(robot: Path | None, name: str) -> RobotSpec:
    """Return the robot of a benchmark, or another one where the option names it.

    Args:
        robot: What the option says; None where it is left out.
        name: File of the benchmark's robot in ``config/robots``.

    Raises:
        ConfigError: The file is missing or wrong.
    """
    return read_robot(robot or robot_file(name), simulated=True)
