# SPDX-License-Identifier: Apache-2.0
"""How fast a scene that follows a clock is: simulated over real time, images per second."""

from __future__ import annotations

from collections import deque

from cosmos_policy_ros.sim.realtime import RealTime, STEP_NS
from cosmos_policy_ros.status import SimStatus
import numpy as np

NEWEST = 100  # images over which the time to draw one is taken
SLOW = 0.95  # of real time; below, the simulator is too slow for this machine


class SpeedMeter:
    """Count steps and images from one report to the next."""

    def __init__(self, scene: RealTime, n_cameras: int, now_ns: int) -> None:
        """Begin to count.

        Args:
            scene: The scene.
            n_cameras: Cameras that take turns.
            now_ns: Now [ns, ROS clock].
        """
        self._scene, self._n_cameras = scene, n_cameras
        self._render_ms: deque[float] = deque(maxlen=NEWEST)
        self._n_images = 0  # since the last report
        self._n_steps, self._since_ns = scene.n_steps, now_ns  # at the last report

    def add_image(self, render_s: float) -> None:
        """Count an image and how long it took to draw [s]."""
        self._n_images += 1
        self._render_ms.append(render_s * 1e3)

    def status(self, now_ns: int) -> SimStatus:
        """Return the speed since the last call and begin anew.

        Args:
            now_ns: Now [ns, ROS clock].
        """
        elapsed_ns = max(now_ns - self._since_ns, 1)
        n_steps = self._scene.n_steps - self._n_steps
        status = SimStatus(
            real_time_factor=n_steps * STEP_NS / elapsed_ns,
            camera_hz=self._n_images / self._n_cameras / (elapsed_ns * 1e-9),
            skipped_s=self._scene.skipped_ns * 1e-9,
            render_ms_p50=float(np.median(self._render_ms)) if self._render_ms else float('nan'),
            progress=self._scene.sim.progress,
        )
        self._n_steps, self._n_images, self._since_ns = self._scene.n_steps, 0, now_ns
        return status
