# SPDX-License-Identifier: Apache-2.0
"""The options of every command that reaches a running robot: its namespace and its ROS domain."""

from __future__ import annotations

from typing import Annotated

import tyro

Namespace = Annotated[
    str, tyro.conf.arg(help="Namespace of the robot's stack, such as robot1; by default none.")
]
Domain = Annotated[
    int | None,
    tyro.conf.arg(help='ROS domain, by default ROS_DOMAIN_ID, or 0 where that is not set.'),
]
