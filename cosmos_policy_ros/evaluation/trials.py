# SPDX-License-Identifier: Apache-2.0
"""Blind trials of two policies in pairs: which one is next, what was seen of it, who is better.

A pair is one start state, from which both policies act, in an order that is drawn. Whoever judges
knows the pair and the turn and not the policy; the schedule has the policies as letters, and what
the letters stand for is drawn too. Results are appended to a file line by line, so that a crash
costs the trial that runs and nothing else.

Source: the protocols of RoboArena (paired, blind, same start) and of Kress-Gazit et al.,
"Robot learning as an empirical science" (arXiv 2409.09491): progress beside success, failures
named, start states recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
import json
from pathlib import Path
import random
from types import MappingProxyType
from typing import Any

from cosmos_policy_ros.evaluation.evidence import ALPHA, evidence, p_value
from cosmos_policy_ros.metrics import wilson_interval
from cosmos_policy_ros.outputs import whole_file, write_json
from cosmos_policy_ros.types import ConfigError, Judgement, MOST_PROGRESS
import numpy as np

SESSION, RESULTS = 'session.json', 'results.jsonl'
LETTERS = ('X', 'Y')  # of the two policies while nobody is to know them
SCORES = ('progress', 'success')


@dataclass(frozen=True)
class Trial:
    """One rollout to be played.

    Attributes:
        pair: Number of the pair, from 0.
        turn: 0 or 1, first or second rollout of the pair.
        letter: Which policy acts, as a letter.
    """

    pair: int
    turn: int
    letter: str


@dataclass(frozen=True)
class JudgedRollout(Judgement):
    """What was seen of a rollout, and where it is kept.

    Attributes:
        seconds: How long it took [s].
        bag: Its recording, relative to the folder of the session.
    """

    seconds: float = 0.0
    bag: str = ''


class Session:
    """A comparison of two policies in a folder, which can be broken off and gone on with.

    Attributes:
        policies: Letter -> policy, which a judge does not look at.
        trials: All trials in the order in which they are played.
        judged: Those that were judged, in that order, each with its judgement.
    """

    def __init__(
        self,
        folder: Path,
        policies: Sequence[str],
        pairs: int,
        seed: int,
        conditions: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Draw a schedule, or read that of a session that was begun.

        Args:
            folder: Folder of the session; it is made.
            policies: The two policies, such as their checkpoint folders.
            pairs: Most pairs to be played.
            seed: Of the order and the letters.
            conditions: What has to be the same in all rollouts, of what JSON has, such as the
                task and what the checkpoints hold.

        Raises:
            ConfigError: The policies are not two, or the folder has another session.
        """
        if len(policies) != len(LETTERS) or len({*policies}) != len(LETTERS) or pairs < 1:
            msg = f'give two policies and at least one pair, got {[*policies]} and {pairs}'
            raise ConfigError(msg)
        self._folder = folder
        wanted = {'policies': sorted(policies), 'pairs': pairs, 'seed': seed, **conditions}
        file = folder / SESSION
        if file.exists():
            session = read_session(file)
            # sessions of before conditions were kept have none
            begun = {name: session.get(name, wanted[name]) for name in wanted}
            if different := [name for name in wanted if begun[name] != wanted[name]]:
                told = '; '.join(f'{n} was {begun[n]}, is {wanted[n]}' for n in different)
                msg = f'{folder} has another session: {told}; take another folder'
                raise ConfigError(msg)
        else:
            session = wanted | draw(policies, pairs, seed)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(file, session)
        self.policies: dict[str, str] = session['letters']
        self.trials = [
            Trial(pair, turn, letter)
            for pair, letters in enumerate(session['order'])
            for turn, letter in enumerate(letters)
        ]
        self.judged: list[tuple[Trial, JudgedRollout]] = list(self._read())
        self._mend_end()

    @property
    def next_trial(self) -> Trial | None:
        """The first trial that was not judged, None when all were."""
        n = len(self.judged)
        return self.trials[n] if n < len(self.trials) else None

    def add(self, judgement: JudgedRollout) -> None:
        """Keep the judgement of the next trial, on disk before this returns.

        Raises:
            IndexError: All trials were judged.
            ConfigError: It cannot be written.
        """
        trial = self.trials[len(self.judged)]
        line = json.dumps(asdict(trial) | asdict(judgement))
        text, _ = self._lines()
        with whole_file(self._folder / RESULTS) as partial:
            partial.write_text(f'{text}{line}\n', encoding='utf-8')
        self.judged.append((trial, judgement))

    def differences(self, score: str = SCORES[0]) -> list[float]:
        """Return the score of Y minus that of X in every whole pair, from -1 to 1.

        Args:
            score: ``progress``, which tells policies apart sooner, or ``success``.
        """
        best = MOST_PROGRESS if score == 'progress' else 1
        pairs: dict[int, dict[str, float]] = {}
        for trial, judgement in self.judged:
            pairs.setdefault(trial.pair, {})[trial.letter] = getattr(judgement, score) / best
        whole = [pair for pair in pairs.values() if len(pair) == len(LETTERS)]
        return [pair[LETTERS[1]] - pair[LETTERS[0]] for pair in whole]

    def is_decided(self, score: str = SCORES[0]) -> bool:
        """Return whether whole pairs show a difference, so that one may stop."""
        differences = self.differences(score)
        pairs_whole = len(self.judged) % len(LETTERS) == 0
        return pairs_whole and bool(differences) and evidence(differences) >= 1.0 / ALPHA

    def reveal(self) -> dict[str, Any]:
        """Return who was who and how they did: the figures of the score sheet.

        Per policy: rollouts, successes with their Wilson interval, mean progress and failures;
        for the pair: evidence and anytime-valid p-value by progress and by success, and the better
        one where the evidence by progress is significant.
        """
        shown: dict[str, Any] = {'pairs': len(self.differences()), 'policies': {}}
        for letter in LETTERS:
            mine = [j for trial, j in self.judged if trial.letter == letter]
            n, won = len(mine), sum(j.success for j in mine)
            failures = Counter(j.failure for j in mine if j.failure)
            shown['policies'][self.policies[letter]] = {
                'rollouts': n,
                'successes': won,
                'success_interval': wilson_interval(won, n) if n else None,
                'progress': round(float(np.mean([j.progress for j in mine])), 3) if n else None,
                'failures': dict(failures.most_common()),
            }
        for score in SCORES:
            differences = self.differences(score)
            shown[f'evidence_{score}'] = round(evidence(differences), 3)
            shown[f'p_{score}'] = round(p_value(differences), 4)
        shown['better'] = None
        if self.is_decided():
            better = LETTERS[int(sum(self.differences()) > 0.0)]
            shown['better'] = self.policies[better]
        return shown

    def _mend_end(self) -> None:
        """Leave the lines that were read and nothing behind them, or the next one would join it.

        A crash may leave a piece of a line, an editor no end of the last one or an empty one.
        """
        text, lines = self._lines()
        whole = ''.join(f'{line}\n' for line in lines[: len(self.judged)])
        if text != whole:
            with whole_file(self._folder / RESULTS) as partial:
                partial.write_text(whole, encoding='utf-8')

    def _lines(self) -> tuple[str, list[str]]:
        """Return the file of results and its lines that are not empty."""
        file = self._folder / RESULTS
        text = file.read_text(encoding='utf-8') if file.exists() else ''
        return text, [line for line in text.splitlines() if line.strip()]

    def _read(self) -> Iterator[tuple[Trial, JudgedRollout]]:
        file, (text, lines) = self._folder / RESULTS, self._lines()
        for number, line in enumerate(lines):
            try:
                values = json.loads(line)
                trial = Trial(*(values.pop(name) for name in ('pair', 'turn', 'letter')))
                judgement = JudgedRollout(**values)
            except (ValueError, KeyError, TypeError) as error:
                last = number == len(lines) - 1 and not text.endswith('\n')
                if last and isinstance(error, json.JSONDecodeError):
                    return  # cut off while it was written; that trial is played again
                msg = f'{file}, line {number + 1}: {error!r}'
                raise ConfigError(msg) from error
            if number >= len(self.trials) or trial != self.trials[number]:
                msg = f'{file}, line {number + 1} is not of the schedule in {SESSION}'
                raise ConfigError(msg)
            yield trial, judgement


def draw(policies: Sequence[str], pairs: int, seed: int) -> dict[str, Any]:
    """Return which letter stands for which policy, and who goes first in every pair.

    Of every two pairs one begins with each, so that neither gains from what warms up or wears.

    Args:
        policies: The two policies.
        pairs: Number of pairs.
        seed: Of the drawing.
    """
    rng = random.Random(seed)
    hidden = rng.sample(list(policies), len(policies))
    orders = []
    for _ in range((pairs + 1) // 2):
        block = [''.join(LETTERS), ''.join(reversed(LETTERS))]
        rng.shuffle(block)
        orders += block
    return {'letters': dict(zip(LETTERS, hidden, strict=True)), 'order': orders[:pairs]}


def read_session(file: Path) -> Mapping[str, Any]:
    """Return the schedule of a session.

    Raises:
        ConfigError: The file was not written by this package.
    """
    try:
        session = json.loads(file.read_text(encoding='utf-8'))
        [session[name] for name in ('policies', 'pairs', 'seed', 'letters', 'order')]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f'{file} is no session of cosmos-policy evaluate-robot ({error!r})'
        raise ConfigError(msg) from error
    return session
