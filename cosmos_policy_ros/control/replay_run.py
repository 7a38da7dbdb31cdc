# SPDX-License-Identifier: Apache-2.0
"""A replay while it runs: which chunks are due, whether the executor plays them, what came of it.

A recording cannot be taken up in the middle: when the executor faults, is disabled or holds for
long, when a person takes over, or when a chunk comes too late, the replay is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cosmos_policy_ros.control.replay import CHUNK_S, Replay, STEP_S
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.types import ActionChunk
import numpy as np
from numpy.typing import NDArray

AHEAD_S = 0.2  # [s] a chunk is sent before its row 0 is due
PATIENCE_S = 1.0  # [s] the executor may hold, for a late joint state or before the first chunk


class ReplayRun:
    """One replay on the clock of its executor.

    Attributes:
        start_ns: When the whole begins [ns, ROS clock].
    """

    def __init__(self, replay: Replay, start_ns: int) -> None:
        """Send nothing yet.

        Args:
            replay: The chunks.
            start_ns: When the whole begins [ns, ROS clock].
        """
        self.start_ns = start_ns
        self._replay = replay
        self._n_sent = 0
        self._playing_s = 0.0  # when the executor last played, 0 before it has begun

    def seconds(self, now_ns: int) -> float:
        """Return the time since the start of the whole [s]; negative before."""
        return (now_ns - self.start_ns) * 1e-9

    def due_chunks(self, at_s: float) -> Iterator[ActionChunk]:
        """Yield the chunks that must be sent now.

        Args:
            at_s: Now, since the start of the whole [s].

        Raises:
            RuntimeError: A chunk comes so late that the arms have stopped.
        """
        while self._n_sent < self._replay.n_chunks and at_s >= self._n_sent * STEP_S - AHEAD_S:
            if at_s - self._n_sent * STEP_S > CHUNK_S - STEP_S:
                msg = f'stalled at {at_s:.1f} s, the arms have stopped; start again'
                raise RuntimeError(msg)
            yield self._replay.chunk(self._n_sent, self.start_ns)
            self._n_sent += 1

    def check(self, status: ExecutorStatus, at_s: float) -> None:
        """Check that the executor plays, or has had no time to begin.

        Args:
            status: Newest status of the executor.
            at_s: Now, since the start of the whole [s].

        Raises:
            RuntimeError: It does not begin, has stopped, or follows a person.
        """
        if status.led_by == 'person':
            msg = f'a person has taken over at {at_s:.1f} s; no further chunk is sent; start again'
            raise RuntimeError(msg)
        if status.mode in ('playing', 'ended'):
            self._playing_s = max(at_s, 0.0)
            return
        stopped = status.mode == 'fault' or (status.mode == 'disabled' and self._playing_s > 0)
        if stopped or at_s - self._playing_s > PATIENCE_S:
            reason = status.reason or 'no reason given'
            msg = (
                f'the executor does not play at {at_s:.1f} s but is in {status.mode} ({reason}); '
            )
            msg += 'no further chunk is sent; start again'
            raise RuntimeError(msg)

    def compare(
        self, commands: Sequence[tuple[int, Sequence[float]]], joints: Sequence[str]
    ) -> dict[str, object]:
        """Return how far what was sent is from the recording, joint by joint.

        Args:
            commands: Joint commands that were sent: stamp [ns, ROS clock] and A positions
                [rad; gripper 0..1].
            joints: Names of the A joints, in action order.

        Returns:
            ``commands``, how many were compared, and ``max_error`` and ``rms_error``, each joint
            name -> error [rad; gripper 0..1].

        Raises:
            RuntimeError: No command was sent while the recording was due.
        """
        rows = [(ns, pose) for ns, pose in commands if ns >= self.start_ns]
        time_s = np.array([self.seconds(ns) for ns, _ in rows])
        sent = np.array([pose for _, pose in rows]).reshape(len(rows), len(joints))
        errors = self._replay.errors(time_s, sent)
        if not len(errors):
            msg = 'nothing arrived on joint_command while the recording was due'
            raise RuntimeError(msg)
        return {
            'commands': len(errors),
            'max_error': _by_joint(joints, np.abs(errors).max(axis=0)),
            'rms_error': _by_joint(joints, np.sqrt((errors**2).mean(axis=0))),
        }


def refuse_leaders(status: ExecutorStatus) -> None:
    """Refuse to send chunks to an executor that follows leader arms, before it is enabled.

    Others listen to chunks too, such as a recorder, so that this is not seen on the graph.

    Args:
        status: Newest status of the executor.

    Raises:
        RuntimeError: A person leads.
    """
    if status.led_by == 'person':
        msg = (
            'the executor follows the leader arms and plays no chunks; enabled, it would move the '
            'arms to them: end the teleoperation, then start again'
        )
        raise RuntimeError(msg)


def start_on_tick(held_ns: int, now_ns: int, rate_hz: float) -> int:
    """Return when a replay begins, so that ticks of the executor meet its rows [ns, ROS clock].

    Args:
        held_ns: Stamp of a command of the executor [ns, ROS clock].
        now_ns: Now [ns, ROS clock].
        rate_hz: Control rate [Hz].
    """
    period_ns = round(1e9 / rate_hz)
    ticks = (now_ns + round(AHEAD_S * 1e9) - held_ns) // period_ns + 1
    return held_ns + ticks * period_ns


def _by_joint(joints: Sequence[str], numbers: NDArray[np.float64]) -> dict[str, float]:
    rounded = [round(float(number), 5) for number in numbers]
    return dict(zip(joints, rounded, strict=True))
