# SPDX-License-Identifier: Apache-2.0
"""Which processes make up the running stack, how they start and how they end.

- ``node_list``: the nodes, the stacks they form, and the arguments that launch files and commands
  offer; ``SIM_STACK``, ``POLICY_STACK``, ``ARGUMENTS``, ``node_command``.
- ``processes``: one process, which never outlives the one that started it; ``start_node``,
  ``stop_nodes``.
- ``node_pipe``: a node that a terminal talks to, a line at a time; ``open_pipe``.
- ``running``: a whole stack and the events of its leader; ``run_stack``.
- ``domain``: the ROS domain it runs on; ``choose_domain``.

Everything a launch file needs is imported without numpy, torch and ROS. For example:

    from cosmos_policy_ros.stack.domain import choose_domain
    from cosmos_policy_ros.stack.running import run_stack

    choose_domain(None)
    with run_stack({'episodes': 1}, out) as stack:
        for event in stack.follow():
            print(event)
"""
