# SPDX-License-Identifier: Apache-2.0
"""On which ROS domain a stack runs."""

from __future__ import annotations

import os

from cosmos_policy_ros.types import ConfigError

HIGHEST_DOMAIN = 101  # above, the ports of DDS run into those that Linux hands out


def choose_domain(wanted: int | None) -> int:
    """Set the ROS domain of the processes to come, and return it.

    Args:
        wanted: The domain; None takes ``ROS_DOMAIN_ID``, and where that is not set one that
            depends on this process, so that two stacks on one machine do not meet.

    Raises:
        ConfigError: There is no such domain.
    """
    given = os.environ.get('ROS_DOMAIN_ID', '')
    if wanted is None:
        wanted = int(given) if given.isdecimal() else 1 + os.getpid() % HIGHEST_DOMAIN
    if not 0 <= wanted <= HIGHEST_DOMAIN:
        msg = f'a ROS domain is a number from 0 to {HIGHEST_DOMAIN}, got {wanted}'
        raise ConfigError(msg)
    os.environ['ROS_DOMAIN_ID'] = str(wanted)
    return wanted


def choose_domain_of_running_robot(wanted: int | None) -> int:
    """Set the ROS domain of the processes to come, that of a robot that runs, and return it.

    Args:
        wanted: The domain; None takes ``ROS_DOMAIN_ID``, and 0 where that is not set, as every
            ROS program does.
    """
    if wanted is not None:
        os.environ['ROS_DOMAIN_ID'] = str(wanted)
    return int(os.environ.get('ROS_DOMAIN_ID') or 0)
