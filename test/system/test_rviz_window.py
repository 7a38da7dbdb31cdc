# SPDX-License-Identifier: Apache-2.0
"""RViz draws the stack by ``config/policy.rviz``, in a window that nobody sees; if installed."""

from __future__ import annotations

from pathlib import Path
import shutil

import numpy as np
from PIL import Image
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('viser')
if not (shutil.which('rviz2') and shutil.which('Xvfb')):
    pytest.skip('rviz2 or Xvfb is not installed', allow_module_level=True)

from screenshots import take_rviz

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('domain')]
BACKGROUND = (74, 78, 86)  # of the 3D view in the configuration


def test_rviz_draws_arms_and_cameras_without_an_error(tmp_path: Path) -> None:
    """An empty view has one colour, and a display that cannot read its topic says so."""
    take_rviz(tmp_path / 'rviz.png', tmp_path)
    log = (tmp_path / 'rviz.log').read_text(encoding='utf-8')
    assert '[ERROR]' not in log, log
    pixels = np.asarray(Image.open(tmp_path / 'rviz.png').convert('RGB'))
    is_empty = (pixels == BACKGROUND).all(axis=2)
    assert 0.05 < is_empty.mean() < 0.9
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000
