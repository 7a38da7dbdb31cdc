# SPDX-License-Identifier: Apache-2.0
"""The node list of ``stack/node_list.py`` as a launch description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from itertools import pairwise
import os
from pathlib import Path
import sys

from ament_index_python.packages import get_package_prefix, PackageNotFoundError
from cosmos_policy_ros.resources import PACKAGE, share_path
from cosmos_policy_ros.stack.node_list import (
    CHECK,
    default_values,
    enclave,
    environment,
    fit_robot,
    MISTAKE,
    node_parameters,
    nodes_to_start,
    NodeSpec,
    read_argument,
    SIM,
    stack_arguments,
    Value,
    WATCH_STACK,
)
from cosmos_policy_ros.topics import TF
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.events.process import ProcessExited
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

PATIENCE_S = '15'  # for a node to end after Ctrl-C: networks compute until they are done
AFTER_DEATH = {  # section of a node -> what its end means
    'command_executor': 'nothing is sent to the arms, whose drivers keep the last command',
    'sim': 'joint states stop, and the executor faults',
    'recorder': 'the next recorder finishes what it was recording',
    **dict.fromkeys((spec.section for spec in (*WATCH_STACK, CHECK)), 'the arms go on without it'),
}


def describe_stack(specs: Iterable[NodeSpec], required: Iterable[str] = ()) -> LaunchDescription:
    """Return the launch description of some nodes.

    Args:
        specs: The nodes.
        required: Arguments that have no default here.
    """
    specs, required = tuple(specs), set(required)
    known = stack_arguments(specs)
    defaults = {n: _text(v) for n, v in default_values().items() if n not in required}
    arguments = [
        DeclareLaunchArgument(name, default_value=defaults.get(name), description=argument.help)
        for name, argument in known.items()
    ]
    variables = [SetEnvironmentVariable(*item) for item in environment().items()]

    def describe_nodes(context: LaunchContext) -> list[Node | LogInfo]:
        if _is_called_by_hand(context):
            refuse_unknown_arguments(context.argv, known)
        texts = {name: _perform(context, name) for name in known}
        values = default_values() | {n: read_argument(n, text) for n, text in texts.items()}
        values = fit_robot(values)
        nodes = nodes_to_start(specs, values)
        watch = watch_ends(nodes)
        viewers = []
        if values.get('rviz'):
            viewers = [describe_rviz(str(values['namespace']), simulated=SIM in specs)]
        return [*(describe_node(spec, values, watch) for spec in nodes), *viewers]

    # the values of the arguments, and so the number of nodes, are known only when the launch runs
    return LaunchDescription([*arguments, *variables, OpaqueFunction(function=describe_nodes)])


def describe_node(
    spec: NodeSpec,
    values: Mapping[str, Value],
    watch: Callable[[NodeSpec], Callable[[ProcessExited, LaunchContext], None]],
) -> Node:
    """Return the launch action that starts a node, which nothing starts again.

    Args:
        spec: The node.
        values: Arguments of the stack.
        watch: Returns what is called when the process of a node has ended.
    """
    return Node(
        package=PACKAGE,
        executable=spec.executable,
        name=spec.name,
        namespace=str(values['namespace']).strip('/'),  # below one that an outer file has pushed
        parameters=[node_parameters(spec, values)],
        ros_arguments=['--enclave', enclave(spec.section)],
        output='screen',
        emulate_tty=True,
        sigterm_timeout=PATIENCE_S,
        on_exit=watch(spec),
    )


def describe_rviz(namespace: str, *, simulated: bool) -> Node | LogInfo:
    """Return the launch action that opens RViz, or says that it is not installed.

    Args:
        namespace: That of the stack, whose topics it shows.
        simulated: Whether the poses of the links come from our simulator, which sends them in that
            namespace; RViz looks for them outside of every namespace, where drivers send them.
    """
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError:
        return LogInfo(
            msg='rviz:=true, but rviz2 is not installed; on a machine with ROS it is '
            'ros-$ROS_DISTRO-rviz2. Everything else runs'
        )
    return Node(
        package='rviz2',
        executable='rviz2',
        name='rviz',
        namespace=namespace.strip('/'),
        arguments=['-d', str(share_path('config', 'policy.rviz'))],
        remappings=[(TF.name, TF.ros_name)] if simulated else [],
        output='log',
    )


def watch_ends(
    nodes: Iterable[NodeSpec],
) -> Callable[[NodeSpec], Callable[[ProcessExited, LaunchContext], None]]:
    """Return what judges the end of each of some nodes.

    One that ends by a mistake ends the launch, with an exit status that tells. One that dies is
    told, and the others go on: the arms are held as long as the executor lives.

    Args:
        nodes: All nodes of the launch.
    """
    left = {spec.name for spec in nodes}

    def watch(spec: NodeSpec) -> Callable[[ProcessExited, LaunchContext], None]:
        def on_exit(event: ProcessExited, context: LaunchContext) -> None:
            left.discard(spec.name)
            if context.is_shutdown or event.returncode == 0:
                return
            if event.returncode == MISTAKE:
                msg = f'{spec.name} cannot start, see its line above; all is ended'
                raise ValueError(msg)
            fate = AFTER_DEATH.get(spec.section, 'without it the arms hold at last')
            msg = f'{spec.name} died with status {event.returncode}: {fate}. Nothing starts it '
            msg += 'again: end this launch and begin anew, motion is disabled then'
            if not left:
                raise ChildProcessError(msg)
            get_logger(PACKAGE).error(msg)

        return on_exit

    return watch


def refuse_unknown_arguments(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse launch arguments that no node takes, which launch itself lets pass.

    Args:
        given: Words such as ``candidates:=8``.
        known: Names of the arguments that there are.

    Raises:
        ValueError: One is unknown; names the one that was probably meant.
    """
    known = list(known)
    for word in given:
        name, found, _ = word.partition(':=')
        if found and name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f'is it {near[0]}?' if near else f'there are {", ".join(known)}'
            msg = f'no launch argument {name}; {hint}'
            raise ValueError(msg)


def _is_called_by_hand(context: LaunchContext) -> bool:
    """Whether this launch file is the one that was called, and not included by another.

    launch gives the arguments of the outermost file to all of them and says nowhere which that is;
    the command line does, by a path or by package and name. Files of others have such names too.
    """
    file = Path(context.get_locals_as_dict().get('current_launch_file_path', ''))
    words = sys.argv[1:]
    by_path = any(Path(word).resolve() == file.resolve() for word in words)
    return by_path or (PACKAGE, file.name) in pairwise(words)


def _perform(context: LaunchContext, name: str) -> str:
    """Return the text of an argument; a shell leaves the ``~`` of ``robot:=~/lab.yaml`` alone."""
    return os.path.expanduser(LaunchConfiguration(name).perform(context))  # noqa: PTH111


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
