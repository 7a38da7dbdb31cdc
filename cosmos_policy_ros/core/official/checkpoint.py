# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's files to a checkpoint folder; the numbers are copied, only names and sizes are checked.

Everything is checked before the first byte is written. Weights stay mapped in their files and are
copied one by one, so the memory that cannot be given back is that of the largest tensor (and of
its copy where the precision changes).

Source: NVlabs/cosmos-policy ``cosmos_utils.get_model`` (a consolidated ``.pt``, prefix ``net.``),
``tokenizers.wan2pt1`` and ``t5_embedding_utils`` (a pickled dictionary of (1, L, D) embeddings).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any, NamedTuple

from cosmos_policy_ros.config_file import read_mapping
from cosmos_policy_ros.core.checkpoint import (
    check_parts,
    Checkpoint,
    CONFIG,
    STATS,
    TEXT,
    TRANSFORMER,
    VAE,
)
from cosmos_policy_ros.core.config import PolicyConfig, write_config
from cosmos_policy_ros.core.normalize import read_stats, write_stats
from cosmos_policy_ros.core.official.names import (
    is_beside_weights,
    TRANSFORMER_2B,
    transformer_names,
    vae_names,
    VAE_WAN,
)
from cosmos_policy_ros.core.official.tensor_files import (
    is_float,
    Precision,
    read_safetensors,
    read_torch_file,
    write_network,
)
from cosmos_policy_ros.core.text import save_text_embeddings, TextEmbeddings
from cosmos_policy_ros.types import ConfigError
from diffusers import AutoencoderKLWan, CosmosTransformer3DModel, ModelMixin
import torch
from torch import Tensor


@dataclass(frozen=True)
class Sources:
    """Where the parts of an official checkpoint lie.

    Attributes:
        transformer: Consolidated ``.pt``, or diffusers folder.
        vae: ``tokenizer.pth`` of Wan 2.1, or diffusers folder.
        stats: JSON with ten flat keys.
        text: Command -> embedding, a file of torch or safetensors.
    """

    transformer: Path
    vae: Path
    stats: Path
    text: Path


class Network(NamedTuple):
    """A network whose weights are named and shaped as diffusers wants them."""

    model: Any  # the diffusers network without numbers, on the device "meta"
    weights: dict[str, Tensor]
    n_beside: int  # keys of the file that are no weights


def import_checkpoint(
    sources: Sources,
    folder: Path,
    config: PolicyConfig,
    precision: Precision | None = None,
    transformer_config: Mapping[str, Any] = TRANSFORMER_2B,
    vae_config: Mapping[str, Any] = VAE_WAN,
) -> dict[str, Network]:
    """Write a checkpoint folder from official files and return its networks.

    Args:
        sources: The files.
        folder: Folder to make.
        config: What the weights were trained for, see ``presets``.
        precision: Precision of both networks; None keeps that of every tensor.
        transformer_config: Sizes the transformer must have.
        vae_config: Sizes the autoencoder must have.

    Raises:
        ConfigError: A file is damaged or unsafe, weights are unknown, missing or of another
            shape (all of them are listed), or the parts do not fit each other.
    """
    stats, text = read_stats(sources.stats), read_embeddings(sources.text)
    networks = {
        TRANSFORMER: read_transformer(sources.transformer, transformer_config),
        VAE: read_vae(sources.vae, vae_config),
    }
    transformer, vae = networks[TRANSFORMER].model, networks[VAE].model
    try:
        check_parts(Checkpoint(config, stats, text, transformer, vae))
    except ConfigError as error:
        msg = f'these files are not of that preset: {error}'
        raise ConfigError(msg) from error
    folder.mkdir(parents=True)
    write_config(folder / CONFIG, config)
    write_stats(folder / STATS, stats)
    save_text_embeddings(folder / TEXT, text)
    for name, network in networks.items():
        write_network(folder / name, network.model, network.weights, precision)
    return networks


def read_transformer(path: Path, config: Mapping[str, Any] = TRANSFORMER_2B) -> Network:
    """Return the transformer of a consolidated checkpoint or of a diffusers folder.

    Raises:
        ConfigError: It cannot be read, or is not the network of that configuration.
    """
    model = empty_network(CosmosTransformer3DModel, config)
    if path.is_dir():
        return _read_folder(path, model)
    return _take(path, _read_file(path), model, transformer_names(model.state_dict()))


def read_vae(path: Path, config: Mapping[str, Any] = VAE_WAN) -> Network:
    """Return the autoencoder of an official tokenizer file or of a diffusers folder.

    Raises:
        ConfigError: It cannot be read, or is not the network of that configuration.
    """
    model = empty_network(AutoencoderKLWan, config)
    if path.is_dir():
        return _read_folder(path, model)
    names = vae_names(model.state_dict(), model.config.num_res_blocks)
    return _take(path, _read_file(path), model, names)


def read_embeddings(path: Path) -> TextEmbeddings:
    """Return the embeddings of all commands, in the precision of the file.

    Raises:
        ConfigError: The file cannot be read or holds something else.
    """
    embeddings = {}
    for command, tensor in _read_file(path).items():
        if not is_float(tensor) or tensor.ndim not in (2, 3) or tensor.shape[:-2].numel() != 1:
            msg = f'{path}: {command!r} must be a float tensor (1, tokens, width), {_kind(tensor)}'
            raise ConfigError(msg)
        embeddings[command] = tensor.reshape(tensor.shape[-2:]).clone()
    try:
        return TextEmbeddings(embeddings)
    except ConfigError as error:
        msg = f'{path}: {error}'
        raise ConfigError(msg) from error


def empty_network(cls: type[ModelMixin], config: Mapping[str, Any]) -> Any:
    """Return a diffusers network of these sizes without numbers, on the device ``meta``."""
    with torch.device('meta'):
        return cls(**{k: list(v) if isinstance(v, tuple) else v for k, v in config.items()})


def _read_file(path: Path) -> Mapping[str, Any]:
    return read_safetensors(path) if path.suffix == '.safetensors' else read_torch_file(path)


def _read_folder(path: Path, model: Any) -> Network:
    """Read a diffusers folder of the same class and sizes as ``model``."""
    file = path / 'config.json'
    facts = read_mapping(file, 'network configuration', 'copy the folder again')
    if facts.get('concat_padding_mask') and not model.config.get('concat_padding_mask', True):
        facts |= {'in_channels': facts.get('in_channels', 0) + 1, 'concat_padding_mask': False}
    if facts.get('_class_name') != type(model).__name__:
        msg = f'{file} is for {facts.get("_class_name")}, not {type(model).__name__}'
        raise ConfigError(msg)
    try:
        with torch.device('meta'):
            found = json.loads(json.dumps(dict(type(model).from_config(facts).config)))
    except (ValueError, TypeError, AttributeError, RuntimeError, LookupError) as error:
        msg = f'{file} does not describe a {type(model).__name__}: {error}'
        raise ConfigError(msg) from error
    wanted = json.loads(json.dumps(dict(model.config)))
    different = [
        f'{key} {found.get(key)}, wanted {wanted[key]}'
        for key in wanted
        if not key.startswith('_') and found.get(key) != wanted[key]
    ]
    if different:
        msg = f'{file} is not that of the released network: {"; ".join(different)}'
        raise ConfigError(msg)
    return _take(path, read_safetensors(path), model, {name: name for name in model.state_dict()})


def _take(path: Path, data: Mapping[str, Any], model: Any, names: Mapping[str, str]) -> Network:
    """Return the weights under the names of ``model`` after comparing all keys and shapes.

    Args:
        path: File or folder, for messages.
        data: What it holds.
        model: Network without numbers.
        names: Name in the file -> name in the network.
    """
    state = model.state_dict()
    wanted = {key: tuple(state[name].shape) for key, name in names.items()}
    beside = [key for key in data if key not in wanted and is_beside_weights(key)]
    unknown = [f'{k}: {_kind(v)}' for k, v in data.items() if k not in wanted and k not in beside]
    missing = [f'{key}: {shape}' for key, shape in wanted.items() if key not in data]
    wrong = [
        f'{key}: {_kind(data[key])}, wanted {shape}'
        for key, shape in wanted.items()
        if key in data and (not is_float(data[key]) or tuple(data[key].shape) != shape)
    ]
    groups = {'unknown': unknown, 'missing': missing, 'of another shape or type': wrong}
    if any(groups.values()):
        raise ConfigError(_differences(path, groups, type(model).__name__, len(wanted)))
    return Network(model, {name: data[key] for key, name in names.items()}, len(beside))


def _differences(path: Path, groups: dict[str, list[str]], network: str, n: int) -> str:
    """Return all keys that do not fit, by group, the counts in the first line."""
    counts = ', '.join(f'{len(keys)} {group}' for group, keys in groups.items())
    lines: list[str] = [f'{path} is not the expected {network} of {n} tensors: {counts}']
    for group, keys in groups.items():
        lines += [f'  {group}', *_indented(keys)] if keys else []
    return '\n'.join(lines)


def _indented(keys: Iterable[str]) -> list[str]:
    return [f'    {key}' for key in keys]


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f'{tuple(value.shape)} {str(value.dtype).removeprefix("torch.")}'
    return type(value).__name__
