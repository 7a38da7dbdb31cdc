# SPDX-License-Identifier: Apache-2.0
"""A planning query in the reference's order of work: what batched planning is measured against.

Source: NVlabs/cosmos-policy ``cosmos_utils.get_action``, ``get_future_state_prediction`` and
``get_value_prediction``.
"""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.core.images import black_like, frames_to_video
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import Candidates, Observation
import numpy as np
import torch
from torch import Tensor


@torch.inference_mode()
def reference_plan(
    policy: CosmosPolicy, obs: Observation, candidates: int, futures: int, values: int
) -> Candidates:
    """Return what ``CosmosPolicy.plan`` returns, computed in the reference's order of work.

    Every candidate encodes a video of all latent frames; every ensemble member is denoised alone;
    every predicted future is decoded.
    """
    positions, scores, proprio = [], [], []
    for seed in range(candidates):
        acted = policy.act(obs, PlanQuery(1, seed=seed))
        _encode_rest(policy, acted.images)
        row = []
        for j, steps in enumerate(policy.future_member_steps(futures)):
            member = replace(acted, seeds=(seed + j,))
            future = policy.denoise(member, 'world_model', [steps])
            policy.read_images(future)
            for k, value_steps in enumerate(policy.value_member_steps(values)):
                known = replace(future, seeds=(seed + k,))
                judged = policy.denoise(known, policy.config.value_kind, [value_steps])
                row.append(float(policy.read_values(judged)))
        positions.append(policy.read_actions(acted)[0])
        proprio.append(policy.read_proprio(future)[0])
        scores.append(row)
    table = np.array(scores, dtype=np.float32)
    return Candidates(obs.stamp_ns, np.stack(positions), table, np.stack(proprio))


def _encode_rest(policy: CosmosPolicy, images: Tensor) -> None:
    """Encode the frames after the last known one as well, which are black: what is saved here."""
    rest = len(policy.layout.names) - len(policy.layout.current)
    black = black_like(images[:1]).expand(rest, -1, -1, -1)
    if policy.config.independent_frames:
        policy.backend.encode(black[:, :, None])
    else:
        policy.backend.encode(frames_to_video(black[None]))
