# SPDX-License-Identifier: Apache-2.0
"""The log of a training run: JSON lines, a progress bar, and curves and figures in TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path

from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.training.validation import Metrics, Predictions, ValidationSet
from cosmos_policy_ros.training.validation_figures import write_figures
from torch.utils.tensorboard import SummaryWriter


class RunLog:
    """Writes ``log.jsonl``, ``board/`` (TensorBoard) and ``sheets/`` of one run.

    Attributes:
        progress: Progress bar in the terminal.
    """

    def __init__(self, folder: Path, step: int, n_steps: int) -> None:
        """Go on from a step; what an interrupted run wrote beyond it is dropped.

        Args:
            folder: Folder of the run.
            step: Steps done.
            n_steps: Steps of the whole run.
        """
        self._sheets = folder / 'sheets'
        self._sheets.mkdir(exist_ok=True)
        log = folder / 'log.jsonl'
        old = log.read_text(encoding='utf-8').splitlines() if log.exists() else []
        kept = [line for line in old if _step_of(line) <= step]
        with whole_file(log) as partial:
            partial.write_text(''.join(f'{line}\n' for line in kept), encoding='utf-8')
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
        """Move the progress bar to a step."""
        self.progress.update(self._bar, completed=step)

    def write(self, step: int, metrics: Metrics) -> None:
        """Write the losses and metrics of a step to the log, the terminal and TensorBoard."""
        line = {'step': step, **metrics}
        self._log.write(json.dumps(line) + '\n')
        self._log.flush()
        self.progress.console.print(line)
        for name, number in metrics.items():
            if number is not None:
                self._writer.add_scalar(name, number, step)

    def write_figures(
        self, step: int, validation_set: ValidationSet, predictions: Predictions
    ) -> None:
        """Write the figures of a validation to ``sheets/`` and TensorBoard."""
        name = f'step_{step:07d}'
        futures, values = write_figures(self._sheets, name, validation_set, predictions)
        self._writer.add_image('now, predicted, true', futures, step, dataformats='HWC')
        self._writer.add_image('predicted and actual return', values, step, dataformats='HWC')


def _step_of(line: str) -> float:
    """Return the step of a line of the log; infinity if a kill cut the line off."""
    try:
        return json.loads(line)['step']
    except ValueError:
        return float('inf')
