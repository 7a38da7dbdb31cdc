# SPDX-License-Identifier: Apache-2.0
"""What Foxglove gets over its websocket, seen by a client of its protocol.

Source: foxglove/ws-protocol ``docs/spec.md``: the server advertises channels as JSON; a client
subscribes to some under numbers of its own, and gets binary messages of opcode 1 with the number,
a time and the payload.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import json
from pathlib import Path
import re
import struct
import threading
from typing import Any

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('foxglove')
pytest.importorskip('websockets')

from cosmos_policy_ros.data.bags.writer import typestore
from cosmos_policy_ros.nodes.bridge_node import BridgeNode
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.ros.endpoints import create_publisher
from cosmos_policy_ros.topics import MARKERS, TASK
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from ros_domains import free_port, ros_domain
from std_msgs.msg import String
from visualization_msgs.msg import Marker, MarkerArray
from websockets.sync.client import connect

pytestmark = pytest.mark.patient

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'


class Viewer:
    """A client of the bridge, in place of the app.

    Args:
        port: Where the bridge listens.
    """

    def __init__(self, port: int) -> None:
        """Connect and read what is advertised."""
        # the subprotocol of the SDK, and the older one of the specification
        protocols = ['foxglove.sdk.v1', 'foxglove.websocket.v1']
        self.socket = connect(f'ws://127.0.0.1:{port}', subprotocols=protocols, max_size=None)
        self.channels: dict[str, dict[str, Any]] = {}
        while 'policy/markers' not in ' '.join(self.channels):
            message = self.socket.recv(timeout=10.0)
            if isinstance(message, str) and json.loads(message)['op'] == 'advertise':
                found = json.loads(message)['channels']
                self.channels |= {channel['topic']: channel for channel in found}

    def subscribe(self, topic: str, number: int) -> None:
        """Look at a topic under a number."""
        entry = {'id': number, 'channelId': self.channels[topic]['id']}
        self.socket.send(json.dumps({'op': 'subscribe', 'subscriptions': [entry]}))

    def read(self, number: int) -> bytes:
        """Return the next payload of a subscription."""
        while True:
            message = self.socket.recv(timeout=20.0)
            if isinstance(message, bytes) and message[0] == 1:
                subscription, _ = struct.unpack_from('<IQ', message, 1)
                if subscription == number:
                    return message[13:]


@contextmanager
def bridge_to_stack(*words: str) -> Iterator[int]:
    """Give the port of a bridge in a ROS domain of its own, with a stack that publishes.

    Args:
        words: Arguments of ROS for both.
    """
    with ros_domain():
        given = [f'robot:={ROBOT_FILE}', f'port:={free_port()}']
        rclpy.init(args=['--ros-args', *words, *(w for g in given for w in ('-p', g))])
        node, bridge = Node('stack'), BridgeNode()
        task, drawn = create_publisher(node, TASK), create_publisher(node, MARKERS)
        task.publish(String(data='lift the cube'))
        markers = MarkerArray(markers=[Marker(ns='state', text='playing')])
        node.create_timer(0.05, lambda: drawn.publish(markers))
        bench = ThreadedBench(node, bridge)
        yield bridge.params.port
        bench.close()
        bridge.destroy_node()


@pytest.fixture
def port() -> Iterator[int]:
    """Return the port of the bridge of a stack without a namespace."""
    with bridge_to_stack() as port:
        yield port


def test_topics_are_advertised_with_their_definitions(port: int) -> None:
    """Those of the table and those of the robot file."""
    channels = Viewer(port).channels
    markers = channels['/policy/markers']
    assert (markers['encoding'], markers['schemaEncoding']) == ('cdr', 'ros2msg')
    assert markers['schemaName'] == 'visualization_msgs/msg/MarkerArray'
    assert 'MSG: geometry_msgs/Point' in markers['schema']
    assert {'/high/image_raw', '/policy/future/high', '/follower_left/joint_states'} <= {*channels}
    assert '/command_executor/stop' not in channels


def test_messages_arrive_as_ros_sent_them(port: int) -> None:
    """Latched ones too, for whoever comes late, and for a second one."""
    types = typestore()
    for _ in range(2):
        viewer = Viewer(port)
        viewer.subscribe('/policy/markers', 7)
        viewer.subscribe('/task', 8)
        array = types.deserialize_cdr(viewer.read(7), 'visualization_msgs/msg/MarkerArray')
        assert array.markers[0].text == 'playing'
        assert types.deserialize_cdr(viewer.read(8), 'std_msgs/msg/String').data == 'lift the cube'


def test_the_layout_shows_a_robot_in_a_namespace() -> None:
    """Its topics have the names that they have without one, as in bags."""
    layout = share_path('config', 'foxglove.json').read_text(encoding='utf-8')
    drawn = set(re.findall(r'"(/[a-z_]+(?:/[a-z_]+)*)', layout))
    with bridge_to_stack('-r', '__ns:=/robot1') as port:
        viewer = Viewer(port)
        of_robot = {'/high/image_raw', '/policy/future/high', '/follower_left/joint_states'}
        assert drawn | of_robot <= {*viewer.channels}
        assert [name for name in viewer.channels if 'robot1' in name] == []
        viewer.subscribe('/task', 8)
        task = typestore().deserialize_cdr(viewer.read(8), 'std_msgs/msg/String')
        assert task.data == 'lift the cube'


def test_nothing_is_subscribed_to_while_nobody_looks(port: int) -> None:
    """The stack does not pay for a window that is closed."""
    graph = Node('graph')
    quiet = threading.Event()

    def wait_for(count: int) -> None:
        for _ in range(200):
            if graph.count_subscribers('/policy/markers') == count:
                return
            quiet.wait(0.05)
        assert graph.count_subscribers('/policy/markers') == count

    wait_for(0)
    viewer = Viewer(port)
    wait_for(0)
    viewer.subscribe('/policy/markers', 1)
    wait_for(1)
    viewer.socket.close()
    wait_for(0)
    graph.destroy_node()
