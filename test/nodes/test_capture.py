# SPDX-License-Identifier: Apache-2.0
"""What the capture of an episode knows of the messages that it hands on."""

from __future__ import annotations

from collections.abc import Iterator
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.capture import Capture
from cosmos_policy_ros.ros.convert import image_message
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.topics import future_image, HUMAN_INTERVENTION, IMAGE, TASK
from node_bench import ros_node
import rclpy
from rclpy.node import Node
from std_msgs.msg import Bool, String

WAIT_S = 60.0
MS = 1_000_000


@pytest.fixture
def node() -> Iterator[Node]:
    """Return a node on a domain of its own."""
    with ros_node('capture') as node:
        yield node


def test_images_of_a_query_are_those_taken_before_it(node: Node) -> None:
    """Nor is one what the policy saw that was taken after the query, or predicted."""
    camera = read_robot(robot_file('aloha_sim')).cameras[0]
    topic, predicted = IMAGE.at(camera.topic), future_image(camera.name)
    capture = Capture(node, {topic.name: topic, predicted.name: predicted}, {})
    assert capture.image_ages_s([camera], 0) == []
    publisher = create_publisher(node, topic)
    predictor = create_publisher(node, predicted.at(predicted.name))
    image = np.zeros((2, 2, 3), np.uint8)
    end_s = time.monotonic() + WAIT_S
    while len(capture.newest_ns) < 2 or not capture.image_ages_s([camera], 200 * MS):
        assert time.monotonic() < end_s, 'no image arrived'
        for stamp_ns in (240 * MS, 160 * MS):
            publisher.publish(image_message(image, stamp_ns, 'high'))
            predictor.publish(image_message(image, 10 * MS, 'high'))
            rclpy.spin_once(node, timeout_sec=0.1)
    assert capture.image_ages_s([camera], 60 * MS) == []
    assert capture.image_ages_s([camera], 200 * MS) == pytest.approx([0.04])


def test_what_was_sent_once_before_an_episode_begins_it(node: Node) -> None:
    """The task, and whether a person acts: both are sent when they change."""
    topics = {topic.name: topic for topic in (TASK, HUMAN_INTERVENTION)}
    capture = Capture(node, topics, {})
    create_publisher(node, TASK).publish(String(data='fold'))
    create_publisher(node, HUMAN_INTERVENTION).publish(Bool(data=True))
    end_s = time.monotonic() + WAIT_S
    while len(capture.newest_ns) < 2:
        assert time.monotonic() < end_s, 'nothing arrived'
        rclpy.spin_once(node, timeout_sec=0.1)
    begun: list[str] = []
    capture.start(lambda name, _type, _data, _ns: begun.append(name))
    assert sorted(begun) == ['/human_intervention', '/task']
