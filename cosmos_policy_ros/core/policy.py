# SPDX-License-Identifier: Apache-2.0
"""CosmosPolicy: one sampler that acts, predicts futures and predicts values.

The three stages differ only in their known frames. Each is one batch: N candidates, then N*M
futures, then N*M*K values. Ensemble members have seeds and step counts of their own, as in the
reference, but share the network calls, so a query costs as many calls as its longest rows.

Source: Cosmos Policy (arXiv:2601.16163), Sec. 4; NVlabs/cosmos-policy ``cosmos_utils.get_action``,
``get_future_state_prediction``, ``get_value_prediction``. Candidate i has the seed ``s + i`` in
every stage; future member j uses ``s + i + j`` and value member k ``s + i + k``.
Differs: the network calls are batched; the future that is shown is the member with most steps,
not the mean of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cosmos_policy_ros.core.backend import Backend
from cosmos_policy_ros.core.codec import read_value, read_vector, write_vector
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.diffusion import member_steps
from cosmos_policy_ros.core.layout import SampleKind
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.core.perturb import displace_others
from cosmos_policy_ros.core.planner import check_keep
from cosmos_policy_ros.core.sample import Sample
from cosmos_policy_ros.core.sampling import ask
from cosmos_policy_ros.core.text import TextEmbeddings
from cosmos_policy_ros.core.vision import Vision
from cosmos_policy_ros.types import Candidates, Observation
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor


class CosmosPolicy:
    """A policy, its world model and its value function.

    Args:
        backend: What runs the networks.
        config: Facts tied to the weights.
        stats: Ranges of actions and proprio.
        text: Embeddings of the known tasks.
        max_rows: Most rows of one network call, to bound memory; None is all of them.
        scorer: A planning checkpoint's policy, see ``checkpoint.check_planning``: it predicts and
            values what this one proposes. None lets this one do so itself.
    """

    def __init__(
        self,
        backend: Backend,
        config: PolicyConfig,
        stats: NormStats,
        text: TextEmbeddings,
        max_rows: int | None = None,
        scorer: CosmosPolicy | None = None,
    ) -> None:
        """Keep the parts; nothing is computed yet."""
        self.scorer = scorer or self
        self.backend, self.config, self.stats, self.text = backend, config, stats, text
        self.layout = config.layout
        self.max_rows = max_rows
        self.grippers = [i for i, n in enumerate(config.joint_names) if n.endswith('gripper')]
        self._vision = Vision(backend, config)
        self._text_read: tuple[str, Tensor] | None = None  # of the last task

    def check(self, obs: Observation) -> None:
        """Refuse an observation that this policy cannot use.

        Raises:
            ValueError: Other cameras or another proprio size than the policy was trained with.
            ConfigError: The task has no embedding.
        """
        if set(obs.images) != set(self.config.cameras):
            msg = f'the policy needs the cameras {self.config.cameras}, got {tuple(obs.images)}'
            raise ValueError(msg)
        if len(obs.proprio) != self.config.proprio_size:
            msg = f'proprio must have {self.config.proprio_size} numbers, got {len(obs.proprio)}'
            raise ValueError(msg)
        self.text.lookup(obs.task)

    @torch.inference_mode()
    def act(self, obs: Observation, n: int = 1, seed: int = 0, keep: Sequence[int] = ()) -> Sample:
        """Return n rows, or those kept: action chunk, future and value denoised jointly.

        Args:
            obs: What the robot senses.
            n: Candidates N; candidate i is drawn with ``seed + i``.
            seed: Base seed.
            keep: See ``plan``.

        Raises:
            ValueError: See ``check`` and ``planner.check_keep``.
        """
        self.check(obs)
        check_keep(keep, n, self.config.action_steps)
        images = self._vision.prepare(obs.images).to(self.backend.device)
        known = self._encode(images, obs.proprio)
        seeds = tuple(seed + i for i in range(n))
        start = Sample(known.expand(n, -1, -1, -1, -1), seeds, obs.task, images)
        return self.ask(start, 'policy', [self.config.action_steps], 0, keep)

    @torch.inference_mode()
    def predict_future(self, given: Sample, members: int = 1) -> Sample:
        """Return R*members rows: future and value, given the action; the last takes most steps."""
        steps = member_steps(self.config.future_steps, members)
        return self.ask(given, 'world_model', steps, 1)

    @torch.inference_mode()
    def predict_value(self, given: Sample, members: int = 1) -> Tensor:
        """Return (R, members) float32 values in [0, 1], judged from what the network is shown."""
        steps = member_steps(self.config.value_steps, members)
        rows = self.ask(given, self.config.value_kind, steps, 1)
        return self.read_values(rows).reshape(-1, members)

    @torch.inference_mode()
    def plan(
        self,
        obs: Observation,
        candidates: int = 1,
        futures: int = 0,
        values: int = 0,
        seed: int = 0,
        images: bool = False,
        keep: Sequence[int] = (),
        spread_rad: float = 0.0,
    ) -> Candidates:
        """Return candidates with the future and the value that the model expects of each.

        A stage with 0 members is skipped and its answer read from the stage before: with
        ``futures=0, values=0`` everything comes from one joint denoising and values are (N, 1),
        while a scorer of its own does one more stage.

        Args:
            obs: What the robot senses; row 0 of every candidate is due at its stamp.
            candidates: Candidates N.
            futures: Futures M per candidate.
            values: Values K per future.
            seed: Base seed; candidate 0 is what ``candidates=1`` would return.
            images: Decode the predicted camera images.
            keep: Candidates kept after each denoising step, those with the best value so far;
                none keeps all to the end. What is dropped has no action and is left out of the
                answer, and only what is kept goes through the stages of futures and values.
            spread_rad: Standard deviation by which candidates after the first are displaced, see
                ``spread.displace`` [rad]; they are judged by at least one future, or value_q.

        Raises:
            ValueError: See ``check`` and ``planner.check_keep``; or a count is out of range.
        """
        counts = candidates, futures, values
        answer, shown = self.plan_unseen(obs, *counts, seed, keep, spread_rad)
        return replace(answer, future_images=self.read_futures(shown)) if images else answer

    @torch.inference_mode()
    def plan_unseen(
        self,
        obs: Observation,
        candidates: int = 1,
        futures: int = 0,
        values: int = 0,
        seed: int = 0,
        keep: Sequence[int] = (),
        spread_rad: float = 0.0,
    ) -> tuple[Candidates, Sample]:
        """Return the answer of ``plan`` without images, and its rows for ``read_futures``."""
        if candidates < 1 or min(futures, values, spread_rad) < 0:
            msg = f'cannot plan with {candidates} candidates, {futures} futures, {values} values'
            raise ValueError(f'{msg}, spread_rad={spread_rad}')
        scorer = self.scorer
        values_actions = scorer.config.value_kind == 'value_q'
        if scorer is not self and not futures + values:
            futures, values = (0, 1) if values_actions else (1, 0)
        if spread_rad and candidates > 1:  # what was denoised jointly is of the plain candidates
            futures, values = (0, max(values, 1)) if values_actions else (max(futures, 1), values)
        if futures and values_actions:
            msg = f'this policy values actions without futures (value_q); got futures={futures}'
            raise ValueError(msg)
        acted = self.act(obs, candidates, seed, keep)
        if spread_rad and len(acted.seeds) > 1:
            about = self.config, self.stats, self.grippers
            acted = displace_others(acted, *about, spread_rad, obs.stamp_ns)
        future = scorer.predict_future(acted, futures) if futures else acted
        scores = scorer.predict_value(future, values) if values else self.read_values(future)
        shown = future.rows(slice(max(futures, 1) - 1, None, max(futures, 1)))
        answer = Candidates(
            stamp_ns=obs.stamp_ns,
            positions=self.read_actions(acted),
            values=scores.reshape(len(acted.seeds), -1).cpu().numpy(),
            future_proprio=self.read_proprio(shown),
        )
        return answer, shown

    def read_actions(self, given: Sample) -> NDArray[np.float32]:
        """Return (R, H, A) float32 action chunks [rad; gripper 0..1].

        Differs: grippers are clipped to the range they have by definition; the reference leaves
        that to the robot.
        """
        shape = (self.config.horizon, self.config.action_size)
        index = self.layout.index('action')
        unit = read_vector(given.latents, index, shape[0] * shape[1]).cpu().numpy()
        actions = self.stats.unnormalize_actions(unit.reshape(-1, *shape))
        actions[..., self.grippers] = actions[..., self.grippers].clip(0.0, 1.0)
        return actions

    def read_proprio(self, given: Sample) -> NDArray[np.float32]:
        """Return (R, P) float32 predicted joints after the chunk [rad; gripper 0..1]."""
        index = self.layout.index('future_proprio')
        unit = read_vector(given.latents, index, self.config.proprio_size)
        return self.stats.unnormalize_proprio(unit.cpu().numpy())

    def read_values(self, given: Sample) -> Tensor:
        """Return (R,) float32 values in [0, 1] of what was denoised jointly."""
        return read_value(given.latents, self.layout.index('value'))

    @torch.inference_mode()
    def read_futures(self, given: Sample) -> dict[str, NDArray[np.uint8]]:
        """Return camera -> (R, H, W, 3) uint8 RGB predicted images."""
        return self._vision.decode_futures(given.latents, given.images)

    def _encode(self, images: Tensor, proprio: NDArray[np.float32]) -> Tensor:
        """Return (1, C, T, h, w) latents with the current frames written, the others 0."""
        latents = torch.zeros(1, *self.config.latent_shape, device=self.backend.device)
        latents[:, :, : len(self.layout.current)] = self._vision.encode_current(images)
        unit = torch.from_numpy(self.stats.normalize_proprio(proprio)).to(latents.device)
        write_vector(latents, self.layout.index('proprio'), unit[None])
        return latents

    def _read_text(self, task: str) -> Tensor:
        """Return what the network needs of a task, computed when the task changes."""
        if self._text_read is None or self._text_read[0] != task:
            self._text_read = task, self.backend.read_text(self.text.lookup(task))
        return self._text_read[1]

    def ask(
        self,
        given: Sample,
        kind: SampleKind,
        steps: Sequence[int],
        spread: int,
        keep: Sequence[int] = (),
    ) -> Sample:
        """Return the rows with their unknown frames denoised, see ``asking.ask``."""
        text = self._read_text(given.task)
        about = self.backend, self.config, text
        return ask(*about, given, kind, steps, spread, keep, self.max_rows)
