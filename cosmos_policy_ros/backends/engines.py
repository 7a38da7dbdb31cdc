# SPDX-License-Identifier: Apache-2.0
"""Exported networks beside the checkpoint that they were made from.

``<checkpoint>/engines/<kind>-<key>/`` holds the network and ``engine.json``: the facts that it
depends on (the key is their hash), its own hash, and how far its answers are from the truth.
A folder appears whole or not at all, and one whose facts or hash differ is never loaded. Where a
checkpoint cannot be written, as one that was installed, it lies in the user's cache folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from cosmos_policy_ros.core.checkpoint import CONFIG, TRANSFORMER, WEIGHTS
from cosmos_policy_ros.outputs import whole_folder
from cosmos_policy_ros.resources import home
from cosmos_policy_ros.types import ConfigError

ENGINES = 'engines'
NOTE = 'engine.json'
KEY = 12  # letters of a key
Facts = Mapping[str, Any]


def model_hash(checkpoint: Path) -> str:
    """Return a hash of all that the network of a checkpoint depends on.

    Raises:
        ConfigError: There is no such checkpoint, or a part of it is missing.
    """
    if not checkpoint.is_dir():
        msg = f'no checkpoint folder {checkpoint}; give a folder that holds {CONFIG}'
        raise ConfigError(msg)
    digest = hashlib.sha256()
    for name in (CONFIG, f'{TRANSFORMER}/config.json', f'{TRANSFORMER}/{WEIGHTS}'):
        if not (checkpoint / name).is_file():
            msg = f'no file {checkpoint / name}; the checkpoint folder is incomplete'
            raise ConfigError(msg)
        digest.update(bytes.fromhex(_hash(checkpoint / name)))
    return digest.hexdigest()


def find_engine(checkpoint: Path, kind: str, facts: Facts) -> Path | None:
    """Return the folder of an engine with these facts, None if there is none.

    Raises:
        ConfigError: It is there, but damaged or made from other facts.
    """
    folders = (root / _name(kind, facts) for root in _roots(checkpoint))
    folder = next((f for f in folders if f.is_dir()), None)
    if folder is None:
        return None
    again = f'write it again: cosmos-policy export --again {checkpoint}'
    try:
        note = read_note(folder)
        found, files = note['facts'], note['files']
        intact = bool(files) and all(_hash(folder / f) == h for f, h in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f'{folder / NOTE} is damaged ({error}); {again}'
        raise ConfigError(msg) from error
    if found != dict(facts):
        different = sorted(k for k in {*found, *facts} if found.get(k) != facts.get(k))
        msg = f'{folder} was made from another {", ".join(different)}; {again}'
        raise ConfigError(msg)
    if not intact:
        msg = f'a file in {folder} is not what was exported; {again}'
        raise ConfigError(msg)
    return folder


def has_engine(checkpoint: Path, kind: str) -> bool:
    """Return whether there is any engine of a kind, fitting or not."""
    return any(f for root in _roots(checkpoint) for f in root.glob(f'{kind}-*'))


def find_engines(checkpoint: Path, kind: str, facts: Facts) -> list[Path]:
    """Return the folders of all engines with these facts, whatever else they depend on.

    Raises:
        ConfigError: One of them is damaged, or was made from other facts than its name says.
    """
    folders = []
    pattern = f'{kind}-{"[0-9a-f]" * KEY}'
    for folder in (f for root in _roots(checkpoint) for f in sorted(root.glob(pattern))):
        try:
            noted = dict(read_note(folder)['facts'])
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f'{folder / NOTE} is damaged ({error}); move {folder} away and export again'
            raise ConfigError(msg) from error
        if all(noted.get(name) == fact for name, fact in facts.items()):
            if folder.name != _name(kind, noted):
                msg = f'{folder} was made from other facts than its name says; move it away'
                raise ConfigError(msg)
            find_engine(checkpoint, kind, noted)
            folders.append(folder)
    return folders


def write_engine(
    checkpoint: Path, kind: str, facts: Facts, make: Callable[[Path], dict[str, Any]]
) -> Path:
    """Make an engine and put it beside its checkpoint, in place of one with the same facts.

    Args:
        checkpoint: Checkpoint folder.
        kind: What the engine is for.
        facts: What it depends on.
        make: Writes the files into a folder and returns what else is worth noting; if it raises,
            nothing is left.

    Returns:
        The engine's folder.
    """
    folder = writable_root(checkpoint) / _name(kind, facts)
    with whole_folder(folder, replace=True) as partial:
        partial.mkdir()
        more = make(partial)
        files = {f.name: _hash(f) for f in sorted(partial.iterdir())}
        note = {'facts': dict(facts), 'files': files, **more}
        (partial / NOTE).write_text(json.dumps(note, indent=2) + '\n', encoding='utf-8')
    return folder


def read_note(folder: Path) -> dict[str, Any]:
    """Return ``engine.json`` of an engine's folder: facts, hashes of the files, parity report."""
    return json.loads((folder / NOTE).read_text(encoding='utf-8'))


def writable_root(checkpoint: Path) -> Path:
    """Return the folder that engines of a checkpoint are written to; it need not exist yet."""
    beside, cached = _roots(checkpoint)
    return beside if os.access(beside if beside.exists() else checkpoint, os.W_OK) else cached


def _roots(checkpoint: Path) -> tuple[Path, Path]:
    """Return the folders in which engines of a checkpoint may lie."""
    cache = Path(os.environ.get('XDG_CACHE_HOME') or home() / '.cache')
    return checkpoint / ENGINES, cache / 'cosmos_policy_ros' / ENGINES


def _name(kind: str, facts: Facts) -> str:
    key = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()[:KEY]
    return f'{kind}-{key}'


def _hash(file: Path) -> str:
    """Return the hash of a file, read again only when it was written again."""
    status = file.stat()
    return _read_hash(file, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@cache
def _read_hash(file: Path, *_: int) -> str:
    digest = hashlib.sha256()
    with file.open('rb') as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
