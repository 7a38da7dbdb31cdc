# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint acted in an episode: the hash that a bag keeps of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cosmos_policy_ros.types import ConfigError


def hash_checkpoint(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint folder: names and contents of its files.

    Left out are ``engines/``, made from the rest on each machine, and ``work/``, which a training
    run leaves and nobody needs.

    Raises:
        ConfigError: There is no ``policy.json`` in it.
    """
    if not (folder / 'policy.json').is_file():
        msg = f'no checkpoint folder {folder}: it has no policy.json'
        raise ConfigError(msg)
    total = hashlib.sha256()
    for file in sorted(f for f in folder.rglob('*') if f.is_file()):
        name = file.relative_to(folder)
        if name.parts[0] not in ('engines', 'work'):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f'{name.as_posix()} {content}\n'.encode())
    return total.hexdigest()
