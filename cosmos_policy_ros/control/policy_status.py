# SPDX-License-Identifier: Apache-2.0
"""The status of the whole stack from those of its nodes."""

from __future__ import annotations

from collections.abc import Iterable
import math
from typing import Any, TypeVar

from cosmos_policy_ros.status import (
    describe_choice,
    ExecutorStatus,
    ImaginationStatus,
    InferenceStatus,
    Phase,
    PlannerStatus,
    PolicyStatus,
    RecorderStatus,
    SimStatus,
    Status,
)

T = TypeVar('T', bound=Status)
SILENT_S = 3.0  # [s] without a report after which a node counts as gone; all report every second
NAMES = {  # what a status tells about -> name of the node, in the order of who is missed first
    ExecutorStatus: 'command_executor',
    PlannerStatus: 'planner',
    InferenceStatus: 'inference',
    RecorderStatus: 'recorder',
    SimStatus: 'sim',
}
NEEDED = (ExecutorStatus, PlannerStatus, InferenceStatus)
LEVELS = {'fault': 'error', 'stopped': 'error', 'holding': 'warn', 'waiting': 'warn'}


class StackReports:
    """The newest status of every node, and what follows from all of them."""

    def __init__(self) -> None:
        """Start without a report."""
        self._newest: dict[type[Any], tuple[Status, float]] = {}

    def note(self, status: Status, now_s: float) -> None:
        """Take a status.

        Args:
            status: The status.
            now_s: When it came [s, monotonic].
        """
        self._newest[type(status)] = status, now_s

    def get(self, kind: type[T]) -> T | None:
        """Return the newest status of a kind, None before the first."""
        found = self._newest.get(kind)
        return found[0] if found is not None and isinstance(found[0], kind) else None

    def get_fresh(self, kind: type[T], now_s: float) -> T | None:
        """Return the newest status of a kind, None where nobody reports it now.

        Args:
            kind: Class of the status.
            now_s: Time now [s, monotonic].
        """
        found = self._newest.get(kind)
        return None if found is None or now_s - found[1] > SILENT_S else self.get(kind)

    def summarize(self, now_s: float) -> PolicyStatus:
        """Return the status of the whole stack.

        Args:
            now_s: Time now [s, monotonic].
        """
        silent = tuple(
            name
            for kind, name in NAMES.items()
            if kind in self._newest and now_s - self._newest[kind][1] > SILENT_S
        )
        executor, planner = self.get(ExecutorStatus), self.get(PlannerStatus)
        inference, recorder = self.get(InferenceStatus), self.get(RecorderStatus)
        imagination = self.get(ImaginationStatus) or ImaginationStatus()
        phase, reason = self._find_phase(silent, imagination)
        planned = planner or PlannerStatus(active=False)
        answered = inference or InferenceStatus()
        moved = executor or ExecutorStatus('disabled', 'disabled')
        return PolicyStatus(
            phase=phase,
            reason=reason,
            task=answered.task,
            episode=recorder.path if recorder else '',
            episode_s=recorder.seconds if recorder else 0.0,
            value=planned.value,
            scores=planned.scores,
            is_choice=planned.is_choice,
            candidates_used=answered.candidates_used,
            steps_used=answered.steps_used,
            depth_used=answered.depth_used,
            budget_s=answered.budget_s,
            query_ms_p50=planned.query_ms_p50,
            query_ms_p99=planned.query_ms_p99,
            committed_rows=planned.committed_rows,
            delay_rows=planned.delay_rows,
            seam_jump_rad=moved.seam_jump_rad,
            seam_jump_rad_max=moved.seam_jump_rad_max,
            standstill_s=moved.standstill_s,
            interventions=moved.interventions,
            joint_age_s=moved.joint_age_s,
            late_ms_p99=moved.late_ms_p99,
            imagination=imagination.warning,
            silent=silent,
        )

    def _find_phase(
        self, silent: tuple[str, ...], imagination: ImaginationStatus
    ) -> tuple[Phase, str]:
        """Return what the stack does, and why not more or what is not well."""
        executor = self.get(ExecutorStatus)
        needed = _find_needed(executor)
        missing = [NAMES[kind] for kind in needed if kind not in self._newest]
        spared = {NAMES[kind] for kind in NEEDED if kind not in needed}
        gone = [f'{name} does not report any more' for name in silent if name not in spared]
        waiting = _list([*gone, f'no report of {", ".join(missing)} yet' if missing else ''])
        if executor is None or NAMES[ExecutorStatus] in silent:
            return 'waiting', waiting
        if executor.stopped:
            return 'stopped', executor.reason or 'emergency stop'
        if executor.state == 'fault':
            return 'fault', executor.reason
        if missing or any(NAMES[kind] in silent for kind in needed):
            return 'waiting', waiting
        planner = self.get(PlannerStatus) if PlannerStatus in needed else None
        inference = self.get(InferenceStatus) if InferenceStatus in needed else None
        if inference is not None and inference.stage != 'active':
            return 'waiting', f'{NAMES[InferenceStatus]} is {inference.stage}; see ros2 lifecycle'
        if executor.state == 'disabled':
            return 'disabled', _list([planner.stopped if planner else '', *gone])
        if executor.led_by == 'person':
            return 'taken over', _list([executor.reason, *gone])
        assert planner is not None
        reason = _list([executor.reason, planner.trouble, imagination.warning, *gone])
        if executor.mode == 'playing':
            return 'running', reason
        if not planner.active:
            return 'ready', _list([executor.reason, planner.stopped, *gone])
        return 'holding', reason


def _find_needed(executor: ExecutorStatus | None) -> tuple[type[Any], ...]:
    """Return whose reports a stack needs: in teleoperation there is no policy."""
    led = executor is not None and executor.led_by == 'person' and not executor.can_take_over
    return NEEDED[:1] if led else NEEDED


def _list(reasons: Iterable[str]) -> str:
    return '; '.join(reason for reason in reasons if reason)


def severity(status: PolicyStatus) -> str:
    """Return ``ok``, ``warn`` or ``error``."""
    return LEVELS.get(status.phase, 'warn' if status.reason else 'ok')


def describe_status(status: PolicyStatus) -> dict[str, str]:
    """Return row -> text for people, of what is known."""
    budget = _number(status.budget_s * 1e3, '.0f', ' ms budget')
    latency = _number(status.query_ms_p50, '.0f', ' ms median')
    is_unjudged = math.isnan(status.value) and status.delay_rows > 0.0  # every plan takes a while
    rows: dict[str, Any] = {
        'task': status.task,
        'episode': f'{status.episode_s:.1f} s  {status.episode}' if status.episode else '',
        'value': 'none: planning is off'
        if is_unjudged
        else _join(
            _number(status.value, '.3f', ''),
            'of ' + ' '.join(f'{s:.3f}' for s in status.scores) if status.scores else '',
            describe_choice(status.is_choice, status.scores),
        ),
        'answers': _join(
            f'{status.candidates_used} candidates of {status.steps_used} steps',
            f'depth {status.depth_used}' if status.depth_used > 1 else '',
            budget,
        )
        if status.candidates_used
        else '',
        'latency': _join(latency, _number(status.query_ms_p99, '.0f', ' ms 99 %')),
        'committed': f'{status.committed_rows} rows, {status.delay_rows:.1f} had passed'
        if status.committed_rows
        else '',
        'seam': f'{status.seam_jump_rad:.3f} rad, largest {status.seam_jump_rad_max:.3f} rad',
        'standstill': f'{status.standstill_s:.2f} s',
        'safety': _join(
            f'{status.interventions} ticks changed',
            _number(status.joint_age_s * 1e3, '.0f', ' ms joint age'),
            _number(status.late_ms_p99, '.2f', ' ms late 99 %'),
        ),
        'imagination': status.imagination,
        'silent': ', '.join(status.silent),
    }
    return {name: text for name, text in rows.items() if text}


def _number(value: float, form: str, unit: str) -> str:
    return f'{value:{form}}{unit}' if math.isfinite(value) else ''


def _join(*parts: str) -> str:
    return '  '.join(part for part in parts if part)
