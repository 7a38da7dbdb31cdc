# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS profile reaches the processes of the stack."""

from __future__ import annotations

import os
import subprocess
import sys

from cosmos_policy_ros.resources import share_path
import pytest

pytestmark = pytest.mark.patient

rclpy = pytest.importorskip('rclpy')

NAMES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
LARGEST_SEGMENT = """
import pathlib, re, rclpy
rclpy.init()
node = rclpy.create_node('looks_at_itself')
maps = pathlib.Path('/proc/self/maps').read_text()
spans = re.findall(r'^([0-9a-f]+)-([0-9a-f]+) .*/dev/shm/fastrtps_[0-9a-f]+$', maps, re.MULTILINE)
print(max((int(end, 16) - int(start, 16) for start, end in spans), default=0))
node.destroy_node()
rclpy.shutdown()
"""


def largest_segment(environment: dict[str, str]) -> int:
    """Return the size of a node's own shared memory [bytes]."""
    kept = {n: v for n, v in os.environ.items() if n not in NAMES}
    result = subprocess.run(
        [sys.executable, '-c', LARGEST_SEGMENT],
        env=kept | {'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp'} | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(result.stdout)


def test_a_node_has_room_for_images() -> None:
    """With the profile a node has 32 MiB for what it sends, enough for several cameras."""
    profile = str(share_path('config', 'fastdds.xml'))
    assert largest_segment(dict.fromkeys(NAMES, profile)) >= 32 * 1024**2


def test_without_the_profile_images_do_not_fit() -> None:
    """The reason for the profile: by default there is room for half a VGA image."""
    assert largest_segment({}) < 1024**2
