# SPDX-License-Identifier: Apache-2.0
"""What each node may publish, hear and call, as a policy of SROS2: the table of topics, no more.

Every kind of node has an enclave of its own, ``/cosmos_policy/<node>``, in which it starts in any
case. Two enclaves are for others: ``driver`` for the software of arms and cameras, and ``person``
for whoever calls services from a terminal.

Source: ros2/sros2 ``policy/schemas/policy.xsd``, version 0.2.0 of the policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import math
from xml.etree import ElementTree

from cosmos_policy_ros.robot import CommandOutput, following_leaders, RobotSpec
from cosmos_policy_ros.stack.node_list import (
    ARMS,
    BLACK_BOX,
    BRIDGE,
    CAMERA,
    CHECK,
    CONSOLE,
    enclave,
    ESTOP,
    EXECUTOR,
    INFERENCE,
    MONITOR,
    OPERATE,
    PLANNER,
    RECORDER,
    REPLAY,
    STATUS,
    VISUALIZER,
)
from cosmos_policy_ros.topics import (
    Action,
    ACTIONS,
    ARM_FORWARD_COMMAND,
    ARM_INTERBOTIX_GROUP,
    ARM_INTERBOTIX_SINGLE,
    ARM_JOINT_STATE_COMMAND,
    ARM_TRAJECTORY_COMMAND,
    CAMERA_INFO,
    camera_info,
    CLOCK,
    COMPRESSED_IMAGE,
    CONTROLLER_STATE,
    FREE_LEADER,
    FUTURE_IMAGE,
    future_image,
    GET_CONTROLLER_PARAMETERS,
    GET_PARAMETERS,
    GRIPPER_COMMAND,
    IMAGE,
    JOINT_STATES,
    LEADER_JOINT_STATES,
    LIST_CONTROLLER_PARAMETERS,
    LIST_PARAMETERS,
    PARALLEL_GRIPPER_COMMAND,
    ROSOUT,
    Service,
    SERVICES,
    Topic,
    TOPICS,
)

NODES = (
    CAMERA,
    INFERENCE,
    PLANNER,
    EXECUTOR,
    RECORDER,
    REPLAY,
    CHECK,
    ARMS,
    ESTOP,
    MONITOR,
    STATUS,
    VISUALIZER,
    BRIDGE,
    CONSOLE,
    OPERATE,
    BLACK_BOX,
)
OTHERS = ('driver', 'person')
LOOKERS = ('person', 'bridge', 'console', 'operate')  # who may look at everything
PARAMETER_SERVICES = (
    'describe_parameters',
    'get_parameter_types',
    'get_parameters',
    'list_parameters',
    'set_parameters',
    'set_parameters_atomically',
    'get_type_description',
)
LIFECYCLE_SERVICES = (
    'change_state',
    'get_state',
    'get_available_states',
    'get_available_transitions',
    'get_transition_graph',
)
MANAGED = (INFERENCE,)  # nodes with a life cycle
Row = Topic | Service | Action


def write_policy(robot: RobotSpec, namespace: str = '/') -> str:
    """Return the policy of all nodes of a robot's stack as XML.

    Args:
        robot: Robot whose cameras, arms and drivers give the names, read for that namespace.
        namespace: Namespace of the stack, with its leading slash.
    """
    policy = ElementTree.Element('policy', version='0.2.0')
    enclaves = ElementTree.SubElement(policy, 'enclaves')
    for name in (*(spec.section for spec in NODES), *OTHERS):
        place = ElementTree.SubElement(enclaves, 'enclave', path=enclave(name))
        profiles = ElementTree.SubElement(place, 'profiles')
        profile = ElementTree.SubElement(profiles, 'profile', ns=namespace, node=name)
        for (kind, verb), names in permissions(name, robot, namespace).items():
            if names:
                group = ElementTree.SubElement(profile, f'{kind}s', {verb: 'ALLOW'})
                for allowed in sorted(names):
                    ElementTree.SubElement(group, kind).text = allowed
    ElementTree.indent(policy)
    return ElementTree.tostring(policy, encoding='unicode', xml_declaration=True) + '\n'


def permissions(
    node: str, robot: RobotSpec, namespace: str = '/'
) -> dict[tuple[str, str], set[str]]:
    """Return what one node may do: kind and verb of the policy -> full names.

    Args:
        node: Name as in the table of topics.
        robot: As for ``write_policy``.
        namespace: As for ``write_policy``.
    """
    root = namespace.rstrip('/')
    may = {
        ('topic', 'publish'): {ROSOUT.name, '/parameter_events'},
        ('topic', 'subscribe'): {CLOCK.name, '/parameter_events'},
        ('service', 'reply'): {f'{root}/{node}/{service}' for service in PARAMETER_SERVICES},
        ('service', 'request'): set(),
        ('action', 'execute'): set(),
        ('action', 'call'): set(),
    }
    for topic in TOPICS:
        if node in topic.publishers:
            may['topic', 'publish'].update(_names(topic, robot, root))
        if node in topic.subscribers or node in LOOKERS:
            may['topic', 'subscribe'].update(_names(topic, robot, root))
    for kind, rows in (('service', SERVICES), ('action', ACTIONS)):
        answers, asks = ('reply', 'request') if kind == 'service' else ('execute', 'call')
        for row in rows:
            if node == row.server:
                may[kind, answers].update(_names(row, robot, root))
            if node in row.clients:
                may[kind, asks].update(_names(row, robot, root))
    managed = [spec.section for spec in MANAGED]
    if node in managed:
        may['topic', 'publish'].add(f'{root}/{node}/transition_event')
        may['service', 'reply'].update(f'{root}/{node}/{name}' for name in LIFECYCLE_SERVICES)
    if node == 'person':
        owners = [spec.section for spec in NODES]
        asked = {f'{root}/{owner}/{name}' for owner in owners for name in PARAMETER_SERVICES}
        asked |= {f'{root}/{owner}/{name}' for owner in managed for name in LIFECYCLE_SERVICES}
        may['service', 'request'].update(asked)
    return may


def _names(row: Row, robot: RobotSpec, root: str) -> Iterator[str]:
    """Yield the full names of a row, those of the robot file in place of a pattern.

    Args:
        row: The row.
        robot: As for ``write_policy``.
        root: Namespace in front of a name, empty for none.
    """
    if '<' not in row.name:
        is_global = isinstance(row, Topic | Service) and not row.namespaced
        yield row.name if is_global else f'{root}{row.name}'
        return
    cameras, leaders = robot.cameras, [arm.leader for arm in robot.arms if arm.leader]
    led = following_leaders(robot, math.inf) if len(leaders) == len(robot.arms) else None
    arms = (*robot.arms, *(led.arms if led else ()))
    outputs = [output for arm in arms for output in arm.outputs]
    if row == IMAGE:
        yield from (camera.topic for camera in cameras)
    elif row == CAMERA_INFO:
        yield from (camera_info(camera.topic).name for camera in cameras)
    elif row == COMPRESSED_IMAGE:
        yield from (f'{camera.topic}/compressed' for camera in cameras)
    elif row == FUTURE_IMAGE:
        yield from (f'{root}{future_image(camera.name).name}' for camera in cameras)
    elif row == JOINT_STATES:
        yield from robot.joint_state_topics
    elif row == LEADER_JOINT_STATES:
        yield from (leader.joint_state_topic for leader in leaders)
    elif row == FREE_LEADER:
        yield from (leader.free_service for leader in leaders if leader.free_service)
    elif row in (LIST_PARAMETERS, GET_PARAMETERS):
        yield from (row.at(f'{root}/{spec.section}').name for spec in NODES)
    else:
        yield from _driver_names(row, outputs)


def _driver_names(row: Row, outputs: Iterable[CommandOutput]) -> Iterator[str]:
    """Yield the names that a row has for the outputs whose driver uses it."""
    of_driver = {
        ARM_FORWARD_COMMAND.name: 'forward',
        ARM_TRAJECTORY_COMMAND.name: 'trajectory',
        CONTROLLER_STATE.name: 'trajectory',
        ARM_JOINT_STATE_COMMAND.name: 'joint_state',
        ARM_INTERBOTIX_GROUP.name: 'interbotix',
        ARM_INTERBOTIX_SINGLE.name: 'interbotix',
        GRIPPER_COMMAND.name: 'gripper_command',
        PARALLEL_GRIPPER_COMMAND.name: 'parallel_gripper',
    }
    parameters = (LIST_CONTROLLER_PARAMETERS.name, GET_CONTROLLER_PARAMETERS.name)
    last = row.name.partition('>/')[2]
    for output in outputs:
        controller = output.topic.rpartition('/')[0]
        if row.name in parameters and output.driver in ('forward', 'trajectory'):
            yield f'{controller}/{row.name.rpartition("/")[2]}'
        elif row.name == CONTROLLER_STATE.name and output.driver == 'trajectory':
            yield f'{controller}/controller_state'
        elif of_driver.get(row.name) == output.driver:
            yield f'{output.topic}/{last}' if output.driver == 'interbotix' else output.topic
        elif row.type.startswith('interbotix_xs_msgs/srv') and output.driver == 'interbotix':
            yield f'{output.topic}/{last}'
