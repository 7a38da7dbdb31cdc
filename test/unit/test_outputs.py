# SPDX-License-Identifier: Apache-2.0
"""Results are refused before the work where they cannot be written, and are there whole or not."""

from __future__ import annotations

from collections.abc import Callable
import errno
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

from cosmos_policy_ros.cli import bench, compare, evaluate, oracle, report, train
from cosmos_policy_ros.outputs import check_folder, check_output, whole_file, whole_folder
from cosmos_policy_ros.types import ConfigError
import pytest

MISSING = Path('none/file')


@pytest.mark.parametrize(
    ('run', 'options'),
    [
        (bench.run, bench.Bench('all', json=MISSING)),
        (compare.run, compare.Compare((Path('base.json'),), plot=MISSING)),
        (evaluate.run, evaluate.Evaluate(json=MISSING)),
        (oracle.run, oracle.Oracle(json=MISSING)),
        (report.run, report.Report((Path('bags'),), out=MISSING)),
        (train.run, train.Train((Path('data'),), Path('out'), json=MISSING)),
    ],
    ids=lambda v: type(v).__name__ if not callable(v) else '',
)
def test_a_missing_folder_is_told_first(
    run: Callable[[Any], int], options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing was done."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match='none/file: there is no folder none; make it first'):
        run(options)
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_when_it_is_whole(tmp_path: Path) -> None:
    """Until then readers find the old one; the suffix stays, by which some writers choose."""
    path = tmp_path / 'figures.json'
    path.write_text('old', encoding='utf-8')
    with whole_file(path) as file:
        file.write_text('new', encoding='utf-8')
        assert path.read_text(encoding='utf-8') == 'old'
        assert file.name == 'figures.partial.json'
    assert path.read_text(encoding='utf-8') == 'new'
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    """And nothing beside it."""
    path = tmp_path / 'figures.json'
    path.write_text('old', encoding='utf-8')
    with pytest.raises(RuntimeError, match='disk full'):
        write_half(path)
    assert path.read_text(encoding='utf-8') == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    """What an interrupted run left is not mixed into it."""
    (tmp_path / 'set.partial').mkdir()
    (tmp_path / 'set.partial' / 'left').touch()
    with whole_folder(tmp_path / 'set') as folder:
        folder.mkdir()
        (folder / 'a').touch()
        assert not (tmp_path / 'set').exists()
    assert [p.name for p in (tmp_path / 'set').iterdir()] == ['a']


def test_a_folder_that_was_not_finished_is_removed(tmp_path: Path) -> None:
    """Also where somebody pressed Ctrl-C."""
    with pytest.raises(KeyboardInterrupt):
        fill_half(tmp_path / 'set')
    assert list(tmp_path.iterdir()) == []


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """Files of the old one do not mix with those of the new one."""
    for name in ('a', 'b'):
        with whole_folder(tmp_path / 'below' / 'engine', replace=True) as folder:
            folder.mkdir()
            (folder / name).touch()
    assert [p.name for p in (tmp_path / 'below').iterdir()] == ['engine']
    assert [p.name for p in (tmp_path / 'below' / 'engine').iterdir()] == ['b']


def test_a_killed_writer_does_not_stop_the_next(tmp_path: Path) -> None:
    """What it wrote lies beside the place, and the next writer starts from nothing."""
    path = tmp_path / 'figures.json'
    code = (
        'import os, pathlib\n'
        'from cosmos_policy_ros.outputs import whole_file\n'
        f'with whole_file(pathlib.Path({str(path)!r})) as file:\n'
        "    file.write_text('half')\n"
        '    os.abort()\n'
    )
    subprocess.run([sys.executable, '-c', code], check=False, stderr=subprocess.DEVNULL)
    assert [p.name for p in tmp_path.iterdir()] == ['figures.partial.json']
    with whole_file(path) as file:
        assert not file.exists()
        file.write_text('whole')
    assert [p.name for p in tmp_path.iterdir()] == ['figures.json']


def test_a_block_that_writes_nothing_is_a_mistake(tmp_path: Path) -> None:
    """It names the file that is not there."""
    with pytest.raises(FileNotFoundError, match='figures'), whole_file(tmp_path / 'figures.json'):
        pass


def write_half(path: Path) -> None:
    """Write a part of a file."""
    with whole_file(path) as file:
        file.write_text('ne', encoding='utf-8')
        raise RuntimeError('disk full')


def fill_half(path: Path) -> None:
    """Write a part of a folder."""
    with whole_folder(path) as folder:
        folder.mkdir()
        raise KeyboardInterrupt


def fail_to_write(out: Path, number: int) -> None:
    """Write a file, then fail as the system does."""
    with whole_folder(out) as folder:
        folder.mkdir()
        (folder / 'first').write_bytes(bytes(300_000))
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ('number', 'line'),
    [
        (errno.ENOSPC, r'the disk is full after 0\.3 MB of it, and nothing of it was kept; [0-9]'),
        (errno.EROFS, 'cannot be written: Read-only file system; choose another folder'),
    ],
)
def test_a_disk_that_takes_nothing_is_one_line(tmp_path: Path, number: int, line: str) -> None:
    """And nothing is left behind."""
    with pytest.raises(ConfigError, match=f'out.*{line}'):
        fail_to_write(tmp_path / 'out', number)
    assert not list(tmp_path.iterdir())


def test_an_input_that_cannot_be_read_is_not_taken_for_the_output(tmp_path: Path) -> None:
    """Else somebody would look for another folder to write to."""
    refusal = os.strerror(errno.EACCES)
    with pytest.raises(PermissionError), whole_file(tmp_path / 'out' / 'figures.json'):
        raise PermissionError(errno.EACCES, refusal, str(tmp_path / 'bag.mcap'))
    for ours in (tmp_path / 'out', tmp_path / 'out' / 'figures.partial.json'):
        with pytest.raises(ConfigError), whole_file(tmp_path / 'out' / 'figures.json'):
            raise PermissionError(errno.EACCES, refusal, str(ours))


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that is not there yet the folder above counts."""
    monkeypatch.setattr(os, 'access', lambda path, _: path != tmp_path)  # as of another user
    line = f'--record: {tmp_path} cannot be written: Permission denied; choose another folder'
    with pytest.raises(ConfigError, match=line):
        check_folder('--record', tmp_path / 'none' / 'rollouts')
    with pytest.raises(ConfigError, match=f'--json: {tmp_path} cannot be written'):
        check_output('--json', tmp_path / 'figures.json')


def test_a_disk_that_is_full_before_the_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is free is that of the folder that is there."""

    def refuse(*_: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, 'mkdir', refuse)
    with pytest.raises(ConfigError, match='the disk is full'):
        fail_to_write(tmp_path / 'a' / 'out', errno.EIO)


def test_other_failures_are_not_hidden(tmp_path: Path) -> None:
    """A file where a folder should be is a mistake of a program."""
    with pytest.raises(OSError, match='Input/output error'):
        fail_to_write(tmp_path / 'out', errno.EIO)


def log_of_the_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the disk is waited for and which names are given, by name and in order."""
    log: list[str] = []
    sync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        log.append(f'on the disk: {Path(f"/proc/self/fd/{descriptor}").readlink().name}')
        sync(descriptor)

    def note_name(path: Path, to: Path) -> Path:
        log.append(f'{path.name} is called {to.name}')
        return replace(path, to)

    monkeypatch.setattr(os, 'fsync', note_sync)
    monkeypatch.setattr(Path, 'replace', note_name)
    return log


def test_a_file_gets_its_name_when_the_disk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves the old file or the new one, and once the block has ended the new one."""
    log = log_of_the_disk(monkeypatch)
    with whole_file(tmp_path / 'a' / 'figures.json') as file:
        file.write_text('new', encoding='utf-8')
    assert log == [
        'on the disk: figures.partial.json',
        'on the disk: a',
        'figures.partial.json is called figures.json',
        'on the disk: a',
    ]


def test_a_folder_gets_its_name_when_the_disk_has_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, folders in it, and their names; what it only points to is not waited for."""
    log = log_of_the_disk(monkeypatch)
    (tmp_path / 'elsewhere').touch()
    with whole_folder(tmp_path / 'set') as folder:
        (folder / 'below').mkdir(parents=True)
        (folder / 'below' / 'rows').touch()
        (folder / 'link').symlink_to(tmp_path / 'elsewhere')
    name = log.index('set.partial is called set')
    assert sorted(log[:name]) == sorted(
        f'on the disk: {each}' for each in ('below', 'rows', 'set.partial', tmp_path.name)
    )
    assert log[name + 1 :] == [f'on the disk: {tmp_path.name}']


def test_what_the_disk_does_not_take_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some disks say only then that they are full; the old file stays."""
    path = tmp_path / 'figures.json'
    path.write_text('old', encoding='utf-8')

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'fsync', refuse)
    with pytest.raises(ConfigError, match='the disk is full'), whole_file(path) as file:
        file.write_text('new', encoding='utf-8')
    assert path.read_text(encoding='utf-8') == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_cannot_be_waited_for_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network disks have no such promise to give."""

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, 'fsync', refuse)
    with whole_file(tmp_path / 'figures.json') as file:
        file.write_text('new', encoding='utf-8')
    assert (tmp_path / 'figures.json').read_text(encoding='utf-8') == 'new'
