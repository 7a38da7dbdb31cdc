# SPDX-License-Identifier: Apache-2.0
"""How much memory and time it takes to convert a long HDF5 file of camera images.

The file is written for the purpose: JPEG rows with the noise of a sensor, as ALOHA's recorders
leave them. The conversion is a process of its own, so that its peak is nobody else's.
"""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Any

from cosmos_policy_ros.data.assemble import camera_key
from cosmos_policy_ros.drivers.jpeg import encode_jpeg
from cosmos_policy_ros.report.machine import describe_machine, load_average
from cosmos_policy_ros.robot import read_robot, RobotSpec
import h5py
import numpy as np

LIMIT_MB = 1500.0  # what a machine beside a robot can spare
DISTINCT = 64  # images that are drawn; a long file repeats them
QUALITY = 80  # of the JPEG rows
RUN = 'from cosmos_policy_ros.cli import main; main()'


def measure_conversion(robot_file: Path, rows: int) -> dict[str, Any]:
    """Convert an HDF5 file to a LeRobot data set, print the peak of memory and return the figures.

    Args:
        robot_file: Robot YAML, whose joints and cameras the file has.
        rows: Rows of the file.

    Returns:
        ``peak_mb`` of memory of 10**6 bytes, ``seconds``, what was converted, and ``misses``: 1
        where the peak is over ``LIMIT_MB``.
    """
    robot = read_robot(robot_file)
    with tempfile.TemporaryDirectory(prefix='bench_conversion_') as folder:
        source = Path(folder) / 'episode_0.hdf5'
        write_long_file(source, robot, rows)
        command = [sys.executable, '-c', RUN, 'convert', str(source), f'{folder}/set']
        command += ['--to', 'lerobot', '--task', 'measure', '--source', 'demo']
        command += ['--robot', str(robot_file)]
        start_s = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start_s
        if child.returncode is None:
            child.returncode = os.waitstatus_to_exitcode(status)
    peak_mb = usage.ru_maxrss * 1024 / 1e6  # Linux counts in KiB
    sizes = [f'{camera.width}x{camera.height}' for camera in robot.cameras]
    figures = {
        'rows': rows,
        'cameras': sizes,
        'pixels_mb': round(rows * sum(c.width * c.height * 3 for c in robot.cameras) / 1e6),
        'peak_mb': round(peak_mb),
        'limit_mb': round(LIMIT_MB),
        'seconds': round(seconds, 1),
        'misses': int(peak_mb > LIMIT_MB or child.returncode != 0),
        'cores': describe_machine()['cores'],
        'load': load_average(),
    }
    print(
        f'{rows} rows of {", ".join(sizes)} ({figures["pixels_mb"]} MB of pixels) to LeRobot: '
        f'{figures["peak_mb"]} MB at most, limit {figures["limit_mb"]} MB, {seconds:.0f} s; '
        f'load {figures["load"]} on {figures["cores"]} cores'
    )
    return figures


def write_long_file(path: Path, robot: RobotSpec, rows: int) -> None:
    """Write an ALOHA HDF5 file of padded JPEG rows; the arms stand still.

    Args:
        path: File to write.
        robot: Joints and cameras.
        rows: Its length.
    """
    rng = np.random.default_rng(0)
    with h5py.File(path, 'w') as file:
        file['observations/qpos'] = file['action'] = np.tile(robot.start, (rows, 1))
        for camera in robot.cameras:
            slope = np.linspace(40.0, 200.0, camera.width)[None, :, None]
            drawn = [
                encode_jpeg((slope + noise).clip(0, 255).astype(np.uint8), QUALITY)
                for noise in rng.normal(0, 3, (DISTINCT, camera.height, 1, 3))
            ]
            n_bytes = max(map(len, drawn))
            stored = np.zeros((DISTINCT, n_bytes), np.uint8)
            for row, data in zip(stored, drawn, strict=True):
                row[: len(data)] = np.frombuffer(data, np.uint8)
            name = f'observations/images/{camera_key(camera.name)}'
            file[name] = stored[np.arange(rows) % DISTINCT]
