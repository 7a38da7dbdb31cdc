# SPDX-License-Identifier: Apache-2.0
"""How near arms, table and frame come to each other at a pose, from a model of the robot's scene.

The model is a MuJoCo file (MJCF or URDF) with simple shapes around everything that must not touch.
Which shapes keep their distance from which is said there, by ``contype`` and ``conaffinity``, so
that fingers may touch what they are to grasp. Twenty shapes take 0.02 ms a pose.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError
import mujoco
import numpy as np
from numpy.typing import NDArray

LOOK_M = 0.1  # [m] beyond which two shapes are not looked at


class Clearance(NamedTuple):
    """The nearest two shapes at a pose.

    Attributes:
        distance_m: Between them [m], negative where they overlap; ``LOOK_M`` where all are
            farther apart.
        shapes: Their names, empty where all are farther apart.
    """

    distance_m: float
    shapes: str


class Scene:
    """Shapes of arms and surroundings, moved by a pose in action order."""

    def __init__(self, robot: RobotSpec) -> None:
        """Load the model that the robot file names.

        A joint of the model is that of an arm if it is called ``<arm>/<joint>``, ``<arm>_<joint>``
        or as in the robot file. Others, such as fingers, stay where the model has them.

        Args:
            robot: Robot with a ``scene``.

        Raises:
            ConfigError: There is none, it cannot be read, or an arm joint is missing in it.
        """
        path = Path(robot.scene or '')
        if robot.scene is None or not path.is_file():
            msg = f'robot {robot.name}: no scene {path}; see scene: in the robot file'
            raise ConfigError(msg)
        try:
            self._model = mujoco.MjModel.from_xml_path(str(path))
        except ValueError as error:
            msg = f'{path}: MuJoCo cannot read it: {error}'
            raise ConfigError(msg) from error
        self._data = mujoco.MjData(self._model)
        self._model.geom_margin[:] = LOOK_M
        self._names = [
            self._model.geom(i).name or self._model.body(self._model.geom_bodyid[i]).name
            for i in range(self._model.ngeom)
        ]
        joints = {self._model.joint(i).name: i for i in range(self._model.njnt)}
        columns, addresses, missing = [], [], []
        for name, arm_joint in zip(robot.joint_names, robot.arm_joints, strict=True):
            arm, _, joint = name.rpartition('/')
            found = [n for n in (name, f'{arm}_{joint}', joint) if n in joints]
            if found:
                addresses.append(int(self._model.jnt_qposadr[joints[found[0]]]))
                columns.append(robot.joint_names.index(name))
            elif arm_joint:
                missing.append(name)
        twice = len(set(addresses)) < len(addresses)
        if missing or twice:
            what = 'two joints of the robot are one of it' if twice else f'no joints {missing}'
            msg = f'{path}: {what}; it has {[*joints]}, which must be called as the robot has them'
            raise ConfigError(msg)
        self._columns, self._addresses = np.array(columns), np.array(addresses)

    def clearance(self, pose: NDArray[np.floating]) -> Clearance:
        """Return the nearest two shapes.

        Args:
            pose: (A,) joints in action order [rad; gripper 0..1], finite.
        """
        self._data.qpos[self._addresses] = pose[self._columns]
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)  # which bounding boxes follow
        mujoco.mj_collision(self._model, self._data)
        distances = self._data.contact.dist
        if not len(distances):
            return Clearance(LOOK_M, '')
        nearest = int(distances.argmin())
        first, second = self._data.contact.geom[nearest]
        return Clearance(
            float(distances[nearest]), f'{self._names[first]} and {self._names[second]}'
        )

    def nearest(self, rows: NDArray[np.floating]) -> Clearance:
        """Return the clearance at the nearest of (H, A) rows of joints in action order."""
        return min((self.clearance(row) for row in rows), key=lambda c: c.distance_m)


def open_scene(robot: RobotSpec) -> Scene | None:
    """Return the scene of a robot, None where the robot file names none.

    Raises:
        ConfigError: As ``Scene``.
    """
    return None if robot.scene is None else Scene(robot)
