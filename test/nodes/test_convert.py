# SPDX-License-Identifier: Apache-2.0
"""Messages carry our types unchanged, and malformed ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.image_decoder import image_array
from cosmos_policy_ros.ros import convert
from cosmos_policy_ros.types import ActionChunk, Candidates, JointCommand
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import PointCloud2
from trajectory_msgs.msg import JointTrajectory

pytestmark = pytest.mark.patient

JOINTS = ('left/waist', 'left/gripper', 'right/waist', 'right/gripper')
STAMP_NS = 1_700_000_000_123_456_789


def candidates() -> Candidates:
    """Return 3 candidates of 5 rows with 2 values each."""
    rng = np.random.default_rng(0)
    return Candidates(
        stamp_ns=STAMP_NS,
        positions=rng.random((3, 5, 4)).astype(np.float32),
        values=rng.random((3, 2)).astype(np.float32),
        future_proprio=rng.random((3, 4)).astype(np.float32),
    )


def chunk() -> ActionChunk:
    """Return a chunk of 5 rows at 25 Hz."""
    return ActionChunk(STAMP_NS, candidates().positions[0], 25.0)


def wire(message: PointCloud2 | JointTrajectory) -> PointCloud2 | JointTrajectory:
    """Return a message as it arrives at the other side."""
    return deserialize_message(serialize_message(message), type(message))


def test_candidates_travel_unchanged() -> None:
    """The table holds every number of the candidates and their rate."""
    sent = candidates()
    got, rate_hz = convert.candidates_from_message(
        wire(convert.candidates_message(sent, 25.0, JOINTS)), JOINTS
    )
    assert (got.stamp_ns, rate_hz) == (STAMP_NS, 25.0)
    np.testing.assert_array_equal(got.positions, sent.positions)
    np.testing.assert_array_equal(got.values, sent.values)
    np.testing.assert_array_equal(got.future_proprio, sent.future_proprio)


def test_candidate_table_is_organised() -> None:
    """N rows of H points; one field per joint, then time, values and future proprio."""
    message = convert.candidates_message(candidates(), 25.0, JOINTS)
    assert (message.height, message.width) == (3, 5)
    names = [(f.name, f.count) for f in message.fields[-3:]]
    assert names == [('time_from_start', 1), ('values', 2), ('future_proprio', 4)]


def test_an_answer_tells_since_when_its_node_has_been_active() -> None:
    """Zero where it does not, as in what other programs send."""
    told = convert.candidates_message(candidates(), 25.0, JOINTS, STAMP_NS - 7)
    assert convert.active_since_ns(wire(told)) == STAMP_NS - 7
    assert convert.active_since_ns(convert.candidates_message(candidates(), 25.0, JOINTS)) == 0
    told.header.frame_id = 'map'
    assert convert.active_since_ns(told) == 0


def test_candidates_of_other_joints_name_both() -> None:
    """A table for another robot is refused with both lists of joints."""
    message = convert.candidates_message(candidates(), 25.0, ('a', 'b', 'c', 'd'))
    with pytest.raises(ValueError, match=r"fields \['a', 'b'.*robot needs \['left/waist'"):
        convert.candidates_from_message(message, JOINTS)


def test_candidate_table_cut_short_is_refused() -> None:
    """Fewer bytes than the table needs are refused."""
    message = convert.candidates_message(candidates(), 25.0, JOINTS)
    message.data = message.data[:-4]
    with pytest.raises(ValueError, match='table of 3x5 points cannot have 656 bytes'):
        convert.candidates_from_message(message, JOINTS)


def test_candidate_table_of_another_layout_is_refused() -> None:
    """Doubles instead of floats are refused."""
    message = convert.candidates_message(candidates(), 25.0, JOINTS)
    message.fields[0].datatype = 8
    with pytest.raises(ValueError, match='little-endian float32 points of 44 bytes'):
        convert.candidates_from_message(message, JOINTS)


def test_nan_candidate_is_refused() -> None:
    """A NaN in one candidate spoils the table."""
    message = convert.candidates_message(candidates(), 25.0, JOINTS)
    table = np.frombuffer(message.data, np.float32).copy()
    table[0] = np.nan
    message.data = table.tobytes()
    with pytest.raises(ValueError, match='candidate positions must be finite'):
        convert.candidates_from_message(message, JOINTS)


def test_chunk_travels_unchanged() -> None:
    """Rows, stamp and rate of an action chunk arrive."""
    got = convert.chunk_from_message(wire(convert.chunk_message(chunk(), JOINTS)), JOINTS)
    assert (got.stamp_ns, got.rate_hz) == (STAMP_NS, pytest.approx(25.0))
    np.testing.assert_array_equal(got.positions, chunk().positions)


def test_chunk_longer_than_a_second_keeps_its_times() -> None:
    """Times past a whole second carry their seconds."""
    rows = np.zeros((60, 4), np.float32)
    got = convert.chunk_from_message(
        convert.chunk_message(ActionChunk(STAMP_NS, rows, 30.0), JOINTS), JOINTS
    )
    assert got.rate_hz == pytest.approx(30.0, rel=1e-6)


def test_chunk_of_other_joints_names_both() -> None:
    """A chunk for another robot is refused with both lists."""
    message = convert.chunk_message(chunk(), ('a', 'b', 'c', 'd'))
    with pytest.raises(ValueError, match=r"for \['a', 'b', 'c', 'd'\], this robot has \['left"):
        convert.chunk_from_message(message, JOINTS)


def test_chunk_row_of_the_wrong_length_is_refused() -> None:
    """Three positions for four joints are refused."""
    message = convert.chunk_message(chunk(), JOINTS)
    message.points[2].positions = [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match=r'rows have \[3\] positions for 4 joints'):
        convert.chunk_from_message(message, JOINTS)


def test_chunk_with_nan_is_refused() -> None:
    """A NaN never becomes a target."""
    message = convert.chunk_message(chunk(), JOINTS)
    message.points[2].positions = [0.0, float('nan'), 0.0, 0.0]
    with pytest.raises(ValueError, match='NaN or infinite'):
        convert.chunk_from_message(message, JOINTS)


def test_chunk_with_uneven_rows_is_refused() -> None:
    """The chunk player knows one rate per chunk."""
    message = convert.chunk_message(chunk(), JOINTS)
    message.points[2].time_from_start.nanosec += 1_000_000
    with pytest.raises(ValueError, match='must be evenly spaced'):
        convert.chunk_from_message(message, JOINTS)


def test_chunk_without_rows_is_refused() -> None:
    """An empty trajectory is no chunk."""
    message = convert.trajectory_message(STAMP_NS, np.zeros((0, 4), np.float32), 25.0, JOINTS)
    with pytest.raises(ValueError, match='needs at least two rows'):
        convert.chunk_from_message(message, JOINTS)


def query(rows: int = 3) -> JointTrajectory:
    """Return a query that commits to rows of 40 ms."""
    positions = np.arange(4 * rows, dtype=np.float32).reshape(rows, 4)
    return convert.trajectory_message(STAMP_NS, positions, 25.0, JOINTS)


def read_query(message: JointTrajectory, now_ns: int = STAMP_NS) -> np.ndarray:
    """Return its rows, for a policy of 5 rows at 25 Hz."""
    return convert.query_rows(message, JOINTS, 25.0, 5, now_ns)


@pytest.mark.parametrize('rows', [0, 1, 4])
def test_query_brings_its_committed_rows(rows: int) -> None:
    """The first query of an episode may have none, none has as many as a chunk."""
    got = read_query(wire(query(rows)))
    assert (got.shape, got.dtype) == ((rows, 4), np.float32)
    np.testing.assert_array_equal(got.ravel(), np.arange(4 * rows))


def test_query_of_the_future_is_refused() -> None:
    """Its images are not taken yet; clocks of two machines may differ by a little."""
    assert len(read_query(query(), STAMP_NS - 5_000_000)) == 3
    with pytest.raises(ValueError, match=r'stamped 6 ms in the future, limit 5 ms; synchronise'):
        read_query(query(), STAMP_NS - 6_000_000)


def test_query_that_commits_to_a_whole_chunk_is_refused() -> None:
    """Nothing would be left to plan."""
    with pytest.raises(ValueError, match='commits to 5 rows of chunks of 5; it must be fewer'):
        read_query(query(5))


def test_query_at_another_rate_is_refused() -> None:
    """The rows are rows of the policy's own grid."""
    message = convert.trajectory_message(STAMP_NS, np.zeros((2, 4), np.float32), 12.5, JOINTS)
    with pytest.raises(ValueError, match=r'0\.04 s apart .* got times \[0\.0, 0\.08\] s'):
        read_query(message)


def test_query_whose_rows_begin_later_is_refused() -> None:
    """Row 0 is due at the stamp."""
    message = query(2)
    for point in message.points:
        point.time_from_start.nanosec += 10_000_000
    with pytest.raises(ValueError, match='must be due from 0 s on'):
        read_query(message)


@pytest.mark.parametrize(
    ('number', 'reason'), [(float('nan'), 'NaN or infinite'), (float('inf'), 'NaN or infinite')]
)
def test_query_with_a_bad_number_is_refused(number: float, reason: str) -> None:
    """It would be played."""
    message = query()
    message.points[1].positions[2] = number
    with pytest.raises(ValueError, match=reason):
        read_query(message)


def test_query_for_other_joints_is_refused() -> None:
    """Both sides are named."""
    message = query()
    message.joint_names[0] = 'tail'
    with pytest.raises(ValueError, match=r"trajectory is for \['tail', .* this robot has"):
        read_query(message)


def test_command_is_read_for_its_own_joints_alone() -> None:
    """Another order would be another pose."""
    sent = convert.joint_state_message(JOINTS, [0.5, 1, 2, 3], STAMP_NS)
    assert convert.command_positions(wire(sent), JOINTS).tolist() == [0.5, 1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match='command is for'):
        convert.command_positions(sent, JOINTS[::-1])
    sent.position[1] = float('nan')
    with pytest.raises(ValueError, match='NaN or infinite'):
        convert.command_positions(sent, JOINTS)


def test_image_travels_unchanged() -> None:
    """Pixels, colour order and stamp arrive."""
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    got = wire(convert.image_message(image, STAMP_NS, 'high_optical_frame'))
    np.testing.assert_array_equal(image_array(got), image)
    assert stamp_of(got) == STAMP_NS


def test_joint_command_names_every_joint() -> None:
    """``/joint_command`` says which number is whose."""
    command = JointCommand(STAMP_NS, np.array([0.5, 1, 2, 3], np.float32), 'ok')
    message = convert.command_message(command, JOINTS)
    assert (tuple(message.name), list(message.position)) == (JOINTS, [0.5, 1, 2, 3])


def test_joint_state_holds_what_is_known() -> None:
    """Velocities and efforts beside the positions, empty where nobody gives them."""
    known = wire(convert.joint_state_message(['a', 'b'], [1, 2], STAMP_NS, [3, 4], [5.5, 6]))
    assert (list(known.velocity), list(known.effort)) == ([3.0, 4.0], [5.5, 6.0])
    bare = wire(convert.joint_state_message(['a', 'b'], [1, 2], STAMP_NS))
    assert (list(bare.position), len(bare.velocity), len(bare.effort)) == ([1.0, 2.0], 0, 0)
