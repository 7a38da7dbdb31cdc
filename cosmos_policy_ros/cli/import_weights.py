# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy import-weights``: NVIDIA's official files to a checkpoint folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosmos_policy_ros.core.official.presets import Preset, preset
from cosmos_policy_ros.outputs import whole_folder
from cosmos_policy_ros.types import ConfigError
import tyro

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
    'text': 'text embeddings (*_t5_embeddings.pkl, or converted to .pt)',
}
RELEASES = ('libero', 'robocasa', 'aloha')  # LIBERO and RoboCasa have the same sizes


@dataclass(frozen=True, kw_only=True)
class ImportWeights:
    """Make a checkpoint folder from NVIDIA's Cosmos Policy or Cosmos-Predict2-2B files.

    The files are downloaded by you, under their own licences. OUT appears whole or not at all,
    after every name and shape was compared with the network. Pickles are read by torch's
    weights-only loader and never run.

    Example: cosmos-policy import-weights downloads/ --preset aloha --out models/cosmos_aloha
    """

    src: tyro.conf.Positional[Path | None] = None
    """Folder, with subfolders, in which the parts are recognised by their names."""
    out: Path
    """Checkpoint folder to make."""
    preset: Preset
    """Which release: sets cameras, sizes, horizon, noise levels, steps and kind of value."""
    transformer: Path | None = None
    """Consolidated .pt (or .safetensors with its names), or diffusers folder, also in shards."""
    vae: Path | None = None
    """tokenizer.pth of Wan 2.1, or diffusers folder."""
    stats: Path | None = None
    """*_dataset_statistics.json"""
    text: Path | None = None
    """*_t5_embeddings as .pkl, .pt, .pth or .safetensors."""
    precision: Literal['source', 'float32', 'bfloat16', 'float16'] = 'source'
    """Precision of both networks on disk."""


def run(options: ImportWeights) -> int:
    """Find the parts, import them, print what came from where."""
    from cosmos_policy_ros.core.official.checkpoint import import_checkpoint, Sources

    parts = find_parts(options)
    with whole_folder(options.out) as folder:
        networks = import_checkpoint(
            Sources(**parts),
            folder,
            preset(options.preset),
            None if options.precision == 'source' else options.precision,
        )
    for part, path in parts.items():
        print(f'{part:12} {path}')
    for name, network in networks.items():
        size_mb = sum(f.stat().st_size for f in (options.out / name).iterdir()) * 1e-6
        print(
            f'{name}: {len(network.weights)} tensors, {size_mb:.1f} MB; {network.n_beside} keys '
            f'that are no weights left out'
        )
    print(f'{options.out}: checkpoint folder of the preset {options.preset}')
    return 0


def find_parts(options: ImportWeights) -> dict[str, Path]:
    """Return where every part lies, from the options or found below the source folder.

    Raises:
        ConfigError: A part is missing, found more than once, or named after another release; all
            such parts are listed.
    """
    if options.src is not None and not options.src.is_dir():
        msg = f'no folder {options.src}; name single files with --transformer, --vae and so on'
        raise ConfigError(msg)
    parts: dict[str, Path] = {}
    troubles = []
    for part in PATTERNS:
        given: Path | None = getattr(options, part)
        found = [given] if given else search(options.src, part) if options.src else []
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
        release = next((name for name in RELEASES if name in path.name.lower()), options.preset)
        if not options.preset.startswith(release):
            troubles.append(f'{path} is of {release} by its name, the preset {options.preset} not')
    if troubles:
        raise ConfigError('\n  '.join(['nothing imported', *troubles]))
    return parts


def search(folder: Path, part: str) -> list[Path]:
    """Return the files or diffusers folders below a folder that may be this part."""
    for patterns in PATTERNS[part]:
        found = sorted({path for pattern in patterns for path in folder.rglob(pattern)})
        if part == 'transformer':
            found = [path for path in found if 't5_embeddings' not in path.name]
        if found:
            return [path.parent if path.name == 'config.json' else path for path in found]
    return []
