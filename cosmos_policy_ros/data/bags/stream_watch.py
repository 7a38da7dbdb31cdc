# SPDX-License-Identifier: Apache-2.0
"""What a reader would say about an episode: before it is recorded, and while it is.

Messages are looked at as ``reader.py`` does it, by ``align.py`` and ``stream_judge.py``. While
nothing is recorded only their stamps are, and the newest are kept for a look before a start.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from cosmos_policy_ros.align import ArmStream, stamp_of
from cosmos_policy_ros.data.bags.preflight import find_stale
from cosmos_policy_ros.data.bags.writer import decode_cdr, read_stamp
from cosmos_policy_ros.image_decoder import COMPRESSED_IMAGE
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.stream_judge import (
    ImageLook,
    joint_targets,
    MAX_IMAGE_AGE_S,
    MAX_JOINT_AGE_S,
    StampJudge,
)
from cosmos_policy_ros.topics import JOINT_COMMAND
from rosbags.serde import SerdeError

KEPT = 200  # newest messages of a stream that its clock is judged by before an episode
SETTLED_S = 3.0  # [s] of messages from which a clock is judged in one: a start delays the first
KEPT_JOINTS = 20  # joint states that are kept for a look, from all who publish parts of them
DECODE_NS = 10**9  # between two compressed images that are decoded: each costs milliseconds


class StreamWatch:
    """The streams that an episode cannot do without, and that of the actions."""

    def __init__(self, robot: RobotSpec) -> None:
        """Start without a message.

        Args:
            robot: Robot with the names of topics in bags.
        """
        self._robot = robot
        self._late_s = {camera.topic: MAX_IMAGE_AGE_S for camera in robot.cameras}
        joints = (*robot.joint_state_topics, JOINT_COMMAND.name)
        self._late_s |= dict.fromkeys(joints, MAX_JOINT_AGE_S)
        self._kept: dict[str, deque[tuple[int, str, bytes]]] = {
            topic: deque(maxlen=KEPT_JOINTS if topic in robot.joint_state_topics else 1)
            for topic in self._late_s
        }
        self._episode: _Episode | None = None
        self._clocks = self._new_clocks(KEPT)

    def see(self, topic: str, msg_type: str, data: bytes, arrival_ns: int) -> str:
        """Take the next message of any topic.

        Args:
            topic: Topic.
            msg_type: Type as ``package/msg/Name``.
            data: Serialized CDR bytes.
            arrival_ns: When it arrived [ns, ROS clock].

        Returns:
            Why the episode that is being recorded cannot be used, empty while it can.
        """
        if topic not in self._late_s:
            return ''
        self._kept[topic].append((arrival_ns, msg_type, data))
        step = self._clocks[topic].push(arrival_ns, read_stamp(data))
        if self._episode is None:
            return ''
        at = f'{topic} at {self._episode.at_s(arrival_ns):.2f} s: '
        if step:
            return at + step
        try:
            self._episode.see(topic, msg_type, data, arrival_ns)
        except ValueError as error:
            return f'{at}{error}'
        return ''

    def find_unusable(self, now_ns: int, max_age_s: float, actions: bool) -> str:
        """Return why an episode of what the streams send now could not be used, or nothing.

        Args:
            now_ns: Now [ns, ROS clock].
            max_age_s: Highest age of the newest message of a stream [s].
            actions: Whether commands have to be sent already, as while a person demonstrates.
        """
        newest_ns = {topic: kept[-1][0] for topic, kept in self._kept.items() if kept}
        sensors = [topic for topic in self._kept if topic != JOINT_COMMAND.name]
        if stale := find_stale(newest_ns, sensors, now_ns, max_age_s):
            return stale
        sent = [JOINT_COMMAND.name] if actions else []
        if silent := find_stale(newest_ns, sent, now_ns, max_age_s):
            why = 'without it a demonstration has no actions: enable motion first, or record with'
            return f'{silent}; {why} actions:=state-next'
        trial = _Episode(self._robot, now_ns, self._late_s)
        for topic, kept in self._kept.items():
            if reason := self._clocks[topic].fault():
                return f'{reason}; synchronise the machines'
            try:
                for arrival_ns, msg_type, data in kept:
                    trial.see(topic, msg_type, data, arrival_ns)
            except ValueError as error:
                return f'{topic}: {error}'
        return trial.find_missing()

    def begin(self, start_ns: int) -> None:
        """Look at every message from now on [ns, ROS clock]."""
        self._episode = _Episode(self._robot, start_ns, self._late_s)
        self._clocks = self._new_clocks(None)

    def check(self, now_ns: int, max_silence_s: float, ended: bool = False) -> str:
        """Return what is wrong with the episode by now, which no single message tells, or nothing.

        Args:
            now_ns: Now [ns, ROS clock].
            max_silence_s: How long a joint may not be measured [s].
            ended: Whether no more messages come; before that a few tell nothing of a clock.
        """
        assert self._episode is not None
        for clock in self._clocks.values():
            if (clock.span_s >= SETTLED_S or ended) and (reason := clock.fault()):
                return reason
        if reason := self._episode.find_silent(now_ns, max_silence_s):
            return f'at {self._episode.at_s(now_ns):.2f} s: {reason}'
        return ''

    def end(self) -> str:
        """Look no longer at every message; return what somebody should know of them, or nothing.

        Streams with gaps that no reader takes, and images that stood still: the recording is
        whole, and a person may want to divide it.
        """
        assert self._episode is not None
        told = [self._episode.find_gaps(), self._episode.find_frozen()]
        self._episode, self._clocks = None, self._new_clocks(KEPT)
        return '; '.join(filter(None, told))

    def _new_clocks(self, kept: int | None) -> dict[str, StampJudge]:
        return {topic: StampJudge(topic, late_s, kept) for topic, late_s in self._late_s.items()}


class _Episode:
    """What the messages of one episode say so far."""

    def __init__(self, robot: RobotSpec, start_ns: int, late_s: Mapping[str, float]) -> None:
        self._start_ns, self._late_s = start_ns, late_s
        self._newest_ns: dict[str, int] = {}  # topic -> newest stamp
        self._gaps: dict[str, list[tuple[int, int]]] = defaultdict(list)  # topic -> length, from
        self._cameras = {camera.topic: ImageLook(camera) for camera in robot.cameras}
        self._decoded_ns: dict[str, int] = defaultdict(int)
        self._arms = [(arm, ArmStream(arm, arm.joint_state_topic, 1)) for arm in robot.arms]
        self._robot = robot

    def at_s(self, arrival_ns: int) -> float:
        """Return a time since the start [s]."""
        return (arrival_ns - self._start_ns) * 1e-9

    def see(self, topic: str, msg_type: str, data: bytes, arrival_ns: int) -> None:
        """Look at the next message of a stream.

        Raises:
            ValueError: A reader would refuse it.
        """
        try:
            message = decode_cdr(data, msg_type)
        except SerdeError as error:
            msg = f'a message of {len(data)} bytes is damaged: {error}'
            raise ValueError(msg) from error
        self._note_gap(topic, stamp_of(message))
        if topic in self._cameras:
            self._see_image(topic, msg_type, message, arrival_ns)
        elif topic == JOINT_COMMAND.name:
            joint_targets(self._robot, message, topic)
        for arm, stream in self._arms:
            if arm.joint_state_topic == topic:
                stream.push(stamp_of(message), message)

    def _note_gap(self, topic: str, stamp_ns: int) -> None:
        """Note a time without a message so long that a tick in it has none that is new enough."""
        before_ns = self._newest_ns.setdefault(topic, stamp_ns)
        self._newest_ns[topic] = max(before_ns, stamp_ns)
        longest_s = self._late_s[topic] + 1.0 / self._robot.control_rate_hz
        if stamp_ns - before_ns > longest_s * 1e9:
            self._gaps[topic].append((stamp_ns - before_ns, before_ns))

    def _see_image(self, topic: str, msg_type: str, message: Any, arrival_ns: int) -> None:
        look = self._cameras[topic]
        if msg_type == COMPRESSED_IMAGE and arrival_ns - self._decoded_ns[topic] < DECODE_NS:
            look.compare(message.data, arrival_ns)
            return
        self._decoded_ns[topic] = arrival_ns
        look.see(message, arrival_ns)

    def find_missing(self) -> str:
        """Return which joints nobody has sent, empty when none is missing."""
        return self._first_reason(lambda stream: stream.first_ns)

    def find_silent(self, now_ns: int, max_s: float) -> str:
        """Return which joints have not been measured for a time [s], empty when all have."""
        if now_ns - self._start_ns < max_s * 1e9:
            return ''
        # a stamp may be ahead by what synchronised clocks differ by, and only the newest is kept
        return self._first_reason(
            lambda stream: stream.newest_at(max(now_ns, stream.newest_ns), max_s)
        )

    def _first_reason(self, ask: Callable[[ArmStream], object]) -> str:
        """Return why an arm does not have what it is asked for, empty when all have."""
        try:
            for _, stream in self._arms:
                ask(stream)
        except TimeoutError as error:
            return str(error)
        return ''

    def find_gaps(self) -> str:
        """Return which streams had gaps that no reader takes, and the longest of each."""
        told = []
        for topic, gaps in self._gaps.items():
            length_ns, from_ns = max(gaps)
            more = f', the longest of {len(gaps)} gaps' if len(gaps) > 1 else ''
            told.append(
                f'{topic} had no message for {length_ns * 1e-9:.2f} s from '
                f'{self.at_s(from_ns):.2f} s on{more}, readers take {self._late_s[topic]:g} s: '
                'divide it there (cosmos-policy episodes split)'
            )
        return '; '.join(told)

    def find_frozen(self) -> str:
        """Return which cameras showed the same image for too long, and when."""
        return '; '.join(
            f'{topic} showed the same image for {(to - since) * 1e-9:.2f} s from '
            f'{self.at_s(since):.2f} s on'
            for topic, look in self._cameras.items()
            for since, to in look.frozen
        )
