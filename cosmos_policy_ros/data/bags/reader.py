# SPDX-License-Identifier: Apache-2.0
"""A recorded bag as an ``Episode`` on the policy's tick grid.

The grid starts when every stream has its first message and ends with the last action. At every
tick the newest message of each stream counts (``align.py``); the action of a tick is the newest
command stamped at the tick or before, which is the command that was sent then. Velocities and
efforts come from the joint states that the positions come from (``velocity_effort.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
import logging
from pathlib import Path
from typing import Any

from cosmos_policy_ros.align import (
    ArmStream,
    describe_missing,
    sample_at,
    stamp_of,
    StreamBuffer,
    tick_grid,
)
from cosmos_policy_ros.data.assemble import (
    check_units,
    Labels,
    next_as_actions,
    read_circumstances,
    read_source,
    refuse_other_robot,
)
from cosmos_policy_ros.data.bags.clocks import (
    check_one_clock,
    check_set_back,
    check_stamps,
    clock_offset,
    Row,
    time_of,
)
from cosmos_policy_ros.data.bags.files import Bag, open_bag, relabelled
from cosmos_policy_ros.data.bags.gripper_scale import find_other_scale
from cosmos_policy_ros.data.bags.sources import find_sources, Sources
from cosmos_policy_ros.data.image_rows import ImageRows, MOVED
from cosmos_policy_ros.data.oddities import note_oddities
from cosmos_policy_ros.data.reading import complete, COMPLETING, note, note_other, Reading
from cosmos_policy_ros.data.rosetta.recording import (
    complete_reading,
    contract_of,
    recorded_labels,
)
from cosmos_policy_ros.data.velocity_effort import collect_streams
from cosmos_policy_ros.image_decoder import IMAGE, ImageDecoder
from cosmos_policy_ros.robot import ArmSpec, CameraSpec, RobotSpec
from cosmos_policy_ros.stream_judge import (
    describe_unnamed,
    ImageLook,
    MAX_IMAGE_AGE_S,
    MAX_JOINT_AGE_S,
)
from cosmos_policy_ros.types import Episode, Images
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)
KEPT_BYTES = 300e6  # pixels of an episode that are kept; those of a longer one are read again
END_S = 1.0  # a stream that ends earlier than the others by more has failed
OWN_COLOURS = (  # why --images is not taken
    'the colours of bags are those of their encodings or, where these name none, those of the '
    'camera in the robot file, as on the running robot'
)
ODD_RATE = 1.6  # times the rate of the robot file, or one part of it, beyond which a rate is told
MOST_JUMPS = 0.1  # of the joint states of a topic; a bus that fails sends pi, or little else
SETTLED_S = 1.0  # [s] of images by which a rate is judged
REPORTED_S = 0.5  # what is left out at an end beyond this is told
Streams = dict[str, list[Row]]  # topic of the bag -> its messages


@dataclass(frozen=True)
class _Limits:
    """The oldest image, and the oldest joint state and command, at a tick [s]."""

    image_s: float
    joint_s: float


def read_bag(
    path: Path,
    robot: RobotSpec,
    rate_hz: float | None,
    max_image_age_s: float = MAX_IMAGE_AGE_S,
    max_joint_age_s: float = MAX_JOINT_AGE_S,
    reading: Reading | None = None,
) -> Episode:
    """Read one episode; grippers that had another scale then are warned about.

    Args:
        path: Bag folder, or a storage file.
        robot: Robot whose streams the bag holds.
        rate_hz: Tick rate of the episode [Hz], at most that which the bag was converted at; None
            is that one, else the robot's control rate.
        max_image_age_s: Oldest image allowed at a tick [s].
        max_joint_age_s: Oldest joint state and command allowed at a tick [s].
        reading: What the bag leaves open.

    Raises:
        ConfigError: The path is no bag, is damaged, was marked invalid by the recorder, lacks a
            topic or a label, has stamps of another clock, a gap in a stream, an image that cannot
            be decoded, or holds NaN or another robot's joints.
    """
    reading = reading or Reading()
    with open_bag(path) as bag:
        if invalid := bag.custom.get('invalid'):
            msg = f'episode {path} is invalid: {invalid}'
            raise ValueError(msg)
        contract = contract_of(bag, reading)
        labels = bag_labels({**recorded_labels(bag, contract), **bag.custom}, path)
        if rate_hz and labels.rate_hz and rate_hz > labels.rate_hz:  # rows are not made up
            msg = f'it has {labels.rate_hz:g} rows per second, {rate_hz:g} are wanted'
            raise ValueError(msg)
        if bag.torn and 'success' not in relabelled(bag.custom):  # nobody has judged what is left
            labels = replace(labels, success=None)
        labels = complete(labels, reading, str(path.parent))
        if reading.images is not None:
            note(str(path.parent), f'--images {reading.images} is not taken: {OWN_COLOURS}')
        if reading.units is not None:
            what = 'joints of messages are in radians, grippers in the unit of the robot file'
            note(str(path.parent), f'--units {reading.units} is not taken: {what}')
        refuse_other_robot(labels, robot, reading.other_robot)
        if other := find_other_scale(bag.custom, robot):
            logger.warning('episode %s: %s', path, other)
        rate_hz = rate_hz or labels.rate_hz or robot.control_rate_hz
        reading = complete_reading(bag, reading, contract, robot)
        sources = find_sources(bag.types, robot, reading, labels.task is not None, bag.silent)
        check_set_back(bag.written(), sources.topics, bag.start_ns, bag.end_ns)
        limits = _Limits(max_image_age_s, max_joint_age_s)
        episode = _Reader(bag, robot, reading, sources, limits).episode(labels, rate_hz)
        if reading.actions == 'state-next':
            episode = next_as_actions(episode)
        if robot.actions == 'joint_targets':
            check_units(episode.proprio, episode.actions, robot, rate_hz, of_bag=True)
    note_oddities(episode, robot, str(path.parent))
    return episode


def bag_labels(custom: Mapping[str, str], path: Path) -> Labels:
    """Return what the custom data of a bag says.

    Raises:
        ValueError: A label is none.
    """
    success = custom.get('success')
    judged = {'true': True, 'false': False, None: None}
    if success not in judged:
        msg = f"metadata 'success' must be 'true' or 'false', got {success!r}"
        raise ValueError(msg)
    return Labels(
        task=custom.get('task') or None,
        source=read_source(custom.get('source')),
        success=judged[success],
        rate_hz=float(custom['rate_hz']) if 'rate_hz' in custom else None,
        robot=custom.get('robot'),
        circumstances=read_circumstances(
            {'operator_id': custom.get('operator'), **custom}, f'episode {path}'
        ),
    )


class _Reader:
    """One bag on its way to an episode: its messages are read once, images are looked at."""

    def __init__(
        self, bag: Bag, robot: RobotSpec, reading: Reading, sources: Sources, limits: _Limits
    ) -> None:
        self._bag, self._robot, self._reading = bag, robot, reading
        self._sources, self._limits = sources, limits
        self._sizes: dict[str, tuple[int, int]] = {}  # camera -> height and width [px]
        self._kept: dict[str, dict[int, NDArray[np.uint8]]] | None = {}  # None: read them again
        self._streams = self._read()
        self._check_clocks()
        self._offset_ns = clock_offset(self._streams.values(), reading.stamps)

    def episode(self, labels: Labels, rate_hz: float) -> Episode:
        """Put the messages on the tick grid."""
        robot, sources = self._robot, self._sources
        cameras = {camera.name: self._camera(camera) for camera in robot.cameras}
        arms = {arm.name: self._arm(arm) for arm in robot.arms}
        commands = {str(i): self._command(part) for i, part in enumerate(sources.commands)}
        leaders = {arm.name: self._arm(arm) for arm in sources.leaders}
        stamps = self._grid([cameras, arms, commands, leaders], rate_hz)
        image_s, joint_s = self._limits.image_s, self._limits.joint_s
        rows, proprio, measured, actions = [], [], [], []
        for stamp_ns in stamps.tolist():
            with self._located(stamp_ns):
                shown = sample_at(cameras, stamp_ns, image_s)
                poses = sample_at(arms, stamp_ns, joint_s)
                sent = sample_at(commands, stamp_ns, joint_s)
                led = sample_at(leaders, stamp_ns, joint_s)
            rows.append([shown[c.name].value for c in robot.cameras])
            proprio.append(np.concatenate([poses[a.name].value.pose for a in robot.arms]))
            measured.append([poses[a.name].value.joint_state for a in robot.arms])
            parts = [led[arm.name].value.pose for arm in sources.leaders]
            parts += [sent[part].value for part in commands]
            actions.append(np.concatenate(parts) if parts else proprio[-1])
        if self._reading.actions == 'leader':
            actions = [np.clip(row, robot.lower, robot.upper) for row in actions]
        images, image_index = self._images(np.array(rows, np.int64).reshape(-1, len(cameras)))
        if labels.source is None:
            msg = 'nobody said whether it is a demo or a rollout; give it with --source'
            raise ValueError(msg)
        return Episode(
            source=labels.source,
            task=self._task(labels),
            success=labels.success,
            rate_hz=rate_hz,
            stamps_ns=stamps,
            images=images,
            image_index=image_index,
            proprio=np.stack(proprio),
            actions=np.stack(actions),
            expert=self._flags(sources.expert, stamps, True),
            human_intervention=self._flags(sources.human_intervention, stamps, False),
            circumstances=labels.circumstances,
            **collect_streams(robot, measured, f'episode {self._bag.path}'),
        )

    def _read(self) -> Streams:
        """Read all messages once; many images are only looked at, and read again later."""
        streams: Streams = {topic: [] for topic in self._sources.topics}
        by_topic = {topic: name for name, topic in self._sources.cameras.items()}
        cameras = {camera.name: camera for camera in self._robot.cameras}
        looks = {topic: ImageLook(cameras[name]) for topic, name in by_topic.items()}
        n_bytes = 0
        for topic, bag_ns, data in self._bag.messages(streams):
            message = self._bag.decode(topic, data)
            stamped = hasattr(message, 'header') or hasattr(message, 'timestamp')
            stamp_ns = stamp_of(message) if stamped else None
            if topic not in by_topic:
                if not self._is_stale(bag_ns, stamp_ns, self._limits.joint_s):
                    streams[topic].append(Row(bag_ns, stamp_ns, message))
                continue
            look, name = looks[topic], by_topic[topic]
            with self._located(bag_ns, f'{topic} '):
                image = look.see(message, bag_ns)
            if image is None or self._is_stale(bag_ns, stamp_ns, self._limits.image_s):
                continue
            streams[topic].append(Row(bag_ns, stamp_ns, look.n - 1))
            self._sizes[name] = (image.shape[0], image.shape[1])
            n_bytes += image.nbytes
            if n_bytes > KEPT_BYTES:
                self._kept = None
            elif self._kept is not None:
                self._kept.setdefault(name, {})[look.n - 1] = image
        for topic, look in looks.items():
            if look.unnamed:
                what = describe_unnamed(cameras[by_topic[topic]], look.unnamed)
                note(str(self._bag.path.parent), what)
            if look.lost:
                logger.warning(
                    'episode %s: %s shows nothing in %d packets of video from %s on, as behind '
                    'lost ones up to the next key frame: they are left out',
                    self._bag.path, topic, len(look.lost), self._at_s(look.lost[0]),
                )  # fmt: skip
            for from_ns, to_ns in look.frozen if 'rate_hz' not in self._bag.custom else ():
                # an encoder of video leaves out the noise of a scene that stands still
                if look.video and not self._move(streams, from_ns, to_ns):
                    continue
                logger.warning(
                    'episode %s: %s shows the same image for %.2f s from %s on: frozen',
                    self._bag.path, topic, (to_ns - from_ns) * 1e-9, self._at_s(from_ns),
                )  # fmt: skip
        return streams

    def _move(self, streams: Streams, from_ns: int, to_ns: int) -> bool:
        """Return whether a joint moves between two arrivals [ns]."""
        positions: dict[tuple[str, str], list[float]] = {}
        for topic in self._sources.joint_states.values():
            for row in streams[topic]:
                if from_ns <= row.arrival_ns <= to_ns:
                    for name, position in zip(row.value.name, row.value.position, strict=False):
                        positions.setdefault((topic, name), []).append(position)
        return any(max(each) - min(each) > MOVED for each in positions.values())

    def _is_stale(self, bag_ns: int, stamp_ns: int | None, max_s: float) -> bool:
        """Return whether a message was newest when a part begins and is too old to count in it.

        Args:
            bag_ns: Its arrival, or the begin of the part [ns].
            stamp_ns: Its stamp [ns], None without one: such a message holds until the next.
            max_s: The oldest that counts [s].
        """
        if stamp_ns is None or self._reading.stamps is not None:
            return False
        begins = self._bag.recorded_ns < self._bag.start_ns == bag_ns
        return begins and bag_ns - stamp_ns > max_s * 1e9

    def _check_clocks(self) -> None:
        """Refuse stamps of another clock, or of several where a person trusts them."""
        late_s = dict.fromkeys(self._streams, self._limits.joint_s)
        late_s |= dict.fromkeys(self._sources.cameras.values(), self._limits.image_s)
        if self._reading.stamps is None:
            for topic, rows in self._streams.items():
                check_stamps(topic, rows, self._bag.start_ns, late_s[topic])
        elif self._reading.stamps == 'header':
            acting = [part.topic for part in self._sources.commands]
            check_one_clock(self._streams, late_s, acting)

    def _time(self, row: Row) -> int:
        return time_of(row, self._reading.stamps, self._offset_ns)

    def _at_s(self, bag_ns: int) -> str:
        """Return a time of arrival as text: seconds since the start."""
        return f'{(bag_ns - self._bag.start_ns) * 1e-9:.2f} s'

    @contextmanager
    def _located(self, bag_ns: int, topic: str = '') -> Iterator[None]:
        """Say when in the episode something went wrong, and on which topic."""
        try:
            yield
        except (ValueError, TimeoutError) as error:
            msg = f'{topic}at {self._at_s(bag_ns)}: {error}'
            raise ValueError(msg) from error

    def _camera(self, camera: CameraSpec) -> StreamBuffer[int]:
        """Return the stream of the numbers of a camera's messages."""
        topic = self._sources.cameras[camera.name]
        rows = self._streams[topic]
        stream = StreamBuffer[int](topic)
        for row in rows:
            stream.push(self._time(row), row.value)
        seconds = (rows[-1].arrival_ns - rows[0].arrival_ns) * 1e-9 if rows else 0.0
        if seconds > SETTLED_S and 'rate_hz' not in self._bag.custom:  # that of a conversion
            rate_hz = (len(rows) - 1) / seconds
            if not 1.0 / ODD_RATE < rate_hz / camera.rate_hz < ODD_RATE:
                told = f'{topic} has {rate_hz:.0f} images a second, the robot file says '
                told += f'{camera.rate_hz:g}: another rate, or two cameras on one topic'
                note(str(self._bag.path.parent), told)
        return stream

    def _arm(self, arm: ArmSpec) -> ArmStream:
        """Return one arm's poses without those a failed bus read made up."""
        topic = self._sources.joint_states[arm.joint_state_topic]
        named = replace(arm, joint_state_topic=topic)
        stream, rows = ArmStream(named, topic), self._streams[topic]
        if rows and not any({*row.value.name} & {*arm.state_joints} for row in rows):
            raise ValueError(describe_missing(named, rows[0].value))
        first = ''
        for row in rows:
            with self._located(row.arrival_ns):
                reason = stream.push(self._time(row), row.value)
            if stream.n_jumps and not first:
                first = f'{self._at_s(row.arrival_ns)}: {reason}'
        if stream.n_jumps > max(MOST_JUMPS * len(rows), 1):
            msg = f'{stream.n_jumps} of {len(rows)} joint states cannot be true, the first at '
            msg += f'{first}; radians of one publisher are expected, and '
            msg += 'two on one topic or degrees look like this: --map TOPIC=STREAM takes another; '
            msg += 'so do stamps that stand still: --stamps arrival takes the time of arrival'
            raise ValueError(msg)
        return stream

    def _command(self, part: Any) -> StreamBuffer[NDArray[np.float32]]:
        """Return the commands of one topic."""
        stream = StreamBuffer[NDArray[np.float32]](part.topic)
        for row in self._streams[part.topic]:
            with self._located(row.arrival_ns):
                positions = part.positions(row.value)
                if not np.isfinite(positions).all():
                    msg = f'{part.topic} has a NaN or infinite position'
                    raise ValueError(msg)
            stream.push(self._time(row), positions)
        return stream

    def _flags(self, topic: str, stamps: NDArray[np.int64], before: bool) -> NDArray[np.bool_]:
        """Return the newest value of a std_msgs/Bool topic at every tick.

        Args:
            topic: Its name, empty where there is none.
            stamps: (S,) ticks [ns].
            before: What holds before the first message.
        """
        flags = StreamBuffer[bool](topic)
        for row in self._streams.get(topic, ()):
            flags.push(self._time(row), bool(row.value.data))
        return np.array([
            flags.newest_at(ns, np.inf).value if len(flags) and flags.first_ns <= ns else before
            for ns in stamps.tolist()
        ], np.bool_)  # fmt: skip

    def _grid(self, groups: list[Mapping[str, Any]], rate_hz: float) -> NDArray[np.int64]:
        """Return the ticks at which every stream has a message, and tell what they leave out."""
        _, arms, commands, leaders = groups
        # by themselves: arms of one topic have one name
        streams = [stream for group in groups for stream in group.values()]
        late = max(streams, key=lambda stream: stream.first_ns)
        acting = [*commands.values(), *leaders.values()] or [*arms.values()]
        wanted_ns = min(stream.last_ns for stream in acting)
        end_ns, soon = min(
            (stream.last_ns + round(max_s * 1e9), stream.name)
            for group, max_s in zip(
                groups, (self._limits.image_s, *3 * [self._limits.joint_s]), strict=True
            )
            for stream in group.values()
        )
        first_ns, last_ns = late.first_ns, wanted_ns
        if self._bag.start_ns > self._bag.recorded_ns:  # a part; what was newest then comes first
            first_ns = max(first_ns, self._bag.start_ns)
        if wanted_ns - END_S * 1e9 <= end_ns < wanted_ns:
            last_ns = end_ns
        else:
            soon = min(acting, key=lambda stream: stream.last_ns).name
        begin_s = (first_ns - self._bag.start_ns) * 1e-9
        left_s = (self._bag.end_ns - last_ns) * 1e-9
        for seconds, side, name in ((begin_s, 'start', late.name), (left_s, 'end', soon)):
            if seconds > REPORTED_S:
                why = 'begins there' if side == 'start' else 'ends there'
                logger.warning(
                    'episode %s: %.2f s at the %s are left out: %s %s',
                    self._bag.path, seconds, side, name, why,
                )  # fmt: skip
        # a clock that leapt by years makes a gap of as many ticks, of which the first is told
        most_s = (
            self._limits.joint_s * max(len(self._streams[s.name]) for s in arms.values()) + 1.0
        )
        last_ns = min(last_ns, first_ns + round(most_s * 1e9))
        try:
            return tick_grid(first_ns, last_ns, rate_hz)
        except ValueError as error:
            msg = f'{late.name} begins after {soon} has ended; {error}'
            raise ValueError(msg) from error

    def _images(
        self, rows: NDArray[np.int64]
    ) -> tuple[dict[str, Images], dict[str, NDArray[np.int64]]]:
        """Return camera -> distinct images, and camera -> the one of every tick.

        Args:
            rows: (S, C) numbers of messages.
        """
        images: dict[str, Images] = {}
        image_index = {}
        for i, camera in enumerate(self._robot.cameras):
            used, index = np.unique(rows[:, i], return_inverse=True)
            image_index[camera.name] = index.astype(np.int64)
            if self._kept is None:
                topic, path = self._sources.cameras[camera.name], self._bag.path
                read = _reread(path, topic, camera.colours)
                images[camera.name] = ImageRows(self._sizes[camera.name], read, used)
            else:
                kept = self._kept[camera.name]
                images[camera.name] = np.stack([kept[number] for number in used.tolist()])
        return images, image_index

    def _task(self, labels: Labels) -> str:
        """Return the instruction: that of the bag's labels, the last one sent, or a person's.

        One that is sent while an episode is recorded is for those to come, and an empty one ends
        the queries of a policy: neither is what was done before.

        Raises:
            ValueError: There is none.
        """
        rows = self._streams.get(self._sources.task, ())
        sent = [row.value.data for row in rows if row.value.data]
        if own := self._bag.custom.get('task'):
            if sent and sent[-1] != own and 'task' not in relabelled(self._bag.custom):
                logger.warning(
                    'episode %s: its task is %r; %r was sent while it was recorded, for those to '
                    'come',
                    self._bag.path, own, sent[-1],
                )  # fmt: skip
            return own
        if not sent and not labels.task:
            msg = 'its task is empty; give it with --task'
            raise ValueError(msg)
        if not sent:
            return labels.task or ''
        where = str(self._bag.path.parent)
        note_other(where, COMPLETING['task'], self._reading.labels.task, sent[-1])
        return sent[-1]


def _reread(path: Path, topic: str, colours: str) -> Any:
    """Return what reads the images of some messages of a topic once more."""

    def read(wanted: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        numbers, decoder = set(wanted.tolist()), ImageDecoder()
        last = int(wanted[-1]) if len(wanted) else -1
        with open_bag(path) as bag:
            kind = bag.types[topic]
            for number, (_, _, data) in enumerate(bag.messages([topic])):
                if number > last:
                    return
                if number in numbers or kind != IMAGE:  # video needs all before it
                    image = decoder.decode(bag.decode(topic, data), colours)
                    if number in numbers and image is not None:
                        yield image

    return read
