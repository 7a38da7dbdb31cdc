# SPDX-License-Identifier: Apache-2.0
"""The table of seams: which cells are played, kept and drawn."""

from __future__ import annotations

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.bench.seams import measure_seams, print_cells, read_cells
from cosmos_policy_ros.cli.bench import Bench, run
from cosmos_policy_ros.evaluation import Agent
from cosmos_policy_ros.outputs import write_json
from cosmos_policy_ros.report.seams_plot import draw
from cosmos_policy_ros.types import ConfigError
import pytest

MEASURED = {'checkpoint': 'abc', 'episodes': 200, 'seed': 100000}


def cell(seam: str, latency_s: float, successes: int = 190, **fields: Any) -> dict[str, Any]:
    """Return a cell of the cube."""
    return {
        'task': 'transfer_cube',
        'seam': seam,
        'latency_s': latency_s,
        'episodes': 200,
        'successes': successes,
        'success_rate': successes / 200,
        'interval_95': [0.9, 0.97],
        'seam_jump_rad': {'p50': 0.01, 'p99': 0.02, 'max': 0.03},
        'seam_jump_rad_s': {'p50': 0.1, 'p99': 0.2, 'max': 0.3},
        'standstill_s': 0.5,
        'interventions_per_episode': 2.5,
        **fields,
    }


def test_cells_of_an_earlier_run_are_read_back(tmp_path: Path) -> None:
    """A run that was stopped goes on where it was."""
    file = tmp_path / 'seams.json'
    cells = [cell('blend', 0.1), cell('committed', 0.1)]
    write_json(file, {'measured': MEASURED, 'cells': cells})
    assert read_cells(file, MEASURED) == cells
    assert read_cells(tmp_path / 'none.json', MEASURED) == []


def test_cells_of_another_checkpoint_are_not_mixed_with_ours(tmp_path: Path) -> None:
    """Nor those of other scenes."""
    file = tmp_path / 'seams.json'
    write_json(file, {'measured': MEASURED, 'cells': []})
    with pytest.raises(ConfigError, match=r"'episodes': \(200, 40\).*give another file"):
        read_cells(file, {**MEASURED, 'episodes': 40})


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    """It is told from a table of seams before anything is played."""
    file = tmp_path / 'evaluation.json'
    file.write_text('{"episodes": 3}', encoding='utf-8')
    with pytest.raises(ConfigError, match='no file of cosmos-policy bench seams'):
        read_cells(file, MEASURED)


def test_table_has_a_row_for_each_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where no chunk took over from another."""
    nothing = {'p50': None, 'p99': None, 'max': None}
    print_cells([cell('blend', 0.1), cell('committed', 0.8, seam_jump_rad=nothing)])
    rows = [' '.join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert 'blend 0.1 190/200 90-97 0.010 0.020 0.030 0.3 0.50 2.5' in rows
    assert 'committed 0.8 190/200 90-97 - - - 0.3 0.50 2.5' in rows


@pytest.mark.parametrize('tasks', [('transfer_cube',), ('transfer_cube', 'insert_peg')])
def test_picture_is_drawn_of_what_was_played(tasks: Sequence[str], tmp_path: Path) -> None:
    """A column for each task, wider with two."""
    from matplotlib.image import imread

    cells = [
        cell(seam, latency_s, task=task)
        for task in tasks
        for seam in ('blend', 'committed')
        for latency_s in (0.1, 0.4)
    ]
    draw(cells, tmp_path / 'seams.png')
    _, width, _ = imread(tmp_path / 'seams.png').shape
    assert width == {1: 616, 2: 1122}[len(tasks)]


def test_seam_that_does_not_exist_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    """With those that do."""
    with pytest.raises(ConfigError, match="seam 'glue' does not exist"):
        run(Bench('seams', seams=('glue',), json=tmp_path / 'seams.json'))


@pytest.mark.slow
def test_cell_is_played_once(tmp_path: Path) -> None:
    """A second run adds the cell that is missing and draws both."""
    file, plot = tmp_path / 'seams.json', tmp_path / 'seams.png'
    measure_seams(Agent(), 1, (0.1,), ('blend',), ('transfer_cube',), workers=1, file=file)
    before = json.loads(file.read_text(encoding='utf-8'))['cells']
    figures = measure_seams(
        Agent(), 1, (0.1, 0.2), ('blend',), ('transfer_cube',), workers=1, file=file, plot=plot
    )
    assert figures['cells'][:1] == before
    assert [cell['latency_s'] for cell in figures['cells']] == [0.1, 0.2]
    assert json.loads(file.read_text(encoding='utf-8'))['cells'] == figures['cells']
    assert plot.stat().st_size > 10000
