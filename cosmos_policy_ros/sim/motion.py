# SPDX-License-Identifier: Apache-2.0
"""How fast the simulated joints move and what drives them, in the order of the driver's joints.

Source: the joints and units of ``sensor_msgs/JointState`` as ``sim.aloha.joint_state`` names them.
Differs: the Interbotix driver gives efforts as motor currents [mA], which the scene does not have,
and 0 for the velocities and efforts of the fingers.
"""

from __future__ import annotations

from cosmos_policy_ros.sim.aloha import AlohaSim, MOTOR_PER_FINGER
import numpy as np
from numpy.typing import NDArray


def joint_motion(sim: AlohaSim, arm: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return velocities and efforts of one arm's joints, see ``sim.aloha.joint_state``.

    Efforts are ``qfrc_actuator``, what the actuators apply to the joints: it is in the order of
    the joints and in their units whatever the transmission, unlike ``actuator_force``. It is that
    of the newest physics step, so 2 ms older than the velocities. The gripper motor, which the
    scene does not have, turns with the left finger and has the torque that does the work of both.

    Args:
        sim: Scene.
        arm: 0 left, 1 right.

    Returns:
        (9,) velocities: arm joints [rad/s], gripper motor [rad/s], two fingers [m/s]; and
        (9,) efforts: arm joints [N m], gripper motor [N m], two fingers [N].
    """
    joints = slice(8 * arm, 8 * arm + 8)  # of the degrees of freedom, as of qpos
    speed, force = sim.data.qvel[joints], sim.data.qfrc_actuator[joints]
    torque = (force[6] - force[7]) / MOTOR_PER_FINGER  # the right finger moves the other way
    return (
        np.array([*speed[:6], speed[6] * MOTOR_PER_FINGER, speed[6], speed[7]]),
        np.array([*force[:6], torque, force[6], force[7]]),
    )
