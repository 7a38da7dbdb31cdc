# SPDX-License-Identifier: Apache-2.0
"""Where the arms are at a pose and how near they come to each other and to what stands around.

Both are read from a model of the robot's scene.

The model is a MuJoCo file (MJCF or URDF) with simple shapes around everything that must not touch.
Which shapes keep their distance from which is said there, by ``contype`` and ``conaffinity``, so
that fingers may touch what they are to grasp. Contacts of MuJoCo are no measure of distance: boxes
that are near and do not touch have none in many poses. So pairs are sorted by the gap between
their bounding boxes and measured exactly until no other can be nearer: 0.1 ms a pose with twenty
shapes.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from cosmos_policy_ros.mujoco_import import mujoco
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

LOOK_M = 0.1  # [m] beyond which two shapes are not looked at
SMOOTHED_ROWS = 4  # of a chunk, about as many as the executor's spline smooths over


class Clearance(NamedTuple):
    """The nearest two shapes at a pose.

    Attributes:
        distance_m: Between them [m], negative where they overlap; ``LOOK_M`` where all are
            farther apart.
        shapes: Their names, empty where all are farther apart.
        ends: Their nearest points, x y z each [m, scene]; none where all are farther apart.
    """

    distance_m: float
    shapes: str
    ends: tuple[tuple[float, ...], ...] = ()


class Scene:
    """Shapes of arms and surroundings, moved by a pose in action order."""

    def __init__(self, robot: RobotSpec) -> None:
        """Load the model that the robot file names.

        A joint of the model is that of an arm if it is called ``<arm>/<joint>``, ``<arm>_<joint>``
        or as in the robot file. Others, such as fingers, stay where the model has them. The tool
        of an arm is the site ``<arm>/tool``, or else the body that its last joint moves.

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
        self._pairs = _find_pairs(self._model)
        self._centers, self._halves = np.split(self._model.geom_aabb, 2, axis=1)
        self._names = [
            self._model.geom(i).name or self._model.body(self._model.geom_bodyid[i]).name
            for i in range(self._model.ngeom)
        ]
        joints = {self._model.joint(i).name: i for i in range(self._model.njnt)}
        columns, addresses, missing = [], [], []
        self._joints: dict[str, int] = {}  # joint of the robot -> that of the model
        for name, arm_joint in zip(robot.joint_names, robot.arm_joints, strict=True):
            arm, _, joint = name.rpartition('/')
            found = [n for n in (name, f'{arm}_{joint}', joint) if n in joints]
            if found:
                self._joints[name] = joints[found[0]]
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
        sites = {self._model.site(i).name: i for i in range(self._model.nsite)}
        self._tools = [  # (place of all, which one is the arm's)
            (self._data.site_xpos, sites[f'{arm.name}/tool'])
            if f'{arm.name}/tool' in sites
            else (
                self._data.xpos,
                self._model.jnt_bodyid[self._joints[f'{arm.name}/{arm.joints[-1]}']],
            )
            for arm in robot.arms
        ]

    def tool_paths(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the (arms, H, 3) places of the tools at (H, A) rows of joints [m, scene]."""
        paths = np.zeros((len(self._tools), len(rows), 3))
        for i, pose in enumerate(rows):
            self._move(pose)
            paths[:, i] = [places[which] for places, which in self._tools]
        return paths

    def joint_places(self, pose: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
        """Return joint -> place (3,) [m, scene] of the joints that the model has.

        Args:
            pose: (A,) joints in action order [rad; gripper 0..1], finite.
        """
        self._move(pose)
        return {name: self._data.xanchor[joint].copy() for name, joint in self._joints.items()}

    def clearance(self, pose: NDArray[np.floating]) -> Clearance:
        """Return the nearest two shapes.

        Args:
            pose: (A,) joints in action order [rad; gripper 0..1], finite.
        """
        self._move(pose)
        gaps_m = self._find_gaps()
        nearest = Clearance(LOOK_M, '')
        for k in np.argsort(gaps_m):
            if gaps_m[k] > 0.0 and gaps_m[k] >= nearest.distance_m:
                break
            found = self._measure(int(k))
            if found.distance_m < nearest.distance_m:
                nearest = found
        return nearest

    def near(self, pose: NDArray[np.floating], within_m: float) -> dict[int, Clearance]:
        """Return the number of a pair of shapes -> how near they are, of those that are near.

        Args:
            pose: (A,) joints in action order [rad; gripper 0..1], finite.
            within_m: Distance below which they count as near [m], up to ``LOOK_M``.
        """
        self._move(pose)
        numbers = np.flatnonzero(self._find_gaps() < within_m).tolist()
        found = {k: self._measure(k) for k in numbers}
        return {k: pair for k, pair in found.items() if pair.distance_m < within_m}

    def _measure(self, k: int) -> Clearance:
        """Return how near the shapes of a pair are at the pose of the last ``_move``."""
        first, second = self._pairs[k]
        ends = np.zeros(6)
        distance_m = mujoco.mj_geomDistance(self._model, self._data, first, second, LOOK_M, ends)
        shapes = f'{self._names[first]} and {self._names[second]}'
        places = tuple(tuple(end) for end in ends.reshape(2, 3).tolist())
        return Clearance(distance_m, shapes, places)

    def _find_gaps(self) -> NDArray[np.float64]:
        """Return the (pairs,) distances between the bounding boxes along the axes of the world."""
        turns = self._data.geom_xmat.reshape(-1, 3, 3)
        centers = self._data.geom_xpos + (turns @ self._centers[..., None])[..., 0]
        halves = (np.abs(turns) @ self._halves[..., None])[..., 0]
        first, second = self._pairs.T
        apart = np.abs(centers[first] - centers[second]) - halves[first] - halves[second]
        return np.linalg.norm(np.maximum(apart, 0.0), axis=1)

    def nearest(self, rows: NDArray[np.floating]) -> Clearance:
        """Return the clearance at the nearest of (H, A) rows of joints in action order."""
        return min((self.clearance(row) for row in rows), key=lambda c: c.distance_m)

    def _move(self, pose: NDArray[np.floating]) -> None:
        self._data.qpos[self._addresses] = pose[self._columns]
        mujoco.mj_kinematics(self._model, self._data)


def open_scene(robot: RobotSpec) -> Scene | None:
    """Return the scene of a robot, None where the robot file names none.

    Raises:
        ConfigError: As ``Scene``.
    """
    return None if robot.scene is None else Scene(robot)


def tool_distances_m(
    scene: Scene | None, positions: NDArray[np.floating]
) -> NDArray[np.float64] | None:
    """Return the (N,) distance of every candidate from the first at the tools [m].

    It is the largest over the arms and the chunk of the distance between the tools' places, which
    are averaged over ``SMOOTHED_ROWS`` first: the arms do not follow noise from row to row. None
    without a scene.

    Args:
        scene: Where the tools are at a pose; None if the robot has none.
        positions: (N, H, A) joints of the candidates [rad; gripper 0..1].
    """
    if scene is None:
        return None
    paths = np.stack([scene.tool_paths(rows) for rows in positions])  # (N, arms, H, 3)
    width = min(SMOOTHED_ROWS, paths.shape[2])
    smooth = np.lib.stride_tricks.sliding_window_view(paths, width, axis=2).mean(-1)
    return np.asarray(np.linalg.norm(smooth - smooth[0], axis=-1).max(axis=(1, 2)))


def _find_pairs(model: mujoco.MjModel) -> NDArray[np.intp]:
    """Return the (pairs, 2) numbers of shapes that keep their distance from each other.

    The rules are MuJoCo's own: bits, not two of one rigid body or of neighbours in an arm, none of
    ``<exclude>``, all of ``<pair>``.
    """
    n, bits, affinity = model.ngeom, model.geom_contype, model.geom_conaffinity
    body = model.geom_bodyid
    rigid = model.body_weldid[body]
    parent = model.body_weldid[model.body_parentid[rigid]]
    excluded = {(int(s) >> 16, int(s) & 0xFFFF) for s in model.exclude_signature}
    pairs = {tuple(sorted(p)) for p in zip(model.pair_geom1, model.pair_geom2, strict=True)}
    for i, j in combinations(range(n), 2):
        neighbours = 0 not in (rigid[i], rigid[j]) and (
            rigid[i] == parent[j] or rigid[j] == parent[i]
        )
        if (
            (bits[i] & affinity[j] or bits[j] & affinity[i])
            and rigid[i] != rigid[j]
            and not neighbours
            and tuple(sorted((int(body[i]), int(body[j])))) not in excluded
        ):
            pairs.add((i, j))
    return np.array(sorted(pairs), dtype=np.intp).reshape(-1, 2)
