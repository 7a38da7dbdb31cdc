# SPDX-License-Identifier: Apache-2.0
"""Export a checkpoint's network for a faster runtime; kept only if its answers are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.backends import load_cosmos_policy
from cosmos_policy_ros.backends.engines import Facts, find_engine, read_note, write_engine
from cosmos_policy_ros.backends.onnx_backend import FILE, KIND, onnx_facts, OnnxBackend, write_onnx
from cosmos_policy_ros.backends.parity import compare_answers, made_up_observations, refuse_worse
from cosmos_policy_ros.backends.tensorrt_backend import TensorrtBackend, was_compared
from cosmos_policy_ros.backends.tensorrt_build import (
    build_engine,
    engine_facts,
    EnginePrecision,
    FILE as ENGINE_FILE,
    KIND as ENGINE_KIND,
    ROWS,
    ShowProgress,
)
from cosmos_policy_ros.core.backend import Backend
from cosmos_policy_ros.core.checkpoint import Checkpoint, CONFIG, load_checkpoint
from cosmos_policy_ros.core.config import read_config
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.types import ConfigError
import torch

# Largest difference of an action that is accepted [rad; gripper 0..1]: twice to three times what
# committed checkpoints showed on made-up images with the same arithmetic; and of a value [0..1]:
# several times what they showed in a planning query in bfloat16.
MAX_ERROR_RAD = {'float32': 0.001, 'float16': 0.01, 'bfloat16': 0.02}
MAX_VALUE_ERROR = {'float32': 0.01, 'float16': 0.1, 'bfloat16': 0.1}
NOT_RUN = 'not run: no GPU here'


def export(
    path: Path,
    precision: EnginePrecision = 'float32',
    queries: int = 8,
    max_error_rad: float | None = None,
    again: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Write the ONNX file of a checkpoint in a precision unless it is there.

    Args:
        path: Checkpoint folder.
        precision: See ``write_onnx``.
        queries: Made-up queries that both networks answer.
        max_error_rad: Largest difference of an action that is accepted [rad; gripper 0..1]; None
            is that of ``MAX_ERROR_RAD``.
        again: Write it even if it is there.

    Returns:
        The engine's folder and its note, with the report of ``compare_answers`` as ``parity``.

    Raises:
        ConfigError: The checkpoint is damaged, a package is missing, or the answers differ.
    """

    def make(folder: Path) -> dict[str, Any]:
        checkpoint = load_checkpoint(path)
        write_onnx(folder / FILE, checkpoint, precision)
        backend = OnnxBackend(folder / FILE, checkpoint, precision)
        return {'parity': _compare(path, checkpoint, backend, queries, max_error_rad)}

    return _once(path, KIND, {**onnx_facts(path), 'precision': precision}, make, again)


def export_tensorrt(
    path: Path,
    precision: EnginePrecision = 'bfloat16',
    rows: Sequence[int] = ROWS,
    queries: int = 8,
    max_error_rad: float | None = None,
    again: bool = False,
    show_progress: ShowProgress = lambda _: None,
) -> tuple[Path, dict[str, Any]]:
    """Build the TensorRT engine of a checkpoint unless it is there.

    Without a GPU it is built, where the library can do that, but not compared. Then ``auto``
    does not take it, and exporting again beside a GPU builds and compares it.

    Args:
        path: Checkpoint folder.
        precision: See ``build_engine``.
        rows: See ``build_engine``.
        queries: See ``export``.
        max_error_rad: See ``export``.
        again: Build it even if it is there.
        show_progress: Called with a line of progress.

    Returns:
        The engine's folder and its note: ``parity`` as in ``export``, or ``NOT_RUN``;
        ``build_s``; ``network``, see ``build_engine``.

    Raises:
        ConfigError: The checkpoint is damaged, a package is missing, TensorRT refuses the
            network, or the answers differ.
    """
    if read_config(path / CONFIG).drop_hidden_frames:
        msg = (
            f'{path} leaves hidden frames out of the sequence, which TensorRT engines are not '
            'built for yet; take the backend torch on a GPU'
        )
        raise ConfigError(msg)
    facts = {**engine_facts(path), 'precision': precision, 'rows': list(rows)}
    has_gpu = torch.cuda.is_available()

    def make(folder: Path) -> dict[str, Any]:
        start_s = time.monotonic()
        network = build_engine(folder, path, precision, rows, show_progress)
        note = {'parity': NOT_RUN, 'build_s': round(time.monotonic() - start_s, 1)}
        if has_gpu:
            show_progress('comparing')
            checkpoint = load_checkpoint(path, exported=True)
            backend = TensorrtBackend(folder / ENGINE_FILE, checkpoint, 'cuda', precision)
            note['parity'] = _compare(path, checkpoint, backend, queries, max_error_rad)
        return {**note, 'network': network}

    return _once(path, ENGINE_KIND, facts, make, again, has_gpu)


def _once(
    path: Path,
    kind: str,
    facts: Facts,
    make: Callable[[Path], dict[str, Any]],
    again: bool,
    compared: bool = True,
) -> tuple[Path, dict[str, Any]]:
    """Return an engine and its note, made if it is not there, damaged or not yet compared."""
    try:
        found = None if again else find_engine(path, kind, facts)
    except ConfigError:  # damaged: this makes it whole again
        found = None
    if found is None or (compared and not was_compared(read_note(found))):
        found = write_engine(path, kind, facts, make)
    return found, read_note(found)


def _compare(
    path: Path, checkpoint: Checkpoint, backend: Backend, queries: int, limit_rad: float | None
) -> dict[str, object]:
    """Return how far a backend is from the plain network, refusing one that is too far."""
    truth = load_cosmos_policy(path, 'diffusers', str(backend.device), precision='float32')
    policy = CosmosPolicy(backend, checkpoint.config, checkpoint.stats, checkpoint.text)
    report = compare_answers(policy, truth, made_up_observations(truth, queries))
    limit_rad = limit_rad or MAX_ERROR_RAD[backend.precision]
    refuse_worse(report, limit_rad, MAX_VALUE_ERROR[backend.precision])
    return report
