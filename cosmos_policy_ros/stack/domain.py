# SPDX-License-Identifier: Apache-2.0
"""On which ROS domain a stack runs."""

from __future__ import annotations

import os
import socket

from cosmos_policy_ros.types import ConfigError

HIGHEST_DOMAIN = 101  # above, the ports of DDS run into those that Linux hands out
LAST_DOMAIN = 232  # that has ports
PARTICIPANTS = 16  # of a domain whose ports are looked at; a whole stack has 7


def choose_domain(wanted: int | None) -> int:
    """Set the ROS domain of the processes to come, and return it.

    Args:
        wanted: The domain; None takes ``ROS_DOMAIN_ID``, and where that is not set one that
            depends on this process, so that two stacks on one machine do not meet.

    Raises:
        ConfigError: There is no such domain.
    """
    if wanted is None and not os.environ.get('ROS_DOMAIN_ID'):
        wanted = 1 + os.getpid() % HIGHEST_DOMAIN
    return _set_domain(wanted, HIGHEST_DOMAIN)


def choose_domain_of_running_robot(wanted: int | None) -> int:
    """Set the ROS domain of the processes to come, that of a robot that runs, and return it.

    Args:
        wanted: The domain; None takes ``ROS_DOMAIN_ID``, and 0 where that is not set, as every
            ROS program does.

    Raises:
        ConfigError: There is no such domain.
    """
    if wanted is None and not os.environ.get('ROS_DOMAIN_ID'):
        return 0  # which it is without the variable too
    return _set_domain(wanted, LAST_DOMAIN)


def choose_own_domain() -> int:
    """Set the ROS domain of the processes to come, one that nobody else is on, and return it.

    It is for what imitates a robot: never ``ROS_DOMAIN_ID``, since a real one may be there, and
    none that somebody on this machine listens on.

    Raises:
        ConfigError: All domains are in use.
    """
    given = os.environ.get('ROS_DOMAIN_ID', '')
    for i in range(HIGHEST_DOMAIN):
        domain = 1 + (os.getpid() + i) % HIGHEST_DOMAIN
        if str(domain) != given and is_silent(domain):
            return choose_domain(domain)
    msg = f'none of the ROS domains 1 to {HIGHEST_DOMAIN} is free; end a stack and try again'
    raise ConfigError(msg)


def discovery_port(domain: int, participant: int) -> int:
    """Return the UDP port on which a participant of a domain is discovered (DDSI-RTPS 9.6.1.1)."""
    return 7400 + 250 * domain + 10 + 2 * participant


def is_silent(domain: int) -> bool:
    """Whether no participant on this machine listens on a domain."""
    for participant in range(PARTICIPANTS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', discovery_port(domain, participant)))
            except OSError:
                return False
    return True


def _set_domain(wanted: int | None, highest: int) -> int:
    """Set a ROS domain, None for the one that is set, and return it.

    Raises:
        ConfigError: It is no number up to ``highest``.
    """
    given = os.environ.get('ROS_DOMAIN_ID', '') if wanted is None else str(wanted)
    if not (given.isascii() and given.isdecimal() and int(given) <= highest):
        named = f'ROS_DOMAIN_ID={given}' if wanted is None else given
        msg = f'a ROS domain is a number from 0 to {highest}, got {named}'
        raise ConfigError(msg)
    os.environ['ROS_DOMAIN_ID'] = given
    return int(given)
