# SPDX-License-Identifier: Apache-2.0
"""The rows of the topic table as classes and profiles of ROS."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy')

import cosmos_policy_ros
from cosmos_policy_ros.ros.endpoints import create_timer, qos_profile, ros_class
from cosmos_policy_ros.topics import ACTIONS, LATCHED, NEWEST, SENSOR, SERVICES, STREAM, TOPICS
from node_bench import ros_node, SteppedBench
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

pytestmark = pytest.mark.patient


def test_qualities_of_service_are_the_profiles_of_ros() -> None:
    """Other programs that name these profiles fit."""
    assert qos_profile(SENSOR) == qos_profile_sensor_data
    assert qos_profile(NEWEST) == QoSProfile(depth=1)
    assert qos_profile(STREAM) == QoSProfile(depth=10)
    late = DurabilityPolicy.TRANSIENT_LOCAL
    assert qos_profile(LATCHED) == QoSProfile(depth=1, durability=late)


def test_types_are_the_classes_of_ros() -> None:
    """Every type of the table exists; those of Interbotix and ros2_control are optional."""
    assert ros_class('sensor_msgs/msg/Image') is Image
    assert ros_class('std_srvs/srv/Trigger') is Trigger
    for row in (*TOPICS, *SERVICES, *ACTIONS):
        if not row.type.startswith(('interbotix_xs_msgs/', 'control_msgs/')):
            assert isinstance(ros_class(row.type), type)


def test_timers_go_on_whatever_the_ros_clock_shows() -> None:
    """Here it stands; one that is set back by an hour shows nothing new for as long either."""
    calls: list[int] = []
    with ros_node('timed') as node:
        node.get_clock()._set_ros_time_is_active(True)
        create_timer(node, 0.01, lambda: calls.append(len(calls)))
        SteppedBench(node).wait(lambda: len(calls) == 3)


def test_no_node_has_a_timer_by_the_ros_clock() -> None:
    """It would ask, watch and report nothing after the clock of the robot was set back."""
    files = Path(cosmos_policy_ros.__file__).parent.rglob('*.py')
    found = [file.name for file in files if '.create_timer(' in file.read_text(encoding='utf-8')]
    assert found == ['endpoints.py']
