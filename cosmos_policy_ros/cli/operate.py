# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy operate``: a running stack under the keys of a terminal, or of a pedal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.cli.robot_options import Domain, Namespace
from cosmos_policy_ros.stack.domain import choose_domain_of_running_robot
from cosmos_policy_ros.stack.node_list import Value
from cosmos_policy_ros.terminal.operate import operate


@dataclass(frozen=True)
class Operate:
    """Show what a running stack does, and operate it by keys: start, hold, episodes, stop.

    Shift E enables or disables motion, Space starts or holds the policy, n or → records the next
    episode, s and f end it with success or failure, 0 to 4 say how far it came, Enter begins and
    ends words on it, r or ← throws it away once it was pressed twice, h brings the arms home for
    as long as it is held, Esc is the emergency stop. Keys that would be refused are struck out. q
    leaves; the stack goes on as it is.

    Example: cosmos-policy operate
    Example: cosmos-policy operate --task "fold the shirt"
    Example: cosmos-policy operate --pedal /dev/input/by-id/usb-pedal-event-kbd
    """

    task: str = ''
    """Instruction of the episodes to come; by default it stays as it is."""
    pedal: Path | None = None
    """Input device whose keys are taken too, whatever window has the focus."""
    namespace: Namespace = ''
    domain: Domain = None


def run(options: Operate) -> int:
    """Take keys until somebody leaves."""
    domain = choose_domain_of_running_robot(options.domain)
    values: dict[str, Value] = {'namespace': options.namespace, 'instruction': options.task}
    if options.pedal is not None:
        values['pedal'] = str(options.pedal)
    operate(values, domain)
    return 0
