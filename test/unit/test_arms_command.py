# SPDX-License-Identifier: Apache-2.0
"""What a person reads before the arms move."""

from __future__ import annotations

from cosmos_policy_ros.terminal.arms import announce
import pytest
from samples import ROBOT


@pytest.mark.parametrize(
    ('joint', 'said'),
    [
        ('follower_left/waist', 'follower_left/waist will move by -0.05 rad and back'),
        ('follower_left/gripper', 'follower_left/gripper will move by -0.05 and back'),
    ],
)
def test_jog_names_what_will_move(joint: str, said: str) -> None:
    """With its step; an opening has no unit."""
    assert announce('jog', ROBOT, joint, -0.05) == said
