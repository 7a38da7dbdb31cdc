# SPDX-License-Identifier: Apache-2.0
"""What every test and every process it starts runs with."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path

from cosmos_policy_ros.stack.node_list import environment
from hypothesis import settings
import pytest
from ros_domains import ros_domain

# Set before torch, mujoco and rclpy are loaded; what the caller has set already stays.
DEFAULTS = {
    'MUJOCO_GL': 'egl',  # draw without a display
    'OMP_NUM_THREADS': '1',  # sums in one order on every machine; a core stays free for the rest
    'OMP_WAIT_POLICY': 'PASSIVE',
    **environment(),  # the Fast DDS profile that demo and launch files use
}
for name, value in DEFAULTS.items():
    os.environ.setdefault(name, value)

# An example that is slow because a neighbour computes is no failure.
settings.register_profile('shared_machine', deadline=None)
settings.load_profile('shared_machine')


TIERS = ('unit', 'nodes', 'system')  # folders, and markers of what is in them


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its folder; slow arithmetic of unit/ is a patient system test."""
    for item in items:
        for tier in set(TIERS) & set(item.path.relative_to(Path(__file__).parent).parts[:1]):
            slow = tier == 'unit' and item.get_closest_marker('slow')
            item.add_marker('system' if slow else tier)
            if slow:
                item.add_marker('patient')


@pytest.fixture(scope='session', autouse=True)
def _own_ros(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put what a test starts without another domain on one that this run alone is on."""
    with ros_domain(), pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_LOG_DIR', str(tmp_path_factory.mktemp('ros_logs')))
        yield


@pytest.fixture
def domain() -> Iterator[int]:
    """Return a domain of the test's own, on which the processes it starts are."""
    with ros_domain() as number:
        yield number
