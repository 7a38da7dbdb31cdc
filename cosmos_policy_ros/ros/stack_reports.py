# SPDX-License-Identifier: Apache-2.0
"""The status topics of all nodes of a stack, collected."""

from __future__ import annotations

import time

from cosmos_policy_ros.control.policy_status import StackReports
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.status import (
    ExecutorStatus,
    InferenceStatus,
    PlannerStatus,
    RecorderStatus,
    SimStatus,
    Status,
)
from cosmos_policy_ros.topics import (
    EXECUTOR_STATUS,
    INFERENCE_STATUS,
    PLANNER_STATUS,
    RECORDER_STATUS,
    SIM_STATUS,
)
from rclpy.node import Node


def follow_stack(node: Node) -> StackReports:
    """Return reports that a node keeps up to date."""
    reports = StackReports()

    def note(status: Status) -> None:
        reports.note(status, time.monotonic())

    subscribe_status(node, EXECUTOR_STATUS, ExecutorStatus, note)
    subscribe_status(node, PLANNER_STATUS, PlannerStatus, note)
    subscribe_status(node, INFERENCE_STATUS, InferenceStatus, note)
    subscribe_status(node, RECORDER_STATUS, RecorderStatus, note)
    subscribe_status(node, SIM_STATUS, SimStatus, note)
    return reports
