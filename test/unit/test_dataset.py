# SPDX-License-Identifier: Apache-2.0
"""SampleTable: what is drawn, with which chunk, future and value."""

from cosmos_policy_ros.training.dataset import (
    CachedEpisode,
    Mixture,
    monte_carlo_returns,
    POLICY,
    SampleTable,
    VALUE,
    WORLD_MODEL,
)
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pytest


def episode(
    n: int,
    demo: bool = True,
    success: bool = True,
    pushed: slice = slice(0, 0),
    mended: slice = slice(0, 0),
) -> CachedEpisode:
    """Return an episode whose action at tick t is t and whose images are counted from 0."""
    expert = np.ones(n, dtype=np.bool_)
    expert[pushed] = False
    intervention = np.zeros(n, dtype=np.bool_)
    intervention[mended] = True
    column = np.arange(n, dtype=np.float32)[:, None]
    images = np.arange(n)[:, None]
    return CachedEpisode(demo, success, images, column, column, expert, intervention)


def one(table: SampleTable, tick: int, kind: int = POLICY) -> object:
    """Return the sample at a tick of the first episode."""
    return table.take(np.array([[0, tick]]), np.array([kind]))


def test_chunk_takes_every_stride_and_repeats_the_last_action() -> None:
    """Past the end the last action is repeated, and the future is the last tick."""
    table = SampleTable([episode(10)], 4, 2, 0.9, Mixture())
    batch = one(table, 5)
    assert batch.chunk[0, :, 0].tolist() == [5, 7, 9, 9]
    assert batch.future_proprio[0, 0] == 9
    assert batch.future_row[0, 0] == 9


def test_return_is_one_at_success_and_zero_after_failure() -> None:
    """A success is worth less the farther away it is; a failure nothing."""
    assert monte_carlo_returns(3, True, 0.5).tolist() == [0.25, 0.5, 1.0]
    assert monte_carlo_returns(3, False, 0.5).tolist() == [0.0, 0.0, 0.0]


def test_discount_is_per_row_of_the_chunk() -> None:
    """Two ticks per row and discount 0.81 are 0.9 per tick."""
    table = SampleTable([episode(4)], 1, 2, 0.81, Mixture())
    assert one(table, 0).value[0] == pytest.approx(0.9)


def test_rows_after_a_disturbance_are_not_imitated() -> None:
    """From the moment of a push on, the chunk is not what the expert wanted."""
    table = SampleTable([episode(10, pushed=slice(4, 6))], 4, 2, 0.9, Mixture())
    assert one(table, 0).imitate[0].tolist() == [True, True, False, False]


def test_no_policy_sample_starts_in_a_disturbance() -> None:
    """Ticks of a push are no demonstrations."""
    table = SampleTable([episode(10, pushed=slice(4, 6))], 4, 2, 0.9, Mixture())
    assert not {4, 5} & set(table.imitated()[:, 1].tolist())


def test_mixture_is_half_policy_a_quarter_each_of_the_others() -> None:
    """The default mixture is that of the reference."""
    table = SampleTable([episode(50), episode(50, False, False)], 4, 2, 0.9, Mixture())
    kind = table.draw(4000, np.random.default_rng(0)).kind
    shares = [(kind == k).mean() for k in (POLICY, WORLD_MODEL, VALUE)]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


def test_half_of_the_other_samples_come_from_failures() -> None:
    """Value samples see failures as often as successes."""
    table = SampleTable([episode(50), episode(50, False, False)], 4, 2, 0.9, Mixture(demo=0.0))
    value = table.draw(2000, np.random.default_rng(0)).value
    assert (value == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_without_a_demonstration_there_is_nothing_to_imitate() -> None:
    """Only failures cannot train a policy."""
    with pytest.raises(ConfigError, match='no episode is a demonstration'):
        SampleTable([episode(10, False, False)], 4, 2, 0.9, Mixture())


def test_demonstrations_are_no_rollouts_where_they_are_not_reused() -> None:
    """The planning checkpoint learns from what the policy did, not from what it was shown."""
    episodes = [episode(50), episode(50, demo=False), episode(50, False, False)]
    table = SampleTable(episodes, 4, 2, 0.9, Mixture(demo=0.5, reuse_demos=False))
    assert set(table.imitated()[:, 0]) == {0}
    assert set(table.outcomes()[:, 0]) == {1, 2}
    with pytest.raises(ConfigError, match='no episode is a rollout'):
        SampleTable(episodes[:1], 4, 2, 0.9, Mixture(reuse_demos=False))


def test_successful_rollouts_are_imitated_where_that_is_asked_for() -> None:
    """They stay rollouts for world model and value, and failures are never imitated."""
    episodes = [episode(50), episode(50, demo=False), episode(50, False, False)]
    for imitate, imitated in (False, {0}), (True, {0, 1}):
        mixture = Mixture(reuse_demos=False, imitate_rollouts=imitate)
        table = SampleTable(episodes, 4, 2, 0.9, mixture)
        assert set(table.imitated()[:, 0]) == imitated
        assert set(table.outcomes()[:, 0]) == {1, 2}


def test_failures_are_imitated_where_that_is_asked_for() -> None:
    """All but what was done wrong on purpose; they are failures to world model and value still."""
    episodes = [episode(50), episode(50, False, False, pushed=slice(20, 50))]
    table = SampleTable(episodes, 4, 2, 0.9, Mixture(imitate_failures=True))
    failed = table.imitated()[table.imitated()[:, 0] == 1]
    assert failed[:, 1].tolist() == list(range(20))
    assert table.take(np.array([[1, 0]]), np.array([VALUE])).value.tolist() == [0.0]


def test_what_a_person_did_who_took_over_is_imitated() -> None:
    """From the moment they led until they gave back, and not beyond."""
    episodes = [episode(50), episode(50, demo=False, mended=slice(10, 20))]
    table = SampleTable(episodes, 4, 2, 0.9, Mixture())
    mended = table.imitated()[table.imitated()[:, 0] == 1]
    assert mended[:, 1].tolist() == [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    batch = table.take(np.array([[1, 10], [1, 15]]), np.array([POLICY, POLICY]))
    assert batch.imitate.tolist() == [[True] * 4, [True, True, True, False]]


def test_what_a_person_did_in_vain_is_not_imitated() -> None:
    """As a demonstration that failed is not."""
    failed = episode(50, demo=False, success=False, mended=slice(10, 20))
    table = SampleTable([episode(50), failed], 4, 2, 0.9, Mixture())
    assert set(table.imitated()[:, 0]) == {0}


def test_interventions_have_a_share_of_the_policy_samples() -> None:
    """A few mended rollouts among many demonstrations would be drawn seldom else."""
    episodes = [episode(900), episode(50, demo=False, mended=slice(0, 10))]
    table = SampleTable(episodes, 1, 1, 0.9, Mixture(demo=1.0, intervention=0.5))
    drawn = table.draw(2000, np.random.default_rng(0)).proprio[:, 0]
    assert np.mean(drawn < 10) == pytest.approx(0.5 + 0.5 * 20 / 910, abs=0.04)
    alone = SampleTable(episodes[:1], 1, 1, 0.9, Mixture(demo=1.0, intervention=0.5))
    assert len(alone.draw(10, np.random.default_rng(0)).kind) == 10


def test_labelled_samples_imitate_failures_too_each_under_its_label() -> None:
    """Half of the ticks of a failure went better than expected; disturbances stay left out."""
    episodes = [episode(40), episode(40, demo=False, success=False, pushed=slice(30, 40))]
    labels = [np.zeros(40, np.bool_), np.arange(40) < 20]
    table = SampleTable(episodes, 4, 1, 0.9, Mixture(demo=1.0)).labelled(labels, 0.0)
    batch = table.draw(2000, np.random.default_rng(0))
    failures = batch.value == 0.0
    ticks = batch.chunk[:, 0, 0]
    assert 0.35 < failures.mean() < 0.5
    assert ticks[failures].max() == 29
    assert (batch.label[failures] == np.where(ticks[failures] < 20, 1, -1)).all()
    assert (batch.label[~failures] == -1).all()


def test_labels_are_dropped_and_only_policy_samples_have_one() -> None:
    """Three in ten lose it; world model and value are asked without."""
    table = SampleTable([episode(40), episode(40, demo=False)], 4, 1, 0.9, Mixture())
    batch = table.labelled([np.ones(40, np.bool_)] * 2, 0.3).draw(4000, np.random.default_rng(0))
    policy = batch.kind == POLICY
    assert 0.66 < (batch.label[policy] == 1).mean() < 0.74
    assert not batch.label[~policy].any()


def test_samples_without_labels_are_drawn_as_ever() -> None:
    """Labels change which chunks are imitated, and draw their own numbers last."""
    table = SampleTable([episode(40)], 4, 1, 0.9, Mixture())
    plain = table.draw(50, np.random.default_rng(0))
    labelled = table.labelled([np.ones(40, np.bool_)], 0.3).draw(50, np.random.default_rng(0))
    assert not plain.label.any()
    assert (plain.chunk == labelled.chunk).all()


def test_returns_ahead_are_those_when_chunks_end() -> None:
    """At most the episode's last."""
    table = SampleTable([episode(6)], 2, 1, 0.5, Mixture())
    assert table.returns_ahead(0).tolist() == [0.125, 0.25, 0.5, 1.0, 1.0, 1.0]
