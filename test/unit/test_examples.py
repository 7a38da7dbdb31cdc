# SPDX-License-Identifier: Apache-2.0
"""The examples run as they stand."""

from __future__ import annotations

from pathlib import Path
import runpy

import pytest

EXAMPLES = Path(__file__).parents[2] / 'examples'


def test_one_scene_is_played_in_ten_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """With the committed checkpoint, which hands this cube over."""
    file = EXAMPLES / 'play_one_scene.py'
    lines = file.read_text(encoding='utf-8').splitlines()
    code = [line for line in lines if line.strip() and not line.startswith(('#', '"""'))]
    assert len(code) <= 10
    runpy.run_path(str(file), run_name='__main__')
    assert capsys.readouterr().out.startswith('success: True, value at mid-episode: 0.')
