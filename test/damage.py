# SPDX-License-Identifier: Apache-2.0
"""Files with damage at random places, for readers that must name it and never trip over it."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 2**31, -(2**63), 10**30, 0.0, -0.5, 1e308, float('nan'),
    float('inf'), '', 'x', 'true', '../..', '\x00', 'é' * 3, [], {}, [[]], [0], ['a', 'a'],
    {'a': {}}, [None], [float('nan')] * 14,
)  # fmt: skip
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF)
TEXT = ('.yaml', '.json', '.jsonl')


def damage(folder: Path, random: Random) -> None:
    """Change, cut or remove parts of one or two files of a folder, by their structure or not."""
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    for _ in range(random.randint(1, 2)):
        file = random.choice(files)
        if not file.exists():
            continue
        edits = STRUCTURED.get(file.suffix, ())
        edit = random.choice((*edits, *edits, *BYTES)) if edits else random.choice(BYTES)
        edit(file, random)


def _flip(file: Path, random: Random) -> None:
    """Set a few bytes."""
    data = bytearray(file.read_bytes())
    for _ in range(random.randint(1, 8)):
        if data:
            at = random.randrange(len(data))
            data[at] = random.choice((*NUMBERS, random.randrange(256)))
    file.write_bytes(data)


def _cut(file: Path, random: Random) -> None:
    """End the file early."""
    data = file.read_bytes()
    file.write_bytes(data[: random.randint(0, len(data))])


def _move(file: Path, random: Random) -> None:
    """Drop, double or blank a piece."""
    data = file.read_bytes()
    at, n = random.randint(0, len(data)), random.choice((1, 4, 8, 100, 5000))
    piece = random.choice((b'', data[at : at + n] * 2, bytes(n), b'\xff' * n))
    file.write_bytes(data[:at] + piece + data[at + n :])


def _remove(file: Path, _random: Random) -> None:
    file.unlink()


def _replace_value(node: Any, random: Random) -> Any:
    """Return a tree with one value replaced, removed or put under another key."""
    if isinstance(node, dict) and node and random.random() < 0.9:
        key = random.choice(list(node))
        way = random.random()
        if way < 0.15:
            return {k: v for k, v in node.items() if k != key}
        if way < 0.25:
            return {**node, random.choice(('x', '', 'name')): node[key]}
        return {**node, key: _replace_value(node[key], random)}
    if isinstance(node, list) and node and random.random() < 0.9:
        at = random.randrange(len(node))
        way = random.random()
        if way < 0.15:
            return node[:at] + node[at + 1 :]
        if way < 0.25:
            return [*node, node[at]]
        return [*node[:at], _replace_value(node[at], random), *node[at + 1 :]]
    return random.choice(VALUES)


def _edit_text(file: Path, random: Random) -> None:
    """Change a value of a YAML or JSON file, where it is still one."""
    try:
        text = file.read_text(encoding='utf-8')
        tree = yaml.safe_load(text) if file.suffix == '.yaml' else json.loads(text)
    except (ValueError, yaml.YAMLError):
        return _flip(file, random)
    tree = _replace_value(tree, random)
    text = yaml.safe_dump(tree) if file.suffix == '.yaml' else json.dumps(tree)
    file.write_text(text, encoding='utf-8')
    return None


def _edit_hdf5(file: Path, random: Random) -> None:
    """Change a dataset or an attribute of an HDF5 file, where it is still one."""
    try:
        with h5py.File(file, 'r+') as root:
            names: list[str] = []
            root.visit(names.append)
            if not names or random.random() < 0.3:
                names = list(root.attrs) or ['x']
                root.attrs[random.choice(names)] = random.choice(
                    (0, -1, 1e308, float('nan'), '', 'x', np.zeros((2, 2)), b'\xff', 2**62)
                )
                return
            name = random.choice(names)
            there = root[name]
            data = there[()] if isinstance(there, h5py.Dataset) else np.zeros(3)
            del root[name]
            _put(root, name, data, random)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError):
        _flip(file, random)


def _put(root: h5py.File, name: str, data: Any, random: Random) -> None:
    """Write a dataset in another form, or nothing in its place."""
    array = np.asarray(data)
    numeric = array.dtype.kind in 'buif'
    ways: list[Callable[[], Any]] = [
        lambda: None,
        lambda: array[:-1] if array.ndim else array,
        lambda: array[:0] if array.ndim else array,
        lambda: array[..., :1] if array.ndim else array,
        lambda: array[None],
        lambda: np.array(3),
        lambda: 'text',
        lambda: np.full(array.shape, np.nan) if numeric else array,
        lambda: np.full(array.shape, 1e30) if numeric else array,
        lambda: np.full(array.shape, -1, np.int64) if numeric else array,
        lambda: np.full(array.shape, 10**12, np.int64) if numeric else array,
        lambda: array.astype(complex) if numeric else array,
        lambda: array.astype('S4') if numeric else array,
        lambda: np.full(array.shape[:1], b'\xff\xd8\xff', object) if array.ndim else array,
    ]
    made = random.choice(ways)()
    if made is None:
        root.require_group(name)
    elif isinstance(made, np.ndarray) and made.dtype == object:
        root.create_dataset(name, made.shape, h5py.vlen_dtype(np.uint8))
    elif random.random() < 0.1:
        root.create_dataset(name, (2**40, 14), 'f8', chunks=(1, 14))
    else:
        root[name] = made


def _edit_parquet(file: Path, random: Random) -> None:
    """Change a column of a table, where it is still one."""
    try:
        table = pq.read_table(file, partitioning=None)
        name = random.choice(table.column_names)
        at, n = table.column_names.index(name), table.num_rows
        values = table[name].to_pylist()
        way = random.randrange(5)
        if way == 0:
            table = table.drop_columns([name])
        elif way == 1:
            table = table.slice(0, random.randint(0, n))
        elif way == 2:
            table = pa.concat_tables([table, table])
        else:
            if way == 3 and values:
                values[random.randrange(n)] = None
            else:
                values = [random.choice(VALUES[:17])] * n
            table = table.set_column(at, name, pa.array(values))
        pq.write_table(table, file)
    except (OSError, pa.ArrowException, ValueError, TypeError, OverflowError, IndexError):
        if file.exists():
            _flip(file, random)


BYTES = (_flip, _flip, _flip, _cut, _move, _remove)
STRUCTURED = {
    **dict.fromkeys(TEXT, (_edit_text, _edit_text, _edit_text)),
    '.hdf5': (_edit_hdf5, _edit_hdf5, _edit_hdf5),
    '.parquet': (_edit_parquet, _edit_parquet, _edit_parquet),
}
