# SPDX-License-Identifier: Apache-2.0
"""Numbers of other labs that fit and mean something else are told, once for a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.hdf5 import read_hdf5, write_hdf5
from cosmos_policy_ros.data.oddities import note_oddities
import numpy as np
import pytest
from samples import ROBOT, sample_episode

GRIPPERS = [6, 13]


def told(caplog: pytest.LogCaptureFixture, folder: Path, **changes: Any) -> list[str]:
    """Return what is told of an episode with some fields changed, without its place."""
    note_oddities(sample_episode(**changes), ROBOT, str(folder))
    return [record.getMessage().removeprefix(f'{folder}: ') for record in caplog.records]


def with_grippers(low: float, high: float) -> dict[str, Any]:
    """Return measured and commanded joints whose grippers move over a range."""
    rows = np.full((12, 14), 0.5, np.float32)
    rows[:, GRIPPERS] = np.linspace(low, high, 12)[:, None]
    return {'proprio': rows, 'actions': rows}


def test_usual_episode_has_nothing_to_tell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Joint targets, openings of a worn gripper, images as of the cameras."""
    assert told(caplog, tmp_path) == []
    assert told(caplog, tmp_path, **with_grippers(-0.1, 1.2)) == []


def test_actions_that_no_arm_follows_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Changes of a joint are as many numbers as targets; the grippers are not looked at."""
    rows = np.full((12, 14), 0.3, np.float32)
    rows[:, [0, 8]] = 0.8
    changes = np.full((12, 14), 0.01, np.float32)
    (line,) = told(caplog, tmp_path, proprio=rows, actions=changes)
    assert line.startswith(
        'its actions are not where the arms go: by the median more than 0.5 rad beside '
        'follower_left/waist, follower_right/shoulder. Targets of the joints are expected'
    )


@pytest.mark.parametrize(
    ('low', 'high', 'what'),
    [
        (0.018, 0.058, 'moves and stays below 0.1: openings from 0 (closed) to 1 (open) are '
                       'expected; are these metres?'),
        (-0.62, 1.49, 'leaves 0 to 1: openings from 0 (closed) to 1 (open) are expected; are '
                      'these radians?'),
    ],
)  # fmt: skip
def test_gripper_in_another_unit_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, low: float, high: float, what: str
) -> None:
    """Distances of the fingers of a ViperX, and angles of its gripper's motor."""
    lines = told(caplog, tmp_path, **with_grippers(low, high))
    assert lines == [f'follower_{side}/gripper {what}' for side in ('left', 'right')]


def test_gripper_that_stays_closed_is_no_oddity(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is commanded, and what is measured gives way a little."""
    rows = with_grippers(0.02, 0.05)['proprio']
    still = rows.copy()
    still[:, GRIPPERS] = 0.02
    assert told(caplog, tmp_path, proprio=rows, actions=still) == []


def test_gripper_that_is_pushed_farther_for_a_moment_is_no_oddity(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As what it runs into does."""
    rows = np.zeros((12, 14), np.float32)
    rows[5, GRIPPERS] = 1.6
    assert told(caplog, tmp_path, proprio=rows, actions=np.zeros_like(rows)) == []


def test_images_of_another_shape_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Twice as large is no other shape."""
    images = sample_episode().images
    images['high'] = np.zeros((3, 180, 320, 3), np.uint8)
    images['left_wrist'] = np.zeros((3, 480, 640, 3), np.uint8)
    (line,) = told(caplog, tmp_path, images=images)
    assert line.startswith('high is 320x180 px, the camera of the robot file 320x240: a policy')


def test_folder_of_odd_episodes_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the episodes are called."""
    odd = replace(sample_episode(), **with_grippers(0.018, 0.058))
    for name in ('a.hdf5', 'b.hdf5'):
        write_hdf5(tmp_path / name, odd, ROBOT)
        read_hdf5(tmp_path / name, ROBOT)
    assert caplog.text.count('follower_left/gripper moves and stays below 0.1') == 1
