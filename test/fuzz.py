# SPDX-License-Identifier: Apache-2.0
"""Damaged files for every reader, as many as wanted: never a trace, a hang or a crash may come.

    python test/fuzz.py --inputs 100000

An input is a target and a number, the seed of the damage: ``--only bag 1234`` reads one again and
shows its trace. Inputs are dealt in batches to processes of their own, so that a crash is one
input and not the end. Finished batches are kept in a file for as long as the code stays as it is:
the same command goes on behind them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
import hashlib
from io import BytesIO
import json
import logging
import multiprocessing
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
import os
from pathlib import Path
from random import Random
import resource
import shutil
import signal
import sys
from tempfile import TemporaryDirectory
import time
import traceback
from types import FrameType
from typing import Any, NamedTuple
import warnings

from cosmos_policy_ros.core.checkpoint import load_checkpoint
from cosmos_policy_ros.data.assemble import Labels
from cosmos_policy_ros.data.bags.episode_writer import write_bag
from cosmos_policy_ros.data.episode_edits import list_labels
from cosmos_policy_ros.data.episodes import list_episodes, read_episode, StoredEpisode
from cosmos_policy_ros.data.hdf5 import write_hdf5
from cosmos_policy_ros.data.lerobot.writer import LeRobotWriter
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.data.rosetta.contract import read_contract
from cosmos_policy_ros.data.rosetta.contract_writer import write_contract
from cosmos_policy_ros.data.rosetta.robot_draft import draft_robot
from cosmos_policy_ros.image_decoder import IMAGE
from cosmos_policy_ros.report.recordings import read_recording
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.node_list import read_parameters
from cosmos_policy_ros.training.config import read_train_config
from cosmos_policy_ros.types import ConfigError, Episode
from damage import damage
import h5py
import numpy as np
from other_recorders import raw_image, recording, Sent, write_bag_of
from PIL import Image
from samples import ROBOT, sample_episode
from tiny import save_tiny_checkpoint

ROOT = Path(__file__).parents[1]
LIMIT_S = 10  # [s] that an input may take
HUNG_S = 60.0  # [s] after which a process that did not even notice the limit is killed
MEMORY = 16 * 2**30  # [bytes] that a process may take, so that a damaged number takes no more
BATCH = 250  # inputs of a batch
REPORT_S = 30.0  # [s] between two lines of progress
CAMERA = replace(ROBOT.cameras[0], width=16, height=16)
SMALL = replace(ROBOT, cameras=(CAMERA,))
SAID = Reading(Labels('fold the towel', 'demo'))  # what some files do not say


class Target(NamedTuple):
    """Something that is read: what makes a whole one, what reads it, and its share of 2,000."""

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    share: int


def small_episode() -> Episode:
    """Return a few ticks with small images."""
    episode = sample_episode(0, 6)
    images = {CAMERA.name: np.ascontiguousarray(episode.images[CAMERA.name][:, :16, :16])}
    index = {CAMERA.name: episode.image_index[CAMERA.name]}
    return replace(episode, images=images, image_index=index)


def make_plain_bag(folder: Path) -> None:
    """Write a bag of another recorder: SQLite, without a command of ours in its metadata."""
    cameras = {camera.topic for camera in ROBOT.cameras}
    sent = [row for row in recording(0.05) if row.topic not in cameras]
    image = raw_image(sent[0].arrival_ns, np.full((16, 16, 3), 90, np.uint8))
    sent.append(Sent(sent[0].arrival_ns, CAMERA.topic, IMAGE, image))
    write_bag_of(folder / 'a', sent, {'source': 'demo'}, sqlite=True)


def make_aloha(folder: Path) -> None:
    """Write a file of ALOHA's recorder: padded JPEG rows, no labels."""
    poses, file = np.tile(np.linspace(0.1, 0.2, 6)[:, None], (1, 14)), BytesIO()
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(file, 'JPEG')
    row = np.frombuffer(file.getvalue() + bytes(20), np.uint8)
    with h5py.File(folder / 'episode_0.hdf5', 'w') as root:
        root.attrs['sim'], root.attrs['compress'] = False, True
        for name in ('observations/qpos', 'observations/qvel', 'action'):
            root[name] = poses
        root['observations/images/cam_high'] = np.tile(row, (6, 1))
        root['compress_len'] = np.full((1, 6), len(row) - 20, np.float32)


def make_lerobot(folder: Path) -> None:
    """Write a LeRobot data set."""
    with LeRobotWriter(folder / 'a', SMALL, 50.0) as data_set:
        data_set.add(small_episode())


def make_contract(folder: Path) -> None:
    """Write a contract of rosetta, with labels."""
    text, _ = write_contract(SMALL)
    labels = (
        'tasks: {task: {channel: {topic: /words, type: std_msgs/msg/String}}}\n'
        'rewards: {next.reward: {channel: {topic: /reward, type: std_msgs/msg/Float64, '
        'dtype: float64}, align: {strategy: hold, timeline: receive}}}\n'
    )
    (folder / 'a.yaml').write_text(text + labels)


def read_all(folder: Path) -> None:
    """Read every episode in every way, as far as each can be read."""
    for stored in list_episodes(folder):
        with suppress(ConfigError):
            read_pixels(stored, 50.0)
        with suppress(ConfigError):
            list_labels(stored, 50.0)
        with suppress(ConfigError):
            read_recording(stored, SMALL, 2, SAID)


def read_pixels(stored: StoredEpisode, rate_hz: float) -> None:
    """Read an episode and look at its images."""
    episode = read_episode(stored, SMALL, rate_hz, SAID)
    for images in episode.images.values():
        np.asarray(images)


def make_files(*names: str) -> Callable[[Path], None]:
    """Return what copies files of this package."""

    def make(folder: Path) -> None:
        for name in names:
            shutil.copy(ROOT / name, folder)

    return make


TARGETS = {
    'bag': Target(lambda folder: write_bag(folder / 'a', small_episode(), SMALL), read_all, 50),
    'plain_bag': Target(make_plain_bag, read_all, 60),
    'hdf5': Target(
        lambda folder: write_hdf5(folder / 'a.hdf5', small_episode(), SMALL), read_all, 300
    ),
    'aloha': Target(make_aloha, read_all, 100),
    'lerobot': Target(make_lerobot, read_all, 80),
    'checkpoint': Target(
        lambda folder: save_tiny_checkpoint(folder / 'a', SMALL),
        lambda folder: load_checkpoint(folder / 'a'),
        100,
    ),
    'contract': Target(
        make_contract, lambda folder: draft_robot(read_contract(folder / 'a.yaml')), 150
    ),
    'robot': Target(
        make_files('config/robots/so101.yaml'), lambda f: read_robot(f / 'so101.yaml'), 250
    ),
    'training': Target(
        make_files('config/train.yaml'), lambda f: read_train_config(f / 'train.yaml'), 860
    ),
    'parameters': Target(
        make_files('config/nodes.yaml'),
        lambda folder: read_parameters(folder / 'nodes.yaml', 'recorder'),
        50,
    ),
}
SHARES = sum(target.share for target in TARGETS.values())


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """End what takes longer with an error."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        msg = f'still reading after {seconds} s'
        raise AssertionError(msg)

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_damaged(whole: Path, folder: Path, target: Target, random: Random) -> None:
    """Read a copy with damage; nothing but a ConfigError may come of it.

    Args:
        whole: Folder with whole files of the target.
        folder: Folder to make; never the same, for readers keep what they know of one.
        target: What is read.
        random: Decides the damage.
    """
    shutil.copytree(whole, folder)
    try:
        damage(folder, random)
        with suppress(ConfigError), time_limit(LIMIT_S):
            target.read(folder)
    finally:
        shutil.rmtree(folder)


class Batch(NamedTuple):
    """Inputs of one target that follow each other: the numbers from ``first`` on."""

    target: str
    first: int
    n: int


def deal(inputs: int, seed: int) -> list[Batch]:
    """Return all batches, those of the targets in turn, so that every part takes as long.

    Args:
        inputs: Inputs of all targets together, each its share of them.
        seed: Other inputs for another one.
    """
    counts = {name: inputs * target.share // SHARES for name, target in TARGETS.items()}
    due = [
        (at / n, Batch(name, seed * 10**9 + at, min(BATCH, n - at)))
        for name, n in counts.items()
        for at in range(0, n, BATCH)
    ]
    return [batch for _, batch in sorted(due)]


def read_batch(batch: Batch, place: Path, results: Connection) -> None:
    """Read the inputs of a batch, and send each number with what came of it, empty when well.

    The number before the first is sent when the whole files are there.

    Args:
        batch: The inputs.
        place: Folder to make for all files.
        results: What they are sent by.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    target, whole = TARGETS[batch.target], place / 'whole'
    whole.mkdir(parents=True)
    target.make(whole)
    results.send((batch.first - 1, ''))
    for number in range(batch.first, batch.first + batch.n):
        reason = ''
        try:
            read_damaged(whole, place / str(number), target, Random(number))
        except Exception as error:
            reason = describe(error)
        results.send((number, reason))


def describe(error: Exception) -> str:
    """Return what an error says and where in this project it came from, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.startswith(str(ROOT)) and '.venv' not in f.filename]
    frame = [*frames, *own][-1]
    text = f'{type(error).__name__}: {error}'.splitlines()[0][:200]
    return f'{text} ({Path(frame.filename).name}:{frame.lineno})'


@dataclass
class Running:
    """A batch that a process reads.

    Attributes:
        batch: The batch.
        process: What reads it.
        number: The input that was read last.
        heard_s: When that was [s, monotonic].
        began_s: When the process was started [s, monotonic].
        escaped: Number and reason of inputs that came to no good end.
    """

    batch: Batch
    process: ForkProcess
    number: int
    heard_s: float
    began_s: float
    escaped: list[tuple[int, str]] = field(default_factory=list)


class Fuzzer:
    """Deals batches to processes and keeps what came of them in a file."""

    def __init__(self, batches: Sequence[Batch], log: Path, processes: int) -> None:
        """Read what is done already.

        Args:
            batches: All that are wanted.
            log: File of finished batches, one JSON object a line.
            processes: How many read side by side.
        """
        self.inputs = sum(batch.n for batch in batches)
        self.done, self.seconds = 0, 0.0
        self.escaped: list[tuple[str, int, str]] = []
        self._log, self._processes = log, processes
        self._running: dict[Connection, Running] = {}
        kept = _read_log(log)
        for entry in kept:
            self._count(entry)
        ends = {(entry['target'], entry['first']): entry['n'] for entry in kept}
        self._waiting = [left for batch in batches if (left := _left_of(batch, ends)).n]

    def run(self) -> None:
        """Read all that is left, with a line of progress now and then."""
        with TemporaryDirectory(prefix='fuzz_') as place:
            self._run(Path(place))

    def _run(self, place: Path) -> None:
        began_s = said_s = time.monotonic()
        before = self.done
        while self._waiting or self._running:
            while self._waiting and len(self._running) < self._processes:
                self._start(self._waiting.pop(0), place)
            for ready in wait([*self._running], timeout=1.0):
                assert isinstance(ready, Connection)
                self._hear(ready)
            for connection, running in [*self._running.items()]:
                if time.monotonic() - running.heard_s > HUNG_S:
                    running.process.kill()
                    self._end(connection, f'hung for {HUNG_S:.0f} s and was killed')
            now_s = time.monotonic()
            if now_s - said_s > REPORT_S and self.done > before:
                said_s = now_s
                left_s = (now_s - began_s) / (self.done - before) * (self.inputs - self.done)
                print(
                    f'{self.done:,} of {self.inputs:,} inputs, {len(self.escaped)} escaped, about '
                    f'{left_s / 60:.0f} min to go',
                    flush=True,
                )

    def stop(self) -> None:
        """End the processes; what they had begun is read again by the next run."""
        for running in self._running.values():
            running.process.kill()

    def _start(self, batch: Batch, place: Path) -> None:
        context = multiprocessing.get_context('fork')  # all is imported, and no thread runs yet
        results, sender = context.Pipe(duplex=False)
        folder = place / f'{batch.target}_{batch.first}'
        process = context.Process(target=read_batch, args=(batch, folder, sender), daemon=True)
        process.start()
        sender.close()  # or its end would never be noticed
        now_s = time.monotonic()
        self._running[results] = Running(batch, process, batch.first - 2, now_s, now_s)

    def _hear(self, connection: Connection) -> None:
        """Take one result, or the end of a process."""
        running = self._running[connection]
        try:
            running.number, reason = connection.recv()
        except EOFError:
            running.process.join()
            self._end(connection, f'ended the process with status {running.process.exitcode}')
            return
        running.heard_s = time.monotonic()
        if reason:
            running.escaped.append((running.number, reason))
        if running.number == running.batch.first + running.batch.n - 1:
            self._end(connection, '')

    def _end(self, connection: Connection, reason: str) -> None:
        """Keep what a process has read; one that ended early is followed by another.

        Raises:
            RuntimeError: It ended before its first input.
        """
        running = self._running.pop(connection)
        connection.close()
        batch = running.batch
        if running.number < batch.first - 1:
            self.stop()
            msg = f'no files of {batch.target} could be made: {reason}'
            raise RuntimeError(msg)
        if reason:
            running.number += 1
            running.escaped.append((running.number, reason))
        n = running.number - batch.first + 1
        if n < batch.n:
            self._waiting.insert(0, Batch(batch.target, batch.first + n, batch.n - n))
        seconds = round(time.monotonic() - running.began_s, 2)
        entry = {
            'target': batch.target,
            'first': batch.first,
            'n': n,
            'seconds': seconds,
            'escaped': running.escaped,
        }
        with self._log.open('a', encoding='utf-8') as file:
            file.write(json.dumps(entry) + '\n')
        for number, why in running.escaped:
            print(f'{batch.target} {number}: {why}', flush=True)
        self._count(entry)

    def _count(self, entry: dict[str, Any]) -> None:
        self.done += entry['n']
        self.seconds += entry['seconds']
        self.escaped += [(entry['target'], number, why) for number, why in entry['escaped']]


def _read_log(log: Path) -> list[dict[str, Any]]:
    """Return the finished batches of a file; a line that a kill has torn is none."""
    text = log.read_text(encoding='utf-8') if log.exists() else ''
    whole, _, torn = text.rpartition('\n')
    if torn:
        log.write_text(whole + '\n' if whole else '', encoding='utf-8')
    return [json.loads(line) for line in whole.splitlines()]


def _left_of(batch: Batch, ends: dict[tuple[str, int], int]) -> Batch:
    """Return what is left of a batch, whose parts may have been read one after the other."""
    while batch.n and (n := ends.get((batch.target, batch.first), 0)):
        batch = Batch(batch.target, batch.first + n, batch.n - n)
    return batch


def hash_code() -> str:
    """Return what the readers and this program are known by: another after any change."""
    files = [*(ROOT / 'cosmos_policy_ros').rglob('*.py'), *Path(__file__).parent.glob('*.py')]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def read_again(name: str, number: int) -> None:
    """Read one input, with its trace where it has one."""
    with TemporaryDirectory(prefix='fuzz_') as place:
        whole = Path(place) / 'whole'
        whole.mkdir()
        TARGETS[name].make(whole)
        read_damaged(whole, Path(place) / 'damaged', TARGETS[name], Random(number))
    print(f'{name} {number}: well')


def main() -> int:
    """Read as many inputs as wanted; the last line has the figures, status 1 that some escaped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--inputs', type=int, default=100_000, help='of all targets together')
    parser.add_argument('--seed', type=int, default=0, help='other inputs for another one')
    parser.add_argument('--processes', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--log', type=Path, default=ROOT / '.fuzz', help='folder of what is done')
    parser.add_argument('--only', nargs=2, metavar=('TARGET', 'NUMBER'), help='read it again')
    options = parser.parse_args()
    if options.only:
        read_again(options.only[0], int(options.only[1]))
        return 0
    options.log.mkdir(exist_ok=True)
    log = options.log / f'{hash_code()}-{options.inputs}-{options.seed}.jsonl'
    fuzzer = Fuzzer(deal(options.inputs, options.seed), log, options.processes)
    print(f'{fuzzer.done:,} of {fuzzer.inputs:,} inputs are done; {log}', flush=True)
    try:
        fuzzer.run()
    except KeyboardInterrupt:
        fuzzer.stop()
        print(f'{fuzzer.done:,} of {fuzzer.inputs:,} are done; the same command goes on')
        return 130
    for name, number, why in fuzzer.escaped:
        print(f'{name} {number}: {why}; again: python test/fuzz.py --only {name} {number}')
    ends = [why for _, _, why in fuzzer.escaped]
    hung = sum('still reading' in why or why.startswith('hung') for why in ends)
    crashed = sum(why.startswith('ended the process') for why in ends)
    print(
        f'{fuzzer.done:,} damaged inputs of {len(TARGETS)} kinds: {len(ends) - hung - crashed} '
        f'with a trace, {hung} longer than {LIMIT_S} s, {crashed} that ended the process; '
        f'{fuzzer.seconds / 60:.0f} process minutes'
    )
    return 1 if ends else 0


if __name__ == '__main__':
    sys.exit(main())
