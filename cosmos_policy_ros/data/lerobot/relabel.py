# SPDX-License-Identifier: Apache-2.0
"""Labels of one episode of a LeRobot data set, changed in its tables; v3.0 only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosmos_policy_ros.data.lerobot.meta import (
    data_file,
    INFO,
    read_meta,
    task_table,
    TASKS,
    VERSION,
    write_info,
)
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.types import ConfigError
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TASK_INDEX = 'task_index'


def relabel_lerobot(root: Path, number: int, labels: Mapping[str, Any]) -> None:
    """Write labels of an episode into ``meta/``, and a task into its rows too.

    Videos and the rows of other episodes stay as they are.

    Args:
        root: Folder of the data set.
        number: Which episode, counted from 0 in the order of their indices.
        labels: Name -> value; ``task`` is the instruction.

    Raises:
        ConfigError: The data set is of another version, cannot be read, or has a column of another
            type for a label.
    """
    meta = read_meta(root)
    version = str(meta.info['codebase_version'])
    if not version.startswith('v3.'):
        msg = f'{root} is of version {version}; make it {VERSION} with: cosmos-policy convert'
        raise ConfigError(msg)
    entry = meta.episodes[number]
    changes = {name: value for name, value in labels.items() if name != 'task'}
    if 'task' in labels:
        task = str(labels['task'])
        _set_task_index(root, meta.info, entry, _task_index(root, meta.info, task))
        changes['tasks'] = [task]
    for file in sorted((root / 'meta' / 'episodes').glob('*/*.parquet')):
        table = pq.read_table(file, partitioning=None)
        rows = np.flatnonzero(np.array(table['episode_index']) == entry['episode_index'])
        if len(rows):
            for name, value in changes.items():
                table = _with_value(table, name, int(rows[0]), value)
            with whole_file(file) as partial:
                pq.write_table(table, partial)
    write_info(root / INFO, meta.info)  # with another time, by which readers know it changed


def _with_value(table: pa.Table, name: str, row: int, value: Any) -> pa.Table:
    """Return a table with one value of a column changed; the column is added where it is new."""
    there = name in table.column_names
    values = table[name].to_pylist() if there else [None] * table.num_rows
    values[row] = value
    try:
        column = pa.array(values)
    except pa.ArrowException as error:
        msg = f'{name} is a column of {table.schema.field(name).type}, which {value!r} is not'
        raise ConfigError(msg) from error
    if there:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)


def _task_index(root: Path, info: dict[str, Any], task: str) -> int:
    """Return the number of a task; a new one is added to the table and counted in ``info``."""
    table = pq.read_table(root / TASKS)
    numbers = table[TASK_INDEX].to_pylist()
    # lerobot 0.4 left the index of its frame without a name
    words = next(name for name in table.column_names if name != TASK_INDEX)
    tasks = dict(zip(table[words].to_pylist(), numbers, strict=True))
    if task in tasks:
        return int(tasks[task])
    names = [name for name, _ in sorted(tasks.items(), key=lambda item: item[1])]
    with whole_file(root / TASKS) as partial:
        pq.write_table(task_table([*names, task]), partial)
    info['total_tasks'] = len(names) + 1
    return len(names)


def _set_task_index(
    root: Path, info: Mapping[str, Any], entry: Mapping[str, Any], number: int
) -> None:
    """Write the number of the task into the rows of an episode, row group by row group."""
    path = data_file(root, info, entry, 'data')
    with (
        whole_file(path) as partial,
        pq.ParquetFile(path) as file,
        pq.ParquetWriter(partial, file.schema_arrow) as written,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            mine = np.array(table['episode_index']) == entry['episode_index']
            numbers = np.where(mine, number, np.array(table[TASK_INDEX]))
            at, field = table.column_names.index(TASK_INDEX), table.schema.field(TASK_INDEX)
            written.write_table(table.set_column(at, field, pa.array(numbers, field.type)))
