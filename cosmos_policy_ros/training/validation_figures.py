# SPDX-License-Identifier: Apache-2.0
"""The figures of a validation: predicted futures beside the true ones, values against returns."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.metrics import bin_of, BINS
from cosmos_policy_ros.training.validation import Predictions, ValidationSet
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHOWN = 6  # samples on a sheet of futures
GAP = 4  # [px] between images


def write_figures(
    folder: Path, name: str, validation_set: ValidationSet, predictions: Predictions
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Write the sheet of predicted futures and the chart of predicted values as PNG files.

    Args:
        folder: Folder of the files, made where it is missing.
        name: ``<name>.png`` has the futures, ``<name>_values.png`` the values.
        validation_set: What happened.
        predictions: What the transformer predicts.

    Returns:
        Sheet and chart, (height, width, 3) uint8 RGB each.
    """
    folder.mkdir(exist_ok=True)
    sheet = draw_futures(validation_set, predictions)
    chart = draw_values(validation_set, predictions)
    Image.fromarray(sheet).save(folder / f'{name}.png')
    Image.fromarray(chart).save(folder / f'{name}_values.png')
    return sheet, chart


def draw_values(validation_set: ValidationSet, predictions: Predictions) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8 RGB: actual against predicted return, and means of bins."""
    figure = Figure(figsize=(5.6, 5.0), dpi=110, layout='constrained')
    axes = figure.subplots()
    axes.axline((0, 0), slope=1, color='0.7', linestyle='--', label='as predicted')
    value, actual = predictions.value, validation_set.value.value
    for outcome, color in ((True, 'C2'), (False, 'C3')):
        of = validation_set.outcome == outcome
        label = f'{of.sum()} samples of {"successes" if outcome else "failures"}'
        axes.scatter(value[of], actual[of], 9, color, alpha=0.4, linewidths=0, label=label)
    bins = bin_of(value)
    filled = [bins == b for b in np.arange(BINS) if (bins == b).any()]
    x, y = ([float(of[one].mean()) for one in filled] for of in (value, actual))
    axes.plot(x, y, 'o-', color='0.15', label='mean of a bin')
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel='predicted return')
    axes.set_ylabel('return that came')
    axes.legend(fontsize='small')
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_futures(validation_set: ValidationSet, predictions: Predictions) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8 RGB: a row a sample; per camera now, predicted and true."""
    current, true = validation_set.current_images, validation_set.future_images
    n, size = min(SHOWN, len(current)), current.shape[2]
    columns = np.stack([current[:n], predictions.future_images[:n], true[:n]], axis=2)
    cells = columns.reshape(n, -1, size, size, 3)  # (row, camera * 3, ...)
    sheet = np.full((n * (size + GAP), cells.shape[1] * (size + GAP), 3), 255, np.uint8)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            y, x = i * (size + GAP), j * (size + GAP)
            sheet[y : y + size, x : x + size] = cell
    return sheet
