# SPDX-License-Identifier: Apache-2.0
"""How success, seams and safety depend on the latency, for every way to join two chunks.

Each cell of the table is an evaluation on the same seeded scenes with one candidate: a task, a
seam and a fixed time from query to answer. A cell is written as soon as it is played, and one that
is in the file already is not played again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from cosmos_policy_ros.control.seams import PlaybackSettings
from cosmos_policy_ros.data.bags.provenance import hash_checkpoint
from cosmos_policy_ros.evaluation import (
    Agent,
    check_evaluation,
    EpisodeResult,
    evaluate_scenes,
    Scenario,
    summarize_episodes,
)
from cosmos_policy_ros.evaluation.earlier import read_earlier
from cosmos_policy_ros.metrics import wilson_interval
from cosmos_policy_ros.outputs import write_json
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.report.machine import describe_machine
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.tasks import UNSEEN_SEED
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

KEPT = (
    'episodes',
    'successes',
    'success_rate',
    'seam_jump_rad',
    'seam_jump_rad_s',
    'committed_rows',
    'chunks_refused',
    'interventions_per_episode',
    'intervention_reasons',
)  # of the figures of an evaluation


def measure_seams(
    agent: Agent,
    episodes: int,
    latencies_s: Sequence[float],
    seams: Sequence[str],
    tasks: Sequence[str],
    *,
    seed: int = UNSEEN_SEED,
    workers: int = 2,
    file: Path | None = None,
    plot: Path | None = None,
) -> dict[str, Any]:
    """Play every cell that the file does not have yet, print the table and draw the picture.

    Args:
        agent: Policy to measure.
        episodes: Scenes of a cell.
        latencies_s: Times from query to answer [s].
        seams: Rows of ``control.seams.SEAMS``.
        tasks: Simulated tasks.
        seed: Scene i of every cell uses seed + i.
        workers: Processes that play scenes side by side.
        file: JSON file that is read first and written after every cell; None keeps none.
        plot: PNG file of the picture, drawn at the end; None draws none.

    Returns:
        ``cells``, each with ``task``, ``seam``, ``latency_s``, the figures ``KEPT`` of
        ``summarize_episodes``, ``interval_95`` and ``standstill_s`` per episode; ``measured``,
        what they have in common: hash of the checkpoint, backend, precision, scenes and
        seed; the machine.

    Raises:
        ConfigError: The file has cells of something else; a task or seam does not exist; or see
            ``check_evaluation``.
    """
    robot = read_robot(robot_file('aloha_sim'))
    scenarios = {
        (task, seam, latency_s): Scenario(
            task, latencies_s=(latency_s,), playback=PlaybackSettings(seam=seam)
        )
        for task, seam, latency_s in product(tasks, seams, latencies_s)
    }
    measured = {
        'checkpoint': hash_checkpoint(agent.checkpoint),
        'backend': agent.backend,
        'precision': agent.precision,
        'episodes': episodes,
        'seed': seed,
    }
    cells = read_cells(file, measured)
    figures: dict[str, Any] = {'measured': measured, 'cells': cells, **describe_machine()}
    done = {_key(cell) for cell in cells}
    missing = {key: scenario for key, scenario in scenarios.items() if key not in done}
    for task in {task for task, _, _ in missing}:
        check_evaluation(agent, Scenario(task), robot)
    with Progress() as progress:
        whole = progress.add_task(
            'cells', total=len(scenarios), completed=len(done & {*scenarios})
        )
        for (task, seam, latency_s), scenario in missing.items():
            name = f'{task}, {seam}, {latency_s:g} s'
            bar = progress.add_task(name, total=episodes)

            def show(_: EpisodeResult, bar: Any = bar) -> None:
                progress.advance(bar)

            seeds = range(seed, seed + episodes)
            results = evaluate_scenes(
                agent, scenario, robot, seeds, workers=workers, on_result=show
            )
            progress.remove_task(bar)
            progress.advance(whole)
            cells.append({'task': task, 'seam': seam, 'latency_s': latency_s, **_cell(results)})
            cells.sort(key=_key)
            if file is not None:
                write_json(file, figures)
    shown = [cell for cell in cells if _key(cell) in scenarios]
    print_cells(shown)
    if plot:
        from cosmos_policy_ros.report.seams_plot import draw  # loads matplotlib

        draw(shown, plot)
        print(f'{plot} written')
    return figures


def read_cells(file: Path | None, measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the cells that a file has already; none without a file.

    Args:
        file: What an earlier run wrote.
        measured: What this run measures.

    Raises:
        ConfigError: The file is another one, or its cells are of something else.
    """
    return read_earlier(file, measured, 'cells', _read_cell, 'cosmos-policy bench seams')


def print_cells(cells: Sequence[Mapping[str, Any]]) -> None:
    """Print a table for each task, with a row for each cell.

    Seam jumps are the median, 99th percentile and largest, the last of them of speed; standstill
    and commands that safety changed are per episode.
    """
    for task in dict.fromkeys(cell['task'] for cell in cells):
        table = Table(title=task, box=SIMPLE, pad_edge=False, collapse_padding=True)
        table.add_column('seam', no_wrap=True)
        heads = ('s', 'success', '95 %', 'jump rad', 'p99', 'max', 'rad/s', 'still s', 'changed')
        for head in heads:
            table.add_column(head, justify='right')
        for cell in [cell for cell in cells if cell['task'] == task]:
            low, high = cell['interval_95']
            jump, speed = cell['seam_jump_rad'], cell['seam_jump_rad_s']
            table.add_row(
                cell['seam'],
                f'{cell["latency_s"]:g}',
                f'{cell["successes"]}/{cell["episodes"]}',
                f'{100 * low:.0f}-{100 * high:.0f}',
                *(_number(jump[name], 3) for name in ('p50', 'p99', 'max')),
                _number(speed['max'], 1),
                f'{cell["standstill_s"]:.2f}',
                f'{cell["interventions_per_episode"]:.1f}',
            )
        Console().print(table)


def _key(cell: Mapping[str, Any]) -> tuple[str, str, float]:
    """Return task, seam and latency [s] of a cell."""
    return cell['task'], cell['seam'], cell['latency_s']


def _read_cell(cell: dict[str, Any]) -> dict[str, Any]:
    """Return a cell as a file has it, which has to have a key."""
    _key(cell)
    return cell


def _cell(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """Return the figures of a cell."""
    figures = summarize_episodes(results)
    standstill_s = sum(result.standstill_s for result in results) / len(results)
    kept = {name: figures[name] for name in KEPT}
    low, high = wilson_interval(sum(result.success for result in results), len(results))
    return {**kept, 'interval_95': [low, high], 'standstill_s': round(standstill_s, 3)}


def _number(value: float | None, digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'
