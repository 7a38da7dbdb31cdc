# SPDX-License-Identifier: Apache-2.0
"""Which topic of a bag is which stream of the robot file, and what its messages say about actions.

Recorders of others name topics otherwise, record compressed images only, or have no topic of ours:
the commands are then on the topics of the controllers, or nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_policy_ros.data.bags.writer import BOOL, INT8, JOINT_STATE, STRING
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.image_decoder import IMAGE_TYPES
from cosmos_policy_ros.robot import ArmSpec, CommandOutput, leader_robot, RobotSpec
from cosmos_policy_ros.stream_judge import joint_targets
from cosmos_policy_ros.topics import EXPERT, HUMAN_INTERVENTION, JOINT_COMMAND, TASK
import numpy as np
from numpy.typing import NDArray

# what image_transport plugins add to the topic of a camera, in the order of preference
SUFFIXES = ('', '/compressed', '/foxglove', '/ffmpeg')
NUMBERS = 'std_msgs/msg/Float64MultiArray'
TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
COMMAND_TYPES = (NUMBERS, TRAJECTORY, JOINT_STATE)


@dataclass(frozen=True)
class CommandPart:
    """A topic with commands of some joints.

    Attributes:
        topic: Its name in the bag.
        columns: Which of the A numbers they are.
        positions: Returns (columns,) float32 [rad; gripper 0..1] of a message; raises ValueError.
    """

    topic: str
    columns: slice
    positions: Callable[[Any], NDArray[np.float32]]


@dataclass(frozen=True)
class Sources:
    """Where the streams of an episode are in a bag.

    Attributes:
        cameras: Camera -> topic.
        joint_states: Topic of the robot file -> topic.
        commands: Parts of the actions, none where these are made from measured joints.
        leaders: The leader arms whose poses are the actions, none for others.
        task: Topic of the instruction, empty where a label says it.
        expert: Topic of the expert flags, empty without.
        human_intervention: Topic that says when a person acts in place of the policy, or empty.
    """

    cameras: Mapping[str, str]
    joint_states: Mapping[str, str]
    commands: tuple[CommandPart, ...]
    leaders: tuple[ArmSpec, ...]
    task: str
    expert: str
    human_intervention: str

    @property
    def topics(self) -> set[str]:
        """All topics of the bag that are read."""
        found = {*self.cameras.values(), *self.joint_states.values(), self.task}
        found |= {self.expert, self.human_intervention, *(part.topic for part in self.commands)}
        return found - {''}


def stream_topics(robot: RobotSpec) -> dict[str, str]:
    """Return name of a stream, as a person may give it -> its topic in the robot file."""
    outputs = [output.topic for arm in robot.arms for output in arm.outputs]
    leaders = [arm.leader.joint_state_topic for arm in robot.arms if arm.leader]
    topics = [*(c.topic for c in robot.cameras), *robot.joint_state_topics, JOINT_COMMAND.name]
    topics += [TASK.name, EXPERT.name, HUMAN_INTERVENTION.name, *leaders, *outputs]
    named = {camera.name: camera.topic for camera in robot.cameras}
    named |= {arm.name: arm.joint_state_topic for arm in robot.arms}
    named |= {'action': JOINT_COMMAND.name, 'task': TASK.name}
    return named | {topic: topic for topic in topics}


def camera_topic(types: Mapping[str, str], topic: str) -> str | None:
    """Return the topic of a bag that has the images of a camera topic, None without.

    Args:
        types: Topic -> message type of the bag.
        topic: Topic of the robot file.
    """
    base = topic
    for suffix in SUFFIXES[1:]:
        base = base.removesuffix(suffix)
    names = [topic, *(base + suffix for suffix in SUFFIXES)]
    return next((name for name in names if types.get(name) in IMAGE_TYPES), None)


def find_sources(
    types: Mapping[str, str],
    robot: RobotSpec,
    reading: Reading,
    labelled: bool,
    silent: Collection[str] = (),
) -> Sources:
    """Return where the streams of an episode are.

    Args:
        types: Topic -> message type of the bag.
        robot: The streams.
        reading: What a person says about the bag.
        labelled: Whether the instruction is known without a topic.
        silent: Topics on which there was no message.

    Raises:
        ValueError: A topic is missing or of another type, or two streams are one and the same;
            says which option helps.
    """
    named = reading.topics
    missing: list[str] = []
    cameras = {}
    for camera in robot.cameras:
        topic = named.get(camera.topic, camera.topic)
        found = camera_topic(types, topic)
        if found is None and topic in types:
            msg = f'{topic} is of type {types[topic]}, expected one of {", ".join(IMAGE_TYPES)}'
            raise ValueError(msg)
        cameras[camera.name] = found or ''
        missing += [] if found else [topic]
    arms = leader_robot(robot).arms if reading.actions == 'leader' else ()
    joint_states = {}
    for topic in dict.fromkeys(a.joint_state_topic for a in (*robot.arms, *arms)):
        joint_states[topic] = named.get(topic, topic)
        _expect_type(types, joint_states[topic], JOINT_STATE)
        missing += [] if joint_states[topic] in types else [joint_states[topic]]
    followed = [*((arm, arm.name) for arm in robot.arms)]
    followed += [(arm, f'leader of {arm.name}') for arm in arms]
    _expect_apart(cameras, [(joint_states[a.joint_state_topic], a, name) for a, name in followed])
    commands: tuple[CommandPart, ...] = ()
    if reading.actions in (None, 'command'):
        commands = _command_parts(types, robot, named)
        missing += [] if commands else [named.get(JOINT_COMMAND.name, JOINT_COMMAND.name)]
    task = named.get(TASK.name, TASK.name)
    missing += [task] if task not in types and not labelled else []
    if missing:
        what = 'no message on' if set(missing) & set(silent) else 'no topic'
        msg = f'{what} {", ".join(missing)}; the bag has {sorted(types)}; topics of other names: '
        msg += '--map TOPIC=STREAM'
        if commands == () and reading.actions is None:
            msg += '; actions without commands: --actions leader or --actions state-next'
        if task in missing:
            msg += '; an instruction: --task'
        raise ValueError(msg)
    _expect_type(types, task, STRING)
    flags = [named.get(topic.name, topic.name) for topic in (EXPERT, HUMAN_INTERVENTION)]
    return Sources(
        cameras,
        joint_states,
        commands,
        arms,
        task if task in types else '',
        *(topic if types.get(topic) in (BOOL, INT8) else '' for topic in flags),
    )


def _expect_apart(cameras: Mapping[str, str], arms: Iterable[tuple[str, ArmSpec, str]]) -> None:
    """Refuse two streams that a person has mapped to the same images or joints.

    Args:
        cameras: Camera -> topic, empty where there is none.
        arms: Topic of the joint states of every arm, the arm, and what to call it.

    Raises:
        ValueError: They are; names both.
    """
    seen: dict[tuple[str, str], str] = {}
    measured = [(topic, joint, name) for topic, arm, name in arms for joint in arm.state_joints]
    shown = [(topic, '', name) for name, topic in cameras.items() if topic]
    for topic, joint, name in (*shown, *measured):
        if (other := seen.setdefault((topic, joint), name)) != name:
            what = f'the joint {joint!r}' if joint else 'the images'
            msg = f'{other} and {name} would both be {what} of {topic}, one stream each is '
            msg += 'expected: --map TOPIC=STREAM says which'
            raise ValueError(msg)


def _expect_type(types: Mapping[str, str], topic: str, wanted: str) -> None:
    if types.get(topic, wanted) != wanted:
        msg = f'{topic} is of type {types[topic]}, expected {wanted}'
        raise ValueError(msg)


def _command_parts(
    types: Mapping[str, str], robot: RobotSpec, named: Mapping[str, str]
) -> tuple[CommandPart, ...]:
    """Return where the commands are: all on one topic, or those of every controller on its own."""
    topic = named.get(JOINT_COMMAND.name, JOINT_COMMAND.name)
    if types.get(topic) == JOINT_STATE:
        every = slice(0, robot.size)
        return (CommandPart(topic, every, lambda m: joint_targets(robot, m, topic)),)
    parts: list[CommandPart] = []
    for arm, mine in zip(robot.arms, robot.arm_slices, strict=True):
        first = mine.start
        for output in arm.outputs:
            columns = slice(first, first + len(output.joints))
            first = columns.stop
            parts.append(_command_part(named.get(output.topic, output.topic), columns, output))
    if all(types.get(part.topic) in COMMAND_TYPES for part in parts):
        return tuple(parts)
    if topic in types:
        msg = f'{topic} is of type {types[topic]}, expected {JOINT_STATE}; actions without '
        msg += 'commands: --actions leader or --actions state-next'
        raise ValueError(msg)
    return ()


def _command_part(topic: str, columns: slice, output: CommandOutput) -> CommandPart:
    """Return the commands of one controller."""

    def positions(message: Any) -> NDArray[np.float32]:
        numbers = _controller_numbers(message, output, topic)
        return output.from_controller_units(numbers).astype(np.float32)

    return CommandPart(topic, columns, positions)


def _controller_numbers(message: Any, output: CommandOutput, topic: str) -> NDArray[np.float64]:
    """Return the positions of a command in the units and the order of its controller."""
    if hasattr(message, 'data'):
        numbers = np.asarray(message.data, np.float64)
        if len(numbers) != len(output.joints):
            msg = f'{topic} has {len(numbers)} numbers, its controller {len(output.joints)} joints'
            raise ValueError(msg)
        return numbers
    if hasattr(message, 'points'):
        if len(message.points) != 1:
            msg = f'{topic} has a trajectory of {len(message.points)} points, one is expected; '
            msg += 'actions of measured joints: --actions state-next'
            raise ValueError(msg)
        names, row = message.joint_names, message.points[0].positions
    else:
        names, row = message.name, message.position
    by_name = dict(zip(names, row, strict=True))
    if missing := [name for name in output.joints if name not in by_name]:
        msg = f'{topic} lacks the joints {missing}; it has {list(names)}'
        raise ValueError(msg)
    return np.array([by_name[name] for name in output.joints], np.float64)
