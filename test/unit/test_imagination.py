# SPDX-License-Identifier: Apache-2.0
"""What was imagined is compared with what came, and a lasting difference is a warning."""

from __future__ import annotations

from pathlib import Path

from bags import header, ROBOT, START_NS, write_images
from cosmos_policy_ros.control.imagination import (
    compare,
    Comparison,
    Expectation,
    ImaginationWatch,
    shrink,
    SIDE,
)
from cosmos_policy_ros.data.bags.overview import read_overview
from cosmos_policy_ros.data.bags.series import Mode
from cosmos_policy_ros.data.bags.writer import BagWriter, IMAGE, typestore
from cosmos_policy_ros.report.imagination import (
    compare_recording,
    imagination_charts,
    was_played,
)
import numpy as np
import pytest

BLACK, GREY, WHITE = (np.full((SIDE, SIDE, 3), n, np.float32) for n in (0, 100, 255))
POSE = np.array([0.1, 0.2, 0.5], np.float32)
ARM_JOINTS = np.array([True, True, False])


def far(excess: float, joint_rad: float = 0.0) -> Comparison:
    """Return a comparison with a camera that is so much farther off than before."""
    return Comparison(0, joint_rad, {'wrist': 20.0 + excess}, {'wrist': 20.0})


def test_a_thumbnail_is_the_mean_of_blocks_of_any_size() -> None:
    """Also where the size is no multiple, and whatever the shape, since policies squeeze."""
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    small = shrink(image)
    assert small.shape == (32, 32, 3)
    assert small[0, 0] == pytest.approx(image[:6:2, :10:2].reshape(-1, 3).mean(axis=0))
    assert small[31, 31] == pytest.approx(image[232::2, 310::2].reshape(-1, 3).mean(axis=0))
    odd = image[:130, :130]
    assert shrink(odd)[0, 1] == pytest.approx(odd[:4, 4:8].reshape(-1, 3).mean(axis=0))
    assert shrink(np.full((24, 5, 3), 7, np.uint8)).tolist() == [[[7.0] * 3] * 32] * 32
    assert shrink(np.full((33, 70, 3), 7, np.uint8)).tolist() == [[[7.0] * 3] * 32] * 32


def test_a_policy_that_crops_is_compared_with_the_middle() -> None:
    """Which is 0.9 of the area."""
    image = np.zeros((128, 128, 3), np.uint8)
    image[3:-3, 3:-3] = 200
    assert shrink(image).min() < 200
    assert shrink(image, 0.9).min() == 200


def test_images_and_joints_are_compared() -> None:
    """The gripper is none of the arm joints, and what is missing is left out."""
    expected = Expectation(5, POSE, {'high': GREY, 'wrist': GREY}, {'high': BLACK})
    came = POSE + np.array([0.01, -0.03, 0.4], np.float32)
    found = compare(expected, came, {'high': WHITE}, ARM_JOINTS)
    assert found.due_ns == 5
    assert found.joint_rad == pytest.approx(0.03)
    assert found.image_errors == {'high': 155.0}
    assert found.still_errors == {'high': 255.0}
    assert found.excess == {'high': -100.0}  # nearer than no imagination
    assert np.isnan(compare(expected, None, {}, ARM_JOINTS).joint_rad)


def test_two_chunks_in_a_row_are_a_warning() -> None:
    """One is not: something may pass in front of a camera."""
    watch = ImaginationWatch(max_excess=10.0, max_joint_rad=0.6)
    watch.note(far(30.0))
    assert watch.warning == ''
    watch.note(far(-2.0))
    watch.note(far(30.0))
    assert watch.warning == ''
    watch.note(far(31.0))
    assert watch.warning.startswith('wrist does not show what was imagined: 31 of 255 farther')
    watch.note(far(9.0))
    assert watch.warning == ''
    assert (watch.n_compared, watch.n_warnings) == (5, 1)


def test_arms_that_are_held_are_a_warning() -> None:
    """Joints that nobody measured are none."""
    watch = ImaginationWatch(max_excess=10.0, max_joint_rad=0.6)
    for joint_rad in (0.7, 0.7):
        watch.note(far(0.0, joint_rad))
    assert watch.warning.startswith('joints are 0.70 rad from where they were imagined')
    watch.note(far(0.0, float('nan')))
    assert watch.warning == ''


def test_after_a_standstill_it_begins_anew() -> None:
    """What was counted stays."""
    watch = ImaginationWatch(max_excess=10.0, max_joint_rad=0.6)
    watch.note(far(30.0))
    watch.forget()
    watch.note(far(30.0))
    assert watch.warning == ''
    assert watch.n_compared == 2


def write_prediction(bag: BagWriter, level: int, arrival_s: float, due_s: float) -> None:
    """Write an even predicted image of the left wrist camera."""
    head = header(START_NS + round(due_s * 1e9))
    pixels = np.full(128 * 128 * 3, level, np.uint8)
    image = typestore().types[IMAGE](head, 128, 128, 'rgb8', 0, 384, pixels)
    arrival_ns = START_NS + round(arrival_s * 1e9)
    bag.write('/policy/future/left_wrist', IMAGE, image, arrival_ns)


def test_a_recording_is_compared_where_its_chunks_were_played(tmp_path: Path) -> None:
    """And the report shows it; what came too late to be played is left out."""
    with BagWriter(tmp_path / 'bag', {'robot': 'aloha_sim'}) as bag:
        for tick in range(0, 200, 8):  # images brighten by 100 a second
            write_images(bag, tick / 100, START_NS + tick * 10_000_000)
        write_prediction(bag, 90, arrival_s=0.4, due_s=0.8)
        write_prediction(bag, 0, arrival_s=1.2, due_s=1.1)
    overview = read_overview(tmp_path / 'bag', ROBOT, 1)
    ((_, found),) = compare_recording(overview, ROBOT)
    assert found.due_ns == START_NS + 800_000_000
    assert found.image_errors == {'left_wrist': 10.0}
    assert found.still_errors == {'left_wrist': 48.0}  # that of 0.32 s, the newest at 0.4 s
    html = imagination_charts(overview)
    assert 'Imagination beside reality' in html
    assert '1 predictions, largest 10.0' in html


def test_what_was_not_played_until_it_was_due_is_not_the_worlds_fault() -> None:
    """The arms held meanwhile, or had not begun."""
    modes = [Mode(0.0, 'hold', 'why'), Mode(1.0, 'playing', ''), Mode(3.0, 'hold', 'why')]
    spans = [(0.5, 1.5), (1.2, 2.5), (2.5, 3.5), (2.0, 1.5)]
    assert [was_played(modes, *span) for span in spans] == [False, True, False, False]
