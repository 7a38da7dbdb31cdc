# SPDX-License-Identifier: Apache-2.0
"""Several checkpoints, in every precision that their runtime computes in, exported in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
import time
from typing import Any, Literal, NamedTuple

from cosmos_policy_ros.backends.export import export, export_tensorrt
from cosmos_policy_ros.backends.tensorrt_build import EnginePrecision, ROWS
import torch


class Exported(NamedTuple):
    """One network for one runtime.

    Attributes:
        folder: Where it lies.
        precision: Its arithmetic.
        note: What is kept beside it, see ``export.export`` and ``export.export_tensorrt``.
        took_s: How long it took [s]; little where it was there already.
    """

    folder: Path
    precision: EnginePrecision
    note: dict[str, Any]
    took_s: float


def export_all(
    checkpoints: Iterable[Path],
    backend: Literal['onnx', 'tensorrt'] = 'onnx',
    *,
    precision: EnginePrecision = 'bfloat16',
    rows: Sequence[int] = (),
    queries: int = 8,
    max_error_rad: float | None = None,
    again: bool = False,
    show: Callable[[str], None] = lambda _: None,
) -> Iterator[Exported]:
    """Export networks and yield each when it is there.

    Args:
        checkpoints: Checkpoint folders.
        backend: What they are exported for; ``onnx`` writes a file in each of
            ``onnx_precisions``.
        precision: Arithmetic of a TensorRT engine.
        rows: Numbers of rows a TensorRT engine is tuned for; none is ``tensorrt_build.ROWS``.
        queries: Made-up queries on which the exported network and the original are compared.
        max_error_rad: Largest difference of an action that is accepted [rad; gripper 0..1]; None
            is that of ``export.MAX_ERROR_RAD``.
        again: Export what is there already, too.
        show: Called with what is being done.

    Raises:
        ConfigError: A checkpoint is damaged, a package is missing, or answers differ too much.
    """
    precisions = onnx_precisions() if backend == 'onnx' else (precision,)
    for path, arithmetic in product(checkpoints, precisions):
        start_s = time.monotonic()
        show(f'exporting {path} in {arithmetic}')
        if backend == 'onnx':
            folder, note = export(path, arithmetic, queries, max_error_rad, again)
        else:
            folder, note = export_tensorrt(
                path,
                arithmetic,
                rows or ROWS,
                queries,
                max_error_rad,
                again,
                show_progress=_prefixed(show, f'exporting {path}: '),
            )
        yield Exported(folder, arithmetic, note, time.monotonic() - start_s)


def onnx_precisions() -> tuple[EnginePrecision, ...]:
    """Return the precisions that OpenVINO computes in on this processor.

    One that emulates bfloat16 takes the file in float32 by itself, and comparing the other would
    take most of the time of an export.
    """
    has_bfloat16 = torch.cpu._is_avx512_bf16_supported()
    return ('float32', 'bfloat16') if has_bfloat16 else ('float32',)


def _prefixed(show: Callable[[str], None], prefix: str) -> Callable[[str], None]:
    return lambda text: show(prefix + text)
