# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy estop``: the emergency stop under a key, and for scripts."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_policy_ros.cli.robot_options import Domain, Namespace
from cosmos_policy_ros.stack.domain import choose_domain_of_running_robot
from cosmos_policy_ros.terminal.estop import press_once, watch_keys


@dataclass(frozen=True)
class Estop:
    """Keep the emergency stop of a running robot under a key.

    It finds the command executor once and then waits; a key stops the arms within 0.3 s and the
    answer of the executor is shown, or that nobody answers. ``r`` resets, ``q`` leaves, Ctrl-C
    stops and leaves. It is software: the switch that cuts the power stays at hand. Exit status 0
    of Ctrl-C, --once and --reset means that the executor confirmed.

    Example: cosmos-policy estop
    """

    once: bool = False
    """Press it now and end, confirmed or not; finding the executor takes a second or two."""
    reset: bool = False
    """Reset it now and end; nothing moves before motion is enabled."""
    search_s: float = 5.0
    """How long --once and --reset search for the executor [s]; a stop is sent meanwhile."""
    namespace: Namespace = ''
    domain: Domain = None


def run(options: Estop) -> int:
    """Press, reset, or wait for keys."""
    domain = choose_domain_of_running_robot(options.domain)
    if not (options.once or options.reset):
        return 0 if watch_keys(domain, options.namespace) else 1
    word = 'reset' if options.reset else 'stop'
    confirmed, line = press_once(word, domain, options.search_s, options.namespace)
    print(line)
    return 0 if confirmed else 1
