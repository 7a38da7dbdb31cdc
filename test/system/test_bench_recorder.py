# SPDX-License-Identifier: Apache-2.0
"""The measurement of the recorder finds what is lost, and runs from the command line."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys

from cosmos_policy_ros.bench.load import ARMS, SENSORS
from cosmos_policy_ros.bench.recorder import compare_stamps
from cosmos_policy_ros.data.bags.throughput import measure_writer, read_stamps
from cosmos_policy_ros.data.bags.writer import BagWriter
import numpy as np
import pytest

SECOND = 10**9


def write_bag(path: Path, n: int) -> None:
    """Write n images at 10 Hz from 1 s on."""
    with BagWriter(path, {}) as bag:
        for k in range(n):
            stamp_ns = SECOND + k * SECOND // 10
            bag.write_image('/high/image_raw', np.full((8, 8, 3), k, np.uint8), stamp_ns)


def test_stamps_are_read_without_decoding(tmp_path: Path) -> None:
    """They are those of the headers."""
    write_bag(tmp_path / 'a', 3)
    assert read_stamps(tmp_path / 'a', ['/high/image_raw', '/none']) == {
        '/high/image_raw': [SECOND, 1_100_000_000, 1_200_000_000],
        '/none': [],
    }


def test_a_message_that_is_missing_inside_the_window_is_lost(tmp_path: Path) -> None:
    """Those before the start and those still on their way at the end do not count."""
    write_bag(tmp_path / 'a', 10)
    published = [SECOND + k * SECOND // 10 for k in range(-5, 25)]
    for stream in (*SENSORS, ARMS):
        stamps = {'/high/image_raw': published} if stream == 'high' else {}
        (tmp_path / f'{stream}.json').write_text(json.dumps(stamps), encoding='utf-8')
    window = {'start_ns': SECOND, 'stop_ns': 2 * SECOND + 240_000_000}
    rows = compare_stamps(tmp_path, tmp_path / 'a', window)
    assert rows == {'/high/image_raw': {'published': 10, 'recorded': 10, 'lost': 0}}
    window['stop_ns'] += 200_000_000
    assert compare_stamps(tmp_path, tmp_path / 'a', window)['/high/image_raw']['lost'] == 2


def test_the_plain_writer_has_a_speed(tmp_path: Path) -> None:
    """It writes a copy that holds what the bag holds."""
    write_bag(tmp_path / 'a', 10)
    assert measure_writer(tmp_path / 'a', tmp_path / 'b') > 0
    stamps = [read_stamps(tmp_path / x, ['/high/image_raw']) for x in 'ab']
    assert stamps[0] == stamps[1]


@pytest.mark.slow
def test_bench_writes_its_figures(tmp_path: Path, domain: int) -> None:
    """All six streams, every message either recorded or lost; exit status 1 says some were."""
    pytest.importorskip('rclpy')
    command = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()']
    command += ['bench', 'recorder', '--seconds', '2', '--domain', str(domain)]
    done = subprocess.run(
        [*command, '--json', str(tmp_path / 'x.json')],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    figures = json.loads((tmp_path / 'x.json').read_text(encoding='utf-8'))
    assert done.returncode == (1 if figures['lost'] else 0), done.stderr
    assert len(figures['topics']) == 6
    for row in figures['topics'].values():
        assert row['published'] == row['recorded'] + row['lost'] > 0
    assert figures['topics']['/high/image_raw']['recorded'] > 0
    assert figures['mb_per_s'] > 0
    assert 0 < figures['saved_s'] < 60
    assert figures['cpu_share'] > 0
    assert figures['peer_mb_per_s'] > 0
    assert '/follower_left/joint_states' in done.stdout
