# SPDX-License-Identifier: Apache-2.0
"""The node list of ``stack.py`` as a launch description."""

from __future__ import annotations

from collections.abc import Iterable

from cosmos_policy_ros.stack import (
    ARGUMENTS,
    default_values,
    environment,
    NodeSpec,
    PACKAGE,
    parameter_file,
    stack_arguments,
    Value,
)
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
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
    return LaunchDescription([*arguments, *variables, *(describe_node(s) for s in specs)])


def describe_node(spec: NodeSpec) -> Node:
    """Return the launch action that starts a node with its launch arguments as parameters."""
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=ARGUMENTS[name].type)
        for name in spec.arguments
    }
    return Node(
        package=PACKAGE,
        executable=spec.executable,
        name=spec.name,
        parameters=[str(parameter_file()), given],
        output='screen',
        emulate_tty=True,
    )


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
