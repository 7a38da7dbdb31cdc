# SPDX-License-Identifier: Apache-2.0
"""The shapes of a robot from its URDF, and where its links are for given joints.

Source: the URDF specification of ROS (``urdf/XML``): visuals, joints and ``mimic``; fixed axes in
the order roll, pitch, yaw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GREY = (0.6, 0.6, 0.6, 1.0)


class Shape(NamedTuple):
    """Something to be drawn that moves with a link.

    Attributes:
        link: Name of the link.
        mesh: File of a mesh, None for a simple shape.
        kind: ``mesh``, ``box``, ``sphere`` or ``cylinder``.
        size: (3,) scale of a mesh; edges of a box, radius of a sphere, or radius and length [m].
        pose: (4, 4) in the link.
        colour: Red, green, blue and opacity, 0 to 1 each.
    """

    link: str
    mesh: Path | None
    kind: str
    size: Array
    pose: Array
    colour: tuple[float, float, float, float]


@dataclass(frozen=True)
class _Joint:
    """How a link hangs on its parent: placed by ``origin``, moved along or about ``axis``."""

    name: str
    kind: str
    parent: str
    child: str
    origin: Array
    axis: Array
    mimic: tuple[str, float, float] | None  # joint, multiplier, offset


class UrdfModel:
    """A robot as URDF has it.

    Attributes:
        shapes: What is drawn.
    """

    def __init__(self, text: str, find_package: Callable[[str], Path | None]) -> None:
        """Read a description.

        Args:
            text: The URDF.
            find_package: Returns the share folder of a ROS package, None where it is missing;
                meshes of such a one are left out.

        Raises:
            ValueError: It is no URDF, or its links are not one tree.
        """
        try:
            robot = ElementTree.fromstring(text)
            colours = {m.get('name'): _colour(m, {}) for m in robot.findall('material')}
            links = {str(link.get('name')): link for link in robot.findall('link')}
            self.shapes = [
                shape
                for name, link in links.items()
                for visual in link.findall('visual')
                if (shape := _read_shape(name, visual, colours, find_package)) is not None
            ]
            joints = {joint.child: joint for joint in map(_read_joint, robot.findall('joint'))}
        except (ElementTree.ParseError, TypeError, AttributeError, ValueError) as error:
            msg = f'the robot description is no URDF: {error!r}'
            raise ValueError(msg) from error
        self._roots = [name for name in links if name not in joints]
        self._joints = _sort(joints, set(self._roots))

    def place_links(self, positions: Mapping[str, float]) -> dict[str, Array]:
        """Return link -> (4, 4) pose in the frame of the root.

        Args:
            positions: Joint -> position [rad; m]; one that is missing is at 0.
        """
        poses = {root: np.eye(4) for root in self._roots}
        for joint in self._joints:
            position = positions.get(joint.name, 0.0)
            if joint.mimic is not None:
                other, factor, offset = joint.mimic
                position = positions.get(other, 0.0) * factor + offset
            poses[joint.child] = poses[joint.parent] @ joint.origin @ _motion(joint, position)
        return poses


def quaternion(turn: Array) -> Array:
    """Return the (4,) quaternion w, x, y, z of a (3, 3) rotation matrix."""
    # four times the outer product of the quaternion with itself; its largest row is the best one
    (a, b, c), (d, e, f), (g, h, i) = turn
    product = np.array(
        [
            [1 + a + e + i, h - f, c - g, d - b],
            [h - f, 1 + a - e - i, b + d, c + g],
            [c - g, b + d, 1 - a + e - i, f + h],
            [d - b, c + g, f + h, 1 - a - e + i],
        ]
    )
    row = product[int(np.argmax(np.diag(product)))]
    return np.asarray(row / np.linalg.norm(row))


def _sort(joints: Mapping[str, _Joint], known: set[str]) -> list[_Joint]:
    """Return joints with those of parents before those of their children.

    Raises:
        ValueError: Some hang on nothing.
    """
    ordered: list[_Joint] = []
    left = dict(joints)
    while left:
        ready = [joint for joint in left.values() if joint.parent in known]
        if not ready:
            msg = f'the robot description is no tree: {sorted(left)} hang on nothing'
            raise ValueError(msg)
        for joint in ready:
            known.add(joint.child)
            ordered.append(left.pop(joint.child))
    return ordered


def _read_joint(element: ElementTree.Element) -> _Joint:
    parent, child = element.find('parent'), element.find('child')
    axis, mimic = element.find('axis'), element.find('mimic')
    direction = _numbers(axis, 'xyz', (1.0, 0.0, 0.0))
    return _Joint(
        name=str(element.get('name')),
        kind=str(element.get('type')),
        parent=str(parent.get('link')) if parent is not None else '',
        child=str(child.get('link')) if child is not None else '',
        origin=_origin(element),
        axis=direction / max(float(np.linalg.norm(direction)), 1e-12),
        mimic=None
        if mimic is None
        else (
            str(mimic.get('joint')),
            float(mimic.get('multiplier', 1.0)),
            float(mimic.get('offset', 0.0)),
        ),
    )


def _read_shape(
    link: str,
    visual: ElementTree.Element,
    colours: Mapping[str | None, tuple[float, float, float, float]],
    find_package: Callable[[str], Path | None],
) -> Shape | None:
    """Return what a visual draws, None where there is nothing of it on this machine."""
    geometry = visual.find('geometry')
    [element] = list(geometry) if geometry is not None else [ElementTree.Element('nothing')]
    mesh = None
    if element.tag == 'mesh':
        mesh = _find_file(str(element.get('filename')), find_package)
        if mesh is None:
            return None
        size = _numbers(element, 'scale', (1.0, 1.0, 1.0))
    elif element.tag == 'box':
        size = _numbers(element, 'size', (0.0, 0.0, 0.0))
    elif element.tag in ('sphere', 'cylinder'):
        size = np.array([float(element.get('radius', 0)), float(element.get('length', 0)), 0.0])
    else:
        return None
    return Shape(
        link, mesh, element.tag, size, _origin(visual), _colour(visual.find('material'), colours)
    )


def _find_file(uri: str, find_package: Callable[[str], Path | None]) -> Path | None:
    """Return the file of a mesh, None where it is not on this machine."""
    parts = urlsplit(uri)
    path = Path(unquote(parts.path))
    if parts.scheme == 'package':
        share = find_package(parts.netloc)
        path = share / str(path).lstrip('/') if share is not None else Path()
    return path if path.is_file() else None


def _motion(joint: _Joint, position: float) -> Array:
    """Return the (4, 4) motion of a joint that is at a position."""
    moved = np.eye(4)
    if joint.kind == 'prismatic':
        moved[:3, 3] = joint.axis * position
    elif joint.kind in ('revolute', 'continuous'):
        x, y, z = joint.axis
        cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        moved[:3, :3] += np.sin(position) * cross + (1.0 - np.cos(position)) * cross @ cross
    return moved


def _origin(element: ElementTree.Element) -> Array:
    """Return the (4, 4) pose in the ``origin`` of an element."""
    origin = element.find('origin')
    roll, pitch, yaw = _numbers(origin, 'rpy', (0.0, 0.0, 0.0))
    (sr, sp, sy), (cr, cp, cy) = np.sin([roll, pitch, yaw]), np.cos([roll, pitch, yaw])
    pose = np.eye(4)
    pose[:3, :3] = (
        np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
        @ np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
        @ np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    )
    pose[:3, 3] = _numbers(origin, 'xyz', (0.0, 0.0, 0.0))
    return pose


def _colour(
    material: ElementTree.Element | None,
    known: Mapping[str | None, tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """Return the colour of a material, by itself or by its name."""
    if material is None:
        return GREY
    colour = material.find('color')
    if colour is None:
        return known.get(material.get('name'), GREY)
    r, g, b, a = (float(x) for x in str(colour.get('rgba')).split())
    return r, g, b, a


def _numbers(
    element: ElementTree.Element | None, name: str, default: tuple[float, float, float]
) -> Array:
    """Return the (3,) numbers of an attribute."""
    text = None if element is None else element.get(name)
    if text is None:
        return np.array(default)
    x, y, z = (float(number) for number in text.split())
    return np.array([x, y, z])
