# SPDX-License-Identifier: Apache-2.0
"""The rows of the topic table as classes and profiles of ROS."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.ros.endpoints import qos_profile, ros_class
from cosmos_policy_ros.topics import ACTIONS, LATCHED, NEWEST, SENSOR, SERVICES, STREAM, TOPICS
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
