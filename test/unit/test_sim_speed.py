# SPDX-License-Identifier: Apache-2.0
"""How fast the simulator is, on a clock that the test turns."""

from __future__ import annotations

from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.realtime import RealTime
from cosmos_policy_ros.sim.speed import SpeedMeter
import numpy as np
import pytest

SECOND_NS = 10**9


def test_speed_is_that_since_the_last_report() -> None:
    """A quarter of a second of physics in half a second, then one that keeps up."""
    scene = RealTime(AlohaSim(), np.zeros(14, np.float32), max_lag_s=10.0)
    scene.reset(0, 0)
    meter = SpeedMeter(scene, n_cameras=2, now_ns=0)
    scene.advance(SECOND_NS // 4)
    for _ in range(3):
        meter.add_image(0.004)
    status = meter.status(SECOND_NS // 2)
    assert (status.real_time_factor, status.camera_hz) == (0.5, 3.0)
    assert (status.skipped_s, status.render_ms_p50) == (0.0, pytest.approx(4.0))

    scene.advance(3 * SECOND_NS // 4)
    status = meter.status(SECOND_NS)
    assert (status.real_time_factor, status.camera_hz) == (1.0, 0.0)


def test_meter_without_an_image_knows_no_time_to_draw() -> None:
    """It is no number rather than zero."""
    scene = RealTime(AlohaSim(), np.zeros(14, np.float32), max_lag_s=10.0)
    status = SpeedMeter(scene, n_cameras=3, now_ns=0).status(SECOND_NS)
    assert status.render_ms_p50 != status.render_ms_p50
