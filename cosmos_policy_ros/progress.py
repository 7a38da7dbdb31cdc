# SPDX-License-Identifier: Apache-2.0
"""How far long work is: a bar in a terminal, a line now and then in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import time
from typing import Any, TypeVar

from rich import progress

EVERY_S = 30.0  # between two lines
T = TypeVar('T')


class Progress(progress.Progress):
    """A bar of rich, which shows nothing before its end where no terminal is; here lines do.

    What is printed is ``<description>: <done> of <total>, <time> left``, at most every
    ``EVERY_S``.
    """

    def __init__(self, *columns: str | progress.ProgressColumn, **options: Any) -> None:
        """Make a bar.

        Args:
            columns: What it shows; those of rich by default.
            options: Others of ``rich.progress.Progress``.
        """
        super().__init__(*columns, **options)
        self._told_s = time.monotonic()

    def update(self, task_id: progress.TaskID, **changes: Any) -> None:
        """Move a bar, and tell where there is none to see; arguments as of rich."""
        super().update(task_id, **changes)
        self._tell(task_id)

    def advance(self, task_id: progress.TaskID, advance: float = 1) -> None:
        """Move a bar on, and tell where there is none to see; arguments as of rich."""
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: progress.TaskID) -> None:
        """Print a line, unless a terminal shows the bar or the last line is young."""
        if self.console.is_terminal or time.monotonic() - self._told_s < EVERY_S:
            return
        self._told_s = time.monotonic()
        task = self.tasks[self.task_ids.index(task_id)]
        left = '' if task.time_remaining is None else f', {_spell(task.time_remaining)} left'
        total = '' if task.total is None else f' of {task.total:.0f}'
        self.console.print(
            f'{task.description}: {task.completed:.0f}{total}{left}',
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def track(
    rows: Iterable[T],
    description: str = 'working',
    total: float | None = None,
    **options: Any,
) -> Iterator[T]:
    """Yield what is given and show how far it is.

    Args:
        rows: What is worked on.
        description: What is done with it.
        total: How many there are, where ``rows`` has no length.
        options: Others of ``rich.progress.Progress``, such as ``transient``.
    """
    with Progress(**options) as bar:
        yield from bar.track(rows, total, description=description)


def _spell(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'
