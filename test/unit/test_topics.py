# SPDX-License-Identifier: Apache-2.0
"""The table of topics and services."""

from __future__ import annotations

import ast
from pathlib import Path
import re

from cosmos_policy_ros.robot import CameraSpec
from cosmos_policy_ros.topics import (
    camera_images,
    CANDIDATES,
    EXECUTOR_STATUS,
    future_image,
    IMAGE,
    JOINT_STATES,
    LEADER_JOINT_STATES,
    offered_qos,
    Qos,
    QUERY,
    SERVICES,
    SIM_STATE,
    TASK,
    TOPICS,
)

PACKAGE = Path(__file__).parents[2] / 'cosmos_policy_ros'


def test_query_is_reliable_and_only_the_newest_counts() -> None:
    """A planner that asks again takes the first question back."""
    assert QUERY.qos == Qos('reliable', 'volatile', 1)
    assert QUERY.type == 'trajectory_msgs/msg/JointTrajectory'


def test_task_and_status_reach_whoever_comes_late() -> None:
    """Both are published when something changes, perhaps long before a subscriber starts."""
    assert TASK.qos == Qos('reliable', 'transient_local', 1)
    assert EXECUTOR_STATUS.qos == Qos('reliable', 'transient_local', 1)


def test_sensors_are_published_reliable_and_received_best_effort() -> None:
    """RViz asks for reliable images; a lost one is older than the next one."""
    sensors = (IMAGE, JOINT_STATES, LEADER_JOINT_STATES, SIM_STATE, future_image('high'))
    assert {topic.qos for topic in sensors} == {Qos('reliable', 'volatile', 5)}
    assert {topic.subscriber_qos for topic in sensors} == {Qos('best_effort', 'volatile', 5)}


def test_no_topic_is_published_best_effort() -> None:
    """A reader that asks for reliable messages would get nothing."""
    assert [topic.name for topic in TOPICS if topic.qos.reliability != 'reliable'] == []


def test_nodes_open_their_topics_in_their_namespace() -> None:
    """Two robots live on one network."""
    assert (CANDIDATES.name, CANDIDATES.ros_name) == ('/policy/candidates', 'policy/candidates')
    assert (TASK.name, TASK.ros_name) == ('/task', 'task')


def test_only_diagnostics_and_what_the_robot_file_names_are_outside() -> None:
    """Tools of ROS look for that name; names of the robot file are full ones already."""
    outside = ['/clock', '/diagnostics', '/rosout']
    assert [topic.name for topic in TOPICS if not topic.namespaced] == outside
    assert IMAGE.at('/robot1/high/image_raw').ros_name == '/robot1/high/image_raw'


def test_a_topic_of_a_bag_has_its_quality_of_service() -> None:
    """A sensor is named by the robot file and published as drivers publish."""
    assert offered_qos('/task') == Qos('reliable', 'transient_local', 1)
    assert offered_qos('/joint_command') == Qos('reliable', 'volatile', 10)
    assert offered_qos('/cam_high/image_raw') == Qos('reliable', 'volatile', 5)


def test_pattern_takes_the_name_of_the_robot_file() -> None:
    """Type and quality of service stay."""
    topic = IMAGE.at('/cam_high/color/image_raw')
    assert topic.ros_name == '/cam_high/color/image_raw'
    assert (topic.type, topic.qos) == ('sensor_msgs/msg/Image', IMAGE.qos)
    assert future_image('cam_high').name == '/policy/future/cam_high'


def test_compressed_images_come_beside_the_topic_or_on_it() -> None:
    """Where image_transport puts them, or on a topic that is named so itself."""
    for transport, topic, images in (
        ('raw', '/high/image_raw', '/high/image_raw'),
        ('compressed', '/high/image_raw', '/high/image_raw/compressed'),
        ('compressed', '/high/image_compressed', '/high/image_compressed'),
        ('compressed', '/high/compressed', '/high/compressed'),
    ):
        camera = CameraSpec('high', topic, 640, 480, 30.0, transport=transport)
        assert camera_images(camera).name == images


def test_every_name_is_in_the_table_once() -> None:
    """A second row with the same name would be a second truth."""
    names = [row.name for row in (*TOPICS, *SERVICES)]
    assert len(names) == len(set(names)) > 20


def test_every_row_has_types_and_a_sentence() -> None:
    """They become the reference page."""
    for topic in TOPICS:
        assert re.fullmatch(r'\w+/msg/\w+', topic.type), topic
        assert topic.publishers, topic
        assert topic.subscribers, topic
        assert topic.meaning.endswith('.'), topic
    for service in SERVICES:
        assert re.fullmatch(r'\w+/srv/\w+', service.type), service
        owner = service.name.split('/')[1]
        assert owner == service.server or service.server == 'driver', service
        assert service.meaning.endswith('.'), service


def test_no_other_file_writes_a_name_of_the_table() -> None:
    """A name that stands twice is changed once."""
    rows = (*TOPICS, *SERVICES)
    names = {row.name for row in rows} | {row.ros_name for row in rows if '/' in row.ros_name}
    found = {
        (path.name, node.value)
        for path in PACKAGE.rglob('*.py')
        if path.name != 'topics.py'
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.Constant) and node.value in names | {'joint_command'}
    }
    assert found == set()
