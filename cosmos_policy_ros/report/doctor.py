# SPDX-License-Identifier: Apache-2.0
"""What this machine and its software are like, for running a stack: each fact good or with advice.

Nothing is changed, and nothing is downloaded. The last check starts processes: the sensors of a
robot are published by three of them, and another one counts what arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distribution, PackageNotFoundError, version
import os
from pathlib import Path
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile

from cosmos_policy_ros.data.bags.message_ring import list_reports
from cosmos_policy_ros.finding import Finding, judge
from cosmos_policy_ros.report.machine import describe_machine, load_average
from cosmos_policy_ros.resources import fault_reports, PACKAGE, robot_file, ros_logs
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.domain import choose_own_domain, HIGHEST_DOMAIN, LAST_DOMAIN
from cosmos_policy_ros.stack.node_list import CHECK, FAKE_SENSOR
from cosmos_policy_ros.stack.processes import can_log, start_node, stop_nodes
from cosmos_policy_ros.stack.running import find_ros_trouble, run_stack
from cosmos_policy_ros.system_errors import TEMPORARY_ADVICE
from cosmos_policy_ros.types import ConfigError
from packaging.requirements import Requirement
import psutil

GB = 1e9
MEMORY_GB, FREE_GB = 4.0, 5.0  # free: a stack needs 3 GB of memory; an hour of recording, of disk
FILES = 1024  # open at a time, what Linux allows by itself
SHARED_MB = 512.0  # of shared memory: 32 MB for each of a dozen processes
STALE = 500  # files of DDS in shared memory, beyond which most are of killed processes
PRIORITY = 50  # SCHED_FIFO priority of the executor
ROBOT = 'aloha_sim'  # whose sensors are published
SHOWN = ('torch', 'diffusers', 'mujoco', 'numpy', 'rclpy', 'onnxruntime', 'openvino')
ROS_PROBE = (
    'import rclpy; from rclpy.utilities import get_rmw_implementation_identifier as rmw; '
    'print(rclpy.__file__); print(rmw())'
)
DRAW_PROBE = (
    'from cosmos_policy_ros.mujoco_import import missing, mujoco; '
    'model = mujoco.MjModel.from_xml_string("<mujoco/>"); '
    'assert not missing, missing; mujoco.Renderer(model, 8, 8).close()'
)
GPU_PROBE = 'import torch; print(torch.cuda.get_device_name(0))'
MESSAGES = {  # message package -> who needs it
    'control_msgs': 'JointTrajectoryControllers and grippers behind actions',
    'interbotix_xs_msgs': 'Interbotix arms',
    'tf2_msgs': 'transforms from the simulator',
}


def examine_machine() -> Iterator[Finding]:
    """Yield what is found out about processors, memory, disk and real-time limits."""
    machine = describe_machine()
    cores, load = machine['cores'], load_average()
    yield Finding('machine', 'processor', f'{machine["processor"]}, {cores} cores')
    yield judge(
        'machine',
        'load',
        load < cores,
        f'{load:g} in the last minute',
        f'below {cores}',
        'close what else runs here; commands come late and answers slowly',
        'warning',
    )
    memory = psutil.virtual_memory()
    yield judge(
        'machine',
        'memory',
        memory.available > MEMORY_GB * GB,
        f'{memory.available / GB:.1f} of {memory.total / GB:.1f} GB free',
        f'{MEMORY_GB:g} GB free',
        'close what else runs here',
        'warning',
    )
    yield from _find_shell_limits()
    yield from _find_limits()
    for name, folder in {'here': Path.cwd(), 'temporary files': _temporary()}.items():
        if folder is None:
            found = 'no folder that can be written'
            yield Finding('disk', name, found, 'one', TEMPORARY_ADVICE, 'error')
            continue
        free_gb = shutil.disk_usage(folder).free / GB
        yield judge(
            'disk',
            name,
            free_gb > FREE_GB,
            f'{free_gb:.1f} GB free in {folder}',
            f'{FREE_GB:g} GB',
            'recordings and trainings need another disk; give it by --out',
            'warning',
        )
        yield judge(
            'disk',
            f'{name}, rights',
            os.access(folder, os.W_OK),
            'writable' if os.access(folder, os.W_OK) else 'not writable',
            'writable',
            f'give another folder by --out, or the rights to {folder}',
        )


def _temporary() -> Path | None:
    """Return the folder of temporary files, None where there is none that can be written."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return None


def _find_shell_limits() -> Iterator[Finding]:
    """Yield what the shell allows a process, as ``ulimit`` shows it."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield judge(
        'machine',
        'open files',
        files >= FILES,
        str(files),
        f'at least {FILES} a process',
        'ulimit -n 4096; processes do not start otherwise',
        'warning',
    )
    size = resource.getrlimit(resource.RLIMIT_AS)[0]
    unlimited = size == resource.RLIM_INFINITY
    yield judge(
        'machine',
        'memory of a process',
        unlimited,
        'unlimited' if unlimited else f'{size / GB:.1f} GB',
        'unlimited',
        'ulimit -v unlimited; networks are not loaded otherwise',
        'warning',
    )


def _find_limits() -> Iterator[Finding]:
    """Yield whether the control loop may have real-time scheduling and keep its memory."""
    priority = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    root = os.geteuid() == 0
    most = 'any' if root or priority == resource.RLIM_INFINITY else str(priority)
    yield judge(
        'real time',
        'priority',
        most == 'any' or priority >= PRIORITY,
        most,
        f'at least {PRIORITY}',
        'add "@realtime - rtprio 99" and "@realtime - memlock unlimited" to '
        '/etc/security/limits.conf, yourself to the group realtime, and log in again; without, '
        'commands are late under load',
        'warning',
    )
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    unlimited = root or locked == resource.RLIM_INFINITY
    yield judge(
        'real time',
        'locked memory',
        unlimited,
        'unlimited' if unlimited else f'{locked / 1e6:.0f} MB',
        'unlimited',
        'as for the priority',
        'warning',
    )


def examine_graphics() -> Iterator[Finding]:
    """Yield whether cameras can be simulated, and which GPU runs the networks."""
    shown = os.environ.get('MUJOCO_GL', '')
    trouble = _probe(DRAW_PROBE)[1]
    yield judge(
        'graphics',
        'drawing',
        not trouble,
        trouble or f'works with MUJOCO_GL={shown}',
        'works',
        'needed by the simulator alone: unset MUJOCO_GL, or on Debian and Ubuntu apt-get install '
        'libegl1 libgl1-mesa-dri',
        'warning',
    )
    name, trouble = _probe(GPU_PROBE)
    yield Finding('graphics', 'GPU', name if not trouble else 'none that torch can use')
    if not trouble:
        engines = [p for p in ('tensorrt', 'tensorrt_rtx') if _version(p.replace('_', '-'))]
        yield judge(
            'graphics',
            'TensorRT',
            bool(engines),
            ', '.join(engines) or 'none',
            'installed',
            "pip install '.[gpu]', then cosmos-policy export --backend tensorrt",
            'warning',
        )


def examine_packages() -> Iterator[Finding]:
    """Yield which Python packages are there, and which that are needed are not."""
    yield Finding('packages', 'Python', f'{platform.python_version()} ({sys.executable})')
    found = {name: _version(name) for name in SHOWN}
    yield Finding('packages', 'versions', ', '.join(f'{n} {v}' for n, v in found.items() if v))
    try:
        wanted = [Requirement(text) for text in distribution(PACKAGE).requires or ()]
    except PackageNotFoundError:  # a source tree on PYTHONPATH
        return
    needed = [r.name for r in wanted if r.marker is None or r.marker.evaluate({'extra': ''})]
    missing = [name for name in needed if not _version(name)]
    yield judge(
        'packages',
        'needed',
        not missing,
        f'{missing} missing' if missing else f'all {len(needed)} are there',
        '',
        f'pip install {" ".join(missing)}',
    )


def examine_ros() -> Iterator[Finding]:
    """Yield which ROS 2 there is, and how its nodes find each other."""
    output, trouble = _probe(ROS_PROBE)
    if trouble:
        advice = find_ros_trouble(trouble) or 'source ROS 2, or run make setup'
        yield Finding('ROS 2', 'rclpy', trouble, 'imports', advice, 'error')
        return
    where, middleware = output.splitlines()
    distro = os.environ.get('ROS_DISTRO') or 'from wheels'
    yield Finding('ROS 2', 'rclpy', f'{distro}, {Path(where).parent}')
    asked = os.environ.get('RMW_IMPLEMENTATION', '')
    yield judge(
        'ROS 2',
        'middleware',
        asked in ('', middleware),
        middleware,
        asked,
        f'unset RMW_IMPLEMENTATION, or install {asked}',
    )
    logs, writable = ros_logs(), can_log()
    yield judge(
        'ROS 2',
        'logs',
        writable,
        f'{logs or "no HOME"}{"" if writable else ", not writable"}',
        'a folder that can be written',
        'set ROS_LOG_DIR to one; nodes of a launch file do not start, commands log elsewhere',
        'warning',
    )
    for package, user in MESSAGES.items():
        there = not _probe(f'import {package}')[1]
        found = f'{"there" if there else "not there"}; only for {user}'
        yield Finding('ROS 2', package, found)
    yield from _find_discovery()


def examine_reports() -> Iterator[Finding]:
    """Yield where the newest report of a fault is, which ``black_box`` has written."""
    folder = fault_reports()
    reports = list_reports(folder)
    found = f'{len(reports)}, the newest {reports[-1]}' if reports else f'none in {folder}'
    yield Finding('faults', 'reports', found)


def _find_discovery() -> Iterator[Finding]:
    """Yield who may meet the nodes of this machine."""
    domain = os.environ.get('ROS_DOMAIN_ID', '')
    is_one = domain.isascii() and domain.isdecimal() and int(domain) <= LAST_DOMAIN
    yield judge(
        'discovery',
        'ROS_DOMAIN_ID',
        not domain or (is_one and int(domain) <= HIGHEST_DOMAIN),
        domain or 'not set: 0; demo chooses one',
        f'a number from 0 to {HIGHEST_DOMAIN}',
        'set it to one, or unset it; '
        + ('demo takes no other' if is_one else 'nodes do not start'),
        'warning' if is_one else 'error',
    )
    old = os.environ.get('ROS_LOCALHOST_ONLY', '')
    if os.environ.get('ROS_DISTRO') == 'humble':  # which knows none of the others
        yield judge(
            'discovery',
            'ROS_LOCALHOST_ONLY',
            old == '1',
            old or 'not set: the whole network',
            '1: this machine',
            'export ROS_LOCALHOST_ONLY=1, for drivers of arms and cameras too: without it '
            'everybody on the network sees the robot and can move it',
            'warning',
        )
        return
    reach = os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', '')
    yield judge(
        'discovery',
        'range',
        reach in ('', 'LOCALHOST', 'SUBNET'),
        f'ROS_AUTOMATIC_DISCOVERY_RANGE={reach}' if reach else 'this machine',
        'LOCALHOST, or SUBNET for several machines',
        'unset ROS_AUTOMATIC_DISCOVERY_RANGE: '
        + ('nodes do not find each other' if reach == 'OFF' else 'ROS decides who sees the robot'),
        'warning',
    )
    peers = os.environ.get('ROS_STATIC_PEERS', '')
    yield judge(
        'discovery',
        'peers',
        not peers,
        f'ROS_STATIC_PEERS={peers}' if peers else 'none',
        'none, or machines that belong to this robot',
        'unset ROS_STATIC_PEERS unless these machines shall see the robot',
        'warning',
    )
    yield judge(
        'discovery',
        'ROS_LOCALHOST_ONLY',
        not old,
        old or 'not set',
        'not set',
        'unset it: it overrides ROS_AUTOMATIC_DISCOVERY_RANGE',
        'warning',
    )


def examine_shared_memory() -> Iterator[Finding]:
    """Yield whether images can go from process to process through shared memory."""
    folder = Path('/dev/shm')
    if not os.access(folder, os.W_OK):
        yield Finding(
            'shared memory',
            'size',
            f'{folder} cannot be written',
            'a file system in memory',
            'docker run --shm-size=1g; demonstrate, evaluate and train start no processes '
            'otherwise, and images of a stack go by UDP, which is slower',
            'error',
        )
        return
    usage = shutil.disk_usage(folder)
    yield judge(
        'shared memory',
        'size',
        usage.free > SHARED_MB * 1e6,
        f'{usage.free / 1e6:.0f} of {usage.total / 1e6:.0f} MB free',
        f'{SHARED_MB:g} MB free',
        'docker run --shm-size=1g; images are lost otherwise',
        'warning',
    )
    n = len([*folder.glob('*fast*')])
    yield judge(
        'shared memory',
        'files of DDS',
        n < STALE,
        str(n),
        f'below {STALE}',
        'most are of processes that were killed; fastdds shm clean takes away those',
        'warning',
    )


def examine_messages() -> Iterator[Finding]:
    """Yield whether images and joint states get from one process to another at their rate."""
    if _temporary() is None:
        return  # which was said
    choose_own_domain()  # what is imitated must not be taken for the robot that runs
    path = robot_file(ROBOT)
    robot = read_robot(path)
    streams = {camera.topic for camera in robot.cameras} | {*robot.joint_state_topics}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        (out / 'logs').mkdir()
        values = {'robot': str(path), 'out': str(out)}
        names = [*(camera.name for camera in robot.cameras), 'arms']
        senders = []
        try:
            for name in names:
                log = out / f'{name}.log'
                senders.append(start_node(FAKE_SENSOR, values | {'stream': name}, log))
            with run_stack(values, out, CHECK, ()) as stack:
                events = list(stack.follow())
        except (ChildProcessError, ConfigError) as error:
            yield Finding('messages', 'processes', str(error), 'run', level='error')
            return
        finally:
            stop_nodes(senders)
    for event in events:
        lost = event.get('check') == 'messages' and event['level'] != 'ok'
        if event.get('subject') in streams and (lost or event.get('check') == 'rate'):
            yield judge(
                'messages',
                event['subject'],
                event['level'] == 'ok',
                event['found'],
                event['expected'],
                'messages are lost between processes of this machine; see load, shared memory '
                'and discovery above, and a firewall for loopback',
            )


def _probe(code: str) -> tuple[str, str]:
    """Return what Python code prints in a process of its own, and why it failed, empty if not."""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    errors = done.stderr.strip() or f'exit status {done.returncode}'
    lines = [line for line in errors.splitlines() if line[:1] not in ('', ' ')]
    named = [line for line in lines if re.match(r'[\w.]+(Error|Exception): ', line)]
    return done.stdout.strip(), (named or lines)[-1] if done.returncode else ''


def _version(package: str) -> str:
    """Return the version of an installed package, empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ''
