# SPDX-License-Identifier: Apache-2.0
"""The file of a campaign of faults, which further campaigns add to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from command_line import refused
from cosmos_policy_ros.terminal.faults import add_to_file, print_report, summarise
from cosmos_policy_ros.types import ConfigError
import pytest
from rich.console import Console


def case(driver: str, fault: str, passed: bool = True, **changes: object) -> dict[str, Any]:
    """Return a row as the fault node reports it."""
    row = {
        'fault': fault,
        'about': 'something breaks',
        'moment': 'moving',
        'seed': 1,
        'driver': driver,
        'wanted': 'hold',
        'reaction': 'hold' if passed else 'ignored',
        'reaction_ms': 100 if passed else None,
        'limit_ms': 200,
        'max_step_rad': 0.01,
        'max_speed_rad_s': 0.5,
        'passed': passed,
        'wrong': '' if passed else 'ignored, wanted hold',
        'tries': 1,
        'reason': '',
        'memory_mb': 1400,
    }
    return row | changes


def test_a_report_counts_kinds_and_what_is_unsafe() -> None:
    """Two cases of a kind are one kind."""
    report = summarise([case('sim', 'a'), case('sim', 'a', passed=False), case('sim', 'b')])
    assert (report['kinds'], report['unsafe'], len(report['cases'])) == (2, 1, 3)
    assert report['memory_mb'] == {'first': 1400, 'last': 1400}


def test_other_drivers_and_faults_stay_in_the_file(tmp_path: Path) -> None:
    """What was tried again takes the place of what was there."""
    file = tmp_path / 'faults.json'
    add_to_file(file, summarise([case('sim', 'a', passed=False), case('sim', 'b')]))
    add_to_file(file, summarise([case('jtc', 'a')]))
    whole = add_to_file(file, summarise([case('sim', 'a')]))
    assert whole == json.loads(file.read_text(encoding='utf-8'))
    named = {(row['driver'], row['fault'], row['passed']) for row in whole['cases']}
    assert named == {('sim', 'a', True), ('sim', 'b', True), ('jtc', 'a', True)}
    assert whole['unsafe'] == 0


@pytest.mark.parametrize('text', ['{}', 'no JSON', '[1]'])
def test_another_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    """Nothing is lost."""
    file = tmp_path / 'other.json'
    file.write_text(text, encoding='utf-8')
    with pytest.raises(ConfigError, match='give another file'):
        add_to_file(file, summarise([case('sim', 'a')]))
    assert file.read_text(encoding='utf-8') == text


def test_a_file_that_could_not_be_written_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    """A campaign takes hours."""
    assert 'there is no folder' in refused('faults', '--json', str(tmp_path / 'no' / 'f.json'))
    other = tmp_path / 'other.json'
    other.write_text('[1]', encoding='utf-8')
    assert 'give another file' in refused('faults', '--json', str(other))


def test_the_worst_case_of_a_kind_is_shown() -> None:
    """With how many passed."""
    console = Console(width=120, record=True)
    rows = [case('sim', 'a'), case('sim', 'a', passed=False, max_speed_rad_s=2.0)]
    print_report(summarise(rows), console)
    text = ' '.join(console.export_text().split())
    assert 'a hold ignored 200 0.010 2.00 1 of 2' in text
    assert '1 kinds of faults, 2 cases, 1 of them unsafe' in text
