# SPDX-License-Identifier: Apache-2.0
"""The node list of ``stack/node_list.py`` as a launch description."""

from __future__ import annotations

from collections.abc import Iterable

from cosmos_policy_ros.resources import PACKAGE
from cosmos_policy_ros.stack.node_list import (
    ARGUMENTS,
    default_values,
    enclave,
    environment,
    fit_robot,
    nodes_to_start,
    NodeSpec,
    parameter_file,
    parameters,
    stack_arguments,
    Value,
)
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue


def describe_stack(specs: Iterable[NodeSpec], required: Iterable[str] = ()) -> LaunchDescription:
    """Return the launch description of some nodes.

    Args:
        specs: The nodes.
        required: Arguments that have no default here.
    """
    specs, required = tuple(specs), set(required)
    defaults = {n: _text(v) for n, v in default_values().items() if n not in required}
    arguments = [
        DeclareLaunchArgument(name, default_value=defaults.get(name), description=argument.help)
        for name, argument in stack_arguments(specs).items()
    ]
    variables = [SetEnvironmentVariable(*item) for item in environment().items()]

    def describe_nodes(context: LaunchContext) -> list[Node]:
        names = stack_arguments(specs)
        values = {name: LaunchConfiguration(name).perform(context) for name in names}
        if 'driver' in values:
            context.launch_configurations['robot'] = str(fit_robot(values)['robot'])
        return [describe_node(spec) for spec in nodes_to_start(specs, values)]

    # the values of the arguments, and so the number of nodes, are known only when the launch runs
    return LaunchDescription([*arguments, *variables, OpaqueFunction(function=describe_nodes)])


def describe_node(spec: NodeSpec) -> Node:
    """Return the launch action that starts a node with its launch arguments as parameters."""
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=ARGUMENTS[name].type)
        for name in spec.arguments
    }
    # a node with another name than its section of the file would not find it
    section = str(parameter_file()) if spec.name == spec.section else parameters(spec)
    return Node(
        package=PACKAGE,
        executable=spec.executable,
        name=spec.name,
        parameters=[section, given | dict(spec.given)],
        ros_arguments=['--enclave', enclave(spec.section)],
        output='screen',
        emulate_tty=True,
    )


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
