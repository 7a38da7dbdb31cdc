# SPDX-License-Identifier: Apache-2.0
"""MuJoCo, also on machines that cannot draw.

``import mujoco`` loads the OpenGL that ``MUJOCO_GL`` names and fails where that is missing, as on
a server without EGL, although kinematics and physics need none. Imported from here it draws
without a display unless ``MUJOCO_GL`` names something else, and fails when something is drawn.

Attributes:
    mujoco: The package.
    missing: Why nothing can be drawn, empty where its OpenGL was loaded.
"""

from __future__ import annotations

import os
import sys

__all__ = ['missing', 'mujoco']

missing = ''
given = os.environ.get('MUJOCO_GL') or 'egl'  # for the processes that this one starts too
os.environ['MUJOCO_GL'] = given
try:
    import mujoco
except Exception as error:  # of PyOpenGL: an AttributeError, an ImportError or one of its own
    missing = f'MUJOCO_GL={given}: {error}'
    sys.modules.pop('mujoco', None)
    os.environ['MUJOCO_GL'] = 'disable'
    import mujoco

    os.environ['MUJOCO_GL'] = given
