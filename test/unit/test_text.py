# SPDX-License-Identifier: Apache-2.0
"""Stored text embeddings."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.core.text import load_text_embeddings, save_text_embeddings, TextEmbeddings
from cosmos_policy_ros.types import ConfigError
import pytest
import torch

TEXT = TextEmbeddings({'fold the shirt': torch.ones(2, 3), 'Zünd a candle.': torch.zeros(2, 3)})


def test_embeddings_are_written_and_read_back(tmp_path: Path) -> None:
    """Any string is a task name."""
    save_text_embeddings(tmp_path / 't.safetensors', TEXT)
    again = load_text_embeddings(tmp_path / 't.safetensors')
    assert set(again.tasks) == {'fold the shirt', 'Zünd a candle.'}
    assert again.shape == (2, 3)
    assert torch.equal(again.lookup('fold the shirt'), torch.ones(2, 3))


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    """Official embeddings are bfloat16."""
    half = TextEmbeddings({'a': torch.ones(1, 2).bfloat16()})
    save_text_embeddings(tmp_path / 't.safetensors', half)
    assert load_text_embeddings(tmp_path / 't.safetensors').lookup('a').dtype == torch.float32


def test_unknown_task_lists_the_known_ones() -> None:
    """A typo must tell the user what would have been right."""
    with pytest.raises(ConfigError, match=r"'fold the shirts'.*fold the shirt"):
        TEXT.lookup('fold the shirts')


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(ConfigError, match='no text embeddings'):
        load_text_embeddings(tmp_path / 'none.safetensors')


def test_truncated_file_is_one_clear_line(tmp_path: Path) -> None:
    """Half a safetensors file."""
    file = tmp_path / 't.safetensors'
    save_text_embeddings(file, TEXT)
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ConfigError, match='damaged') as caught:
        load_text_embeddings(file)
    assert '\n' not in str(caught.value)


def test_mixed_shapes_are_refused() -> None:
    """A batch needs one shape."""
    with pytest.raises(ConfigError, match='one shape'):
        TextEmbeddings({'a': torch.ones(2, 3), 'b': torch.ones(3, 3)})


def test_no_task_is_refused() -> None:
    """A checkpoint without a task can do nothing."""
    with pytest.raises(ConfigError, match='one shape'):
        TextEmbeddings({})


def test_numbers_that_are_not_finite_are_refused() -> None:
    """NaN would spread to every action."""
    with pytest.raises(ConfigError, match='not finite'):
        TextEmbeddings({'a': torch.tensor([[float('nan')]])})
