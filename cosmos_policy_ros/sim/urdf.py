# SPDX-License-Identifier: Apache-2.0
"""A compiled MuJoCo model as URDF, for viewers that know robots by that.

MuJoCo reads URDF and cannot write it. Meshes are referenced where the model took them from, and
nothing is copied. Two things differ between the formats: MuJoCo moves every mesh to the centre of
its mass when it compiles a model, so that a geom has another pose than the file, and its geoms of
a body become visuals of a link. Masses are left out: nobody simulates with this.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

from cosmos_policy_ros.mujoco_import import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ROOT = 'world'  # the link that everything hangs on, and the frame that poses are in
_JOINTS = {
    mujoco.mjtJoint.mjJNT_HINGE: 'revolute',
    mujoco.mjtJoint.mjJNT_SLIDE: 'prismatic',
}


def write_urdf(
    model: mujoco.MjModel, name: str, rename: Callable[[str], str], origin: Array
) -> str:
    """Return the URDF of a model; bodies that float freely are left out.

    Args:
        model: The compiled model.
        name: Name of the robot.
        rename: Returns the name of a link or a joint for that of a body or a joint of the model.
        origin: (3,) where the frame ``world`` of the URDF is in the world of the model [m].

    Raises:
        ValueError: The model has what URDF cannot say: a body with several joints, a ball joint,
            or a joint that is not at the origin of its body or not zero in the model's own pose.
    """
    robot = ET.Element('robot', name=name)
    floating = _floating_bodies(model)
    for body in range(model.nbody):
        if body in floating:
            continue
        link = ET.SubElement(robot, 'link', name=link_name(model, body, rename))
        first, count = int(model.body_geomadr[body]), int(model.body_geomnum[body])
        for geom in range(first, first + count):
            _add_visual(link, model, geom, origin if body == 0 else np.zeros(3))
        if body:
            _add_joint(robot, model, body, rename, origin)
    ET.indent(robot)
    return ET.tostring(robot, encoding='unicode') + '\n'


def link_name(model: mujoco.MjModel, body: int, rename: Callable[[str], str]) -> str:
    """Return the name of the link of a body."""
    return rename(model.body(body).name or f'body_{body}') if body else ROOT


def link_bodies(model: mujoco.MjModel) -> list[int]:
    """Return the bodies that are links of the URDF besides the root, in the order of the model."""
    floating = _floating_bodies(model)
    return [body for body in range(1, model.nbody) if body not in floating]


def _floating_bodies(model: mujoco.MjModel) -> set[int]:
    """Return the bodies that hang on a free joint."""
    floating: set[int] = set()
    for body in range(1, model.nbody):  # parents come first
        joint = int(model.body_jntadr[body])
        is_free = joint >= 0 and model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE
        if is_free or int(model.body_parentid[body]) in floating:
            floating.add(body)
    return floating


def _add_joint(
    robot: ET.Element,
    model: mujoco.MjModel,
    body: int,
    rename: Callable[[str], str],
    origin: Array,
) -> None:
    """Add the joint between a body and its parent.

    Raises:
        ValueError: As ``write_urdf``.
    """
    count, index = int(model.body_jntnum[body]), int(model.body_jntadr[body])
    child = link_name(model, body, rename)
    kind = 'fixed' if not count else _JOINTS.get(mujoco.mjtJoint(model.jnt_type[index]))
    if count > 1 or kind is None:
        msg = f'body {child} has {count} joints or one of a kind that URDF does not have'
        raise ValueError(msg)
    joint_name = rename(model.joint(index).name) if count else f'{child}_fixed'
    joint = ET.SubElement(robot, 'joint', name=joint_name, type=kind)
    parent = int(model.body_parentid[body])
    place = model.body_pos[body] - (origin if parent == 0 else 0.0)
    _add_origin(joint, place, model.body_quat[body])
    ET.SubElement(joint, 'parent', link=link_name(model, parent, rename))
    ET.SubElement(joint, 'child', link=child)
    if not count:
        return
    if model.jnt_pos[index].any() or model.qpos0[model.jnt_qposadr[index]]:
        msg = f'joint {joint_name} is not at the origin of its body, or not zero in its own pose'
        raise ValueError(msg)
    ET.SubElement(joint, 'axis', xyz=_numbers(model.jnt_axis[index]))
    lower, upper = (f'{x:.6g}' for x in model.jnt_range[index])
    # effort and speed are asked for by the format, and the model does not know them
    ET.SubElement(joint, 'limit', lower=lower, upper=upper, effort='0', velocity='0')


def _add_visual(link: ET.Element, model: mujoco.MjModel, geom: int, shift: Array) -> None:
    """Add a geom of a body to its link; a plane has no end, and shapes are all that is drawn."""
    place, turn = model.geom_pos[geom] - shift, model.geom_quat[geom]
    shape = ET.Element('geometry')
    size = model.geom_size[geom]
    match mujoco.mjtGeom(model.geom_type[geom]):
        case mujoco.mjtGeom.mjGEOM_MESH:
            mesh = int(model.geom_dataid[geom])
            place, turn = _file_pose(model, mesh, place, turn)
            uri, scale = _mesh_file(model, mesh).as_uri(), _numbers(model.mesh_scale[mesh])
            ET.SubElement(shape, 'mesh', filename=uri, scale=scale)
        case mujoco.mjtGeom.mjGEOM_BOX:
            ET.SubElement(shape, 'box', size=_numbers(2 * size))
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            ET.SubElement(shape, 'sphere', radius=f'{size[0]:.9g}')
        case mujoco.mjtGeom.mjGEOM_CYLINDER | mujoco.mjtGeom.mjGEOM_CAPSULE:
            ET.SubElement(shape, 'cylinder', radius=f'{size[0]:.9g}', length=f'{2 * size[1]:.9g}')
        case _:
            return
    visual = ET.SubElement(link, 'visual')
    _add_origin(visual, place, turn)
    visual.append(shape)
    colour = _numbers(model.geom_rgba[geom])
    material = ET.SubElement(visual, 'material', name=f'colour_{colour.replace(" ", "_")}')
    ET.SubElement(material, 'color', rgba=colour)


def _file_pose(model: mujoco.MjModel, mesh: int, place: Array, turn: Array) -> tuple[Array, Array]:
    """Return the pose of a mesh's file [m, quaternion] for that of its geom."""
    back, undo = np.zeros(3), np.zeros(4)
    mujoco.mju_negPose(back, undo, model.mesh_pos[mesh], model.mesh_quat[mesh])
    file_place, file_turn = np.zeros(3), np.zeros(4)
    mujoco.mju_mulPose(file_place, file_turn, place, turn, back, undo)
    return file_place, file_turn


def _mesh_file(model: mujoco.MjModel, mesh: int) -> Path:
    """Return the file that a mesh was read from."""
    first = int(model.mesh_pathadr[mesh])
    return Path(bytes(model.paths[first:]).split(b'\0')[0].decode()).resolve()


def _add_origin(element: ET.Element, place: Array, turn: Array) -> None:
    ET.SubElement(element, 'origin', xyz=_numbers(place), rpy=_numbers(_roll_pitch_yaw(turn)))


def _roll_pitch_yaw(turn: Array) -> Array:
    """Return (3,) turns about the fixed axes x, y and z, in this order [rad], of a quaternion."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, turn / np.linalg.norm(turn))
    r = matrix.reshape(3, 3)
    pitch = np.arctan2(-r[2, 0], np.hypot(r[0, 0], r[1, 0]))
    if np.hypot(r[0, 0], r[1, 0]) < 1e-9:  # straight up or down: roll and yaw are one turn
        return np.array([np.arctan2(-r[1, 2], r[1, 1]), pitch, 0.0])
    return np.array([np.arctan2(r[2, 1], r[2, 2]), pitch, np.arctan2(r[1, 0], r[0, 0])])


def _numbers(values: NDArray[np.floating]) -> str:
    return ' '.join(f'{value:.12g}' for value in np.asarray(values, np.float64) + 0.0)
