# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the software of real arms: what commands the simulated ones, one file each.

A row has the name of the driver (``ros/arms``) that talks to it; the simulator opens those that
its robot file names. A stand-in behaves like the original down to its refusals and quirks, so
that what runs against it runs against the original too.
"""

from __future__ import annotations

from cosmos_policy_ros.ros.stand_ins import forward, gripper_action, interbotix, trajectory
from cosmos_policy_ros.ros.stand_ins.joints import StandIn

STAND_INS: dict[str, StandIn] = {
    'forward': forward,
    'gripper_command': gripper_action.GRIPPER,
    'interbotix': interbotix,
    'parallel_gripper': gripper_action.PARALLEL,
    'trajectory': trajectory,
}
SEND_STATES = {'interbotix'}  # whose originals publish the joint states too
