# SPDX-License-Identifier: Apache-2.0
"""What every seam and every interpolation must hold, and that a row makes a new one."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.control.chunk_player import ChunkPlayer
from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.control.seams import INTERPOLATIONS, PlaybackSettings, Seam, SEAMS
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ActionChunk, ConfigError
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
from numpy.typing import NDArray
import pytest

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
MS = 1_000_000
ROWS = arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=st.floats(-3, 3))


def chunk(stamp_ms: int, rows: object) -> ActionChunk:
    """Return a chunk of literal rows at 25 Hz."""
    return ActionChunk(stamp_ms * MS, np.array(rows, dtype=np.float32), 25.0)


def test_the_defaults_are_splines_that_commit_and_blend() -> None:
    """Who gives no settings gets the motion that was measured."""
    assert PlaybackSettings() == PlaybackSettings('committed', 'spline', 0.2)


@pytest.mark.parametrize(
    ('seam', 'commits', 'waits'),
    [('blend', False, False), ('committed', True, False), ('official', False, True)],
)
def test_a_seam_says_whether_queries_commit_or_wait(seam: str, commits: bool, waits: bool) -> None:
    """A planner that blends alone sends no rows."""
    assert (PlaybackSettings(seam).commits, PlaybackSettings(seam).waits) == (commits, waits)


@pytest.mark.parametrize('name', sorted(SEAMS))
@given(ms=st.lists(st.integers(-300, 600), min_size=2), blend_ms=st.integers(0, 300))
def test_a_seam_leads_from_the_running_chunk_to_the_new_one(
    name: str, ms: list[int], blend_ms: int
) -> None:
    """Nothing of the new chunk before the take-over, nothing of the old one later than allowed."""
    shares = [SEAMS[name].share(t * MS, blend_ms * MS) for t in sorted(ms)]
    assert shares == sorted(shares)
    assert SEAMS[name].share(-1, blend_ms * MS) == 0.0
    assert SEAMS[name].share(blend_ms * MS, blend_ms * MS) == 1.0


@pytest.mark.parametrize('name', sorted(INTERPOLATIONS))
@given(rows=ROWS, part=st.floats(0, 1))
def test_an_interpolation_meets_both_ends_and_overshoots_no_row(
    name: str, rows: NDArray[np.float64], part: float
) -> None:
    """A pose inside the joint range stays inside, whatever lies between the rows."""
    curve, last = INTERPOLATIONS[name](rows), float(len(rows) - 1)
    np.testing.assert_allclose(curve(0.0), rows[0], atol=1e-9)
    np.testing.assert_allclose(curve(last), rows[-1], atol=1e-9)
    place = curve(part * last)
    assert np.all(place >= rows.min(axis=0) - 1e-9)
    assert np.all(place <= rows.max(axis=0) + 1e-9)


@pytest.mark.parametrize('name', sorted(INTERPOLATIONS))
def test_an_interpolation_keeps_its_own_rows(name: str) -> None:
    """Who made the array may use it again."""
    rows = np.array([[0.0], [1.0]])
    curve = INTERPOLATIONS[name](rows)
    rows[:] = 9.0
    assert curve(0.5) == pytest.approx([0.5])


def test_the_official_seam_plays_every_row_however_late_it_comes() -> None:
    """Asked for at 120 ms, come at 500 ms: from its first row on, also those that rest."""
    player = ChunkPlayer(PlaybackSettings('official', 'linear', 0.2))
    player.add(chunk(0, [[0.0], [0.1], [0.2]]), 0)
    assert player.target(400 * MS) == pytest.approx([0.2])
    player.add(chunk(120, [[0.2], [0.2], [0.2], [0.5], [0.6]]), 500 * MS)
    at = [player.target(t * MS) for t in (500, 540, 580, 620, 660, 700)]
    np.testing.assert_allclose(np.ravel(at), [0.2, 0.2, 0.2, 0.5, 0.6, 0.6], atol=1e-6)
    assert player.end_ns == 660 * MS


@pytest.mark.parametrize(('seam', 'n_rows'), [('official', 2), ('committed', 4), ('blend', 4)])
def test_only_the_official_seam_cuts_a_chunk(seam: str, n_rows: int) -> None:
    """RoboCasa plays 16 of 32 rows."""
    whole = chunk(0, [[0.0], [0.1], [0.2], [0.3]])
    assert len(PlaybackSettings(seam).played(whole, 2).positions) == n_rows
    assert PlaybackSettings(seam).played(whole, 0) is whole


def test_linear_meets_every_row() -> None:
    """A corner stays a corner, half-way between two rows is their mean."""
    player = ChunkPlayer(PlaybackSettings(interpolation='linear'))
    player.add(chunk(0, [[0.0], [1.0], [3.0]]), 0)
    at = [player.target(t * MS) for t in (0, 20, 40, 60, 80, 500)]
    np.testing.assert_allclose(np.ravel(at), [0.0, 0.5, 1.0, 2.0, 3.0, 3.0], atol=1e-6)


def test_a_seam_without_blending_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that goes on from the rows still to be played takes over at once.

    Both chunks move 0.1 in a row; the second begins with the running one's rows of its time.
    """
    monkeypatch.setitem(SEAMS, 'switch', Seam(lambda elapsed_ns, _: float(elapsed_ns >= 0)))
    player = ChunkPlayer(PlaybackSettings('switch'))
    player.add(chunk(0, 0.1 * np.arange(32)[:, None]), 0)
    faster = [0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.4, 1.6]
    jump_rad = player.add(chunk(200, np.array(faster)[:, None]), 280 * MS).rad
    at = [player.target(t * MS) for t in (240, 280, 400, 440)]
    assert jump_rad == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(np.ravel(at[1:]), [0.7, 1.2, 1.4], atol=1e-6)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            {'seam': 'weld'},
            r"seam 'weld' does not exist; choose one of \['blend', 'committed', 'official'\]",
        ),
        ({'interpolation': 'cubic'}, r"interpolation 'cubic'.*\['linear', 'spline'\]"),
    ],
)
def test_a_row_that_does_not_exist_is_refused(settings: dict[str, str], message: str) -> None:
    """The message names the parameter and what there is."""
    with pytest.raises(ConfigError, match=message):
        PlaybackSettings(**settings)


def test_playback_moves_as_its_settings_say() -> None:
    """The simulator's evaluation and the executor choose the same way."""
    ends = []
    for interpolation in ('spline', 'linear'):
        playback = Playback(ROBOT, PlaybackSettings(interpolation=interpolation))
        playback.enable(ROBOT.start, 0.0, 0)
        rows = np.tile(ROBOT.start, (4, 1))
        rows[1, 0] += 0.002
        playback.add(ActionChunk(0, rows.astype(np.float32), 25.0), 0)
        for tick in range(3):
            command = playback.tick(ROBOT.start, 0.0, tick * 20 * MS)
        assert command is not None
        ends.append(command.positions[0] - ROBOT.start[0])
    assert ends == pytest.approx([0.002 * 4 / 6, 0.002], abs=1e-4)  # they start from rest
