# SPDX-License-Identifier: Apache-2.0
"""The diffusers pipeline of Cosmos 3 in policy mode, as its policies are served.

``Cosmos3OmniPipeline`` denoises a chunk of actions and the video that goes with it from one image
and an instruction. Its policy mode knows the action width of the network before it was trained on
a robot; here it is that of the robot. What the server does besides is done here too: the measured
joints as a clean row before the chunk, guidance in the first steps alone, a text that says how the
cameras stand in the image, and noise levels of a shifted flow.

Source: NVIDIA/cosmos-framework ``scripts/action_policy_server_robolab.py``,
``data/generator/action/utils/transforms.py``, ``json_formatter.py`` and ``viewpoint_utils.py``.
Differs: the noise is another for the same seed. No rows of the past go before the measured joints,
as in the server's default. The guardrail that diffusers offers is not run, as by the server.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from cosmos_policy_ros.core.cosmos3.facts import Cosmos3Facts
from cosmos_policy_ros.core.images import unscale_pixels
from cosmos_policy_ros.core.networks import decode_video
from cosmos_policy_ros.types import ConfigError
from diffusers import (
    AutoencoderKLWan,
    Cosmos3OmniPipeline,
    Cosmos3OmniTransformer,
    UniPCMultistepScheduler,
)
from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import CosmosActionCondition
from diffusers.video_processor import VideoProcessor
import numpy as np
from numpy.typing import NDArray
from PIL import Image
import torch
from torch import Tensor

VISION_START = '<|vision_start|>'  # the token behind the text
ANY_DOMAIN = 'droid_lerobot'  # a name that diffusers accepts; the number of the facts is used


class Denoised(NamedTuple):
    """An action chunk and the video denoised with it.

    Attributes:
        actions: (H, A) float32 in the network's scale, on the CPU.
        latents: (1, C, T, h, w) latents of the video.
        content: Height and width of the image in it before it went to latents [px].
    """

    actions: Tensor
    latents: Tensor
    content: tuple[int, int]


class PolicyPipeline(Cosmos3OmniPipeline):
    """The pipeline with the facts of a policy.

    Attributes:
        facts: What the policy was trained for; set by ``make_pipeline``.
    """

    facts: Cosmos3Facts

    def denoise(
        self,
        image: NDArray[np.uint8],
        task: str,
        state: NDArray[np.float32],
        seed: int,
        steps: int,
    ) -> Denoised:
        """Return a chunk with its video.

        Args:
            image: (height, width, 3) uint8 RGB, all cameras in one.
            task: Instruction.
            state: (A,) float32 measured joints in the network's scale; used if it takes them.
            seed: Of the noise, which is the same on every device.
            steps: Denoising steps.
        """
        facts = self.facts
        condition = CosmosActionCondition(
            mode='policy',
            chunk_size=facts.horizon,
            domain_name=ANY_DOMAIN,
            resolution_tier=facts.resolution,
            image=Image.fromarray(image),
            view_point=facts.viewpoint,
        )
        condition.raw_action_dim = facts.action_size
        condition.state = torch.from_numpy(state)[None] if facts.state_row else None
        output = self(
            task,
            action=condition,
            fps=facts.rate_hz,
            num_inference_steps=steps,
            guidance_scale=facts.guidance,
            generator=torch.Generator().manual_seed(seed),
            output_type='latent',
            use_system_prompt=False,
            enable_safety_check=False,
        )
        rows = output.action[0].float().cpu()
        return Denoised(rows[len(rows) - facts.horizon :], output.video, condition.content)

    @torch.inference_mode()
    def decode_last(self, latents: Tensor) -> NDArray[np.uint8]:
        """Return the (height, width, 3) uint8 RGB image at the end of a video of latents."""
        video = decode_video(self.vae, latents.to(self.vae.dtype))  # (1, 3, 1 + H, h, w)
        return unscale_pixels(video[0, :, -1])

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the network is called without instruction too, in the present step."""
        now = self._current_timestep
        guides = now is None or float(now) >= self.facts.guided_from
        return guides and bool(super().do_classifier_free_guidance)

    def prepare_latents(self, **given: Any) -> tuple[Any, ...]:
        """Return what the pipeline's own returns, for this robot and with its measured joints."""
        made = list(super().prepare_latents(**given))
        # noise of video, sound, actions; rates; masks of the three; domain, sizes, width, rows
        actions, mask, domain, sizes = made[2], made[7], made[8], made[9]
        condition = given['action']
        condition.content = tuple(int(n) for n in sizes[2:])
        made[8] = torch.full_like(domain, self.facts.domain_id)
        if condition.state is not None:
            row = torch.zeros_like(actions[:1])
            row[:, : condition.state.shape[1]] = condition.state
            made[2] = torch.cat([row, actions])
            made[7] = torch.cat([torch.ones_like(mask[:1]), mask])
            made[11] = [0]
        return tuple(made)

    def _prepare_action_segment(self, **given: Any) -> dict[str, Any]:
        """Return the place of the actions in the sequence; the measured joints are at time 0."""
        segment: dict[str, Any] = super()._prepare_action_segment(**given)
        if given['condition_frame_indexes']:
            times = segment['action_mrope_ids'][0]
            segment['action_mrope_ids'][0] = times - (times[1] - times[0])
        return segment

    def _build_action_json_prompt(
        self,
        description: str,
        *,
        fps: float,
        num_frames: int,
        height: int,
        width: int,
        **given: Any,
    ) -> str:
        """Return the text of an instruction, with what the facts say of the image."""
        facts, sizes = self.facts, {'height': height, 'width': width}
        text = super()._build_action_json_prompt(
            description, fps=fps, num_frames=num_frames, **sizes, **given
        )
        caption = json.loads(text)
        view = caption['cinematography']
        if facts.caption == 'json':
            view['framing'] = _join(view['framing'], facts.view_description)
            return json.dumps(caption)
        duration = self.duration_template.format(duration=int(num_frames / fps), fps=fps)
        size = self.video_resolution_template.format(**sizes)
        return _join(description.strip(), view['framing'], facts.view_description, duration, size)


def make_pipeline(
    transformer: Cosmos3OmniTransformer,
    tokenizer: Any,
    vae: AutoencoderKLWan,
    facts: Cosmos3Facts,
) -> PolicyPipeline:
    """Return the pipeline of a policy's networks.

    Args:
        transformer: The network.
        tokenizer: Of transformers, with a template for conversations.
        vae: The autoencoder.
        facts: What the policy was trained for.

    Raises:
        ConfigError: The parts do not fit each other.
    """
    _check_parts(transformer, tokenizer, vae, facts)
    scheduler = UniPCMultistepScheduler(
        prediction_type='flow_prediction', use_flow_sigmas=True, flow_shift=facts.flow_shift
    )
    pipeline = PolicyPipeline(
        transformer,
        tokenizer,
        vae,
        scheduler,
        enable_safety_checker=False,
        use_native_flow_schedule=True,
    )
    pipeline.facts = facts
    # The pipeline's own would squeeze the image to whole latents, in training it was padded.
    stride = pipeline.vae_scale_factor_spatial
    pipeline.video_processor = VideoProcessor(vae_scale_factor=stride, do_resize=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _check_parts(
    transformer: Cosmos3OmniTransformer, tokenizer: Any, vae: AutoencoderKLWan, facts: Cosmos3Facts
) -> None:
    """Refuse parts that do not fit each other."""
    network, encoder = transformer.config, vae.config
    if not network.action_gen:
        msg = 'the transformer has no action layers, so it is no policy'
        raise ConfigError(msg)
    unknown, mark = tokenizer.unk_token_id, tokenizer.convert_tokens_to_ids(VISION_START)
    if mark in (None, unknown) or tokenizer.eos_token_id is None or not tokenizer.chat_template:
        msg = (
            f'text_tokenizer needs {VISION_START}, an end token and a template for conversations; '
            'take the folder as it is published'
        )
        raise ConfigError(msg)
    stride, most = int(encoder.scale_factor_temporal), network.num_embodiment_domains
    checks: list[tuple[str, bool, str]] = [
        ('joint_names', facts.action_size <= network.action_dim, f'at most {network.action_dim}'),
        ('domain_id', facts.domain_id < most, f'below {most}, of which the network has layers'),
        ('horizon', facts.horizon % stride == 0, f'a multiple of {stride}, the stride of the vae'),
    ]
    for name, holds, wanted in checks:
        if not holds:
            msg = f'policy.json: {name} must be {wanted}, got {getattr(facts, name)!r}'
            raise ConfigError(msg)
    for what, got, expected in (
        ('latent channels', network.latent_channel, encoder.z_dim),
        ('numbers of a patch', network.patch_latent_dim, _patch(network)),
    ):
        if got != expected:
            msg = f'the transformer has {got} {what}, expected are {expected}'
            raise ConfigError(msg)
    if len(tokenizer) > network.vocab_size:
        msg = f'text_tokenizer has {len(tokenizer)} tokens, the transformer {network.vocab_size}'
        raise ConfigError(msg)


def _patch(network: Any) -> int:
    return int(network.latent_patch_size**2 * network.latent_channel)


def _join(*sentences: str) -> str:
    """Return sentences in a row, each but the last ended by a full stop; empty ones left out."""
    joined = ''
    for sentence in filter(None, sentences):
        gap = ' ' if joined.endswith('.') else '. '
        joined = f'{joined}{gap}{sentence}' if joined else sentence
    return joined
