# SPDX-License-Identifier: Apache-2.0
"""How the learning rate moves over a run."""

from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.training_loop import learning_rate_factor
import pytest


def test_reference_schedule_falls_to_a_third_and_stays_low() -> None:
    """Linear to 0.3 at the end of the cycle, 0.06 afterwards."""
    config = TrainConfig(updates=100, warmup=10, decay=60, schedule='reference')
    factors = [learning_rate_factor(step, config) for step in (0, 10, 35, 59, 60, 99)]
    assert factors == pytest.approx([0.1, 1.0, 0.65, 0.314, 0.06, 0.06])


def test_learning_rate_rises_stays_and_falls() -> None:
    """Linear up over the warm-up, flat, linear down to 0."""
    config = TrainConfig(updates=100, warmup=10, decay=20)
    factors = [learning_rate_factor(step, config) for step in (0, 9, 50, 90, 100)]
    assert factors == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0])
