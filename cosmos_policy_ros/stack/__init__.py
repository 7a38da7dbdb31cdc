# SPDX-License-Identifier: Apache-2.0
"""Which processes make up the running stack, how they start and how they end.

- ``node_list``: the nodes, the stacks they form, and the arguments that launch files and commands
  offer; ``SIM_STACK``, ``POLICY_STACK``, ``ARGUMENTS``, ``node_command``.
- ``processes``: one process, which never outlives the one that started it; ``start_node``,
  ``stop_nodes``.
- ``running``: a whole stack and the events of its leader; ``run_stack``.
- ``domain``: the ROS domain it runs on; ``choose_domain``.

Everything a launch file needs is imported without numpy, torch and ROS. The public names are
imported when they are first used:

    from cosmos_policy_ros.stack import choose_domain, run_stack

    choose_domain(None)
    with run_stack({'episodes': 1}, out) as stack:
        for event in stack.follow():
            print(event)
"""

from importlib import import_module
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from cosmos_policy_ros.stack.domain import choose_domain as choose_domain
    from cosmos_policy_ros.stack.node_list import (
        ARGUMENTS as ARGUMENTS,
        node_command as node_command,
        NodeSpec as NodeSpec,
        POLICY_STACK as POLICY_STACK,
        SIM_STACK as SIM_STACK,
    )
    from cosmos_policy_ros.stack.processes import (
        start_node as start_node,
        stop_nodes as stop_nodes,
    )
    from cosmos_policy_ros.stack.running import (
        run_stack as run_stack,
        RunningStack as RunningStack,
    )

_MODULES = {
    'choose_domain': 'domain',
    'ARGUMENTS': 'node_list',
    'NodeSpec': 'node_list',
    'POLICY_STACK': 'node_list',
    'SIM_STACK': 'node_list',
    'node_command': 'node_list',
    'start_node': 'processes',
    'stop_nodes': 'processes',
    'RunningStack': 'running',
    'run_stack': 'running',
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _MODULES:
        msg = f'module {__name__!r} has no attribute {name!r}'
        raise AttributeError(msg)
    return getattr(import_module(f'{__name__}.{_MODULES[name]}'), name)
