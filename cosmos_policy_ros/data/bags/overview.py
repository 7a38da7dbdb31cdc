# SPDX-License-Identifier: Apache-2.0
"""Contents of a bag as series for a report: timing, joints, flags, values, seams and images.

``reader.py`` refuses a bag with gaps or without a stream; this file is what shows them. Times
are those of arrival, in seconds since the first message of the bag.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.bags.files import open_bag
from cosmos_policy_ros.data.bags.series import (
    Answer,
    command_series,
    find_answers,
    find_seams,
    flag_series,
    measured_series,
    Messages,
    Mode,
    Series,
)
from cosmos_policy_ros.data.bags.sources import camera_topic
from cosmos_policy_ros.data.bags.writer import BOOL, JOINT_STATE, read_stamp
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.data.rosetta.recording import (
    complete_reading,
    contract_of,
    recorded_labels,
)
from cosmos_policy_ros.image_decoder import (
    COMPRESSED_IMAGE,
    COMPRESSED_VIDEO,
    IMAGE,
    image_of,
    IMAGE_TYPES,
    ImageDecoder,
    VIDEO_PACKET,
)
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    CANDIDATES,
    DIAGNOSTICS,
    future_image,
    JOINT_COMMAND,
)
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

GAP_PERIODS = 2.5  # expected periods without a message that count as a gap; cameras jitter by one
VIDEO = (COMPRESSED_VIDEO, VIDEO_PACKET)
FUTURE_PREFIX = future_image('').name  # of images that the policy predicts


@dataclass(frozen=True)
class Timing:
    """How evenly the messages of one topic came.

    Attributes:
        type: Message type.
        time_s: (S,) float64 arrivals [s].
        span_s: Length of the bag [s].
        expected_hz: Rate that the robot file names, None for other topics [Hz].
    """

    type: str
    time_s: NDArray[np.float64]
    span_s: float
    expected_hz: float | None

    @property
    def mean_hz(self) -> float | None:
        """Messages per second from the first to the last [Hz]."""
        seconds = float(np.ptp(self.time_s)) if len(self.time_s) else 0.0
        return (len(self.time_s) - 1) / seconds if seconds > 0 else None

    @property
    def longest_s(self) -> float | None:
        """Longest time without a message [s]; from start to end for a topic with a known rate."""
        edges = self._edges()
        return float(np.diff(edges).max()) if len(edges) > 1 else None

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """Begin and end of every gap [s]; none is known for a topic without an expected rate."""
        if self.expected_hz is None:
            return []
        edges = self._edges()
        rows = np.flatnonzero(np.diff(edges) > GAP_PERIODS / self.expected_hz)
        return [(float(edges[row]), float(edges[row + 1])) for row in rows]

    def _edges(self) -> NDArray[np.float64]:
        if self.expected_hz is None:
            return self.time_s
        return np.concatenate([[0.0], self.time_s, [self.span_s]])


@dataclass
class Overview:
    """One bag; what it does not hold is empty.

    Attributes:
        path: Folder.
        metadata: Its custom data, and what else says its labels.
        robot: The robot, None when nobody knows it.
        seconds: From the first message to the last [s].
        topics: Topic -> timing; those of the robot that the bag lacks have no messages.
        joints: Names of the commanded joints.
        commands: What was sent, (S, A) [rad; gripper 0..1].
        measured: Arm name -> (S, joints + 1) [rad; gripper 0..1].
        flags: Topic of a Bool -> its values over time, (S, 1).
        answers: Candidates in the order of their queries.
        seams: When a new action chunk took over [s], and the seam jump [rad].
        modes: What the executor did, change by change.
        images: Camera topic -> arrival [s] and (height, width, 3) uint8 RGB, a few over time.
        remarks: What could not be used, and why.
    """

    path: Path
    metadata: dict[str, str]
    robot: RobotSpec | None
    seconds: float
    topics: dict[str, Timing]
    joints: tuple[str, ...] = ()
    commands: Series | None = None
    measured: dict[str, Series] = field(default_factory=dict)
    flags: dict[str, Series] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    seams: list[tuple[float, float]] = field(default_factory=list)
    modes: list[Mode] = field(default_factory=list)
    images: dict[str, list[tuple[float, NDArray[np.uint8]]]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def n_images(self) -> int:
        """Number of camera images in the bag."""
        topics = self.topics.items()
        return sum(len(t.time_s) for name, t in topics if is_camera(name, t.type))


def is_camera(topic: str, msg_type: str) -> bool:
    """Return whether a topic has images of a camera, not predicted ones."""
    return msg_type in IMAGE_TYPES and not topic.startswith(FUTURE_PREFIX)


def read_overview(
    path: Path, robot: RobotSpec | None, n_images: int = 8, reading: Reading | None = None
) -> Overview:
    """Read one bag.

    Args:
        path: Bag folder.
        robot: Robot whose topics the bag holds, None when nobody knows it.
        n_images: Images kept per camera, evenly over time.
        reading: Names of topics in the bag, and which time of its messages counts.

    Raises:
        ConfigError: The folder is no bag, is damaged, or holds no message.
    """
    reading = reading or Reading()
    arrivals: dict[str, list[int]] = defaultdict(list)
    messages: dict[str, Messages] = defaultdict(list)
    with open_bag(path) as bag:
        contract = contract_of(bag, reading)
        reading = complete_reading(bag, reading, contract, robot)
        names = _names_of_robot(bag.types, robot, reading)
        metadata = {**recorded_labels(bag, contract), **bag.custom}
        types = {names.get(t, t): k for t, k in bag.types.items()}
        clock = _Clock(reading.stamps == 'header')
        decoded = _decoded_topics(types, robot)
        start_ns, seconds = bag.start_ns, (bag.end_ns - bag.start_ns) * 1e-9
        cameras = {t: _Sampler(seconds, n_images) for t in types if is_camera(t, types[t])}
        videos = {t: ImageDecoder() for t in cameras if types[t] in VIDEO}
        for name, bag_ns, data in bag.messages():
            topic = names.get(name, name)
            when_ns = clock.time_ns(bag.types[name], bag_ns, data)
            at_s = (when_ns - start_ns) * 1e-9
            arrivals[topic].append(when_ns)
            if topic in videos:
                cameras[topic].push(at_s, videos[topic].decode(bag.decode(name, data)))
            elif topic in cameras:
                cameras[topic].push(at_s, (name, data))
            elif topic in decoded:
                messages[topic].append((at_s, bag.decode(name, data)))
        for topic, sampler in cameras.items():
            kept = [(at_s, shown) for at_s, shown in sampler.finish() if shown is not None]
            messages[topic] = [
                (at_s, bag.decode(*shown) if isinstance(shown, tuple) else shown)
                for at_s, shown in kept
            ]
    if not arrivals:
        msg = f'episode {path} holds no message; it has the topics {sorted(types)}'
        raise ConfigError(msg)
    expected = _expected_rates(robot)
    topics = {}
    for topic in sorted({*types, *expected}):
        time_s = np.array([(ns - start_ns) * 1e-9 for ns in arrivals[topic]], dtype=np.float64)
        topics[topic] = Timing(types.get(topic, ''), time_s, seconds, expected.get(topic))
    recording = Overview(path, metadata, robot, seconds, topics)
    _fill(recording, messages, start_ns, reading.stamps == 'arrival')
    return recording


def _names_of_robot(
    types: Mapping[str, str], robot: RobotSpec | None, reading: Reading
) -> dict[str, str]:
    """Return name of a topic in the bag -> its name in the robot file, where they differ."""
    names = {there: here for here, there in reading.topics.items() if there in types}
    for camera in robot.cameras if robot else ():
        found = camera_topic(types, reading.topics.get(camera.topic, camera.topic))
        names |= {} if found is None else {found: camera.topic}
    return names


class _Clock:
    """The time of messages that counts; headers of another clock are moved to the bag's."""

    def __init__(self, headers: bool) -> None:
        self._headers = headers
        self._late_ns: int | None = None  # of the first message with a header

    def time_ns(self, kind: str, bag_ns: int, data: bytes) -> int:
        """Return when a message was sensed, or arrived [ns]."""
        if not self._headers or kind not in (IMAGE, COMPRESSED_IMAGE, JOINT_STATE):
            return bag_ns
        stamp_ns = read_stamp(data)
        if self._late_ns is None:
            self._late_ns = bag_ns - stamp_ns
        return stamp_ns + self._late_ns


def _fill(
    recording: Overview, messages: dict[str, Messages], start_ns: int, arrivals: bool
) -> None:
    """Add the series, and a remark for what cannot be used."""
    robot, remarks = recording.robot, recording.remarks
    if commands := messages[JOINT_COMMAND.name]:
        joints = robot.joint_names if robot else tuple(commands[0][1].name)
        try:
            recording.commands, recording.joints = command_series(commands, joints), joints
        except ValueError as error:
            remarks.append(f'{JOINT_COMMAND.name}: {error}')
    for arm in robot.arms if robot else ():
        series, dropped = measured_series(messages[arm.joint_state_topic], arm, arrivals)
        if len(series.time_s):
            recording.measured[arm.name] = series
        if dropped:
            remarks.append(f'{len(dropped)} joint states dropped, the first: {dropped[0]}')
    for topic, timing in recording.topics.items():
        if timing.type == BOOL and messages[topic]:
            recording.flags[topic] = flag_series(messages[topic])
        if not is_camera(topic, timing.type):
            continue
        cameras = robot.cameras if robot else ()
        colours = next((c.colours for c in cameras if c.topic == topic), 'bgr')
        try:
            recording.images[topic] = [
                (at_s, shown if isinstance(shown, np.ndarray) else image_of(shown, colours))
                for at_s, shown in messages[topic]
            ]
        except ValueError as error:
            remarks.append(f'{topic}: {error}')
    try:
        recording.answers = find_answers(
            messages[CANDIDATES.name], messages[ACTION_CHUNK.name], start_ns
        )
        recording.seams, recording.modes = find_seams(
            messages[DIAGNOSTICS.name], recording.metadata.get('namespace', '/')
        )
    except (ValueError, LookupError) as error:
        remarks.append(f'candidates or diagnostics cannot be read: {error}')


class _Sampler:
    """Keep the newest message at evenly spaced times, whatever passes by in between."""

    def __init__(self, seconds: float, n: int) -> None:
        self._wanted = np.linspace(0.0, seconds, n).tolist()
        self._kept: dict[float, Any] = {}  # by arrival [s]
        self._last: tuple[float, Any] | None = None

    def push(self, at_s: float, data: Any) -> None:
        """Take the next message."""
        if self._last is None:  # nothing is older than the first
            self._wanted = [max(wanted, at_s) for wanted in self._wanted]
        while self._wanted and self._wanted[0] < at_s:
            self._keep()
        self._last = at_s, data

    def finish(self) -> list[tuple[float, Any]]:
        """Return the messages that were kept, each once."""
        while self._wanted:
            self._keep()
        return sorted(self._kept.items())

    def _keep(self) -> None:
        del self._wanted[0]
        if self._last is not None:
            self._kept[self._last[0]] = self._last[1]


def _decoded_topics(types: dict[str, str], robot: RobotSpec | None) -> set[str]:
    """Return the topics whose messages are decoded, images aside."""
    arms = set(robot.joint_state_topics) if robot else set()
    flags = {topic for topic, msg_type in types.items() if msg_type == BOOL}
    return (
        {JOINT_COMMAND.name, CANDIDATES.name, ACTION_CHUNK.name, DIAGNOSTICS.name} | arms | flags
    )


def _expected_rates(robot: RobotSpec | None) -> dict[str, float]:
    if robot is None:
        return {}
    rates = {camera.topic: camera.rate_hz for camera in robot.cameras}
    rates |= dict.fromkeys(robot.joint_state_topics, robot.joint_state_rate_hz)
    return rates | {JOINT_COMMAND.name: robot.control_rate_hz}
