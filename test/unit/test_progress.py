# SPDX-License-Identifier: Apache-2.0
"""How far long work is."""

from __future__ import annotations

import io

from cosmos_policy_ros import progress
import pytest
from rich.console import Console


@pytest.mark.parametrize('terminal', [False, True])
def test_lines_tell_how_far_it_is_where_no_terminal_is(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    """One now and then, not one per step, and none beside a bar."""
    now = [0.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=60)
    with progress.Progress(console=console, get_time=lambda: now[0]) as bar:
        task = bar.add_task('drawing images', total=100)
        for _ in range(100):
            now[0] += 2.0
            bar.advance(task)
    lines = [line for line in text.getvalue().splitlines() if ' of 100' in line]
    told = [] if terminal else [f'drawing images: {n} of 100' for n in (15, 30, 45, 60, 75, 90)]
    assert [line.split(',')[0] for line in lines] == told
    if not terminal:
        assert lines[0] == 'drawing images: 15 of 100, 3 min left'
        assert lines[-1] == 'drawing images: 90 of 100, 20 s left'


def test_rows_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them in their order, and the bar ends full."""
    assert list(progress.track(range(5), 'counting')) == [0, 1, 2, 3, 4]
    assert '100%' in capsys.readouterr().out
