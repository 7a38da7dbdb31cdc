# SPDX-License-Identifier: Apache-2.0
"""What the policy is about to do is drawn for whoever looks, and costs nothing without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.control.collision import Scene
from cosmos_policy_ros.image_decoder import image_array
from cosmos_policy_ros.nodes.visualizer_node import VisualizerNode
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import (
    candidates_message,
    chunk_message,
    image_message,
    joint_state_message,
    trajectory_message,
)
from cosmos_policy_ros.ros.diagnostics import StatusReport
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription
from cosmos_policy_ros.ros.markers import value_colour
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    CANDIDATES,
    EXECUTOR_STATUS,
    future_image,
    IMAGE,
    IMAGES,
    JOINT_COMMAND,
    JOINT_STATES,
    MARKERS,
    QUERY,
    TASK,
)
from cosmos_policy_ros.types import ActionChunk, Candidates
from node_bench import SteppedBench
import rclpy
from rclpy.node import Node
from rclpy.subscription import Subscription
from ros_domains import ros_domain
from sensor_msgs.msg import Image
from std_msgs.msg import String
from visualization_msgs.msg import Marker, MarkerArray

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
SCENE = Scene(ROBOT)
LEFT = ROBOT.arms[0].joint_state_topic


class Bench(SteppedBench):
    """A visualizer, a node in place of the whole stack, and a person who looks or not."""

    def __init__(self) -> None:
        """Start all in this process."""
        self.node, self.visualizer = Node('visualizer_test'), VisualizerNode()
        super().__init__(self.node, self.visualizer)
        node = self.node
        self.pictures: list[MarkerArray] = []
        self.images: list[Image] = []
        self.looks: list[Subscription] = []
        self.candidates = create_publisher(node, CANDIDATES)
        self.chunks = create_publisher(node, ACTION_CHUNK)
        self.queries = create_publisher(node, QUERY)
        self.commands = create_publisher(node, JOINT_COMMAND)
        self.states = {
            topic: create_publisher(node, JOINT_STATES.at(topic))
            for topic in ROBOT.joint_state_topics
        }
        self.cameras = {c.name: create_publisher(node, IMAGE.at(c.topic)) for c in ROBOT.cameras}
        self.futures = {
            c.name: create_publisher(node, future_image(c.name)) for c in ROBOT.cameras
        }
        self.task = create_publisher(node, TASK)
        self.status = StatusReport(node, EXECUTOR_STATUS, 'command_executor')

    def now_ns(self) -> int:
        """Return the time now [ns]."""
        return self.node.get_clock().now().nanoseconds

    def look(self) -> None:
        """Look at the markers, as RViz does."""
        self.looks.append(create_subscription(self.node, MARKERS, self.pictures.append))
        sent = (self.candidates, self.chunks, self.queries, self.commands, self.task)
        self.wait(lambda: all(publisher.get_subscription_count() for publisher in sent))

    def look_away(self) -> None:
        """Close all windows."""
        while self.looks:
            self.node.destroy_subscription(self.looks.pop())

    def picture(self) -> dict[str, list[Marker]]:
        """Return by namespace the markers that are seen after the next message."""
        n = len(self.pictures)
        self.wait(lambda: len(self.pictures) > n)
        seen: dict[tuple[str, int], Marker] = {}
        for i, array in enumerate(self.pictures):
            is_newest = i == len(self.pictures) - 1
            for marker in array.markers:
                assert marker.header.frame_id == 'world'
                if marker.action == Marker.DELETEALL:
                    seen.clear()
                elif is_newest or marker.lifetime.sec:  # the others have gone by then
                    seen[marker.ns, marker.id] = marker
        found: dict[str, list[Marker]] = {}
        for marker in seen.values():
            found.setdefault(marker.ns, []).append(marker)
        return found

    def command(self, pose: np.ndarray) -> None:
        """Say that a pose was commanded just now."""
        self.commands.publish(joint_state_message(ROBOT.joint_names, pose, self.now_ns()))


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return a visualizer in a ROS domain of its own."""
    with ros_domain():
        given = [f'robot:={ROBOT_FILE}', 'rate_hz:=20.0']
        rclpy.init(args=['--ros-args', *(w for g in given for w in ('-p', f'visualizer:{g}'))])
        bench = Bench()
        yield bench
        bench.close()
        rclpy.shutdown()


def places(marker: Marker) -> np.ndarray:
    """Return the points of a marker."""
    return np.array([(point.x, point.y, point.z) for point in marker.points])


def colour(marker: Marker) -> tuple[float, ...]:
    """Return its red, green, blue and opacity."""
    return marker.color.r, marker.color.g, marker.color.b, marker.color.a


def answer(bench: Bench, values: list[list[float]]) -> tuple[Candidates, int]:
    """Send a query with two committed rows and its candidates, which move the left waist."""
    stamp_ns, n = bench.now_ns(), len(values)
    rows = np.tile(ROBOT.start, (n, 4, 1)).astype(np.float32)
    rows[:, :, 0] = np.linspace(0.0, 0.3, 4) * np.arange(1, n + 1)[:, None]
    candidates = Candidates(stamp_ns, rows, np.array(values, np.float32), rows[:, -1], {})
    query = trajectory_message(stamp_ns, rows[0, :2], 12.5, ROBOT.joint_names)
    bench.queries.publish(query)
    bench.candidates.publish(candidates_message(candidates, 12.5, ROBOT.joint_names))
    return candidates, stamp_ns


def test_candidates_are_drawn_where_the_hands_go_in_the_colour_of_their_value(
    bench: Bench,
) -> None:
    """The chosen one is bold; committed rows are dots of both hands."""
    bench.look()
    candidates, stamp_ns = answer(bench, [[0.2, 0.4], [0.9, 0.9]])
    chunk = ActionChunk(stamp_ns, candidates.positions[1], 12.5)
    bench.chunks.publish(chunk_message(chunk, ROBOT.joint_names))
    found: dict[str, list[Marker]] = {}

    def drawn() -> bool:
        found.clear()
        found.update(bench.picture())
        return 'chosen' in found

    bench.wait(drawn)
    assert {name: len(markers) for name, markers in found.items()} == {
        'state': 1, 'candidates': 2, 'chosen': 2, 'committed': 1,
    }  # fmt: skip
    left, right = SCENE.tool_paths(candidates.positions[1])
    assert places(found['chosen'][0]) == pytest.approx(left)
    assert places(found['chosen'][1]) == pytest.approx(right)
    assert colour(found['chosen'][0]) == pytest.approx(value_colour(0.9))
    assert colour(found['candidates'][0]) == pytest.approx(value_colour(0.3, 0.5))
    assert found['chosen'][0].scale.x > 2 * found['candidates'][0].scale.x
    assert len(found['committed'][0].points) == 4


def test_a_chunk_with_fewer_rows_than_its_candidates_is_found_among_them(bench: Bench) -> None:
    """As of a policy that sends only the rows that are played."""
    bench.look()
    candidates, stamp_ns = answer(bench, [[0.2, 0.4], [0.9, 0.9], [0.1, 0.1]])
    chunk = ActionChunk(stamp_ns, candidates.positions[1, :3], 12.5)
    bench.chunks.publish(chunk_message(chunk, ROBOT.joint_names))
    found: dict[str, list[Marker]] = {}

    def drawn() -> bool:
        found.update(bench.picture())
        return 'chosen' in found

    bench.wait(drawn)
    assert colour(found['chosen'][0]) == pytest.approx(value_colour(0.9))
    assert len(found['chosen'][0].points) == 4


def test_ways_are_drawn_once_for_an_answer(bench: Bench) -> None:
    """The next query alone changes nothing, and drawing them is what costs."""
    bench.look()
    candidates, _ = answer(bench, [[0.5, 0.5]])
    bench.wait(lambda: {'candidates', 'committed'} <= set(bench.picture()))
    n = len(bench.pictures)
    rows = candidates.positions[0, :2]
    bench.queries.publish(trajectory_message(bench.now_ns(), rows, 12.5, ROBOT.joint_names))
    bench.wait(lambda: len(bench.pictures) > n + 5)
    drawn = [marker for array in bench.pictures[n:] for marker in array.markers]
    assert drawn
    assert not any(marker.action == Marker.DELETEALL for marker in drawn)


def test_state_and_reason_are_written_above_the_table(bench: Bench) -> None:
    """In the colour of how serious it is."""
    bench.look()
    bench.task.publish(String(data='lift the cube'))
    reason = 'joint states are 140 ms old, limit 100 ms'
    bench.status.publish('warn', reason, ExecutorStatus('enabled', 'hold', reason))
    text = f'hold\n{reason}\nlift the cube'
    bench.wait(lambda: bench.picture()['state'][0].text == text)
    amber = bench.picture()['state'][0].color
    stopped = ExecutorStatus('fault', 'fault', 'emergency stop', stopped=True)
    bench.status.publish('error', 'emergency stop', stopped)
    bench.wait(lambda: bench.picture()['state'][0].text.startswith('EMERGENCY STOP\n'))
    red = bench.picture()['state'][0].color
    assert (red.r, red.g) == pytest.approx((1.0, 0.25))
    assert amber.g == pytest.approx(0.75)


def test_a_joint_at_its_limit_and_shapes_that_come_near_are_marked(bench: Bench) -> None:
    """By the commanded pose; with the distance in millimetres."""
    bench.look()
    pose = ROBOT.start.copy()
    pose[1] = 0.04  # the left gripper comes to the table
    pose[8] = ROBOT.lower[8]
    near = SCENE.clearance(pose)

    def drawn() -> bool:
        bench.command(pose)
        return 'limits' in bench.picture()

    bench.wait(drawn)
    found = bench.picture()
    (ball,) = found['limits']
    shoulder = SCENE.joint_places(pose)['follower_right/shoulder']
    assert (ball.pose.position.x, ball.pose.position.z) == pytest.approx(shoulder[[0, 2]])
    line, text = found['clearance']
    assert places(line) == pytest.approx(np.array(near.ends))
    assert text.text == 'table and follower_left/finger_roots: -7 mm'
    assert line.color.g == pytest.approx(0.25)  # nearer than it may be


def test_the_measured_pose_is_taken_where_nothing_is_commanded(bench: Bench) -> None:
    """As before motion is enabled."""
    bench.look()
    pose = ROBOT.start.copy()
    pose[1] = 0.04

    def drawn() -> bool:
        for arm, mine in zip(ROBOT.arms, ROBOT.arm_slices, strict=True):
            state = arm.state_of_pose(pose[mine])
            message = joint_state_message(arm.state_joints, state, bench.now_ns())
            bench.states[arm.joint_state_topic].publish(message)
        return 'clearance' in bench.picture()

    bench.wait(drawn)


def test_measured_joints_are_received_only_while_nothing_is_commanded(bench: Bench) -> None:
    """They are four fifths of the messages about the arms, and who receives them pays for it."""
    bench.look()
    states = bench.states[LEFT]
    bench.wait(states.get_subscription_count)

    def left_alone() -> bool:
        bench.command(ROBOT.start)
        return not states.get_subscription_count()

    bench.wait(left_alone)
    bench.wait(states.get_subscription_count)  # some seconds after the last command


def test_cameras_are_shown_above_what_is_predicted(bench: Bench) -> None:
    """In one image, whatever the size of the predictions; what is missing or no colour is dark."""
    look = create_subscription(bench.node, IMAGES, bench.images.append)
    bench.wait(bench.futures['high'].get_subscription_count)
    white, red = np.full((240, 320, 3), 255, np.uint8), np.zeros((128, 128, 3), np.uint8)
    red[..., 0] = 200
    depth = Image(height=2, width=2, encoding='16UC1', step=4, data=bytes(8))

    def shown() -> bool:
        bench.cameras['right_wrist'].publish(depth)
        bench.cameras['high'].publish(image_message(white, bench.now_ns(), 'high'))
        due_ns = bench.now_ns() + 900_000_000
        bench.futures['left_wrist'].publish(image_message(red, due_ns, 'left_wrist'))
        bench.spin(0.1)
        return bool(bench.images) and image_array(bench.images[-1])[140, 160].tolist() == [255] * 3

    bench.wait(shown)
    wall = image_array(bench.images[-1])
    assert wall.shape == (520, 960, 3)
    order = [camera.name for camera in ROBOT.cameras]
    assert order == ['high', 'left_wrist', 'right_wrist']
    assert wall[400, 480].tolist() == [200, 0, 0]
    assert wall[140, 480].tolist() == wall[140, 800].tolist() == [24, 24, 24]
    bench.node.destroy_subscription(look)
    bench.wait(lambda: not bench.futures['high'].get_subscription_count())


def test_nothing_is_subscribed_to_while_nobody_looks(bench: Bench) -> None:
    """The stack pays for pictures only while there is somebody to see them."""
    bench.spin(1.0)
    publishers = [bench.candidates, bench.commands, bench.futures['high'], bench.states[LEFT]]
    assert [p.get_subscription_count() for p in publishers] == [0, 0, 0, 0]
    bench.look()
    bench.wait(lambda: [p.get_subscription_count() for p in publishers] == [1, 1, 0, 1])
    bench.look_away()
    bench.wait(lambda: [p.get_subscription_count() for p in publishers] == [0, 0, 0, 0])
