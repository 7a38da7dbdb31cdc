# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy status``: what a running stack does, and why, live in the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.cli.robot_options import Domain, Namespace
from cosmos_policy_ros.control.policy_status import describe_status
from cosmos_policy_ros.stack.domain import choose_domain_of_running_robot
from cosmos_policy_ros.terminal.status import listen, show_status


@dataclass(frozen=True)
class Status:
    """Show what a running stack does: phase, reason, values, latency, seam, standstill, safety.

    It listens and changes nothing. Ctrl-C ends it.

    Example: cosmos-policy status
    """

    once: bool = False
    """Print the status after listening for a moment, and end; exit status 0 means that the stack
    runs or is ready to."""
    listen_s: float = 3.0
    """How long --once listens [s]."""
    namespace: Namespace = ''
    domain: Domain = None


def run(options: Status) -> int:
    """Show the status until Ctrl-C, or once."""
    domain = choose_domain_of_running_robot(options.domain)
    values = {'namespace': options.namespace}
    if not options.once:
        show_status(values, domain)
        return 0
    level, status = listen(values, options.listen_s)
    print(f'{status.phase}: {status.reason}' if status.reason else status.phase)
    for name, text in describe_status(status).items():
        print(f'{name}: {text}')
    return 0 if level != 'error' and status.phase != 'waiting' else 1
