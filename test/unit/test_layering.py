# SPDX-License-Identifier: Apache-2.0
"""The import rule of the architecture, checked on the source."""

from __future__ import annotations

import ast
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
import re
import subprocess
import sys

import pytest

PACKAGE = Path(__file__).parents[2] / 'cosmos_policy_ros'
WAIST = {
    'types', 'robot', 'align', 'topics', 'status', 'candidate_table', 'event_log',
    'config_file', 'gripper', 'resources', 'outputs', 'metrics', 'finding', 'mujoco_import',
    'image_decoder', 'progress', 'stream_judge', 'system_errors', 'video_packets', 'worker_pool',
}  # fmt: skip
MAY_IMPORT = {
    'core': WAIST,
    'backends': WAIST | {'core'},
    'data': WAIST,
    'training': WAIST | {'core', 'data'},
    'control': WAIST,
    'console': WAIST | {'control'},
    'drivers': WAIST,
    'sim': WAIST,
    'ros': WAIST | {'control', 'stack'},
    'faults': WAIST | {'control', 'ros', 'stack'},
    'nodes': WAIST
    | {'core', 'backends', 'data', 'control', 'drivers', 'sim', 'ros', 'faults', 'console'},
    'stack': WAIST,
    'evaluation': WAIST | {'core', 'backends', 'data', 'control', 'sim'},
    'report': WAIST | {'data', 'stack', 'control'},
    'terminal': WAIST | {'data', 'stack', 'control', 'report'},
    'bench': WAIST
    | {'core', 'backends', 'data', 'training', 'drivers', 'control', 'sim'}
    | {'stack', 'evaluation', 'report'},
    'cli': WAIST  # everything but ros and nodes, which run as processes of their own
    | {'core', 'backends', 'data', 'training', 'control', 'drivers', 'sim'}
    | {'stack', 'evaluation', 'report', 'terminal', 'bench'},
}
ROS_LAYERS = {'ros', 'faults', 'nodes'}
ROS_MODULES = {
    'rclpy',
    'builtin_interfaces',
    'diagnostic_msgs',
    'geometry_msgs',
    'tf2_msgs',
    'visualization_msgs',
    'rcl_interfaces',
    'sensor_msgs',
    'std_msgs',
    'std_srvs',
    'rosgraph_msgs',
    'trajectory_msgs',
    'control_msgs',
    'interbotix_xs_msgs',
    'ament_index_python',
    'launch',
    'launch_ros',
}
WHO_MAY_USE = {  # third-party module -> layers
    'torch': {'core', 'backends', 'training', 'bench'},
    'diffusers': {'core', 'backends', 'training', 'bench'},
    'mujoco': {'mujoco_import', 'nodes'},  # from there; a node may open the window
    'rosbags': {'data'},
    'tyro': {'cli'},
    'viser': {'console'},
    'websockets': {'console'},
    'trimesh': {'console'},
    'rich': {'progress', 'bench', 'cli', 'report', 'terminal', 'training'},
}
BY_NAME = {
    'backends': {'tensorrt', 'tensorrt_rtx'},
    'drivers': {'pyrealsense2'},
}  # imported by name where it is installed
FILES = sorted(PACKAGE.rglob('*.py'))


def layer_of(path: Path) -> str:
    """Return the folder below the package, or the module directly in it."""
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


def module_name(path: Path) -> str:
    """Return the dotted name of a file; that of a package for its ``__init__.py``."""
    parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
    return '.'.join(parts).removesuffix('.__init__')


def imports(path: Path) -> set[str]:
    """Return the dotted names a file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module, *(f'{node.module}.{a.name}' for a in node.names)})
    return names


def imported_modules(path: Path, modules: Collection[str]) -> set[str]:
    """Return the modules of the package that a file imports, also for type checkers only.

    ``from package import name`` is an import of the module ``package.name`` where there is one,
    else of the package.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = (f'{node.module}.{alias.name}' for alias in node.names)
            found.update(name if name in modules else node.module for name in names)
    return found & set(modules)


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_layer_imports_only_what_it_may(path: Path) -> None:
    """A file imports its own layer, the layers below it, and ROS only where allowed."""
    layer = layer_of(path)
    allowed = MAY_IMPORT.get(layer, WAIST) | {layer}
    for name in imports(path):
        parts = name.split('.')
        if parts[0] == 'cosmos_policy_ros' and len(parts) > 1:
            assert parts[1] in allowed, f'{path}: {layer} may not import {name}'
        if parts[0] in ROS_MODULES:
            assert layer in ROS_LAYERS, f'{path}: {name} belongs in ros/ or nodes/'
        if parts[0] in WHO_MAY_USE:
            users = WHO_MAY_USE[parts[0]]
            assert layer in users, f'{path}: only {sorted(users)} may use {name}'


@pytest.mark.parametrize(
    'path', [p for p in FILES if layer_of(p) == 'core'], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_core_knows_no_published_file(path: Path) -> None:
    """What NVIDIA's files are called is of no concern to a policy, once they are imported."""
    official = [
        name for name in imports(path) if name.startswith('cosmos_policy_ros.core.official')
    ]
    assert not official or path.parent.name == 'official', official


def test_core_knows_no_simulated_task() -> None:
    """Whoever adds a task writes its words beside it."""
    for path in (p for p in FILES if layer_of(p) == 'core'):
        found = re.search(r'\b(cube|peg|socket)s?\b', path.read_text(encoding='utf-8'))
        assert found is None, f'{path}: {found}'


def test_nobody_imports_the_command_line() -> None:
    """What a command does is a library, which takes no options of a command."""
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for name in imports(path)
        if name.startswith('cosmos_policy_ros.cli') and layer_of(path) != 'cli'
    }
    assert users == set()


def test_no_import_comes_back_to_its_own_module() -> None:
    """No circle among modules, also not by imports in functions or for type checkers only."""
    modules = {module_name(path): path for path in FILES}
    graph = {
        name: imported_modules(path, modules.keys()) - {name} for name, path in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f'import circle: {" <- ".join(error.args[1])}')


def test_reading_and_writing_episodes_needs_no_torch() -> None:
    """Every module of the data layer can be imported where torch is not installed."""
    files = [p for p in FILES if layer_of(p) == 'data']
    names = [module_name(p) for p in files]
    code = f"import sys; sys.modules['torch'] = None; import {', '.join(names)}"
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize('module', ['node_list', 'processes'])
def test_importing_the_package_loads_neither_torch_nor_ros(module: str) -> None:
    """The launch files and the command line start without the heavy modules."""
    code = (
        f'import sys, cosmos_policy_ros.stack.{module}\n'
        "print({'torch', 'rclpy', 'mujoco', 'numpy'} & set(sys.modules))"
    )
    command = [sys.executable, '-c', code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == 'set()'
