# SPDX-License-Identifier: Apache-2.0
"""A person takes over and gives back in steps: nobody leads before the leader arms are ready.

Letting go of them, or making them hold, takes calls of their drivers. All stand meanwhile, and
stay there where that fails, until somebody tries again or ends motion.
"""

from __future__ import annotations

from collections.abc import Callable

from cosmos_policy_ros.control.takeover import Takeover
from cosmos_policy_ros.ros.leaders import Leaders
from cosmos_policy_ros.ros.service_calls import Conversation


class Handover:
    """Passes the lead between the policy and a person, one call at a time."""

    def __init__(
        self,
        takeover: Takeover,
        leaders: Leaders,
        now_ns: Callable[[], int],
        report: Callable[[], None],
    ) -> None:
        """Begin with nothing to do.

        Args:
            takeover: What makes commands of whoever leads.
            leaders: The leader arms.
            now_ns: Returns the time now [ns, ROS clock].
            report: Called when somebody waits to see a change.
        """
        self._takeover, self._leaders = takeover, leaders
        self._now_ns, self._report = now_ns, report
        self._steps = Conversation()
        self._settle: Callable[[str], None] | None = None  # answers who asked, while that lasts

    def start(self, person: bool, settle: Callable[[str], None]) -> None:
        """Let the leader arms lead once they are free, or the policy once they hold.

        Args:
            person: Whether a person is to lead.
            settle: Called once, at the end, with what was in the way; empty where nothing was.
        """
        taking = self._takeover
        if taking.led_by == ('person' if person else 'policy') and not taking.pause:
            settle('')
            return
        if self._settle is not None:
            settle('the leaders are being let go or made to hold for another call; try again')
            return
        try:
            if person:
                taking.lead(*self._leaders.states.measure(self._now_ns()))
                taking.take_over('the leaders are being let go')
            else:
                taking.pause = 'the leaders begin to hold'
        except ValueError as error:
            settle(f'not taken over: {error}')
            return
        self._report()
        self._settle = settle
        steps = self._leaders.let_go() if person else self._leaders.take_hold(self._now_ns())
        self._steps.start(steps, lambda trouble: self._finish(person, trouble))

    def abandon(self, reason: str) -> None:
        """End the steps that run, and answer who asked for them."""
        self._steps.stop()
        if self._settle is not None:
            settle, self._settle = self._settle, None
            settle(f'nobody leads now: {reason}')

    def _finish(self, person: bool, trouble: str) -> None:
        """Let a person or the policy lead now, or stand still for what is in the way."""
        settle, self._settle = self._settle, None
        taking, now_ns = self._takeover, self._now_ns()
        assert settle is not None
        try:
            if trouble or taking.safety.state != 'enabled':
                raise ValueError(trouble or f'motion has ended: {taking.safety.reason}')
            if not person:
                self._leaders.begin(now_ns)
        except ValueError as error:
            taking.pause = trouble = f'{error}; try again or disable'
        else:
            taking.pause = ''
            if not person:
                taking.give_back(now_ns)
        self._report()
        settle(trouble)
