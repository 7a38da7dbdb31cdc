# SPDX-License-Identifier: Apache-2.0
"""What the figures of a validation show."""

from dataclasses import replace

from cosmos_policy_ros.training.validation import Predictions, ValidationSet
from cosmos_policy_ros.training.validation_figures import draw_futures, draw_values
import numpy as np
from test_batch import batch
import torch


def test_sheet_shows_now_predicted_and_true_side_by_side() -> None:
    """One row a sample, three images a camera."""
    shades = np.array([50, 100, 150], np.uint8)
    now, predicted, then = (np.full((1, 1, 8, 8, 3), s, np.uint8) for s in shades)
    sample = batch(0, [True] * 4)
    validation_set = ValidationSet(sample, sample, np.array([True]), now, then)
    zeros = np.zeros(1, np.float32)
    predictions = Predictions(sample.chunk, predicted, zeros, zeros, torch.zeros(1))
    page = draw_futures(validation_set, predictions)
    assert page.shape == (12, 36, 3)
    assert page[4, [4, 16, 28], 0].tolist() == [50, 100, 150]


def test_value_chart_shows_the_return_above_its_prediction() -> None:
    """A sure success that failed is marked at the lower right, one that came true above it."""
    spots = []
    for came in (0.0, 1.0):
        sample = replace(batch(0, [True] * 4), value=np.full(1, came, np.float32))
        nothing = np.zeros((1, 1, 8, 8, 3), np.uint8)
        validation_set = ValidationSet(sample, sample, np.array([came > 0.0]), nothing, nothing)
        one = np.ones(1, np.float32)
        page = draw_values(
            validation_set, Predictions(sample.chunk, nothing, one, one, torch.zeros(1))
        )
        right = page[:, page.shape[1] // 2 :].astype(int)
        spots.append(np.argwhere(abs(right - 38).max(axis=-1) < 3).mean(axis=0))
    failed, succeeded = spots
    height, width = page.shape[0], page.shape[1] // 2
    assert failed[0] > 0.8 * height, 'a failure is drawn at the bottom'
    assert succeeded[0] < 0.2 * height, 'a success is drawn at the top'
    assert min(failed[1], succeeded[1]) > 0.8 * width, 'a sure success is drawn at the right'
