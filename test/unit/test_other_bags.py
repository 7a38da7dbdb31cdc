# SPDX-License-Identifier: Apache-2.0
"""Bags of other recorders and of killed ones: what is there is read, what is not is asked for."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
import re
import shutil
import sqlite3
from typing import Any

import av
from cosmos_policy_ros.cli.reading import reading_of, ReadingOptions
from cosmos_policy_ros.data.assemble import Labels
from cosmos_policy_ros.data.bags import reader
from cosmos_policy_ros.data.bags.custom import relabel_bag
from cosmos_policy_ros.data.bags.files import FROM, read_custom, read_topics
from cosmos_policy_ros.data.bags.overview import read_overview
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.data.bags.writer import message_header
from cosmos_policy_ros.data.episode_edits import split
from cosmos_policy_ros.data.episodes import list_episodes, StoredEpisode
from cosmos_policy_ros.data.reading import Reading, Stamps
from cosmos_policy_ros.image_decoder import COMPRESSED_IMAGE, COMPRESSED_VIDEO, IMAGE
from cosmos_policy_ros.types import ConfigError, Episode
from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType, Writer as McapWriter
import numpy as np
from other_recorders import (
    arm_pose,
    brightness,
    JOINT_STATE,
    joint_state,
    JOINTS,
    jpeg_image,
    raw_image,
    recording,
    Sent,
    START_NS,
    STRING,
    T,
    without,
    write_bag_of,
)
import pytest
from samples import assert_same_episode, ROBOT
from test_image_decoder import video_packets

DEMO = {'source': 'demo', 'success': 'true'}
SAID = Labels(task='fold the towel', source='demo', success=True)
HIGH = '/high/image_raw'


def read(path: Path, **said: Any) -> Episode:
    """Read a bag at 50 Hz, with what a person says."""
    return read_bag(path, ROBOT, 50.0, reading=Reading(**said))


def images_as(sent: list[Sent], kind: str, make: Any, suffix: str = '') -> list[Sent]:
    """Return the messages with images of another type, on topics with a suffix."""
    rows = []
    for row in sent:
        if row.type == IMAGE:
            at_s = (row.arrival_ns - START_NS) * 1e-9
            made = make(row.arrival_ns, at_s)
            rows.append(Sent(row.arrival_ns, row.topic + suffix, kind, made))
        else:
            rows.append(row)
    return rows


# Plain bags


@pytest.mark.parametrize('sqlite', [False, True])
def test_plain_bag_is_completed_by_what_a_person_says(tmp_path: Path, sqlite: bool) -> None:
    """No custom data, no /task: the labels are those of the options."""
    path = write_bag_of(tmp_path / 'a', without(recording(), '/task'), sqlite=sqlite)
    episode = read(path, labels=SAID)
    assert (episode.task, episode.source, episode.success) == ('fold the towel', 'demo', True)
    assert len(episode.actions) == 100
    np.testing.assert_allclose(episode.actions[50], [*arm_pose(1.0), 1.0] * 2, atol=1e-6)


@pytest.mark.parametrize(
    ('left_out', 'labels', 'message'),
    [
        ('/task', Labels(source='demo'), 'no topic /task; .*an instruction: --task'),
        ('', Labels(), 'nobody said whether it is a demo or a rollout; give it with --source'),
        ('/joint_command', SAID, '--actions leader or --actions state-next'),
        (HIGH, SAID, f'no topic {HIGH}; .*of other names: --map TOPIC=STREAM'),
    ],
)
def test_line_names_the_option_that_is_missing(
    tmp_path: Path, left_out: str, labels: Labels, message: str
) -> None:
    """Nothing says that the recording is to be made again, or thrown away."""
    path = write_bag_of(tmp_path / 'a', without(recording(), left_out))
    with pytest.raises(ConfigError, match=message) as caught:
        read(path, labels=labels)
    assert 'remove' not in str(caught.value)


def test_labels_of_the_bag_come_first(tmp_path: Path) -> None:
    """A person completes, and does not overrule."""
    path = write_bag_of(tmp_path / 'a', recording(), {'source': 'rollout', 'success': 'false'})
    episode = read(path, labels=SAID)
    assert (episode.source, episode.success) == ('rollout', False)


def test_actions_of_leader_arms(tmp_path: Path) -> None:
    """Leaders half open, 0.2 rad ahead of the followers."""
    rows = without(recording(), '/joint_command')
    for row in [row for row in rows if row.topic == '/follower_left/joint_states']:
        at_s = (row.arrival_ns - START_NS) * 1e-9
        waist, *others = arm_pose(at_s)
        for arm in ROBOT.arms:
            assert arm.leader is not None
            message = joint_state(
                row.arrival_ns, [*JOINTS, 'gripper'], [waist + 0.2, *others, 0.5]
            )
            rows.append(Sent(row.arrival_ns, arm.leader.joint_state_topic, JOINT_STATE, message))
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    episode = read(path, actions='leader')
    np.testing.assert_allclose(episode.actions[:, 0] - episode.proprio[:, 0], 0.2, atol=1e-6)
    np.testing.assert_allclose(episode.actions[:, 6], 0.5, atol=1e-6)


def test_actions_of_the_next_row(tmp_path: Path) -> None:
    """The last row has no next one and is left out."""
    path = write_bag_of(tmp_path / 'a', without(recording(), '/joint_command'), DEMO)
    episode = read(path, actions='state-next')
    np.testing.assert_allclose(episode.actions[:, 0], 0.1 * (np.arange(1, 100) / 50), atol=1e-6)
    np.testing.assert_allclose(episode.proprio[:, 0], 0.1 * (np.arange(99) / 50), atol=1e-6)


def test_actions_of_the_next_row_need_one(tmp_path: Path) -> None:
    """An episode of one row has none."""
    rows = [r for r in without(recording(), '/joint_command') if r.arrival_ns < START_NS + 10**7]
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    with pytest.raises(ConfigError, match='it has one row, whose action would be the next'):
        read(path, actions='state-next')


def test_commands_of_the_controllers_are_actions_too(tmp_path: Path) -> None:
    """Another stack has no /joint_command, and its controllers get metres for the gripper."""
    rows = []
    for row in recording():
        if row.topic != '/joint_command':
            rows.append(row)
            continue
        numbers = np.array([*row.message.position[:6], 0.058])
        layout = T['std_msgs/msg/MultiArrayLayout']([], 0)
        message = T['std_msgs/msg/Float64MultiArray'](layout, numbers)
        kind = 'std_msgs/msg/Float64MultiArray'
        rows += [Sent(row.arrival_ns, arm.command_topic, kind, message) for arm in ROBOT.arms]
    episode = read(write_bag_of(tmp_path / 'a', rows, DEMO))
    np.testing.assert_allclose(episode.actions[50], [*arm_pose(1.0), 1.0] * 2, atol=1e-6)


def test_command_topic_of_another_type_is_told(tmp_path: Path) -> None:
    """With both types and what to give."""
    rows = without(recording(), '/joint_command')
    layout = T['std_msgs/msg/MultiArrayLayout']([], 0)
    message = T['std_msgs/msg/Float64MultiArray'](layout, np.zeros(14))
    rows.append(Sent(START_NS, '/joint_command', 'std_msgs/msg/Float64MultiArray', message))
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    told = '/joint_command is of type std_msgs/msg/Float64MultiArray, expected .*--actions leader'
    with pytest.raises(ConfigError, match=told):
        read(path)


def test_topics_of_other_names_are_mapped(tmp_path: Path) -> None:
    """By camera, arm or topic of the robot file."""
    names = {HIGH: '/cam0', '/follower_left/joint_states': '/l/js', '/joint_command': '/cmd'}
    rows = [row._replace(topic=names.get(row.topic, row.topic)) for row in recording()]
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    options = ReadingOptions(map=('/cam0=high', '/l/js=follower_left', '/cmd=/joint_command'))
    episode = read_bag(path, ROBOT, 50.0, reading=reading_of(options, ROBOT))
    assert len(episode.actions) == 100


def test_unknown_stream_of_a_map_is_refused_with_those_there_are() -> None:
    """The line lists cameras, arms and topics."""
    with pytest.raises(
        ConfigError, match=r'--map /a=top: expected TOPIC=STREAM, .* high, left_wr'
    ):
        reading_of(ReadingOptions(map=('/a=top',)), ROBOT)


def test_stream_that_two_topics_are_mapped_to_is_refused() -> None:
    """By its name and by its topic in the robot file."""
    with pytest.raises(ConfigError, match=rf'--map /b={HIGH}: {HIGH} is /a already; give it one'):
        reading_of(ReadingOptions(map=('/a=high', f'/b={HIGH}')), ROBOT)


# Images


@pytest.mark.parametrize('suffix', ['', '/compressed'])
def test_compressed_images_are_read(tmp_path: Path, suffix: str) -> None:
    """Under the topic of the robot file, or under what image_transport makes of it."""
    rows = images_as(
        recording(), COMPRESSED_IMAGE, lambda ns, at_s: jpeg_image(ns, brightness(at_s)), suffix
    )
    episode = read(write_bag_of(tmp_path / 'a', rows, DEMO))
    left, right = episode.images['high'][12][120, 40], episode.images['high'][12][120, 280]
    np.testing.assert_allclose(left, [255, 48, 48], atol=4)
    np.testing.assert_allclose(right, [48, 48, 48], atol=4)
    assert episode.image_index['high'].tolist()[:9] == [0] * 4 + [1] * 4 + [2]
    overview = read_overview(tmp_path / 'a', ROBOT)
    assert overview.images[HIGH][0][1].shape == (240, 320, 3)


@pytest.mark.parametrize(('colours', 'left'), [('rgb', [255, 50, 50]), ('bgr', [50, 50, 255])])
def test_encoding_without_an_order_of_colours_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, colours: str, left: list[int]
) -> None:
    """The robot file says the order, live as in a bag; one line says which was taken."""
    rows = images_as(recording(), IMAGE, lambda ns, at_s: raw_image(ns, brightness(at_s), '8UC3'))
    cameras = tuple(replace(camera, colours=colours) for camera in ROBOT.cameras)
    bag = write_bag_of(tmp_path / 'a', rows, DEMO)
    episode = read_bag(bag, replace(ROBOT, cameras=cameras), 50.0)
    at_1_s = episode.images['high'][12]
    np.testing.assert_allclose(at_1_s[120, 40], left, atol=4)
    other = 'bgr' if colours == 'rgb' else 'rgb'
    assert f'{HIGH} sends 8UC3, which names no order of colours' in caplog.text
    assert f'give the camera colours: {other} in the robot file' in caplog.text


def test_report_follows_names_and_times_that_a_person_gives(tmp_path: Path) -> None:
    """A camera of another name and joints without stamps are shown as convert reads them."""
    left = ROBOT.arms[0].joint_state_topic
    rows = [
        row._replace(topic='/cam0') if row.topic == HIGH else row
        for row in recording(stamp=lambda topic, ns: 0 if topic == left else ns)
    ]
    bag = write_bag_of(tmp_path / 'a', rows, DEMO)
    assert (
        'follower_left' not in read_overview(bag, ROBOT).measured
        or len(read_overview(bag, ROBOT).measured['follower_left'].time_s) < 2
    )
    reading = Reading(topics={HIGH: '/cam0'}, stamps='arrival')
    overview = read_overview(bag, ROBOT, 2, reading)
    assert len(overview.images[HIGH]) == 2
    assert len(overview.topics[HIGH].time_s) == 25
    assert len(overview.measured['follower_left'].time_s) == 200


def test_video_is_read(tmp_path: Path) -> None:
    """H.264 packets of a CompressedVideo, which has a timestamp and no header."""
    packets = video_packets(25, size=(240, 320))

    def make(ns: int, at_s: float) -> Any:
        data = np.frombuffer(packets[round(at_s * 12.5)], np.uint8)
        stamp = T['builtin_interfaces/msg/Time'](*divmod(ns, 10**9))
        return T[COMPRESSED_VIDEO](stamp, 'high', data, 'h264')

    rows = images_as(recording(), COMPRESSED_VIDEO, make, '/foxglove')
    episode = read(write_bag_of(tmp_path / 'a', rows, DEMO))
    levels = [int(image[120, 160, 0]) for image in episode.images['high']]
    np.testing.assert_allclose(levels, 10 * np.arange(25), atol=3)


def test_images_of_a_long_episode_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the same as those of a short one, which are kept."""
    path = write_bag_of(tmp_path / 'a', recording(), DEMO)
    kept = read(path)
    monkeypatch.setattr(reader, 'KEPT_BYTES', 1e6)
    again = read(path)
    assert not isinstance(again.images['high'], np.ndarray)
    np.testing.assert_array_equal(np.asarray(again.images['high']), kept.images['high'])


def test_depth_is_refused_with_topic_and_time(tmp_path: Path) -> None:
    """The first of them."""

    def make(ns: int, _at_s: float) -> Any:
        return raw_image(ns, np.zeros((240, 320, 2), np.uint8), '16UC1')

    path = write_bag_of(tmp_path / 'a', images_as(recording(), IMAGE, make), DEMO)
    with pytest.raises(ConfigError, match=f"a: {HIGH} at 0.00 s: image encoding '16UC1' is depth"):
        read(path)


def test_topic_of_another_type_is_told(tmp_path: Path) -> None:
    """No traceback, and what was expected."""
    rows = [row for row in recording() if row.topic != HIGH]
    rows.append(Sent(START_NS, HIGH, 'std_msgs/msg/String', T['std_msgs/msg/String']('x')))
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    told = f'{HIGH} is of type std_msgs/msg/String, expected one of sensor_msgs/msg/Image'
    with pytest.raises(ConfigError, match=told):
        read(path)


def test_frozen_camera_is_told_with_time_and_length(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From 0.80 s on the same bytes come for 0.96 s."""

    def make(ns: int, at_s: float) -> Any:
        return raw_image(ns, brightness(0.8 if 0.8 <= at_s <= 1.77 else at_s))

    read(write_bag_of(tmp_path / 'a', images_as(recording(), IMAGE, make), DEMO))
    assert f'{HIGH} shows the same image for 0.96 s from 0.80 s on: frozen' in caplog.text


# Clocks


def behind(topic: str, seconds: float) -> Any:
    """Return stamps of which one topic's are of a clock that is behind."""
    return lambda name, ns: ns - round(seconds * 1e9) * (name == topic)


@pytest.mark.parametrize(
    ('topic', 'seconds', 'told'),
    [
        (HIGH, 5.0, 'is stamped 5.000 s before its arrival by the median, limit 0.250 s'),
        (HIGH, 0.4, 'is stamped 0.400 s before its arrival'),
        (HIGH, -0.2, 'is stamped 0.200 s after its arrival by the median, limit 0.050 s'),
        ('/follower_right/joint_states', 0.3, 'is stamped 0.300 s before its arrival'),
        ('/joint_command', -3600.0, 'is stamped 3600.000 s after its arrival'),
    ],
)
def test_stamps_of_another_clock_are_refused(
    tmp_path: Path, topic: str, seconds: float, told: str
) -> None:
    """With the stream, the difference and the option that decides."""
    path = write_bag_of(tmp_path / 'a', recording(stamp=behind(topic, seconds)), DEMO)
    with pytest.raises(ConfigError, match=f'{topic} {told}.*--stamps arrival'):
        read(path)
    episode = read(path, stamps='arrival')
    assert episode.images['high'][12][120, 280, 0] == 48
    assert episode.image_index['high'].tolist()[48:52] == [12] * 4
    np.testing.assert_allclose(episode.proprio[50, 0], 0.1, atol=1e-6)


def test_stamps_of_zero_are_refused(tmp_path: Path) -> None:
    """A driver that fills in none."""
    zero = recording(stamp=lambda topic, ns: 0 if topic == HIGH else ns)
    path = write_bag_of(tmp_path / 'a', zero, DEMO)
    with pytest.raises(ConfigError, match=f'{HIGH} has no stamps, its headers are 0; --stamps'):
        read(path)


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        (lambda ns: ns - (10**9 if ns > START_NS + 1.5e9 else 0), 'step back by 0.920 s'),
        (lambda ns: ns + (10**10 if ns > START_NS + 1.5e9 else 0), 'step ahead by 10.080 s'),
    ],
)
def test_stamps_that_step_are_refused_with_their_time(
    tmp_path: Path, change: Any, told: str
) -> None:
    """A counter that wraps, or a clock that was set."""
    rows = recording(stamp=lambda topic, ns: change(ns) if topic == HIGH else ns)
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    with pytest.raises(ConfigError, match=f'{HIGH} at 1.52 s: its stamps {told}'):
        read(path)


def test_one_other_clock_for_all_is_trusted_where_a_person_says_so(tmp_path: Path) -> None:
    """The stamps of a simulation, whose flags have no header and come with it."""
    rows = recording(stamp=lambda _topic, ns: ns - START_NS + 10**9)
    flag = T['std_msgs/msg/Bool']
    rows += [
        Sent(START_NS + k * 10**7, '/demonstration/expert', 'std_msgs/msg/Bool', flag(k < 100))
        for k in range(200)
    ]
    episode = read(write_bag_of(tmp_path / 'a', rows, DEMO), stamps='header')
    assert episode.stamps_ns[0] == START_NS  # on the clock of the bag
    assert episode.expert.tolist() == [True] * 50 + [False] * 50


def test_clock_of_a_slow_simulation_is_trusted_and_several_clocks_are_not(tmp_path: Path) -> None:
    """At half the speed of the arrivals; a camera whose clock is two seconds behind is refused."""

    def simulated(topic: str, ns: int) -> int:
        late_ns = 2 * 10**9 if topic == HIGH and camera_is_behind else 0
        return 10**10 + (ns - START_NS) // 2 - late_ns

    camera_is_behind = False
    slow = read(write_bag_of(tmp_path / 'a', recording(stamp=simulated), DEMO), stamps='header')
    assert 45 <= len(slow.actions) <= 50  # of two seconds of arrivals
    camera_is_behind = True
    path = write_bag_of(tmp_path / 'b', recording(stamp=simulated), DEMO)
    told = (
        f'{HIGH} is stamped 2.000 s before /follower_.*/joint_states by the median: their clocks'
    )
    with pytest.raises(ConfigError, match=told):
        read(path, stamps='header')


@pytest.mark.parametrize(
    ('topic', 'taken_s', 'refused_s'),
    [(HIGH, 0.24, 0.26), ('/follower_right/joint_states', 0.09, 0.11), (HIGH, -0.2, -1.0)],
)
def test_clocks_of_one_bag_may_differ_by_the_limit_of_a_stream(
    tmp_path: Path, topic: str, taken_s: float, refused_s: float
) -> None:
    """Where a person trusts the headers; one that is ahead as well as one that is behind."""
    rows = recording(stamp=behind(topic, taken_s))
    assert read(write_bag_of(tmp_path / 'a', rows, DEMO), stamps='header').actions.any()
    rows = recording(stamp=behind(topic, refused_s))
    told = f'(?=.*{topic} ).* is stamped {abs(refused_s):.3f} s .* by the median: their clocks'
    with pytest.raises(ConfigError, match=told):
        read(write_bag_of(tmp_path / 'b', rows, DEMO), stamps='header')


def set_back() -> list[Sent]:
    """Return what is sent while all clocks are set back by 0.4 s after 2 of 4 s."""

    def shown(ns: int) -> int:
        return ns - 400_000_000 * (ns >= START_NS + 2 * 10**9)

    rows = recording(4.0, stamp=lambda _topic, ns: shown(ns))
    return [row._replace(arrival_ns=shown(row.arrival_ns)) for row in rows]


@pytest.mark.parametrize('kind', ['MCAP', 'SQLite', 'no index'])
@pytest.mark.parametrize('stamps', [None, 'header', 'arrival'])
def test_clock_that_was_set_back_is_refused_with_the_times_that_are_mixed(
    tmp_path: Path, kind: str, stamps: Stamps | None
) -> None:
    """Joints and images of both would stand side by side; the parts beside them are read."""
    path = write_bag_of(tmp_path / 'a', set_back(), DEMO, kind == 'SQLite', as_sent=True)
    if kind == 'no index':
        (file,) = path.glob('*.mcap')
        copy_mcap(file, tmp_path / 'b.mcap', 'ros2', fast=True).replace(file)
    told = r'set back by about 0.39 s .* from 1.60 to 2.00 s; .* split --at 1.60 2.25 divides it'
    with pytest.raises(ConfigError, match=told):
        read(path, stamps=stamps)
    first, _, last = split(StoredEpisode('bag', path), (1.6, 2.25))
    before, behind_it = read(first, stamps=stamps), read(last, stamps=stamps)
    n, m = len(before.actions), len(behind_it.actions)
    assert min(n, m) > 60
    np.testing.assert_allclose(before.proprio[:, 0], 0.1 * np.arange(n) / 50, atol=1e-6)
    np.testing.assert_allclose(
        behind_it.proprio[1:, 0], 0.1 * (2.65 + np.arange(1, m) / 50), atol=1e-6
    )


def test_commands_without_a_header_beside_a_slow_simulation_are_refused(tmp_path: Path) -> None:
    """Their arrivals are times of another clock, more so from second to second."""
    rows = without(
        recording(stamp=lambda _topic, ns: 10**10 + (ns - START_NS) // 2), '/joint_command'
    )
    numbers = T['std_msgs/msg/Float64MultiArray']
    layout = T['std_msgs/msg/MultiArrayLayout']([], 0)
    for arm in ROBOT.arms:
        for output in arm.outputs:
            rows += [
                Sent(
                    START_NS + k * 2 * 10**7,
                    output.topic,
                    'std_msgs/msg/Float64MultiArray',
                    numbers(layout, np.full(len(output.joints), 0.03)),
                )
                for k in range(100)
            ]
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    told = r'has no headers, and those of the others run 0\.\d+ s apart from the arrivals'
    with pytest.raises(ConfigError, match=told):
        read(path, stamps='header')


@pytest.mark.parametrize('stamps', [None, 'header', 'arrival'])
def test_what_is_left_out_at_an_end_is_told_with_the_stream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stamps: Stamps | None
) -> None:
    """A camera that begins late, and joint states that end early."""
    rows = [
        row
        for row in recording(4.0)
        if not (row.topic == HIGH and row.arrival_ns < START_NS + 10**9)
        and not (row.topic == '/joint_command' and row.arrival_ns > START_NS + 3 * 10**9)
    ]
    episode = read(write_bag_of(tmp_path / 'a', rows, DEMO), stamps=stamps)
    assert len(episode.actions) == 99
    assert f'1.04 s at the start are left out: {HIGH} begins there' in caplog.text
    assert '0.99 s at the end are left out: /joint_command ends there' in caplog.text


def test_gap_in_a_stream_is_refused_with_its_time(tmp_path: Path) -> None:
    """Time from the start, topic, age and limit."""
    gap = range(START_NS + 10**9, START_NS + int(1.3e9))
    rows = [r for r in recording() if not (r.topic == HIGH and r.arrival_ns in gap)]
    with pytest.raises(ConfigError, match=f'a: at 1.22 s: {HIGH} is 260 ms old, limit 250 ms'):
        read(write_bag_of(tmp_path / 'a', rows, DEMO))


# Killed recorders


def test_bag_without_metadata_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line says what is missing and what makes it anew."""
    path = write_bag_of(tmp_path / 'a', recording())
    (path / 'metadata.yaml').unlink()
    (stored,) = list_episodes(tmp_path)
    assert len(read(stored.path, labels=SAID).actions) == 100
    assert 'metadata.yaml is missing' in caplog.text
    assert 'ros2 bag reindex' in caplog.text


@pytest.mark.parametrize('sqlite', [False, True])
def test_bare_storage_file_is_read(tmp_path: Path, sqlite: bool) -> None:
    """Out of its folder, under its own name."""
    folder = write_bag_of(tmp_path / 'a', recording(), sqlite=sqlite)
    (file,) = folder.glob('a.*')
    bare = file.rename(tmp_path / file.name)
    (stored,) = list_episodes(bare)
    assert len(read(stored.path, labels=SAID).actions) == 100


def test_torn_bag_is_read_up_to_where_it_is_whole_and_its_outcome_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether what is left is a success nobody has judged."""
    path = write_bag_of(tmp_path / 'a', recording(4.0), DEMO)
    (file,) = path.glob('*.mcap')
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 7 // 10])
    episode = read(path)
    assert 90 < len(episode.actions) < 170
    assert episode.success is None
    assert 'torn, as after a recorder that was killed; its first' in caplog.text


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('storage_identifier: mcap', "storage_identifier: ''"),
        ('offered_qos_profiles: []', "offered_qos_profiles: '- history: 3'"),
        ('rosbag2_bagfile_information', 'something_else'),
        ('version: 9', 'version: [9'),
    ],
)
def test_edited_metadata_is_no_matter(tmp_path: Path, old: str, new: str) -> None:
    """The storage file says everything that matters."""
    path = write_bag_of(tmp_path / 'a', recording())
    file = path / 'metadata.yaml'
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    assert len(read(path, labels=SAID).actions) == 100


def test_stray_folders_beside_bags_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line names them."""
    write_bag_of(tmp_path / 'a', recording(0.2), DEMO)
    (tmp_path / 'logs').mkdir()
    (tmp_path / 'plots').mkdir()
    assert [stored.name for stored in list_episodes(tmp_path)] == ['a']
    assert 'passed over, since no episode is in them: logs, plots' in caplog.text


# Joint states in parts


def test_joint_states_in_parts_are_joined_by_name(tmp_path: Path) -> None:
    """One topic for two arm drivers at 100 Hz and two gripper drivers at 25 Hz."""
    rows = []
    for row in recording():
        if row.topic == '/joint_command':
            row.message.name[:] = shared_topic_robot().joint_names
        if not row.topic.endswith('joint_states'):
            rows.append(row)
            continue
        side = 'l' if 'left' in row.topic else 'r'
        names = [f'{side}_{name}' for name in JOINTS]
        parts = [joint_state(row.arrival_ns, names, row.message.position[:6])]
        if (row.arrival_ns - START_NS) % 40_000_000 == 0:
            parts.append(joint_state(row.arrival_ns, [f'{side}_finger'], [0.058]))
        rows += [Sent(row.arrival_ns, '/joint_states', JOINT_STATE, part) for part in parts]
    robot = shared_topic_robot()
    episode = read_bag(write_bag_of(tmp_path / 'a', rows, DEMO), robot, 50.0)
    np.testing.assert_allclose(episode.proprio[50], [*arm_pose(1.0), 1.0] * 2, atol=1e-6)


def test_arm_whose_first_message_on_a_shared_topic_is_later_moves_the_first_tick(
    tmp_path: Path,
) -> None:
    """Each arm has a driver that sends its joints alone."""
    rows = []
    for row in recording():
        if row.topic == '/joint_command':
            row.message.name[:] = shared_topic_robot().joint_names
        if row.topic.endswith('joint_states'):
            side = 'l' if 'left' in row.topic else 'r'
            row.message.name[:] = [*(f'{side}_{name}' for name in JOINTS), f'{side}_finger']
            row = row._replace(topic='/joint_states')  # noqa: PLW2901
            if side == 'l' and row.arrival_ns < START_NS + 10**8:
                continue
        rows.append(row)
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    episode = read_bag(path, shared_topic_robot(), 50.0)
    assert episode.stamps_ns[0] == START_NS + 10**8


def shared_topic_robot() -> Any:
    """Return the robot with one joint-state topic and joints of other names."""
    arms = []
    for arm, side in zip(ROBOT.arms, 'lr', strict=True):
        assert arm.gripper is not None
        gripper = replace(arm.gripper, state_joint=f'{side}_finger')
        joints = tuple(f'{side}_{name}' for name in arm.joints)
        arms.append(
            replace(arm, joint_state_topic='/joint_states', joints=joints, gripper=gripper)
        )
    return replace(ROBOT, arms=tuple(arms))


@pytest.mark.parametrize('stamps', [None, 'arrival'])
def test_files_of_a_bag_are_read_in_the_order_of_their_numbers(
    tmp_path: Path, stamps: Stamps | None
) -> None:
    """The 3 of ``.db3`` is none; out of order, what comes late would be dropped."""
    (tmp_path / 'a').mkdir()
    for number in range(4):
        begin_ns = START_NS + number * 5 * 10**8
        rows = [r for r in recording() if begin_ns <= r.arrival_ns < begin_ns + 5 * 10**8]
        part = write_bag_of(tmp_path / 'part' / str(number), rows, sqlite=True)
        (part / f'{number}.db3').rename(tmp_path / 'a' / f'a_{number}.db3')
    episode = read(tmp_path / 'a', labels=SAID, stamps=stamps)
    assert len(episode.actions) == 100
    np.testing.assert_allclose(episode.actions[:, 0], 0.002 * np.arange(100), atol=1e-6)


def test_task_that_is_sent_while_recording_is_for_the_episodes_to_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The recorder has kept the one that was done; the next may be sent before the stop."""
    rows = recording()
    rows.append(Sent(rows[-1].arrival_ns, '/task', STRING, T[STRING]('stack the cups')))
    path = write_bag_of(tmp_path / 'a', rows, DEMO | {'task': 'fold the towel'})
    assert read(path).task == 'fold the towel'
    assert "its task is 'fold the towel'; 'stack the cups' was sent while it was" in caplog.text


def test_empty_task_is_none(tmp_path: Path) -> None:
    """It ends the queries of a policy, and is nothing that could be learned."""
    rows = recording()
    rows.append(Sent(rows[-1].arrival_ns, '/task', STRING, T[STRING]('')))
    assert read(write_bag_of(tmp_path / 'a', rows, DEMO)).task == 'fold the towel'
    rows = without(recording(), '/task') + rows[-1:]
    path = write_bag_of(tmp_path / 'b', rows, DEMO)
    assert read(path, labels=SAID).task == 'fold the towel'
    with pytest.raises(ConfigError, match='its task is empty; give it with --task'):
        read(path)


def test_part_that_begins_in_a_gap_is_read_from_where_the_stream_comes_back(
    tmp_path: Path,
) -> None:
    """Commands stop at 2 s and go on at 4 s: an episode that is divided there is two."""
    rows = [
        row
        for row in recording(5.0)
        if row.topic != '/joint_command' or not 2 * 10**9 <= row.arrival_ns - START_NS < 4 * 10**9
    ]
    episode = read(write_bag_of(tmp_path / 'a', rows, DEMO | {FROM: '3.0'}))
    assert episode.stamps_ns[0] == START_NS + 4 * 10**9
    assert len(episode.actions) == 50


# MCAP files of other programs


def copy_mcap(
    file: Path, out: Path, profile: str, encoding: str = 'cdr', fast: bool = False, **how: Any
) -> Path:
    """Copy an MCAP file as another program writes it, or fast: without an index, as they come."""
    with file.open('rb') as source, out.open('wb') as target:
        writer = McapWriter(target, **how)
        if fast:
            writer = McapWriter(target, index_types=IndexType.NONE, use_chunking=False)
        writer.start(profile=profile, library='another program')
        channels: dict[str, int] = {}
        messages = [*make_reader(source).iter_messages(log_time_order=False)]
        if fast:  # what arrives on two topics at a time is written in any order
            messages = [
                m for pair in zip(messages[1::2], messages[::2], strict=False) for m in pair
            ]
        for schema, channel, message in messages:
            if channel.topic not in channels:
                assert schema is not None
                number = writer.register_schema(schema.name, schema.encoding, schema.data)
                made = writer.register_channel(channel.topic, encoding, number)
                channels[channel.topic] = made
            writer.add_message(
                channels[channel.topic], message.log_time, message.data, message.publish_time
            )
        writer.finish()
    return out


def test_mcap_of_another_program_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its header names no ROS 2, and its messages are those of ROS 2."""
    (file,) = write_bag_of(tmp_path / 'a', recording()).glob('*.mcap')
    copy = copy_mcap(file, tmp_path / 'b.mcap', '')
    episode = read(copy, labels=SAID)
    assert len(episode.actions) == 100
    assert episode.success is True
    assert 'torn' not in caplog.text


def test_mcap_without_an_index_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As ``ros2 bag record --storage-preset-profile fastwrite`` leaves it."""
    (file,) = write_bag_of(tmp_path / 'a', recording()).glob('*.mcap')
    copy = copy_mcap(file, tmp_path / 'b.mcap', 'ros2', fast=True)
    assert len(read(copy, labels=SAID).actions) == 100
    assert 'torn' not in caplog.text


def test_damage_inside_a_file_that_ends_well_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that has lost a block in the middle of it."""
    (file,) = write_bag_of(tmp_path / 'a', recording()).glob('*.mcap')
    copy = copy_mcap(file, tmp_path / 'b.mcap', '')
    data = bytearray(copy.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(4096)
    copy.write_bytes(data)
    read(copy, labels=replace(SAID, success=None))
    assert 'torn, as after a recorder that was killed' in caplog.text


def damage(file: Path, out: Path, at: float, index: bool = True) -> Path:
    """Copy a recording, a chunk to an image; a part of one is lost, and perhaps the index."""
    copy = copy_mcap(file, out, 'ros2', chunk_size=100_000, compression=CompressionType.NONE)
    data = bytearray(copy.read_bytes())
    place = int(at * len(data))
    data[place : place + 64] = b'lost' * 16
    copy.write_bytes(data if index else data[: -len(data) // 50])
    return copy


@pytest.mark.parametrize('index', [True, False])
def test_damaged_chunk_is_left_out_and_told_with_its_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, index: bool
) -> None:
    """What is behind it is read, with an index or without."""
    (file,) = write_bag_of(tmp_path / 'a', recording()).glob('*.mcap')
    copy = damage(file, tmp_path / 'b.mcap', 0.5, index)
    episode = read(copy, labels=SAID)
    assert len(episode.actions) >= 95
    assert sum(len(images) for images in episode.images.values()) >= 3 * 25 - 1 - 3 * (not index)
    told = rf'{copy}: damaged on the disk; left out what it held from (\d\.\d\d) to (\d\.\d\d) s'
    ((since, until),) = re.findall(told, caplog.text)
    assert 0.9 < float(since) <= float(until) < 1.1
    assert ('torn' in caplog.text) is not index


@pytest.mark.parametrize('index', [True, False])
def test_topics_that_a_damaged_chunk_names_are_those_of_the_index(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, index: bool
) -> None:
    """Where there is none, nobody can tell, and one line says how much that is."""
    (file,) = write_bag_of(tmp_path / 'a', recording()).glob('*.mcap')
    copy = damage(file, tmp_path / 'b.mcap', 0.004, index)
    if index:
        assert len(read_topics(copy, [HIGH])[HIGH]) >= 24
        assert len(read(copy, labels=SAID).actions) >= 90
        assert 'whose topics were named' not in caplog.text
        return
    with pytest.raises(ConfigError, match='no topic'):
        read(copy, labels=SAID)
    assert re.search(r'left out \d+ messages whose topics were named in what is lo', caplog.text)


def test_messages_that_are_serialized_otherwise_are_named(tmp_path: Path) -> None:
    """As Foxglove's own tools write them."""
    (file,) = write_bag_of(tmp_path / 'a', recording()).glob('*.mcap')
    copy = copy_mcap(file, tmp_path / 'b.mcap', '', 'protobuf')
    told = rf'{HIGH} is of type sensor_msgs/msg/Image \(protobuf\), expected one of sensor_msgs'
    with pytest.raises(ConfigError, match=told):
        read(copy, labels=SAID)


# What is odd


def test_two_cameras_on_one_topic_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By a rate that is twice that of the robot file."""
    read(write_bag_of(tmp_path / 'a', recording(), DEMO))
    assert 'images a second' not in caplog.text
    twice = [
        Sent(row.arrival_ns + 2 * 10**7, row.topic, row.type, raw_image(
            row.arrival_ns + 2 * 10**7, brightness(3.0)
        ))
        for row in recording()
        if row.topic == HIGH
    ]  # fmt: skip
    (tmp_path / 'other').mkdir()
    read(write_bag_of(tmp_path / 'other' / 'a', [*recording(), *twice], DEMO))
    told = f'{HIGH} has 25 images a second, the robot file says 12.5: another rate, or two cameras'
    assert told in caplog.text
    assert caplog.text.count('images a second') == 1


# What a person says and a bag says otherwise


def test_option_that_changes_nothing_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Colours are those of the encoding, and the instruction is the one that was sent."""
    path = write_bag_of(tmp_path / 'a', recording(), DEMO)
    episode = read(path, images='bgr', units='degrees', labels=Labels(task='fold the shirt'))
    assert episode.task == 'fold the towel'
    assert '--images bgr is not taken: the colours of bags are those of their enc' in caplog.text
    assert '--units degrees is not taken: joints of messages are in radians' in caplog.text
    assert '--task fold the shirt is not taken: it says fold the towel itself' in caplog.text


def test_source_of_another_meaning_in_a_bag_is_asked_for(tmp_path: Path) -> None:
    """Others keep the name of a device there."""
    path = write_bag_of(tmp_path / 'a', recording(), {'source': 'quest 3'})
    assert read(path, labels=SAID).source == 'demo'
    with pytest.raises(ConfigError, match='nobody said whether it is a demo or a rollout; give'):
        read(path)


def test_log_beside_a_sqlite_file_is_read_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a killed recorder of the resilient profile wrote last is there alone."""
    path = write_bag_of(tmp_path / 'a', recording(), DEMO, sqlite=True)
    (file,) = path.glob('*.db3')
    whole = file.rename(tmp_path / 'whole.db3')
    with closing(sqlite3.connect(whole)) as base:
        base.execute('PRAGMA journal_mode=WAL')
        base.execute('PRAGMA wal_autocheckpoint=0')
        late = list(base.execute('SELECT * FROM messages ORDER BY timestamp'))[300:]
        base.execute('DELETE FROM messages WHERE timestamp >= ?', (late[0][2],))
        base.commit()
        base.execute('PRAGMA wal_checkpoint(TRUNCATE)')
        holes = ', '.join('?' * len(late[0]))
        base.executemany(f'INSERT OR IGNORE INTO messages VALUES ({holes})', late)
        base.commit()
        for ending in ('', '-wal'):  # as they are while the recorder has them open
            shutil.copy(f'{whole}{ending}', f'{file}{ending}')
    before = [file.read_bytes(), Path(f'{file}-wal').read_bytes()]
    episode = read(path)
    assert len(episode.actions) == 100
    assert episode.success is None
    assert 'torn, as after a recorder that was killed; its first 2.0 s are read' in caplog.text
    assert [file.read_bytes(), Path(f'{file}-wal').read_bytes()] == before


def test_gripper_in_another_unit_is_refused_in_a_bag_too(tmp_path: Path) -> None:
    """By the name of the bag, before anything is written; --units is not for bags."""
    rows = recording()
    for row in rows:
        if row.topic == '/joint_command':
            row.message.position[:7] = 100.0
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    told = r'a: actions: follower_left/gripper is 100 in row 0, .* are expected$'
    with pytest.raises(ConfigError, match=told):
        read(path)


def test_joints_of_other_names_are_told(tmp_path: Path) -> None:
    """A topic that has messages is not without one."""
    rows = recording()
    for row in rows:
        if row.topic == ROBOT.arms[0].joint_state_topic:
            row.message.name[:] = [f'vx300s_{name}' for name in row.message.name]
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    with pytest.raises(ConfigError, match=r"lacks the joints \['waist'.*it has \['vx300s_waist'"):
        read(path)


def test_part_that_is_too_old_is_named(tmp_path: Path) -> None:
    """A gripper at 5 Hz on the topic of an arm at 100 Hz."""
    rows = []
    for row in recording():
        if row.topic != ROBOT.arms[0].joint_state_topic:
            rows.append(row)
            continue
        arm = joint_state(row.arrival_ns, JOINTS, row.message.position[:6])
        rows.append(row._replace(message=arm))
        if (row.arrival_ns - START_NS) % 200_000_000 == 0:
            gripper = joint_state(row.arrival_ns, ['left_finger'], row.message.position[6:])
            rows.append(row._replace(message=gripper))
    path = write_bag_of(tmp_path / 'a', rows, DEMO)
    with pytest.raises(ConfigError, match=r'states \(left_finger\) is 120 ms old, limit 100'):
        read(path)


@pytest.mark.parametrize('opened', ['[', '- ', '{a: '])
def test_metadata_of_endless_lists_is_damaged_and_no_crash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, opened: str
) -> None:
    """YAML's loader in C ends the process there; the storage files say the rest."""
    path = write_bag_of(tmp_path / 'a', recording(0.2), DEMO)
    (path / 'metadata.yaml').write_text('a:\n ' + opened * 100_000, encoding='utf-8')
    assert read_custom(path) == {}
    assert 'metadata.yaml is damaged (more than 100 lists and mappings' in caplog.text
    with pytest.raises(ConfigError, match='more than 100 lists and mappings'):
        relabel_bag(path, {'task': 'fold'})


def test_two_arms_of_one_topic_with_the_same_joints_are_refused(tmp_path: Path) -> None:
    """Both would be whoever was first; nor can two cameras be one."""
    sent = [
        row._replace(topic='/joint_states') if row.topic.endswith('joint_states') else row
        for row in recording(0.2)
    ]
    path = write_bag_of(tmp_path / 'a', sent, DEMO)
    one = dict.fromkeys(ROBOT.joint_state_topics, '/joint_states')
    with pytest.raises(ConfigError, match=r"_left and follower_right would both be the joint 'wa"):
        read(path, topics=one)
    path = write_bag_of(tmp_path / 'b', recording(0.2), DEMO)
    with pytest.raises(ConfigError, match='high and left_wrist would both be the images of /left'):
        read(path, topics={HIGH: '/left_wrist/image_raw'})


def test_two_publishers_of_the_same_joints_are_refused_with_their_time(tmp_path: Path) -> None:
    """Every joint state of the second looks like a failed bus read."""
    others = []
    for tick in range(40):
        ns = START_NS + 5_000_000 + tick * 10_000_000
        pose = [1.2, *arm_pose(0.0)[1:], 0.03]
        message = joint_state(ns, [*JOINTS, 'left_finger'], pose)
        others.append(Sent(ns, '/follower_left/joint_states', JOINT_STATE, message))
    path = write_bag_of(tmp_path / 'a', [*recording(0.4), *others], DEMO)
    wanted = r'40 of 80 joint states cannot be true, the first at 0\.01 s: .* waist jumped \+1\.20'
    with pytest.raises(ConfigError, match=wanted):
        read(path)


def test_degrees_in_a_bag_are_refused_however_slow_the_arm_is(tmp_path: Path) -> None:
    """Radians of 55 are more than any joint turns."""
    for topic, what in (('/follower_left/joint_states', 'proprio'), ('/joint_command', 'actions')):
        sent = recording(0.2)
        for row in sent:
            if row.topic == topic:
                row.message.position[[1, 2]] = np.rad2deg([-0.96, 1.16])
        path = write_bag_of(tmp_path / what, sent, DEMO)
        wanted = rf'{what}: .*/shoulder is -55\.0039 in row 0, 0\.00 s; radians are expected$'
        with pytest.raises(ConfigError, match=wanted):
            read(path)


@pytest.mark.parametrize('sqlite', [False, True])
def test_topics_that_were_recorded_without_a_message_hide_no_others(
    tmp_path: Path, sqlite: bool
) -> None:
    """Recorders of all topics list the raw images that nobody asked for, beside the JPEG ones."""
    sent = images_as(
        recording(0.4),
        COMPRESSED_IMAGE,
        lambda ns, s: jpeg_image(ns, brightness(s)),
        '/compressed',
    )
    silent = dict.fromkeys((camera.topic for camera in ROBOT.cameras), IMAGE)
    path = write_bag_of(tmp_path / 'a', sent, DEMO, sqlite, silent=silent)
    assert abs(int(read(path).images['high'][-1][0, 0, 1]) - 16) < 6
    path = write_bag_of(tmp_path / 'b', without(sent, '/high/image_raw/compressed'), DEMO,
                        sqlite, silent=silent)  # fmt: skip
    with pytest.raises(ConfigError, match='no message on /high/image_raw; the bag has'):
        read(path)


def test_clock_that_leapt_by_years_is_a_gap_and_takes_no_memory(tmp_path: Path) -> None:
    """A computer without a battery learns the date while it records."""
    year_ns = 10 * 365 * 86_400 * 10**9
    later = recording(0.4)
    for row in later:
        if hasattr(row.message, 'header'):
            row.message.header.stamp.sec += year_ns // 10**9
    later = [row._replace(arrival_ns=row.arrival_ns + year_ns) for row in later]
    path = write_bag_of(tmp_path / 'a', [*recording(0.4), *later], DEMO)
    with pytest.raises(ConfigError, match=r'at 0\.50 s: .*joint_states is 110 ms old, limit 100'):
        read(path)


def test_files_that_metadata_does_not_name_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a bag that was copied into another, or whose metadata somebody edited."""
    path = write_bag_of(tmp_path / 'a', recording(0.2), DEMO)
    shutil.copy(path / 'a.mcap', path / 'b_1.mcap')
    read(path)
    assert 'a: left out, since metadata.yaml does not name them: b_1.mcap' in caplog.text


def as_video(sent: list[Sent], packets: list[bytes]) -> list[Sent]:
    """Return the messages with packets of H.264 in place of images; an empty one was lost."""

    def packet(ns: int, at_s: float) -> Any:
        stamp, data = message_header(ns).stamp, packets[round(at_s / 0.08)]
        return T[COMPRESSED_VIDEO](stamp, '', np.frombuffer(data, np.uint8), 'h264')

    made = images_as(sent, COMPRESSED_VIDEO, packet, '/foxglove')
    return [row for row in made if row.type != COMPRESSED_VIDEO or len(row.message.data)]


def encode(levels: list[float], every: int = 250) -> list[bytes]:
    """Return a packet of H.264 for every brightness, with a key frame every so many."""
    encoder = av.CodecContext.create('libx264', 'w')
    encoder.height, encoder.width, encoder.pix_fmt = 240, 320, 'yuv420p'
    encoder.time_base = Fraction(1, 25)
    encoder.options = {'bf': '0', 'g': str(every), 'sc_threshold': '0', 'tune': 'zerolatency'}
    packets = []
    for number, level in enumerate(levels):
        frame = av.VideoFrame.from_ndarray(brightness(level), format='rgb24')
        frame.pts = number
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


@pytest.mark.parametrize('moving', [False, True])
def test_video_that_stands_still_is_told_while_the_arms_move(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, moving: bool
) -> None:
    """Its packets differ all the same; and where nothing moves an encoder leaves out the noise."""
    sent = recording(1.0)
    for row in sent:
        if row.type == JOINT_STATE and not moving:
            row.message.position[:] = 0.03
    read(write_bag_of(tmp_path / 'a', as_video(sent, encode([0.5] * 13)), DEMO))
    told = '/high/image_raw/foxglove shows the same image for 0.' in caplog.text
    assert told == moving


def test_packet_of_video_that_was_lost_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is left out behind it may be short enough that no tick misses it."""
    packets = encode([0.08 * number for number in range(13)], every=4)
    packets[6] = b''
    read(write_bag_of(tmp_path / 'a', as_video(recording(1.0), packets), DEMO))
    told = 'high/image_raw/foxglove shows nothing in 1 packets of video from 0.56 s on, as behind'
    assert told in caplog.text


def test_mcap_that_does_not_count_its_messages_is_read(tmp_path: Path) -> None:
    """Writers may leave the counts of channels out."""
    path = write_bag_of(tmp_path / 'a', recording(0.2), DEMO)
    wanted = read(path)
    file = path / 'a.mcap'
    data = bytearray(file.read_bytes())
    n_topics = len({row.topic for row in recording(0.2)})
    statistics = b'\x0b' + (46 + 10 * n_topics).to_bytes(8, 'little')
    first = data.rindex(statistics) + 55
    for at in range(first, first + 10 * n_topics, 10):  # now of channels that there are not
        data[at : at + 2] = (60000 + at - first).to_bytes(2, 'little')
    file.write_bytes(data)
    assert_same_episode(read(path), wanted)


def test_part_that_ends_where_it_begins_is_read(tmp_path: Path) -> None:
    """Of one row, the last of the recording."""
    sent = [row for row in recording(0.2) if row.arrival_ns <= START_NS + 160_000_000]
    path = write_bag_of(tmp_path / 'a', sent, DEMO | {FROM: '0.16'})
    assert len(read(path).actions) == 1
