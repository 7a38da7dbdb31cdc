# SPDX-License-Identifier: Apache-2.0
"""The table of topics and services."""

from __future__ import annotations

import ast
from pathlib import Path
import re

from cosmos_policy_ros.topics import (
    CANDIDATES,
    DIAGNOSTICS,
    EXECUTOR_STATUS,
    future_image,
    IMAGE,
    Qos,
    QUERY,
    SERVICES,
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


def test_images_are_best_effort_with_the_depth_of_the_sensor_profile() -> None:
    """A lost image is older than the next one."""
    assert IMAGE.qos == Qos('best_effort', 'volatile', 5)


def test_nodes_open_the_topics_of_the_policy_in_their_namespace() -> None:
    """The task and the diagnostics are those of the whole graph."""
    assert (CANDIDATES.name, CANDIDATES.ros_name) == ('/policy/candidates', 'policy/candidates')
    assert (TASK.name, TASK.ros_name) == ('/task', '/task')
    assert DIAGNOSTICS.ros_name == '/diagnostics'


def test_pattern_takes_the_name_of_the_robot_file() -> None:
    """Type and quality of service stay."""
    topic = IMAGE.at('/cam_high/color/image_raw')
    assert topic.ros_name == '/cam_high/color/image_raw'
    assert (topic.type, topic.qos) == ('sensor_msgs/msg/Image', IMAGE.qos)
    assert future_image('cam_high').name == '/policy/future/cam_high'


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
