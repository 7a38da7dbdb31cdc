# SPDX-License-Identifier: Apache-2.0
"""The interface of a policy to the running stack and the measurements: six members.

``core.policy.CosmosPolicy`` is one, ``core.cosmos3.policy.Cosmos3Policy`` another; a further
network with the same six members takes their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import Candidates, Observation
import numpy as np
from numpy.typing import NDArray


class PolicyFacts(Protocol):
    """Cameras, joints, sizes and rate of a policy.

    Attributes:
        cameras: Names of the cameras it needs.
        joint_names: Joints in action order.
        rate_hz: Spacing of the action rows [Hz].
        horizon: Rows H of an action chunk.
        action_size: Numbers A of an action row.
        proprio_size: Numbers P of the proprio vector.
        action_steps: Denoising steps of an action chunk, the most that ``PlanQuery.keep`` holds.
        committed_rows: Most committed rows of an observation that it was trained with; 0 if none.
        base_seed: Seed of the plain policy's noise; 0 where there is none.
        open_loop_rows: Rows of a chunk that the seam ``official`` plays before it asks again; 0 is
            all.
        has_value: Whether it judges what it proposes. Where it does not, planning is off: it is
            asked for one candidate, whose values have no columns.
    """

    @property
    def cameras(self) -> tuple[str, ...]: ...  # noqa: D102 (see Attributes)
    @property
    def joint_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def rate_hz(self) -> float: ...  # noqa: D102
    @property
    def horizon(self) -> int: ...  # noqa: D102
    @property
    def action_size(self) -> int: ...  # noqa: D102
    @property
    def proprio_size(self) -> int: ...  # noqa: D102
    @property
    def action_steps(self) -> int: ...  # noqa: D102
    @property
    def committed_rows(self) -> int: ...  # noqa: D102
    @property
    def base_seed(self) -> int: ...  # noqa: D102
    @property
    def open_loop_rows(self) -> int: ...  # noqa: D102
    @property
    def has_value(self) -> bool: ...  # noqa: D102


class Answer(NamedTuple):
    """The answer to a planning query.

    Attributes:
        candidates: Candidates with their values, without predicted images.
        futures: What ``Policy.images`` decodes them from; only the policy that made it reads it.
        steps: Denoising steps that the action chunks really took; None where there is nothing to
            tell, since a query was answered as it stands.
    """

    candidates: Candidates
    futures: Any
    steps: int | None = None


class Policy(Protocol):
    """Proposes action chunks, and predicts what comes of them and what that is worth."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Language instructions that it was trained on."""

    @property
    def config(self) -> PolicyFacts:
        """Cameras, joints, sizes and rate that it was trained for."""

    def check(self, obs: Observation) -> None:
        """Refuse an observation that this policy cannot use.

        Raises:
            ValueError: Cameras, proprio size or task are others than it was trained on.
        """

    def check_query(self, query: PlanQuery) -> None:
        """Refuse a query that this policy cannot answer, whatever the observation.

        Raises:
            ValueError: It wants what the policy does not predict or was not made for.
        """

    def plan(self, obs: Observation, query: PlanQuery) -> Answer:
        """Return candidates, each with the value that the policy expects of it, if it has one.

        Args:
            obs: What the robot senses; row 0 of every candidate is due at its stamp.
            query: How many candidates, futures and values.

        Raises:
            ValueError: See ``check`` and ``check_query``.
        """

    def images(
        self, answer: Answer, rows: Sequence[int] | None = None
    ) -> dict[str, NDArray[np.uint8]]:
        """Return camera -> (R, height, width, 3) uint8 RGB images predicted after the chunk.

        Args:
            answer: What ``plan`` returned.
            rows: Candidates to decode; None is all.
        """
