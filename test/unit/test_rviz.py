# SPDX-License-Identifier: Apache-2.0
"""RViz can read ``config/policy.rviz``: its classes and properties exist, and the topics are ours.

Source: ros2/rviz at f7112b1, ``rviz_default_plugins/plugins_description.xml`` and the properties
that the displays, view controllers and topics make. RViz says nothing about a name it does not
know, and shows an empty window.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_policy_ros.control.collision import Scene
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.description import describe_robot
from cosmos_policy_ros.topics import IMAGES, MARKERS, ROBOT_DESCRIPTION, Topic
import pytest
import yaml

CONFIG: dict[str, Any] = yaml.safe_load(
    share_path('config', 'policy.rviz').read_text(encoding='utf-8')
)
MANAGER = CONFIG['Visualization Manager']
DISPLAYS: list[dict[str, Any]] = MANAGER['Displays']
ALWAYS = {'Class', 'Name', 'Enabled', 'Value'}
PROPERTIES = {  # class of a display -> what it reads besides that
    'rviz_default_plugins/Grid': {
        'Alpha', 'Cell Size', 'Color', 'Line Style', 'Normal Cell Count', 'Offset', 'Plane',
        'Plane Cell Count', 'Reference Frame',
    },
    'rviz_default_plugins/RobotModel': {
        'Alpha', 'Collision Enabled', 'Description File', 'Description Source',
        'Description Topic', 'Mass Properties', 'TF Prefix', 'Update Interval', 'Visual Enabled',
    },
    'rviz_default_plugins/MarkerArray': {'Namespaces', 'Topic'},
    'rviz_default_plugins/Image': {
        'Max Value', 'Median window', 'Min Value', 'Normalize Range', 'Topic',
    },
    'rviz_default_plugins/TF': {
        'Filter (blacklist)', 'Filter (whitelist)', 'Frame Timeout', 'Frames', 'Marker Scale',
        'Show Arrows', 'Show Axes', 'Show Names', 'Tree', 'Update Interval',
    },
}  # fmt: skip
TOPIC = {'Depth', 'Durability Policy', 'History Policy', 'Reliability Policy', 'Value'}
TYPES = {
    'rviz_default_plugins/RobotModel': ROBOT_DESCRIPTION.type,
    'rviz_default_plugins/MarkerArray': 'visualization_msgs/msg/MarkerArray',
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
}
TOOLS = {
    'rviz_default_plugins/' + name
    for name in (
        'FocusCamera', 'Interact', 'Measure', 'MoveCamera', 'PublishPoint', 'Select',
        'SetGoal', 'SetInitialPose',
    )
}  # fmt: skip
ORBIT = {
    'Class', 'Name', 'Value', 'Target Frame', 'Distance', 'Focal Shape Size', 'Near Clip Distance',
    'Focal Shape Fixed Size', 'Yaw', 'Pitch', 'Focal Point', 'Enable Stereo Rendering',
    'Invert Z Axis',
}  # fmt: skip
PANELS = {'rviz_common/Displays', 'rviz_common/Views', 'rviz_common/Time', 'rviz_common/Selection'}
GLOBAL = {'Background Color', 'Fixed Frame', 'Frame Rate'}
WINDOW = {
    'X', 'Y', 'Width', 'Height', 'QMainWindow State', 'Hide Left Dock', 'Hide Right Dock',
}  # fmt: skip


def by_name(name: str) -> dict[str, Any]:
    """Return a display of the file."""
    (display,) = [d for d in DISPLAYS if d['Name'] == name]
    return display


@pytest.mark.parametrize('display', DISPLAYS, ids=lambda d: d['Name'])
def test_display_is_one_of_rviz_with_its_properties(display: dict[str, Any]) -> None:
    """Whatever is enabled is enabled in both of the places where RViz looks for it."""
    known = PROPERTIES[display['Class']]
    assert set(display) - ALWAYS <= known
    assert set(display) >= ALWAYS
    assert display['Enabled'] is display['Value']
    for key in ('Topic', 'Description Topic'):
        if key in display:
            assert set(display[key]) <= TOPIC


def test_window_tools_and_view_are_those_of_rviz() -> None:
    """And the docks of the saved window are the panels that the file opens."""
    assert {panel['Class'] for panel in CONFIG['Panels']} <= PANELS
    assert {tool['Class'] for tool in MANAGER['Tools']} <= TOOLS
    assert set(MANAGER['Global Options']) <= GLOBAL
    view = MANAGER['Views']['Current']
    assert view['Class'] == 'rviz_default_plugins/Orbit'
    assert set(view) <= ORBIT
    window = CONFIG['Window Geometry']
    panels = {panel['Name'] for panel in CONFIG['Panels']}
    assert set(window) - panels <= WINDOW
    images = {d['Name'] for d in DISPLAYS if d['Class'] == 'rviz_default_plugins/Image'}
    saved = bytes.fromhex(window['QMainWindow State'])
    assert [dock for dock in panels | images if dock.encode('utf-16-be') not in saved] == []


@pytest.mark.parametrize(
    ('name', 'key', 'topic'),
    [
        ('What the policy is about to do', 'Topic', MARKERS),
        ('Cameras and expectation', 'Topic', IMAGES),
        ('Robot', 'Description Topic', ROBOT_DESCRIPTION),
    ],
)
def test_topic_is_in_the_table_with_its_type_and_quality(
    name: str, key: str, topic: Topic
) -> None:
    """RViz receives nothing where it asks for more than is offered."""
    display = by_name(name)
    assert display[key]['Value'] == topic.name.removeprefix('/')
    assert TYPES[display['Class']] == topic.type
    assert display[key]['Reliability Policy'] == 'Reliable'
    assert topic.qos.reliability == 'reliable'
    wanted = {'volatile': 'Volatile', 'transient_local': 'Transient Local'}[topic.qos.durability]
    assert display[key]['Durability Policy'] == wanted


def test_everything_is_drawn_in_the_frame_of_the_description() -> None:
    """Its root link, which is that of the scene too."""
    assert MANAGER['Global Options']['Fixed Frame'] == 'world'
    assert '<link name="world"' in describe_robot(AlohaSim(), ('left', 'right'))


def test_drivers_of_aloha_describe_an_arm_each() -> None:
    """Under the names of its robot file."""
    robot = read_robot(share_path('config', 'robots', 'aloha.yaml'))
    topics = [f'{arm.name}/robot_description' for arm in robot.arms]
    found = [by_name(name)['Description Topic']['Value'] for name in ('Left arm', 'Right arm')]
    assert found == topics


def test_every_scene_of_the_package_has_tools_to_draw() -> None:
    """The ways of the hands end between the fingertips, not at the wrist."""
    for path in sorted(Path(share_path('config', 'robots')).glob('*.yaml')):
        robot = read_robot(path, simulated=True)
        if robot.scene is not None:
            start, wrist = robot.start[None], Scene(robot).joint_places(robot.start)
            hands = Scene(robot).tool_paths(start)[:, 0]
            for arm, hand in zip(robot.arms, hands, strict=True):
                last = wrist[f'{arm.name}/{arm.joints[-1]}']
                assert sum((hand - last) ** 2) ** 0.5 == pytest.approx(0.14, abs=1e-3)
