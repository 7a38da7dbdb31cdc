# SPDX-License-Identifier: Apache-2.0
"""Build a TensorRT engine from the ONNX network of a checkpoint.

The code is the same for TensorRT, which builds for the GPU it finds, and TensorRT-RTX, which needs
none and builds for all GPUs of compute capability 8.0, 8.6, 8.9 and 12.0; the kernels for the
one at hand are compiled when the engine is loaded. Types are those of the ONNX file, so the
precision is decided when that is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
import gc
from importlib import import_module
import logging
from pathlib import Path
from typing import Any, Literal

from cosmos_policy_ros.backends.onnx_backend import onnx_facts, TARGET, write_onnx
from cosmos_policy_ros.core.checkpoint import CONFIG, load_checkpoint, TEXT
from cosmos_policy_ros.core.config import PolicyConfig, read_config
from cosmos_policy_ros.core.text import load_text_embeddings
from cosmos_policy_ros.types import ConfigError
import torch

EnginePrecision = Literal['bfloat16', 'float16', 'float32']

KIND = 'tensorrt'
FILE = 'denoiser.engine'
ROWS = (1, 8, 24, 120)  # 8 candidates, 3 futures of each, 5 values of each of those
PORTABLE = 'compute capability 8.0, 8.6, 8.9, 12.0'
ShowProgress = Callable[[str], None]

logger = logging.getLogger(__name__)


@cache
def load_tensorrt() -> tuple[Any, Any]:
    """Return the module ``tensorrt`` or ``tensorrt_rtx``, and a logger for its objects.

    Raises:
        ConfigError: Neither is installed.
    """
    trt: Any = _import()

    class Log(trt.ILogger):
        """TensorRT's messages in Python's log.

        Attributes:
            last: The newest error.
        """

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = 'it gave no reason'

        def log(self, severity: Any, message: str) -> None:
            """Keep an error for the message of whoever fails on it; log the rest for debugging."""
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.last = message
            logger.debug('%s', message)

    return trt, Log()


def _import() -> Any:
    """Return TensorRT where there is a GPU for it, or else TensorRT-RTX, or the one there is."""
    names = ('tensorrt', 'tensorrt_rtx')
    first, second = names if torch.cuda.is_available() else reversed(names)
    try:
        return import_module(first)
    except (ImportError, OSError):  # OSError: bindings without their library
        pass
    try:
        return import_module(second)
    except (ImportError, OSError) as error:
        msg = "TensorRT is not installed; run: .venv/bin/pip install '.[tensorrt]'"
        raise ConfigError(msg) from error


def engine_facts(path: Path) -> dict[str, Any]:
    """Return the facts by which an engine is found on this machine: weights, text, library, GPU.

    Raises:
        ConfigError: TensorRT or a part of the checkpoint is missing.
    """
    trt, _ = load_tensorrt()
    gpu = PORTABLE
    if trt.__name__ == 'tensorrt' and torch.cuda.is_available():
        about = torch.cuda.get_device_properties(torch.cuda.current_device())
        gpu = f'{about.name}, compute capability {about.major}.{about.minor}'
    return {
        **onnx_facts(path),
        'text': list(load_text_embeddings(path / TEXT).shape),
        'library': f'{trt.__name__} {trt.__version__}',
        'gpu': gpu,
    }


def build_engine(
    folder: Path,
    path: Path,
    precision: EnginePrecision,
    rows: Sequence[int],
    show_progress: ShowProgress = lambda _: None,
) -> dict[str, Any]:
    """Write the engine of a checkpoint into a folder.

    Args:
        folder: Where it goes; the ONNX file lies there while it is needed.
        path: Checkpoint folder.
        precision: Arithmetic of attention and feed-forward, see ``denoiser.to_mixed_precision``.
        rows: The largest calls of the engine's optimisation profiles, rising. A profile takes all
            calls between the one before it and its own, and is fastest at its own.
        show_progress: Called with a line of progress.

    Returns:
        ``inputs`` and ``outputs``, each with type and shape, and ``profiles`` with the smallest,
        best and largest shape of every input.

    Raises:
        ConfigError: A package or a GPU is missing, or TensorRT refuses the network.
    """
    trt, log = load_tensorrt()
    builder = _new_builder(trt, log)
    show_progress('writing ONNX')
    onnx = folder / 'denoiser.onnx'
    _write_network(onnx, path, precision)
    strong = getattr(trt.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED', None)
    network = builder.create_network(0 if strong is None else 1 << int(strong))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx)):
        reasons = '; '.join(str(parser.get_error(i)) for i in range(parser.num_errors))
        msg = f'{trt.__name__} {trt.__version__} cannot read the network: {reasons}'
        raise ConfigError(msg)
    config = builder.create_builder_config()
    if precision == 'float32':
        config.clear_flag(trt.BuilderFlag.TF32)
    profiles = _profiles(read_config(path / CONFIG), rows)
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, sizes in shapes.items():
            profile.set_shape(name, *sizes)
        config.add_optimization_profile(profile)
    monitor = _monitor(trt, show_progress)
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if monitor.cancelled:
        raise KeyboardInterrupt
    if plan is None:
        msg = f'{trt.__name__} {trt.__version__} could not build the engine: {log.last}'
        raise ConfigError(msg)
    (folder / FILE).write_bytes(plan)
    for file in folder.glob(f'{onnx.name}*'):  # above 2 GB the weights are a second file
        file.unlink()
    return {
        'inputs': _describe([network.get_input(i) for i in range(network.num_inputs)]),
        'outputs': _describe([network.get_output(i) for i in range(network.num_outputs)]),
        'profiles': profiles,
    }


def _new_builder(trt: Any, log: Any) -> Any:
    """Return a builder, which TensorRT makes only where there is a GPU."""
    try:
        return trt.Builder(log)
    except (TypeError, RuntimeError) as error:
        msg = (
            f'{trt.__name__} {trt.__version__} cannot build here ({log.last}); build on the GPU '
            f'that shall run the engine, or install tensorrt-rtx, which needs none'
        )
        raise ConfigError(msg) from error


def _write_network(file: Path, path: Path, precision: EnginePrecision) -> None:
    """Write the network in a precision, and leave nothing of it in memory."""
    checkpoint = load_checkpoint(path)
    write_onnx(file, checkpoint, precision)
    del checkpoint
    gc.collect()  # the exporter leaves cycles


def _profiles(config: PolicyConfig, rows: Sequence[int]) -> list[dict[str, list[list[int]]]]:
    """Return input -> its smallest, best and largest shape, for every profile."""
    shape, current = config.latent_shape, len(config.layout.current)
    least, profiles = 1, []
    for most in rows:
        sizes = (least, most, most)
        profiles.append(
            {
                'latents': [[n, *shape] for n in sizes],
                'time': [[n] for n in sizes],
                TARGET: [[1], [shape[1] - current], [shape[1]]],
            }
        )
        least = most + 1
    return profiles


def _describe(tensors: Sequence[Any]) -> dict[str, dict[str, Any]]:
    return {t.name: {'type': t.dtype.name, 'shape': list(t.shape)} for t in tensors}


def _monitor(trt: Any, show_progress: ShowProgress) -> Any:
    """Return a progress monitor of TensorRT, whose phases are nested and have steps each."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.cancelled = False
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = steps

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

        def step_complete(self, phase: str, step: int) -> bool:
            try:
                show_progress(f'{phase.lower()} {step + 1}/{self._steps.get(phase, step + 1)}')
            except KeyboardInterrupt:  # must not travel through TensorRT
                self.cancelled = True
            return not self.cancelled

    return Monitor()
