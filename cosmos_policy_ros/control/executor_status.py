# SPDX-License-Identifier: Apache-2.0
"""The status of the command executor from its parts, and how serious it is."""

from __future__ import annotations

from collections.abc import Mapping

from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.control.takeover import Takeover
from cosmos_policy_ros.control.teleop import Teleop
from cosmos_policy_ros.control.ticks import Lateness
from cosmos_policy_ros.status import ExecutorStatus

LEVELS = {'disabled': 'ok', 'playing': 'ok', 'ended': 'warn', 'hold': 'warn', 'fault': 'error'}


def executor_status(
    playback: Playback | Teleop | Takeover,
    lateness: Lateness,
    refusals: Mapping[str, str],
    joint_age_s: float,
    chunks_refused: int,
    ticks_skipped: int,
    scheduling: str,
    preparing: bool,
    enabled_ns: int,
) -> ExecutorStatus:
    """Return the status of the executor.

    Args:
        playback: Chunks, leaders or both behind the safety.
        lateness: How late commands left.
        refusals: Stream -> it, and why its last message was refused, of those refused now.
        joint_age_s: Age of the oldest arm's joint state [s].
        chunks_refused: Chunks that could not be played, since enabling.
        ticks_skipped: Ticks without a command, since the start.
        scheduling: Scheduling that the kernel granted.
        preparing: Whether drivers are being set up to enable motion.
        enabled_ns: When motion was enabled last [ns, ROS clock]; 0 before.
    """
    reasons = [playback.reason, *refusals.values()]
    late_ms = lateness.newest_ms()
    return ExecutorStatus(
        state=playback.safety.state,
        mode=playback.mode,
        reason='; '.join(reason for reason in reasons if reason),
        stopped=playback.safety.stopped,
        preparing=preparing,
        enabled_ns=enabled_ns,
        led_by=playback.led_by,
        can_take_over=isinstance(playback, Takeover),
        joint_age_s=joint_age_s,
        standstill_s=playback.stats.standstill_s,
        seam_jump_rad=playback.stats.seam_jump.rad,
        seam_jump_rad_p99=playback.stats.seam_jump_rad_p99,
        seam_jump_rad_max=playback.stats.seam_jump_rad_max,
        seam_speed_jump_rad_s_max=playback.stats.seam_speed_jump_rad_s_max,
        interventions=playback.safety.interventions,
        intervention_reasons=dict(playback.safety.intervention_reasons),
        chunks=playback.stats.chunks,
        chunks_refused=chunks_refused,
        late_ms_p50=late_ms['p50'],
        late_ms_p99=late_ms['p99'],
        late_ms_max=late_ms['max'],
        deadline_misses=lateness.misses,
        ticks_skipped=ticks_skipped,
        scheduling=scheduling,
    )


def severity(status: ExecutorStatus, refusals: Mapping[str, str]) -> str:
    """Return ``ok``, ``warn`` or ``error``; refused messages are a warning while playing."""
    if status.stopped:
        return 'error'
    return 'warn' if refusals and status.mode == 'playing' else LEVELS[status.mode]
