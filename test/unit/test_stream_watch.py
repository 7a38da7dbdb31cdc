# SPDX-License-Identifier: Apache-2.0
"""What the recorder says about streams is what a reader would say about the recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.bags.clocks import check_stamps, Row
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.bags.stream_watch import StreamWatch
from cosmos_policy_ros.data.bags.writer import decode_cdr, typestore
from cosmos_policy_ros.image_decoder import COMPRESSED_IMAGE, IMAGE
from cosmos_policy_ros.stream_judge import StampJudge
from cosmos_policy_ros.types import ConfigError
import numpy as np
from other_recorders import (
    JOINT_STATE,
    joint_state,
    JOINTS,
    jpeg_image,
    raw_image,
    recording,
    Sent,
    START_NS,
    without,
    write_bag_of,
)
import pytest
from rosbags.serde import SerdeError
from samples import ROBOT

NOW_NS = START_NS + 990_000_000  # when the last joint state of a second arrives
HIGH, LEFT = '/high/image_raw', '/follower_left/joint_states'
GREY = np.full((240, 320, 3), 90, np.uint8)


def feed(watch: StreamWatch, sent: Iterable[Sent]) -> str:
    """Hand messages on in the order of arrival, and return the first thing that is said."""
    said = ''
    for row in sent:
        data = bytes(typestore().serialize_cdr(row.message, row.type))
        said = said or watch.see(row.topic, row.type, data, row.arrival_ns)
    return said


def changed(topic: str, make: Callable[[int], Any], kind: str = '') -> list[Sent]:
    """Return a second of all streams, where the messages of one are made otherwise."""
    return [
        row._replace(message=make(row.arrival_ns), type=kind or row.type)
        if row.topic == topic
        else row
        for row in recording(1.0)
    ]


def before_start(sent: Iterable[Sent], actions: bool = True) -> str:
    """Return why no episode can begin behind the messages."""
    watch = StreamWatch(ROBOT)
    assert feed(watch, sent) == ''
    return watch.find_unusable(NOW_NS, 0.5, actions)


def test_streams_as_they_should_be_are_taken() -> None:
    """All of a second, before and while it is recorded."""
    assert before_start(recording(1.0)) == ''
    watch = StreamWatch(ROBOT)
    watch.begin(START_NS)
    assert feed(watch, recording(1.0)) == ''
    assert watch.check(NOW_NS, 0.5, ended=True) == ''
    assert watch.end() == ''


def test_what_a_camera_sends_is_decoded_before_a_start() -> None:
    """Another encoding of colours is fine; depth, another size and a torn JPEG are not."""
    bgra = np.full((240, 320, 4), 90, np.uint8)
    assert before_start(changed(HIGH, lambda ns: raw_image(ns, bgra, 'bgra8'))) == ''
    small = np.full((60, 80, 3), 90, np.uint8)
    wanted = f'{HIGH}: {HIGH} sends 80x60 images, the robot file has 320x240'
    assert before_start(changed(HIGH, lambda ns: raw_image(ns, small))) == wanted
    depth = np.full((240, 640), 90, np.uint8)
    said = before_start(changed(HIGH, lambda ns: raw_image(ns, depth, '16UC1')))
    assert said == f"{HIGH}: image encoding '16UC1' is depth, a colour image is expected"

    def torn(ns: int) -> Any:
        image = jpeg_image(ns, GREY)
        image.data = image.data[:300]
        return image

    assert 'bytes are damaged' in before_start(changed(HIGH, torn, COMPRESSED_IMAGE))


def test_stamps_of_another_clock_refuse_the_start() -> None:
    """Zero, late and ahead, with the difference."""
    said = before_start(changed(HIGH, lambda _ns: raw_image(0, GREY)))
    assert said == f'{HIGH} has no stamps, its headers are 0; synchronise the machines'
    said = before_start(changed(HIGH, lambda ns: raw_image(ns - 3 * 10**9, GREY)))
    assert f'{HIGH} is stamped 3.000 s before its arrival by the median, limit 0.250 s' in said
    names = [*JOINTS, 'left_finger']
    ahead = changed(LEFT, lambda ns: joint_state(ns + 10**9, names, [0.1] * 7))
    assert f'{LEFT} is stamped 1.000 s after its arrival' in before_start(ahead)


def test_missing_joints_refuse_the_start_and_parts_of_an_arm_do_not() -> None:
    """A gripper with a driver of its own comes in other messages of the topic."""
    arm_only = changed(LEFT, lambda ns: joint_state(ns, JOINTS, [0.1] * 6))
    assert before_start(arm_only).startswith(f"{LEFT} lacks the joints ['left_finger']")
    finger = [
        Sent(ns, LEFT, JOINT_STATE, joint_state(ns, ['left_finger'], [0.05]))
        for ns in range(START_NS, NOW_NS, 50_000_000)
    ]
    parts = sorted([*arm_only, *finger], key=lambda row: row.arrival_ns)
    assert before_start(parts) == ''


def test_demonstration_does_not_begin_without_commands() -> None:
    """A rollout may: nothing is sent before the policy acts."""
    silent = without(recording(1.0), '/joint_command')
    said = before_start(silent)
    assert said.startswith('/joint_command has sent nothing yet; limit 0.5 s; without it')
    assert said.endswith('enable motion first, or record with actions:=state-next')
    assert before_start(silent, actions=False) == ''


def test_what_turns_bad_is_said_with_time_and_topic() -> None:
    """The first message that nobody can use, and a joint that is sent no more."""
    watch = StreamWatch(ROBOT)
    watch.begin(START_NS)
    sent = recording(1.0)
    good, bad = sent[: len(sent) // 2], joint_state(NOW_NS, [*JOINTS, 'left_finger'], [np.nan] * 7)
    assert feed(watch, good) == ''
    said = feed(watch, [Sent(NOW_NS, LEFT, JOINT_STATE, bad)])
    assert said.startswith(f'{LEFT} at 0.99 s: {LEFT} has a NaN or infinite position')
    said = watch.check(NOW_NS, 0.3)
    assert said.startswith('at 0.99 s: /follower_left/joint_states is 5')
    assert said.endswith('ms old, limit 300 ms')


def test_gap_that_no_reader_takes_is_told_at_the_end(tmp_path: Path) -> None:
    """Motion was stopped for a moment: the recording is whole, and has to be divided there."""
    watch = StreamWatch(ROBOT)
    watch.begin(START_NS)
    rows = [
        row
        for row in recording(2.0)
        if row.topic != '/joint_command' or not 5 * 10**8 <= row.arrival_ns - START_NS < 9 * 10**8
    ]
    assert feed(watch, rows) == ''
    assert watch.check(rows[-1].arrival_ns, 0.5, ended=True) == ''
    assert watch.end() == (
        '/joint_command had no message for 0.42 s from 0.48 s on, readers take 0.1 s: divide it '
        'there (cosmos-policy episodes split)'
    )
    path = write_bag_of(tmp_path / 'a', rows, {'source': 'demo', 'success': 'true'})
    with pytest.raises(ConfigError, match='/joint_command is 120 ms old, limit 100 ms'):
        read_bag(path, ROBOT, 50.0)


@pytest.mark.parametrize('still', [False, True])
def test_camera_that_stands_still_is_told_at_the_end(still: bool) -> None:
    """Also one that sends JPEG files, of which one a second is decoded."""
    rng = np.random.default_rng(0)

    def jpeg(ns: int) -> Any:
        pixels = GREY if still else rng.integers(0, 255, GREY.shape, np.uint8)
        return jpeg_image(ns, pixels)

    watch = StreamWatch(ROBOT)
    watch.begin(START_NS)
    rows = [
        row._replace(message=jpeg(row.arrival_ns), type=COMPRESSED_IMAGE)
        if row.topic == HIGH
        else row
        for row in recording(2.5)
    ]
    assert feed(watch, rows) == ''
    told = f'{HIGH} showed the same image for 2.48 s from 0.00 s on'
    assert watch.end() == (told if still else '')


def test_clock_that_is_a_little_ahead_spoils_nothing() -> None:
    """Synchronised clocks differ by milliseconds; the newest pose is then of after the check."""
    watch = StreamWatch(ROBOT)
    watch.begin(START_NS)
    names = [*JOINTS, 'left_finger']
    ahead = changed(LEFT, lambda ns: joint_state(ns + 20_000_000, names, [0.1] * 7))
    assert feed(watch, ahead) == ''
    assert watch.check(NOW_NS, 0.5) == ''
    assert watch.check(NOW_NS, 0.5, ended=True) == ''


def test_clock_that_is_set_while_recording_is_said_at_once() -> None:
    """Its stamps step; one that was another from the start on is told after 3 s, or at the end."""
    watch = StreamWatch(ROBOT)
    watch.begin(START_NS)
    assert feed(watch, recording(0.5)) == ''
    image = raw_image(START_NS - 10**9, GREY)
    said = feed(watch, [Sent(NOW_NS, HIGH, IMAGE, image)])
    assert said == f'{HIGH} at 0.99 s: its stamps step back by 1.480 s'
    watch.begin(START_NS)
    names = [*JOINTS, 'left_finger']
    late = [
        row._replace(message=joint_state(row.arrival_ns - 10**9, names, [0.1] * 7))
        if row.topic == LEFT
        else row
        for row in without(recording(3.2), *(camera.topic for camera in ROBOT.cameras))
    ]
    begun = [row for row in late if row.arrival_ns < START_NS + 2 * 10**9]
    assert feed(watch, begun) == ''
    assert watch.check(START_NS, 0.5) == ''
    assert watch.check(START_NS, 0.5, ended=True).startswith(f'{LEFT} is stamped 1.000 s before')
    assert feed(watch, late[len(begun) :]) == ''
    assert watch.check(START_NS, 0.5).startswith(f'{LEFT} is stamped 1.000 s before its arrival')


def test_padding_behind_a_message_is_passed_over_and_damage_is_told() -> None:
    """Some serializers leave up to 8 bytes there, cleared or not, and so does a bag of theirs."""
    state = joint_state(START_NS, [*JOINTS, 'left_finger'], [0.1] * 7)
    data = bytes(typestore().serialize_cdr(state, JOINT_STATE))
    for left in (bytes(8), b'\t\x7f\x00\x00\xe8>\xf5\x0f'):
        for n in (0, 3, 4, 8):
            assert decode_cdr(data + left[:n], JOINT_STATE).position.tolist() == [0.1] * 7
    with pytest.raises(SerdeError):
        decode_cdr(data + bytes(12), JOINT_STATE)
    watch = StreamWatch(ROBOT)
    watch.begin(START_NS)
    assert watch.see(LEFT, JOINT_STATE, data + bytes(8), START_NS) == ''
    said = watch.see(LEFT, JOINT_STATE, data[:60], START_NS)
    assert said.startswith(f'{LEFT} at 0.00 s: a message of 60 bytes is damaged')


@pytest.mark.parametrize('late_s', [0.0, 0.09, 0.11, -0.04, -0.06])
def test_recorder_and_reader_judge_a_clock_alike(late_s: float) -> None:
    """By the median: one message that was held back says nothing."""
    rows = [Row(ns, ns - round(late_s * 1e9), None) for ns in range(0, 10**9, 10**7)]
    rows[50] = Row(rows[50].arrival_ns, rows[50].stamp_ns - 5 * 10**7, None)
    judge = StampJudge('/x', 0.1, kept=50)
    assert [step for row in rows if (step := judge.push(row.arrival_ns, row.stamp_ns))] == []
    if late_s in (0.11, -0.06):
        with pytest.raises(ValueError, match='/x is stamped'):
            check_stamps('/x', rows, 0, 0.1)
        assert judge.fault().startswith('/x is stamped')
    else:
        check_stamps('/x', rows, 0, 0.1)
        assert judge.fault() == ''
