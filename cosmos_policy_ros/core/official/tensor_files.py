# SPDX-License-Identifier: Apache-2.0
"""Tensors from other people's files, mapped into memory, and back to disk one by one.

A pickle is a program. Files of torch are read by torch's weights-only loader, plain pickles by an
unpickler that knows what a tensor is made of and nothing else, so a file that wants to run
anything is refused before it does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
import io
import json
from pathlib import Path
import pickle
import re
import struct
from typing import Any, Literal
import warnings

from cosmos_policy_ros.config_file import read_mapping
from cosmos_policy_ros.core.checkpoint import WEIGHTS
from cosmos_policy_ros.types import ConfigError
from safetensors import SafetensorError
from safetensors.torch import load_file
import torch
from torch import Tensor

Precision = Literal['float32', 'bfloat16', 'float16']

_CODES = {'F32': torch.float32, 'BF16': torch.bfloat16, 'F16': torch.float16}
_ZIP = b'PK\x03\x04'  # what torch.save has written since torch 1.6
_LEGACY = 0x1950A86A20F9469CFC6C  # the number that a file of torch before that begins with

# What the loader raises on bytes that are no such file; it documents none of it.
_UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError, LookupError, TypeError,
    AttributeError, OverflowError, struct.error,
)  # fmt: skip


def read_torch_file(path: Path) -> dict[str, Any]:
    """Return the dictionary in a file of torch or a plain pickle of tensors.

    The tensors of a file of torch are mapped and not yet read. One in torch's old format, without
    a zip archive, and a plain pickle are read into memory.

    Raises:
        ConfigError: The file is damaged, or holds more than tensors in plain containers.
    """
    with path.open('rb') as file:
        zipped = file.read(len(_ZIP)) == _ZIP
    try:
        data = None if zipped else _read_plain_pickle(path)
        if zipped or data == _LEGACY:
            # A BytesIO is a buffer; TransformerEngine keeps its states in one.
            with warnings.catch_warnings(), torch.serialization.safe_globals([io.BytesIO]):
                warnings.simplefilter('ignore')  # the protocol of the pickle
                data = torch.load(path, map_location='cpu', weights_only=True, mmap=zipped)
    except _UNREADABLE as error:
        raise ConfigError(_refusal(path, str(error) or 'it ends early')) from error
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        msg = f'{path} holds a {type(data).__name__}, not tensors by name'
        raise ConfigError(msg)
    return data


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, or of a diffusers folder of one or more of them.

    Raises:
        ConfigError: A file is missing or damaged.
    """
    names = [path.name]
    folder = path.parent
    if path.is_dir():
        folder, index = path, path / f'{WEIGHTS}.index.json'
        parts = (
            read_mapping(index, 'index of weights', 'copy the folder again').get('weight_map')
            if index.is_file()
            else {'': WEIGHTS}
        )
        if not isinstance(parts, dict):
            msg = f'{index} has no weight_map'
            raise ConfigError(msg)
        names = sorted({Path(str(part)).name for part in parts.values()})
    tensors: dict[str, Tensor] = {}
    for name in names:
        tensors |= _load(folder / name)
    return tensors


def write_network(
    folder: Path, model: Any, weights: Mapping[str, Tensor], precision: Precision | None
) -> None:
    """Make the diffusers folder of a network.

    Args:
        folder: Folder to make.
        model: The diffusers network, whose own numbers are not looked at.
        weights: See ``write_safetensors``.
        precision: See ``write_safetensors``.
    """
    folder.mkdir()
    facts = json.loads(model.to_json_string())
    text = json.dumps(facts, indent=2) + '\n'
    (folder / 'config.json').write_text(text, encoding='utf-8')
    write_safetensors(folder / WEIGHTS, weights, precision)


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], precision: Precision | None
) -> None:
    """Write a safetensors file one tensor at a time, so that one at a time is in memory.

    The library's own writer wants all tensors at once, which for other numbers than those of the
    source would be a copy of the whole network.

    Args:
        path: File to write.
        tensors: Name -> float32, bfloat16 or float16.
        precision: Precision in the file; None keeps that of every tensor.
    """
    header: dict[str, Any] = {'__metadata__': {'format': 'pt'}}
    end = 0
    for name, tensor in tensors.items():
        dtype = tensor.dtype if precision is None else getattr(torch, precision)
        code = next(code for code, known in _CODES.items() if known == dtype)
        start, end = end, end + tensor.numel() * dtype.itemsize
        header[name] = {'dtype': code, 'shape': list(tensor.shape), 'data_offsets': [start, end]}
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)  # the numbers begin at a multiple of 8
    with path.open('wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        for name, tensor in tensors.items():
            numbers = tensor.detach().to(_CODES[header[name]['dtype']]).contiguous()
            file.write(numbers.reshape(-1).view(torch.uint8).numpy().data)


def is_float(tensor: Any) -> bool:
    """Return whether this is a dense tensor of numbers that a network can be loaded from."""
    return (
        isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.dtype in _CODES.values()
    )


def _load(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        msg = f'{file} is missing or damaged ({error}); copy it again'
        raise ConfigError(msg) from error


def _read_plain_pickle(path: Path) -> Any:
    """Return what a plain pickle of tensors in plain containers holds.

    Raises:
        pickle.UnpicklingError: It asks for anything else; nothing of that was called.
    """
    with path.open('rb') as file:
        return _TensorUnpickler(file).load()


class _TensorUnpickler(pickle.Unpickler):
    """Knows the names by which torch pickles a tensor, and what stands for each of them here."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return what stands for a name of a pickle; every callable comes through here."""
        found = _ADMITTED.get((module, name))
        if found is None:
            msg = f'GLOBAL {module}.{name}'
            raise pickle.UnpicklingError(msg)
        return found


class _LoadStorage:
    """Reads the numbers of a tensor, which are a file of torch inside the pickle."""

    __slots__ = ()  # a pickle can set no attribute of it

    def __call__(self, data: bytes) -> torch.TypedStorage:
        """Return the storage."""
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # that storages are typed
            storage = torch.load(io.BytesIO(data), map_location='cpu', weights_only=True)
        if not isinstance(storage, torch.TypedStorage):
            msg = f'the numbers of a tensor are a {type(storage).__name__}'
            raise pickle.UnpicklingError(msg)
        return storage


class _EncodeLatin1:
    """Makes bytes of the text that stands for them before protocol 3 of pickle."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        """Return the bytes."""
        if encoding != 'latin1':
            msg = f'GLOBAL _codecs.encode {encoding}'
            raise pickle.UnpicklingError(msg)
        return str.encode(text, 'latin1')


class _RebuildTensor:
    """Makes a tensor of its numbers."""

    __slots__ = ()

    def __call__(
        self,
        storage: torch.TypedStorage,
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        *_rest: object,  # whether it wants a gradient, hooks
    ) -> Tensor:
        """Return the tensor.

        Raises:
            pickle.UnpicklingError: It reaches beyond its numbers; torch would make room for more.
        """
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        found = storage._untyped_storage.nbytes() // storage.dtype.itemsize
        if min((offset, *size, *stride)) < 0 or (0 not in size and last >= found):
            msg = f'a tensor of {size} is out of bounds of its {found} numbers'
            raise pickle.UnpicklingError(msg)
        return torch._utils._rebuild_tensor(storage, offset, size, stride)


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ('torch._utils', '_rebuild_tensor_v2'): _RebuildTensor(),
    ('torch.storage', '_load_from_bytes'): _LoadStorage(),
    ('collections', 'OrderedDict'): OrderedDict,
    ('_codecs', 'encode'): _EncodeLatin1(),
}


def _refusal(path: Path, error: str) -> str:
    """Return one line: what is wrong with a file, and what to do."""
    wanted = re.search(r'GLOBAL ([\w.]+)', error)
    if wanted:
        return (
            f'{path} holds more than tensors (it asks for {wanted[1]}), so loading it would run '
            f'code; refused. A copy that holds the tensors only, .pt or .safetensors, is read'
        )
    reason = re.search(r'WeightsUnpickler error:\s*(.+)', error)
    line = reason[1] if reason else error.strip().splitlines()[0]
    what = line.split('. ')[0][:200]
    return f'{path} is damaged, cut off or no file of tensors ({what}); copy it again'
