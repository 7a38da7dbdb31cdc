# SPDX-License-Identifier: Apache-2.0
"""A MuJoCo ALOHA that stands in for the real robot."""

import os

# mujoco reads this when it is imported; without it rendering needs a display
os.environ.setdefault('MUJOCO_GL', 'egl')
