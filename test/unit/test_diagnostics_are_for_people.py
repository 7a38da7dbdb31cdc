# SPDX-License-Identifier: Apache-2.0
"""No program decides by a figure of ``/diagnostics``."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / 'cosmos_policy_ros'
NAMES = {'DIAGNOSTICS', 'DiagnosticArray'}
MAY_USE = {
    'topics.py': 'the row of the table',
    'ros/diagnostics.py': 'publishes them',
    'ros/capture.py': 'records them undecoded',
    'nodes/bridge_node.py': 'passes them on undecoded',
    'data/bags/overview.py': 'shows a recording to people',
}


def uses_diagnostics(path: Path) -> bool:
    """Return whether a file names the topic or its message."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Name) and node.id in NAMES:
            return True
        if isinstance(node, ast.alias) and node.name in NAMES:
            return True
        if isinstance(node, ast.Constant) and node.value in ('/diagnostics', 'diagnostics'):
            return True
    return False


def test_only_publisher_recorder_and_viewer_use_diagnostics() -> None:
    """A figure that is renamed for people cannot change a motion."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob('*.py')
        if uses_diagnostics(path)
    }
    assert found == set(MAY_USE)


def test_no_node_decodes_recorded_diagnostics() -> None:
    """The listeners of a capture are decoded; none of them is for ``/diagnostics``."""
    for path in (PACKAGE / 'nodes').glob('*.py'):
        assert not uses_diagnostics(path) or 'undecoded' in MAY_USE[f'nodes/{path.name}'], path
