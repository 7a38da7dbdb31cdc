# SPDX-License-Identifier: Apache-2.0
"""The arms of the simulated scene for viewers: their URDF, and where its links are now.

Everything is in the frame ``world`` on the table, in the middle between the arms, which is also
that of the scene of the robot file (``config/robots/aloha_scene.xml``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.urdf import link_bodies, link_name, write_urdf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
N_JOINTS = 16  # of both arms in ``qpos``, two fingers each; what floats comes behind them


def describe_robot(sim: AlohaSim, arms: Sequence[str]) -> str:
    """Return the URDF of the arms on their table, whose joints are called ``<arm>/<joint>``.

    Args:
        sim: Scene.
        arms: Names of the left and the right arm.
    """
    return write_urdf(sim.model, 'aloha_sim', _renamer(arms), _middle(sim))


def joint_positions(sim: AlohaSim, arms: Sequence[str]) -> dict[str, float]:
    """Return joint -> position [rad; finger m] of all joints of the URDF.

    Args:
        sim: Scene.
        arms: Names of the left and the right arm.
    """
    rename = _renamer(arms)
    names = [rename(sim.model.joint(i).name) for i in range(N_JOINTS)]
    return dict(zip(names, sim.data.qpos[:N_JOINTS].tolist(), strict=True))


def link_poses(sim: AlohaSim, arms: Sequence[str]) -> dict[str, tuple[Array, Array]]:
    """Return link -> position (3,) [m] and quaternion (4,) w, x, y, z of all but the root.

    Args:
        sim: Scene.
        arms: Names of the left and the right arm.
    """
    rename, middle = _renamer(arms), _middle(sim)
    return {
        link_name(sim.model, body, rename): (sim.data.xpos[body] - middle, sim.data.xquat[body])
        for body in link_bodies(sim.model)
    }


def camera_poses(sim: AlohaSim, cameras: Sequence[str]) -> dict[str, tuple[Array, Array]]:
    """Return camera -> position (3,) [m] and quaternion (4,) w, x, y, z of its optical frame."""
    middle = _middle(sim)
    poses = {camera: sim.camera_pose(camera) for camera in cameras}
    return {camera: (place - middle, turn) for camera, (place, turn) in poses.items()}


def _renamer(arms: Sequence[str]) -> Callable[[str], str]:
    """Return what gives bodies and joints of gym-aloha the names of the robot's arms."""
    left, right = arms

    def rename(name: str) -> str:
        whole = name.replace('vx300s_left', left).replace('vx300s_right', right)
        return f'{whole}/base_link' if whole in arms else whole

    return rename


def _middle(sim: AlohaSim) -> Array:
    """Return the middle between the bases of the arms, (3,) [m, world of gym-aloha]."""
    bases = [sim.model.body(f'vx300s_{side}').pos for side in ('left', 'right')]
    return np.asarray(np.mean(bases, axis=0))
