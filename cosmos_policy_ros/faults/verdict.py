# SPDX-License-Identifier: Apache-2.0
"""What is right after a fault, and whether it happened: reaction, time, largest step and speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Reaction = Literal['ignored', 'hold', 'fault', 'ended', 'disabled', 'refused', 'safe']
Moment = Literal['moving', 'late', 'still']
STOPS = ('hold', 'fault', 'disabled', 'ended')  # after which the arms rest
STEP_SLACK = 1.1  # of the largest step that the limits allow: stamps of ticks jitter
# A brake from the highest speed takes 50 ms at the simulated arm's limits and 160 ms at those of
# a real one; until then a command may move.
BRAKE_S = 0.25
STILL_RAD = 0.02  # what commands may move by after the brake, to follow an arm that settles
AGAIN_SLACK = 1.3  # of the highest speed without a fault or of the chunks, on the way on
CLEARLY = 1.5  # times a limit: what is watched is seen from outside
LEAST_SPEED = 0.8  # [rad/s] that counts as the motion's own, however slow the motion was


@dataclass(frozen=True)
class Wanted:
    """What is right after a fault.

    Attributes:
        reaction: ``ignored``: the arms play on. ``hold``, ``fault``, ``ended`` and ``disabled``:
            this mode of the executor, or a stricter one. ``refused``: the call that was made is.
            ``safe``: any of them, if the arms do not move wrongly.
        limit_s: How long it may take, once the stack can see the fault [s].
        release_s: How long after it, and after the brake, the arms may go on slowly to let go of
            what they press against [s].
    """

    reaction: Reaction
    limit_s: float = 0.0
    release_s: float = 0.0


@dataclass(frozen=True)
class Seen:
    """What was recorded of one fault, on one monotonic clock.

    Attributes:
        begin_s: When the fault began [s].
        end_s: When it was over [s].
        modes: Modes of the executor, each with when it was told [s], from before the fault on.
        commands: Times [s] and (A,) positions of all commands from the beginning on.
        refused: Whether the call that was made was refused, None where none was made.
        complaint: What the kind itself found wrong, empty for nothing.
        due_s: When the stack could see it at the earliest, if that is later, and …
        must_s: … when it had to; infinite where that never came, so that going on is right [s].
        own_rad_s: Highest speed of arm joints in the chunks of the policy [rad/s].
    """

    begin_s: float
    end_s: float
    modes: Sequence[tuple[float, str]]
    commands: Sequence[tuple[float, NDArray[np.float64]]]
    refused: bool | None = None
    complaint: str = ''
    due_s: float = -math.inf
    must_s: float = -math.inf
    own_rad_s: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """How a fault ended.

    Attributes:
        reaction: What happened.
        reaction_s: After what time, once the stack could see the fault [s]; NaN where nothing was
            wanted to happen, or nothing did.
        max_step_rad: Largest step from one command to the next, of arm joints [rad].
        max_speed_rad_s: Highest speed of the commands [rad/s].
        wrong: Why it is not what is right, empty if it is.
    """

    reaction: str
    reaction_s: float
    max_step_rad: float
    max_speed_rad_s: float
    wrong: str = ''

    @property
    def passed(self) -> bool:
        """Whether it is what is right."""
        return not self.wrong


def judge(
    wanted: Wanted,
    seen: Seen,
    arm_joints: NDArray[np.bool_],
    period_s: float,
    max_step_rad: float,
    usual_rad_s: float,
) -> Verdict:
    """Return how a fault ended.

    Args:
        wanted: What is right.
        seen: What was recorded.
        arm_joints: (A,) bool, False for grippers.
        period_s: Time from one command to the next [s].
        max_step_rad: Largest step of an arm joint that the limits allow in a tick [rad].
        usual_rad_s: Highest speed of commands where no fault was injected [rad/s].
    """
    steps, speeds = _steps(seen, arm_joints, period_s)
    step = float(steps.max(initial=0.0))
    speed = float(speeds.max(initial=0.0))
    reaction, at_s = _find_reaction(wanted, seen)
    due_s = max(seen.begin_s, seen.due_s)
    reaction_s = max(at_s - due_s, 0.0) if math.isfinite(due_s) else math.nan
    wrong = seen.complaint
    came_to_nothing = reaction == 'ignored' and seen.must_s == math.inf
    if not (came_to_nothing or _fits(wanted.reaction, reaction)):
        wrong = wrong or f'{reaction}, wanted {wanted.reaction}'
    elif reaction_s > wanted.limit_s:
        wrong = wrong or f'took {reaction_s * 1e3:.0f} ms, limit {wanted.limit_s * 1e3:.0f} ms'
    if step > STEP_SLACK * max_step_rad:
        wrong = wrong or f'a step of {step:.3f} rad, limit {max_step_rad:.3f}'
    usual = max(usual_rad_s, seen.own_rad_s, LEAST_SPEED)
    if speed > AGAIN_SLACK * usual:
        wrong = wrong or f'{speed:.2f} rad/s, the motion has {usual:.2f} without a fault'
    if wanted.reaction in STOPS and math.isfinite(at_s):
        rest_s = at_s + BRAKE_S + wanted.release_s
        way = _way(seen, arm_joints, rest_s, seen.end_s)
        if way > STILL_RAD:
            wrong = wrong or f'moved {way:.3f} rad after it had stopped'
    return Verdict(reaction, reaction_s, step, speed, wrong)


def find_due(
    times_s: Sequence[float], values: NDArray[np.float64], limit: float
) -> tuple[float, float]:
    """Return when a value got beyond its limit, and when clearly so; infinite for never [s].

    Args:
        times_s: N times [s].
        values: (N,) what the stack watches, as seen from outside.
        limit: Beyond it the stack reacts.
    """
    due_s, must_s = (
        next((at_s for at_s, value in zip(times_s, values, strict=True) if value > most), math.inf)
        for most in (limit, CLEARLY * limit)
    )
    return due_s, must_s


def gap_areas(
    gaps_rad: NDArray[np.float64], limit_rad: float, period_s: float
) -> NDArray[np.float64]:
    """Return (N,) what a gap is larger by than its limit, times for how long [rad s].

    Args:
        gaps_rad: (N,) gaps between commands, one a period, and where a joint is [rad].
        limit_rad: Up to here a gap is well [rad]; a smaller one begins the time anew.
        period_s: Time from one command to the next [s].
    """
    areas, area = [], 0.0
    for gap in gaps_rad:
        area = area + (gap - limit_rad) * period_s if gap > limit_rad else 0.0
        areas.append(area)
    return np.array(areas)


def _steps(
    seen: Seen, arm_joints: NDArray[np.bool_], period_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest steps [rad] and speeds [rad/s] between successive commands."""
    if len(seen.commands) < 2:
        return np.zeros(0), np.zeros(0)
    times_s = np.array([at_s for at_s, _ in seen.commands])
    positions = np.array([pose for _, pose in seen.commands])[:, arm_joints]
    steps = np.abs(np.diff(positions, axis=0)).max(axis=1)
    # a command that came late and one right after it are not faster for that
    speeds = steps / np.maximum(np.diff(times_s), period_s)
    return steps, speeds


def _way(seen: Seen, arm_joints: NDArray[np.bool_], start_s: float, end_s: float) -> float:
    """Return how far commands of a time get from its first one, of arm joints [rad]."""
    poses = [pose[arm_joints] for at_s, pose in seen.commands if start_s <= at_s <= end_s]
    if len(poses) < 2:
        return 0.0
    return float(np.abs(np.array(poses) - poses[0]).max())


def _find_reaction(wanted: Wanted, seen: Seen) -> tuple[str, float]:
    """Return what happened and when [s], NaN where no stop was wanted or none came."""
    if wanted.reaction == 'refused':
        return ('refused' if seen.refused else 'obeyed'), float('nan')
    after = [(at_s, mode) for at_s, mode in seen.modes if at_s >= seen.begin_s]
    during = [(at_s, mode) for at_s, mode in after if at_s <= seen.end_s + 1.0]
    if wanted.reaction in STOPS:
        for at_s, mode in during:
            if _fits(wanted.reaction, mode):
                return mode, at_s
    found = [(at_s, mode) for at_s, mode in during if mode in ('hold', 'fault', 'disabled')]
    if found:
        at_s, mode = found[0]
        return mode, at_s if wanted.reaction in STOPS else float('nan')
    return 'ignored', float('nan')


def _fits(wanted: Reaction, found: str) -> bool:
    """Whether a reaction is what was wanted, or stricter."""
    strict = {'ended': ('hold', 'fault'), 'hold': ('fault',)}
    return wanted in ('safe', found) or found in strict.get(wanted, ())
