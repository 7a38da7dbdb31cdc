# SPDX-License-Identifier: Apache-2.0
"""A MuJoCo ALOHA that stands in for the real robot."""

import os

# read when MuJoCo is imported, by benchmarks too; without it rendering needs a display
os.environ['MUJOCO_GL'] = os.environ.get('MUJOCO_GL') or 'egl'
