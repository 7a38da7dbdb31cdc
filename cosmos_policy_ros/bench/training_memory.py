# SPDX-License-Identifier: Apache-2.0
"""How much memory a GPU needs to train, alone or as one of several: a step without numbers.

The training's own code shards a network of the true size and its optimiser, as the first rank of a
process group whose other ranks are not there (torch's backend ``fake``) and with tensors that have
shapes and types only (``FakeTensorMode``). States are added up from these shards. For a step it
computes gradients of a network with few of the layers, and adds up all storages that live at the
same time: what autograd keeps, layers that are gathered, buffers of the collectives, gradients.

Differs from a GPU: the operations are those of a CPU, whose attention keeps the same but whose
scratch memory is not a GPU's; fragments and the driver's own memory come on top.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
import weakref

from cosmos_policy_ros.bench.random_weights import Sizes
from cosmos_policy_ros.core.networks import predict_velocity
from cosmos_policy_ros.core.official.checkpoint import empty_network
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.distributed import Ranks
from cosmos_policy_ros.training.sizes import LoraConfig
from cosmos_policy_ros.training.state import TrainingState
from cosmos_policy_ros.training.training_loop import shard_state
from cosmos_policy_ros.training.transformer import set_trained
from diffusers import CosmosTransformer3DModel
import torch
from torch import distributed, nn, Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

CPU = torch.device('cpu')
FEW = 4  # layers from which on each further one takes as much as the last, see the test


def state_bytes(sizes: Sizes, gpus: int, rank: int = 0) -> dict[str, int]:
    """Return what one GPU of a training holds between two steps, and of gradients within one.

    Args:
        sizes: Sizes of the networks.
        gpus: How many there are.
        rank: Rank of the adapters that are trained; 0 trains all weights.

    Returns:
        ``weights`` and, of those that are trained, ``averages``, ``gradients`` and ``optimizer``:
        the shards of this GPU [bytes].
    """
    with _state_without_numbers(sizes, gpus, TrainConfig(lora=LoraConfig(rank=rank))) as state:
        for weight in state.weights:
            weight.grad = torch.zeros_like(weight)
        state.optimizer.step()  # makes what it keeps
        moments = [number for row in state.optimizer.state.values() for number in row.values()]
        return {
            'weights': _bytes(state.model.parameters()),
            'averages': _bytes(state.average),
            'gradients': _bytes(w.grad for w in state.weights if w.grad is not None),
            'optimizer': _bytes(moments),
        }


def step_bytes(
    sizes: Sizes, gpus: int, samples: int = 1, checkpointing: bool = False, rank: int = 0
) -> dict[str, int]:
    """Return what one GPU needs for a step in bfloat16 besides weights, averages and optimiser.

    A network of more than ``FEW`` layers is not gone through itself: each of its further layers
    takes what the last of these takes.

    Args:
        sizes: Sizes of the networks.
        gpus: How many there are.
        samples: Samples of a microbatch of one GPU.
        checkpointing: Whether what a block computed is computed again for its gradients.
        rank: Rank of the adapters that are trained; 0 trains all weights.

    Returns:
        ``activations``, what is kept when the loss is known, gathered layers among it; ``step``,
        the most that there is at a time, gradients among it [bytes].
    """
    lora = LoraConfig(rank=rank)
    config = TrainConfig(checkpointing=checkpointing, precision='bfloat16', lora=lora)
    layers = int(sizes.transformer['num_layers'])
    if layers <= FEW:
        return _trace_step(sizes, gpus, samples, config)
    less, most = (
        _trace_step(
            replace(sizes, transformer={**sizes.transformer, 'num_layers': n}),
            gpus, samples, config,
        )
        for n in (FEW - 1, FEW)
    )  # fmt: skip
    return {name: size + (layers - FEW) * (size - less[name]) for name, size in most.items()}


def _trace_step(sizes: Sizes, gpus: int, samples: int, config: TrainConfig) -> dict[str, int]:
    """Return what a step takes, gone through layer by layer; see ``step_bytes``."""
    with _state_without_numbers(sizes, gpus, config) as state:
        there = [*state.model.parameters(), *state.average]
        with _Allocations(there) as allocations:
            loss = _loss(state, sizes, samples)
            activations = allocations.held
            loss.backward()  # type: ignore[no-untyped-call]
        return {'activations': activations, 'step': allocations.peak}


@contextmanager
def _state_without_numbers(
    sizes: Sizes, gpus: int, config: TrainConfig
) -> Iterator[TrainingState]:
    """Yield the state of a training before its first step, on the first of some ranks."""
    model = empty_network(CosmosTransformer3DModel, sizes.transformer)
    with torch.device('meta'):
        set_trained(model, config.lora)
    with _join_absent_ranks(gpus) as ranks, FakeTensorMode(allow_non_fake_inputs=True):
        _move_to_cpu(model)
        yield shard_state(model, config, ranks)


def _move_to_cpu(model: nn.Module) -> None:
    """Give a network of the device ``meta`` weights that pass for some of a CPU.

    FSDP trains none of ``meta``, and the others take no adapters.
    """
    for module in model.modules():
        for name, weight in [*module.named_parameters(recurse=False)]:
            numbers = torch.empty(weight.shape, dtype=weight.dtype)
            setattr(module, name, nn.Parameter(numbers, weight.requires_grad))


def _loss(state: TrainingState, sizes: Sizes, samples: int) -> Tensor:
    """Return the loss of some samples, whatever they are."""
    shape = sizes.config.latent_shape
    latents, times = torch.zeros(samples, *shape), torch.zeros(samples, shape[1])
    words = torch.zeros(samples, sizes.tokens, sizes.transformer['text_embed_dim'])
    with torch.autocast('cpu', torch.bfloat16, cache_enabled=False):
        velocity = predict_velocity(state.model, latents, times, words, torch.zeros_like(times))
    return velocity.float().pow(2).sum()


@contextmanager
def _join_absent_ranks(size: int) -> Iterator[Ranks]:
    """Yield the first of some ranks of which no other is there."""
    if size == 1:
        yield Ranks(0, 1, CPU)
        return
    from torch.testing._internal.distributed.fake_pg import FakeStore  # registers the backend

    distributed.init_process_group('fake', rank=0, world_size=size, store=FakeStore())
    try:
        yield Ranks(0, size, CPU, init_device_mesh('cpu', (size,)))
    finally:
        distributed.destroy_process_group()


class _Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that are made while this is active, as long as they live.

    Args:
        there: Tensors that are there already and do not count.

    Attributes:
        held: Bytes of those that live now.
        peak: Most bytes that lived at a time.
    """

    def __init__(self, there: Iterable[Tensor]) -> None:
        """Hold nothing yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.held = self.peak = 0
        self._sizes: dict[int, int] = {}
        self._there = {_local(tensor).untyped_storage()._cdata for tensor in there}
        self._resize = torch.UntypedStorage.resize_

    def __enter__(self) -> _Allocations:
        """Also note what gathered layers are resized to, which is no operation."""

        def resize(storage: torch.UntypedStorage, size: int) -> Any:
            resized = self._resize(storage, size)
            if storage._cdata in self._sizes:
                self._set(storage._cdata, size)
            return resized

        torch.UntypedStorage.resize_ = resize  # type: ignore[method-assign, assignment]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """Count no more."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        torch.UntypedStorage.resize_ = self._resize  # type: ignore[method-assign]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count what it made."""
        if DTensor in types:
            return NotImplemented  # it comes again, for the shards
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, made)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._there:
            return
        if key not in self._sizes:
            self._sizes[key] = 0
            weakref.finalize(storage, self._forget, key)
        self._set(key, storage.nbytes())

    def _set(self, key: int, size: int) -> None:
        self.held += size - self._sizes[key]
        self._sizes[key] = size
        self.peak = max(self.peak, self.held)

    def _forget(self, key: int) -> None:
        self.held -= self._sizes.pop(key)


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Return what this rank holds of some tensors."""
    return sum(local.numel() * local.element_size() for local in map(_local, tensors))


def _local(tensor: Tensor) -> Tensor:
    """Return this rank's shard of a tensor, or the tensor where it is whole."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
