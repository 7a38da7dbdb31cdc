# SPDX-License-Identifier: Apache-2.0
"""The table of backends: which of them ``auto`` takes."""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.backends import BACKENDS
from cosmos_policy_ros.backends.table import Networks, Row, ROWS
import pytest

HERE = Path()


def never_opened(networks: Networks) -> None:
    """Stand for the networks of a row that is only looked for."""


def anywhere(path: Path, device: str) -> bool:
    """Run any checkpoint on any device."""
    return True


def test_the_fastest_comes_first_and_torch_after_all_that_is_exported() -> None:
    """``auto`` reads the table from above."""
    assert list(ROWS) == [
        'openvino', 'onnxruntime', 'tensorrt', 'torch', 'compiled', 'diffusers',
    ]  # fmt: skip
    assert ('auto', *ROWS) == BACKENDS


def test_a_row_without_its_library_is_not_found() -> None:
    """One of the modules is enough, none is needed for torch alone."""
    assert not Row(never_opened, anywhere, needs=('no_such_library',)).is_found(HERE, 'cpu')
    assert Row(never_opened, anywhere, needs=('no_such_library', 'json')).is_found(HERE, 'cpu')
    assert Row(never_opened, anywhere).is_found(HERE, 'cpu')


def test_a_row_that_cannot_be_found_is_taken_by_name_alone() -> None:
    """Compiling takes a minute, and the plain network is for comparing."""
    assert not Row(never_opened).is_found(HERE, 'cpu')
    assert [name for name, row in ROWS.items() if row.find is None] == ['compiled', 'diffusers']


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_without_an_export_torch_is_the_first_that_is_found(tmp_path: Path, device: str) -> None:
    """Whatever libraries are installed."""
    assert not ROWS['tensorrt'].is_found(tmp_path, device)
    assert ROWS['torch'].is_found(tmp_path, device)
