# SPDX-License-Identifier: Apache-2.0
"""The status of the executor from its parts."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.control.executor_status import executor_status, severity
from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.control.ticks import Lateness
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.status import ExecutorStatus

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')


def status_of(playback: Playback, refusals: dict[str, str]) -> ExecutorStatus:
    """Return the status of an executor that has sent nothing."""
    return executor_status(playback, Lateness(), refusals, 0.25, 2, 1, 'fifo 50', False, 0)


def test_disabled_executor_is_well() -> None:
    """Nothing is wrong with arms that nobody enabled."""
    status = status_of(Playback(ROBOT), {})
    assert (status.state, status.mode, status.reason) == ('disabled', 'disabled', '')
    assert (status.joint_age_s, status.chunks_refused, status.ticks_skipped) == (0.25, 2, 1)
    assert status.late_ms_p99 != status.late_ms_p99  # NaN: no command has left
    assert severity(status, {}) == 'ok'


def test_fault_is_an_error_and_names_its_reason() -> None:
    """Also why messages are refused meanwhile."""
    playback = Playback(ROBOT)
    playback.enable(ROBOT.start, 0.0, 0)
    playback.safety.fault('emergency stop')
    playback.tick(ROBOT.start, 0.0, 20_000_000)
    status = status_of(playback, {'policy/action_chunk': 'policy/action_chunk: refused: too old'})
    assert (status.state, status.mode) == ('fault', 'fault')
    assert status.reason == 'emergency stop; policy/action_chunk: refused: too old'
    assert severity(status, {}) == 'error'


def test_refused_messages_are_a_warning_while_the_arms_move() -> None:
    """A hold is one anyway."""
    refusals = {'/left/joint_states': 'a NaN'}
    assert severity(ExecutorStatus('enabled', 'playing'), refusals) == 'warn'
    assert severity(ExecutorStatus('enabled', 'playing'), {}) == 'ok'
    assert severity(ExecutorStatus('enabled', 'hold'), {}) == 'warn'
