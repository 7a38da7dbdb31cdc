# SPDX-License-Identifier: Apache-2.0
"""What is installed, declared and pinned agrees with what is there."""

from __future__ import annotations

import ast
from collections import Counter
import os
from pathlib import Path
import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

import cosmos_policy_ros
from cosmos_policy_ros.robot import read_robot
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
import pytest
from setuptools import Distribution
from test_layering import FILES, imports, ROS_MODULES

ROOT = Path(__file__).parents[2]
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()
PYTHONS = ('3.10', '3.11', '3.12', '3.13')
REQUIRED = ('requirements.txt', 'requirements-dev.txt')
NOT_DECLARED = {'interbotix_xs_msgs'}  # only where such a robot is; imported in one function


@pytest.fixture(scope='module')
def distribution() -> Distribution:
    """Return what setup.py declares."""
    from distutils.core import run_setup  # setuptools provides it where Python does not

    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return run_setup('setup.py', stop_after='init')
    finally:
        os.chdir(before)


def requirements(name: str) -> list[Requirement]:
    """Return the requirements of a pip file."""
    lines = (ROOT / name).read_text(encoding='utf-8').splitlines()
    return [Requirement(text) for line in lines if (text := line.partition('#')[0].strip())]


def script_array(name: str) -> list[str]:
    """Return the words of a constant of the set-up script."""
    text = (ROOT / 'scripts' / 'setup_env.sh').read_text(encoding='utf-8')
    match = re.search(rf'^readonly {name}=\(?([^)#\n]*)', text, re.MULTILINE)
    assert match is not None
    return match[1].split()


def test_package_and_manifest_have_one_version(distribution: Any) -> None:
    """The version is written in package.xml and repeated in the package."""
    assert MANIFEST.findtext('version') == cosmos_policy_ros.__version__
    assert distribution.get_version() == cosmos_policy_ros.__version__


def test_every_executable_has_a_main(distribution: Any) -> None:
    """Each console script leads to a function that exists."""
    for script in distribution.entry_points['console_scripts']:
        module, function = script.partition('=')[2].strip().split(':')
        path = ROOT / module.replace('.', '/')
        path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
        tree = ast.parse(path.read_text(encoding='utf-8'))
        assert function in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}, script


def test_every_node_is_an_executable(distribution: Any) -> None:
    """``ros2 run`` finds each node, and the command is there."""
    names = {s.partition('=')[0].strip() for s in distribution.entry_points['console_scripts']}
    modules = {f.stem for f in (ROOT / 'cosmos_policy_ros' / 'nodes').glob('[!_]*.py')}
    assert names == modules | {'cosmos-policy'}


def test_every_module_folder_is_installed(distribution: Any) -> None:
    """A folder without ``__init__.py`` would be missing after colcon build."""
    package = ROOT / 'cosmos_policy_ros'
    folders = {f.parent.relative_to(ROOT) for f in package.rglob('*.py')}
    assert {'.'.join(f.parts) for f in folders} == set(distribution.packages)


@pytest.mark.parametrize('top', ['launch', 'config', 'models'])
def test_every_data_file_is_installed(distribution: Any, top: str) -> None:
    """Launch files, configuration and checkpoints reach share/ in the same folders."""
    share = Path('share', 'cosmos_policy_ros')
    installed = {Path(to) / Path(f).name for to, files in distribution.data_files for f in files}
    there = {
        share / f.relative_to(ROOT)
        for f in (ROOT / top).rglob('*')
        if f.is_file() and not {'__pycache__', 'engines'} & set(f.parts)
    }
    assert there - installed == set()


def test_the_package_is_registered_in_the_ament_index(distribution: Any) -> None:
    """Without the marker ``ros2 launch`` does not know the package."""
    marker = ('share/ament_index/resource_index/packages', ['resource/cosmos_policy_ros'])
    assert marker in distribution.data_files
    assert (ROOT / 'resource' / 'cosmos_policy_ros').is_file()


def test_every_ros_package_that_is_imported_is_declared() -> None:
    """What the nodes import is what rosdep installs."""
    declared = {e.text for tag in ('depend', 'exec_depend') for e in MANIFEST.iter(tag)}
    used = {name.partition('.')[0] for path in FILES for name in imports(path)} & ROS_MODULES
    assert used - declared - NOT_DECLARED == set()


@pytest.mark.parametrize('python', PYTHONS)
def test_every_requirement_is_pinned_once(python: str) -> None:
    """Each supported Python gets exactly one version of each package."""
    environment = {'python_version': python, 'python_full_version': f'{python}.0'}
    pins = [
        r
        for r in requirements('constraints.txt')
        if r.marker is None or r.marker.evaluate(environment)
    ]
    assert [str(r) for r in pins if not re.fullmatch(r'==[\w.]+', str(r.specifier))] == []
    counts = Counter(canonicalize_name(r.name) for r in pins)
    assert [name for name, n in counts.items() if n > 1] == []
    wanted = [r.name for f in REQUIRED for r in requirements(f)]
    wanted += script_array('ROS_WHEELS') + script_array('ALONE')
    assert {canonicalize_name(n) for n in wanted} - set(counts) == set()


@pytest.mark.slow
def test_the_wheel_names_what_it_needs_and_runs(tmp_path: Path) -> None:
    """Installed into a folder of its own, beside the packages that it asks pip for."""
    pip = [sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check']
    build = [*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', tmp_path, ROOT]
    subprocess.run(build, check=True, timeout=120)
    [wheel] = tmp_path.glob('*.whl')
    with ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith('.dist-info/METADATA')]
        metadata = archive.read(name).decode()
    named = re.findall(r'^Requires-Dist: ([\w-]+)$', metadata, re.MULTILINE)
    assert named == [r.name for r in requirements('requirements.txt')]
    assert 'Requires-Dist: ros-jazzy-rclpy; extra == "ros"' in metadata
    place = tmp_path / 'place'
    install = [*pip, 'install', '--no-deps', '--ignore-installed', '--prefix', place, wheel]
    subprocess.run(install, check=True, timeout=120)
    [site] = place.rglob('site-packages')
    told = subprocess.run(
        [sys.executable, place / 'bin' / 'cosmos-policy', 'export', '--help'],
        env=os.environ | {'PYTHONPATH': str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert 'Write the network of checkpoints for a faster runtime' in told
    assert (place / 'share' / 'cosmos_policy_ros' / 'config' / 'nodes.yaml').is_file()


def test_an_image_fits_into_a_message_of_the_dds_profile() -> None:
    """A larger image would leave shared memory and be lost."""
    tree = ElementTree.parse(ROOT / 'config' / 'fastdds.xml')
    tag = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'
    limit = int(next(tree.iter(f'{tag}maxMessageSize')).text or 0)
    robots = [read_robot(f, simulated=True) for f in (ROOT / 'config' / 'robots').glob('*.yaml')]
    sizes = [3 * c.width * c.height for robot in robots for c in robot.cameras]
    assert max(sizes) + 65536 < limit


def copy_for_setup(folder: Path) -> Path:
    """Return a folder with what the set-up script reads."""
    for name in ('constraints.txt', *REQUIRED, 'package.xml', 'setup.py', 'setup.cfg'):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / 'cosmos_policy_ros' / 'nodes').mkdir(parents=True)
    (folder / 'cosmos_policy_ros' / 'nodes' / '__init__.py').touch()
    (folder / 'scripts').mkdir()
    script = folder / 'scripts' / 'setup_env.sh'
    script.write_bytes((ROOT / 'scripts' / 'setup_env.sh').read_bytes())
    return script


def run_setup_script(script: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up script without a sourced ROS 2."""
    kept = {n: v for n, v in os.environ.items() if n not in ('ROS_DISTRO', 'AMENT_PREFIX_PATH')}
    return subprocess.run(
        ['bash', str(script)],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_setup_without_a_usable_python_says_which_it_needs(tmp_path: Path) -> None:
    """The message names the versions and the remedy."""
    script = copy_for_setup(tmp_path)
    result = run_setup_script(script, PYTHON=str(tmp_path / 'no-python'))
    assert result.returncode == 1
    assert 'no Python 3.10 to 3.13 found' in result.stderr
    assert 'make setup PYTHON=' in result.stderr
    assert not (tmp_path / '.venv').exists()


def test_setup_on_arm64_without_ros_says_what_to_install(tmp_path: Path) -> None:
    """There are no ROS 2 wheels for it."""
    script = copy_for_setup(tmp_path)
    uname = tmp_path / 'bin' / 'uname'
    uname.parent.mkdir()
    uname.write_text('#!/bin/sh\n[ "$1" = -m ] && echo aarch64 || echo Linux\n', encoding='utf-8')
    uname.chmod(0o755)
    path = f'{uname.parent}{os.pathsep}{os.environ["PATH"]}'
    result = run_setup_script(script, PATH=path, PYTHON=sys.executable)
    assert result.returncode == 1
    assert 'this machine is aarch64' in result.stderr
    assert 'Install ROS 2 (Humble, Jazzy or later)' in result.stderr


def test_setup_with_a_ros_that_no_python_can_import_says_so(tmp_path: Path) -> None:
    """A sourced ROS 2 without rclpy is named."""
    script = copy_for_setup(tmp_path)
    ros = {'ROS_DISTRO': 'jazzy', 'AMENT_PREFIX_PATH': '/opt/ros/jazzy'}
    result = run_setup_script(script, PYTHON=str(tmp_path / 'no-python'), **ros)
    assert result.returncode == 1
    assert 'ROS 2 jazzy is sourced, but no Python here can import its rclpy' in result.stderr
