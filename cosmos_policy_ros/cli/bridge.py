# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy bridge``: the topics of a running stack for Foxglove."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.cli.robot_options import Domain, Namespace
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.stack.domain import choose_domain_of_running_robot
from cosmos_policy_ros.stack.node_list import LONE_BRIDGE, Value
from cosmos_policy_ros.stack.processes import run_in_terminal


@dataclass(frozen=True)
class Bridge:
    """Show the topics of a running stack to Foxglove, for looking only; Ctrl-C ends it.

    Open a Foxglove websocket connection to ws://localhost:8765 in the app and import the layout
    config/foxglove.json. A topic is subscribed to only while somebody looks at it, and has the
    name that it has without a namespace, so that the layout shows every robot. It needs
    foxglove-sdk.

    Example: cosmos-policy bridge
    """

    robot: Path = robot_file('aloha_sim')
    """Robot YAML file, or the name of one in config/robots."""
    host: str = '127.0.0.1'
    """Address to listen at; 0.0.0.0 shows the robot to everybody on the network."""
    port: int = 8765
    """Port to listen at; 0 takes a free one."""
    namespace: Namespace = ''
    domain: Domain = None


def run(options: Bridge) -> int:
    """Run the bridge in this terminal."""
    choose_domain_of_running_robot(options.domain)
    values: dict[str, Value] = {
        'robot': str(options.robot),
        'host': options.host,
        'port': options.port,
        'namespace': options.namespace,
    }
    return run_in_terminal(LONE_BRIDGE, values)
