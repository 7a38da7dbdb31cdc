# SPDX-License-Identifier: Apache-2.0
"""Watches the whole stack: one status of it, and whether the world does what was imagined.

Nothing depends on it. It reads the typed status of every node, and compares what the policy
predicted of cameras and joints with what came (``control/imagination.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
import time

from cosmos_policy_ros.control.imagination import ImaginationWatch
from cosmos_policy_ros.control.policy_status import severity
from cosmos_policy_ros.core.config import CROP_AREA, PolicyConfig
from cosmos_policy_ros.core.facts import read_facts
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.diagnostics import DiagnosticsTree, StatusReport
from cosmos_policy_ros.ros.endpoints import create_timer
from cosmos_policy_ros.ros.imagination import ImaginationFollower
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stack_reports import follow_stack
from cosmos_policy_ros.status import ExecutorStatus, ImaginationStatus
from cosmos_policy_ros.topics import IMAGINATION, POLICY_STATUS
from rclpy.node import Node

TICK_HZ = 10.0


@dataclass(frozen=True)
class MonitorParams:
    """Parameters of the monitor."""

    robot: str = param('', 'Robot YAML file; the launch file sets it.')
    checkpoint: str = param(
        '',
        'Checkpoint folder of the policy, which says what part of an image it sees; empty takes '
        'all of it. The launch file sets it.',
    )
    imagination: bool = param(
        True,
        'Whether what the policy predicts is compared with what comes; the inference node decodes '
        'its predicted images for that.',
    )
    max_excess: float = param(
        20.0,
        'How much farther a camera may be from what was predicted of it than from what it showed '
        'before, as a mean over the image in levels of 0 to 255; more in two chunks in a row is a '
        'warning.',
        0.0,
        255.0,
    )
    max_imagined_rad: float = param(
        0.6,
        'How far an arm joint may be from where it was predicted [rad]; more in two chunks in a '
        'row is a warning.',
        0.01,
        6.3,
    )
    report_hz: float = param(
        2.0, 'Rate of the status [Hz]; a change of phase or reason is reported at once.', 0.1, 10.0
    )


class MonitorNode(Node):
    """One status, one tree of diagnostics, one look at the imagination."""

    def __init__(self) -> None:
        """Open the topics.

        Raises:
            ConfigError: The robot file or the checkpoint is damaged.
        """
        super().__init__('monitor')
        self.params = p = declare(self, MonitorParams)
        self.robot = read_robot(Path(p.robot), self.get_namespace())
        self._reports = follow_stack(self)
        self._follower: ImaginationFollower | None = None
        if p.imagination and self.robot.cameras:
            self._follower = ImaginationFollower(self, self.robot, _seen_share(p))
        self._watch = ImaginationWatch(p.max_excess, p.max_imagined_rad)
        self._imagination = ImaginationStatus()
        self._told = ('', '')  # phase and reason of the last report
        self._next_s = 0.0  # when the next one is due [s, monotonic]
        self._status = StatusReport(self, POLICY_STATUS, 'policy', self.robot.name)
        self._imagined = StatusReport(self, IMAGINATION, 'imagination', self.robot.name)
        self._tree = DiagnosticsTree(self, self.robot.name)
        create_timer(self, 1.0 / TICK_HZ, self._tick)
        create_timer(self, 1.0, self._tree.publish)
        what = 'status and imagination' if self._follower else 'status'
        self.get_logger().info(f'reporting the {what} of the stack at {p.report_hz} Hz')

    def _tick(self) -> None:
        """Compare what is due, and report when something changed or it is time."""
        if self._follower is not None:
            self._compare(self._follower)
        now_s = time.monotonic()
        status = self._reports.summarize(now_s)
        changed = self._told != (status.phase, status.reason)
        if changed or now_s >= self._next_s:
            self._next_s = now_s + 1.0 / self.params.report_hz
            self._told = status.phase, status.reason
            self._status.publish(severity(status), status.reason or status.phase, status)

    def _compare(self, follower: ImaginationFollower) -> None:
        """Compare what has come due while the policy acts; forget it when it does not."""
        executor = self._reports.get(ExecutorStatus)
        if executor is None or executor.mode != 'playing' or executor.led_by == 'person':
            follower.forget()
            self._watch.forget()
            if self._imagination.warning:
                self._report_imagination(replace(self._imagination, warning=''))
            return
        for comparison in follower.compare_due(self.get_clock().now().nanoseconds):
            self._watch.note(comparison)
            status = ImaginationStatus(
                due_ns=comparison.due_ns,
                joint_rad=comparison.joint_rad,
                image_errors=dict(comparison.image_errors),
                image_excess=comparison.excess,
                compared=self._watch.n_compared,
                warnings=self._watch.n_warnings,
                warning=self._watch.warning,
            )
            self._report_imagination(status)

    def _report_imagination(self, status: ImaginationStatus) -> None:
        """Publish a comparison; log a warning that begins."""
        before, self._imagination = self._imagination.warning, status
        self._reports.note(status, time.monotonic())
        level = 'warn' if status.warning else 'ok'
        self._imagined.publish(level, status.warning or 'as imagined', status)
        if status.warning and not before:
            self.get_logger().warning(status.warning)


def _seen_share(params: MonitorParams) -> float:
    """Return which share of the area of an image the policy sees.

    Raises:
        ConfigError: The checkpoint is damaged.
    """
    folder = Path(params.checkpoint)
    if not params.checkpoint or not (folder / 'policy.json').is_file():
        return 1.0
    facts = read_facts(folder)
    return CROP_AREA if isinstance(facts, PolicyConfig) and facts.centre_crop else 1.0


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(MonitorNode)


if __name__ == '__main__':
    main()
