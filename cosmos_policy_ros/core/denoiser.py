# SPDX-License-Identifier: Apache-2.0
"""The transformer without its repeated work, equal to ``CosmosTransformer3DModel`` up to rounding.

What a query repeats and this does once:

- modulation is computed per noise level, not per token: a row has its own, known frames share one;
- keys and values of the text are computed once per task (``encode_text``), and attention to a text
  of a single token is left out, since the softmax over one key is 1;
- positions are computed when the module is made;
- the last block and the output are computed for the target frames only, since the velocity of a
  known frame is used nowhere.

Source: diffusers ``transformer_cosmos.CosmosTransformer3DModel``, whose modules are used.
"""

from __future__ import annotations

from typing import Any

from diffusers import CosmosTransformer3DModel
import torch
from torch import nn, Tensor
from torch.nn import functional


class Denoiser(nn.Module):
    """The network as a function of (B, …) latents, for one size of latents.

    Args:
        transformer: The network; its weights are shared, not copied.
        latent_shape: C, T, h, w of the latents.
    """

    def __init__(
        self, transformer: CosmosTransformer3DModel, latent_shape: tuple[int, ...]
    ) -> None:
        """Compute what depends on the size alone."""
        super().__init__()
        self.network = transformer
        self.heads = int(transformer.config.num_attention_heads)
        self.dtype = transformer.transformer_blocks[0].attn1.to_q.weight.dtype  # of attention
        channels = int(transformer.config.in_channels) - 1  # without the condition mask
        # A padding mask that the network would add by itself enters here as zeros like any other.
        self.n_zeros = channels + int(transformer.config.concat_padding_mask) - latent_shape[0]
        like = torch.zeros(1, 1, *latent_shape[1:], device=transformer.device)
        self.angles: Tensor
        self.positions: Tensor | None
        angles = torch.stack(transformer.rope(like, fps=None))  # cosines and sines
        self.register_buffer(
            'angles', angles.unflatten(1, (latent_shape[1], -1)), persistent=False
        )  # (2, T, S, D / heads)
        embed, positions = transformer.learnable_pos_embed, None
        if embed is not None:  # (1, T, S, D)
            positions = embed(like).detach().unflatten(1, (latent_shape[1], -1))
        self.register_buffer('positions', positions, persistent=False)

    def forward(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        target: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, C, U, h, w) velocity of the target frames.

        Args:
            latents: (B, C, T, h, w) target frames mixed with noise, the others clean.
            time: (B,) sigma / (1 + sigma) of the target frames.
            text: (layers, 2, heads, L, D / heads) keys and values, see ``encode_text``.
            target: (U,) int64 indices, among the latents, of the frames that are to be denoised.
            frames: (T,) int64 positions of the frames in a sequence that others were left out of;
                None is all of it.
        """
        net = self.network
        b, _, t, h, w = latents.shape
        is_target = torch.zeros(t, dtype=torch.int64, device=latents.device)
        is_target = is_target.index_fill(0, target, 1)
        known = (1 - is_target).to(latents.dtype).view(1, 1, t, 1, 1).expand(b, 1, t, h, w)
        zeros = torch.zeros_like(known).expand(b, self.n_zeros, t, h, w)
        x = net.patch_embed(torch.cat([latents, known, zeros], dim=1)).flatten(2, 3)  # (B,T,S,D)

        levels = torch.cat([torch.zeros_like(time[:1]), time])  # that of known frames first
        level_of = is_target * torch.arange(1, b + 1, device=latents.device)[:, None]  # (B, T)
        projected = net.time_embed.time_proj(levels).to(x.dtype)
        shifts = net.time_embed.t_embedder(projected)  # (B + 1, 3 D)
        level = functional.silu(net.time_embed.norm(projected))  # (B + 1, D)

        def modulate(norm: Any, x: Tensor) -> tuple[Tensor, Tensor]:
            """Return the frames normalised, shifted and scaled, and the gate of what follows."""
            rows = (norm.linear_2(norm.linear_1(level)) + shifts)[level_of][:, :, None]
            shift, scale, gate = rows.chunk(3, dim=-1)
            return norm.norm(x) * (1 + scale) + shift, gate

        angles, positions = self.angles, self.positions
        if frames is not None:
            angles = angles.index_select(1, frames)
            positions = None if positions is None else positions.index_select(1, frames)
        last = len(net.transformer_blocks) - 1
        for i, block in enumerate(net.transformer_blocks):
            if positions is not None:
                x = x + positions.to(x.dtype)
            shown, gate = modulate(block.norm1, x)
            if i < last:
                x = x + gate * self._self_attention(block.attn1, shown, shown, angles, angles)
            else:
                x, gate, wanted = (v.index_select(1, target) for v in (x, gate, shown))
                level_of = level_of.index_select(1, target)
                own = angles.index_select(1, target)
                x = x + gate * self._self_attention(block.attn1, wanted, shown, own, angles)
            shown, gate = modulate(block.norm2, x)
            x = x + gate * self._cross_attention(block.attn2, shown, text[i])
            shown, gate = modulate(block.norm3, x)
            x = x + gate * block.ff(shown.to(self.dtype))

        out = net.norm_out
        rows = out.linear_2(out.linear_1(level)) + shifts[:, : 2 * x.shape[-1]]
        shift, scale = rows[level_of][:, :, None].chunk(2, dim=-1)
        x = net.proj_out(out.norm(x) * (1 + scale) + shift)  # (B, U, S, p p C)
        p = int(net.config.patch_size[1])
        x = x.unflatten(3, (p, p, -1)).unflatten(2, (h // p, w // p))  # (B, U, H, W, p, p, C)
        return x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)

    def _self_attention(
        self, attention: Any, wanted: Tensor, shown: Tensor, own: Tensor, angles: Tensor
    ) -> Tensor:
        """Return (B, U, S, D) the attention of some frames to all frames of their row.

        Args:
            attention: Weights of the layer.
            wanted: (B, U, S, D) frames that attend.
            shown: (B, T, S, D) frames attended to.
            own: (2, U, S, D / heads) cosines and sines of the positions of ``wanted``.
            angles: (2, T, S, D / heads) those of ``shown``.
        """
        shown, wanted = shown.to(self.dtype), wanted.to(self.dtype)
        key, value = (self._split(layer(shown)) for layer in (attention.to_k, attention.to_v))
        key = _rotate(attention.norm_k(key), angles)
        query = _rotate(attention.norm_q(self._split(attention.to_q(wanted))), own)
        query, key = query.to(self.dtype), key.to(self.dtype)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self._join(attention, mixed, wanted.shape[2])

    def _cross_attention(self, attention: Any, shown: Tensor, text: Tensor) -> Tensor:
        """Return (B, U, S, D) the attention of frames to the text, or (1, 1, 1, D) for all alike.

        Args:
            attention: Weights of the layer.
            shown: (B, U, S, D) frames that attend.
            text: (2, heads, L, D / heads) keys and values of the text in this layer.
        """
        key, value = text.to(self.dtype)[:, None]  # (1, heads, L, D / heads) each
        if text.shape[2] == 1:
            return self._join(attention, value, 1)
        query = attention.norm_q(self._split(attention.to_q(shown.to(self.dtype))))
        key, value = (a.expand(shown.shape[0], -1, -1, -1) for a in (key, value))
        mixed = functional.scaled_dot_product_attention(query.to(self.dtype), key, value)
        return self._join(attention, mixed, shown.shape[2])

    def _split(self, x: Tensor) -> Tensor:
        """Return (B, heads, T S, D / heads) of (B, T, S, D)."""
        return x.flatten(1, 2).unflatten(2, (self.heads, -1)).transpose(1, 2)

    @staticmethod
    def _join(attention: Any, x: Tensor, tokens: int) -> Tensor:
        """Return (B, T, S, D) projected of (B, heads, T S, D / heads)."""
        return attention.to_out[0](x.transpose(1, 2).flatten(2)).unflatten(1, (-1, tokens))


def encode_text(transformer: CosmosTransformer3DModel, text: Tensor) -> Tensor:
    """Return (layers, 2, heads, L, D / heads) keys and values of (L, D_text) embeddings."""
    if transformer.config.use_crossattn_projection:
        text = transformer.crossattn_proj(text)
    rows = []
    for attention in (block.attn2 for block in transformer.transformer_blocks):
        key, value = (
            layer(text).unflatten(-1, (attention.heads, -1)).transpose(0, 1)
            for layer in (attention.to_k, attention.to_v)
        )
        rows.append(torch.stack([attention.norm_k(key), value]))
    return torch.stack(rows)


def text_layers(transformer: CosmosTransformer3DModel) -> list[nn.Module]:
    """Return the layers that compute keys and values of the text, a small part of the network."""
    attentions = [block.attn2 for block in transformer.transformer_blocks]
    layers = [layer for a in attentions for layer in (a.to_k, a.to_v, a.norm_k)]
    projected = transformer.config.use_crossattn_projection
    return [transformer.crossattn_proj, *layers] if projected else layers


def to_mixed_precision(transformer: CosmosTransformer3DModel, half: torch.dtype) -> None:
    """Let attention and feed-forward compute in a smaller float type, in place.

    That is nearly all of the work. The stream between the blocks, norms, modulation, patches and
    the output stay in float32, which leaves a fifth of the error of ``torch.autocast`` in
    bfloat16; keys and values of the text are computed in float32 too, once per task.
    """
    for layer in mixed_layers(transformer):
        layer.to(half)


def mixed_layers(transformer: CosmosTransformer3DModel) -> list[nn.Linear]:
    """Return the layers that ``to_mixed_precision`` is for, most of the weights."""
    return [
        layer
        for block in transformer.transformer_blocks
        for part in (block.attn1, block.attn2.to_q, block.attn2.to_out, block.ff)
        for layer in part.modules()
        if isinstance(layer, nn.Linear)
    ]


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Return (B, heads, T S, D) turned by (2, T, S, D) cosines and sines of its positions."""
    cos, sin = angles.flatten(1, 2)
    real, imaginary = x.chunk(2, dim=-1)
    turned = torch.cat([-imaginary, real], dim=-1)
    return x * cos + turned * sin
