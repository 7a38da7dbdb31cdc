# SPDX-License-Identifier: Apache-2.0
"""Rows of a network call that fit into the memory of a GPU, which is a fake one here."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.backends import load_cosmos_policy
from cosmos_policy_ros.backends.row_limit import rows_that_fit
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import ConfigError
import pytest
from samples import ROBOT
from tiny import (
    CONFIG,
    NotingBackend,
    save_tiny_checkpoint,
    tiny_observation,
    tiny_stats,
    tiny_text,
)
import torch
from torch import Tensor

ROW = 100_000_000  # bytes of a row in the fake network
KEPT = 50_000_000  # that a library takes with the first call


class FakeGpu:
    """The memory of a GPU, on which only rows of network calls take some.

    Attributes:
        total: All of it [bytes].
        others: What other processes hold.
        held: What torch has given out.
        reserved: What torch has taken from the GPU.
        peak: The most that torch had given out.
    """

    def __init__(self, total: int, others: int = 0, weights: int = 0) -> None:
        """Hold weights, and nothing else yet."""
        self.total, self.others = total, others
        self.held = self.reserved = self.peak = weights

    def use(self, size: int) -> None:
        """Take memory for a moment.

        Raises:
            OutOfMemoryError: It is not there.
        """
        if self.others + self.held + size > self.total:
            raise torch.OutOfMemoryError
        self.peak = max(self.peak, self.held + size)
        self.reserved = max(self.reserved, self.held + size)

    def keep(self, size: int) -> None:
        """Take memory for good."""
        self.use(size)
        self.held += size

    def forget_peak(self) -> None:
        """Begin to measure the most from now on."""
        self.peak = self.held


class FakeGpuBackend(NotingBackend):
    """The tiny networks, whose rows take memory of a fake GPU."""

    def __init__(self, gpu: FakeGpu) -> None:
        """Have made no call yet."""
        super().__init__()
        self.gpu = gpu

    def denoise(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        target: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Take the memory of every row while the call lasts."""
        if not self.calls:
            self.gpu.keep(KEPT)
        self.gpu.use(ROW * len(latents))
        return super().denoise(latents, time, text, target, frames)


def policy_on(monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu) -> CosmosPolicy:
    """Return a tiny policy whose GPU torch reports."""
    fakes = {
        'mem_get_info': lambda _: (gpu.total - gpu.others - gpu.reserved, gpu.total),
        'memory_allocated': lambda _: gpu.held,
        'memory_reserved': lambda _: gpu.reserved,
        'max_memory_allocated': lambda _: gpu.peak,
        'reset_peak_memory_stats': lambda _: gpu.forget_peak(),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return CosmosPolicy(FakeGpuBackend(gpu), CONFIG, tiny_stats(), tiny_text())


def test_rows_are_what_is_free_by_what_one_of_them_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.55 GB less weights, another process and what a library keeps: 0.9 x 1.2 GB / 0.1 GB."""
    gpu = FakeGpu(1_550_000_000, others=200_000_000, weights=100_000_000)
    assert rows_that_fit(policy_on(monkeypatch, gpu), 'cuda') == 10


def test_a_query_that_does_not_fit_is_divided_and_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 rows of a GPU that has room for 8: out of memory at once, answered in parts."""
    gpu = FakeGpu(1_000_000_000)
    policy = policy_on(monkeypatch, gpu)
    query, obs = PlanQuery(8, futures=3), tiny_observation()
    with pytest.raises(torch.OutOfMemoryError):
        policy.plan(obs, query)
    policy.max_rows = rows_that_fit(policy, 'cuda:0')
    assert policy.max_rows == 8
    assert policy.plan(obs, query).candidates.values.shape == (8, 3)


def test_no_more_rows_go_in_a_call_than_were_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for many does not make them."""
    gpu = FakeGpu(100_000_000_000)
    policy = policy_on(monkeypatch, gpu)
    policy.max_rows = rows_that_fit(policy, 'cuda')
    assert policy.max_rows == 899
    backend = policy.backend
    assert isinstance(backend, FakeGpuBackend)
    backend.calls.clear()
    policy.plan(tiny_observation(), PlanQuery(4))
    assert {len(latents) for latents, _, _ in backend.calls} == {4}


def test_a_gpu_without_room_for_a_row_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the policy is loaded, not when the arms wait for an answer."""
    gpu = FakeGpu(300_000_000, others=160_000_000)
    policy = policy_on(monkeypatch, gpu)
    with pytest.raises(
        ConfigError, match=r'cuda has no room for a single row .* 0\.1 GB are free'
    ):
        rows_that_fit(policy, 'cuda')


def test_a_cpu_bounds_nothing(tmp_path: Path) -> None:
    """All rows go in one call, as without auto."""
    save_tiny_checkpoint(tmp_path / 'tiny', ROBOT)
    policy = load_cosmos_policy(tmp_path / 'tiny', 'torch', max_rows='auto')
    assert policy.max_rows is None
    assert load_cosmos_policy(tmp_path / 'tiny', 'torch', max_rows=3).max_rows == 3
