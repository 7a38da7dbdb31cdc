# SPDX-License-Identifier: Apache-2.0
"""What is seen of a recording: timing, series, images, and what could not be used."""

from __future__ import annotations

from pathlib import Path

from bags import ROBOT, START_NS, write_rollout
from cosmos_policy_ros.candidate_table import read_table
from cosmos_policy_ros.data.bags.overview import Overview, read_overview
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.types import Candidates, ConfigError
import numpy as np
import pytest


@pytest.fixture(scope='module')
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Overview:
    """Return the rollout made by hand."""
    path = tmp_path_factory.mktemp('bags') / 'episode'
    write_rollout(path)
    return read_overview(path, ROBOT, 3)


def test_rate_and_gap_of_a_camera_that_fell_silent(rollout: Overview) -> None:
    """The high camera sends at 0.8 s and at 1.44 s and nothing in between."""
    timing = rollout.topics['/high/image_raw']
    assert timing.expected_hz == 12.5
    assert len(timing.time_s) == 18
    assert timing.gaps == [pytest.approx((0.8, 1.44))]
    assert timing.longest_s == pytest.approx(0.64)


def test_even_topic_has_its_rate_and_no_gap(rollout: Overview) -> None:
    """Joint commands at 50 Hz."""
    timing = rollout.topics['/joint_command']
    assert (timing.mean_hz, timing.longest_s) == (pytest.approx(50.0), pytest.approx(0.02))
    assert timing.gaps == []


def test_topic_of_unknown_rate_has_no_gaps(rollout: Overview) -> None:
    """Two candidate tables 0.4 s apart are as they should be."""
    timing = rollout.topics['/policy/candidates']
    assert (timing.expected_hz, timing.gaps) == (None, [])
    assert timing.longest_s == pytest.approx(0.4)


def test_camera_that_stops_early_has_a_gap_to_the_end(tmp_path: Path) -> None:
    """The end of the bag counts, not only what lies between two messages."""
    with BagWriter(tmp_path / 'bag', {}) as bag:
        for tick in range(100):
            bag.write_joints('/joint_command', ROBOT.joint_names, ROBOT.start, tick * 20_000_000)
        bag.write_image('/high/image_raw', np.zeros((2, 2, 3), np.uint8), 0)
    timing = read_overview(tmp_path / 'bag', ROBOT).topics['/high/image_raw']
    assert timing.gaps == [pytest.approx((0.0, 1.98))]


def test_topics_of_the_robot_that_the_bag_lacks_are_listed(tmp_path: Path) -> None:
    """They have no messages."""
    with BagWriter(tmp_path / 'bag', {}) as bag:
        bag.write_text('/task', 'wait', 5)
    topics = read_overview(tmp_path / 'bag', ROBOT).topics
    assert len(topics['/left_wrist/image_raw'].time_s) == 0
    assert len(topics) == 7


def test_joints_are_in_the_units_of_the_policy(rollout: Overview) -> None:
    """The left waist turns at 0.5 rad/s; the gripper stands at 0.1 of its opening."""
    assert rollout.commands is not None
    assert rollout.commands.values[50, 0] == pytest.approx(0.5)
    assert rollout.commands.time_s[50] == pytest.approx(1.0)
    left = rollout.measured['follower_left']
    assert left.values[100].tolist() == pytest.approx([0.5, -0.96, 1.16, 0, -0.3, 0, 0.1])
    assert rollout.remarks == []


def test_answers_tell_values_and_the_choice(rollout: Overview) -> None:
    """The second of the first answer and the first of the second became chunks."""
    first, second = rollout.answers
    assert (first.at_s, first.best) == (pytest.approx(0.2), 1)
    assert first.values.tolist() == pytest.approx([0.2, 0.3])
    assert (second.at_s, second.best) == (pytest.approx(0.6), 0)


def test_first_chunk_is_no_seam(rollout: Overview) -> None:
    """The second one has a seam jump."""
    assert rollout.seams == [(pytest.approx(0.61), 0.125)]
    assert [(m.name, m.reason) for m in rollout.modes] == [('playing', '')]


def test_images_are_spread_over_time(rollout: Overview) -> None:
    """First, middle and last; the middle one of the high camera is the last before its gap."""
    assert [s for s, _ in rollout.images['/left_wrist/image_raw']] == pytest.approx(
        [0.0, 0.96, 1.92]
    )
    assert [s for s, _ in rollout.images['/high/image_raw']] == pytest.approx([0.0, 0.8, 1.92])
    assert rollout.images['/high/image_raw'][2][1][0, 0].tolist() == [192, 192, 192]


def test_failed_bus_read_is_dropped_and_told(tmp_path: Path) -> None:
    """All joints at -pi cannot be true."""
    arm = ROBOT.arms[0]
    names = [*arm.joints, 'left_finger']
    with BagWriter(tmp_path / 'bag', {}) as bag:
        bag.write_joints(arm.joint_state_topic, names, [0.0] * 6 + [0.02], START_NS)
        bag.write_joints(arm.joint_state_topic, names, [-np.pi] * 7, START_NS + 10_000_000)
    recording = read_overview(tmp_path / 'bag', ROBOT)
    assert len(recording.measured['follower_left'].time_s) == 1
    assert recording.remarks[0].startswith('1 joint states dropped')


def test_unknown_robot_leaves_commands_only(rollout: Overview) -> None:
    """Nothing is guessed of limits, rates and measured joints."""
    recording = read_overview(rollout.path, None)
    assert recording.commands is not None
    assert recording.joints == ROBOT.joint_names
    assert recording.measured == {}
    assert recording.topics['/high/image_raw'].expected_hz is None


def test_bag_without_messages_is_refused(tmp_path: Path) -> None:
    """There is nothing to look at."""
    with BagWriter(tmp_path / 'bag', {}):
        pass
    with pytest.raises(ConfigError, match='holds no message'):
        read_overview(tmp_path / 'bag', ROBOT)


def test_tables_of_the_inference_node_are_understood() -> None:
    """What the running stack publishes reads back as rows and values."""
    pytest.importorskip('rclpy')
    from cosmos_policy_ros.ros.convert import candidates_message

    rows = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    values = np.array([[0.25, 0.75], [0.5, 1.0]], np.float32)
    message = candidates_message(
        Candidates(5, rows, values, np.zeros((2, 2), np.float32)), 12.5, ('a', 'b')
    )
    candidates, _ = read_table(message)
    assert candidates.positions.tolist() == rows.tolist()
    assert candidates.values.tolist() == values.tolist()
