# SPDX-License-Identifier: Apache-2.0
"""What an evaluation plays: task, instruction, start states, and the pace of the queries."""

from __future__ import annotations

from dataclasses import dataclass, field
import math

from cosmos_policy_ros.control.seams import PlaybackSettings
from cosmos_policy_ros.sim.experts.table import find_task
from cosmos_policy_ros.sim.states import check_states, Ingredient, States
from cosmos_policy_ros.sim.tasks import EPISODE_S
from cosmos_policy_ros.types import ConfigError

LEAST_S = 1.0  # [s] of an episode; a policy is asked in its first 0.1 s


@dataclass(frozen=True)
class Scenario:
    """A simulated task with everything but the seed, which is of each scene.

    Attributes:
        task: Simulated task, a row of ``sim.experts.table.EXPERTS``.
        instruction: Instruction given to the policy, one of its tasks or a paraphrase; None is the
            simulated task's own.
        states: Start states: ``normal`` as in training, or ``hard``, see ``sim.states``.
        without: Ingredients of hard states that are as in training.
        replan_s: Time from one query to the next [s]; one leaves earlier where the running chunk
            would not outlast its answer.
        margin_s: How much longer than an answer takes the running chunk shall last [s].
        latencies_s: Times from a query to its answer, one of which is drawn for every query [s].
        image_ages_s: Ages of an image at a query, one of which is drawn for every camera and
            query [s]; empty for images that come as soon as they are taken.
        playback: Seam and interpolation of the action chunks, as of the command executor.
        mended: Whether a scripted person watches, takes over where the policy gets no farther, and
            leads until the task is done.
        seconds: Length of an episode [s].
        stop_when_done: Whether an episode ends as soon as the value says that the task is done.
    """

    task: str = 'transfer_cube'
    instruction: str | None = None
    states: States = 'normal'
    without: tuple[Ingredient, ...] = ()
    replan_s: float = 0.8
    margin_s: float = 0.2
    latencies_s: tuple[float, ...] = (0.2,)
    image_ages_s: tuple[float, ...] = ()
    playback: PlaybackSettings = field(default_factory=PlaybackSettings)
    mended: bool = False
    seconds: float = EPISODE_S
    stop_when_done: bool = False

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: There is no such task, state or ingredient, ingredients are left out of
                normal states, there is no latency, a time is negative or no number, or an episode
                is over before a policy was asked.
        """
        find_task(self.task)
        check_states(self.states, self.without)
        if self.without and self.states != 'hard':
            msg = f'ingredients are left out of hard states; give states hard, not {self.states}'
            raise ConfigError(msg)
        if not self.latencies_s:
            msg = 'latencies_s is empty; give at least one time from a query to its answer'
            raise ConfigError(msg)
        for name in ('replan_s', 'margin_s', 'latencies_s', 'image_ages_s', 'seconds'):
            value = getattr(self, name)
            for time_s in value if isinstance(value, tuple) else (value,):
                if not (math.isfinite(time_s) and time_s >= 0.0):
                    msg = f'{name} must be at least 0 s, got {time_s}'
                    raise ConfigError(msg)
        if self.seconds < LEAST_S:
            msg = f'an episode takes at least {LEAST_S:g} s, got {self.seconds}'
            raise ConfigError(msg)

    @property
    def given_instruction(self) -> str:
        """The instruction given to the policy."""
        return find_task(self.task).instruction if self.instruction is None else self.instruction
