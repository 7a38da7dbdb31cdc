# SPDX-License-Identifier: Apache-2.0
"""What options say of a benchmark."""

from __future__ import annotations

from cosmos_policy_ros.cli.suites import (
    find_suite_tasks,
    OWN_ROBOT,
    read_suite_robot,
)
from cosmos_policy_ros.types import ConfigError
import pytest

TASKS = ('pick_up_the_milk', 'pick_up_the_butter')


def test_a_robot_that_is_named_is_taken() -> None:
    """That of the benchmark is taken only where none is named."""
    assert read_suite_robot(None, 'libero_panda').name == 'libero_panda'
    assert read_suite_robot(OWN_ROBOT, 'libero_panda').name == 'aloha_sim'


def test_tasks_are_picked_by_number_or_name() -> None:
    """All of them where none is picked; a wrong one names those that there are."""
    assert find_suite_tasks('s', None, TASKS) == TASKS
    assert find_suite_tasks('s', '1', TASKS) == find_suite_tasks('s', TASKS[1], TASKS) == TASKS[1:]
    for wrong in ('2', 'pick_up_the_cup'):
        with pytest.raises(ConfigError, match=rf"s has no task '{wrong}'.*\n  0 pick_up_the_milk"):
            find_suite_tasks('s', wrong, TASKS)
