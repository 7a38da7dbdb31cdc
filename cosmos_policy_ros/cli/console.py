# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy console``: a running stack in the browser, to look at and to operate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.cli.robot_options import Domain, Namespace
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.stack.domain import choose_domain_of_running_robot
from cosmos_policy_ros.stack.node_list import LONE_CONSOLE, Value
from cosmos_policy_ros.stack.processes import run_in_terminal


@dataclass(frozen=True)
class Console:
    """Show a running stack in the browser and operate it there; Ctrl-C ends the page alone.

    Arms in 3D, cameras above what the policy expects of them, values of the candidates, state and
    reason, streams; buttons and keys enable, start, hold, record and stop. Open the address that
    it prints. From another machine: ssh -L 8080:localhost:8080 robot. It needs viser.

    Example: cosmos-policy console
    Example: cosmos-policy console --host 0.0.0.0 --read-only
    """

    robot: Path = robot_file('aloha_sim')
    """Robot YAML file, or the name of one in config/robots."""
    host: str = '127.0.0.1'
    """Address to listen at; with another than this machine's own, a token is needed, which is
    printed. It is not encrypted: prefer ssh."""
    port: int = 8080
    """Port to listen at; 0 takes a free one."""
    read_only: bool = False
    """For looking only: nothing can be pressed, but the emergency stop by who opens the second
    address that it prints."""
    pedal: Path | None = None
    """Input device whose keys are taken too, whatever window has the focus."""
    namespace: Namespace = ''
    domain: Domain = None


def run(options: Console) -> int:
    """Run the console in this terminal."""
    choose_domain_of_running_robot(options.domain)
    values: dict[str, Value] = {
        'robot': str(options.robot),
        'host': options.host,
        'port': options.port,
        'read_only': options.read_only,
        'pedal': '' if options.pedal is None else str(options.pedal),
        'namespace': options.namespace,
    }
    return run_in_terminal(LONE_CONSOLE, values)
