# SPDX-License-Identifier: Apache-2.0
"""The field's words: an old word that comes back in a public name fails here.

The words that are used stand in ``docs/index.md``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path
import re

import pytest

PACKAGE = Path(__file__).parents[2] / 'cosmos_policy_ros'
FILES = sorted(PACKAGE.rglob('*.py'))

# A word that no public name has as one of its parts -> the field's term.
WORDS = {
    'ask': 'denoise, query or request',
    'asked': 'target frames',
    'asking': 'sampling',
    'board': 'run log',
    'ckpt': 'checkpoint',
    'deal': 'split_batch',
    'exam': 'validation set',
    'hasten': 'prioritise',
    'headroom': 'oracle',
    'hear': 'receive',
    'heard': 'received',
    'master': 'leader',
    'material': 'training data',
    'nfe': 'denoising steps',
    'picture': 'image',
    'pictures': 'images',
    'prompt': 'task',
    'pruning': 'successive halving',
    'puppet': 'follower',
    'qpos': 'proprio',
    'say': 'report',
    'tally': 'playback statistics',
    'tell': 'publish, log or report',
    'told': 'instruction',
}
# Where the parts of an old name are words that others need: dotted pattern -> the field's term.
NAMES = {
    'core.asking': 'sampling',
    'core.denoiser.lower': 'to_mixed_precision',
    'core.sample': 'sampling',
    'core.spread': 'perturb',
    '*.keep_memory': 'lock_memory',
    '*.read_text': 'load_text_embeddings or encode_text',
    '*.spread': 'perturb or seed_stride',
    'control.*.Watch': 'WatchdogLimits',
    'ros.*.Controls': 'StackClient',
    'ros.*.EpisodeLog': 'EpisodeMonitor',
    'nodes.stream_node': 'fake_sensor_node',
    'training.measure': 'validation',
    'training.parts': 'microbatch',
    'training.prepare': 'episode_cache',
    'training.processes': 'distributed',
    'training.*.Answers': 'Predictions',
    'training.*.Figures': 'Metrics',
    'training.*.LatentStore': 'LatentCache',
    'training.*.Processes': 'Ranks',
    'training.*.answer': 'predict',
    'training.*.mark': 'compute_metrics',
}


def public_names(path: Path) -> Iterator[tuple[int, str]]:
    """Return line and name of the module, what it defines for others, and their parameters."""
    if path.stem != '__init__':
        yield 0, path.stem
    yield from _defined(ast.parse(path.read_text(encoding='utf-8')).body)


def _defined(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name.startswith('_') and node.name != '__init__':
                continue
            yield node.lineno, node.name
            if isinstance(node, ast.ClassDef):
                yield from _defined(node.body)
            else:
                a = node.args
                yield from ((p.lineno, p.arg) for p in (*a.posonlyargs, *a.args, *a.kwonlyargs))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            yield from ((n.lineno, n.id) for n in names)


def old_words(where: str) -> list[str]:
    """Return what the last part of a dotted name has of the old words, with the field's term."""
    name = where.rpartition('.')[2]
    if name.startswith('_'):
        return []
    parts = [p.lower() for p in re.findall(r'[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+', name)]
    found = [f'{p}: {WORDS[p]}' for p in parts if p in WORDS]
    return found + [f'{name}: {term}' for old, term in NAMES.items() if fnmatch(where, old)]


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_names_use_the_fields_words(path: Path) -> None:
    """No module, function, class, field or parameter is called by a word that was given up."""
    room = '.'.join(path.relative_to(PACKAGE).with_suffix('').parts)
    names = [(line, room if line == 0 else f'{room}.{name}') for line, name in public_names(path)]
    found = {f'line {line}, {name}': old_words(name) for line, name in names}
    wrong = [f'{place} ({", ".join(words)})' for place, words in found.items() if words]
    assert not wrong, f'{path.relative_to(PACKAGE.parent)}: ' + '; '.join(wrong)


def test_an_old_word_is_found_as_a_part_of_a_name() -> None:
    """Words are found in snake case, in camel case and as a whole, and not inside other words."""
    assert old_words('report.read_pictures') == ['pictures: images']
    assert old_words('report.PictureStore') == ['picture: image']
    assert old_words('core.text.read_text') == ['read_text: load_text_embeddings or encode_text']
    assert old_words('training.parts') == ['parts: microbatch']
    assert old_words('bench.parts') == []
    assert old_words('core.paraphrase.task_matcher') == []
    assert old_words('core.sampling.AskedFrames') == ['asked: target frames']
