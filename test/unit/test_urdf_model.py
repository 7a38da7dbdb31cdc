# SPDX-License-Identifier: Apache-2.0
"""Shapes and poses of a robot from its URDF."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.console.urdf import quaternion, UrdfModel
from cosmos_policy_ros.mujoco_import import mujoco
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.description import describe_robot, joint_positions, link_poses
from cosmos_policy_ros.sim.robot_scene import load_scene
from cosmos_policy_ros.sim.urdf import write_urdf
import numpy as np
import pytest

ROBOT_FOLDER = Path(__file__).parents[2] / 'config' / 'robots'
ROBOT = read_robot(ROBOT_FOLDER / 'aloha_sim.yaml')
ARM = """<robot name="arm">
  <material name="red"><color rgba="1 0 0 0.5"/></material>
  <link name="base">
    <visual><geometry><box size="1 2 3"/></geometry><material name="red"/></visual>
  </link>
  <link name="upper">
    <visual>
      <origin xyz="0 0 0.5"/><geometry><cylinder radius="0.1" length="1"/></geometry>
    </visual>
    <visual><geometry><mesh filename="package://nowhere/arm.stl"/></geometry></visual>
  </link>
  <link name="finger"/><link name="other"/>
  <joint name="turn" type="revolute">
    <parent link="base"/><child link="upper"/><axis xyz="0 1 0"/>
    <origin xyz="0 0 1" rpy="0 0 1.5707963267948966"/>
  </joint>
  <joint name="slide" type="prismatic">
    <parent link="upper"/><child link="finger"/><axis xyz="2 0 0"/>
  </joint>
  <joint name="copy" type="prismatic">
    <parent link="upper"/><child link="other"/><axis xyz="1 0 0"/>
    <mimic joint="slide" multiplier="-1" offset="0.1"/>
  </joint>
</robot>"""


def nowhere(_package: str) -> Path | None:
    """Find no package."""


def test_links_are_where_the_joints_put_them() -> None:
    """Turned about their own axis, slid along it, and copied."""
    places = UrdfModel(ARM, nowhere).place_links({'turn': np.pi / 2, 'slide': 0.3})
    # the upper link's x points along y of the base, and a quarter turn about its y brings it down
    np.testing.assert_allclose(places['upper'][:3, 3], [0.0, 0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(places['finger'][:3, 3], [0.0, 0.0, 0.7], atol=1e-12)
    np.testing.assert_allclose(places['other'][:3, 3], [0.0, 0.0, 1.2], atol=1e-12)


def test_shapes_have_size_colour_and_link() -> None:
    """A mesh of a package that is not here is left out."""
    box, cylinder = UrdfModel(ARM, nowhere).shapes
    assert (box.link, box.kind, box.size.tolist()) == ('base', 'box', [1.0, 2.0, 3.0])
    assert box.colour == (1.0, 0.0, 0.0, 0.5)
    assert (cylinder.link, cylinder.size[:2].tolist()) == ('upper', [0.1, 1.0])
    assert cylinder.pose[2, 3] == 0.5


def test_a_quaternion_is_the_rotation_also_for_half_turns() -> None:
    """W, x, y, z."""
    np.testing.assert_allclose(quaternion(np.eye(3)), [1, 0, 0, 0])
    np.testing.assert_allclose(np.abs(quaternion(np.diag([-1.0, 1.0, -1.0]))), [0, 0, 1, 0])
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(quaternion(quarter), [np.sqrt(0.5), 0, 0, np.sqrt(0.5)])


def test_the_scene_of_a_robot_file_is_drawn_where_there_is_no_description() -> None:
    """Its simple shapes, by the joints as the robot file calls them."""
    aloha = read_robot(ROBOT_FOLDER / 'aloha.yaml')
    scene = mujoco.MjModel.from_xml_path(str(aloha.scene))
    model = UrdfModel(write_urdf(scene, 'scene', str, np.zeros(3)), nowhere)
    before = model.place_links({})
    after = model.place_links({'follower_left/waist': 1.0})
    moved = {link for link in before if not np.allclose(before[link], after[link])}
    assert moved
    assert all('left' in link for link in moved if not link.startswith('body_'))


@pytest.mark.parametrize('text', ['', 'no xml', '<robot><joint/></robot>'])
def test_what_is_no_urdf_is_refused(text: str) -> None:
    """A driver may publish anything."""
    with pytest.raises(ValueError, match='the robot description is no'):
        UrdfModel(text, nowhere)


def test_the_simulated_arms_are_where_mujoco_has_them() -> None:
    """With the meshes of its own description, as RViz reads it."""
    sim, arms = load_scene('transfer_cube', ROBOT), [arm.name for arm in ROBOT.arms]
    try:
        model = UrdfModel(describe_robot(sim, arms), nowhere)
        placed = model.place_links(joint_positions(sim, arms))
        wanted = link_poses(sim, arms)
    finally:
        sim.close()
    for link, (place, turn) in wanted.items():
        np.testing.assert_allclose(placed[link][:3, 3], place, atol=1e-8)
        angle = abs(float(quaternion(placed[link][:3, :3]) @ turn))
        assert angle == pytest.approx(1.0, abs=1e-8), link
    assert len([shape for shape in model.shapes if shape.kind == 'mesh']) >= 20
