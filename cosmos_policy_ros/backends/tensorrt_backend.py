# SPDX-License-Identifier: Apache-2.0
"""An exported network as a TensorRT engine on a GPU.

The autoencoder, and keys and values of the text, once per task, stay in torch.

Every number of rows and target frames that is met gets an execution context of its own, whose
launches are captured in a CUDA graph after its first call. A call then is: copy the inputs to
where the graph reads, replay, copy the answer; the host waits for nothing. All contexts share
their buffers, those of a profile their scratch memory, since one runs at a time. Calls with more
rows than the engine was built for are divided.
"""

from __future__ import annotations

from collections.abc import Mapping
import math
from pathlib import Path
from typing import Any

from cosmos_policy_ros.backends.engines import find_engines, read_note
from cosmos_policy_ros.backends.onnx_backend import INPUTS
from cosmos_policy_ros.backends.tensorrt_build import engine_facts, KIND, load_tensorrt
from cosmos_policy_ros.backends.torch_backend import TorchAutoencoder
from cosmos_policy_ros.core.checkpoint import Checkpoint
from cosmos_policy_ros.core.denoiser import encode_text, text_layers
from cosmos_policy_ros.types import ConfigError
import torch
from torch import Tensor

PREFERRED = ('bfloat16', 'float16', 'float32')


def find_tensorrt(path: Path, precision: str = 'auto') -> Path | None:
    """Return the folder of the engine that runs here, None if there is none.

    One that was compared with the plain network is preferred to one that was not, then
    ``bfloat16`` to other precisions, then more rows.

    Args:
        path: Checkpoint folder.
        precision: That of the engine; ``auto`` takes any.

    Raises:
        ConfigError: TensorRT is not installed, or an engine that would fit is damaged.
    """
    facts = engine_facts(path)
    if precision != 'auto':
        facts['precision'] = precision

    def rank(folder: Path) -> tuple[bool, int, int]:
        note = read_note(folder)
        made = note['facts']
        return was_compared(note), -PREFERRED.index(made['precision']), max(made['rows'])

    return max(find_engines(path, KIND, facts), key=rank, default=None)


def was_compared(note: Mapping[str, Any]) -> bool:
    """Return whether an engine was compared with the plain network when it was made."""
    return isinstance(note['parity'], dict)


class TensorrtBackend(TorchAutoencoder):
    """A TensorRT engine, the autoencoder in torch.

    Args:
        file: What ``build_engine`` wrote.
        checkpoint: What it was made from.
        device: Torch device, a GPU.
        precision: That of the engine.
        graphs: Capture the launches of every number of rows.

    Raises:
        ConfigError: The device does not exist, or the engine does not run on it.
    """

    def __init__(
        self,
        file: Path,
        checkpoint: Checkpoint,
        device: str = 'cuda',
        precision: str = 'bfloat16',
        graphs: bool = True,
    ) -> None:
        """Read the engine; contexts are made when they are needed."""
        exact = precision == 'float32'
        super().__init__(checkpoint.vae, device, precision if exact else 'bfloat16')
        self.precision = precision
        self._transformer = checkpoint.transformer
        for layer in text_layers(self._transformer):
            layer.to(self.device)
        self._network = Engine(file, self.device, graphs)

    @torch.inference_mode()
    def encode_text(self, text: Tensor) -> Tensor:
        """Return (layers, 2, heads, L, D / heads) keys and values of (L, D) text embeddings."""
        return encode_text(self._transformer, text.to(self.device))

    @torch.inference_mode()
    def denoise(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        target: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Return the (B, C, U, h, w) float32 velocity, see ``Backend.denoise``."""
        if frames is not None:
            msg = 'engines are built for whole sequences'  # which the export has refused
            raise RuntimeError(msg)
        parts = zip(latents.split(self._network.rows), time.split(self._network.rows), strict=True)
        return torch.cat([self._network(part, level, text, target) for part, level in parts])


class Engine:
    """A network in TensorRT, called like ``core.denoiser.Denoiser``.

    Args:
        file: What ``build_engine`` wrote.
        device: A GPU.
        graphs: See ``TensorrtBackend``.

    Attributes:
        rows: Most rows of one call.

    Raises:
        ConfigError: The engine does not run on this GPU.
    """

    def __init__(self, file: Path, device: torch.device, graphs: bool) -> None:
        """Read the engine and make room for inputs and outputs."""
        trt, log = load_tensorrt()
        self._device, self._graphs = device, graphs
        with torch.cuda.device(device):
            self._runtime = trt.Runtime(log)
            self._engine = self._runtime.deserialize_cuda_engine(file.read_bytes())
            if self._engine is None:
                about = torch.cuda.get_device_properties(device)
                msg = (
                    f'{file} does not run on {about.name}, compute capability {about.major}.'
                    f'{about.minor} ({log.last}); export on this machine or take the backend torch'
                )
                raise ConfigError(msg)
            engine = self._engine
            self._options, self._kernels = _context_options(trt, engine)
            last = engine.num_optimization_profiles - 1
            largest = [
                engine.get_tensor_profile_shape(name, last)[2] if -1 in shape else shape
                for name, shape in ((n, engine.get_tensor_shape(n)) for n in INPUTS)
            ]
            self._most = [
                engine.get_tensor_profile_shape('latents', i)[2][0] for i in range(last + 1)
            ]
            self.rows = int(self._most[-1])
            self._stream = torch.cuda.Stream(device)  # TensorRT waits on the default one
            types = (torch.float32, torch.float32, torch.float32, torch.int64)
            self._inputs = [
                torch.zeros(math.prod(shape), dtype=dtype, device=device)
                for shape, dtype in zip(largest, types, strict=True)
            ]
            self._output = torch.zeros(math.prod(largest[0]), device=device)
        self._scratch: dict[int, Tensor] = {}  # by profile
        self._calls: dict[tuple[int, int], _Call] = {}
        self._text: Tensor | None = None  # what the input holds

    def __call__(self, latents: Tensor, time: Tensor, text: Tensor, target: Tensor) -> Tensor:
        """Return the (B, C, U, h, w) velocity of the target frames, of at most ``rows`` rows."""
        size = len(latents), len(target)
        feed = [latents, time, text, target]
        out = latents.new_empty(size[0], latents.shape[1], size[1], *latents.shape[3:])
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            if size not in self._calls:
                self._calls[size] = _Call(self._prepare(feed), self._stream, self._graphs)
            for value, held in zip(feed, self._inputs, strict=True):
                if value is not self._text:  # large, and the same as long as the task is
                    held[: value.numel()].view(value.shape).copy_(value)
            self._text = text
            self._calls[size]()
            out.copy_(self._output[: out.numel()].view(out.shape))
        here.wait_stream(self._stream)
        return out

    def _prepare(self, feed: list[Tensor]) -> Any:
        """Return an execution context for inputs of these shapes."""
        context = self._engine.create_execution_context(self._options)
        profile = next(i for i, most in enumerate(self._most) if len(feed[0]) <= most)
        if profile not in self._scratch:
            size = int(self._engine.get_device_memory_size_for_profile_v2(profile))
            self._scratch[profile] = torch.empty(size, dtype=torch.uint8, device=self._device)
        scratch = self._scratch[profile]
        context.set_device_memory(scratch.data_ptr(), scratch.numel())
        context.set_optimization_profile_async(profile, self._stream.cuda_stream)
        for name, value, held in zip(INPUTS, feed, self._inputs, strict=True):
            context.set_input_shape(name, tuple(value.shape))
            context.set_tensor_address(name, held.data_ptr())
        context.set_tensor_address('velocity', self._output.data_ptr())
        return context


def _context_options(trt: Any, engine: Any) -> tuple[Any, Any]:
    """Return options of an execution context with our scratch memory, and the cache of kernels."""
    ours = trt.ExecutionContextAllocationStrategy.USER_MANAGED
    if not hasattr(trt, 'DynamicShapesKernelSpecializationStrategy'):
        return ours, None
    config = engine.create_runtime_config()  # TensorRT-RTX compiles kernels for the GPU here
    config.set_execution_context_allocation_strategy(ours)
    eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER  # the graph needs the final ones
    config.dynamic_shapes_kernel_specialization_strategy = eager
    kernels = config.create_runtime_cache()
    config.set_runtime_cache(kernels)
    return config, kernels


class _Call:
    """One execution context, and its launches as a graph after the first call."""

    def __init__(self, context: Any, stream: torch.cuda.Stream, graphs: bool) -> None:
        self._context, self._stream, self._wanted = context, stream, graphs
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Run on the stream, without waiting."""
        if self._graph is not None:
            self._graph.replay()
            return
        self._launch()
        if self._wanted:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode='thread_local'):
                self._launch()
            self._graph = graph

    def _launch(self) -> None:
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            msg = 'TensorRT could not start the network; its log is on level DEBUG'
            raise RuntimeError(msg)
