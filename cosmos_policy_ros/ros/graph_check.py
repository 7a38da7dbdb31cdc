# SPDX-License-Identifier: Apache-2.0
"""Who is on a topic: type, quality of service, and how many."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from cosmos_policy_ros.finding import Finding, judge
from cosmos_policy_ros.ros.endpoints import qos_profile
from cosmos_policy_ros.status import EXECUTOR_NAME
from cosmos_policy_ros.topics import Topic
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy


def check_sensor(node: Node, topic: Topic) -> Iterator[Finding]:
    """Yield whether one driver publishes a topic that this package listens to.

    Args:
        node: Node on whose graph to look.
        topic: The topic, with the quality of service of the listeners.
    """
    found = node.get_publishers_info_by_topic(topic.name)
    names = sorted({info.node_name for info in found})
    yield judge(
        topic.name,
        'publisher',
        len(found) == 1,
        f'{len(found)} {names}' if found else 'none',
        'one',
        _search(node, topic) if not found else 'stop all but one',
    )
    types = sorted({info.topic_type for info in found})
    if found:
        yield judge(
            topic.name,
            'type',
            types == [topic.type],
            ', '.join(types),
            topic.type,
            'give the topic of that type in the robot file',
        )
    listener = qos_profile(topic.subscriber_qos or topic.qos)
    for info in found:
        yield _qos_finding(topic.name, info.qos_profile, listener)


def check_commands(node: Node, topic: Topic) -> Iterator[Finding]:
    """Yield whether the commands that leave on a topic would arrive, and nobody else sends them.

    Args:
        node: Node on whose graph to look.
        topic: The topic; its quality of service is that of the commands.
    """
    found = node.get_subscriptions_info_by_topic(topic.name)
    yield judge(
        topic.name,
        'listener',
        bool(found),
        ', '.join(sorted({info.node_name for info in found})) or 'none',
        'the driver or controller of the arm',
        'start it, or give its real topic in the robot file',
    )
    types = sorted({info.topic_type for info in found})
    if found:
        yield judge(
            topic.name,
            'type',
            types == [topic.type],
            ', '.join(types),
            topic.type,
            'give the driver that sends this type in the robot file',
        )
    commands = qos_profile(topic.qos)
    for info in found:
        yield _qos_finding(topic.name, commands, info.qos_profile)
    others = {info.node_name for info in node.get_publishers_info_by_topic(topic.name)}
    others.discard(EXECUTOR_NAME)
    yield judge(
        topic.name,
        'other commanders',
        not others,
        ', '.join(sorted(others)) or 'none',
        'none',
        'stop them: two that command one arm tear at it',
    )


def _qos_finding(topic: str, offered: QoSProfile, wanted: QoSProfile) -> Finding:
    """Return whether a publisher offers what a listener wants; if not, no message arrives."""
    missing = []
    if wanted.reliability == ReliabilityPolicy.RELIABLE != offered.reliability:
        missing.append('reliable')
    if wanted.durability == DurabilityPolicy.TRANSIENT_LOCAL != offered.durability:
        missing.append('transient local')
    return judge(
        topic,
        'quality of service',
        not missing,
        'compatible' if not missing else f'the listener wants {" and ".join(missing)}',
        'no more than the publisher offers',
        'set reliability and durability of the driver so that they match',
    )


def _search(node: Node, topic: Topic) -> str:
    """Return what to do about a topic that nobody publishes, with the likeliest other name."""
    alike = [
        name
        for name, types in node.get_topic_names_and_types()
        if topic.type in types and name != topic.name and node.count_publishers(name)
    ]
    near = get_close_matches(topic.name, alike, n=1)
    if near:
        return f'is it {near[0]}? then write that into the robot file'
    return 'start its driver; if it runs, compare ROS_DOMAIN_ID and the name of its topic'
