# SPDX-License-Identifier: Apache-2.0
"""A GPU and TensorRT that are neither: engines run in torch on the addresses they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
import ctypes
import math
from types import SimpleNamespace
from typing import Any

from cosmos_policy_ros.backends import tensorrt_backend
from cosmos_policy_ros.backends.onnx_backend import INPUTS
import pytest
import torch
from torch import Tensor

TYPES = dict.fromkeys((*INPUTS, 'velocity'), torch.float32) | {'asked': torch.int64}


class FakeEngine:
    """An engine with a profile for every number of rows in ``rows``.

    Attributes:
        launches: Profile, rows and target frames of what really ran, in order.
        contexts: Execution contexts that were made.
    """

    def __init__(self, network: Any, text: tuple[int, ...], rows: tuple[int, ...]) -> None:
        """Keep what is run.

        Args:
            network: A ``Denoiser``.
            text: Shape of what ``encode_text`` returns.
            rows: Largest calls of the profiles.
        """
        self.network, self.rows = network, rows
        self.num_optimization_profiles = len(rows)
        self.shapes = {'latents': (-1, 4, 11, 4, 4), 'time': (-1,), 'text': text, 'asked': (-1,)}
        self.launches: list[tuple[int, int, int]] = []
        self.contexts = 0

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Return a shape, -1 where it is free."""
        return self.shapes[name]

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        """Return the smallest, best and largest shape."""
        most = self.rows[profile]
        least = self.rows[profile - 1] + 1 if profile else 1
        sizes = (1, 6, 11) if name == 'asked' else (least, most, most)
        return [tuple(n if s < 0 else s for s in self.shapes[name]) for n in sizes]

    def get_device_memory_size_for_profile_v2(self, profile: int) -> int:
        """Return the bytes of scratch memory."""
        return 1000 * self.rows[profile]

    def create_execution_context(self, _: Any) -> FakeContext:
        """Return a context, counting it."""
        self.contexts += 1
        return FakeContext(self)


class FakeContext:
    """Shapes, addresses and a profile; or launches that are recorded."""

    recorded: list[Callable[[], None]] | None = None

    def __init__(self, engine: FakeEngine) -> None:
        """Know nothing yet."""
        self.engine, self.profile, self.scratch = engine, -1, 0
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_device_memory(self, address: int, size: int) -> None:
        """Take scratch memory."""
        assert address
        self.scratch = size

    def set_optimization_profile_async(self, profile: int, _: int) -> None:
        """Choose a profile, whose scratch memory is there."""
        assert self.scratch == self.engine.get_device_memory_size_for_profile_v2(profile)
        self.profile = profile

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Say how large an input is, within the profile."""
        least, _, most = self.engine.get_tensor_profile_shape(name, self.profile)
        assert all(a <= n <= b for a, n, b in zip(least, shape, most, strict=True))
        self.shapes[name] = shape

    def set_tensor_address(self, name: str, address: int) -> None:
        """Say where an input or output lies."""
        self.addresses[name] = address

    def execute_async_v3(self, _: int) -> bool:
        """Run, or record that this shall run."""
        if FakeContext.recorded is None:
            self._run()
        else:
            FakeContext.recorded.append(self._run)
        return True

    def _run(self) -> None:
        self.engine.launches.append(
            (self.profile, self.shapes['latents'][0], self.shapes['asked'][0])
        )
        velocity = self.engine.network(*(self._at(n, self.shapes[n]) for n in INPUTS))
        self._at('velocity', velocity.shape).copy_(velocity)

    def _at(self, name: str, shape: tuple[int, ...]) -> Tensor:
        size = math.prod(shape) * TYPES[name].itemsize
        memory = (ctypes.c_uint8 * size).from_address(self.addresses[name])
        return torch.frombuffer(memory, dtype=TYPES[name]).view(shape)


class FakeGraph:
    """What was launched while it was captured."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.launches: list[Callable[[], None]] = []

    def replay(self) -> None:
        """Launch it again."""
        for launch in self.launches:
            launch()


@contextmanager
def capture(graph: FakeGraph, **_: Any) -> Iterator[None]:
    """Record into a graph instead of running."""
    FakeContext.recorded = graph.launches
    try:
        yield
    finally:
        FakeContext.recorded = None


def install(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> None:
    """Let every engine file be this engine, and a CPU tensor lie on a GPU."""
    runtime = SimpleNamespace(deserialize_cuda_engine=lambda _: engine)
    strategy = SimpleNamespace(USER_MANAGED=2)
    trt = SimpleNamespace(Runtime=lambda _: runtime, ExecutionContextAllocationStrategy=strategy)
    monkeypatch.setattr(tensorrt_backend, 'load_tensorrt', lambda: (trt, None))
    stream = SimpleNamespace(cuda_stream=1, wait_stream=lambda _: None)
    cuda = {
        'device': lambda _: nullcontext(),
        'stream': lambda _: nullcontext(),
        'Stream': lambda _: stream,
        'current_stream': lambda _: stream,
        'CUDAGraph': FakeGraph,
        'graph': capture,
    }
    for name, fake in cuda.items():
        monkeypatch.setattr(torch.cuda, name, fake)
