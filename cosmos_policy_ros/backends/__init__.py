# SPDX-License-Identifier: Apache-2.0
"""Ways to run the networks of a checkpoint, by name, and how one is chosen.

``diffusers`` is the plain network that all others are compared with. ``torch`` leaves out the work
that a query would repeat, ``compiled`` compiles that. ``openvino`` and ``onnxruntime`` on a CPU,
``tensorrt`` on a GPU run what ``cosmos-policy export`` wrote. ``auto`` takes the fastest that is
there.
"""

from __future__ import annotations

from importlib.util import find_spec
import logging
from pathlib import Path
from typing import Literal, TYPE_CHECKING

from cosmos_policy_ros.types import ConfigError

if TYPE_CHECKING:
    from cosmos_policy_ros.core.backend import Backend
    from cosmos_policy_ros.core.checkpoint import Checkpoint
    from cosmos_policy_ros.core.policy import CosmosPolicy

logger = logging.getLogger(__name__)

Precision = Literal['auto', 'float32', 'bfloat16', 'float16']
EXPORTED = ('openvino', 'onnxruntime', 'tensorrt')
BACKENDS = ('auto', 'diffusers', 'torch', 'compiled', *EXPORTED)


def load_policy(
    path: Path,
    backend: str = 'auto',
    device: str = 'cpu',
    threads: int | None = None,
    precision: Precision = 'auto',
    max_rows: int | None = None,
    planning: Path | None = None,
) -> CosmosPolicy:
    """Load a checkpoint folder, ready to be asked.

    Args:
        path: Checkpoint folder.
        backend: A name in ``BACKENDS``.
        device: Torch device, ``cpu`` or ``cuda``.
        threads: CPU threads of the networks; None leaves the choice to their library. On a machine
            that also controls a robot take 1 or 2: spinning threads slow each other down.
        precision: Arithmetic of the networks; ``bfloat16`` is faster where the hardware has it,
            which ``auto`` finds out. ``float16`` is for ``tensorrt`` alone.
        max_rows: Most rows of one network call, to bound memory; None is all of them.
        planning: Checkpoint folder that scores what the first one proposes.

    Raises:
        ConfigError: A checkpoint is damaged, the two do not fit each other, or the backend, device
            or precision is unknown.
    """
    if backend not in BACKENDS:
        msg = f'no backend {backend!r}; choose one of {BACKENDS}'
        raise ConfigError(msg)
    from cosmos_policy_ros.core.checkpoint import check_planning, load_checkpoint
    from cosmos_policy_ros.core.policy import CosmosPolicy
    import torch

    if threads is not None:
        if threads < 1:
            msg = f'threads must be at least 1, got {threads}'
            raise ConfigError(msg)
        torch.set_num_threads(threads)

    def load(path: Path) -> tuple[str, Checkpoint]:
        name = choose_backend(path, device) if backend == 'auto' else backend
        return name, load_checkpoint(path, exported=name in EXPORTED)

    def build(
        path: Path, name: str, checkpoint: Checkpoint, scorer: CosmosPolicy | None = None
    ) -> CosmosPolicy:
        networks = _open(name, path, checkpoint, device, precision, threads)
        config, stats, text, _, _ = checkpoint
        return CosmosPolicy(networks, config, stats, text, max_rows, scorer)

    base = load(path)
    if planning is None:
        return build(path, *base)
    scoring = load(planning)
    try:
        check_planning(base[1], scoring[1])
    except ConfigError as error:
        msg = f'{planning}: {error}'
        raise ConfigError(msg) from error
    return build(path, *base, build(planning, *scoring))


def choose_backend(path: Path, device: str) -> str:
    """Return the fastest backend that is there for a checkpoint on a device.

    A TensorRT engine counts once its answers were compared with those of the plain network.

    Raises:
        ConfigError: A part of the checkpoint is missing, or what was exported is damaged.
    """
    from cosmos_policy_ros.backends import engines, onnx_backend

    if device == 'cpu' and onnx_backend.find_onnx(path):
        for name in ('openvino', 'onnxruntime'):
            if find_spec(name):
                return name
    installed = find_spec('tensorrt') or find_spec('tensorrt_rtx')
    if device.startswith('cuda') and installed and engines.has_engine(path, 'tensorrt'):
        from cosmos_policy_ros.backends.tensorrt_backend import find_tensorrt, was_compared

        folder = find_tensorrt(path)
        if folder and was_compared(engines.read_note(folder)):
            return 'tensorrt'
    return 'torch'


def _open(
    name: str,
    path: Path,
    checkpoint: Checkpoint,
    device: str,
    precision: Precision,
    threads: int | None,
) -> Backend:
    """Return the backend of a name."""
    from cosmos_policy_ros.backends import onnx_backend, torch_backend
    import torch

    if name == 'tensorrt':
        return _open_tensorrt(path, checkpoint, device, precision)
    if precision == 'auto':
        has_half = device.startswith('cuda') or torch.cpu._is_avx512_bf16_supported()
        precision = 'bfloat16' if has_half and name != 'onnxruntime' else 'float32'
        if name == 'openvino' and not onnx_backend.find_onnx(path, precision):
            precision = 'float32'  # in bfloat16 it was not exported, or refused
    networks = checkpoint.transformer, checkpoint.vae
    if name == 'diffusers':
        return torch_backend.DiffusersBackend(*networks, device, precision)
    if name in ('torch', 'compiled'):
        return torch_backend.TorchBackend(*networks, device, precision, name == 'compiled')
    if device != 'cpu':
        msg = f'the backend {name} runs on a CPU only, not on {device!r}; use torch there'
        raise ConfigError(msg)
    file = onnx_backend.find_onnx(path, precision)
    if file is None:
        msg = f'{path} has no exported network in {precision}; run: cosmos-policy export {path}'
        raise ConfigError(msg)
    return onnx_backend.OnnxBackend(file, checkpoint, precision, name, threads)


def _open_tensorrt(
    path: Path, checkpoint: Checkpoint, device: str, precision: Precision
) -> Backend:
    """Return the engine of a checkpoint."""
    from cosmos_policy_ros.backends import engines, tensorrt_backend, tensorrt_build

    if not device.startswith('cuda'):
        msg = f'the backend tensorrt runs on a GPU only, not on {device!r}; give the device cuda'
        raise ConfigError(msg)
    folder = tensorrt_backend.find_tensorrt(path, precision)
    if folder is None:
        facts = tensorrt_build.engine_facts(path)
        msg = (
            f'{path} has no engine in {precision} precision for {facts["library"]} on '
            f'{facts["gpu"]}; run: cosmos-policy export --backend tensorrt {path}'
        )
        raise ConfigError(msg)
    note = engines.read_note(folder)
    if not tensorrt_backend.was_compared(note):
        logger.warning('%s was never compared with the original; export again here', folder)
    file = folder / tensorrt_build.FILE
    made_in = note['facts']['precision']
    return tensorrt_backend.TensorrtBackend(file, checkpoint, device, made_in)
