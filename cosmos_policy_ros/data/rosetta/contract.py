# SPDX-License-Identifier: Apache-2.0
"""A contract of rosetta: which topics of a robot are its cameras, joints, commands and labels.

What names streams is taken from it. How rosetta resamples, converts and resizes them is its own
affair, since recordings hold the messages as they came. Functions that a contract names are
neither imported nor called.

Source: iblnkn/rosetta@dfd07e4 ``doc/reference/contract.md`` and ``rosetta/contract/schema.py``.
Contracts have no version; those of rosetta 0.1 are known by their lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Any, Literal

from cosmos_policy_ros.config_file import build, read_mapping
from cosmos_policy_ros.image_decoder import IMAGE_TYPES
from cosmos_policy_ros.topics import (
    ARM_FORWARD_COMMAND,
    ARM_JOINT_STATE_COMMAND,
    ARM_TRAJECTORY_COMMAND,
)
from cosmos_policy_ros.types import ConfigError

COMMANDS = {  # driver of the robot file -> what it sends, where rosetta can send it too
    'forward': ARM_FORWARD_COMMAND,
    'trajectory': ARM_TRAJECTORY_COMMAND,
    'joint_state': ARM_JOINT_STATE_COMMAND,
}
JOINT_STATE = ARM_JOINT_STATE_COMMAND.type
NUMBERS = ARM_FORWARD_COMMAND.type
IMAGE_KEY = 'observation.images.'  # begins the key of a camera
OUTCOMES = ('next.success', 'next.reward')  # keys whose last message judges an episode
HEADER = ('robot_type', 'robot_interface', 'fps')
LABELS = ('rewards', 'signals', 'info', 'complementary_data')
KEYS = (*HEADER, 'observations', 'actions', *LABELS, 'tasks', 'adjunct', 'teleop')
POSITION = ('position', 'positions')
FIELDS = (*POSITION, 'velocity', 'velocities', 'acceleration', 'accelerations', 'effort')


@dataclass(frozen=True)
class Source:
    """One topic that feeds a key of a contract.

    Attributes:
        key: The key, such as ``observation.state``.
        topic: Its topic, with a leading slash.
        type: Message type, ``package/msg/Name``.
        select: What is taken of a message, such as ``position.waist``; empty takes all.
        converted: Whether a function that the contract names makes numbers of the message.
        apply: Names of what is done to the numbers before they are rows of a data set.
    """

    key: str
    topic: str
    type: str
    select: tuple[str, ...] = ()
    converted: bool = False
    apply: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Of every number that it gives, the joint whose position it is; empty for others."""
        if self.converted or self.type not in {row.type for row in COMMANDS.values()}:
            return ('',) * max(len(self.select), 1)
        found = []
        for selector in self.select:
            field, dot, name = selector.partition('.')
            if dot and field in POSITION:
                found.append(name)
            elif not dot or self.type == NUMBERS:  # a label of a number is anybody's word
                found.append(selector)
            else:
                found.append('')
        return tuple(found)

    @property
    def positions(self) -> tuple[str, ...]:
        """Joints whose positions it gives, in order; none where it is not of joints."""
        return tuple(joint for joint in self.columns if joint)


@dataclass(frozen=True)
class Contract:
    """What a contract says about the streams of a robot.

    Attributes:
        robot_type: Name of the robot.
        fps: Rows of a data set, and commands of a policy, per second [Hz].
        cameras: Camera -> its topic. Names are those of the keys with ``_`` for what no name of a
            topic has: ``observation.images.wrist.left`` is ``wrist_left``.
        states: The other observations, in order.
        actions: Topics of the commands, in order.
        leaders: Topic of commands -> the arm of a person that makes them.
        task_topic: Topic of the instruction, empty where there is none.
        outcome: What judges an episode, None where nothing does.
    """

    robot_type: str
    fps: float
    cameras: Mapping[str, Source]
    states: tuple[Source, ...]
    actions: tuple[Source, ...]
    leaders: Mapping[str, Source]
    task_topic: str = ''
    outcome: Source | None = None


@dataclass(frozen=True)
class _Header:
    robot_type: str
    robot_interface: Literal['ros2']
    fps: float


@dataclass(frozen=True)
class _Qos:
    reliability: str = ''
    durability: str = ''
    history: str = ''
    liveliness: str = ''
    depth: int = 10


@dataclass(frozen=True)
class _Channel:
    topic: str
    type: str
    qos: _Qos | None = None
    dtype: str = ''
    decoder: str = ''
    encoder: str = ''
    safety: str = ''


@dataclass(frozen=True)
class _Align:
    strategy: Literal['hold', 'asof', 'drop']
    timeline: str
    tolerance_ms: float | None = None


@dataclass(frozen=True)
class _Entry:
    channel: _Channel
    align: _Align
    select: tuple[str, ...] | None = None
    apply: str = ''  # has shapes of its own, see _operators
    kind: str = ''


@dataclass(frozen=True)
class _Bare:
    channel: _Channel


def read_contract(path: Path) -> Contract:
    """Return what a contract file says.

    Args:
        path: YAML file.

    Raises:
        ConfigError: It is missing, or no contract that is known; names the key, what came and what
            was expected.
    """
    hint = "give a contract of rosetta, such as those in its folder 'contracts'"
    return parse_contract(read_mapping(path, 'contract', hint), str(path))


def camera_name(key: str) -> str:
    """Return the name of a camera of a key, with ``_`` for what no name of a topic has."""
    return re.sub(r'\W', '_', key, flags=re.ASCII)


def judge_outcome(key: str, value: object) -> bool | None:
    """Return what one value of a key of ``OUTCOMES`` says, None where nobody has judged.

    A reward of a person is 1 or -1 by default, 0 is nobody's, and one of a classifier anything.
    """
    if not isinstance(value, bool | int | float):
        return None
    if key == 'next.success':
        return bool(value)
    return True if value >= 1.0 else False if value < 0.0 else None


def parse_contract(data: Mapping[Any, Any], where: str) -> Contract:
    """Return what the mapping in a contract says.

    Args:
        data: What was read of it.
        where: File, for messages.

    Raises:
        ConfigError: As ``read_contract``.
    """
    data = {str(k): v for k, v in data.items() if not str(k).startswith('x-')}
    _check_version(data, where)
    header = build(_Header, {k: v for k, v in data.items() if k in HEADER}, where)
    if not (header.robot_type.strip() and header.fps > 0):
        msg = f'{where}: robot_type must be a name and fps above 0, got {header.robot_type!r} and '
        msg += f'{header.fps:g}'
        raise ConfigError(msg)
    observations = _sources(data, 'observations', where)
    actions = _sources(data, 'actions', where)
    labels = {s.key: s for name in LABELS for s in _sources(data, name, where)}
    tasks = {
        key: build(_Bare, value, f'{where}: tasks.{key}').channel
        for key, value in _section(data, 'tasks', where).items()
    }
    return Contract(
        robot_type=header.robot_type,
        fps=header.fps,
        cameras=_cameras([s for s in observations if s.key.startswith(IMAGE_KEY)], where),
        states=tuple(s for s in observations if not s.key.startswith(IMAGE_KEY)),
        actions=actions,
        leaders=_leaders(data, actions, where),
        task_topic=next((_full_name(channel.topic) for channel in tasks.values()), ''),
        outcome=next((labels[key] for key in OUTCOMES if key in labels), None),
    )


def _check_version(data: Mapping[str, Any], where: str) -> None:
    """Refuse a contract of another version than the one that is known.

    Raises:
        ConfigError: Its keys are not those of rosetta 0.2.
    """
    listed = [key for key in ('observations', 'actions') if isinstance(data.get(key), list)]
    if listed:
        msg = (
            f'{where}: {listed[0]} must be a mapping of keys, as in contracts of rosetta 0.2, got '
            'a list, as in those of 0.1, which are not read; write it anew for 0.2'
        )
        raise ConfigError(msg)
    if unknown := sorted(set(data) - set(KEYS)):
        msg = (
            f'{where} has unknown keys {unknown}; a contract of rosetta 0.2, the version that is '
            f'known, has {list(KEYS)}'
        )
        raise ConfigError(msg)


def _section(data: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """Return a section of a contract, empty where it has none.

    Raises:
        ConfigError: It is no mapping.
    """
    section = data.get(name, {})
    if not isinstance(section, dict):
        msg = f'{where}: {name} must be a mapping of keys, got {section!r}'
        raise ConfigError(msg)
    return {str(key): value for key, value in section.items()}


def _sources(data: Mapping[str, Any], section: str, where: str) -> tuple[Source, ...]:
    """Return the topics of a section in the order of its keys, several of a key one by one."""
    found = []
    for key, value in _section(data, section, where).items():
        place = f'{where}: {section}.{key}'
        if not isinstance(value, list):
            found.append(_source(key, value, place))
            continue
        if not value:
            msg = f'{place} must be a source or a list of at least one, got {value!r}'
            raise ConfigError(msg)
        found += [_source(key, each, f'{place}[{i}]') for i, each in enumerate(value)]
    return tuple(found)


def _source(key: str, data: Any, place: str) -> Source:
    """Return one topic of a key."""
    plain = data
    if isinstance(data, dict):
        plain = {name: value for name, value in data.items() if name != 'apply'}
    entry = build(_Entry, plain, place)
    channel, select = entry.channel, entry.select or ()
    if not channel.topic.strip('/'):
        msg = f'{place}: topic must be a name, got {channel.topic!r}'
        raise ConfigError(msg)
    named = channel.type in (JOINT_STATE, ARM_TRAJECTORY_COMMAND.type)
    for i, selector in enumerate(select if named and not channel.decoder else ()):
        field, dot, name = selector.partition('.')
        if not (name if dot else field) or (dot and field not in FIELDS):
            msg = f'{place}: select[{i}] must be a joint, or one of {list(FIELDS)}, a dot and a '
            msg += f'joint, got {selector!r}'
            raise ConfigError(msg)
    converted = bool(channel.decoder or channel.encoder)
    applied = _operators(data, place)
    return Source(key, _full_name(channel.topic), channel.type, select, converted, applied)


def _operators(data: dict[str, Any], place: str) -> tuple[str, ...]:
    """Return the names of what is applied to the numbers of a topic, in order.

    Raises:
        ConfigError: They are no names, nor names with what they are given.
    """
    given = data.get('apply', [])
    each = given if isinstance(given, list) else [given]
    single = [next(iter(one)) if isinstance(one, dict) and len(one) == 1 else one for one in each]
    if not isinstance(given, list) or not all(isinstance(name, str) for name in single):
        msg = f'{place}: apply must be a list of names, or of one name with its values each, got '
        msg += f'{given!r}'
        raise ConfigError(msg)
    return tuple(single)


def _full_name(topic: str) -> str:
    """Return the name that a topic has in a recording of a node without a namespace."""
    return f'/{topic.removeprefix("/")}'


def _cameras(sources: list[Source], where: str) -> dict[str, Source]:
    """Return camera -> its topic.

    Raises:
        ConfigError: A topic has no images, or two keys are one name.
    """
    cameras: dict[str, Source] = {}
    for source in sources:
        name = camera_name(source.key.removeprefix(IMAGE_KEY))
        if source.type not in IMAGE_TYPES:
            msg = f'{where}: observations.{source.key}: type must be one of {list(IMAGE_TYPES)}, '
            msg += f'got {source.type!r}'
            raise ConfigError(msg)
        if not name or name in cameras:
            msg = f'{where}: observations.{source.key}: the camera must have a name of its own, '
            msg += f'got {name!r}'
            raise ConfigError(msg)
        cameras[name] = source
    return cameras


def _leaders(
    data: Mapping[str, Any], actions: tuple[Source, ...], where: str
) -> dict[str, Source]:
    """Return topic of commands -> the arm of a person that makes them.

    Raises:
        ConfigError: One is for commands that the contract does not have.
    """
    inputs = _section(data, 'teleop', where).get('input', [])
    if not isinstance(inputs, list):
        msg = f'{where}: teleop.input must be a list, got {inputs!r}'
        raise ConfigError(msg)
    known = [source.topic for source in actions]
    leaders = {}
    for i, each in enumerate(inputs):
        place = f'{where}: teleop.input[{i}]'
        target = each.get('target') if isinstance(each, dict) else None
        if not isinstance(target, str) or _full_name(target) not in known:
            msg = f'{place}: target must be a topic of actions, {known}, got {target!r}'
            raise ConfigError(msg)
        rest = {key: value for key, value in each.items() if key != 'target'}
        leaders[_full_name(target)] = _source('teleop.input', rest, place)
    return leaders
