# SPDX-License-Identifier: Apache-2.0
"""The official inference written down once more, in its own order: one row, one member at a time.

Nothing of the package's layout, codec, normalisation, sampler or planning is used, so that these
have an opponent; the networks are those of diffusers. Frames are counted, not named.

Source: NVlabs/cosmos-policy ``cosmos_utils``, ``policy_video2world_model``, ``cosmos_sampler``,
``res_sampler``, ``denoiser_scaling``, by description.
Differs: the network is called in float32, not bfloat16; of several futures all are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
import json
import math
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import numpy as np
from PIL import Image
from safetensors.torch import load_file
import torch
from torch import Tensor

COPIES = 4  # pixel frames of a slot


@dataclass
class Answer:
    """What one candidate comes to.

    Attributes:
        action: (H, A) actions in robot units.
        futures: (P,) predicted proprio of every future, in robot units.
        values: Values of the futures, future by future.
        images: Camera -> (H, W, 3) uint8 of every future.
    """

    action: np.ndarray
    futures: list[np.ndarray] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    images: list[dict[str, np.ndarray]] = field(default_factory=list)


class ReferenceInference:
    """The policy, world model and value function of a checkpoint folder.

    Attributes:
        calls: Network calls so far.
    """

    def __init__(self, path: Path, two_steps_are_one: bool = False) -> None:
        """Read the files.

        Args:
            path: Checkpoint folder.
            two_steps_are_one: Two denoising steps make a single network call, as the official
                code does.
        """
        self.facts = json.loads((path / 'policy.json').read_text())
        raw = json.loads((path / 'norm_stats.json').read_text())
        self.stats = {name: np.array(numbers, dtype=np.float64) for name, numbers in raw.items()}
        self.text = load_file(path / 'text_embeddings.safetensors')
        options = {'torch_dtype': torch.float32}
        self.net = CosmosTransformer3DModel.from_pretrained(path / 'transformer', **options).eval()
        self.vae = AutoencoderKLWan.from_pretrained(path / 'vae', **options).eval()
        self.two_steps_are_one, self.calls = two_steps_are_one, 0
        n = len(self.facts['cameras'])
        # 0 blank, 1 proprio, 2 ... cameras, then action, future proprio, future cameras, value
        self.n_known, self.action, self.proprio = 2 + n, 2 + n, 3 + n
        self.cameras = range(4 + n, 4 + 2 * n)
        self.frames = 5 + 2 * n

    @torch.inference_mode()
    def candidate(
        self,
        images: dict[str, np.ndarray],
        proprio: np.ndarray,
        task: str,
        seed: int,
        futures: int = 0,
        values: int = 0,
    ) -> Answer:
        """Return one action chunk with its futures and values.

        Args:
            images: Camera -> (height, width, 3) uint8 RGB.
            proprio: (P,) in robot units.
            task: Instruction.
            seed: Of the action; member j of an ensemble adds j.
            futures: Futures, 0 to read the one that is denoised with the action.
            values: Values of every future, 0 to read the one that is denoised with it.
        """
        clean = self.encode(images)
        now = clean.clone()
        self.write(now, 1, self.to_unit(proprio, 'proprio'))
        known = [i < self.n_known for i in range(self.frames)]
        acted = self.denoise(now, known, task, seed, self.facts['action_steps'])
        horizon, size = self.facts['horizon'], self.facts['action_size']
        chunk = self.read(acted, self.action, horizon * size).reshape(horizon, size)
        answer = Answer(self.from_unit(chunk, 'actions'))

        imagined = [acted]
        if futures:
            known = [i < self.n_known + 1 for i in range(self.frames)]
            imagined = [
                self.denoise(acted, known, task, seed + j, steps)
                for j, steps in enumerate(ensemble(self.facts['future_steps'], futures))
            ]
        for latents in imagined:
            unit = self.read(latents, self.proprio, self.facts['proprio_size'])
            answer.futures.append(self.from_unit(unit, 'proprio'))
            answer.images.append(self.decode(latents, clean))
            judged = [latents]
            if values:
                known = self.value_mask()
                judged = [
                    self.denoise(latents, known, task, seed + k, steps)
                    for k, steps in enumerate(ensemble(self.facts['value_steps'], values))
                ]
            for scored in judged:
                mean = float(scored[0, :, -1].double().mean())
                answer.values.append(min(max((mean + 1.0) / 2.0, 0.0), 1.0))
        return answer

    def value_mask(self) -> list[bool]:
        """Return which frames a value is judged from."""
        kind = self.facts['value_kind']
        if kind == 'value_q':
            return [i <= self.action for i in range(self.frames)]
        seen = [i < self.frames - 1 for i in range(self.frames)]
        if kind == 'value_future_only':
            seen[1 : self.action + 1] = [False] * self.action
        return seen

    def encode(self, images: dict[str, np.ndarray]) -> Tensor:
        """Return (1, C, T, h, w) latents of a whole video; the future shows the present."""
        size = self.facts['image_size']
        black = np.zeros((size, size, 3), dtype=np.uint8)
        seen = []
        for name in self.facts['cameras']:
            image = Image.fromarray(images[name])
            if image.size != (size, size):
                image = image.resize((size, size), Image.Resampling.BICUBIC)
            seen.append(np.asarray(image))
        slots = [black, *seen, black, black, *seen, black]  # latent frames 1 ...
        frames = [black] + [slot for slot in slots for _ in range(COPIES)]
        pixels = torch.from_numpy(np.stack(frames)).float() / 127.5 - 1.0  # (F, H, W, 3)
        mean, std = self.latent_range()
        video = pixels.permute(3, 0, 1, 2)[None]
        return (self.vae.encode(video).latent_dist.mean - mean) / std

    def decode(self, latents: Tensor, clean: Tensor) -> dict[str, np.ndarray]:
        """Return the images of the future frames, vectors replaced by what they overwrote."""
        restored = latents.clone()
        for i in (0, 1, self.action, self.proprio):
            restored[:, :, i] = clean[:, :, i]
        mean, std = self.latent_range()
        video = self.vae.decode(restored * std + mean).sample[0]  # (3, F, H, W)
        pixels = ((video + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
        shown = {}
        for name, i in zip(self.facts['cameras'], self.cameras, strict=True):
            shown[name] = pixels[:, (i - 1) * COPIES + 1].permute(1, 2, 0).numpy()
        return shown

    def latent_range(self) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of every channel."""
        config = self.vae.config
        mean, std = (torch.tensor(v) for v in (config.latents_mean, config.latents_std))
        return mean.reshape(1, -1, 1, 1, 1), std.reshape(1, -1, 1, 1, 1)

    def write(self, latents: Tensor, frame: int, vector: np.ndarray) -> None:
        """Fill a frame with copies of a vector, the last one cut off."""
        target = latents[0, :, frame]
        tiled = np.resize(vector.astype(np.float32).reshape(-1), target.numel())
        latents[0, :, frame] = torch.from_numpy(tiled).reshape(target.shape)

    def read(self, latents: Tensor, frame: int, size: int) -> np.ndarray:
        """Return the mean of the whole copies in a frame."""
        numbers = latents[0, :, frame].double().reshape(-1).numpy()
        copies = len(numbers) // size
        return numbers[: copies * size].reshape(copies, size).mean(axis=0)

    def to_unit(self, vector: np.ndarray, group: str) -> np.ndarray:
        """Return a vector scaled to -1 ... 1."""
        low, high = self.stats[f'{group}_min'], self.stats[f'{group}_max']
        return 2.0 * (vector.astype(np.float64) - low) / (high - low) - 1.0

    def from_unit(self, unit: np.ndarray, group: str) -> np.ndarray:
        """Return a vector in robot units."""
        low, high = self.stats[f'{group}_min'], self.stats[f'{group}_max']
        return 0.5 * (unit + 1.0) * (high - low) + low

    def levels(self, steps: int) -> list[float]:
        """Return the noise levels of the network calls."""
        high, low, rho = (self.facts[name] for name in ('sigma_max', 'sigma_min', 'rho'))
        if steps == 1 or (steps == 2 and self.two_steps_are_one):
            return [high]
        top, bottom = high ** (1 / rho), low ** (1 / rho)
        return [(top + i / (steps - 1) * (bottom - top)) ** rho for i in range(steps)]

    def denoise(
        self, given: Tensor, known: list[bool], task: str, seed: int, steps: int
    ) -> Tensor:
        """Return latents whose unknown frames were denoised, by exponential integration."""
        noise = np.random.RandomState(seed).standard_normal(tuple(given.shape))
        sigmas = self.levels(steps)
        x = torch.from_numpy(noise.astype(np.float32)).double() * sigmas[0]
        before: Tensor | None = None
        for i, sigma in enumerate(sigmas[:-1]):
            clean = self.estimate(x, sigma, given, known, task)
            step = math.log(sigma) - math.log(sigmas[i + 1])  # of -log sigma
            phi1 = (math.exp(-step) - 1.0) / -step
            if before is None:
                x = math.exp(-step) * x + step * phi1 * clean
            else:
                phi2 = (phi1 - 1.0) / -step
                c = (math.log(sigma) - math.log(sigmas[i - 1])) / step
                x = math.exp(-step) * x + step * ((phi1 - phi2 / c) * clean + phi2 / c * before)
            before = clean
        return self.estimate(x, sigmas[-1], given, known, task).float()

    def estimate(
        self, x: Tensor, sigma: float, given: Tensor, known: list[bool], task: str
    ) -> Tensor:
        """Return (1, C, T, h, w) float64 clean latents as the network sees them."""
        t = sigma / (1.0 + sigma)
        shown = (1.0 - t) * x
        level = torch.full((1, 1, self.frames, 1, 1), t)
        mask = torch.zeros(1, 1, self.frames, *x.shape[-2:])
        for i, is_known in enumerate(known):
            if is_known:
                shown[:, :, i], level[:, :, i], mask[:, :, i] = given[:, :, i].double(), 0.0, 1.0
        velocity = self.velocity(shown.float(), level, mask, task).double()
        clean = (1.0 - t) * x - t * velocity
        for i, is_known in enumerate(known):
            if is_known:
                clean[:, :, i] = given[:, :, i].double()
        return clean

    def velocity(self, shown: Tensor, level: Tensor, mask: Tensor, task: str) -> Tensor:
        """Call the network."""
        self.calls += 1
        options: dict[str, Any] = {'condition_mask': mask}
        if self.net.config.concat_padding_mask:
            options['padding_mask'] = torch.zeros(1, 1, *shown.shape[-2:])
        else:  # the padding mask, always zero, is a channel beside the condition mask
            options['condition_mask'] = torch.cat([mask, torch.zeros_like(mask)], dim=1)
        words = self.text[task].float()[None]
        return self.net(shown, level, words, fps=None, return_dict=False, **options)[0]


def ensemble(steps: int, members: int) -> list[int]:
    """Return the denoising steps of every member of an ensemble."""
    return [steps] if members == 1 else [int(n) for n in np.linspace(1, steps, members)]
