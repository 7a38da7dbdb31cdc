# SPDX-License-Identifier: Apache-2.0
"""Committed rows for a network that was never shown any: its estimates are corrected to hold them.

The errors of a predicted chunk go together: where it is too low in one row, it is too low in the
next ones. So a committed row, which is known, tells how far the free rows behind it are off as
well. After every network call the clean estimate of the chunk is moved towards its conditional
mean, each joint by itself,

    free += b C_fc (C_cc + r I)^-1 (known - committed),   then   committed = known,

with C the correlations of the *residuals*, prediction against what was demonstrated. Not those of
the demonstrations themselves: absolute joint angles of two rows agree because the arm is
somewhere, and would carry any difference to the end of the chunk. Only arm joints are corrected;
grippers are two-valued, and half a difference of theirs is no better guess.

What is committed is no truth but a part of an earlier prediction, and the next chunk is corrected
by this one. So it is believed by half (b): two predictions that are equally good meet in the
middle. So correlations, not covariances: errors grow along a chunk, and a gain that extrapolates
their growth lets those of one query grow in the next, without an end. And each joint by itself: a
matrix of all of them, from some hundred chunks, finds more between the joints than there is.

It needs no gradient, so it works behind every backend.

Source: the conditional mean in sampling is "correlation-aware inpainting" of the winners of
BEHAVIOR-1K 2025. Differs: it corrects the clean estimate, not the noisy state; the matrix is of
residuals, of their correlations and of one joint; every number of committed rows has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from cosmos_policy_ros.core.config import Conditioning, PolicyConfig
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
import torch
from torch import Tensor

HOW_TO_MEASURE = 'cosmos-policy residuals measures them on recorded demonstrations'

BELIEVED = 0.5  # share of the correction that is made; see above
# Added to the diagonal of the correlations. A matrix of some hundred samples has directions that
# are small by chance, and would be divided by.
RIDGE = 0.3


@dataclass(frozen=True, eq=False)
class Residuals:
    """How far predicted chunks are off, and how those errors go together.

    Attributes:
        second_moment: (H, J, H, J) float64 mean product of the residuals of two rows and arm
            joints, in normalised units.
    """

    second_moment: Tensor

    def __post_init__(self) -> None:
        """Check shape and finiteness.

        Raises:
            ConfigError: It is no square matrix of rows and joints, or not finite.
        """
        shape = tuple(self.second_moment.shape)
        if len(shape) != 4 or shape[:2] != shape[2:]:
            msg = f'residuals must be (rows, joints, rows, joints), got {shape}'
            raise ConfigError(msg)
        if not torch.isfinite(self.second_moment).all():
            msg = 'residuals have numbers that are not finite'
            raise ConfigError(msg)

    @classmethod
    def from_chunks(
        cls,
        predicted: NDArray[np.float32],
        demonstrated: NDArray[np.float32],
        arm_joints: NDArray[np.bool_],
    ) -> Residuals:
        """Return the residuals of predicted chunks.

        Args:
            predicted: (B, H, A) float32 predicted chunks, normalised.
            demonstrated: (B, H, A) float32 chunks of the demonstrations, normalised.
            arm_joints: (A,) bool, the J joints that count.

        Raises:
            ConfigError: There is no chunk.
        """
        if not len(predicted):
            msg = 'residuals take at least one demonstrated chunk without a disturbance'
            raise ConfigError(msg)
        error = (demonstrated.astype(np.float64) - predicted)[..., arm_joints]
        return cls(torch.from_numpy(np.einsum('bhj,bik->hjik', error, error) / len(error)))


def read_residuals(path: Path) -> Residuals | None:
    """Read ``residuals.safetensors``; None where there is no such file.

    Raises:
        ConfigError: The file is damaged or holds something else.
    """
    if not path.is_file():
        return None
    try:
        return Residuals(load_file(path)['second_moment'].to(torch.float64))
    except (SafetensorError, OSError, KeyError, ConfigError) as error:
        msg = f'{path} holds no residuals ({error}); measure them again: cosmos-policy residuals'
        raise ConfigError(msg) from error


def write_residuals(path: Path, residuals: Residuals) -> None:
    """Write ``residuals.safetensors``, in float32."""
    save_file({'second_moment': residuals.second_moment.to(torch.float32).contiguous()}, path)


def choose_conditioning(
    wanted: Conditioning, config: PolicyConfig, residuals: Residuals | None
) -> Conditioning:
    """Return how the chunks of a checkpoint come to begin with committed rows, never ``auto``.

    Args:
        wanted: What is asked for.
        config: Whether the network was trained with committed rows.
        residuals: Those of the checkpoint, if it has any.

    Raises:
        ConfigError: There is no such conditioning, or the checkpoint has not what it takes.
    """
    if wanted not in get_args(Conditioning):
        msg = f'no conditioning {wanted!r}; choose one of {get_args(Conditioning)}'
        raise ConfigError(msg)
    if wanted == 'auto':
        untrained: Conditioning = 'replaced' if residuals is None else 'corrected'
        return 'trained' if config.committed_rows else untrained
    if wanted == 'trained' and not config.committed_rows:
        msg = (
            'this checkpoint was not trained with committed rows (its committed_rows is 0); '
            'choose the conditioning corrected or replaced'
        )
        raise ConfigError(msg)
    if wanted == 'corrected' and residuals is None:
        msg = f'this checkpoint has no residuals to correct chunks with; {HOW_TO_MEASURE}'
        raise ConfigError(msg)
    return wanted


class Correction:
    """Corrects chunks so that they begin with committed rows.

    Args:
        residuals: How the errors of a chunk go together; None corrects nothing but the committed
            rows themselves.
        arm_joints: (A,) bool, the joints that are corrected behind the committed rows.
        ridge: See ``RIDGE``.
        believed: See ``BELIEVED``.
    """

    def __init__(
        self,
        residuals: Residuals | None,
        arm_joints: NDArray[np.bool_],
        ridge: float = RIDGE,
        believed: float = BELIEVED,
    ) -> None:
        """Keep the parts; a gain is computed when it is first needed."""
        self._residuals, self._ridge, self._believed = residuals, ridge, believed
        self._arms = torch.from_numpy(np.flatnonzero(arm_joints))
        self._gains: dict[int, Tensor] = {}  # number of committed rows -> gain

    def gain(self, n_rows: int) -> Tensor:
        """Return (J, H - D, D) float64: how far free rows follow a change of committed ones.

        What a free row follows adds up to ``believed`` at most, whatever the signs.

        Args:
            n_rows: Committed rows D.

        Raises:
            ValueError: There is no residual, no committed row, or none that is free.
        """
        if self._residuals is None:
            msg = 'without residuals nothing follows the committed rows'
            raise ValueError(msg)
        if n_rows not in self._gains:
            horizon = len(self._residuals.second_moment)
            if not 0 < n_rows < horizon:
                msg = f'{n_rows} committed rows are not between 1 and {horizon - 1}'
                raise ValueError(msg)
            own = self._residuals.second_moment.diagonal(dim1=1, dim2=3).permute(2, 0, 1)
            # A joint that never moves has no error, and shall not be divided by.
            variance = own.diagonal(dim1=1, dim2=2) + torch.finfo(torch.float32).tiny
            alike = own * variance.rsqrt()[:, :, None] * variance.rsqrt()[:, None]
            ours = alike[:, :n_rows, :n_rows].clone()
            ours.diagonal(dim1=1, dim2=2).fill_(1.0 + self._ridge)
            gain = torch.linalg.solve(ours, alike[:, :n_rows, n_rows:]).mT
            total = gain.abs().sum(dim=2, keepdim=True)
            self._gains[n_rows] = self._believed * gain / total.clamp(min=1.0)
        return self._gains[n_rows]

    def __call__(self, chunk: Tensor, committed: Tensor) -> Tensor:
        """Return (R, H, A) chunks that begin with the committed rows.

        Args:
            chunk: (R, H, A) float estimated chunks, normalised.
            committed: (D, A) float committed rows, normalised, D at least 1 and below H.
        """
        n_rows = len(committed)
        corrected = chunk.clone()
        corrected[:, :n_rows] = committed.to(chunk)
        if self._residuals is not None:
            arms = self._arms.to(chunk.device)
            change = (corrected - chunk)[:, :n_rows, arms]
            gain = self.gain(n_rows).to(chunk)
            corrected[:, n_rows:, arms] += torch.einsum('rdj,jfd->rfj', change, gain)
        return corrected
