# SPDX-License-Identifier: Apache-2.0
"""LatentLayout: names, order, masks of the five sample kinds."""

from __future__ import annotations

from cosmos_policy_ros.core.layout import LatentLayout
import pytest

LIBERO = LatentLayout(('wrist', 'primary'))
ROBOCASA = LatentLayout(('wrist', 'primary', 'secondary'))
ALOHA = LatentLayout(('left_wrist', 'right_wrist', 'high'))


def test_libero_sequence_matches_the_reference() -> None:
    """Frame order of the released LIBERO checkpoint (9 latent frames)."""
    assert LIBERO.names == (
        'blank',
        'proprio',
        'wrist',
        'primary',
        'action',
        'future_proprio',
        'future_wrist',
        'future_primary',
        'value',
    )


def test_robocasa_sequence_matches_the_reference() -> None:
    """Frame order of the released RoboCasa checkpoint (11 latent frames)."""
    assert ROBOCASA.names == (
        'blank',
        'proprio',
        'wrist',
        'primary',
        'secondary',
        'action',
        'future_proprio',
        'future_wrist',
        'future_primary',
        'future_secondary',
        'value',
    )


def test_aloha_sequence_matches_the_reference() -> None:
    """Frame order of the released ALOHA checkpoint (11 latent frames)."""
    assert ALOHA.names == (
        'blank',
        'proprio',
        'left_wrist',
        'right_wrist',
        'high',
        'action',
        'future_proprio',
        'future_left_wrist',
        'future_right_wrist',
        'future_high',
        'value',
    )


@pytest.mark.parametrize('n_cameras', [1, 2, 3, 4])
def test_length_grows_by_two_per_camera(n_cameras: int) -> None:
    """Each camera adds one current and one future frame."""
    layout = LatentLayout(tuple(f'cam{i}' for i in range(n_cameras)))
    assert len(layout.names) == 2 * n_cameras + 5


@pytest.mark.parametrize(
    ('kind', 'mask'),
    [
        ('policy', [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]),
        ('world_model', [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]),
        ('value', [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]),
        ('value_future_only', [1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0]),
        ('value_q', [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]),
    ],
)
def test_known_frames_of_every_kind_on_aloha(kind: str, mask: list[int]) -> None:
    """Condition masks of the five sample kinds."""
    assert ALOHA.mask(ALOHA.known(kind)).tolist() == mask


@pytest.mark.parametrize(
    ('kind', 'mask'),
    [
        ('policy', [1, 1, 1, 1, 0, 0, 0, 0, 0]),
        ('world_model', [1, 1, 1, 1, 1, 0, 0, 0, 0]),
        ('value', [1, 1, 1, 1, 1, 1, 1, 1, 0]),
        ('value_future_only', [1, 0, 0, 0, 0, 1, 1, 1, 0]),
        ('value_q', [1, 1, 1, 1, 1, 0, 0, 0, 0]),
    ],
)
def test_known_frames_of_every_kind_on_libero(kind: str, mask: list[int]) -> None:
    """Condition masks of the five sample kinds with two cameras."""
    assert LIBERO.mask(LIBERO.known(kind)).tolist() == mask


@pytest.mark.parametrize(
    ('kind', 'mask'),
    [
        ('policy', [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]),
        ('world_model', [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
        ('value', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ('value_future_only', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ('value_q', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ],
)
def test_scored_frames_of_every_kind(kind: str, mask: list[int]) -> None:
    """Hidden inputs of V(s') and Q(s, a) are not to be reconstructed."""
    assert ALOHA.mask(ALOHA.scored(kind)).tolist() == mask


def test_unknown_frame_names_the_choices() -> None:
    """A typo must tell the user what would have been right."""
    with pytest.raises(ValueError, match='future_high'):
        ALOHA.index('future_top')


def test_unknown_kind_names_the_choices() -> None:
    """So must a wrong sample kind."""
    with pytest.raises(ValueError, match='value_future_only'):
        ALOHA.known('v')
