# SPDX-License-Identifier: Apache-2.0
"""A downloaded release: which file in a folder is which part, and all parts as a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from pathlib import Path
from typing import NamedTuple

from cosmos_policy_ros.core.official.checkpoint import import_checkpoint, Network, Sources
from cosmos_policy_ros.core.official.presets import Preset, preset as find_preset
from cosmos_policy_ros.core.official.tensor_files import Precision
from cosmos_policy_ros.outputs import whole_folder
from cosmos_policy_ros.types import ConfigError

# Part -> file name patterns, the preferred ones first; a folder counts with its config.json.
PATTERNS = {
    'transformer': (('*.pt', 'transformer/config.json'),),
    'vae': (('tokenizer.pth', 'Wan2.1_VAE.pth', 'vae/config.json'),),
    'stats': (('*dataset_statistics.json',),),
    'text': (
        ('*t5_embeddings.safetensors', '*t5_embeddings.pt', '*t5_embeddings.pth'),
        ('*t5_embeddings.pkl',),
    ),
}
MEANING = {
    'transformer': 'transformer (a consolidated .pt, or a diffusers folder transformer/)',
    'vae': 'autoencoder (tokenizer.pth of Cosmos-Predict2-2B-Video2World, or vae/)',
    'stats': 'statistics (*_dataset_statistics.json)',
    'text': 'text embeddings (*_t5_embeddings.pkl)',
}
RELEASES = ('libero', 'robocasa', 'aloha')  # LIBERO and RoboCasa have the same sizes


class ImportedRelease(NamedTuple):
    """The result of an import.

    Attributes:
        parts: Part -> file or folder that it came from.
        networks: Folder in the checkpoint -> network.
    """

    parts: dict[str, Path]
    networks: dict[str, Network]


def import_release(
    out: Path,
    preset: Preset,
    src: Path | None = None,
    named: Mapping[str, Path | None] | None = None,
    precision: Precision | None = None,
    action_steps: int | None = None,
) -> ImportedRelease:
    """Make a checkpoint folder, whole or not at all, from the files of a release.

    Args:
        out: Checkpoint folder to make.
        preset: Which release.
        src: Folder, with subfolders, in which the parts are recognised by their names.
        named: Part -> its file or folder, for those that are named rather than found.
        precision: Precision of both networks on disk; None keeps that of every tensor.
        action_steps: Denoising steps of an action chunk; None takes those of the preset.

    Raises:
        ConfigError: The steps are none, a part is missing, ambiguous, of another release or
            damaged, or ``out`` exists.
    """
    parts, config = find_parts(preset, src, named), find_preset(preset)
    if action_steps is not None:
        config = dataclasses.replace(config, action_steps=action_steps)
    with whole_folder(out) as folder:
        networks = import_checkpoint(Sources(**parts), folder, config, precision)
    return ImportedRelease(parts, networks)


def find_parts(
    preset: Preset, src: Path | None = None, named: Mapping[str, Path | None] | None = None
) -> dict[str, Path]:
    """Return part -> file or folder, as named or found below the source folder.

    Args:
        preset: Which release.
        src: Folder with subfolders, None where all parts are named.
        named: Part -> its file or folder; None for a part to find.

    Raises:
        ConfigError: A part is missing, found more than once, or named after another release; all
            such parts are listed.
    """
    if src is not None and not src.is_dir():
        msg = f'no folder {src}; name single files with --transformer, --vae and so on'
        raise ConfigError(msg)
    parts: dict[str, Path] = {}
    troubles = []
    for part in PATTERNS:
        given = (named or {}).get(part)
        found = [given] if given else search(src, part) if src else []
        if given and not given.exists():
            troubles.append(f'--{part}: no {given}')
        elif not found:
            troubles.append(f'no {MEANING[part]}; name it with --{part}')
        elif len(found) > 1:
            names = ', '.join(str(path) for path in found)
            troubles.append(f'more than one {MEANING[part]}: {names}; choose with --{part}')
        else:
            parts[part] = found[0]
    for path in parts.values():
        release = next((name for name in RELEASES if name in path.name.lower()), preset)
        if not preset.startswith(release):
            troubles.append(f'{path} is of {release} by its name, the preset {preset} not')
    if troubles:
        raise ConfigError('\n  '.join(['nothing imported', *troubles]))
    return parts


def search(folder: Path, part: str) -> list[Path]:
    """Return the files or diffusers folders below a folder that may be a part by their name.

    Args:
        folder: Where to search, with subfolders.
        part: A key of ``PATTERNS``.
    """
    for patterns in PATTERNS[part]:
        found = sorted({path for pattern in patterns for path in folder.rglob(pattern)})
        if part == 'transformer':
            found = [path for path in found if 't5_embeddings' not in path.name]
        if found:
            return [path.parent if path.name == 'config.json' else path for path in found]
    return []
