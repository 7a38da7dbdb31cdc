# SPDX-License-Identifier: Apache-2.0
"""A robot file made of a contract: the streams are filled in, the rest is left open and listed.

A contract has no word for limits, speeds, poses, gripper scales and the size of a camera's images,
and nothing may move without them: they are ``OPEN`` in the file, which nobody reads until they are
filled in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import re
from typing import Any, NamedTuple

from cosmos_policy_ros.config_file import find_open, OPEN
from cosmos_policy_ros.data.rosetta.contract import (
    COMMANDS,
    Contract,
    JOINT_STATE,
    NUMBERS,
    Source,
)
from cosmos_policy_ros.image_decoder import COMPRESSED_IMAGE, IMAGE
from cosmos_policy_ros.types import ConfigError
import yaml

SIDES = ('left', 'right')  # arms that nobody has named
GRIPPER_WORDS = re.compile('gripper|finger|jaw|claw', re.IGNORECASE)
COMPRESSED = '/compressed'  # what image_transport adds to the topic of a camera
DRIVERS = {row.type: driver for driver, row in COMMANDS.items()}
NOTES = {  # unit and meaning of what is left open, behind it in the file
    'joint_state_rate_hz': 'messages per second on a joint-state topic',
    'joint_state_topic': 'the one topic with all joints of the arm and its gripper',
    'driver': 'forward, trajectory, joint_state, interbotix; see docs/how-to/add_a_robot.md',
    'command_topic': 'topic of that driver, of this arm alone',
    'lower': 'rad, a list of one per joint',
    'upper': 'rad',
    'max_speed': 'rad/s',
    'max_acceleration': 'rad/s^2; lower = smoother, later',
    'start': 'rad; gripper 0..1, the last: the pose before an episode',
    'state_joint': 'joint on the joint-state topic that measures the opening',
    'state_closed': 'm or rad, state_joint when closed',
    'state_open': 'm or rad, when open',
    'command_closed': 'm or rad, what closes it',
    'command_open': 'm or rad',
    'gripper_closed': "rad, the leader's gripper joint when closed",
    'gripper_open': 'rad',
    'start_below': 'rad, below which it counts as closed before motion starts',
    'cameras': 'the contract has none',
    'topic': 'images, or <topic>/compressed with transport: compressed',
    'width': 'px',
    'height': 'px',
    'rate_hz': 'images per second',
}
GRIPPER_KEYS = (
    'state_closed', 'state_open', 'command_closed', 'command_open', 'max_speed',
    'max_acceleration',
)  # fmt: skip
GRIPPER_NOTES = {  # the same for keys that an arm has in other units
    'max_speed': '1/s of the normalised opening',
    'max_acceleration': '1/s^2 of the normalised opening',
}


class Draft(NamedTuple):
    """A robot file on its way.

    Attributes:
        text: What the file holds.
        remarks: What of the contract is in it otherwise, or not at all.
        left_open: Keys whose values a person fills in, such as ``arms[0].lower``.
    """

    text: str
    remarks: tuple[str, ...]
    left_open: tuple[str, ...]


def draft_robot(
    contract: Contract, arms: Sequence[str] = (), grippers: Sequence[str] = ()
) -> Draft:
    """Return the robot file of a contract.

    Args:
        contract: What names the streams.
        arms: Names of the arms in action order; a joint is of the arm whose name its topic or else
            the joint itself has in it. By default ``left`` and ``right`` where that tells all
            joints apart, else one arm.
        grippers: Joints that are grippers, by default those with a word for one in their name.

    Raises:
        ConfigError: The contract measures no joint, or its joints make no arms.
    """
    drafter = _Drafter(contract, arms, grippers)
    robot = {
        'name': contract.robot_type,
        'control_rate_hz': contract.fps,
        'joint_state_rate_hz': OPEN,
        'arms': [drafter.arm(name) for name in drafter.arms],
        'cameras': [drafter.camera(*named) for named in contract.cameras.items()] or OPEN,
    }
    head = [
        f'# Made of a contract of rosetta: fill in what {OPEN} stands for, from data sheets, the',
        '# URDF or the driver; nothing reads this file before. docs/how-to/add_a_robot.md',
    ]
    text = '\n'.join([*head, *_lines(robot)]) + '\n'
    return Draft(text, tuple(drafter.remarks), tuple(find_open(yaml.safe_load(text))))


class _Drafter:
    """A robot while its file is being made, with what there is to remark about it.

    Attributes:
        arms: Names of its arms in action order.
        remarks: What of the contract is in the file otherwise, or not at all.
    """

    def __init__(self, contract: Contract, arms: Sequence[str], grippers: Sequence[str]) -> None:
        """Sort the topics of a contract by what they have of arms.

        Raises:
            ConfigError: None measures joints, or joints are of no arm.
        """
        others = [s for s in (*contract.states, *contract.actions) if not s.positions]
        self.remarks = [
            f'{s.key}: {s.topic}, {s.type}, is left out; a robot file has the joints of arms alone'
            for s in others
        ]
        self._measured = [s for s in contract.states if s.positions and s.type == JOINT_STATE]
        self._commands = [s for s in contract.actions if s.positions]
        self._leaders, self._grippers = contract.leaders, grippers
        if not self._measured:
            msg = (
                f'the contract of {contract.robot_type} has no observation of type {JOINT_STATE} '
            )
            msg += 'that selects positions; a robot file is of measured joints'
            raise ConfigError(msg)
        sources = [*self._measured, *self._commands]
        self.arms = tuple(arms) or _sides(sources)
        for source in sources:
            nobody = [j for j in source.positions if not _owner(source, j, self.arms)]
            if nobody:
                msg = (
                    f'{source.key}: the joints {nobody} of {source.topic} are of none of the arms '
                    f'{[*self.arms]}; give with --arms names of which the topic or the joint has '
                    'exactly one in it'
                )
                raise ConfigError(msg)

    def arm(self, name: str) -> dict[str, Any]:
        """Return one arm.

        Raises:
            ConfigError: Its commands are not those of one arm, or not of its measured joints.
        """
        places = {
            joint: source.topic for source in self._measured for joint in self._own(source, name)
        }
        sent = [(s, self._named(s, name, [*places])) for s in self._commands if self._own(s, name)]
        carriers = [(s, joints) for s, joints in sent if not all(map(self._is_gripper, joints))]
        if len(carriers) > 1:
            msg = f'arm {name}: its joints are commanded on {[s.topic for s, _ in carriers]}, one '
            msg += 'topic is expected; name with --arms what are several arms'
            raise ConfigError(msg)
        carrier, commanded = carriers[0] if carriers else (None, [*places])
        joints = [joint for joint in commanded if not self._is_gripper(joint)]
        if missing := [joint for joint in joints if joint not in places]:
            msg = f'arm {name}: {missing} are commanded and not measured; it measures {[*places]}'
            raise ConfigError(msg)
        if not joints:
            msg = f'arm {name} has no joint but grippers; it measures {[*places]}'
            raise ConfigError(msg)
        if unmoved := [j for j in places if j not in joints and not self._is_gripper(j)]:
            self.remarks.append(f'arm {name}: {unmoved}, measured and not commanded, are left out')
        topics = list(dict.fromkeys(places[joint] for joint in joints))
        if len(topics) > 1:
            self.remarks.append(f'arm {name}: it is measured on {topics}; bring them onto one')
        arm: dict[str, Any] = {
            'name': name,
            'driver': OPEN if carrier is None else DRIVERS[carrier.type],
            'joint_state_topic': topics[0] if len(topics) == 1 else OPEN,
            'command_topic': OPEN if carrier is None else self._topic_alone(carrier, name),
            'joints': joints,
            **dict.fromkeys(('lower', 'upper', 'max_speed', 'max_acceleration', 'start'), OPEN),
        }
        if carrier is None:
            self.remarks.append(
                f'arm {name}: the contract has no command that a driver here sends'
            )
        if gripper := self._gripper(name, places, topics, sent, carrier):
            arm['gripper'] = gripper
        if carrier is not None and carrier.topic in self._leaders:
            arm |= self._leader(name, self._leaders[carrier.topic], len(joints), bool(gripper))
        return arm

    def camera(self, name: str, source: Source) -> dict[str, Any]:
        """Return one camera."""
        packed = source.type == COMPRESSED_IMAGE and source.topic.endswith(COMPRESSED[1:])
        camera = {
            'name': name,
            'topic': source.topic.removesuffix(COMPRESSED) if packed else source.topic,
            **dict.fromkeys(('width', 'height', 'rate_hz'), OPEN),
            **({'transport': 'compressed'} if packed else {}),
        }
        if source.type != IMAGE and not packed:
            camera['topic'] = OPEN
            self.remarks.append(
                f'camera {name}: {source.topic}, {source.type}, cannot be taken live; expected '
                f'are raw images, or JPEG and PNG on <topic>{COMPRESSED} or a topic whose name '
                'ends so'
            )
        return camera

    def _gripper(
        self,
        arm: str,
        places: Mapping[str, str],
        topics: Sequence[str],
        sent: Sequence[tuple[Source, Sequence[str]]],
        carrier: Source | None,
    ) -> dict[str, Any]:
        """Return the gripper of an arm, empty where it has none.

        Args:
            arm: Its name.
            places: Measured joint -> topic.
            topics: Where the joints of the arm are measured.
            sent: Topics of commands, and their joints of the arm.
            carrier: What takes the commands of these joints, None where nothing does.
        """
        measured = [joint for joint in places if self._is_gripper(joint)]
        commanded = [(source, j) for source, mine in sent for j in mine if self._is_gripper(j)]
        for what, found in (('measured', measured), ('commanded', [j for _, j in commanded])):
            if len(found) > 1:
                msg = f'arm {arm}: its {what} grippers are {found}, one is expected; name it with '
                msg += '--grippers, or with --arms what are several arms'
                raise ConfigError(msg)
        if not measured and not commanded:
            return {}
        state_joint = measured[0] if measured else OPEN
        if measured and places[state_joint] not in topics:
            self.remarks.append(
                f'arm {arm}: its gripper {state_joint} is measured on {places[state_joint]}; '
                f'bring it onto {topics[0]}, where the parts of an arm are joined by name'
            )
            state_joint = OPEN
        gripper = {'state_joint': state_joint, **dict.fromkeys(GRIPPER_KEYS, OPEN)}
        if not commanded:
            self.remarks.append(f'arm {arm}: the contract has no command for its gripper')
            return gripper | {'driver': OPEN, 'command_topic': OPEN}
        source, joint = commanded[0]
        if source is not carrier:
            gripper['driver'] = DRIVERS[source.type]
            gripper['command_topic'] = self._topic_alone(source, arm)
        if source.type != NUMBERS and joint != state_joint:
            gripper['command_joint'] = joint
        return gripper

    def _leader(self, arm: str, source: Source, n_joints: int, gripper: bool) -> dict[str, Any]:
        """Return the leader of an arm under its key, nothing where it cannot lead this arm."""
        own = [j for j in source.positions if _owner(source, j, self.arms) in (arm, '')]
        joints = [joint for joint in own if not self._is_gripper(joint)]
        grippers = [joint for joint in own if self._is_gripper(joint)]
        fits = gripper and len(joints) == n_joints and len(grippers) == 1
        if source.type != JOINT_STATE or not fits:
            self.remarks.append(
                f'arm {arm}: the leader on {source.topic} is left out; expected are as many '
                'joints as the arm has, and a gripper of both'
            )
            return {}
        leader = {
            'joint_state_topic': source.topic,
            'joints': joints,
            'gripper_joint': grippers[0],
            **dict.fromkeys(('gripper_closed', 'gripper_open', 'start_below'), OPEN),
        }
        return {'leader': leader}

    def _is_gripper(self, joint: str) -> bool:
        if self._grippers:
            return joint in self._grippers
        return bool(GRIPPER_WORDS.search(joint))

    def _own(self, source: Source, arm: str) -> list[str]:
        """Return which joints of a topic are of an arm, in its order."""
        return [joint for joint in source.positions if _owner(source, joint, self.arms) == arm]

    def _topic_alone(self, source: Source, arm: str) -> str:
        """Return a topic of commands, left open where other arms are on it too."""
        if len(self._own(source, arm)) == len(source.positions):
            return source.topic
        self.remarks.append(
            f'arm {arm}: {source.topic} takes several arms in one message; here each sends its own'
        )
        return OPEN

    def _named(self, source: Source, arm: str, measured: list[str]) -> list[str]:
        """Return the joints of an arm in a command, in its order.

        Numbers without the names of joints are taken for the measured ones, the gripper last.

        Raises:
            ConfigError: There are more or fewer, or a gripper is not the last.
        """
        joints = self._own(source, arm)
        if source.type != NUMBERS:
            return joints
        if not {*joints} <= {*measured}:
            body = [joint for joint in measured if not self._is_gripper(joint)]
            grippers = [joint for joint in measured if self._is_gripper(joint)]
            fitting = [
                each for each in ([*body, *grippers], body, grippers) if len(each) == len(joints)
            ]
            if not fitting:
                msg = (
                    f'{source.key}: {source.topic} takes the numbers {joints} of arm {arm}, which '
                )
                msg += f'measures {measured}'
                raise ConfigError(msg)
            self.remarks.append(
                f'arm {arm}: {joints} of {source.topic} are taken for {fitting[0]}; check that'
            )
            joints = fitting[0]
        if any(map(self._is_gripper, joints[:-1])):
            msg = f'{source.key}: {source.topic} takes {joints}; here a gripper is the last number'
            raise ConfigError(msg)
        return joints


def _owner(source: Source, joint: str, arms: Sequence[str]) -> str:
    """Return the arm that a joint of a topic is of, empty where that is not told."""
    if len(arms) == 1:
        return arms[0]
    for text in (source.topic, joint):
        words = [rf'(?<![A-Za-z0-9]){re.escape(arm)}(?![A-Za-z0-9])' for arm in arms]
        found = [arm for arm, word in zip(arms, words, strict=True) if re.search(word, text)]
        if len(found) == 1:
            return found[0]
    return ''


def _sides(sources: Sequence[Source]) -> tuple[str, ...]:
    """Return the arms that the topics and joints name, in order, or the only arm."""
    owners = [_owner(source, joint, SIDES) for source in sources for joint in source.positions]
    return tuple(dict.fromkeys(owners)) if all(owners) else ('follower',)


def _lines(data: Mapping[str, Any], indent: str = '', kind: str = '') -> Iterator[str]:
    """Yield a mapping as lines of YAML, a key each, with units behind what is left open."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield f'{indent}{key}:'
            yield from _lines(value, indent + '  ', key)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield f'{indent}{key}:'
            for each in value:
                first, *others = _lines(each, indent + '    ')
                yield f'{indent}  - {first.strip()}'
                yield from others
        elif value == OPEN:
            notes = NOTES | GRIPPER_NOTES if kind == 'gripper' else NOTES
            yield f'{indent}{key}: {OPEN}' + (f'  # {notes[key]}' if key in notes else '')
        else:
            text = yaml.safe_dump([value], default_flow_style=True, width=2**31).strip()
            yield f'{indent}{key}: {text[1:-1]}'
