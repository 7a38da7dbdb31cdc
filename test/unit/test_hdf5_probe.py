# SPDX-License-Identifier: Apache-2.0
"""A file from which the HDF5 library does not come back is named, and those after it are read."""

from __future__ import annotations

from pathlib import Path
import struct

from cosmos_policy_ros.data import hdf5_probe
from cosmos_policy_ros.data.hdf5 import hdf5_labels, read_hdf5, write_hdf5
from cosmos_policy_ros.data.hdf5_probe import Hdf5Probe
from cosmos_policy_ros.types import ConfigError
import h5py
import numpy as np
import pytest
from samples import ROBOT, sample_episode

EMPTY = struct.pack('<HHIQ', 0, 0, 0, 0)  # header of a free object of no size, behind itself


def damage_heap(path: Path) -> None:
    """Let the first object of the first heap of a file be followed by itself."""
    data = bytearray(path.read_bytes())
    at = data.index(b'GCOL') + 16
    data[at : at + len(EMPTY)] = EMPTY
    path.write_bytes(data)


def test_damage_that_the_library_turns_in_for_ever_is_named(tmp_path: Path) -> None:
    """Otherwise nothing but ``kill -9`` would end the command."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(0, 6), ROBOT)
    whole = tmp_path / 'b.hdf5'
    write_hdf5(whole, sample_episode(1, 6), ROBOT)
    damage_heap(tmp_path / 'a.hdf5')
    for _ in range(2):
        with pytest.raises(ConfigError, match=r'a\.hdf5: damaged: the HDF5 library does not come'):
            hdf5_labels(tmp_path / 'a.hdf5')
    assert len(read_hdf5(whole, ROBOT).actions) == 6


def test_rows_of_variable_length_are_tried_too(tmp_path: Path) -> None:
    """They hold the images of some recorders, and lie where the texts do."""
    path = tmp_path / 'a.hdf5'
    with h5py.File(path, 'w') as file:
        rows = file.create_dataset('images', (3,), h5py.vlen_dtype(np.uint8))
        for i in range(3):
            rows[i] = np.full(40, i, np.uint8)
    Hdf5Probe().check(path)
    damage_heap(path)
    with pytest.raises(ConfigError, match='does not come back from what follows'):
        Hdf5Probe().check(path)


def test_file_that_ends_the_process_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would have been a segmentation fault is one line, and the next file is tried again."""
    loop = 'for line in sys.stdin:\n'
    program = hdf5_probe.PROGRAM.replace(loop, f"{loop}    if 'bad' in line: os._exit(1)\n")
    monkeypatch.setattr(hdf5_probe, 'PROGRAM', f'import os\n{program}')
    for name in ('bad', 'good'):
        h5py.File(tmp_path / f'{name}.hdf5', 'w').close()
    probe = Hdf5Probe()
    with pytest.raises(
        ConfigError, match=r'bad\.hdf5: damaged: the HDF5 library ends the process'
    ):
        probe.check(tmp_path / 'bad.hdf5')
    probe.check(tmp_path / 'good.hdf5')


def test_file_is_tried_again_when_it_was_copied_anew(tmp_path: Path) -> None:
    """What was wrong with the one before it does not count."""
    path, probe = tmp_path / 'a.hdf5', Hdf5Probe()
    write_hdf5(path, sample_episode(0, 6), ROBOT)
    whole = path.read_bytes()
    damage_heap(path)
    with pytest.raises(ConfigError, match='damaged'):
        probe.check(path)
    path.write_bytes(whole + bytes(1))
    probe.check(path)


def test_without_another_process_files_are_read_untried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python that cannot start another one still reads what is whole."""
    monkeypatch.setattr(hdf5_probe, 'PROGRAM', 'raise SystemExit(1)')
    h5py.File(tmp_path / 'a.hdf5', 'w').close()
    Hdf5Probe().check(tmp_path / 'a.hdf5')


def test_process_that_was_ended_between_two_files_is_started_anew(tmp_path: Path) -> None:
    """As by a system without memory: no file is damaged for that, and the next is tried."""
    whole, path, probe = tmp_path / 'a.hdf5', tmp_path / 'b.hdf5', Hdf5Probe()
    for each in (whole, path):
        write_hdf5(each, sample_episode(0, 6), ROBOT)
    damage_heap(path)
    probe.check(whole)
    assert probe._process is not None
    probe._process.kill()
    probe._process.wait()
    with pytest.raises(ConfigError, match=r'b\.hdf5: damaged: .* does not come back'):
        probe.check(path)


def test_what_lies_behind_an_attribute_that_cannot_be_read_is_tried_too(tmp_path: Path) -> None:
    """Whoever reads the file may not ask for that attribute."""
    path = tmp_path / 'a.hdf5'
    with h5py.File(path, 'w') as file:
        kind = h5py.h5t.UNIX_D32LE  # a time, which NumPy does not have
        h5py.h5a.create(file.id, b'made', kind, h5py.h5s.create(h5py.h5s.SCALAR))
        rows = file.create_dataset('images', (3,), h5py.vlen_dtype(np.uint8))
        for i in range(3):
            rows[i] = np.full(40, i, np.uint8)
    damage_heap(path)
    with pytest.raises(ConfigError, match='does not come back from what follows'):
        Hdf5Probe().check(path)


def test_nothing_of_the_folder_in_which_a_person_works_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file there may be called as a module is."""
    write_hdf5(tmp_path / 'a.hdf5', sample_episode(0, 6), ROBOT)
    damage_heap(tmp_path / 'a.hdf5')
    (tmp_path / 'resource.py').write_text('raise SystemExit(1)')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match='does not come back'):
        Hdf5Probe().check(tmp_path / 'a.hdf5')
