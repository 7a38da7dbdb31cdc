# SPDX-License-Identifier: Apache-2.0
"""The networks in eager torch, on a CPU or a GPU; what every other backend is compared with."""

from __future__ import annotations

from cosmos_policy_ros.core.networks import (
    decode_video,
    encode_video,
    predict_velocity,
    use_picture_convolutions,
)
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel
import torch
from torch import Tensor


class TorchBackend:
    """Eager torch.

    Args:
        transformer: The denoising network; moved to the device, set to inference.
        vae: The autoencoder; moved to the device, set to inference.
        device: Torch device.
        precision: ``float32``, or ``bfloat16`` for mixed precision.

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
        if precision not in ('float32', 'bfloat16'):
            msg = f"precision must be 'float32' or 'bfloat16', got {precision!r}"
            raise ConfigError(msg)
        try:
            self.device = torch.device(device)
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            msg = f"device {device!r} cannot be used ({reason}); use 'cpu' or install its driver"
            raise ConfigError(msg) from error
        self.precision, self._half = precision, precision == 'bfloat16'
        self._transformer = transformer.to(self.device).eval()
        self._vae = use_picture_convolutions(vae.to(self.device).eval())

    @torch.inference_mode()
    def encode(self, video: Tensor) -> Tensor:
        """Return (B, C, 1 + (F - 1) / 4, h, w) latents of (B, 3, F, H, W) RGB in [-1, 1]."""
        with self._autocast():
            return encode_video(self._vae, video).float()

    @torch.inference_mode()
    def denoise(self, latents: Tensor, timestep: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """Return the (B, C, T, h, w) float32 velocity, see ``core.backend.Backend``."""
        with self._autocast():
            return predict_velocity(self._transformer, latents, timestep, text, mask).float()

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Return (B, 3, 1 + 4 (T - 1), H, W) RGB in [-1, 1] of (B, C, T, h, w) latents."""
        with self._autocast():
            return decode_video(self._vae, latents).float()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._half)
