# SPDX-License-Identifier: Apache-2.0
"""The networks in torch, on a CPU or a GPU."""

from __future__ import annotations

from cosmos_policy_ros.core.denoiser import Denoiser, encode_text, to_mixed_precision
from cosmos_policy_ros.core.device import open_device
from cosmos_policy_ros.core.networks import (
    decode_video,
    encode_video,
    predict_velocity,
    use_image_convolutions,
)
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import torch
from torch import nn, Tensor


class TorchAutoencoder:
    """The autoencoder in eager torch.

    Args:
        vae: The autoencoder; moved to the device, set to inference.
        device: Torch device.
        precision: ``float32``, or ``bfloat16`` for mixed precision.

    Raises:
        ConfigError: The device or the precision does not exist.
    """

    def __init__(
        self, vae: AutoencoderKLWan, device: str = 'cpu', precision: str = 'float32'
    ) -> None:
        """Move the network to the device."""
        if precision not in ('float32', 'bfloat16'):
            msg = f"precision must be 'float32' or 'bfloat16', got {precision!r}"
            raise ConfigError(msg)
        self.device = open_device(device)
        self.precision, self._half = precision, precision == 'bfloat16'
        self._vae = use_image_convolutions(vae.to(self.device).eval())

    @torch.inference_mode()
    def encode(self, video: Tensor) -> Tensor:
        """Return (B, C, 1 + (F - 1) / 4, h, w) latents of (B, 3, F, H, W) RGB in [-1, 1]."""
        with self._autocast():
            return encode_video(self._vae, video).float()

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Return (B, 3, 1 + 4 (T - 1), H, W) RGB in [-1, 1] of (B, C, T, h, w) latents."""
        with self._autocast():
            return decode_video(self._vae, latents).float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._half)


class DiffusersBackend(TorchAutoencoder):
    """The transformer as diffusers computes it, the reference of every other backend.

    Args:
        transformer: The denoising network; moved to the device, set to inference.
        vae: See ``TorchAutoencoder``.
        device: See ``TorchAutoencoder``.
        precision: See ``TorchAutoencoder``.

    Raises:
        ConfigError: The device or the precision does not exist.
    """

    def __init__(
        self,
        transformer: CosmosTransformer3DModel,
        vae: AutoencoderKLWan,
        device: str = 'cpu',
        precision: str = 'float32',
    ) -> None:
        """Move the networks to the device."""
        super().__init__(vae, device, precision)
        self._transformer = transformer.to(self.device).eval()

    def encode_text(self, text: Tensor) -> Tensor:
        """Return the (L, D) embeddings as they are, on the device."""
        return text.to(self.device)

    @torch.inference_mode()
    def denoise(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        target: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, C, U, h, w) float32 velocity, see ``Backend.denoise``."""
        rows, t = latents.shape[0], latents.shape[2]
        mask = latents.new_ones(t).index_fill(0, target, 0.0).expand(rows, -1)
        timestep, words = (1.0 - mask) * time[:, None], text.expand(rows, -1, -1)
        at = None if frames is None else frames.tolist()
        with self._autocast():
            velocity = predict_velocity(self._transformer, latents, timestep, words, mask, at)
        return velocity.index_select(2, target).float()


class TorchBackend(DiffusersBackend):
    """The transformer without the work that a query repeats, see ``core/denoiser.py``.

    Args:
        transformer: See ``DiffusersBackend``.
        vae: See ``TorchAutoencoder``.
        device: See ``TorchAutoencoder``.
        precision: See ``TorchAutoencoder``.
        compiled: Compile the network at its first calls, which takes a minute; needs a C++
            compiler. On a GPU the launches of every number of rows are captured in a graph.

    Raises:
        ConfigError: The device or the precision does not exist.
    """

    def __init__(
        self,
        transformer: CosmosTransformer3DModel,
        vae: AutoencoderKLWan,
        device: str = 'cpu',
        precision: str = 'float32',
        compiled: bool = False,
    ) -> None:
        """Move the networks to the device."""
        super().__init__(transformer, vae, device, precision)
        if self._half:
            to_mixed_precision(self._transformer, torch.bfloat16)
        self._mode = 'reduce-overhead' if self.device.type == 'cuda' else 'default'
        self._compiled = compiled
        self._denoisers: dict[tuple[int, ...], nn.Module] = {}  # by shape of a whole row

    @torch.inference_mode()
    def encode_text(self, text: Tensor) -> Tensor:
        """Return (layers, 2, heads, L, D / heads) keys and values of (L, D) text embeddings."""
        return encode_text(self._transformer, text.to(self.device))

    @torch.inference_mode()
    def denoise(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        target: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, C, U, h, w) float32 velocity, see ``Backend.denoise``."""
        _, channels, t, *size = latents.shape
        shape = (channels, t if frames is None else int(frames[-1]) + 1, *size)
        if shape not in self._denoisers:
            denoiser = Denoiser(self._transformer, shape)
            if self._compiled:
                denoiser.compile(mode=self._mode)
            self._denoisers[shape] = denoiser
        return self._denoisers[shape](latents, time, text, target, frames)
