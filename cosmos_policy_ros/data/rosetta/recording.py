# SPDX-License-Identifier: Apache-2.0
"""What a bag of rosetta's episode recorder says: streams, instruction, outcome, who acted.

Its custom data hold the instruction of the recording and the text of the contract. Everything else
is messages: an instruction that changes, rewards of a person or a classifier, and who is in
control.

Source: iblnkn/rosetta@dfd07e4 ``bag_metadata.py``, ``episode_recorder_node.py`` and
``hil_manager_node.py`` (0 and 1 of ``hil_intervention`` are the policy and a person).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from cosmos_policy_ros.data.bags.files import Bag
from cosmos_policy_ros.data.bags.sources import camera_topic
from cosmos_policy_ros.data.bags.writer import custom_text, INT8
from cosmos_policy_ros.data.reading import note, Reading
from cosmos_policy_ros.data.rosetta.contract import (
    Contract,
    JOINT_STATE,
    judge_outcome,
    NUMBERS,
    parse_contract,
    Source,
)
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.topics import HUMAN_INTERVENTION, JOINT_COMMAND, TASK
import yaml

TASK_KEY = 'lerobot.operator_prompt'  # custom data: the instruction
CONTRACT_KEY = 'rosetta.contract_yaml'  # custom data: the text of the contract
CONTROL = 'hil_intervention'  # last part of the topic that says who acts


def contract_of(bag: Bag, reading: Reading) -> Contract | None:
    """Return the contract by which a bag is read: that of a person, else that in the bag.

    One in a bag that cannot be used is told with one line and left out.
    """
    text = bag.custom.get(CONTRACT_KEY)
    if reading.contract is not None or not text:
        return reading.contract
    found = _parse(text)
    if isinstance(found, str):
        note(str(bag.path.parent), f'the contract in the bags is left out: {found}')
        return None
    return found


@lru_cache(maxsize=64)
def _parse(text: str) -> Contract | str:
    """Return the contract that a text is, or why it is none; the bags of a folder share it."""
    try:
        data = yaml.safe_load(text)
        if not isinstance(data, dict):
            return f'it must be a YAML mapping, got {type(data).__name__}'
        return parse_contract(data, 'contract')
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return ' '.join(str(error).split())


def recorded_labels(bag: Bag, contract: Contract | None) -> dict[str, str]:
    """Return what a bag says about its episode, under the names of our custom data.

    Args:
        bag: The bag; nothing is found in one of ours.
        contract: What names its topics.

    Returns:
        ``task``, ``robot``, ``source`` and ``success``, as far as it says them. It is a rollout
        where messages say who acted. The last message of ``next.success`` is the outcome, or that
        of ``next.reward``: 1 succeeded, below 0 failed, anything else nobody has judged.
    """
    labels: dict[str, str] = {}
    if task := bag.custom.get(TASK_KEY):
        labels['task'] = task
    if contract is not None and CONTRACT_KEY in bag.custom:
        labels['robot'] = contract.robot_type
    control = _control_topic(bag.types)
    if control and next(bag.messages([control]), None) is not None:
        labels['source'] = 'rollout'
    outcome = None if contract is None else contract.outcome
    if outcome is not None and bag.types.get(outcome.topic, '').startswith('std_msgs/msg/'):
        judged = None
        for topic, _, data in bag.messages([outcome.topic]):
            message = bag.decode(topic, data)
            judged = judge_outcome(outcome.key, getattr(message, 'data', None))
        labels |= {} if judged is None else {'success': custom_text(judged)}
    return labels


def _control_topic(types: Mapping[str, str]) -> str:
    """Return the topic that says who acts, in any namespace; empty where there is none."""
    names = (topic for topic, kind in types.items() if kind == INT8)
    return next((topic for topic in names if topic.rpartition('/')[2] == CONTROL), '')


def complete_reading(
    bag: Bag, reading: Reading, contract: Contract | None, robot: RobotSpec | None
) -> Reading:
    """Return the reading with the names that a contract gives to streams the bag does not have.

    A camera is found by its name, joints and commands by the names of the joints, and by the name
    of the arm where several topics have them.

    Args:
        bag: The bag.
        reading: What a person says, which comes first.
        contract: What names the topics of the bag.
        robot: Streams that are wanted, None where nobody knows them.
    """
    names: dict[str, str] = {}
    if control := _control_topic(bag.types):
        names[HUMAN_INTERVENTION.name] = control
    if contract is not None:
        names[TASK.name] = contract.task_topic
        names |= _stream_names(bag.types, contract, robot) if robot is not None else {}
    new = {t: there for t, there in names.items() if t not in bag.types and there in bag.types}
    return replace(reading, topics={**new, **reading.topics})


def _stream_names(
    types: Mapping[str, str], contract: Contract, robot: RobotSpec
) -> dict[str, str]:
    """Return topic of the robot file -> topic of a contract, where only this can be meant."""
    names = {
        camera.topic: contract.cameras[camera.name].topic
        for camera in robot.cameras
        if camera.name in contract.cameras and camera_topic(types, camera.topic) is None
    }
    states = [source for source in contract.states if source.type == JOINT_STATE]
    for topic in robot.joint_state_topics:
        arms = [arm for arm in robot.arms if arm.joint_state_topic == topic]
        joints = [joint for arm in arms for joint in arm.state_joints]
        names[topic] = _topic_of(states, joints, [arm.name for arm in arms])
    if JOINT_COMMAND.name not in types:
        for arm in robot.arms:
            for output in arm.outputs:
                names[output.topic] = _topic_of(contract.actions, output.joints, [arm.name])
    return names


def _topic_of(sources: Iterable[Source], joints: Iterable[str], arms: Iterable[str]) -> str:
    """Return the only topic that has some joints, empty where there is none or more than one."""
    wanted = [*joints]
    topics = {
        source.topic
        for source in sources
        if (
            [*source.positions] == wanted  # the numbers of an array have no names
            if source.type == NUMBERS
            else {*wanted} <= {*source.positions}
        )
    }
    named = {topic for topic in topics if any(arm in topic for arm in arms)}
    found = topics if len(topics) == 1 else named
    return next(iter(found)) if len(found) == 1 else ''
