# SPDX-License-Identifier: Apache-2.0
"""A campaign: every kind of fault at every moment and seed, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
import math
import time
from typing import Any

from cosmos_policy_ros.faults.bench import FaultBench
from cosmos_policy_ros.faults.fault import Fault
from cosmos_policy_ros.faults.table import FAULTS, UNDISTURBED
from cosmos_policy_ros.faults.verdict import judge, Moment, Verdict
from cosmos_policy_ros.types import ConfigError
import numpy as np

MOST_TRIES = 3  # of a fault that was to be ignored, or came to nothing


@dataclass(frozen=True)
class Case:
    """A fault at a moment of a scene."""

    fault: Fault
    moment: Moment
    seed: int


def plan_cases(names: Sequence[str], seeds: Sequence[int], quick: bool) -> list[Case]:
    """Return the cases of a campaign; the undisturbed ones come first.

    Args:
        names: Kinds of faults; none means all.
        seeds: Scenes.
        quick: Whether each kind is tried at its first moment alone.

    Raises:
        ConfigError: There is no such kind.
    """
    known = {fault.name: fault for fault in FAULTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        msg = f'there are no faults {unknown}; there are {", ".join(known)}'
        raise ConfigError(msg)
    chosen = [UNDISTURBED]
    chosen += [f for f in FAULTS if f is not UNDISTURBED and (not names or f.name in names)]
    return [
        Case(fault, moment, seed)
        for fault in chosen
        for moment in (fault.moments[:1] if quick else fault.moments)
        for seed in seeds
    ]


def draw_cases(cases: Sequence[Case], minutes: float, seed: int) -> Iterator[Case]:
    """Yield cases in random order, the undisturbed first one, for a time.

    Args:
        cases: What is drawn from.
        minutes: How long [min].
        seed: Seed of the order.
    """
    end_s = time.monotonic() + 60.0 * minutes
    rng = np.random.default_rng(seed)
    yield cases[0]
    while time.monotonic() < end_s:
        yield cases[int(rng.integers(len(cases)))]


class Campaign:
    """Play cases on a bench.

    Attributes:
        usual_rad_s: Highest speed of commands that the undisturbed cases showed [rad/s].
    """

    def __init__(self, bench: FaultBench) -> None:
        """Start without a usual speed."""
        self.bench, self.usual_rad_s, self._reason = bench, 0.0, ''

    def play(self, cases: Iterable[Case], driver: str) -> Iterator[dict[str, Any]]:
        """Yield the result of every case as a row of the report.

        A case that could not even begin did not pass: something did not come back from the one
        before it. Where the arms stopped though they should have played on, which harms nobody
        and happens on a busy machine without a fault too, it is tried again; and so is what
        came to nothing, which shows nothing.

        Args:
            cases: The cases; undisturbed ones first.
            driver: Name of what stands for the robot.
        """
        for case in cases:
            tries = 1
            try:
                verdict = self.try_fault(case)
                while self._shows_nothing(case, verdict) and tries < MOST_TRIES:
                    tries, verdict = tries + 1, self.try_fault(case)
            except (RuntimeError, TimeoutError) as error:
                if not self.bench.node.context.ok():
                    raise
                verdict = Verdict('none', math.nan, 0.0, 0.0, f'it could not be tried: {error}')
            memory_mb = round(self.bench.memory_mb)
            more = {'tries': tries, 'reason': self._reason, 'memory_mb': memory_mb}
            yield {**_row(case, verdict, driver), **more}

    def try_fault(self, case: Case) -> Verdict:
        """Return how one case ended.

        Raises:
            RuntimeError: A node refused or died before the fault.
            TimeoutError: One did not answer.
        """
        bench, fault, self._reason = self.bench, case.fault, ''
        bench.set_up(case.seed)
        bench.begin(case.moment)
        start_s = time.monotonic()
        fault.begin(bench)
        bench.pause(fault.lasts_s)
        end_s = time.monotonic()
        fault.end(bench)
        bench.pause(fault.after_s)
        if fault is UNDISTURBED:
            self.usual_rad_s = max(self.usual_rad_s, bench.top_speed())
        self._reason = bench.why(start_s)
        return self._judge(case, start_s, end_s)

    def _shows_nothing(self, case: Case, verdict: Verdict) -> bool:
        """Whether a case has to be tried again to know what the stack does."""
        if case.fault.wanted.reaction == 'ignored':
            return verdict.reaction == 'hold'
        return self.bench.must_s == math.inf and verdict.reaction == 'ignored'

    def _judge(self, case: Case, start_s: float, end_s: float) -> Verdict:
        robot = self.bench.robot
        arm = robot.arm_joints
        period_s = 1.0 / robot.control_rate_hz
        step_rad = float(robot.max_speed[arm].max()) * period_s
        seen = self.bench.seen(start_s, end_s)
        usual_rad_s = self.usual_rad_s or math.inf
        return judge(case.fault.wanted, seen, arm, period_s, step_rad, usual_rad_s)


def _row(case: Case, verdict: Verdict, driver: str) -> dict[str, Any]:
    """Return a case as a row of the report; times in ms, what is not there None."""
    wanted = case.fault.wanted
    reaction_ms = None if math.isnan(verdict.reaction_s) else round(verdict.reaction_s * 1e3)
    return {
        'fault': case.fault.name,
        'about': case.fault.about,
        'moment': case.moment,
        'seed': case.seed,
        'driver': driver,
        'wanted': wanted.reaction,
        'reaction': verdict.reaction,
        'reaction_ms': reaction_ms,
        'limit_ms': round(wanted.limit_s * 1e3) or None,
        'max_step_rad': round(verdict.max_step_rad, 4),
        'max_speed_rad_s': round(verdict.max_speed_rad_s, 3),
        'passed': verdict.passed,
        'wrong': verdict.wrong,
    }
