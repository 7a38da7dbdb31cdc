# SPDX-License-Identifier: Apache-2.0
"""The exported network on a CPU: OpenVINO or ONNX Runtime, from the same ONNX file.

Its types are those of the network that was written, so ``denoiser.to_mixed_precision`` decides the
precision.
The autoencoder, and keys and values of the text, once per task, stay in torch.
"""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from typing import Any
import warnings

from cosmos_policy_ros.backends.engines import find_engine, model_hash
from cosmos_policy_ros.backends.torch_backend import TorchAutoencoder
from cosmos_policy_ros.core.checkpoint import Checkpoint
from cosmos_policy_ros.core.denoiser import Denoiser, encode_text, to_mixed_precision
from cosmos_policy_ros.types import ConfigError
import numpy as np
import torch
from torch import Tensor

KIND = 'onnx'
FILE = 'denoiser.onnx'
OPSET = 20
# Indices of the target frames. The name stands in exported files and in the hash by which they are
# found: another one would lose what users have exported.
TARGET = 'asked'
INPUTS = ('latents', 'time', 'text', TARGET)
PER_ROW = ('latents', 'time')  # of them
ROWS = (24, 8, 4, 2, 1)  # that OpenVINO computes at once
MOST_ROWS = 4096  # of one call that an exported network takes
FRAMES = 'frames'  # a further one where a checkpoint leaves frames out


def onnx_facts(checkpoint: Path) -> dict[str, Any]:
    """Return the facts by which an exported network is found: weights, opset and inputs."""
    return {'model': model_hash(checkpoint), 'opset': OPSET, 'inputs': list(INPUTS)}


def write_onnx(file: Path, checkpoint: Checkpoint, precision: str = 'float32') -> None:
    """Write the network of a checkpoint as an ONNX file.

    Args:
        file: Where it goes.
        checkpoint: What is written; ``denoiser.to_mixed_precision`` is applied to it.
        precision: Float type of attention and feed-forward.

    Raises:
        ConfigError: The packages that write ONNX files are not installed.
    """
    config, transformer = checkpoint.config, checkpoint.transformer
    to_mixed_precision(transformer, getattr(torch, precision))
    shape = config.latent_shape
    text = encode_text(transformer, next(iter(checkpoint.text.embeddings.values())))
    target = torch.arange(len(config.layout.current), shape[1])
    example = [torch.zeros(2, *shape), torch.tensor([0.5, 0.9]), text.detach(), target]
    names = [*INPUTS]
    rows = torch.export.Dim('rows', min=1, max=MOST_ROWS)
    some = torch.export.Dim('some', min=1, max=shape[1])
    sizes: list[dict[int, Any] | None] = [{0: rows}, {0: rows}, None, {0: some}]
    if config.drop_hidden_frames:
        shown = torch.export.Dim('shown', min=1, max=shape[1])
        example.append(torch.arange(shape[1]))
        names.append(FRAMES)
        sizes[0] = {0: rows, 2: shown}
        sizes.append({0: shown})
    noise = io.StringIO()  # the exporter prints its own progress
    for name in ('torch.onnx', 'onnxscript', 'onnx_ir'):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(noise):
            warnings.simplefilter('ignore')
            program = torch.onnx.export(
                Denoiser(transformer, shape).eval(),
                tuple(example),
                dynamo=True,
                dynamic_shapes=tuple(sizes),
                input_names=names,
                output_names=['velocity'],
                opset_version=OPSET,
            )
    except ImportError as error:
        msg = f'{error}; run: pip install onnx onnxscript onnxruntime openvino'
        raise ConfigError(msg) from error
    if program is None:
        msg = 'torch wrote no ONNX program'
        raise RuntimeError(msg)
    program.save(str(file))


def find_onnx(path: Path, precision: str = 'float32') -> Path | None:
    """Return the exported network of a checkpoint in a precision, None if there is none.

    Raises:
        ConfigError: It is damaged.
    """
    folder = find_engine(path, KIND, {**onnx_facts(path), 'precision': precision})
    return folder / FILE if folder else None


class OnnxBackend(TorchAutoencoder):
    """An exported network on a CPU.

    Args:
        file: What ``write_onnx`` wrote.
        checkpoint: What it was made from.
        precision: The file's; ONNX Runtime computes in ``float32`` alone on a CPU.
        runtime: ``openvino`` or ``onnxruntime``.
        threads: CPU threads; None leaves the choice to the library.

    Raises:
        ConfigError: The runtime is missing or has no such precision.
    """

    def __init__(
        self,
        file: Path,
        checkpoint: Checkpoint,
        precision: str = 'float32',
        runtime: str = 'openvino',
        threads: int | None = None,
    ) -> None:
        """Read and compile the network."""
        super().__init__(checkpoint.vae)
        if runtime == 'onnxruntime' and precision != 'float32':
            msg = f'ONNX Runtime computes in float32 on a CPU, not {precision}; use openvino'
            raise ConfigError(msg)
        open_network = _Openvino if runtime == 'openvino' else _OnnxRuntime
        try:
            self._network: _Openvino | _OnnxRuntime = open_network(file, threads)
        except ImportError as error:
            msg = f'{error}; run: pip install onnxruntime openvino, or take the backend torch'
            raise ConfigError(msg) from error
        self.precision = precision
        self._transformer = checkpoint.transformer

    @torch.inference_mode()
    def encode_text(self, text: Tensor) -> Tensor:
        """Return (layers, 2, heads, L, D / heads) keys and values of (L, D) text embeddings."""
        return encode_text(self._transformer, text)

    def denoise(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        target: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, C, U, h, w) float32 velocity, see ``Backend.denoise``."""
        rows = dict(zip(INPUTS, (latents, time, text, target), strict=True))
        if frames is not None:
            rows[FRAMES] = frames
        feed = {name: np.ascontiguousarray(value.numpy()) for name, value in rows.items()}
        return torch.from_numpy(self._network(feed))


class _Openvino:
    """The network in OpenVINO, compiled for every number of rows that is met.

    That is faster than a network for any number, most of all for a single row; beyond 24, more
    rows are no faster by the row. So calls are divided into the sizes of ``ROWS``, and only these
    are compiled, each at its first call. The number of target frames stays open: compiled for a
    single one, OpenVINO 2026.4 answers wrongly in float32.
    """

    def __init__(self, file: Path, threads: int | None) -> None:
        import openvino

        self._options: dict[str, Any] = {
            'INFERENCE_PRECISION_HINT': 'f32',  # what the file has in float32 stays so
            'PERFORMANCE_HINT': 'LATENCY',
            'NUM_STREAMS': 1,
            # A pinned thread waits for whoever runs on its core, while another one may be free.
            'ENABLE_CPU_PINNING': False,
        }
        if threads is not None:
            self._options['INFERENCE_NUM_THREADS'] = threads
        self._core = openvino.Core()
        self._network = self._core.read_model(file)
        self._requests: dict[tuple[int, ...], Any] = {}

    def __call__(self, feed: dict[str, Any]) -> Any:
        rows, velocity, start = len(feed['latents']), [], 0
        while start < rows:
            stop = start + next(n for n in ROWS if n <= rows - start)
            part = feed | {name: feed[name][start:stop] for name in PER_ROW}
            velocity.append(self._infer(part))
            start = stop
        return np.concatenate(velocity)

    def _infer(self, feed: dict[str, Any]) -> Any:
        shape = feed['latents'].shape
        if shape not in self._requests:
            network = self._network.clone()
            network.reshape({n: a.shape for n, a in feed.items() if n != TARGET})
            compiled = self._core.compile_model(network, 'CPU', self._options)
            self._requests[shape] = compiled.create_infer_request()
        request = self._requests[shape]
        request.infer(feed, share_inputs=True)
        return request.get_output_tensor(0).data.copy()  # the next call writes there again


class _OnnxRuntime:
    def __init__(self, file: Path, threads: int | None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        # Threads that spin while they wait take the core from whoever controls the robot.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        self._session = onnxruntime.InferenceSession(str(file), options)

    def __call__(self, feed: dict[str, Any]) -> Any:
        return self._session.run(None, feed)[0]
