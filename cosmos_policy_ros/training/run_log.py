# SPDX-License-Identifier: Apache-2.0
"""What a person watches of a training run: TensorBoard curves, predicted futures and values."""

from __future__ import annotations

import json
from pathlib import Path

from cosmos_policy_ros.metrics import bin_of, BINS
from cosmos_policy_ros.training.validation import Answers, Exam, Figures
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import Progress
from torch.utils.tensorboard import SummaryWriter

SHOWN = 6  # samples on a sheet
GAP = 4  # [px] between pictures


class Board:
    """Writes ``log.jsonl``, ``board/`` (TensorBoard) and ``sheets/`` of one run.

    Attributes:
        progress: Progress bar in the terminal.
    """

    def __init__(self, folder: Path, step: int, n_steps: int) -> None:
        """Go on from a step; what an interrupted run wrote beyond it is dropped.

        Args:
            folder: Where to write.
            step: Steps done.
            n_steps: Steps of the whole run.
        """
        self._sheets = folder / 'sheets'
        self._sheets.mkdir(exist_ok=True)
        log = folder / 'log.jsonl'
        old = log.read_text(encoding='utf-8').splitlines() if log.exists() else []
        kept = [line for line in old if _step(line) <= step]
        log.write_text(''.join(f'{line}\n' for line in kept), encoding='utf-8')
        self._log = log.open('a', encoding='utf-8')
        self._writer = SummaryWriter(folder / 'board', purge_step=step + 1)
        self.progress = Progress()
        self.progress.start()
        self._bar = self.progress.add_task('transformer', total=n_steps, completed=step)

    def close(self) -> None:
        """Close the files and the progress bar."""
        self.progress.stop()
        self._log.close()
        self._writer.close()

    def advance(self, step: int) -> None:
        """Move the progress bar."""
        self.progress.update(self._bar, completed=step)

    def write(self, step: int, figures: Figures) -> None:
        """Write figures to the log, the terminal and TensorBoard."""
        line = {'step': step, **figures}
        self._log.write(json.dumps(line) + '\n')
        self._log.flush()
        self.progress.console.print(line)
        for name, figure in figures.items():
            if figure is not None:
                self._writer.add_scalar(name, figure, step)

    def show(self, step: int, exam: Exam, answers: Answers) -> None:
        """Write the pictures of an exam."""
        futures, values = write_pictures(self._sheets, f'step_{step:07d}', exam, answers)
        self._writer.add_image('now, predicted, true', futures, step, dataformats='HWC')
        self._writer.add_image('predicted and actual return', values, step, dataformats='HWC')


def _step(line: str) -> float:
    """Return the step of a line of the log; infinity if a kill cut the line off."""
    try:
        return json.loads(line)['step']
    except ValueError:
        return float('inf')


def write_pictures(
    folder: Path, name: str, exam: Exam, answers: Answers
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Write a sheet of predicted futures, and beside it the values against what came of them.

    Args:
        folder: Where to.
        name: ``<name>.png`` has the futures, ``<name>_values.png`` the values.
        exam: What was asked.
        answers: What the transformer said.

    Returns:
        Both pictures, (height, width, 3) uint8 RGB.
    """
    folder.mkdir(exist_ok=True)
    pictures = sheet(exam, answers), value_chart(exam, answers)
    for file, picture in zip((name, f'{name}_values'), pictures, strict=True):
        Image.fromarray(picture).save(folder / f'{file}.png')
    return pictures


def value_chart(exam: Exam, answers: Answers) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8 RGB: actual against predicted return, and bins of it."""
    figure = Figure(figsize=(5.6, 5.0), dpi=110, layout='constrained')
    axes = figure.subplots()
    axes.axline((0, 0), slope=1, color='0.7', linestyle='--', label='as predicted')
    value, actual = answers.value, exam.value.value
    for outcome, color in ((True, 'C2'), (False, 'C3')):
        of = exam.outcome == outcome
        label = f'{of.sum()} samples of {"successes" if outcome else "failures"}'
        axes.scatter(value[of], actual[of], 9, color, alpha=0.4, linewidths=0, label=label)
    bins = bin_of(value)
    met = [bins == b for b in np.arange(BINS) if (bins == b).any()]
    x, y = ([float(of[one].mean()) for one in met] for of in (value, actual))
    axes.plot(x, y, 'o-', color='0.15', label='mean of a bin')
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel='predicted return')
    axes.set_ylabel('return that came')
    axes.legend(fontsize='small')
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def sheet(exam: Exam, answers: Answers) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8 RGB: a row a sample; per camera now, predicted and true."""
    n, size = min(SHOWN, len(exam.now)), exam.now.shape[2]
    columns = np.stack([exam.now[:n], answers.futures[:n], exam.then[:n]], axis=2)
    cells = columns.reshape(n, -1, size, size, 3)  # (row, camera * 3, ...)
    page = np.full((n * (size + GAP), cells.shape[1] * (size + GAP), 3), 255, np.uint8)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            y, x = i * (size + GAP), j * (size + GAP)
            page[y : y + size, x : x + size] = cell
    return page
