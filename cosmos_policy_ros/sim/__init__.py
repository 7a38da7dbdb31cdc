# SPDX-License-Identifier: Apache-2.0
"""A MuJoCo ALOHA that stands in for the real robot."""

import os

# mujoco reads this when it is imported; without it rendering needs a display
os.environ['MUJOCO_GL'] = os.environ.get('MUJOCO_GL') or 'egl'
