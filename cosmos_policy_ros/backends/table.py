# SPDX-License-Identifier: Apache-2.0
"""The backends, one row each: what it needs, when ``auto`` takes it, and how it is opened.

A new backend is a file beside this one, with a class that has the members of
``core.backend.Backend``, and a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
import logging
from pathlib import Path
from typing import Literal, NamedTuple, TYPE_CHECKING

from cosmos_policy_ros.types import ConfigError

if TYPE_CHECKING:  # a row loads its library when it is opened
    from cosmos_policy_ros.core.backend import Backend
    from cosmos_policy_ros.core.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

Precision = Literal['auto', 'float32', 'bfloat16', 'float16']


class Networks(NamedTuple):
    """The networks that a backend is to run, and how.

    Attributes:
        path: Checkpoint folder, beside which exported networks lie.
        checkpoint: What was loaded from it.
        device: Torch device.
        precision: Arithmetic; ``auto`` leaves it to the backend.
        threads: CPU threads; None leaves the choice to the library.
    """

    path: Path
    checkpoint: Checkpoint
    device: str
    precision: Precision
    threads: int | None


@dataclass(frozen=True)
class Row:
    """One way to run the networks of a checkpoint.

    Attributes:
        open: Networks -> the backend; raises ``ConfigError`` where it cannot run them.
        find: (checkpoint folder, device) -> whether it can run them there; None is never taken
            by ``auto``.
        needs: Modules of which one must be installed for ``find``; none for torch alone.
        exported: It runs what ``cosmos-policy export`` wrote, so that the transformer's own
            weights are not loaded.
        mixed: It computes in ``denoiser.to_mixed_precision`` where it does not in float32, so that
            these layers are loaded so.
    """

    open: Callable[[Networks], Backend]
    find: Callable[[Path, str], bool] | None = None
    needs: tuple[str, ...] = ()
    exported: bool = False
    mixed: bool = False

    def is_found(self, path: Path, device: str) -> bool:
        """Return whether ``auto`` may take it for a checkpoint folder on a device.

        Raises:
            ConfigError: What was exported is damaged.
        """
        installed = not self.needs or any(find_spec(module) for module in self.needs)
        return self.find is not None and installed and self.find(path, device)


def _find_onnx(path: Path, device: str) -> bool:
    """Return whether the network was exported for a CPU, and this is one."""
    from cosmos_policy_ros.backends.onnx_backend import find_onnx

    return device == 'cpu' and find_onnx(path) is not None


def _find_tensorrt(path: Path, device: str) -> bool:
    """Return whether an engine for this GPU was compared with the plain network."""
    from cosmos_policy_ros.backends import engines

    if not device.startswith('cuda') or not engines.has_engine(path, 'tensorrt'):
        return False
    from cosmos_policy_ros.backends.tensorrt_backend import find_tensorrt, was_compared

    folder = find_tensorrt(path)
    return folder is not None and was_compared(engines.read_note(folder))


def _find_torch(path: Path, device: str) -> bool:
    """Return True: what nothing faster runs, torch does."""
    return True


def _open_openvino(networks: Networks) -> Backend:
    """Return OpenVINO with the exported network; ``auto`` needs one in bfloat16 to take that."""
    from cosmos_policy_ros.backends.onnx_backend import find_onnx

    _refuse_gpu('openvino', networks)
    precision = _precision(networks)
    if networks.precision == 'auto' and not find_onnx(networks.path, precision):
        precision = 'float32'  # in bfloat16 it was not exported, or refused
    return _open_onnx('openvino', networks, precision)


def _open_onnxruntime(networks: Networks) -> Backend:
    """Return ONNX Runtime with the exported network; on a CPU it computes in float32."""
    _refuse_gpu('onnxruntime', networks)
    precision = 'float32' if networks.precision == 'auto' else networks.precision
    return _open_onnx('onnxruntime', networks, precision)


def _refuse_gpu(name: str, networks: Networks) -> None:
    if networks.device != 'cpu':
        msg = f'the backend {name} runs on a CPU only, not on {networks.device!r}; use torch there'
        raise ConfigError(msg)


def _open_onnx(name: str, networks: Networks, precision: str) -> Backend:
    from cosmos_policy_ros.backends.onnx_backend import find_onnx, OnnxBackend

    path = networks.path
    file = find_onnx(path, precision)
    if file is None:
        msg = f'{path} has no exported network in {precision}; run: cosmos-policy export {path}'
        raise ConfigError(msg)
    return OnnxBackend(file, networks.checkpoint, precision, name, networks.threads)


def _open_tensorrt(networks: Networks) -> Backend:
    """Return the engine of a checkpoint; ``auto`` takes the best precision that was built."""
    from cosmos_policy_ros.backends import engines, tensorrt_backend, tensorrt_build

    path, device, precision = networks.path, networks.device, networks.precision
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
    return tensorrt_backend.TensorrtBackend(file, networks.checkpoint, device, made_in)


def _open_torch(networks: Networks, compiled: bool = False) -> Backend:
    """Return the network without the work that a query would repeat, in torch."""
    from cosmos_policy_ros.backends.torch_backend import TorchBackend

    transformer, vae = networks.checkpoint.transformer, networks.checkpoint.vae
    return TorchBackend(transformer, vae, networks.device, _precision(networks), compiled)


def _open_compiled(networks: Networks) -> Backend:
    """Return the same, compiled at its first calls."""
    return _open_torch(networks, compiled=True)


def _open_diffusers(networks: Networks) -> Backend:
    """Return the plain network that all others are compared with."""
    from cosmos_policy_ros.backends.torch_backend import DiffusersBackend

    transformer, vae = networks.checkpoint.transformer, networks.checkpoint.vae
    return DiffusersBackend(transformer, vae, networks.device, _precision(networks))


def _precision(networks: Networks) -> str:
    return choose_precision(networks.device, networks.precision)


def choose_precision(device: str, precision: Precision) -> str:
    """Return the arithmetic on a device; ``auto`` is bfloat16 where the hardware has it."""
    if precision != 'auto':
        return precision
    import torch

    has_half = device.startswith('cuda') or torch.cpu._is_avx512_bf16_supported()
    return 'bfloat16' if has_half else 'float32'


# ``auto`` takes the first that is found, so the fastest comes first.
ROWS: dict[str, Row] = {
    'openvino': Row(_open_openvino, _find_onnx, needs=('openvino',), exported=True),
    'onnxruntime': Row(_open_onnxruntime, _find_onnx, needs=('onnxruntime',), exported=True),
    'tensorrt': Row(
        _open_tensorrt, _find_tensorrt, needs=('tensorrt', 'tensorrt_rtx'), exported=True
    ),
    'torch': Row(_open_torch, _find_torch, mixed=True),
    'compiled': Row(_open_compiled, mixed=True),
    'diffusers': Row(_open_diffusers),
}
