# SPDX-License-Identifier: Apache-2.0
"""What every test and every process it starts runs with."""

from __future__ import annotations

import os
import tempfile

from cosmos_policy_ros.stack.node_list import environment

# Set before torch, mujoco and rclpy are loaded; what the caller has set already stays.
DEFAULTS = {
    'MUJOCO_GL': 'egl',  # draw without a display
    'OMP_NUM_THREADS': '1',  # sums in one order on every machine; a core stays free for the rest
    'OMP_WAIT_POLICY': 'PASSIVE',
    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',  # neighbours on the network stay out
    'ROS_LOG_DIR': os.path.join(tempfile.gettempdir(), 'cosmos_policy_ros_test_logs'),  # noqa: PTH118
    **environment(),  # the Fast DDS profile that demo and launch files use
}
for name, value in DEFAULTS.items():
    os.environ.setdefault(name, value)
