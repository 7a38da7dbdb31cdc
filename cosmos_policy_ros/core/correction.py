# SPDX-License-Identifier: Apache-2.0
"""Committed rows for a network that was never shown any: its estimates are corrected to hold them.

The errors of a predicted chunk go together: where it is too low in one row, it is too low in the
next ones. So a committed row, which is known, tells how far the free rows behind it are off as
well. After every network call the clean estimate of the chunk is moved to its conditional mean,

    free += S_fc (S_cc + r diag S_cc)^-1 (known - committed),   then   committed = known,

with S the mean square of the *residuals*, prediction against what was demonstrated. Not that of
the demonstrations themselves: absolute joint angles of two rows agree because the arm is
somewhere, and would carry any difference to the end of the chunk. Only arm joints are corrected;
grippers are two-valued, and half a difference of theirs is no better guess.

It needs no gradient, so it works behind every backend.

Source: the conditional mean in sampling is "correlation-aware inpainting" of the winners of
BEHAVIOR-1K 2025. Differs: it corrects the clean estimate, not the noisy state; the matrix is of
residuals; every number of committed rows has a matrix of its own.
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

# Part of its own variance that is added to every committed number. A matrix of some hundred
# samples has directions that are small by chance, and would be divided by: on other episodes than
# those it is from, 0.1 and less left larger errors behind the committed rows than no correction.
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
    """

    def __init__(
        self,
        residuals: Residuals | None,
        arm_joints: NDArray[np.bool_],
        ridge: float = RIDGE,
    ) -> None:
        """Keep the parts; a gain is computed when it is first needed."""
        self._residuals, self._ridge = residuals, ridge
        self._arms = torch.from_numpy(np.flatnonzero(arm_joints))
        self._gains: dict[int, Tensor] = {}  # number of committed rows -> gain

    def gain(self, n_rows: int) -> Tensor:
        """Return ((H - D) J, D J) float64: how much free rows follow a change of committed ones.

        Args:
            n_rows: Committed rows D.

        Raises:
            ValueError: There is no residual, no committed row, or none that is free.
        """
        if self._residuals is None:
            msg = 'without residuals nothing follows the committed rows'
            raise ValueError(msg)
        if n_rows not in self._gains:
            horizon, joints = self._residuals.second_moment.shape[:2]
            if not 0 < n_rows < horizon:
                msg = f'{n_rows} committed rows are not between 1 and {horizon - 1}'
                raise ValueError(msg)
            moment = self._residuals.second_moment.reshape(horizon * joints, -1)
            known = n_rows * joints
            ours, theirs = moment[:known, :known], moment[known:, :known]
            variance = ours.diagonal()
            # A joint that never moves has no error, and shall not be divided by.
            ridge = self._ridge * variance + torch.finfo(torch.float32).tiny
            scale = (variance + ridge).rsqrt()  # joints differ in range: solve in units of one
            unit = (ours + torch.diag(ridge)) * scale[:, None] * scale
            self._gains[n_rows] = torch.linalg.solve(unit, (theirs * scale).T).T * scale
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
            change = (corrected - chunk)[:, :n_rows, arms].flatten(1)  # (R, D J)
            moved = change @ self.gain(n_rows).to(chunk).T  # (R, (H - D) J)
            corrected[:, n_rows:, arms] += moved.reshape(len(chunk), -1, len(arms))
        return corrected
