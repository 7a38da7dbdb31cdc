# SPDX-License-Identifier: Apache-2.0
"""ChunkPlayer: timing of the rows, joining of chunks, refusals."""

from __future__ import annotations

from cosmos_policy_ros.control.chunk_player import ChunkPlayer, SeamJump
from cosmos_policy_ros.control.seams import PlaybackSettings
from cosmos_policy_ros.types import ActionChunk
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
from numpy.typing import NDArray
import pytest

MS = 1_000_000
ROW_NS = 40 * MS  # 25 Hz
BLEND_S = 0.2
BLEND = PlaybackSettings(blend_s=BLEND_S)


def chunk(stamp_ms: int, rows: object, rate_hz: float = 25.0) -> ActionChunk:
    """Return a chunk of literal rows."""
    return ActionChunk(stamp_ms * MS, np.array(rows, dtype=np.float32), rate_hz)


def ramp(stamp_ms: int, start: float, slope: float, n_rows: int = 32) -> ActionChunk:
    """Return a chunk of two joints that move ``slope`` per row."""
    rows = start + slope * np.arange(n_rows)
    return chunk(stamp_ms, np.stack([rows, rows], axis=1))


def test_there_is_no_target_before_the_first_chunk() -> None:
    """Nothing is made up while no chunk came."""
    player = ChunkPlayer()
    assert player.target(5 * MS) is None
    assert player.remaining_s(5 * MS) == 0.0


def test_steady_motion_passes_unchanged() -> None:
    """Row i is due i / rate after the stamp; half-way there is the mean."""
    player = ChunkPlayer()
    player.add(chunk(1000, [[0.0], [1.0], [2.0], [3.0]]), 1000 * MS)
    at = [player.target(t * MS) for t in (1000, 1020, 1040, 1060, 1120)]
    np.testing.assert_allclose(np.ravel(at), [0.0, 0.5, 1.0, 1.5, 3.0], atol=1e-6)


def test_rows_are_control_points_of_a_cubic_spline() -> None:
    """The ends are exact, a row between them counts two thirds and its neighbours a sixth."""
    player = ChunkPlayer()
    player.add(chunk(0, [[0.0], [1.0], [3.0]]), 0)
    at = [player.target(t * MS) for t in (0, 20, 40, 60, 80)]
    np.testing.assert_allclose(np.ravel(at), [0.0, 25 / 48, 7 / 6, 97 / 48, 3.0], atol=1e-6)


def test_noise_from_row_to_row_shrinks_to_a_third() -> None:
    """Alternating errors of a denoiser do not reach the motors whole."""
    player = ChunkPlayer()
    player.add(chunk(0, [[0.1], [-0.1]] * 5), 0)
    at = [player.target(t * MS) for t in (120, 160, 200)]
    np.testing.assert_allclose(np.ravel(at), [-0.1 / 3, 0.1 / 3, -0.1 / 3], atol=1e-6)


def test_rows_whose_time_has_passed_are_skipped() -> None:
    """A chunk that arrives while another one is played starts at the row due now."""
    player = ChunkPlayer(PlaybackSettings(blend_s=0.0))
    player.add(chunk(0, [[0.0], [1.0], [3.0]]), 0)
    player.add(chunk(10, [[0.0], [1.0], [3.0]]), 50 * MS)
    target = player.target(50 * MS)
    assert target is not None
    assert target.dtype == np.float32
    assert target == pytest.approx([7 / 6])


def test_a_chunk_begins_when_it_comes_where_the_arms_have_stood_still() -> None:
    """Before the first one, and after the end of one; nothing has passed since its stamp."""
    player = ChunkPlayer()
    player.add(chunk(0, [[1.0], [2.0], [4.0]]), 50 * MS)
    assert player.target(50 * MS) == pytest.approx([1.0])
    assert player.end_ns == 130 * MS
    player.add(chunk(130, [[4.0], [5.0], [6.0]]), 190 * MS)
    assert player.target(190 * MS) == pytest.approx([4.0])
    assert player.end_ns == 270 * MS


def test_rows_pass_where_the_last_chunk_still_moved_at_the_stamp() -> None:
    """It was observed 20 ms before the end: half a row passed, the time at rest did not."""
    player = ChunkPlayer(PlaybackSettings(interpolation='linear', blend_s=0.0))
    player.add(chunk(0, [[1.0], [2.0], [4.0]]), 0)
    player.add(chunk(60, [[4.0], [5.0], [6.0]]), 110 * MS)
    assert player.end_ns == 170 * MS
    assert player.target(110 * MS) == pytest.approx([4.0])  # where they rest, half a row behind
    assert player.target(1610 * MS) == pytest.approx([6.0])  # 0.5 rad are made up for in 1.5 s


def test_rows_that_rest_where_the_arms_stand_pass() -> None:
    """Two rows were committed to the last pose: one is over, the other is still to come."""
    player = ChunkPlayer(PlaybackSettings(interpolation='linear', blend_s=0.0))
    player.add(chunk(0, [[1.0], [2.0], [4.0]]), 0)
    player.add(chunk(40, [[2.0], [4.0], [4.0], [4.0], [6.0]]), 130 * MS)
    assert player.end_ns == 210 * MS
    assert player.target(170 * MS) == pytest.approx([4.0])
    assert player.target(190 * MS) == pytest.approx([5.0])


def test_a_chunk_older_than_its_length_begins_when_it_comes_where_nothing_moved() -> None:
    """A policy that plans for longer than it looks ahead moves the arms in steps."""
    player = ChunkPlayer()
    player.add(chunk(0, [[1.0], [2.0], [4.0]]), 3000 * MS)
    assert player.end_ns == 3080 * MS
    assert player.target(3000 * MS) == pytest.approx([1.0])


def test_last_row_is_held_and_nothing_remains() -> None:
    """After the end the arms stand at the last row."""
    player = ChunkPlayer()
    player.add(chunk(0, [[0.0], [1.0], [3.0]]), 0)
    assert player.remaining_s(30 * MS) == pytest.approx(0.05)
    assert player.target(10_000 * MS) == pytest.approx([3.0])
    assert player.remaining_s(10_000 * MS) == 0.0


def test_chunk_of_the_future_waits_for_its_row_0() -> None:
    """A first chunk gives no target before it is due."""
    player = ChunkPlayer()
    player.add(chunk(100, [[1.0], [2.0]]), 0)
    assert player.target(99 * MS) is None
    assert player.target(100 * MS) == pytest.approx([1.0])


def test_chunk_of_the_future_takes_over_at_its_row_0() -> None:
    """Until then the running chunk plays alone, after the blend the new one alone."""
    player = ChunkPlayer(BLEND)
    player.add(chunk(0, np.zeros((32, 1))), 0)
    assert player.add(chunk(400, np.ones((32, 1))), 200 * MS).rad == pytest.approx(1.0)
    at = [player.target(t * MS) for t in (400, 500, 600)]
    np.testing.assert_allclose(np.ravel(at), [0.0, 0.5, 1.0], atol=1e-6)


def test_seam_jump_is_the_largest_arm_difference_before_blending() -> None:
    """Grippers do not count."""
    player = ChunkPlayer(BLEND, np.array([True, True, False]))
    assert player.add(chunk(0, np.zeros((32, 3))), 0) == (0.0, 0.0)
    new = np.tile([0.1, -0.3, 0.9], (32, 1))
    assert player.add(chunk(400, new), 450 * MS).rad == pytest.approx(0.3)


def test_from_the_end_of_a_chunk_the_next_one_takes_over_slowly() -> None:
    """As from any held pose: its own speed and half a radian a second, whenever it was planned."""
    for stamp_ms in (20, 300):
        player = ChunkPlayer(BLEND)
        player.add(chunk(0, [[0.0], [1.0]]), 0)
        assert player.target(290 * MS) == pytest.approx([1.0])
        assert player.add(chunk(stamp_ms, np.full((32, 1), 1.3)), 300 * MS).rad == pytest.approx(
            0.3
        )
        at = np.ravel([player.target(t * MS) for t in range(300, 1210, 10)])
        assert at[0] == pytest.approx(1.0)
        assert np.diff(at).max() == pytest.approx(0.005, abs=1e-4)
        assert at[-1] == pytest.approx(1.3)


def test_no_blend_switches_at_once() -> None:
    """blend_s = 0 is allowed and means what it says."""
    player = ChunkPlayer(PlaybackSettings(blend_s=0.0))
    player.add(chunk(0, np.zeros((32, 1))), 0)
    player.add(chunk(100, np.ones((32, 1))), 100 * MS)
    assert player.target(100 * MS) == pytest.approx([1.0])


def test_single_row_is_a_pose() -> None:
    """H = 1 is a chunk too."""
    player = ChunkPlayer()
    player.add(chunk(0, [[0.7]]), 0)
    assert player.target(500 * MS) == pytest.approx([0.7])


def test_later_changes_of_the_array_do_not_move_the_robot() -> None:
    """The player keeps its own copy."""
    rows = np.zeros((4, 1), dtype=np.float32)
    player = ChunkPlayer()
    player.add(ActionChunk(0, rows, 25.0), 0)
    rows[:] = 9.0
    assert player.target(0) == pytest.approx([0.0])


@pytest.mark.parametrize(
    ('late', 'now_ms', 'reason'),
    [
        (ramp(400, 0, 0), 450, 'older than the running one'),
        (ramp(100, 0, 0), 450, 'older than the running one'),
        (ramp(500, 0, 0, 8), 781, 'ended 1 ms ago'),
        (chunk(500, np.zeros((32, 3))), 500, 'chunk has 3 joints, the running one has 2'),
    ],
)
def test_refused_chunk_leaves_the_running_one_alone(
    late: ActionChunk, now_ms: int, reason: str
) -> None:
    """The refusal says why and nothing else happens."""
    player = ChunkPlayer(BLEND)
    player.add(ramp(400, 0.0, 0.01), 400 * MS)
    with pytest.raises(ValueError, match=reason):
        player.add(late, now_ms * MS)
    assert player.target(800 * MS) == pytest.approx([0.1, 0.1])


def test_chunk_observed_before_the_start_is_refused() -> None:
    """What was asked for in the last episode is not played in this one."""
    player = ChunkPlayer()
    player.clear(1000 * MS)
    with pytest.raises(ValueError, match='observed 10 ms before the start'):
        player.add(ramp(990, 0, 0), 1100 * MS)
    player.add(ramp(1000, 0, 0), 1100 * MS)


@pytest.mark.parametrize(
    ('stamp_ms', 'n_rows', 'reason'),
    [
        (3_600_000, 32, 'stamped 3599000 ms in the future, limit 250 ms'),
        (1251, 32, 'stamped 251 ms in the future'),
        (1000, 257, 'chunk has 257 rows, limit 256'),
    ],
)
def test_chunk_that_nobody_can_mean_is_refused(stamp_ms: int, n_rows: int, reason: str) -> None:
    """It blocks nothing: a good one is played right after it."""
    player = ChunkPlayer()
    with pytest.raises(ValueError, match=reason):
        player.add(ramp(stamp_ms, 0, 0, n_rows), 1000 * MS)
    player.add(ramp(1000, 0, 0), 1000 * MS)


def test_first_chunk_takes_over_from_the_held_pose_at_half_a_radian_a_second() -> None:
    """0.3 rad away it takes 0.9 s; at the pose it plays alone at once."""
    player = ChunkPlayer(BLEND)
    player.clear(0, np.zeros(2))
    assert player.add(ramp(0, 0.3, 0.0), 0) == (0.0, 0.0)
    at = [float(player.target(t * MS)[0]) for t in range(0, 1000, 10)]  # type: ignore[index]
    assert at[0] == 0.0
    assert np.diff(at).max() == pytest.approx(0.005, abs=1e-4)
    assert at[89] < 0.3
    assert at[90] == pytest.approx(0.3)
    near = ChunkPlayer(BLEND)
    near.clear(0, np.zeros(2))
    near.add(ramp(0, 0.0005, 0.0), 0)
    assert near.target(0) == pytest.approx([0.0005, 0.0005])


def test_from_rest_a_chunk_gets_up_to_speed_within_the_limits() -> None:
    """At 1 rad/s and 10 rad/s² that takes 0.2 s, half of which the chunk is late by from then on.

    What the planner is told to be upcoming meanwhile is what is played.
    """
    player = ChunkPlayer(BLEND, accelerations=np.full(2, 10.0))
    player.clear(0, np.full(2, 0.5))
    player.add(ramp(0, 0.5, 0.04), 0)
    end_ns = pytest.approx(31 * ROW_NS + 100 * MS, abs=1000)
    assert player.end_ns == end_ns
    assert player.next_row_ns(0) == pytest.approx(220 * MS, abs=1000)  # the first on time
    told = player.upcoming(0, 100.0, 40)
    assert told is not None
    at = np.array([player.target(t * MS) for t in range(0, 1300, 10)])[:, 0]
    np.testing.assert_allclose(told[:21, 0], at[:21], atol=1e-6)
    speeds = np.diff(at) / 0.01
    assert speeds[0] == pytest.approx(0.025, abs=2e-3)
    assert np.diff(speeds).max() / 0.01 < 5.2  # the half of the limit
    np.testing.assert_allclose(speeds[20:120], 1.0, atol=1e-4)
    assert player.next_row_ns(1301 * MS) == end_ns


def test_arms_that_still_brake_do_not_start_from_rest() -> None:
    """A chunk ends in motion: 10 ms after an answer that is 5 ms late it goes on at full speed."""
    player = ChunkPlayer(BLEND, accelerations=np.full(2, 10.0))
    player.add(ramp(0, 0.0, 0.04, n_rows=6), 0)
    player.target(205 * MS)
    player.add(ramp(200, 0.2, 0.04), 205 * MS)
    at = np.array([player.target(t * MS) for t in range(205, 305, 10)])[:, 0]
    assert np.diff(at)[0] == pytest.approx(0.005, abs=1e-4)
    np.testing.assert_allclose(np.diff(at)[1:], 0.01, atol=1e-4)


def test_a_chunk_of_the_future_stands_at_its_first_row_until_it_is_due() -> None:
    """Whoever asks for what is upcoming before; at the pose it starts at once."""
    player = ChunkPlayer(BLEND, accelerations=np.full(2, 10.0))
    player.add(ramp(100, 0.5, 0.04), 0)
    told = player.upcoming(0, 25.0, 4)
    assert told is not None
    np.testing.assert_allclose(told[:, 0], [0.5, 0.5, 0.5, 0.52], atol=1e-6)


def test_a_start_from_rest_is_never_longer_than_half_a_second() -> None:
    """However fast the chunk: the limits of the safety are there too."""
    player = ChunkPlayer(BLEND, accelerations=np.full(2, 10.0))
    player.clear(0, np.zeros(2))
    player.add(ramp(0, 0.0, 0.4), 0)
    assert player.end_ns == 31 * ROW_NS + 250 * MS


def test_clear_forgets_the_running_chunk() -> None:
    """After clear an older stamp is as good as any."""
    player = ChunkPlayer()
    player.add(ramp(5000, 0, 0), 5000 * MS)
    player.clear()
    assert player.target(5000 * MS) is None
    player.add(ramp(0, 1.0, 0), 0)
    assert player.target(0) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize('blend_s', [-0.1, float('nan'), float('inf')])
def test_impossible_blend_is_refused(blend_s: float) -> None:
    """The message names the parameter."""
    with pytest.raises(ValueError, match='blend_s'):
        PlaybackSettings(blend_s=blend_s)


ROWS = arrays(np.float32, (12, 2), elements=st.floats(-1, 1, width=32))
SEAMS = st.lists(st.tuples(ROWS, st.integers(1, 300), st.integers(0, 200)), min_size=1, max_size=4)


@settings(max_examples=40)
@given(first=ROWS, seams=SEAMS)
def test_target_has_no_jump_over_seams(
    first: NDArray[np.float32], seams: list[tuple[NDArray[np.float32], int, int]]
) -> None:
    """Consecutive targets differ by no more than the chunks' own speed and the blends' slope.

    A blend of weight w adds w'(new - old), at most 1.5 / blend_s times the gap of 2 rad.
    """
    player = ChunkPlayer(BLEND)
    player.add(ActionChunk(0, first, 25.0), 0)
    chunks, adds, stamp_ms, now_ms = [first], {}, 0, 0
    for rows, spacing_ms, latency_ms in seams:
        stamp_ms += spacing_ms
        now_ms = max(now_ms + 1, stamp_ms + latency_ms)
        adds[now_ms] = ActionChunk(stamp_ms * MS, rows, 25.0)
        chunks.append(rows)
    speed = max(float(np.abs(np.diff(rows, axis=0)).max()) for rows in chunks) * 25.0
    bound = 1e-3 * (speed + len(seams) * 1.5 / BLEND_S * 2.0) + 1e-6
    last = player.target(0)
    for t_ms in range(1, now_ms + 400):
        if t_ms in adds:
            player.add(adds[t_ms], t_ms * MS)
        target = player.target(t_ms * MS)
        assert target is not None
        assert np.abs(target - last).max() <= bound
        last = target


@settings(max_examples=40)
@given(rows=ROWS, at_ms=st.integers(0, 440))
def test_no_row_is_overshot(rows: NDArray[np.float32], at_ms: int) -> None:
    """Each joint stays between its lowest and its highest row."""
    player = ChunkPlayer()
    player.add(ActionChunk(0, rows, 25.0), 0)
    target = player.target(at_ms * MS)
    assert target is not None
    assert np.all(target >= rows.min(axis=0) - 1e-6)
    assert np.all(target <= rows.max(axis=0) + 1e-6)


@settings(max_examples=40)
@given(old=ROWS, new=ROWS, late_ms=st.integers(0, 200))
def test_new_chunk_plays_alone_after_the_blend(
    old: NDArray[np.float32], new: NDArray[np.float32], late_ms: int
) -> None:
    """Far from the seam nothing of the old chunk is left."""
    player, alone = ChunkPlayer(BLEND), ChunkPlayer(BLEND)
    player.add(ActionChunk(0, old, 25.0), 0)
    player.add(ActionChunk(ROW_NS, new, 25.0), ROW_NS + late_ms * MS)
    alone.add(ActionChunk(ROW_NS, new, 25.0), ROW_NS)
    for row in range(10, 12):
        now_ns = ROW_NS + row * ROW_NS
        np.testing.assert_allclose(player.target(now_ns), alone.target(now_ns), atol=1e-6)


RATE_HZ = 12.5  # rows of 80 ms
SWING = np.cumsum(0.1 * np.random.default_rng(7).standard_normal((16, 3)), axis=0)  # [rad]
OTHER = np.cumsum(0.1 * np.random.default_rng(8).standard_normal((16, 3)), axis=0)


def continued(
    player: ChunkPlayer, start_ms: int, n_rows: int, takeover_ms: float, rest: NDArray[np.float64]
) -> SeamJump:
    """Return the seam jump of a chunk that commits to the upcoming rows, then goes elsewhere."""
    committed = player.upcoming(start_ms * MS, RATE_HZ, n_rows)
    assert committed is not None
    rows = np.concatenate([committed, rest[n_rows:].astype(np.float32)])
    return player.add(ActionChunk(start_ms * MS, rows, RATE_HZ), round(takeover_ms * MS))


@pytest.mark.parametrize('k', [1, 2, 4, 7])
@pytest.mark.parametrize('place', [1.0, 1.3, 2.0, 3.5, 4.99, 5.0])
def test_committed_rows_of_the_running_chunk_are_continued_exactly(k: int, place: float) -> None:
    """With 7 rows from row k on, no take-over from row 1 to row 5 has a jump or a kink."""
    player = ChunkPlayer()
    player.add(chunk(1000, SWING, RATE_HZ), 1000 * MS)
    jump = continued(player, 1000 + 80 * k, 7, 1000 + 80 * (k + place), OTHER)
    assert jump.rad < 1e-6
    assert jump.rad_s < (1e-3 if place < 5.0 else 0.05)  # at row 5 the curves begin to part


def test_a_take_over_after_the_committed_rows_jumps() -> None:
    """An answer that took longer than was committed to meets rows that went elsewhere."""
    player = ChunkPlayer()
    player.add(chunk(0, SWING, RATE_HZ), 0)
    assert continued(player, 80, 3, 640, OTHER).rad > 0.1


def test_upcoming_rows_are_control_points_and_end_with_the_last_one() -> None:
    """They are the chunk's own numbers, not where its curve passes; after the end it stands."""
    player = ChunkPlayer()
    player.add(chunk(0, [[0.0], [1.0], [0.0], [1.0]]), 0)
    rows = player.upcoming(40 * MS, 25.0, 5)
    assert rows is not None
    assert rows.dtype == np.float32
    assert rows[:, 0].tolist() == [1.0, 0.0, 1.0, 1.0, 1.0]


def test_nothing_is_upcoming_without_a_chunk() -> None:
    """Nothing is made up while no chunk came."""
    assert ChunkPlayer().upcoming(0, 25.0, 3) is None
    assert ChunkPlayer().next_row_ns(0) is None


@pytest.mark.parametrize(('start_ms', 'rate_hz'), [(1110, 12.5), (1080, 10.0), (1080, 25.0)])
def test_other_grids_are_continued_closely(start_ms: int, rate_hz: float) -> None:
    """Off the rows or at another rate targets are taken; their spline deviates a little."""
    player = ChunkPlayer()
    player.add(chunk(1000, 0.3 * np.sin(np.arange(16) / 3.0)[:, None], 12.5), 1000 * MS)
    committed = player.upcoming(start_ms * MS, rate_hz, 8)
    assert committed is not None
    new = ActionChunk(start_ms * MS, committed, rate_hz)
    assert player.add(new, (start_ms + 200) * MS).rad < 0.01


def test_a_blend_under_way_is_continued_closely_and_its_rest_exactly() -> None:
    """Two chunks still share the target at the query, and only one does at the late take-over.

    The blend of 200 ms ends before row 3 of the new chunk.
    """
    early, late = ChunkPlayer(BLEND), ChunkPlayer(BLEND)
    for player in (early, late):
        player.add(chunk(0, 0.3 * np.sin(np.arange(16) / 3.0)[:, None], RATE_HZ), 0)
        player.add(chunk(80, 0.3 * np.sin(np.arange(16) / 3.0)[:, None], RATE_HZ), 400 * MS)
    rest = np.zeros((16, 1))
    assert continued(early, 400, 9, 520, rest).rad < 0.02
    jump = continued(late, 400, 9, 400 + 4.5 * 80, rest)
    assert (jump.rad < 1e-6, jump.rad_s < 1e-3) == (True, True)


@pytest.mark.parametrize(
    ('now_ms', 'row_ms'), [(1000, 1000), (1001, 1040), (1040, 1040), (1120, 1120), (1121, None)]
)
def test_next_row_is_due_on_the_grid_until_the_chunk_ends(now_ms: int, row_ms: int | None) -> None:
    """After the last row any time is as good as another."""
    player = ChunkPlayer()
    player.add(chunk(1000, [[0.0], [1.0], [2.0], [3.0]]), 1000 * MS)
    assert player.next_row_ns(now_ms * MS) == (None if row_ms is None else row_ms * MS)
