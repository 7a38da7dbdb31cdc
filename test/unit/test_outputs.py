# SPDX-License-Identifier: Apache-2.0
"""A file that could not be written is refused before the work, not after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cosmos_policy_ros.cli import bench, compare, evaluate, oracle as headroom, report, train
from cosmos_policy_ros.types import ConfigError
import pytest

MISSING = Path('none/file')


@pytest.mark.parametrize(
    ('run', 'options'),
    [
        (bench.run, bench.Bench('all', json=MISSING)),
        (compare.run, compare.Compare((Path('base.json'),), plot=MISSING)),
        (evaluate.run, evaluate.Evaluate(json=MISSING)),
        (headroom.run, headroom.Headroom(json=MISSING)),
        (report.run, report.Report((Path('bags'),), out=MISSING)),
        (train.run, train.Train((Path('data'),), Path('out'), json=MISSING)),
    ],
    ids=lambda v: type(v).__name__ if not callable(v) else '',
)
def test_a_missing_folder_is_told_first(
    run: Callable[[Any], int], options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing was done."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match='none/file: there is no folder none; make it first'):
        run(options)
    assert not list(tmp_path.iterdir())
