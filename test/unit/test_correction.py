# SPDX-License-Identifier: Apache-2.0
"""Chunks corrected to begin with committed rows, for networks that were never shown any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cosmos_policy_ros.backends import load_policy, NO_RESIDUALS
from cosmos_policy_ros.core.checkpoint import load_checkpoint, save_checkpoint
from cosmos_policy_ros.core.codec import add_vector, read_vector, write_vector
from cosmos_policy_ros.core.config import Conditioning
from cosmos_policy_ros.core.correction import Correction, Residuals, write_residuals
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
import pytest
from tiny import (
    CONFIG,
    NotingBackend,
    tiny_config,
    tiny_observation,
    tiny_policy,
    tiny_stats,
    tiny_text,
    tiny_transformer,
    tiny_vae,
)
import torch

OBS = tiny_observation()
ROWS = np.array([[0.2, 0.0, -0.4, 1.0], [0.3, 0.0, -0.2, 1.0]], np.float32)
ASKED = replace(OBS, committed=ROWS)
ARM_JOINTS = CONFIG.arm_joints  # waists 0 and 2; 1 and 3 are grippers


def walk(horizon: int = 6, joints: int = 2) -> Residuals:
    """Return residuals of errors that add up from row to row, each joint for itself.

    The errors of rows i and j have the mean product min(i, j) + 1, as of a random walk, of which
    the best guess is that it stays where it was last seen.
    """
    row = torch.arange(horizon)
    both = torch.minimum(row[:, None], row[None]).double() + 1.0
    return Residuals(torch.einsum('hi,jk->hjik', both, torch.eye(joints, dtype=torch.float64)))


def whole(residuals: Residuals, arm_joints: NDArray[np.bool_] = ARM_JOINTS) -> Correction:
    """Return the conditional mean itself, without a ridge and not by half."""
    return Correction(residuals, arm_joints, ridge=0.0, believed=1.0)


def correcting_policy(
    conditioning: Conditioning = 'auto', residuals: Residuals | None = None, rows: int = 0
) -> tuple[CosmosPolicy, NotingBackend]:
    """Return a tiny policy with residuals, and the notes of its network calls."""
    backend = NotingBackend()
    policy = CosmosPolicy(
        backend,
        tiny_config(committed_rows=rows),
        tiny_stats(),
        tiny_text(),
        residuals=residuals,
        conditioning=conditioning,
    )
    return policy, backend


def test_free_rows_move_to_the_conditional_mean() -> None:
    """Errors that walk at random are seen best in the last committed row.

    Of two such rows and the one behind them the correlations are 0.707, 0.577 and 0.816, so the
    next row follows the last committed one by 0.816 and the first by nothing.
    """
    chunk = torch.zeros(1, 6, 4, dtype=torch.float64)
    committed = torch.tensor([[0.1, 0.0, 0.0, 0.0], [0.3, 0.0, -0.2, 0.0]])
    corrected = whole(walk())(chunk, committed)[0]
    shares = [np.sqrt(2 / (row + 1)) for row in range(2, 6)]
    assert corrected[:, 0].tolist() == pytest.approx([0.1, 0.3, *(0.3 * s for s in shares)])
    assert corrected[:, 2].tolist() == pytest.approx([0.0, -0.2, *(-0.2 * s for s in shares)])


def test_errors_that_grow_along_a_chunk_do_not_grow_from_query_to_query() -> None:
    """The next chunk is committed to late rows of this one, where errors are largest.

    Errors of one sign that double from row to row: a covariance would carry a change of the first
    row on twice as large, row by row.
    """
    size = 2.0 ** torch.arange(6, dtype=torch.float64)
    residuals = Residuals(torch.outer(size, size)[:, None, :, None])
    correction = whole(residuals, np.array([True]))
    committed = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(5):
        chunk = correction(torch.zeros(1, 6, 1, dtype=torch.float64), committed)
        committed = chunk[0, 3:4]
    assert chunk.flatten().tolist() == pytest.approx([1.0] * 6)


def test_no_free_row_moves_farther_than_the_committed_ones() -> None:
    """Whatever a few chunks of noise say of how their errors go together."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        error = rng.standard_normal((5, 6, 4)).cumsum(axis=1) * 3.0 ** np.arange(6)[:, None]
        residuals = Residuals.from_chunks(np.zeros_like(error), error, ARM_JOINTS)
        change = torch.from_numpy(rng.uniform(-1.0, 1.0, (4, 4)))
        moved = whole(residuals)(torch.zeros(1, 6, 4, dtype=torch.float64), change)[0]
        for joint in (0, 2):
            assert moved[4:, joint].abs().max() <= change[:, joint].abs().max() + 1e-9


def test_joints_are_corrected_each_by_itself() -> None:
    """A few chunks find more between two joints than there is."""
    moment = walk().second_moment + 0.5  # every error goes together with every other
    committed = torch.tensor([[0.3, 0.0, 0.0, 0.0]])
    corrected = Correction(Residuals(moment), ARM_JOINTS)(torch.zeros(1, 6, 4), committed)[0]
    assert (corrected[1:, 0] > 0.0).all()
    assert not corrected[:, 2].any()


def test_errors_that_fade_are_followed_less_and_less() -> None:
    """Of products that halve from row to row the guess halves too."""
    row = torch.arange(6)
    fading = 0.5 ** (row[:, None] - row[None]).abs().double()
    residuals = Residuals(fading[:, None, :, None])
    one = np.array([True])
    corrected = whole(residuals, one)(torch.zeros(1, 6, 1), torch.ones(1, 1))
    assert corrected.flatten().tolist() == pytest.approx([1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125])


def test_a_ridge_takes_back_a_part_of_the_correction() -> None:
    """As if the committed row were only known that well: 1 of 1 + 0.25."""
    residuals = Residuals(torch.ones(2, 1, 2, 1, dtype=torch.float64))
    one = np.array([True])
    corrected = Correction(residuals, one, ridge=0.25, believed=1.0)(
        torch.zeros(1, 2, 1), torch.ones(1, 1)
    )
    assert corrected.flatten().tolist() == pytest.approx([1.0, 0.8])


def test_two_predictions_meet_in_the_middle() -> None:
    """What is committed is a prediction too; a row that errs alike follows it by half."""
    residuals = Residuals(torch.ones(6, 1, 6, 1, dtype=torch.float64))
    one = np.array([True])
    corrected = Correction(residuals, one, ridge=0.0)(torch.zeros(1, 6, 1), torch.ones(1, 1))
    assert corrected.flatten().tolist() == pytest.approx([1.0, 0.5, 0.5, 0.5, 0.5, 0.5])


def test_the_range_of_a_joint_does_not_matter() -> None:
    """Nor does one that never moves; the other joint is followed as if it were alone."""
    moment = walk().second_moment.clone()
    moment[:, 1] = 0.0
    moment[:, :, :, 1] = 0.0
    small = Residuals(moment * 1e-10)
    committed = torch.tensor([[0.3, 0.0, 0.5, 0.0]])
    corrected = whole(small)(torch.zeros(1, 6, 4), committed)[0]
    alone = whole(walk())(torch.zeros(1, 6, 4), committed)[0]
    assert corrected[:, 0].tolist() == pytest.approx(alone[:, 0].tolist())
    assert not corrected[1:, 2].any()


def test_grippers_are_set_where_they_are_committed_and_nowhere_else() -> None:
    """They are two-valued; half a difference is no guess."""
    chunk = torch.full((2, 6, 4), -1.0)
    corrected = whole(walk())(chunk, torch.ones(3, 4))
    assert (corrected[:, :3] == 1.0).all()
    assert (corrected[:, 3:, [1, 3]] == -1.0).all()
    followed = [2.0 * np.sqrt(3 / (row + 1)) - 1.0 for row in range(3, 6)]
    for chunk_of in corrected:
        for joint in (0, 2):
            assert chunk_of[3:, joint].tolist() == pytest.approx(followed)


def test_without_residuals_only_the_committed_rows_change() -> None:
    """Plain replacement, the baseline."""
    corrected = Correction(None, ARM_JOINTS)(torch.zeros(1, 6, 4), torch.ones(2, 4))
    assert (corrected[:, :2] == 1.0).all()
    assert not corrected[:, 2:].any()


def test_the_gain_is_computed_for_every_number_of_committed_rows() -> None:
    """One that fits other rows would be wrong silently; each is kept."""
    correction = Correction(walk(), ARM_JOINTS)
    two, three = correction.gain(2), correction.gain(3)
    assert (two.shape, three.shape) == ((2, 4, 2), (2, 3, 3))
    assert correction.gain(2) is two


@pytest.mark.parametrize('n_rows', [0, 6, 7])
def test_a_number_of_committed_rows_that_leaves_none_free_is_refused(n_rows: int) -> None:
    """A chunk of 6 rows has 1 to 5 committed ones."""
    with pytest.raises(ValueError, match=f'{n_rows} committed rows are not between 1 and 5'):
        Correction(walk(), ARM_JOINTS).gain(n_rows)


def test_residuals_are_the_mean_products_of_errors_of_arm_joints() -> None:
    """Two chunks, of which the first is right."""
    predicted = np.zeros((2, 2, 4), np.float32)
    demonstrated = predicted.copy()
    demonstrated[1] = [[1.0, 9.0, 2.0, 9.0], [3.0, 9.0, 4.0, 9.0]]
    moment = Residuals.from_chunks(predicted, demonstrated, ARM_JOINTS).second_moment
    assert moment.reshape(4, 4)[0].tolist() == [0.5, 1.0, 1.5, 2.0]
    assert moment.reshape(4, 4)[3].tolist() == [2.0, 4.0, 6.0, 8.0]
    with pytest.raises(ConfigError, match='at least one demonstrated chunk'):
        Residuals.from_chunks(predicted[:0], demonstrated[:0], ARM_JOINTS)


def test_adding_to_a_frame_keeps_what_its_copies_differ_by() -> None:
    """A part of a copy at the end gets its share."""
    latents = torch.arange(16.0).reshape(1, 1, 1, 4, 4)
    add_vector(latents, 0, torch.tensor([[10.0, 20.0, 30.0]]))
    assert latents.flatten().tolist()[:4] == [10.0, 21.0, 32.0, 13.0]
    assert latents.flatten().tolist()[-1] == 25.0
    mean = torch.tensor([16.0, 27.0, 38.0])  # of five copies of 0 to 14
    assert torch.equal(read_vector(latents, 0, 3)[0], mean)
    write_vector(latents, 0, mean[None])
    assert latents.flatten().tolist()[-1] == 16.0


@pytest.mark.parametrize('conditioning', ['corrected', 'replaced'])
def test_without_committed_rows_every_conditioning_gives_the_same_bits(
    conditioning: Conditioning,
) -> None:
    """A query that commits to nothing is what it was, also with none in an array."""
    plain = tiny_policy().plan(OBS, PlanQuery(candidates=2)).candidates
    policy, _ = correcting_policy(conditioning, walk())
    asked = replace(OBS, committed=np.zeros((0, 4), np.float32))
    for obs in (OBS, asked):
        got = policy.plan(obs, PlanQuery(candidates=2)).candidates
        assert np.array_equal(got.positions, plain.positions)
        assert np.array_equal(got.values, plain.values)


def test_every_network_call_starts_from_a_corrected_chunk() -> None:
    """The state is noise of its level around an estimate that begins with the rows."""
    policy, backend = correcting_policy('corrected', walk())
    free, notes = correcting_policy('replaced')
    policy.plan(ASKED, PlanQuery(candidates=1))
    free.plan(ASKED, PlanQuery(candidates=1))
    assert len(backend.calls) == 10
    place = CONFIG.layout.index('action')
    changed = [
        not torch.equal(a[0][:, :, place], b[0][:, :, place])
        for a, b in zip(backend.calls, notes.calls, strict=True)
    ]
    assert changed == [False] + [True] * 9


def test_free_rows_follow_the_committed_ones_in_every_candidate() -> None:
    """Of one denoising step: as the chunk is corrected that is planned without them."""
    query = PlanQuery(candidates=2, steps=1)
    policy, _ = correcting_policy('corrected', walk())
    free = policy.plan(OBS, query).candidates.positions
    got = policy.plan(ASKED, query).candidates.positions
    np.testing.assert_allclose(got[:, :2], np.broadcast_to(ROWS, (2, 2, 4)), atol=1e-6)
    wanted = Correction(walk(), ARM_JOINTS)(torch.from_numpy(free), torch.from_numpy(ROWS))
    np.testing.assert_allclose(got, wanted.numpy(), atol=1e-4)
    assert np.abs(got - free)[:, 2:, ARM_JOINTS].min() > 0.01


def test_pruned_candidates_and_split_batches_are_corrected_alike() -> None:
    """Candidate 0 is the same whatever is computed beside it."""
    policy, _ = correcting_policy('corrected', walk())
    alone = policy.plan(ASKED, PlanQuery(candidates=1)).candidates.positions[0]
    policy.max_rows = 2
    together = policy.plan(ASKED, PlanQuery(candidates=3)).candidates.positions[0]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    kept = policy.plan(ASKED, PlanQuery(candidates=3, keep=(2, 1))).candidates.positions
    np.testing.assert_allclose(kept[:, :2], ROWS[None], atol=1e-6)


def test_the_conditioning_is_a_fact_of_the_checkpoint_unless_it_is_asked_for() -> None:
    """Trained, else corrected where there are residuals, else replaced."""
    assert correcting_policy(rows=4)[0].conditioning == 'trained'
    assert correcting_policy(rows=4, residuals=walk())[0].conditioning == 'trained'
    assert correcting_policy(residuals=walk())[0].conditioning == 'corrected'
    assert correcting_policy()[0].conditioning == 'replaced'
    asked, notes = correcting_policy('corrected', walk(), rows=4)
    asked.plan(ASKED, PlanQuery(candidates=1))
    assert asked.conditioning == 'corrected'
    black = asked._vision.encode_blank()[0, :, 0]
    assert torch.equal(notes.calls[0][0][0, :, 0], black)


def test_a_conditioning_that_the_checkpoint_is_not_made_for_is_refused() -> None:
    """With what to do about it."""
    with pytest.raises(ConfigError, match='not trained with committed rows'):
        correcting_policy('trained')
    with pytest.raises(ConfigError, match=r'no residuals.*cosmos-policy residuals'):
        correcting_policy('corrected')
    with pytest.raises(ConfigError, match="no conditioning 'held'; choose one of"):
        correcting_policy('held')  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a tiny checkpoint folder with residuals."""
    path = tmp_path / 'checkpoint'
    parts = CONFIG, tiny_stats(), tiny_text(), tiny_transformer(), tiny_vae()
    save_checkpoint(path, *parts, walk())
    return path


def test_residuals_are_written_and_read_back(folder: Path) -> None:
    """The policy of the folder corrects with them."""
    residuals = load_checkpoint(folder).residuals
    assert residuals is not None
    assert torch.equal(residuals.second_moment, walk().second_moment)
    policy = load_policy(folder, threads=1)
    assert isinstance(policy, CosmosPolicy)
    assert policy.conditioning == 'corrected'


def test_a_checkpoint_without_residuals_says_how_to_measure_them(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, when it is loaded; not where replacement is what was asked for."""
    (folder / 'residuals.safetensors').unlink()
    with caplog.at_level('INFO'):
        load_policy(folder, threads=1, conditioning='replaced')
        assert not caplog.messages
        load_policy(folder, threads=1)
    assert caplog.messages == [NO_RESIDUALS % folder]


@pytest.mark.parametrize(('horizon', 'joints', 'got'), [(5, 2, r'\(5, 2\)'), (6, 3, r'\(6, 3\)')])
def test_residuals_of_other_chunks_are_refused(
    folder: Path, horizon: int, joints: int, got: str
) -> None:
    """Of another horizon or of another robot."""
    write_residuals(folder / 'residuals.safetensors', walk(horizon, joints))
    with pytest.raises(ConfigError, match=f'residuals.safetensors rows and arm joints {got}'):
        load_checkpoint(folder)


def test_damaged_residuals_are_refused(folder: Path) -> None:
    """Cut off, of another shape, or not finite; the file is named."""
    file = folder / 'residuals.safetensors'
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(ConfigError, match=f'{file} holds no residuals'):
        load_checkpoint(folder)
    with pytest.raises(ConfigError, match=r'must be \(rows, joints, rows, joints\), got \(6, 2\)'):
        Residuals(torch.ones(6, 2))
    with pytest.raises(ConfigError, match='not finite'):
        Residuals(walk().second_moment / 0.0)
