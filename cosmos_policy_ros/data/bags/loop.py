# SPDX-License-Identifier: Apache-2.0
"""How many episodes are wanted in a folder, how many are done, and which one waits for its label.

An episode is done when its bag says whether it succeeded. ``loop.json`` beside the bags has what
they cannot say: how many are wanted, from which one on, with which instruction; and the names of
those that were found done, so that these are not looked into again. It is written whole, after
the bag. Whatever is killed, and whenever: the next recorder looks into every bag that the file
does not name, and goes on with the right episode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import logging
from pathlib import Path

from cosmos_policy_ros.config_file import read_mapping
from cosmos_policy_ros.data.bags.custom import relabel_bag
from cosmos_policy_ros.data.bags.files import read_custom
from cosmos_policy_ros.data.bags.recording import next_episode, PREFIX
from cosmos_policy_ros.data.trash import put_in_trash
from cosmos_policy_ros.outputs import write_json
from cosmos_policy_ros.types import ConfigError, Judgement, MOST_PROGRESS

logger = logging.getLogger(__name__)
FILE = 'loop.json'
WORDS = ('failure', 'note')  # of a label, as text
LONGEST = 200  # characters of each
KINDS: dict[str, type] = {  # what a request for a label may have
    'episode': str,
    'progress': int,
    **dict.fromkeys(WORDS, str),
    'trash': bool,
}


@dataclass(frozen=True)
class _Kept:
    """What ``loop.json`` holds.

    Attributes:
        wanted: Episodes that are wanted, those that are done among them.
        task: Instruction of the episode that began last.
        first: Number of the first episode that counts.
        done: Names of episodes that were found done.
    """

    wanted: int
    task: str
    first: int
    done: tuple[str, ...]


class EpisodeLoop:
    """The count of a folder, and the label of the episode that was recorded last.

    Attributes:
        wanted: Episodes that are wanted; 0 where nobody has said, and then nothing is written.
        task: Instruction of the episode that began last, also before a restart; empty before any.
        episode: Name of the episode that labels are for: the first that has none, else the one
            recorded last; empty where there is none.
        label: What its bag says of it, for people; empty while nobody has judged it.
    """

    def __init__(self, folder: Path, wanted: int = 0, recovered: Iterable[Path] = ()) -> None:
        """Go on where the folder is.

        Args:
            folder: Folder of the bags.
            wanted: Episodes that are wanted; 0 leaves that to ``loop.json``.
            recovered: Bags that an earlier recorder left unfinished, which wait for their label.

        Raises:
            ConfigError: ``loop.json`` is damaged.
        """
        self._folder = folder
        next_number = int(next_episode(folder).name.removeprefix(PREFIX))
        numbers = [path.name.removeprefix(PREFIX) for path in recovered]
        first = min((int(text) for text in numbers if text.isdecimal()), default=next_number)
        file = folder / FILE
        kept = _read(file) if file.exists() else _Kept(0, '', first, ())
        self.wanted, self.task, self._first = kept.wanted, kept.task, kept.first
        self._done = {name for name in kept.done if (folder / name).is_dir()}
        self._unlabelled: list[str] = []
        for number in range(self._first, next_number):
            self._look_into(f'{PREFIX}{number:06d}')
        self._newest = max(self._done, default='')
        self.episode = self.label = ''
        self._find_episode()
        self.want(wanted)

    @property
    def n_done(self) -> int:
        """How many episodes have their label."""
        return len(self._done)

    def want(self, wanted: int) -> None:
        """Change how many episodes are wanted; 0 leaves it as it is."""
        if wanted and wanted != self.wanted:
            self.wanted = wanted
            self._keep()

    def note_begin(self, task: str) -> None:
        """Note the instruction of an episode that has begun."""
        if task != self.task:
            self.task = task
            self._keep()

    def note_end(self, name: str, success: bool | None, invalid: str) -> None:
        """Note an episode whose bag is whole.

        Args:
            name: Its name.
            success: Outcome, None when nobody has judged it.
            invalid: Why nobody shall learn from it; such a one is neither done nor labelled.
        """
        if invalid:
            return
        if success is None:
            self._unlabelled.append(name)
        else:
            self._note_done(name)
        self._find_episode()

    def change(self, given: Mapping[str, object]) -> str:
        """Label an episode, or throw it away, and return for people what is on the disk then.

        Args:
            given: ``episode``, its name, and ``trash`` with the value True, or what is to be
                said of it: ``progress``, 0 to 4, which is a success, ``failure`` and ``note``.
                What is left out stays as it is.

        Raises:
            ValueError: It is none that waits for a label and not the last one, or the label
                cannot be.
            OSError: It cannot be written.
        """
        values = _check(given)
        name = str(values.pop('episode', ''))
        known = [*self._unlabelled, *([self._newest] if self._newest else [])]
        if name not in known:
            msg = f'no label for {name!r} now, but for {", ".join(known) or "none"}'
            raise ValueError(msg)
        if not (self._folder / name).is_dir():
            self._find_episode()
            msg = f'{self._folder / name} is not there any more'
            raise ValueError(msg)
        if values.pop('trash', False):
            return self._throw_away(name)
        relabel_bag(self._folder / name, self._find_labels(name, values))
        if name in self._unlabelled:
            self._unlabelled.remove(name)
        self._note_done(name)
        label = describe_label(read_custom(self._folder / name))
        self._find_episode()
        return f'{name} is saved: {label}'

    def _find_labels(
        self, name: str, given: Mapping[str, object]
    ) -> Mapping[str, str | bool | float]:
        """Return the labels of an episode: what is given, else what its bag says.

        Raises:
            ValueError: Nobody has said whether it succeeded, or a success has failed.
        """
        custom = read_custom(self._folder / name)
        words = {word: str(given.get(word, custom.get(word, ''))).strip() for word in WORDS}
        progress = given.get('progress', _progress(custom))
        if progress is None and 'success' in custom:
            return words  # of a failure of which nobody said how far it came
        if not isinstance(progress, int):
            msg = f'say first how far {name} came, 0 (nothing) to {MOST_PROGRESS} (done)'
            raise ValueError(msg)
        success = progress == MOST_PROGRESS
        if success and 'failure' not in given:
            words['failure'] = ''  # it was taken for one before
        return Judgement(success, progress, **words).labels

    def _throw_away(self, name: str) -> str:
        place = put_in_trash(self._folder / name)
        self._find_episode()
        return f'{name} was moved to {place}'

    def _note_done(self, name: str) -> None:
        self._newest = name
        if name not in self._done:
            self._done.add(name)
            self._keep()

    def _look_into(self, name: str) -> None:
        """Find out whether an episode is done, where that is not known."""
        if name in self._done or not (self._folder / name).is_dir():
            return
        custom = read_custom(self._folder / name)
        if custom.get('invalid'):
            return
        if 'success' in custom:
            self._done.add(name)
        else:
            self._unlabelled.append(name)

    def _find_episode(self) -> None:
        """Find which episode labels are for, without those that are gone."""
        gone = {n for n in (*self._done, *self._unlabelled) if not (self._folder / n).is_dir()}
        self._done -= gone
        self._unlabelled = [name for name in self._unlabelled if name not in gone]
        if self._newest in gone:
            self._newest = max(self._done, default='')
        if gone:
            self._keep()
        self.episode = self._unlabelled[0] if self._unlabelled else self._newest
        custom = read_custom(self._folder / self.episode) if self.episode else {}
        self.label = describe_label(custom)

    def _keep(self) -> None:
        """Write what no bag says, where a number is wanted; a full disk is no reason to end."""
        if not self.wanted:
            return
        content = {
            'wanted': self.wanted,
            'task': self.task,
            'first': self._first,
            'done': sorted(self._done),
        }
        try:
            write_json(self._folder / FILE, content)
        except (ConfigError, OSError) as error:  # the labels are in the bags, and are found there
            logger.warning('the number of episodes and the task are not kept: %s', error)


def describe_label(custom: Mapping[str, str]) -> str:
    """Return what the custom data of a bag says of an episode, for people; empty for nothing."""
    if 'success' not in custom:
        return ''
    if custom['success'] == 'true':
        parts = ['success']
    else:
        progress = _progress(custom)
        parts = ['failure', f'{progress} of {MOST_PROGRESS}' if progress is not None else '']
    return ', '.join(part for part in (*parts, *(custom.get(word, '') for word in WORDS)) if part)


def _progress(custom: Mapping[str, str]) -> int | None:
    """Return how far an episode came, 0 to ``MOST_PROGRESS``; None where nobody said."""
    if custom.get('success') == 'true':
        return MOST_PROGRESS
    try:
        return round(float(custom['progress']) * MOST_PROGRESS)
    except (KeyError, ValueError):
        return None


def _check(given: Mapping[str, object]) -> dict[str, object]:
    """Return a request for a label, once it is one.

    Raises:
        ValueError: A name or a value cannot be.
    """
    for name, value in given.items():
        if type(value) is not KINDS.get(name):  # True is no number here
            wanted = ', '.join(f'{known} ({kind.__name__})' for known, kind in KINDS.items())
            msg = f'a label has {wanted}; got {name} with {value!r}'
            raise ValueError(msg)
        if name in WORDS and len(str(value)) > LONGEST:
            msg = f'{name} has at most {LONGEST} characters, got {len(str(value))}'
            raise ValueError(msg)
    return dict(given)


def _read(file: Path) -> _Kept:
    """Return what ``loop.json`` holds.

    Raises:
        ConfigError: It is damaged.
    """
    found = read_mapping(file, 'loop', 'start the recorder with n_episodes')
    try:
        kept = _Kept(**{**found, 'done': tuple(found['done'])})
        whole = type(kept.wanted) is int and type(kept.first) is int and type(kept.task) is str
        if not whole or not all(isinstance(name, str) for name in kept.done):
            raise TypeError(found)
    except (TypeError, KeyError) as error:
        msg = f'{file} must hold wanted, task, first and done, got {found}; move it away to begin '
        msg += 'to count anew, the recordings stay as they are'
        raise ConfigError(msg) from error
    return kept
