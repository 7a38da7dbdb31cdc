# SPDX-License-Identifier: Apache-2.0
"""What training needs of the episodes, read once and kept in a cache folder.

``<cache>/<episode>.npz`` holds the images at the model's size and the joints of the episode,
``<cache>/left_out.json`` why an episode is not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
import json
import logging
from pathlib import Path
from typing import Any

from cosmos_policy_ros.core.config import ImageRecipe
from cosmos_policy_ros.core.images import prepare_image
from cosmos_policy_ros.data.assemble import pick_ticks
from cosmos_policy_ros.data.bags.files import read_topics
from cosmos_policy_ros.data.episodes import (
    fingerprint,
    list_episodes,
    read_episode,
    StoredEpisode,
)
from cosmos_policy_ros.data.reading import Reading
from cosmos_policy_ros.outputs import OutputError, whole_file
from cosmos_policy_ros.progress import track
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.topics import SUCCESS
from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.dataset import CachedEpisode
from cosmos_policy_ros.types import ConfigError, Episode
from cosmos_policy_ros.worker_pool import open_pool
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)
LEFT_OUT = 'left_out.json'
READING = 'reading.txt'  # what a person said about the episodes of the cache
FINGERPRINT = 'fingerprint'  # in a cache file: that of the episode that it was made of
REST_S = 1.0  # kept of a rollout after its success, as simulated demonstrations have it [s]


def prepare_episodes(
    data: Sequence[Path], cache: Path, robot: RobotSpec, config: TrainConfig, workers: int = 2,
    reading: Reading | None = None, recipe: ImageRecipe | None = None,
) -> list[Path]:  # fmt: skip
    """Write a cache file of every usable episode and return their paths; existing ones are kept.

    Episodes that cannot be read or hold NaN are named in the log and left out.

    Args:
        data: Paths of episodes in any format that ``data/episodes.py`` recognises.
        cache: Folder of the cache files.
        robot: Robot of the episodes.
        config: Tick rate, cameras and size of the images.
        workers: Processes that read side by side.
        reading: What the episodes leave open.
        recipe: How images become those that the policy is shown; None only resizes them.

    Raises:
        OutputError: The disk of the cache is full or cannot be written.
        ConfigError: More than half of the episodes, or all, cannot be used, two folders have the
            same name, or the cache is of episodes that were read otherwise or have changed.
    """
    cache.mkdir(parents=True, exist_ok=True)
    reading, said = reading or Reading(), cache / READING
    recipe = recipe or ImageRecipe(config.image_size)
    if said.exists() and said.read_text(encoding='utf-8') != repr(reading):
        msg = f'{cache} holds episodes that were read with other options; choose another --out'
        raise ConfigError(msg)
    with whole_file(said) as partial:
        partial.write_text(repr(reading), encoding='utf-8')
    files = {recording: cache / f'{name}.npz' for name, recording in name_episodes(data).items()}
    missing = [recording for recording, file in files.items() if not file.exists()]
    for recording, file in files.items():
        if file.exists():
            _expect_unchanged(recording, file)
    left_out: dict[str, str] = {}
    if missing:
        with open_pool(workers) as pool:
            jobs = {
                pool.submit(_write_cache_file, r, files[r], robot, config, reading, recipe): r
                for r in missing
            }
            for job in track(as_completed(jobs), 'reading episodes', total=len(jobs)):
                error = job.exception()
                if isinstance(error, ConfigError) and not isinstance(error, OutputError):
                    logger.warning('left out: %s', error)
                    left_out[files[jobs[job]].stem] = str(error)
                elif error is not None:
                    raise error
    text = json.dumps(left_out, indent=2, sort_keys=True) + '\n'
    with whole_file(cache / LEFT_OUT) as partial:
        partial.write_text(text, encoding='utf-8')
    ready = [file for file in files.values() if file.stem not in left_out]
    if not ready or 2 * len(left_out) > len(files):
        msg = (
            f'{len(left_out)} of the {len(files)} episodes in {", ".join(map(str, data))} '
            f'cannot be used, the first because: {next(iter(left_out.values()))}'
        )
        raise ConfigError(msg)
    left = f', {len(left_out)} left out' if left_out else ''
    logger.info('%d of %d episodes ready%s', len(ready), len(files), left)
    return ready


def name_episodes(data: Sequence[Path]) -> dict[str, StoredEpisode]:
    """Return the episodes of all paths by distinct names.

    Raises:
        ConfigError: A path holds none, or two of several paths end in the same name.
    """
    names = [f'{path.resolve().name}-' if len(data) > 1 else '' for path in data]
    if len(set(names)) < len(names):
        folders = [path.resolve().name for path in data]
        msg = f'the episodes of folders are told apart by their names, got {folders}; rename one'
        raise ConfigError(msg)
    found: dict[str, StoredEpisode] = {}
    for before, path in zip(names, data, strict=True):
        for recording in list_episodes(path):
            name = f'{before}{recording.name}'
            other = found.setdefault(name, recording)
            if other is not recording:
                msg = f'{other.path} and {recording.path} would both be called {name}; rename one'
                raise ConfigError(msg)
    return found


def count_left_out(cache: Path) -> int:
    """Return the number of episodes that ``prepare_episodes`` left out of a cache folder."""
    return len(json.loads((cache / LEFT_OUT).read_text(encoding='utf-8')))


def _expect_unchanged(recording: StoredEpisode, file: Path) -> None:
    """Refuse a cache file of an episode that was recorded, labelled or cut anew since.

    Raises:
        ConfigError: It was.
    """
    with np.load(file) as data:  # files of before this was kept have nothing to compare with
        before = str(data[FINGERPRINT]) if FINGERPRINT in data else None
    if before is not None and before != fingerprint(recording):
        msg = (
            f'episode {recording.name} of {recording.path} was recorded, labelled or cut anew '
            'since this run read it; choose another --out'
        )
        raise ConfigError(msg)


def _write_cache_file(
    recording: StoredEpisode,
    file: Path,
    robot: RobotSpec,
    config: TrainConfig,
    reading: Reading,
    recipe: ImageRecipe,
) -> None:
    """Write the cache file of one episode: images at the model's size, joints and outcome.

    Raises:
        ConfigError: The episode cannot be read or has no outcome.
    """
    episode = read_episode(recording, robot, config.tick_hz, reading)
    if episode.success is None:
        msg = f'episode {recording.name} has no outcome: it was cut off or nobody judged it'
        raise ConfigError(msg)
    if recording.format == 'bag' and episode.source == 'rollout' and episode.success:
        flags = read_topics(recording.path, [SUCCESS.name])[SUCCESS.name]
        try:
            episode = _cut_after_success(episode, flags)
        except ConfigError as error:
            msg = f'episode {recording.path}: {error}'
            raise ConfigError(msg) from error
    arrays: dict[str, NDArray[np.generic]] = {
        'demo': np.array(episode.source == 'demo' and episode.success),
        'success': np.array(episode.success),
        'policy': np.array(episode.circumstances.checkpoint is not None),
        'task': np.array(episode.task),
        'proprio': episode.proprio,
        'actions': episode.actions,
        'expert': episode.expert,
        'intervention': episode.human_intervention,
        FINGERPRINT: np.array(fingerprint(recording)),
    }
    for camera in config.cameras:
        images = [prepare_image(image, recipe) for image in episode.images[camera]]
        arrays[f'images/{camera}'] = np.stack(images)
        arrays[f'index/{camera}'] = episode.image_index[camera]
    with whole_file(file) as partial:
        np.savez(partial, **arrays)  # type: ignore[arg-type]


def _cut_after_success(episode: Episode, flags: Sequence[tuple[int, Any]]) -> Episode:
    """Return a success until its task had been done for ``REST_S``, where flags show when it was.

    Returns count back from the end. In an episode that waits until its time is over, a sooner
    success would be worth less, which no image shows; and the waiting would be imitated.

    Args:
        episode: What was recorded.
        flags: Time [ns] and std_msgs/Bool of each message on whether the task is done.

    Raises:
        ConfigError: Nothing would be left.
    """
    done_ns = None
    for stamp_ns, message in flags:
        if not message.data:
            done_ns = None
        elif done_ns is None:
            done_ns = stamp_ns
    if done_ns is None:
        return episode
    n = int(np.searchsorted(episode.stamps_ns, done_ns + round(REST_S * 1e9), 'right'))
    if not n:
        msg = f'its task had been done for {REST_S:g} s before its first row'
        raise ConfigError(msg)
    return pick_ticks(episode, np.arange(min(n, len(episode.stamps_ns))))


def load_episodes(
    files: Iterable[Path], config: TrainConfig, independent_frames: bool
) -> tuple[list[CachedEpisode], list[str]]:
    """Return the episodes of the cache files and the names of their tasks, sorted.

    Image rows are counted through all files.

    Args:
        files: The cache files.
        config: Cameras.
        independent_frames: Whether an image has the same latent wherever it stands in the video.
    """
    files = list(files)
    names = []
    for file in files:
        with np.load(file) as data:
            names.append(str(data['task']))
    tasks = sorted(set(names))
    episodes, row, latent_row = [], 0, 0
    per_tick = 2 * len(config.cameras)
    for file, name in zip(files, names, strict=True):
        with np.load(file) as data:
            columns = []
            for camera in config.cameras:
                columns.append(data[f'index/{camera}'] + row)
                row += int(data[f'index/{camera}'].max()) + 1
            rows = latent_row + np.arange(len(data['actions']) * per_tick).reshape(-1, per_tick)
            latent_row += rows.size
            expert = data['expert']  # files of before interventions were kept have none
            acted = data['intervention'] if 'intervention' in data else np.zeros_like(expert)
            episodes.append(
                CachedEpisode(
                    demo=bool(data['demo']),
                    success=bool(data['success']),
                    policy='policy' in data and bool(data['policy']),  # not in older files
                    image_row=np.stack(columns, axis=1),
                    proprio=data['proprio'],
                    actions=data['actions'],
                    expert=expert,
                    intervention=acted,
                    task=tasks.index(name),
                    latent_row=None if independent_frames else rows,
                )
            )
    return episodes, tasks


def hold_out(
    episodes: Sequence[CachedEpisode], share: float
) -> tuple[list[CachedEpisode], list[CachedEpisode]]:
    """Return the episodes to train on and those to validate on, the last ones of every kind.

    Demonstrations, other successes and failures of every task are divided alike, so that each is
    measured.

    Args:
        episodes: Episodes.
        share: How many of them to hold out; at least one demonstration of every task.

    Raises:
        ConfigError: A task has one demonstration only, which cannot be both.
    """
    groups: dict[tuple[int, bool, bool], list[int]] = {}
    for index, one in enumerate(episodes):
        groups.setdefault((one.task, one.demo, one.success), []).append(index)
    held: set[int] = set()
    for (_, demo, _), group in groups.items():
        n = max(int(demo), round(share * len(group)))
        if demo and n == len(group):
            msg = f'a task has {n} demonstration(s), all held out to measure; record some more'
            raise ConfigError(msg)
        held.update(group[len(group) - n :])
    trained = [episode for i, episode in enumerate(episodes) if i not in held]
    return trained, [episodes[i] for i in sorted(held)]
