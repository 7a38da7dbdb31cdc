# SPDX-License-Identifier: Apache-2.0
"""Which latent frame of the diffusion sequence holds what.

Cosmos Policy lays one decision out as a short latent video: every camera image is one latent
frame, and the action chunk, the proprio vector and the value are written *into* latent frames
of their own ("latent frame injection"). One network answers five kinds of question; only the
set of frames it is given clean (the known frames) tells them apart.

Source: Cosmos Policy (arXiv:2601.16163), Sec. 4.1; NVlabs/cosmos-policy
``cosmos_utils.get_latent_indices_from_model_config`` and
``policy_video2world_model.get_data_and_condition``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args, Literal

import numpy as np
from numpy.typing import NDArray

SampleKind = Literal['policy', 'world_model', 'value', 'value_future_only', 'value_q']
SAMPLE_KINDS: tuple[SampleKind, ...] = get_args(SampleKind)


@dataclass(frozen=True)
class LatentLayout:
    """Ordered names of the latent frames, built from the camera names.

    Example:
        >>> LatentLayout(('left_wrist', 'right_wrist', 'high')).names
        ('blank', 'proprio', 'left_wrist', 'right_wrist', 'high', 'action',
         'future_proprio', 'future_left_wrist', 'future_right_wrist', 'future_high', 'value')
    """

    cameras: tuple[str, ...]

    @property
    def current(self) -> tuple[str, ...]:
        """Frames that are known before acting."""
        return ('blank', 'proprio', *self.cameras)

    @property
    def future(self) -> tuple[str, ...]:
        """Frames that describe the state after the action chunk."""
        return ('future_proprio', *(f'future_{c}' for c in self.cameras))

    @property
    def names(self) -> tuple[str, ...]:
        """All frame names in sequence order; length T = 2 * cameras + 5."""
        return (*self.current, 'action', *self.future, 'value')

    def index(self, name: str) -> int:
        """Return the position of a frame.

        Raises:
            ValueError: ``name`` is not a frame of this layout.
        """
        if name not in self.names:
            msg = f'no latent frame {name!r}; this layout has {self.names}'
            raise ValueError(msg)
        return self.names.index(name)

    def mask(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """Return (T,) float32 that is 1 at the given frames and 0 elsewhere."""
        mask = np.zeros(len(self.names), dtype=np.float32)
        mask[[self.index(n) for n in names]] = 1.0
        return mask

    def known(self, kind: SampleKind) -> tuple[str, ...]:
        """Return the known frames of one kind of question.

        ``policy`` p(a, s', V | s), ``world_model`` p(s', V | s, a), ``value`` V(s, a, s'),
        ``value_future_only`` V(s') and ``value_q`` Q(s, a).

        Raises:
            ValueError: ``kind`` is none of the five.
        """
        _check_kind(kind)
        if kind == 'policy':
            return self.current
        if kind == 'value':
            return self.names[:-1]
        if kind == 'value_future_only':
            return ('blank', *self.future)
        return (*self.current, 'action')

    def scored(self, kind: SampleKind) -> tuple[str, ...]:
        """Return the frames that enter the training loss of one kind of question.

        Every kind is scored on all it has to denoise, except ``value_future_only`` and
        ``value_q``: the other frames are hidden on purpose, so only the value counts.

        Raises:
            ValueError: ``kind`` is none of the five.
        """
        _check_kind(kind)
        if kind in ('value_future_only', 'value_q'):
            return ('value',)
        known = self.known(kind)
        return tuple(n for n in self.names if n not in known)


def _check_kind(kind: str) -> None:
    if kind not in SAMPLE_KINDS:
        msg = f'no sample kind {kind!r}; choose one of {SAMPLE_KINDS}'
        raise ValueError(msg)
