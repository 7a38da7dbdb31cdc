# SPDX-License-Identifier: Apache-2.0
"""What a person watches of a training run: TensorBoard curves and sheets of predicted futures."""

from __future__ import annotations

import json
from pathlib import Path

from cosmos_policy_ros.training.measure import Answers, Exam, Figures
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
        """Write a sheet of predicted futures beside the truth."""
        picture = sheet(exam, answers)
        Image.fromarray(picture).save(self._sheets / f'step_{step:07d}.png')
        self._writer.add_image('now, predicted, true', picture, step, dataformats='HWC')


def _step(line: str) -> float:
    """Return the step of a line of the log; infinity if a kill cut the line off."""
    try:
        return json.loads(line)['step']
    except ValueError:
        return float('inf')


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
