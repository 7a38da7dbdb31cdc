# SPDX-License-Identifier: Apache-2.0
"""CosmosPolicy: one sampler that acts, predicts futures and predicts values.

The three stages differ only in their known frames. Each is one batch: N candidates, then N*M
futures, then N*M*K values. A deeper query acts again on every predicted state, whose latents are
those of the next observation, before it reads the values. Ensemble members have seeds and step
counts of their own, as in the reference, but share the network calls, so a query costs as many
calls as its longest rows.

Source: Cosmos Policy (arXiv:2601.16163), Sec. 4; NVlabs/cosmos-policy ``cosmos_utils.get_action``,
``get_future_state_prediction``, ``get_value_prediction``. Candidate i has the seed ``s + i`` in
every stage; future member j uses ``s + i + j`` and value member k ``s + i + k``.
Differs: the network calls are batched; the future that is shown is the member with most steps,
not the mean of all; the reference imagines one chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
import time

from cosmos_policy_ros.core.advantage import write_label
from cosmos_policy_ros.core.backend import Backend
from cosmos_policy_ros.core.codec import read_value, read_vector, write_vector
from cosmos_policy_ros.core.committed import BLANK, write_committed
from cosmos_policy_ros.core.config import Conditioning, PolicyConfig
from cosmos_policy_ros.core.correction import (
    choose_conditioning,
    Correction,
    HOW_TO_MEASURE,
    Residuals,
)
from cosmos_policy_ros.core.deadline import Clock, Deadline
from cosmos_policy_ros.core.diffusion import member_steps
from cosmos_policy_ros.core.layout import SampleKind
from cosmos_policy_ros.core.normalize import NormStats
from cosmos_policy_ros.core.protocol import Answer
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.core.sampling import Correct, denoise_frames, Sample
from cosmos_policy_ros.core.text import TextEmbeddings
from cosmos_policy_ros.core.variations import choose_plans, Variations
from cosmos_policy_ros.core.vision import Vision
from cosmos_policy_ros.types import Candidates, ConfigError, Observation
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
        residuals: How the errors of its chunks go together, for ``corrected`` and for candidates
            at a temperature.
        conditioning: How chunks come to begin with the committed rows of an observation.
        clock: Time [s] by which budgets are kept.

    Attributes:
        conditioning: That of the above which is done, never ``auto``.
    """

    def __init__(
        self,
        backend: Backend,
        config: PolicyConfig,
        stats: NormStats,
        text: TextEmbeddings,
        max_rows: int | None = None,
        scorer: CosmosPolicy | None = None,
        residuals: Residuals | None = None,
        conditioning: Conditioning = 'auto',
        clock: Clock = time.perf_counter,
    ) -> None:
        """Keep the parts; nothing is computed yet.

        Raises:
            ConfigError: The checkpoint has not what ``conditioning`` takes.
        """
        self.conditioning = choose_conditioning(conditioning, config, residuals)
        self.scorer = scorer or self
        self.backend, self.config, self.stats, self.text = backend, config, stats, text
        self.layout = config.layout
        self.max_rows, self._clock = max_rows, clock
        self.grippers = np.flatnonzero(~config.arm_joints).tolist()
        self._vision = Vision(backend, config)
        self._encoded_text: dict[tuple[str, bool], Tensor] = {}  # of the last task
        used = residuals if self.conditioning == 'corrected' else None
        self._correction = Correction(used, config.arm_joints)
        self._residuals = residuals

    def __str__(self) -> str:
        """Return backend and precision of the networks, for people."""
        return f'{type(self.backend).__name__} in {self.backend.precision}'

    @property
    def tasks(self) -> tuple[str, ...]:
        """Language instructions with an embedding."""
        return self.text.tasks

    def check(self, obs: Observation) -> None:
        """Refuse an observation that this policy cannot use.

        Raises:
            ValueError: Other cameras or another proprio size than the policy was trained with, or
                committed rows of another size or as many as a chunk has.
            ConfigError: The task has no embedding.
        """
        if set(obs.images) != set(self.config.cameras):
            msg = f'the policy needs the cameras {self.config.cameras}, got {tuple(obs.images)}'
            raise ValueError(msg)
        if len(obs.proprio) != self.config.proprio_size:
            msg = f'proprio must have {self.config.proprio_size} numbers, got {len(obs.proprio)}'
            raise ValueError(msg)
        if obs.committed is not None and len(obs.committed):
            n_rows, size = obs.committed.shape
            if size != self.config.action_size:
                msg = f'committed rows must have {self.config.action_size} numbers, got {size}'
                raise ValueError(msg)
            if n_rows >= self.config.horizon:
                msg = (
                    f'{n_rows} committed rows leave nothing to plan in a chunk of '
                    f'{self.config.horizon}; commit to fewer'
                )
                raise ValueError(msg)
        self.text.lookup(obs.task)

    def check_query(self, query: PlanQuery) -> None:
        """Refuse a query that this policy cannot answer, whatever the observation.

        Raises:
            ValueError: The policy values actions without futures, and futures are wanted.
            ConfigError: More is pruned than denoised, a temperature is wanted and the checkpoint
                has no residuals, or guidance and it knows no label.
        """
        query.check(self.config.action_steps)
        self._check_stages(query)
        if query.temperature and self._residuals is None:
            msg = (
                'candidates at a temperature are drawn from the residuals of the checkpoint, and '
                f'this one has none; {HOW_TO_MEASURE}'
            )
            raise ConfigError(msg)

    def plan(self, obs: Observation, query: PlanQuery) -> Answer:
        """Return candidates with the future and the value that the model expects of each.

        The future is that after the candidate's chunk. The value is the return expected then,
        whatever the depth of the query: one that is read further ahead is discounted back.

        A stage with 0 members is skipped and its answer read from the stage before: with
        ``futures=0, values=0`` everything comes from one joint denoising and values are (N, 1),
        while a scorer of its own does one more stage.

        Args:
            obs: What the robot senses; row 0 of every candidate is due at its stamp.
            query: How many candidates, futures and values.

        Raises:
            ValueError: See ``check`` and ``PlanQuery.check``; or the policy values actions
                without futures, and futures are wanted.
        """
        deadline = Deadline(query.budget_s, self._clock)
        return self.judge(self.act(obs, query, deadline), query, deadline)

    @torch.inference_mode()
    def act(self, obs: Observation, query: PlanQuery, deadline: Deadline | None = None) -> Sample:
        """Return N rows, or those kept: action chunk, future and value denoised jointly.

        At a temperature all rows but the first have other chunks than their futures and values
        belong to, which ``judge`` predicts again.

        Args:
            obs: What the robot senses.
            query: Candidates, which of them are kept, temperature, seed and denoising steps.
            deadline: When the whole answer must be there; None takes all steps.

        Raises:
            ValueError: See ``plan``.
            ConfigError: See ``check_query``.
        """
        self.check(obs)
        self.check_query(query)
        # 1. Images, proprio -> the current frames, known and the same in all rows.
        images = self._vision.prepare(obs.images).to(self.backend.device)
        known = self._encode(images, obs.proprio)
        committed = self._normalize_committed(obs.committed)
        correct: Correct | None = None
        if self.conditioning == 'trained':
            rows = torch.zeros(1, self.config.horizon, self.config.action_size)
            rows[0, : len(committed)] = committed
            n_rows = torch.tensor([len(committed)], device=known.device)
            write_committed(known, rows.to(known.device), n_rows)
        elif len(committed):
            correct = partial(self._correction, committed=committed)
        known = known.expand(query.candidates, -1, -1, -1, -1)
        seeds = tuple(query.seed + i for i in range(query.candidates))
        given = Sample(known, seeds, obs.task, images, obs.stamp_ns)
        # 2. Noise -> action, future and value frames.
        steps = query.steps or self.config.action_steps
        deadline = deadline or Deadline()
        deadline.start_stage(self._steps_behind(query))
        acted = self.denoise(
            given,
            'policy',
            [steps],
            keep=query.keep,
            correct=correct,
            deadline=deadline,
            guidance=self._guidance(query),
        )
        # 3. The committed rows are played whatever was denoised, so they stand in the chunk.
        acted = self._overwrite(acted, committed)
        # 4. At a temperature the candidates become different plans.
        return self._vary(acted, committed, query.temperature) if query.temperature else acted

    @torch.inference_mode()
    def judge(self, acted: Sample, query: PlanQuery, deadline: Deadline | None = None) -> Answer:
        """Return the predicted future and value of the action chunk in every row.

        Args:
            acted: R rows with an action frame, as ``act`` returns them.
            query: Futures, values, depth, and whether all rows share their noise.
            deadline: When the answer must be there; None takes all steps.

        Raises:
            ValueError: See ``plan``.
        """
        self._check_stages(query)
        scorer, (futures, values) = self.scorer, self._members(query)
        deadline = deadline or Deadline()
        given = acted
        if self.conditioning == 'trained' and not scorer.config.committed_rows:
            given = scorer.hide_committed(acted)
        if query.paired:
            given = replace(given, seeds=(query.seed,) * len(acted.seeds))
        # 5. Action frames -> M futures of each.
        future = first = self._imagine(given, query, deadline)
        # 6. Futures -> as many further chunks as the query is deep, and one future of each.
        for depth in range(2, query.depth + 1):
            deadline.start_stage(self._steps_behind(query, depth))
            given = self.act_on_future(future, query, deadline)
            future = self._imagine(given, query, deadline, depth)
        # 7. Futures -> K values of each, seen from the end of the first chunk.
        if values:
            deadline.start_stage()
            scores = scorer.predict_value(future, values, deadline)
        else:
            scores = self.read_values(future)
        rows_ahead = self.config.horizon * (query.depth - 1)
        scores = scores * scorer.config.return_discount**rows_ahead
        # 8. Latent frames -> robot units; the future that is shown is the last, of most steps.
        members = max(futures, 1)
        shown = first.rows(range(members - 1, len(first.seeds), members))
        shown = replace(shown, seeds=acted.seeds)
        candidates = Candidates(
            stamp_ns=acted.stamp_ns,
            positions=self.read_actions(acted),
            values=scores.reshape(len(acted.seeds), -1).cpu().numpy(),
            future_proprio=self.read_proprio(shown),
        )
        return Answer(candidates, shown, acted.steps)

    @torch.inference_mode()
    def act_on_future(
        self, imagined: Sample, query: PlanQuery, deadline: Deadline | None = None
    ) -> Sample:
        """Return R rows in which the policy has acted again, in the state that each predicts.

        The predicted frames are the current ones of the new rows, as latents: nothing is decoded.
        Nothing is committed, since the chunk that led there has been played to its end. All rows
        have the noise of candidate 0, as the next query would: they shall differ by the state
        that they begin in, not by luck.

        Args:
            imagined: R rows with a predicted future.
            query: Seed and denoising steps.
            deadline: When to make no more steps, the stage begun; None makes all.
        """
        layout, latents = self.layout, torch.zeros_like(imagined.latents)
        latents[:, :, BLANK : BLANK + 1] = self._vision.encode_blank()
        for camera in self.config.cameras:
            seen = imagined.latents[:, :, layout.index(f'future_{camera}')]
            latents[:, :, layout.index(camera)] = seen
        index, size = layout.index('future_proprio'), self.config.proprio_size
        proprio = read_vector(imagined.latents, index, size)
        write_vector(latents, layout.index('proprio'), proprio)
        seeds = (query.seed,) * len(imagined.seeds)
        given = replace(imagined, latents=latents, seeds=seeds)
        steps = query.steps or self.config.action_steps
        guidance = self._guidance(query)
        return self.denoise(given, 'policy', [steps], deadline=deadline, guidance=guidance)

    def _imagine(
        self, given: Sample, query: PlanQuery, deadline: Deadline, depth: int = 1
    ) -> Sample:
        """Return the futures of rows with an action frame; without any, the one they have.

        Args:
            given: R rows with an action frame.
            query: How many futures, and what comes behind them.
            deadline: When the answer must be there.
            depth: Which chunk of the query it is, from 1.
        """
        futures, _ = self._members(query, depth)
        if not futures:
            return given
        deadline.start_stage(self._steps_behind(query, depth, imagined=True))
        return self.scorer.predict_future(given, futures, deadline)

    @torch.inference_mode()
    def images(
        self, answer: Answer, rows: Sequence[int] | None = None
    ) -> dict[str, NDArray[np.uint8]]:
        """Return camera -> (R, H, W, 3) uint8 RGB images predicted after the chunk.

        Args:
            answer: What ``plan`` or ``judge`` returned.
            rows: Candidates to decode; None is all.
        """
        futures: Sample = answer.futures
        return self.read_images(futures if rows is None else futures.rows(rows))

    @torch.inference_mode()
    def predict_future(
        self, given: Sample, members: int = 1, deadline: Deadline | None = None
    ) -> Sample:
        """Return R*members rows with future and value denoised, given their action frame.

        Args:
            given: R rows with an action frame.
            members: Futures M per row, side by side; the last takes most denoising steps, a single
                one those of the checkpoint.
            deadline: When to make no more steps, the stage begun; None makes all.
        """
        steps = self.future_member_steps(members)
        return self.denoise(given, 'world_model', steps, seed_stride=1, deadline=deadline)

    @torch.inference_mode()
    def predict_value(
        self, given: Sample, members: int = 1, deadline: Deadline | None = None
    ) -> Tensor:
        """Return (R, members) float32 values in [0, 1] of R rows.

        Args:
            given: R rows; which of their frames are known depends on the checkpoint's
                ``value_kind``.
            members: Values K per row; the last takes most denoising steps.
            deadline: When to make no more steps, the stage begun; None makes all.
        """
        steps, kind = self.value_member_steps(members), self.config.value_kind
        rows = self.denoise(given, kind, steps, seed_stride=1, deadline=deadline)
        return self.read_values(rows).reshape(-1, members)

    def denoise(
        self,
        given: Sample,
        kind: SampleKind,
        steps: Sequence[int],
        *,
        seed_stride: int = 0,
        keep: Sequence[int] = (),
        correct: Correct | None = None,
        deadline: Deadline | None = None,
        guidance: float = 0.0,
    ) -> Sample:
        """Return the rows with their unknown frames denoised, see ``sampling.denoise_frames``.

        Args:
            given: R rows whose known frames are used.
            kind: Which frames are known.
            steps: Denoising steps of each of the members of a row.
            seed_stride: Seed distance between the members of a row.
            keep: Rows kept after each step.
            correct: Estimated chunks -> what to go on with.
            deadline: When to make no more steps.
            guidance: See ``PlanQuery.guidance``; 0 for the task's text without a label.
        """
        return denoise_frames(
            self.backend,
            self.config,
            self._encode_text(given.task, labelled=guidance > 0.0),
            given,
            kind,
            steps,
            seed_stride=seed_stride,
            keep=keep,
            max_rows=self.max_rows,
            correct=correct,
            deadline=deadline,
            plain_text=self._encode_text(given.task) if guidance > 1.0 else None,
            guidance=guidance,
        )

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Send one row through the network once, its text encoded before."""
        device, size = self.backend.device, self.config.image_size
        images = torch.zeros(len(self.config.cameras), 3, size, size, device=device)
        latents = torch.zeros(1, *self.config.latent_shape, device=device)
        given = Sample(latents, (0,), self.tasks[0], images, stamp_ns=0)
        self.denoise(given, 'policy', [1])

    def future_member_steps(self, members: int) -> list[int]:
        """Return the denoising steps of every predicted future of a row."""
        return member_steps(self.config.future_steps, members, self.config.single_member_steps)

    def value_member_steps(self, members: int) -> list[int]:
        """Return the denoising steps of every predicted value of a row."""
        return member_steps(self.config.value_steps, members, self.config.single_member_steps)

    @property
    def values_actions(self) -> bool:
        """Whether values are judged from actions alone, without a future (``value_q``)."""
        return self.config.value_kind == 'value_q'

    def read_actions(self, given: Sample) -> NDArray[np.float32]:
        """Return (R, H, A) float32 action chunks [rad; gripper 0..1], also beyond the ranges."""
        shape = (self.config.horizon, self.config.action_size)
        index = self.layout.index('action')
        unit = read_vector(given.latents, index, shape[0] * shape[1]).cpu().numpy()
        return self.stats.unnormalize_actions(unit.reshape(-1, *shape))

    def read_proprio(self, given: Sample) -> NDArray[np.float32]:
        """Return (R, P) float32 predicted joints after the chunk [rad; gripper 0..1]."""
        index = self.layout.index('future_proprio')
        unit = read_vector(given.latents, index, self.config.proprio_size)
        return self.stats.unnormalize_proprio(unit.cpu().numpy())

    def read_values(self, given: Sample) -> Tensor:
        """Return (R,) float32 values in [0, 1] from the value frame of R rows."""
        return read_value(given.latents, self.layout.index('value'))

    def hide_committed(self, given: Sample) -> Sample:
        """Return rows with a black blank frame, for a network that never saw committed rows."""
        latents = given.latents.clone()
        latents[:, :, BLANK : BLANK + 1] = self._vision.encode_blank()
        return replace(given, latents=latents)

    def _normalize_committed(self, committed: NDArray[np.float32] | None) -> Tensor:
        """Return (D, A) float32 normalised committed rows; D is 0 where there are none."""
        if committed is None or not len(committed):
            return torch.zeros(0, self.config.action_size)
        return torch.from_numpy(self.stats.normalize_actions(committed))

    def _overwrite(self, acted: Sample, committed: Tensor) -> Sample:
        """Return rows of latents whose chunks begin with the committed rows."""
        if not len(committed):
            return acted
        horizon, size = self.config.horizon, self.config.action_size
        index, latents = self.layout.index('action'), acted.latents.clone()
        chunk = read_vector(latents, index, horizon * size).reshape(-1, horizon, size)
        chunk[:, : len(committed)] = committed.to(chunk.device)
        write_vector(latents, index, chunk)
        return replace(acted, latents=latents)

    def _vary(self, acted: Sample, committed: Tensor, temperature: float) -> Sample:
        """Return as many rows whose chunks are different plans, the first as it is."""
        n = len(acted.seeds)
        if n == 1:
            return acted
        index, shape = self.layout.index('action'), (self.config.horizon, self.config.action_size)
        chunks = read_vector(acted.latents, index, shape[0] * shape[1]).reshape(-1, *shape)
        pool = [chunks]
        for chunk, seed in zip(chunks, acted.seeds, strict=True):
            rng = np.random.default_rng([seed, acted.stamp_ns // 1_000_000, 1])
            pool.append(self._variations.draw(chunk, committed, temperature, rng))
        every = torch.cat(pool)
        positions = self.stats.unnormalize_actions(every.cpu().numpy())
        plans = choose_plans(positions, n, self.config.arm_joints)
        latents = acted.latents.clone()
        write_vector(latents[1:], index, every[plans[1:]])
        return replace(acted, latents=latents)

    @cached_property
    def _variations(self) -> Variations:
        """What draws plans, made for the first query at a temperature."""
        assert self._residuals is not None
        return Variations(self._residuals, self.config.arm_joints)

    def _members(self, query: PlanQuery, depth: int = 1) -> tuple[int, int]:
        """Return the futures and values of the scorer's stages; 0 is a stage that is left out.

        Args:
            query: What is wanted.
            depth: Chunk whose futures are counted, from 1; each behind the first has one at most.
        """
        futures, values = query.futures, query.values
        varied = query.temperature > 0.0 and query.candidates > 1
        if varied and not self.scorer.values_actions:
            futures = max(futures, 1)
        if (varied or self.scorer is not self) and not futures + values:  # else its own value
            futures, values = (0, 1) if self.scorer.values_actions else (1, 0)
        return futures if depth == 1 else min(futures, 1), values

    def _steps_behind(self, query: PlanQuery, depth: int = 1, imagined: bool = False) -> int:
        """Return what the stages behind one cost, in denoising steps of its rows.

        A network of the scorer's own is taken to be as fast as this one.

        Args:
            query: All stages.
            depth: Chunk that the stage belongs to, from 1.
            imagined: Whether the stage predicts the futures of that chunk, and does not denoise
                the chunk itself.
        """
        futures, values = self._members(query, depth)
        deeper, _ = self._members(query, depth + 1)
        scorer, of_chunk = self.scorer, query.steps or self.config.action_steps
        of_chunk += sum(scorer.future_member_steps(deeper))
        of_values = sum(scorer.value_member_steps(values))
        of_one = (query.depth - depth) * of_chunk + of_values  # all that follows a future
        if imagined:
            return of_one
        return sum(scorer.future_member_steps(futures)) + max(futures, 1) * of_one

    def _check_stages(self, query: PlanQuery) -> None:
        """Refuse futures for a value that is never shown them, and guidance without a label."""
        if query.futures and self.scorer.values_actions:
            msg = (
                'this policy values actions without futures (value_q); got '
                f'futures={query.futures}, give 0'
            )
            raise ValueError(msg)
        if query.guidance > 1.0 and not self.config.advantage:
            msg = (
                f'guidance {query.guidance:g} needs a checkpoint that was told what went better '
                'than expected, and this one was not; train it with --role improve, or give 1'
            )
            raise ConfigError(msg)

    @torch.inference_mode()
    def read_images(self, given: Sample) -> dict[str, NDArray[np.uint8]]:
        """Return camera -> (R, H, W, 3) uint8 RGB predicted images."""
        return self._vision.decode_futures(given.latents, given.images)

    def _encode(self, images: Tensor, proprio: NDArray[np.float32]) -> Tensor:
        """Return (1, C, T, h, w) latents with the current frames written, the others 0."""
        latents = torch.zeros(1, *self.config.latent_shape, device=self.backend.device)
        latents[:, :, : len(self.layout.current)] = self._vision.encode_current(images)
        unit = torch.from_numpy(self.stats.normalize_proprio(proprio)).to(latents.device)
        write_vector(latents, self.layout.index('proprio'), unit[None])
        return latents

    def _guidance(self, query: PlanQuery) -> float:
        """Return the guidance of the action chunks, 0 where the checkpoint knows no label."""
        return query.guidance if self.config.advantage else 0.0

    def _encode_text(self, task: str, labelled: bool = False) -> Tensor:
        """Return keys and values of a task's text, computed when the task changes.

        Args:
            task: Instruction.
            labelled: Whether with the label of chunks that went better than expected.
        """
        if any(known != task for known, _ in self._encoded_text):
            self._encoded_text.clear()
        if (task, labelled) not in self._encoded_text:
            text = self.text.lookup(task)
            if labelled:
                text = write_label(text[None], torch.ones(1))[0]
            self._encoded_text[task, labelled] = self.backend.encode_text(text)
        return self._encoded_text[task, labelled]
