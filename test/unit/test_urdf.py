# SPDX-License-Identifier: Apache-2.0
"""The robot description of the simulator, read by a parser of its own as viewers read it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse
from xml.etree import ElementTree as ET

from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.description import describe_robot, joint_positions, link_poses
from cosmos_policy_ros.sim.urdf import write_urdf
import mujoco
import numpy as np
from numpy.typing import NDArray
import pytest

ARMS = ('follower_left', 'follower_right')
SIM = AlohaSim()
ROBOT = ET.fromstring(describe_robot(SIM, ARMS))
MIDDLE = np.array([0.0, 0.5, 0.0])
Pose = NDArray[np.float64]  # (4, 4)


def vector(text: str) -> NDArray[np.float64]:
    """Return the numbers of an attribute."""
    return np.array([float(word) for word in text.split()])


def axis_turn(axis: NDArray[np.float64], angle: float) -> Pose:
    """Return the turn about an axis by Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    pose = np.eye(4)
    pose[:3, :3] = np.eye(3) + np.sin(angle) * k + (1.0 - np.cos(angle)) * k @ k
    return pose


def origin(element: ET.Element) -> Pose:
    """Return the pose of an ``origin``: turns about the fixed axes x, then y, then z."""
    found = element.find('origin')
    assert found is not None
    roll, pitch, yaw = vector(found.attrib['rpy'])
    x, y, z = np.eye(3)
    pose = axis_turn(z, yaw) @ axis_turn(y, pitch) @ axis_turn(x, roll)
    pose[:3, 3] = vector(found.attrib['xyz'])
    return pose


def forward(robot: ET.Element, positions: dict[str, float]) -> dict[str, Pose]:
    """Return link -> pose in the root of a robot, whose joints stand in order."""
    poses = {'world': np.eye(4)}
    for joint in robot.iter('joint'):
        parent, child = joint.find('parent'), joint.find('child')
        assert parent is not None
        assert child is not None
        motion = np.eye(4)
        if joint.attrib['type'] != 'fixed':
            axis, position = vector(joint.find('axis').attrib['xyz']), positions[joint.get('name')]
            if joint.attrib['type'] == 'revolute':
                motion = axis_turn(axis, position)
            else:
                motion[:3, 3] = axis * position
        poses[child.attrib['link']] = poses[parent.attrib['link']] @ origin(joint) @ motion
    return poses


def stl_corners(path: Path) -> NDArray[np.float64]:
    """Return the (n, 3) corners of all triangles of a binary STL file."""
    data = path.read_bytes()
    n = int(np.frombuffer(data, '<u4', 1, 80)[0])
    kind = np.dtype([('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('attribute', '<u2')])
    return np.frombuffer(data, kind, n, 84)['corners'].reshape(-1, 3).astype(np.float64)


def test_links_are_where_mujoco_has_them() -> None:
    """In any pose, by forward kinematics over the text alone."""
    rng = np.random.default_rng(0)
    worst_m = worst_turn = 0.0
    for _ in range(50):
        SIM.data.qpos[:16] = rng.uniform(SIM.model.jnt_range[:16, 0], SIM.model.jnt_range[:16, 1])
        mujoco.mj_kinematics(SIM.model, SIM.data)
        found = forward(ROBOT, joint_positions(SIM, ARMS))
        for side in ('left', 'right'):
            for link in ('upper_arm_link', 'gripper_link', 'left_finger_link', 'camera_focus'):
                body = SIM.data.body(f'vx300s_{side}/{link}')
                pose = found[f'follower_{side}/{link}']
                worst_m = max(worst_m, np.abs(pose[:3, 3] - (body.xpos - MIDDLE)).max())
                gap = np.abs(pose[:3, :3] - body.xmat.reshape(3, 3)).max()
                worst_turn = max(worst_turn, gap)
    assert worst_m < 1e-8
    assert worst_turn < 1e-8


def test_meshes_are_where_mujoco_draws_them() -> None:
    """MuJoCo moves a mesh to its centre of mass; the file is put back, in metres."""
    SIM.reset(0)
    mujoco.mj_forward(SIM.model, SIM.data)
    poses = forward(ROBOT, joint_positions(SIM, ARMS))
    geoms = {
        'follower_left/base_link': 'vx300s_left/1_base',
        'follower_left/lower_forearm_link': 'vx300s_left/5_lower_forearm',
        'follower_right/left_finger_link': 'vx300s_right/10_left_gripper_finger',
    }
    for link, name in geoms.items():
        geom = SIM.data.geom(name)
        mesh = SIM.model.geom(name).dataid[0]
        first, n = SIM.model.mesh_vertadr[mesh], SIM.model.mesh_vertnum[mesh]
        drawn = SIM.model.mesh_vert[first : first + n] @ geom.xmat.reshape(3, 3).T + geom.xpos
        visual = ROBOT.find(f"link[@name='{link}']/visual")
        file = visual.find('geometry/mesh')
        corners = stl_corners(Path(unquote(urlparse(file.attrib['filename']).path)))
        assert file.attrib['scale'] == '0.001 0.001 0.001'
        pose = poses[link] @ origin(visual)
        mine = (0.001 * corners) @ pose[:3, :3].T + pose[:3, 3] + MIDDLE
        assert mine.min(axis=0) == pytest.approx(drawn.min(axis=0), abs=1e-6)
        assert mine.max(axis=0) == pytest.approx(drawn.max(axis=0), abs=1e-6)


def test_every_link_and_joint_has_the_name_of_an_arm() -> None:
    """Both arms are in one description, as in the topics of the policy."""
    joints = [j.attrib['name'] for j in ROBOT.iter('joint') if j.attrib['type'] != 'fixed']
    assert joints[:3] == ['follower_left/waist', 'follower_left/shoulder', 'follower_left/elbow']
    assert joints == list(joint_positions(SIM, ARMS))
    assert len(joints) == 16
    assert joints[7] == 'follower_left/right_finger'
    links = [link.attrib['name'] for link in ROBOT.iter('link')]
    assert links[0] == 'world'
    assert links[1:] == list(link_poses(SIM, ARMS))
    assert 'follower_right/base_link' in links
    assert not [link for link in links if 'vx300s' in link or 'box' in link]


def test_limits_are_those_of_the_model() -> None:
    """A fixed joint has none."""
    limit = ROBOT.find("joint[@name='follower_right/shoulder']/limit")
    assert (limit.get('lower'), limit.get('upper')) == ('-1.85005', '1.25664')
    finger = ROBOT.find("joint[@name='follower_left/right_finger']")
    assert finger.get('type') == 'prismatic'
    assert finger.find('limit').get('upper') == '-0.021'
    assert ROBOT.find("joint[@name='follower_left/base_link_fixed']/limit") is None


def test_poses_of_links_agree_with_the_description() -> None:
    """Whoever is sent both sees one robot."""
    found = forward(ROBOT, joint_positions(SIM, ARMS))
    for link, (place, turn) in link_poses(SIM, ARMS).items():
        assert found[link][:3, 3] == pytest.approx(place, abs=1e-8)
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, turn)
        assert found[link][:3, :3] == pytest.approx(matrix.reshape(3, 3), abs=1e-8)


@pytest.mark.parametrize(
    ('body', 'words'),
    [
        ('<joint axis="1 0 0"/><joint axis="0 1 0"/>', 'has 2 joints'),
        ('<joint type="ball"/>', 'of a kind that URDF does not have'),
        ('<joint name="lift" pos="0 0 1"/>', 'joint lift is not at the origin'),
    ],
)
def test_what_urdf_cannot_describe_is_refused(body: str, words: str) -> None:
    """Instead of another robot than the model's."""
    text = f'<mujoco><worldbody><body>{body}<geom size="1"/></body></worldbody></mujoco>'
    model = mujoco.MjModel.from_xml_string(text)
    with pytest.raises(ValueError, match=words):
        write_urdf(model, 'any', str, np.zeros(3))


def test_simple_shapes_become_simple_shapes() -> None:
    """Half sizes of MuJoCo are whole ones in URDF; a capsule is drawn as a cylinder."""
    text = """<mujoco><worldbody>
    <geom type="plane" size="1 1 1"/><geom type="box" size="1 2 3" rgba="1 0 0 1"/>
    <geom type="sphere" size="0.5"/><geom type="capsule" size="0.1 0.4"/>
    </worldbody></mujoco>"""
    robot = ET.fromstring(
        write_urdf(mujoco.MjModel.from_xml_string(text), 'any', str, np.array([0.0, 0.0, 1.0]))
    )
    shapes = [(s.tag, dict(s.attrib)) for g in robot.iter('geometry') for s in g]
    assert shapes == [
        ('box', {'size': '2 4 6'}),
        ('sphere', {'radius': '0.5'}),
        ('cylinder', {'radius': '0.1', 'length': '0.8'}),
    ]
    assert [o.get('xyz') for o in robot.iter('origin')] == ['0 0 -1'] * 3
    assert robot.find('link/visual/material/color').get('rgba') == '1 0 0 1'
