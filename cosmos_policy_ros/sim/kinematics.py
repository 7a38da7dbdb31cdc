# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics of one arm of the scene: joint angles for a pose of its fingertips."""

from __future__ import annotations

from cosmos_policy_ros.mujoco_import import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FINGERTIP_M = 0.14  # from the gripper link to between the fingertips


class Arm:
    """Inverse kinematics of one arm by damped least squares."""

    def __init__(self, model: mujoco.MjModel, side: str) -> None:
        """Prepare a private copy of the kinematics, which no step of the scene changes.

        Args:
            model: MuJoCo model of the scene.
            side: ``left`` or ``right``.
        """
        self.model, self.data = model, mujoco.MjData(model)
        self.link = model.body(f'vx300s_{side}/gripper_link').id
        self.first = 0 if side == 'left' else 8
        self.base = model.body(f'vx300s_{side}').pos.copy()
        joints = model.jnt_range[self.first : self.first + 6]
        self.low, self.high = joints[:, 0] + 0.01, joints[:, 1] - 0.01

    def orientation(self, tip: Array, pitch_rad: float, roll_rad: float) -> Array:
        """Return the (3, 3) gripper orientation that points from the base at ``tip``.

        Facing where the waist turns anyway keeps the forearm from rolling.

        Args:
            tip: (3,) wanted point between the fingertips [m, world].
            pitch_rad: How far the gripper points down.
            roll_rad: Turn about the gripper's own forward axis.
        """
        yaw = np.arctan2(tip[1] - self.base[1], tip[0] - self.base[0])
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch_rad), np.sin(pitch_rad)
        cr, sr = np.cos(roll_rad), np.sin(roll_rad)
        turn_z = np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
        turn_y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
        turn_x = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
        return turn_z @ turn_y @ turn_x

    def tip(self, q: Array) -> Array:
        """Return the (3,) point between the fingertips [m, world] at (6,) joint angles [rad]."""
        return self.pose(q)[0]

    def pose(self, q: Array) -> tuple[Array, Array]:
        """Return ``tip`` and the (3, 3) orientation of the gripper at (6,) joint angles [rad]."""
        self.data.qpos[self.first : self.first + 6] = q
        mujoco.mj_kinematics(self.model, self.data)
        turn: Array = self.data.xmat[self.link].reshape(3, 3).copy()
        return self.data.xpos[self.link] + turn[:, 0] * FINGERTIP_M, turn

    def solve(self, tip: Array, pitch_rad: float, roll_rad: float, guess: Array) -> Array:
        """Return (6,) joint angles [rad] that put the fingertips at ``tip``, forearm unrolled.

        Args:
            tip: (3,) wanted point between the fingertips [m, world].
            pitch_rad: How far the gripper points down.
            roll_rad: Turn about the gripper's own forward axis.
            guess: (6,) where to start [rad].
        """
        rotation = self.orientation(tip, pitch_rad, roll_rad)
        q = np.array(guess, dtype=np.float64)
        q[3] = 0.0
        jac = np.zeros((6, self.model.nv))
        columns = slice(self.first, self.first + 6)
        for _ in range(60):
            self.data.qpos[columns] = q
            mujoco.mj_kinematics(self.model, self.data)
            mujoco.mj_comPos(self.model, self.data)
            have = self.data.xmat[self.link].reshape(3, 3)
            point = self.data.xpos[self.link] + have[:, 0] * FINGERTIP_M
            mujoco.mj_jac(self.model, self.data, jac[:3], jac[3:], point, self.link)
            turn = rotation @ have.T
            axis = 0.5 * np.array(
                [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
            )
            error = np.concatenate([tip - point, axis])
            if np.abs(error).max() < 1e-4:
                break
            j = jac[:, columns]
            j[:, 3] = 0.0
            q = q + j.T @ np.linalg.solve(j @ j.T + 1e-4 * np.eye(6), np.clip(error, -0.2, 0.2))
            q = np.clip(q, self.low, self.high)
        return q

    def place(self, q: Array) -> Array:
        """Return the pose for which ``solve`` comes closest to given joint angles.

        Args:
            q: (6,) joint angles [rad].

        Returns:
            (5,) fingertips [m, world], pitch and roll [rad].
        """
        tip, turn = self.pose(q)
        pitch = np.arcsin(np.clip(-turn[2, 0], -1.0, 1.0))
        level = self.orientation(tip, float(pitch), 0.0)
        roll = np.arctan2(level[:, 2] @ turn[:, 1], level[:, 1] @ turn[:, 1])
        return np.array([*tip, pitch, roll])

    def across(self, tip: Array, pitch_rad: float, axis: Array) -> Array:
        """Return the pose at ``tip`` with the fingers closing across ``axis``.

        Args:
            tip: (3,) wanted point between the fingertips [m, world].
            pitch_rad: How far the gripper points down.
            axis: (3,) unit vector along the length of what is between the fingers [world].

        Returns:
            (5,) fingertips [m, world], pitch and roll [rad].
        """
        level = self.orientation(tip, pitch_rad, 0.0)
        roll = np.arctan(-(level[:, 1] @ axis) / (level[:, 2] @ axis))
        return np.array([*tip, pitch_rad, roll])

    def carry(self, centre: Array, offset: Array, axis: Array, pitch_rad: float) -> Array:
        """Return the pose in which a piece is held at ``centre``, along the world's x.

        Args:
            centre: (3,) wanted centre of the piece [m, world].
            offset: (3,) centre of the piece in the gripper, from the fingertips [m].
            axis: (3,) unit vector along the length of the piece, in the gripper.
            pitch_rad: Pitch to start from; the one that is found is within 0.4 rad of it.

        Returns:
            (5,) fingertips [m, world], pitch and roll [rad].
        """
        tip, angles = centre, np.array([pitch_rad, 0.0])
        for _ in range(3):  # Newton's method on how far the axis points off
            tip = centre - self.orientation(tip, angles[0], angles[1]) @ offset
            bends = [(0.0, 0.0), (1e-3, 0.0), (0.0, 1e-3)]
            off = [(self.orientation(tip, *(angles + bend)) @ axis)[1:] for bend in bends]
            slopes = np.stack([off[1] - off[0], off[2] - off[0]], axis=1) / 1e-3
            angles = angles - np.linalg.solve(slopes, off[0])
            angles = np.clip(angles, [pitch_rad - 0.4, -0.5], [pitch_rad + 0.4, 0.5])
        return np.array([*tip, *angles])
