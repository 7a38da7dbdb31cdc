# SPDX-License-Identifier: Apache-2.0
"""The scale of a gripper from a sweep, and how it gets into a robot file."""

from __future__ import annotations

from pathlib import Path
import shutil

from cosmos_policy_ros.control.arm_motions import trace
from cosmos_policy_ros.control.gripper_fit import fit_scale
from cosmos_policy_ros.gripper import FingerLinkage, GripperSpec
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.terminal.gripper_scale import find_changes, write_scales
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
import pytest

FOLDER = Path(__file__).parents[2] / 'config' / 'robots'
WRITTEN = GripperSpec('left_finger', 0.0440, 0.0579, 0.6197, 1.6214, 3.0, 50.0)  # ALOHA's own
LINKAGE = FingerLinkage(horn_radius=0.0275, arm_length=0.035)  # of aloha_vx300s
_, POSES = trace([np.ones(1), np.zeros(1), np.ones(1)], 50.0, 0.3)
OPENING = POSES[:, 0]


def lagging(positions: NDArray[np.float64], ticks: int = 8) -> NDArray[np.float64]:
    """Return positions that come some ticks late, as the opening that the file makes of them."""
    late = np.concatenate([np.full(ticks, positions[0]), positions[:-ticks]])
    return WRITTEN.opening_of_state(late)


def test_ends_are_measured_at_rest() -> None:
    """The lag of a moving finger does not count."""
    fit = fit_scale(WRITTEN, OPENING, lagging(0.040 + 0.022 * OPENING))
    assert (fit.state_closed, fit.state_open) == (0.040, 0.062)
    assert fit.state_between == ()


def test_a_linkage_becomes_a_table_free_of_the_lag() -> None:
    """Both directions lag to the other side."""
    fingers = LINKAGE.finger(WRITTEN.to_command(OPENING))
    fit = fit_scale(WRITTEN, OPENING, lagging(fingers))
    assert (fit.state_closed, fit.state_open) == (0.04288, 0.06244)
    openings = [opening for opening, _ in fit.state_between]
    assert openings == pytest.approx(np.arange(1, 10) / 10)
    true = LINKAGE.finger(WRITTEN.to_command(np.array(openings)))
    assert [p for _, p in fit.state_between] == pytest.approx(true.tolist(), abs=3e-4)


def test_openings_at_which_a_linkage_moves_no_farther_are_left_out() -> None:
    """ALOHA's open gripper is past the dead centre of its crank: the last tenth moves nothing."""
    fingers = LINKAGE.finger(WRITTEN.to_command(OPENING))
    fit = fit_scale(WRITTEN, OPENING, lagging(fingers, ticks=1))
    assert (fit.state_closed, fit.state_open) == (0.04288, 0.06244)
    assert [opening for opening, _ in fit.state_between] == pytest.approx(np.arange(1, 9) / 10)


def test_a_gripper_that_turns_back_on_the_way_is_refused() -> None:
    """By more than noise: half open it could be two openings."""
    fingers = 0.044 + 0.014 * OPENING + 0.01 * np.sin(2.0 * np.pi * OPENING)
    with pytest.raises(ValueError, match='all others between them in order'):
        fit_scale(WRITTEN, OPENING, lagging(fingers))


def test_a_gripper_that_holds_something_is_refused() -> None:
    """Its closed position would be that of the object."""
    with pytest.raises(ValueError, match=r'moved 0\.0030 of 0\.0139'):
        fit_scale(WRITTEN, OPENING, lagging(np.maximum(0.055, 0.044 + 0.014 * OPENING)))


@pytest.fixture
def robot_file(tmp_path: Path) -> Path:
    """Return a copy of ALOHA's robot file."""
    shutil.copy(FOLDER / 'aloha_scene.xml', tmp_path)
    return Path(shutil.copy(FOLDER / 'aloha.yaml', tmp_path))


def scale(
    closed: float, opened: float, between: tuple[tuple[float, float], ...]
) -> dict[str, object]:
    """Return a scale as it was measured."""
    return {'state_closed': closed, 'state_open': opened, 'state_between': between}


def test_only_the_numbers_of_the_scale_change(robot_file: Path) -> None:
    """Comments and everything else stay; a table gets a line of its own."""
    before = robot_file.read_text(encoding='utf-8').splitlines()
    write_scales(robot_file, {'follower_right': scale(0.0401, 0.061, ((0.5, 0.055),))})
    after = robot_file.read_text(encoding='utf-8').splitlines()
    left, right = (arm.gripper for arm in read_robot(robot_file).arms)
    assert left is not None
    assert right is not None
    assert (left.state_closed, left.state_open) == (0.04288, 0.06244)
    assert (right.state_closed, right.state_open) == (0.0401, 0.061)
    assert right.state_between == ((0.5, 0.055),)
    assert len(after) == len(before) + 1
    assert len(set(after) - set(before)) == 3
    assert any('0.061      # m, at command_open' in line for line in after)


def test_a_table_that_is_there_is_replaced(robot_file: Path) -> None:
    """By another, or by none."""
    for between in (((0.5, 0.055),), ((0.4, 0.05), (0.6, 0.058)), ()):
        write_scales(robot_file, {'follower_left': scale(0.04, 0.06, between)})
        gripper = read_robot(robot_file).arms[0].gripper
        assert gripper is not None
        assert gripper.state_between == between


def test_a_scale_that_makes_no_robot_leaves_the_file_alone(robot_file: Path) -> None:
    """It is read before it takes the old one's place."""
    before = robot_file.read_text(encoding='utf-8')
    with pytest.raises(ConfigError, match='different positions'):
        write_scales(robot_file, {'follower_left': scale(0.04, 0.04, ())})
    assert robot_file.read_text(encoding='utf-8') == before


def test_a_difference_of_a_hundredth_of_the_stroke_is_none() -> None:
    """Noise is not written."""
    robot = read_robot(FOLDER / 'aloha.yaml')
    assert find_changes(robot, {'follower_left': scale(0.0429, 0.0625, ())}) == []
    (line,) = find_changes(robot, {'follower_left': scale(0.0440, 0.0579, ())})
    assert line == (
        'follower_left: closed 0.04288 -> 0.044, open 0.06244 -> 0.0579, off by up to 23% of the '
        'stroke'
    )
