# SPDX-License-Identifier: Apache-2.0
"""Damaged files end in one line: never a trace, a hang or a crash, whatever is damaged in them.

Here 2,000 inputs are read; ``make fuzz`` reads 100,000.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from random import Random
import signal
import subprocess
import sys

from cosmos_policy_ros.data.episodes import list_episodes
from cosmos_policy_ros.types import ConfigError
import fuzz
from fuzz import Batch, deal, Fuzzer, read_all, read_damaged, read_pixels, Target, TARGETS
from hypothesis import given, HealthCheck, Phase, settings, strategies as st
import pytest

FOLDERS = iter(range(10**9))


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return target -> folder with files that nothing is wrong with."""
    folders = {name: tmp_path_factory.mktemp(name) for name in TARGETS}
    for name, target in TARGETS.items():
        target.make(folders[name])
    return folders


@pytest.mark.parametrize('name', TARGETS)
def test_damaged_file_is_named_or_read(name: str, whole: dict[str, Path], tmp_path: Path) -> None:
    """No other error than the one that says what is wrong leaves a reader."""

    @settings(
        max_examples=TARGETS[name].share,
        suppress_health_check=[*HealthCheck],
        database=None,
        derandomize=True,  # a run finds what the last one found
        phases=[Phase.generate],  # a smaller seed is no simpler file
    )
    @given(st.integers(0, 2**64 - 1))
    def read_one(seed: int) -> None:
        folder = tmp_path / str(next(FOLDERS))
        read_damaged(whole[name], folder, TARGETS[name], Random(seed))

    logging.disable(logging.WARNING)
    try:
        read_one()
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize('name', TARGETS)
def test_whole_file_is_read(name: str, whole: dict[str, Path]) -> None:
    """Else the damage of the others would say nothing."""
    if TARGETS[name].read is read_all:
        for stored in list_episodes(whole[name]):
            read_pixels(stored, 50.0)
    TARGETS[name].read(whole[name])


def test_inputs_are_dealt_by_their_shares_and_each_once() -> None:
    """And another seed deals others."""
    batches = deal(100_000, 0)
    assert sum(batch.n for batch in batches) == 100_000
    assert sum(batch.n for batch in batches if batch.target == 'hdf5') == 15_000
    numbers = {(b.target, b.first + i) for b in batches for i in range(b.n)}
    assert len(numbers) == 100_000
    assert not numbers & {(b.target, b.first) for b in deal(100_000, 1)}


def make_nothing(folder: Path) -> None:
    """Write a file that is damaged into others."""
    (folder / 'a').write_bytes(bytes(100))


def read_badly(folder: Path) -> None:
    """Trip over some files, and die of one."""
    number = int(folder.name)
    if number == 3:
        raise KeyError('x')
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 6:
        raise ConfigError('it is damaged')


def test_what_escapes_is_named_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trace and a crash are one input each; another run has nothing left to do."""
    monkeypatch.setitem(TARGETS, 'bad', Target(make_nothing, read_badly, 1))
    batches, log = [Batch('bad', 0, 4), Batch('bad', 4, 4)], tmp_path / 'log.jsonl'
    fuzzer = Fuzzer(batches, log, 2)
    fuzzer.run()
    assert fuzzer.done == 8
    trace, crash = sorted(fuzzer.escaped)
    assert trace[:2] == ('bad', 3)
    assert trace[2].startswith("KeyError: 'x' (test_fuzz.py:")
    assert crash == ('bad', 5, 'ended the process with status -9')
    again = Fuzzer(batches, log, 2)
    assert (again.done, sorted(again.escaped)) == (8, [trace, crash])
    again.run()
    assert len(log.read_text(encoding='utf-8').splitlines()) == 3


def test_a_run_that_was_broken_off_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the batches that are in its file, of which the last line may be torn."""
    monkeypatch.setitem(TARGETS, 'bad', Target(make_nothing, read_badly, 1))
    log = tmp_path / 'log.jsonl'
    entry = {'target': 'bad', 'first': 0, 'n': 6, 'seconds': 60.0, 'escaped': [[3, 'KeyError']]}
    log.write_text(json.dumps(entry) + '\n{"target": "bad", "fir', encoding='utf-8')
    fuzzer = Fuzzer([Batch('bad', 0, 8)], log, 1)
    assert (fuzzer.done, fuzzer.inputs) == (6, 8)
    fuzzer.run()
    assert (fuzzer.done, fuzzer.escaped) == (8, [('bad', 3, 'KeyError')])


@pytest.mark.slow
def test_program_says_its_figures_in_one_line(tmp_path: Path) -> None:
    """And has a status of its own for inputs that escaped."""
    command = [sys.executable, fuzz.__file__, '--inputs', '40', '--log', str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert 'damaged inputs of 10 kinds: 0 with a trace, 0 longer than 10 s, 0 that ended' in last
