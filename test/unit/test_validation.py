# SPDX-License-Identifier: Apache-2.0
"""The figures of a training run and the pictures behind them."""

from dataclasses import replace
from pathlib import Path

from cosmos_policy_ros.training.augment import Change, change_picture, draw_change
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.image_cache import load_pictures
from cosmos_policy_ros.training.run_log import sheet, value_chart
from cosmos_policy_ros.training.validation import Answers, Exam
import numpy as np
from test_training import batch
import torch

NEUTRAL = Change(0.5, 0.5, 0.0, 1.0, 1.0, 1.0, 0.0)


def test_neutral_change_is_the_centre_crop() -> None:
    """A white frame of one pixel on black falls outside the crop of 30 of 32 pixels."""
    picture = np.full((32, 32, 3), 255, np.uint8)
    picture[1:-1, 1:-1] = 0
    assert not change_picture(picture, NEUTRAL).any()


def test_change_turns_and_recolours() -> None:
    """Half the colour circle on turns red into cyan."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[..., 0] = 255
    turned = change_picture(picture, Change(0.5, 0.5, 5.0, 1.0, 1.0, 1.0, 0.5))
    assert turned[16, 16].tolist() == [0, 252, 255]  # eight bits of hue are that coarse
    assert turned[0, 0].tolist() == [0, 0, 0]


def test_same_draw_gives_the_same_picture() -> None:
    """Current and future pictures of one version get one change."""
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    pictures = [change_picture(picture, draw_change(np.random.default_rng(3))) for _ in range(2)]
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_pictures_are_found_by_their_rows(tmp_path: Path) -> None:
    """Rows run through the cameras of a file, then through the files."""
    config = TrainConfig(cameras=('a', 'b'), image_size=8)
    files = []
    for number in range(2):
        arrays = {}
        for i, camera in enumerate(config.cameras):
            arrays[f'index/{camera}'] = np.array([0, 1])
            shades = [10 * (4 * number + 2 * i + k) for k in range(2)]
            arrays[f'images/{camera}'] = np.stack(
                [np.full((8, 8, 3), shade, np.uint8) for shade in shades]
            )
        files.append(tmp_path / f'{number}.npz')
        np.savez(files[-1], **arrays)
    found = load_pictures(files, config, np.array([[0, 3], [6, 4]]))
    assert found[..., 0, 0, 0].tolist() == [[0, 30], [60, 40]]


def test_sheet_shows_now_predicted_and_true_side_by_side() -> None:
    """One row a sample, three pictures a camera."""
    shades = np.array([50, 100, 150], np.uint8)
    now, predicted, then = (np.full((1, 1, 8, 8, 3), s, np.uint8) for s in shades)
    sample = batch(0, [True] * 4)
    exam = Exam(sample, sample, np.array([True]), now, then)
    zeros = np.zeros(1, np.float32)
    answers = Answers(sample.chunk, predicted, zeros, zeros, torch.zeros(1))
    page = sheet(exam, answers)
    assert page.shape == (12, 36, 3)
    assert page[4, [4, 16, 28], 0].tolist() == [50, 100, 150]


def test_value_chart_shows_the_return_above_its_prediction() -> None:
    """A sure success that failed is marked at the lower right, one that came true above it."""
    spots = []
    for came in (0.0, 1.0):
        sample = replace(batch(0, [True] * 4), value=np.full(1, came, np.float32))
        nothing = np.zeros((1, 1, 8, 8, 3), np.uint8)
        exam = Exam(sample, sample, np.array([came > 0.0]), nothing, nothing)
        one = np.ones(1, np.float32)
        page = value_chart(exam, Answers(sample.chunk, nothing, one, one, torch.zeros(1)))
        right = page[:, page.shape[1] // 2 :].astype(int)
        spots.append(np.argwhere(abs(right - 38).max(axis=-1) < 3).mean(axis=0))
    failed, succeeded = spots
    height, width = page.shape[0], page.shape[1] // 2
    assert failed[0] > 0.8 * height, 'a failure is drawn at the bottom'
    assert succeeded[0] < 0.2 * height, 'a success is drawn at the top'
    assert min(failed[1], succeeded[1]) > 0.8 * width, 'a sure success is drawn at the right'
