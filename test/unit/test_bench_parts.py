# SPDX-License-Identifier: Apache-2.0
"""Measurements in turn, and the file of their figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cosmos_policy_ros.bench.parts import has_losses, measure_parts
import pytest


def test_figures_stay_when_a_later_part_of_a_benchmark_fails(tmp_path: Path) -> None:
    """An hour of measurements is not lost."""
    file = tmp_path / 'bench.json'
    parts: dict[str, Any] = {'a': lambda: {'lost': 1}, 'b': lambda: 1 / 0}
    with pytest.raises(ZeroDivisionError):
        measure_parts(parts, file)
    assert json.loads(file.read_text(encoding='utf-8')) == {'a': {'lost': 1}}


@pytest.mark.parametrize(
    ('figures', 'lost'), [({'lost': 0}, False), ({'lost': 3}, True), ({'misses': 1}, True)]
)
def test_a_lost_message_or_a_missed_deadline_is_a_loss(
    figures: dict[str, int], lost: bool
) -> None:
    """Of any part."""
    assert has_losses({'recorder': {'lost': 0}, 'other': figures}) is lost
