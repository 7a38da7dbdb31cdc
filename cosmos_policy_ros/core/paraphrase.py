# SPDX-License-Identifier: Apache-2.0
"""Which task of a checkpoint an instruction means, or why none.

A paraphrase resolves to one of the tasks, whose stored embedding is then used: the networks have
seen those embeddings and no others, so one of the paraphrase itself would mean nothing to them.

A text encoder cannot judge this alone: left and right may change places without its noticing, and
"do not", "throw" and "the red ball" change little. The arms would move on such a sentence, so its
words are held against the task's first; in doubt it is refused:

1. Every word is one of the task, a synonym of one, or filler. That refuses another colour, thing
   or deed, a negation, a condition and a second task, known or not.
2. The deed and every side are given, and each word stands after "from", after "to" or after
   neither as in the task, in the task's order.
3. Only one task is left. What remains to judge is how much may be missing; that is the encoder's.

Sides, places, articles and filler are English and stand here; synonyms belong to tasks and come
from where those are known, see ``sim/task_words.py``.

The encoder is the extra ``language``: the token embeddings of WordLlama, averaged. Its files are
read; nothing of it is imported and nothing downloaded (its own loader looks for the tokenizer in a
folder that it does not install, and then asks the network).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
import re
from typing import NamedTuple

from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

PACKAGE = 'wordllama'
WEIGHTS = Path('weights', 'l2_supercat_256.safetensors')
TOKENIZER = Path('tokenizers', 'l2_supercat_tokenizer_config.json')
Synonyms = Mapping[str, str]
NO_SYNONYMS: Synonyms = {}
SIMILARITY = 0.85  # lowest cosine; what shall pass has 0.878 or more, test_paraphrase.py
LISTED = 5  # most tasks that a refusal names
SIDES = frozenset(['left', 'right'])
GRIPPERS = frozenset(['gripper', 'hand', 'arm', 'claw'])  # after a side they add nothing to it
OVER = re.compile(r'(?<=\bhand) over\b|\bover (?=to |from )')  # "hand over", "give it over to"
PLACES = {'from': 'from', 'to': 'to', 'into': 'to', 'in': 'to', 'inside': 'to'}
ARTICLES = frozenset(['a', 'an', 'the', 'your', 'its', 'one'])
FILLER = frozenset(['and', 'can', 'could', 'it', 'kindly', 'please', 'will', 'would', 'you'])


class Match(NamedTuple):
    """The task that an instruction means.

    Attributes:
        task: One of the checkpoint's tasks.
        similarity: Cosine of the encoder; 1.0 for the task itself.
    """

    task: str
    similarity: float


class TaskMatcher:
    """Finds the task that an instruction means.

    Args:
        tasks: The checkpoint's tasks.
        synonyms: Word of a task -> words that may stand for it in that task, separated by spaces;
            what is not listed is refused.
    """

    def __init__(self, tasks: tuple[str, ...], synonyms: Synonyms = NO_SYNONYMS) -> None:
        """Read the encoder if it is installed, which takes 0.2 s; an instruction takes 1 ms then.

        Raises:
            ConfigError: It is installed, but another version.
        """
        self.tasks, self._synonyms = tasks, synonyms
        spec = find_spec(PACKAGE)
        folders = spec.submodule_search_locations if spec else None
        self._encoder = TextEncoder(Path(folders[0])) if folders else None
        self._judged: tuple[str, Match | str] | None = None

    def find(self, instruction: str) -> Match:
        """Return the task that an instruction means; the last one is judged only once.

        Raises:
            ConfigError: It is neither a task nor a paraphrase of exactly one, or the encoder that
                could tell is not installed.
        """
        if instruction in self.tasks:
            return Match(instruction, 1.0)
        if self._judged is None or self._judged[0] != instruction:
            self._judged = (instruction, self._judge(instruction))
        verdict = self._judged[1]
        if isinstance(verdict, str):
            raise ConfigError(verdict)
        return verdict

    def _judge(self, instruction: str) -> Match | str:
        """Return the task, or one line with the reason why there is none."""
        if self._encoder is None:
            return (
                f'no text embedding for the task {instruction!r}; this checkpoint knows '
                f'{self.tasks}: give one of them word for word, or install {PACKAGE} (the extra '
                'language) for paraphrases'
            )
        about = self._synonyms
        scores = {task: self._encoder.similarity(instruction, task, about) for task in self.tasks}
        faults = {task: fault(instruction, task, about) for task in self.tasks}
        fitting = [task for task in self.tasks if not faults[task]]
        if len(fitting) == 1 and scores[fitting[0]] >= SIMILARITY:
            return Match(fitting[0], scores[fitting[0]])
        missing = f'less than {SIMILARITY}: it leaves out too much'
        for task in fitting:
            faults[task] = missing if len(fitting) == 1 else 'but it fits another task as well'
        ranked = sorted(self.tasks, key=lambda task: -scores[task])
        known = '; '.join(
            f'{task!r} (similarity {scores[task]:.2f}, {faults[task]})' for task in ranked[:LISTED]
        )
        more = f'; and {len(ranked) - LISTED} more' if len(ranked) > LISTED else ''
        return (
            f'no text embedding for the task {instruction!r}; this checkpoint knows {known}{more}'
            ': give one of them'
        )


class TextEncoder:
    """Averaged token embeddings: knows words, not their order.

    Source: WordLlama ``WordLlamaInference.embed``.

    Args:
        folder: Of the installed package.
    """

    def __init__(self, folder: Path) -> None:
        """Read weights and tokenizer.

        Raises:
            ConfigError: The package does not have them.
        """
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        for file in (folder / WEIGHTS, folder / TOKENIZER):
            if not file.is_file():
                msg = f'no file {file}; install the version of {PACKAGE} in constraints.txt'
                raise ConfigError(msg)
        self._table = load_file(folder / WEIGHTS)['embedding.weight']  # (32000, 256) float16
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))

    def encode(self, text: str) -> NDArray[np.float32]:
        """Return the (256,) float32 unit vector of a text; zeros if it is empty."""
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        total = self._table[tokens].astype(np.float32).sum(axis=0)
        return total / max(float(np.linalg.norm(total)), 1e-9)

    def similarity(self, instruction: str, task: str, synonyms: Synonyms = NO_SYNONYMS) -> float:
        """Return the cosine of two sentences, synonyms replaced and filler left out."""
        found, wanted = (
            self.encode(' '.join(_word_places(text, task, synonyms)))
            for text in (instruction, task)
        )
        return float(found @ wanted)


def fault(instruction: str, task: str, synonyms: Synonyms = NO_SYNONYMS) -> str:
    """Return why the words of an instruction do not fit a task, or nothing if they do.

    Args:
        instruction: Words of the user.
        task: One of the checkpoint's tasks.
        synonyms: See ``TaskMatcher``.
    """
    wanted, found = _word_places(task, task, synonyms), _word_places(instruction, task, synonyms)
    strange = [repr(word) for word in found if word not in wanted]
    if strange:
        return f'but that has no {", ".join(strange)}'
    for i, (word, place) in enumerate(wanted.items()):
        if word not in found and (i == 0 or word in SIDES):
            return f'but that needs {word!r}'
        if found.get(word, place) != place:
            return f'but that has {word!r} ' + (f'after "{place}"' if place else 'before "to"')
    for place in set(wanted.values()):
        order = [word for word in found if found[word] == place]
        if order != [word for word in wanted if word in order]:
            return f'but that has {", ".join(map(repr, order))} in another order'
    return ''


def _word_places(text: str, task: str, synonyms: Synonyms) -> dict[str, str]:
    """Return the words of a text without filler, and where each stands.

    A synonym is replaced by the task's word. Places are "from", "to", nothing, or
    several with "and".
    """
    names = _split(task)
    deed = names[0] if names else ''
    also = {w: name for name in names for w in synonyms.get(name, '').split()}
    also |= {name: name for name in names}
    ending = {w + end: deed for w in also if also[w] == deed for end in ('s', 'es')}  # it passes
    found: dict[str, set[str]] = {}
    place = before = ''
    for each in (word for word in _split(text) if word not in ARTICLES):
        word = also.get(each, ending.get(each, each))
        if word in PLACES:
            place = PLACES[word]
        elif word in FILLER and before not in PLACES:  # "to you" is no filler
            place = ''
        else:
            place = '' if word == deed else place
            found.setdefault(word, set()).add(place)
        before = word
    return {word: ' and '.join(sorted(places)) for word, places in found.items()}


def _split(text: str) -> list[str]:
    """Return the words of a text; a sign other than common punctuation is a word."""
    words = re.findall(r"\w[\w']*|[^\w\s.,!?-]", OVER.sub('', text.casefold()))
    pairs = zip(['', *words], words, strict=False)
    return [word for before, word in pairs if word not in GRIPPERS or before not in SIDES]
