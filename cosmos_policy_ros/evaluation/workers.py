# SPDX-License-Identifier: Apache-2.0
"""Seeded scenes in worker processes side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import as_completed
from typing import Any, TypeVar

from cosmos_policy_ros.worker_pool import open_pool

Result = TypeVar('Result')

_PLAY: list[Callable[[int], Any]] = []  # of this worker process


def map_seeds(
    open_player: Callable[[], Callable[[int], Result]],
    seeds: Iterable[int],
    workers: int,
    on_result: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Play seeded scenes in worker processes and return the results in the order of the seeds.

    Args:
        open_player: Returns the function that plays the scene of a seed. It is called once in
            every process and may load policy and simulator; it and the results can be pickled.
        seeds: Seeds of the scenes.
        workers: Number of processes.
        on_result: Called with every result as it comes.

    Raises:
        BaseException: What ``open_player``, a scene or ``on_result`` raises, or Ctrl-C. Scenes
            that no process has been given yet are not played.
    """
    with open_pool(workers, _open, open_player) as pool:
        jobs = [pool.submit(_play, seed) for seed in seeds]
        try:
            for job in as_completed(jobs):
                on_result(job.result())
        except BaseException:  # else leaving the pool waits for all scenes, of hours
            pool.shutdown(cancel_futures=True)
            raise
    return [job.result() for job in jobs]


def _open(open_player: Callable[[], Callable[[int], Any]]) -> None:
    _PLAY.append(open_player())


def _play(seed: int) -> Any:
    return _PLAY[0](seed)
