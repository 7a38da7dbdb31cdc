# SPDX-License-Identifier: Apache-2.0
"""The policy that an evaluation measures, and how much it computes and chooses in a query."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args, TYPE_CHECKING

from cosmos_policy_ros.backends import load_policy, Precision
from cosmos_policy_ros.core.planner import Selection
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.data.bags.provenance import hash_checkpoint
from cosmos_policy_ros.evaluation.displacement import (
    Displacement,
    NO_DISPLACEMENT,
    require_stages,
)
from cosmos_policy_ros.evaluation.episode import PLAIN
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ConfigError

if TYPE_CHECKING:
    from cosmos_policy_ros.core.config import Conditioning
    from cosmos_policy_ros.core.protocol import Policy


@dataclass(frozen=True)
class Agent:
    """A checkpoint folder, what runs it, and the planning query that it answers.

    It is small and can be pickled, so that every worker process loads its own policy.

    Attributes:
        checkpoint: Checkpoint folder that proposes.
        planning_checkpoint: Checkpoint folder that judges the candidates; None lets the first one
            do so itself.
        query: Candidates, futures and values; its seed is replaced by that of the scene.
        selection: When another candidate than the first is played, see ``core.planner``.
        displacement: Displacement of the candidates, and how often one is played to explore.
        backend: What runs the networks, a name in ``backends.BACKENDS``.
        precision: Arithmetic of the networks.
        threads: CPU threads of the networks.
        conditioning: How chunks come to begin with committed rows, see ``core.config``.
    """

    checkpoint: Path = field(default_factory=lambda: share_path('models', 'aloha_sim'))
    planning_checkpoint: Path | None = None
    query: PlanQuery = PLAIN
    selection: Selection = 'decisive'
    displacement: Displacement = NO_DISPLACEMENT
    backend: str = 'auto'
    precision: Precision = 'auto'
    threads: int = 1
    conditioning: Conditioning = 'auto'

    def __post_init__(self) -> None:
        """Check what the parts do not check themselves.

        Raises:
            ConfigError: There is no thread or no such selection, or there is nothing to explore
                with: neither one displaced candidate nor several at a temperature.
        """
        if self.selection not in get_args(Selection):
            msg = f'no selection {self.selection!r}; choose one of {get_args(Selection)}'
            raise ConfigError(msg)
        if self.threads < 1:
            msg = f'threads must be at least 1, got {self.threads}'
            raise ConfigError(msg)
        n, displaced = self.query.candidates, self.displacement.spread_rad > 0.0
        varied = self.query.temperature > 0.0
        if self.displacement.explore and not ((n == 1 and displaced) or (n > 1 and varied)):
            msg = (
                'explore plays one candidate displaced, or any of several at a temperature; give '
                'spread_rad above 0 with candidates 1, or temperature above 0, not candidates '
                f'{n} with spread_rad {self.displacement.spread_rad} and temperature '
                f'{self.query.temperature}'
            )
            raise ConfigError(msg)

    def load(self, robot: RobotSpec) -> Policy:
        """Load the policy.

        Args:
            robot: Robot that it acts for.

        Raises:
            ConfigError: A checkpoint is missing or damaged, does not fit the other one or the
                robot, or cannot answer the query; or it cannot judge displaced candidates.
        """
        from cosmos_policy_ros.core.config import check_robot

        policy = load_policy(
            self.checkpoint,
            self.backend,
            threads=self.threads,
            precision=self.precision,
            planning=self.planning_checkpoint,
            conditioning=self.conditioning,
        )
        check_robot(policy.config, robot)
        policy.check_query(self.query)
        if self.displacement.spread_rad:
            require_stages(policy)
        return policy

    def describe(self) -> dict[str, str]:
        """Return metadata for the bags of its rollouts: checkpoint hashes and displacement."""
        details = {'checkpoint': hash_checkpoint(self.checkpoint)}
        if self.planning_checkpoint is not None:
            details['planning_checkpoint'] = hash_checkpoint(self.planning_checkpoint)
        if self.displacement.explore:
            details['explore'] = str(self.displacement.explore)
            details['spread_rad'] = str(self.displacement.spread_rad)
            details['temperature'] = str(self.query.temperature)
        return details
