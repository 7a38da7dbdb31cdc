# SPDX-License-Identifier: Apache-2.0
"""Messages become samples: the newest in time, fresh enough, found by name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from cosmos_policy_ros.align import (
    arm_pose,
    ArmStream,
    camera_image,
    implausible,
    JointParts,
    sample_at,
    StreamBuffer,
    tick_grid,
)
from cosmos_policy_ros.robot import read_robot
from hypothesis import given, strategies as st
import numpy as np
import pytest

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
ARM = ROBOT.arms[0]
MS = 1_000_000


def filled(*stamps_ms: int) -> StreamBuffer[int]:
    """Return a stream whose values are its stamps in ms."""
    stream = StreamBuffer[int]('/high/image_raw')
    for stamp in stamps_ms:
        stream.push(stamp * MS, stamp)
    return stream


def joints(**changes: float) -> SimpleNamespace:
    """Return a joint-state message of the left arm with some positions changed."""
    names = [*ARM.joints, 'gripper', 'left_finger', 'right_finger']
    positions = dict.fromkeys(names, 0.0) | {'left_finger': 0.058, 'right_finger': -0.058}
    positions |= changes
    return SimpleNamespace(name=list(positions), position=list(positions.values()))


def image_message(**changes: object) -> SimpleNamespace:
    """Return a 2x3 rgb8 image message with some fields changed."""
    fields = {'encoding': 'rgb8', 'height': 2, 'width': 3, 'step': 9, 'data': bytes(range(18))}
    return SimpleNamespace(**(fields | changes))


def test_newest_message_at_or_before_the_time_counts() -> None:
    """A message after the wanted time is not seen yet."""
    assert filled(10, 20, 30).newest_at(29 * MS, 1.0).value == 20


def test_message_at_the_very_time_counts() -> None:
    """The stamp itself belongs to the past."""
    assert filled(10, 20, 30).newest_at(20 * MS, 1.0).value == 20


def test_too_old_message_is_refused_with_its_age() -> None:
    """The error names the stream, the age and the limit."""
    with pytest.raises(TimeoutError, match='/high/image_raw is 240 ms old, limit 100 ms'):
        filled(10).newest_at(250 * MS, 0.1)


def test_empty_stream_is_named() -> None:
    """A stream nobody publishes is named with what to do."""
    with pytest.raises(TimeoutError, match='/high/image_raw: no message yet; check'):
        filled().newest_at(0, 1.0)


def test_time_before_the_first_message_is_refused() -> None:
    """There is no sample before the first message."""
    with pytest.raises(TimeoutError, match='oldest message came 5 ms after'):
        filled(10).newest_at(5 * MS, 1.0)


def test_late_and_duplicate_messages_are_dropped_and_counted() -> None:
    """Only messages that go forward in time are kept."""
    stream = filled(10, 20, 20, 15, 30)
    assert (len(stream), stream.n_duplicate, stream.n_late) == (3, 1, 1)


def test_capacity_keeps_the_newest() -> None:
    """An old message leaves when the buffer is full."""
    stream = StreamBuffer[int]('a', capacity=2)
    for stamp in (1, 2, 3):
        stream.push(stamp, stamp)
    assert (len(stream), stream.first_ns, stream.last_ns) == (2, 2, 3)


def test_cleared_stream_starts_anew() -> None:
    """After a clear an older stamp is welcome."""
    stream = filled(10)
    stream.clear()
    assert stream.push(5 * MS, 5)


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(0, 1000))
def test_newest_is_the_maximum_of_the_past(stamps: list[int], now: int) -> None:
    """Whatever the order of arrival, never a message from the future and never an older one."""
    stream = StreamBuffer[int]('a')
    kept = [s for s in stamps if stream.push(s, s)]
    past = [s for s in kept if s <= now]
    if past:
        assert stream.newest_at(now, np.inf).value == max(past)
    else:
        with pytest.raises(TimeoutError):
            stream.newest_at(now, np.inf)


def test_sample_takes_every_stream() -> None:
    """Streams of different rates are sampled at one time."""
    sample = sample_at({'a': filled(0, 10), 'b': filled(0, 40)}, 30 * MS, 1.0)
    assert {name: s.value for name, s in sample.items()} == {'a': 10, 'b': 0}


def test_grid_ends_at_the_last_time() -> None:
    """25 Hz between 0 and 100 ms has ticks at 0, 40 and 80 ms."""
    assert tick_grid(0, 100 * MS, 25.0).tolist() == [0, 40 * MS, 80 * MS]


def test_grid_includes_a_tick_on_the_last_time() -> None:
    """Rounding does not lose the last tick."""
    assert tick_grid(7, 7 + 80 * MS, 25.0).tolist() == [7, 7 + 40 * MS, 7 + 80 * MS]


def test_grid_of_an_odd_rate_does_not_drift() -> None:
    """Every tick of 30 Hz is rounded on its own."""
    assert tick_grid(0, 10 * 1000 * MS, 30.0)[300] == 10_000 * MS


def test_grid_without_ticks_is_refused() -> None:
    """An end before the start is a mistake."""
    with pytest.raises(ValueError, match='no ticks from 10 to 5'):
        tick_grid(10, 5, 25.0)


def test_image_of_another_size_names_both_sizes() -> None:
    """The robot file says 320x240."""
    with pytest.raises(ValueError, match=r'sends 3x2 images, the robot file has 320x240'):
        camera_image(ROBOT.cameras[0], image_message())


def test_pose_is_found_by_name_with_the_gripper_in_its_own_range() -> None:
    """A half-open finger is 0.5."""
    pose = arm_pose(ARM, joints(elbow=0.7, left_finger=(0.01844 + 0.058) / 2))
    np.testing.assert_allclose(pose, [0, 0, 0.7, 0, 0, 0, 0.5], atol=1e-6)


def test_missing_joint_is_named() -> None:
    """An arm with other joints is refused."""
    message = joints()
    message.name[0] = 'base'
    with pytest.raises(
        ValueError, match=r"/follower_left/joint_states lacks the joints \['waist'\]"
    ):
        arm_pose(ARM, message)


def test_joint_that_is_there_twice_is_refused() -> None:
    """Nobody knows which of the two is true."""
    message = joints()
    message.name[1] = message.name[0]
    with pytest.raises(ValueError, match='/follower_left/joint_states has a joint twice'):
        arm_pose(ARM, message)


def test_nan_in_a_joint_state_names_the_joint() -> None:
    """A NaN never becomes proprio."""
    with pytest.raises(ValueError, match=r"NaN or infinite position for \['elbow'\]"):
        arm_pose(ARM, joints(elbow=np.nan))


def test_joint_state_of_unequal_lengths_is_refused() -> None:
    """Names without positions are refused."""
    message = joints()
    del message.position[-1]
    with pytest.raises(ValueError, match='9 names for 8 positions'):
        arm_pose(ARM, message)


def test_failed_bus_read_is_implausible() -> None:
    """All joints at -pi is what the Interbotix driver publishes after a failed read."""
    pose = np.full(7, -np.pi, np.float32)
    assert implausible(ARM, pose, None, 0.0) is not None


def test_fast_but_possible_motion_is_plausible() -> None:
    """3 rad/s between two messages of 100 Hz is within the arm's speed."""
    assert implausible(ARM, np.full(7, 0.03, np.float32), np.zeros(7, np.float32), 0.01) is None


def test_jump_is_dropped_and_named() -> None:
    """A jump no motor can make is left out; the pose before stays the newest."""
    stream = ArmStream(ARM, ARM.joint_state_topic)
    assert stream.push(0, part(**dict.fromkeys(ARM.state_joints, 0.0))) is None
    reason = stream.push(10 * MS, part(**dict.fromkeys(ARM.state_joints, 1.0)))
    assert reason is not None
    assert 'waist jumped +1.00 rad in 10 ms' in reason
    assert len(stream) == 1


def test_stale_pose_says_that_what_came_since_cannot_be_true() -> None:
    """Else one looks for a driver that is silent; what came later than asked for is no reason."""
    stream = ArmStream(ARM, ARM.joint_state_topic)
    stream.push(0, part(**dict.fromkeys(ARM.state_joints, 0.0)))
    for k in range(1, 15):
        stream.push(10 * k * MS, part(**dict.fromkeys(ARM.state_joints, 1.0 + 0.1 * k)))
    with pytest.raises(TimeoutError, match=r'110 ms old, .* cannot be true: .*waist jumped'):
        stream.newest_at(110 * MS, 0.1)
    stream.clear()
    stream.push(0, part(**dict.fromkeys(ARM.state_joints, 0.0)))
    stream.push(200 * MS, part(**dict.fromkeys(ARM.state_joints, 9.0)))
    with pytest.raises(TimeoutError, match=r'limit 100 ms$'):
        stream.newest_at(150 * MS, 0.1)


def test_new_pose_is_believed_after_a_while() -> None:
    """An arm that was moved while nobody listened is not refused for ever."""
    stream = ArmStream(ARM, ARM.joint_state_topic)
    stream.push(0, part(**dict.fromkeys(ARM.state_joints, 0.0)))
    assert stream.push(500 * MS, part(**dict.fromkeys(ARM.state_joints, 1.0))) is None


def part(**positions: float) -> SimpleNamespace:
    """Return a joint-state message of some joints, with a velocity of 1 for each."""
    rows = list(positions.values())
    speeds = [1.0] * len(rows)
    return SimpleNamespace(name=[*positions], position=rows, velocity=speeds, effort=[])


def test_gripper_with_a_driver_of_its_own_is_joined_by_name() -> None:
    """Each part counts with its newest message, and the pose has the stamp of the oldest."""
    stream = ArmStream(ARM, '/joint_states')
    stream.push(0, part(left_finger=0.058))
    for k in range(4):
        stream.push(10 * k * MS, part(**dict.fromkeys(ARM.joints, 0.01 * k)))
    sample = stream.newest_at(30 * MS, 0.1)
    np.testing.assert_allclose(sample.value.pose, [0.03] * 6 + [1.0], atol=1e-6)
    assert sample.stamp_ns == 0
    assert sample.value.joint_state.velocity == [1.0] * 7


def test_each_part_of_an_arm_has_an_age_of_its_own() -> None:
    """A gripper that stopped is stale though its arm goes on."""
    stream = ArmStream(ARM, '/joint_states')
    stream.push(0, part(left_finger=0.058))
    for k in range(13):
        stream.push(10 * k * MS, part(**dict.fromkeys(ARM.joints, 0.0)))
    with pytest.raises(TimeoutError, match=r'/joint_states \(left_finger\) is 120 ms old, limit'):
        stream.newest_at(120 * MS, 0.1)


def test_messages_of_other_arms_on_the_topic_are_no_messages_of_this_one() -> None:
    """Two drivers that publish on one topic, each its own joints."""
    stream = ArmStream(ARM, '/joint_states')
    assert stream.push(0, part(somebody_elses=9.0)) is None
    with pytest.raises(TimeoutError, match='no message yet'):
        stream.newest_at(0, 0.1)
    stream.push(MS, part(left_finger=0.058))
    with pytest.raises(TimeoutError, match=r"lacks the joints \['waist', .*it has \['left_finger"):
        stream.newest_at(MS, 0.1)


def test_parts_of_an_arm_make_a_pose_as_old_as_the_oldest() -> None:
    """The arm at its rate, the gripper at another; nothing is given twice or made up."""
    parts = JointParts(ARM)
    arm, finger = (
        lambda value: SimpleNamespace(name=[*ARM.joints], position=[value] * 6),
        lambda value: SimpleNamespace(name=['left_finger'], position=[value]),
    )
    with pytest.raises(ValueError, match=r"lacks the joints \['left_finger'\]"):
        parts.join(10, arm(0.1))
    assert parts.join(20, finger(0.03)) is not None
    assert parts.join(30, arm(0.2)) is None
    assert parts.join(40, arm(0.3)) is None
    pose = parts.join(50, finger(0.03))
    assert pose is not None
    assert pose.stamp_ns == 40
    assert pose.value[:6].tolist() == pytest.approx([0.3] * 6)
    assert parts.join(60, SimpleNamespace(name=['other'], position=[0.0])) is None


def test_arm_in_one_message_has_its_stamp() -> None:
    """Nothing waits for a second one."""
    whole = SimpleNamespace(name=[*ARM.joints, 'left_finger'], position=[0.1] * 6 + [0.03])
    parts = JointParts(ARM)
    assert [pose.stamp_ns for ns in (5, 6) if (pose := parts.join(ns, whole))] == [5, 6]
