# SPDX-License-Identifier: Apache-2.0
"""Cosmos3Policy: action chunks and predicted images of a Cosmos 3 checkpoint, without a value."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_policy_ros.core.cosmos3.facts import Cosmos3Facts
from cosmos_policy_ros.core.cosmos3.pipeline import Denoised, PolicyPipeline
from cosmos_policy_ros.core.cosmos3.views import compose_views, cut_views
from cosmos_policy_ros.core.normalize import from_unit, to_unit
from cosmos_policy_ros.core.protocol import Answer
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import Candidates, Observation
import numpy as np
from numpy.typing import NDArray


class Cosmos3Policy:
    """A policy that answers every query with the one chunk that it would play.

    It was not trained with committed rows, so they replace the first rows of its chunks and the
    others do not follow; the seam of the executor blends them. A budget of time is not kept within
    an answer, since denoising cannot end early: whoever has little asks for fewer steps.

    Args:
        pipeline: The networks, and what the policy was trained for.
    """

    def __init__(self, pipeline: PolicyPipeline) -> None:
        """Keep the networks; nothing is computed yet."""
        self._pipeline = pipeline

    def __str__(self) -> str:
        """Return precision of the networks and what it lacks, for people."""
        kind = str(self._pipeline.transformer.dtype).removeprefix('torch.')
        return f'Cosmos 3 in {kind} (no value: planning is off)'

    @property
    def tasks(self) -> tuple[str, ...]:
        """Instructions that it may be given."""
        return self.config.tasks

    @property
    def config(self) -> Cosmos3Facts:
        """What it was trained for."""
        return self._pipeline.facts

    def check(self, obs: Observation) -> None:
        """Refuse an observation that this policy cannot use.

        Raises:
            ValueError: Other cameras or another proprio size than the policy was trained with, or
                committed rows of another size or as many as a chunk has.
            ConfigError: It may not be given the task.
        """
        facts = self.config
        if set(obs.images) != set(facts.cameras):
            msg = f'the policy needs the cameras {facts.cameras}, got {tuple(obs.images)}'
            raise ValueError(msg)
        if len(obs.proprio) != facts.proprio_size:
            msg = f'proprio must have {facts.proprio_size} numbers, got {len(obs.proprio)}'
            raise ValueError(msg)
        if obs.committed is not None and len(obs.committed):
            n_rows, size = obs.committed.shape
            if size != facts.action_size or n_rows >= facts.horizon:
                msg = (
                    f'committed rows must have {facts.action_size} numbers and be fewer than '
                    f'the {facts.horizon} of a chunk, got {n_rows} of {size}'
                )
                raise ValueError(msg)
        facts.check_task(obs.task)

    def check_query(self, query: PlanQuery) -> None:
        """Refuse a query for what takes a value.

        Raises:
            ConfigError: There is to be a choice among candidates, or a judgement of any.
        """
        self.config.check_query(query)

    def plan(self, obs: Observation, query: PlanQuery) -> Answer:
        """Return one candidate, whose values and predicted joints have no columns.

        Args:
            obs: What the robot senses; row 0 of the chunk is due at its stamp.
            query: Seed and denoising steps.

        Raises:
            ValueError: See ``check`` and ``check_query``.
        """
        self.check(obs)
        self.check_query(query)
        facts = self.config
        # 1. Images, joints -> what the network is shown.
        image = compose_views(obs.images, facts.views, facts.image_size)
        state = to_unit(obs.proprio, facts.low, facts.high)
        # 2. Noise -> actions and video.
        steps = query.steps or facts.action_steps
        denoised = self._pipeline.denoise(image, obs.task, state, query.seed, steps)
        # 3. Network's scale -> robot units, behind the rows that are played whatever was denoised.
        rows = from_unit(denoised.actions.numpy(), facts.low, facts.high)
        if obs.committed is not None:
            rows[: len(obs.committed)] = obs.committed
        nothing = np.zeros((1, 0), np.float32)
        return Answer(Candidates(obs.stamp_ns, rows[None], nothing, nothing), denoised)

    def images(
        self, answer: Answer, rows: Sequence[int] | None = None
    ) -> dict[str, NDArray[np.uint8]]:
        """Return camera -> (R, height, width, 3) uint8 RGB image at the end of the video.

        Args:
            answer: What ``plan`` returned.
            rows: Candidates to decode, of which there is one; None is all.
        """
        denoised: Denoised = answer.futures
        shown = self._pipeline.decode_last(denoised.latents)
        height, width = self.config.image_size
        scale = denoised.content[0] / height, denoised.content[1] / width
        cut = cut_views(shown, self.config.views, scale)
        n = 1 if rows is None else len(rows)
        return {camera: np.repeat(image[None], n, axis=0) for camera, image in cut.items()}
