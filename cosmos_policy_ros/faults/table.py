# SPDX-License-Identifier: Apache-2.0
"""All kinds of faults, and the one without a fault that the others are measured against."""

from __future__ import annotations

from cosmos_policy_ros.faults import images, joint_states, people, processes, strangers
from cosmos_policy_ros.faults.fault import Fault, fault, nothing

UNDISTURBED = fault('none', 'no fault', 'ignored', 0.0, nothing, 2.0)
FAULTS: tuple[Fault, ...] = (
    UNDISTURBED,
    *joint_states.FAULTS,
    *images.FAULTS,
    *strangers.FAULTS,
    *people.FAULTS,
    *processes.FAULTS,
)
