# SPDX-License-Identifier: Apache-2.0
"""Robot units to [-1, 1] and back; the statistics file."""

from __future__ import annotations

import json
from pathlib import Path

from cosmos_policy_ros.core.normalize import NormStats, read_stats, write_stats
from cosmos_policy_ros.types import ConfigError
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

ACTIONS = np.array([[0.0, 1.0, 5.0], [4.0, 3.0, 5.0], [2.0, 2.0, 5.0]], dtype=np.float32)
PROPRIO = np.array([[0.0], [10.0], [2.0]], dtype=np.float32)
STATS = NormStats.from_steps(ACTIONS, PROPRIO)


def test_range_maps_to_minus_one_and_one() -> None:
    """Minimum, maximum and middle of the first dimension."""
    assert STATS.normalize_actions(ACTIONS)[:, 0].tolist() == [-1.0, 1.0, 0.0]


def test_values_outside_the_range_are_not_clipped() -> None:
    """As in the reference."""
    assert STATS.normalize_proprio(np.array([20.0], dtype=np.float32)).tolist() == [3.0]
    assert STATS.unnormalize_proprio(np.array([3.0], dtype=np.float32)).tolist() == [20.0]


def test_a_dimension_that_never_moved_is_zero_and_comes_back() -> None:
    """The reference divides by zero here."""
    assert STATS.normalize_actions(ACTIONS)[:, 2].tolist() == [0.0, 0.0, 0.0]
    assert STATS.unnormalize_actions(np.full((1, 3), 0.7, np.float32))[0, 2] == 5.0


def test_results_are_float32() -> None:
    """Whatever the statistics are stored as."""
    assert STATS.normalize_actions(ACTIONS).dtype == np.float32
    assert STATS.unnormalize_actions(ACTIONS).dtype == np.float32


@settings(max_examples=60)
@given(st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3))
def test_unnormalize_inverts_normalize(row: list[float]) -> None:
    """For dimensions that moved."""
    x = np.array(row, dtype=np.float32)
    back = STATS.unnormalize_actions(STATS.normalize_actions(x))
    np.testing.assert_allclose(back[:2], x[:2], atol=1e-5)


def test_statistics_are_written_and_read_back(tmp_path: Path) -> None:
    """Ten flat keys, bit-exact."""
    write_stats(tmp_path / 's.json', STATS)
    data = json.loads((tmp_path / 's.json').read_text())
    again = read_stats(tmp_path / 's.json')
    assert len(data) == 10
    assert data['actions_median'] == [2.0, 2.0, 5.0]
    assert np.array_equal(again.actions_std, STATS.actions_std)
    assert np.array_equal(again.proprio_max, STATS.proprio_max)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(ConfigError, match='no statistics file'):
        read_stats(tmp_path / 'none.json')


def test_missing_key_lists_the_keys(tmp_path: Path) -> None:
    """The message names what is needed."""
    (tmp_path / 's.json').write_text('{"actions_min": [0]}')
    with pytest.raises(ConfigError, match='proprio_median'):
        read_stats(tmp_path / 's.json')


def test_truncated_file_is_one_clear_line(tmp_path: Path) -> None:
    """Half a JSON file."""
    write_stats(tmp_path / 's.json', STATS)
    text = (tmp_path / 's.json').read_text()
    (tmp_path / 's.json').write_text(text[: len(text) // 2])
    with pytest.raises(ConfigError, match='not valid JSON') as caught:
        read_stats(tmp_path / 's.json')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('bad', [['x'], [None], [float('nan')], [[1.0]], [1.0, 2.0]])
def test_wrong_numbers_are_refused(tmp_path: Path, bad: list[object]) -> None:
    """Text, nothing, NaN, a table or another length."""
    write_stats(tmp_path / 's.json', STATS)
    data = json.loads((tmp_path / 's.json').read_text())
    data['proprio_mean'] = bad
    (tmp_path / 's.json').write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=r's\.json'):
        read_stats(tmp_path / 's.json')


def test_swapped_range_is_refused(tmp_path: Path) -> None:
    """A minimum above its maximum."""
    write_stats(tmp_path / 's.json', STATS)
    data = json.loads((tmp_path / 's.json').read_text())
    data['proprio_min'], data['proprio_max'] = data['proprio_max'], data['proprio_min']
    (tmp_path / 's.json').write_text(json.dumps(data))
    with pytest.raises(ConfigError, match='proprio_min is above proprio_max'):
        read_stats(tmp_path / 's.json')
