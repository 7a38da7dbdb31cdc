# SPDX-License-Identifier: Apache-2.0
"""Which candidate of an answer is played, as the chunk tells that the planner makes of it."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import threading

from cosmos_policy_ros.ros.convert import chunk_from_message
from cosmos_policy_ros.ros.endpoints import create_subscription
from cosmos_policy_ros.topics import ACTION_CHUNK
from cosmos_policy_ros.types import ActionChunk, Candidates, find_played
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

CHOICE_S = 0.3  # [s] for which the planner's choice is waited
SAME_RAD = 1e-3  # by which a chosen chunk may differ from its candidate, rounded on the way


class PlayedChoice:
    """The planner's newest choice, for a thread that waits for it."""

    def __init__(self, node: Node, joints: Sequence[str]) -> None:
        """Subscribe.

        Args:
            node: Node that owns the subscription, and is spun in another thread than ``find``.
            joints: Joint names in action order.
        """
        self._node, self._joints = node, joints
        self._chosen: ActionChunk | None = None
        self._news = threading.Condition()
        create_subscription(node, ACTION_CHUNK, self._on_chunk)

    def find(self, candidates: Candidates) -> int | None:
        """Return the candidate that the planner chose, None if it is another node's.

        Where no planner chooses in time, that is the one with the best mean value, the first of a
        policy that has no value.

        Args:
            candidates: What was answered.
        """
        best = int(candidates.mean_values.argmax())
        if not self._node.count_publishers(ACTION_CHUNK.ros_name):
            return best

        def has_chosen() -> bool:
            return self._chosen is not None and self._chosen.stamp_ns >= candidates.stamp_ns

        with self._news:
            self._news.wait_for(has_chosen, CHOICE_S)
            chunk = self._chosen
        if chunk is None or chunk.stamp_ns != candidates.stamp_ns:
            return best
        which, apart_rad = find_played([candidates], chunk.positions)
        return which if apart_rad < SAME_RAD else None

    def _on_chunk(self, message: JointTrajectory) -> None:
        """Take a choice; malformed chunks are for the executor to refuse."""
        with contextlib.suppress(ValueError):
            chunk = chunk_from_message(message, self._joints)
            with self._news:
                self._chosen = chunk
                self._news.notify_all()
