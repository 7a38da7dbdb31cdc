# SPDX-License-Identifier: Apache-2.0
"""An episode of an evaluation asks, waits and looks as the running stack does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosmos_policy_ros.control.seams import PlaybackSettings
from cosmos_policy_ros.data.bags.files import read_topics
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.evaluation.episode import EpisodeResult, play_episode, Proposal
from cosmos_policy_ros.evaluation.rollout_bag import refuse_existing
from cosmos_policy_ros.evaluation.scenario import Scenario
from cosmos_policy_ros.evaluation.seen_images import SeenImages
from cosmos_policy_ros.evaluation.sim_bag import set_aside_unfinished
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.topics import HUMAN_INTERVENTION, JOINT_COMMAND, SUCCESS
from cosmos_policy_ros.types import ActionChunk, Candidates, ConfigError, Observation, Plan
import numpy as np
import pytest
from samples import ROBOT
from tiny import tiny_config

RATE_HZ = 12.5
SELDOM = replace(ROBOT, cameras=tuple(replace(c, rate_hz=1.0) for c in ROBOT.cameras))
MS = 1_000_000


class Waver:
    """Answers every query with a waist that swings on from where it is measured.

    Attributes:
        seen: The observations of the queries.
        chunks: The answers.
    """

    def __init__(self, rows: int = 16) -> None:
        """Answer with chunks of so many rows."""
        self.seen: list[Observation] = []
        self.chunks: list[ActionChunk] = []
        self._rows = rows

    def __call__(self, observation: Observation) -> Proposal:
        """Answer a query."""
        self.seen.append(observation)
        rows = np.repeat(observation.proprio[None], self._rows, axis=0)
        rows[:, 0] += 0.02 * len(self.seen) * np.sin(np.arange(self._rows, dtype=np.float32))
        chunk = ActionChunk(observation.stamp_ns, rows.clip(ROBOT.lower, ROBOT.upper), RATE_HZ)
        self.chunks.append(chunk)
        value = np.full((1, 1), 0.5, np.float32)
        candidates = Candidates(
            observation.stamp_ns, chunk.positions[None], value, observation.proprio[None]
        )
        return Proposal(candidates, Plan(chunk, value[0], 0))

    @property
    def times_s(self) -> list[float]:
        """Times of the queries since the first [s]."""
        first_ns = self.seen[0].stamp_ns
        return [round((obs.stamp_ns - first_ns) * 1e-9, 2) for obs in self.seen]


@pytest.fixture(scope='module')
def sim() -> Iterator[AlohaSim]:
    """Return the simulator of the cube with small images, which are drawn faster."""
    sim = AlohaSim('transfer_cube', (24, 32))
    yield sim
    sim.close()


def play(
    sim: AlohaSim, waver: Waver, seed: int = 5, seam: str = 'blend', **fields: Any
) -> EpisodeResult:
    """Play an episode of a scenario with some fields changed."""
    scenario = Scenario(playback=PlaybackSettings(seam=seam), **fields)
    facts = tiny_config(rate_hz=RATE_HZ, horizon=16)
    return play_episode(waver, sim, SELDOM, scenario, 'wave', seed, facts)


def test_queries_leave_at_the_pace_of_the_planner(sim: AlohaSim) -> None:
    """Every 0.8 s, while the answers are quick enough for that."""
    waver = Waver()
    result = play(sim, waver)
    assert waver.times_s[:4] == [0.0, 0.8, 1.6, 2.4]
    assert (result.standstill_s, result.chunks_refused) == (0.0, 0)
    assert set(result.committed_rows) == {0}  # a blend commits to nothing
    assert waver.seen[1].committed is None
    # one for every chunk but the first, which takes over from none
    assert len(result.seam_jumps_rad) == len(result.seam_jumps_rad_s) == 8
    assert len(result.passed_rows) == 9


def test_query_leaves_earlier_where_the_running_chunk_would_not_outlast_its_answer(
    sim: AlohaSim,
) -> None:
    """A chunk of 1.2 s must last 0.5 s for the answer and 0.2 s more; the first begins late."""
    waver = Waver()
    result = play(sim, waver, latencies_s=(0.5,))
    assert waver.times_s[1:3] == pytest.approx([0.8, 1.32], abs=0.021)
    assert result.standstill_s == 0.0


def test_one_query_is_under_way_at_a_time(sim: AlohaSim) -> None:
    """Answers after 1 s let the arms stand still, and no second query leaves meanwhile."""
    waver = Waver(rows=11)  # 0.8 s
    result = play(sim, waver, latencies_s=(0.7,))
    assert min(np.diff(waver.times_s)) >= 0.7
    assert result.standstill_s > 2.0


def test_answers_slower_than_a_chunk_lasts_move_the_arms_in_steps(sim: AlohaSim) -> None:
    """0.5 s of planning, 0.4 s of moving; each query leaves where the arms stand."""
    waver = Waver(rows=6)
    result = play(sim, waver, latencies_s=(0.5,))
    assert np.diff(waver.times_s[1:]) == pytest.approx(0.9, abs=0.041)
    assert result.chunks_refused == 0


def test_answer_of_an_old_observation_is_refused_and_counted(sim: AlohaSim) -> None:
    """The executor refuses it in the same words, see ``max_chunk_age_s``."""
    result = play(sim, Waver(), latencies_s=(1.6,))
    assert result.chunks_refused == len(result.passed_rows) > 3
    assert result.seam_jumps_rad == ()


def test_latencies_are_drawn_from_the_seed(sim: AlohaSim) -> None:
    """The same seed is the same episode, another one is not; every seam jump is kept."""
    draws = (0.1, 0.2, 0.3, 0.4, 0.5)
    jumps = [play(sim, Waver(), seed, latencies_s=draws).seam_jumps_rad for seed in (5, 5, 6)]
    assert jumps[0] == jumps[1] != jumps[2]
    assert min(len(some) for some in jumps) >= 12
    assert max(jumps[0]) > 0.01


def test_queries_commit_to_the_rows_that_are_played_until_their_answer_comes(
    sim: AlohaSim,
) -> None:
    """None for the first, which begins when it comes; then two more than pass in 0.2 s."""
    waver = Waver()
    result = play(sim, waver, seam='committed')
    assert result.committed_rows[0] == 0
    assert set(result.committed_rows[1:]) == {5}
    assert set(result.passed_rows) == {3}
    second = waver.seen[1].committed
    assert waver.seen[0].committed is None
    assert second is not None
    assert waver.times_s[1] == 0.76  # row 7 of the chunk that began at 0.2 s
    assert second.tolist() == waver.chunks[0].positions[7:12].tolist()


def test_the_official_seam_asks_while_the_arms_stand(sim: AlohaSim) -> None:
    """Eleven of sixteen rows take 0.88 s, the answer 0.3 s; nothing is skipped or blended.

    A start from rest costs about a tick.
    """
    waver = Waver()
    scenario = Scenario(playback=PlaybackSettings('official', 'linear'), latencies_s=(0.3,))
    facts = tiny_config(rate_hz=RATE_HZ, horizon=16, open_loop_rows=11)
    result = play_episode(waver, sim, SELDOM, scenario, 'wave', 5, facts)
    assert np.diff(waver.times_s) == pytest.approx(1.2, abs=0.021)
    assert set(result.committed_rows) == {0}
    assert result.chunks_refused == 0
    assert result.standstill_s == pytest.approx(0.38 * (len(waver.seen) - 1), abs=0.4)


def test_queries_see_images_as_old_as_they_are_told() -> None:
    """The nearest of those that a camera took."""
    images = SeenImages(ROBOT, (0.17,), seed=0)
    for i in range(6):
        taken = {c.name: np.full((2, 2, 3), i, np.uint8) for c in ROBOT.cameras}
        images.add(taken, i * 80 * MS)
    seen = images.at(410 * MS)  # images of 400, 320 and 240 ms are there
    assert [int(image[0, 0, 0]) for image in seen.values()] == [3, 3, 3]


def test_queries_see_the_newest_images_where_no_age_is_given() -> None:
    """As soon as they are taken."""
    images = SeenImages(ROBOT, (), seed=0)
    for i in range(3):
        images.add({c.name: np.full((2, 2, 3), i, np.uint8) for c in ROBOT.cameras}, i * 80 * MS)
    assert [int(image[0, 0, 0]) for image in images.at(170 * MS).values()] == [2, 2, 2]


def test_a_person_mends_what_a_policy_does_not_do(sim: AlohaSim, tmp_path: Path) -> None:
    """They take over after 3 s without progress and lead until the cube is handed over."""
    facts = tiny_config(rate_hz=RATE_HZ, horizon=16)
    bag = tmp_path / 'bag'
    result = play_episode(Waver(), sim, SELDOM, Scenario(mended=True), 'wave', 5, facts, bag)
    assert result.success
    assert result.taken_over_s == pytest.approx(3.02)
    topics = read_topics(bag, [HUMAN_INTERVENTION.name, JOINT_COMMAND.name, SUCCESS.name])
    (led,) = topics[HUMAN_INTERVENTION.name]
    assert led[1].data
    assert 3.0 <= led[0] * 1e-9 < 3.2
    commands = np.array([message.position for _, message in topics[JOINT_COMMAND.name]])
    assert np.abs(np.diff(commands, axis=0)[:, ROBOT.arm_joints]).max() <= 0.0628 + 1e-6
    done_s = min(ns for ns, message in topics[SUCCESS.name] if message.data) * 1e-9
    assert done_s < topics[JOINT_COMMAND.name][-1][0] * 1e-9 < done_s + 4.0


def test_nobody_takes_over_from_a_policy_unasked(sim: AlohaSim) -> None:
    """The episode has its usual length, and fails."""
    result = play(sim, Waver())
    assert (result.success, result.taken_over_s) == (False, None)


def test_an_episode_ends_when_the_value_says_so(sim: AlohaSim) -> None:
    """A value that falls and then holds for 3 s ends it; one that never fell does not."""

    class Sure(Waver):
        """A policy that is unsure once, and then sure."""

        def __call__(self, observation: Observation) -> Proposal:
            """Answer a query."""
            proposal = super().__call__(observation)
            score = 0.5 if len(self.seen) == self.doubts_at else 0.97
            plan = replace(proposal.plan, scores=np.array([score], np.float32))
            return proposal._replace(plan=plan)

        doubts_at = 2

    result = play(sim, Sure(), stop_when_done=True)
    assert len(result.values) == 2 + 5  # the last of them is 3.2 s behind the first high one
    assert result.done_s is not None
    assert result.done_s < 7.0
    unmoved = Sure()
    unmoved.doubts_at = 0
    assert play(sim, unmoved, stop_when_done=True).done_s is None


def cut_off(folder: Path, seed: int) -> Path:
    """Make what a killed run leaves of the episode of a seed."""
    partial = folder / f'episode_{seed:06d}.partial'
    partial.mkdir()
    (partial / f'episode_{seed:06d}.mcap').write_bytes(b'torn')
    return partial


def test_simulated_episode_that_a_kill_cut_off_is_set_aside(tmp_path: Path) -> None:
    """Its seed plays it anew; one that is being recorded is left alone."""
    partial = cut_off(tmp_path, 600)
    running = BagWriter(tmp_path / 'episode_000601', {})
    set_aside_unfinished(tmp_path, [600, 601, 602])
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.trash', 'episode_000601.partial']
    assert [path.name for path in (tmp_path / '.trash').iterdir()] == [partial.name]
    running.discard()


def test_rollouts_are_not_recorded_beside_one_that_a_kill_cut_off(tmp_path: Path) -> None:
    """That is told before the first is played."""
    cut_off(tmp_path, 600)
    refuse_existing(tmp_path, [601])
    with pytest.raises(ConfigError, match=r'episode_000600.partial exists and is not overwritten'):
        refuse_existing(tmp_path, [600, 601])
