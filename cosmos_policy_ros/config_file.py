# SPDX-License-Identifier: Apache-2.0
"""Configuration files: YAML or JSON to a frozen dataclass, refusing all that does not fit.

Every file that a person may have written or damaged comes through here, so that what is missing,
unknown or of another type is refused in the same words everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, MISSING
import json
import math
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints, Literal, TypeVar

from cosmos_policy_ros.types import ConfigError
import yaml

T = TypeVar('T')
OPEN = '???'  # a value that a person has to fill in
DEEPEST = 6  # lists and mappings in each other in which one is searched for
WANTED = {int: 'a whole number', float: 'a finite number', str: 'text', bool: 'true or false'}


def read_config_file(cls: type[T], path: Path, what: str, hint: str) -> T:
    """Return the dataclass that a YAML or JSON file describes.

    Args:
        cls: Dataclass of numbers, text, literals, tuples of these, and such dataclasses.
        path: File; one that ends in ``.json`` is read as JSON, others as YAML.
        what: Kind of file, for the message when it is missing.
        hint: What to do when it is missing.

    Raises:
        ConfigError: The file is missing, holds no mapping, something in it is left open, which is
            listed, or does not fit.
    """
    data = read_mapping(path, what, hint)
    if left_open := list(find_open(data)):
        msg = f'{path}: {len(left_open)} values are still to be filled in, where it has {OPEN}: '
        msg += ', '.join(left_open)
        raise ConfigError(msg)
    return build(cls, data, str(path))


def find_open(data: Any, key: str = '', depth: int = 0) -> Iterator[str]:
    """Yield the keys whose value is ``OPEN``, such as ``arms[0].lower``.

    Args:
        data: What was read of a file.
        key: The key that it has.
        depth: In how many lists and mappings it lies.
    """
    if isinstance(data, str) and data == OPEN:
        yield key
    elif isinstance(data, dict) and depth < DEEPEST:
        for name, value in data.items():
            yield from find_open(value, f'{key}.{name}' if key else str(name), depth + 1)
    elif isinstance(data, list) and depth < DEEPEST:
        for i, value in enumerate(data):
            yield from find_open(value, f'{key}[{i}]', depth + 1)


def read_mapping(path: Path, what: str, hint: str) -> dict[str, Any]:
    """Return the mapping in a YAML or JSON file.

    Args:
        path: File; one that ends in ``.json`` is read as JSON, others as YAML.
        what: Kind of file, for the message when it is missing.
        hint: What to do when it is missing.

    Raises:
        ConfigError: The file is missing, damaged, or holds no mapping.
    """
    is_json = path.suffix == '.json'
    kind = 'JSON' if is_json else 'YAML'
    if not path.is_file():
        msg = f'no {what} {path}; {hint}'
        raise ConfigError(msg)
    try:
        text = path.read_text(encoding='utf-8')
        data = json.loads(text) if is_json else yaml.safe_load(text)
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f'{path} is not valid {kind}: {_describe(error)}'
        raise ConfigError(msg) from error
    if not isinstance(data, dict):
        msg = f'{path} must hold a {kind} mapping, got {type(data).__name__}'
        raise ConfigError(msg)
    return data


def build(cls: type[T], data: Any, where: str) -> T:
    """Return a dataclass whose fields have the types it declares, nested ones included.

    Args:
        cls: Dataclass of numbers, text, literals, tuples of these, and such dataclasses.
        data: Mapping that was read, with plain numbers, text and lists.
        where: File and place, for messages.

    Raises:
        ConfigError: A key is unknown or missing, a value has another type or is not finite, or the
            dataclass itself refuses it.
    """
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    if not isinstance(data, dict):
        msg = f'{where} must be a mapping with the keys {known}, got {data!r}'
        raise ConfigError(msg)
    unknown = sorted(str(key) for key in set(data) - set(known))
    missing = [
        f.name
        for f in fields(cls)  # type: ignore[arg-type]
        if f.name not in data and f.default is MISSING and f.default_factory is MISSING
    ]
    faults = [f'has unknown keys {unknown}'] * bool(unknown)
    faults += [f'lacks the keys {missing}'] * bool(missing)
    if faults:
        msg = f'{where} {" and ".join(faults)}; known keys are {known}'
        raise ConfigError(msg)
    types = get_type_hints(cls)
    values = {key: _convert(types[key], value, f'{where}: {key}') for key, value in data.items()}
    try:
        return cls(**values)
    except ConfigError as error:  # of its own checks, which do not know the file
        msg = f'{where}: {error}'
        raise ConfigError(msg) from error


def _convert(wanted: Any, value: Any, where: str) -> Any:
    """Return the value as the wanted type."""
    if get_origin(wanted) is UnionType:  # ``Spec | None`` of an optional key
        if value is None:
            return None
        wanted = get_args(wanted)[0]
    if is_dataclass(wanted):
        return build(wanted, value, where)  # type: ignore[arg-type]
    if get_origin(wanted) is tuple:
        if not isinstance(value, (list, tuple)) or not value:
            msg = f'{where} must be a list of at least one, got {value!r}'
            raise ConfigError(msg)
        inner = get_args(wanted)[0]
        return tuple(_convert(inner, item, f'{where}[{i}]') for i, item in enumerate(value))
    if get_origin(wanted) is Literal:
        if value in get_args(wanted):
            return value
        msg = f'{where} must be one of {list(get_args(wanted))}, got {value!r}'
        raise ConfigError(msg)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is float and is_number and math.isfinite(value):
        return float(value)
    if wanted is not float and type(value) is wanted:
        return value
    hint = '; write 0.001 or 1.0e-3' if wanted is float and isinstance(value, str) else ''
    msg = f'{where} must be {WANTED[wanted]}, got {value!r}{hint}'
    raise ConfigError(msg)


def _describe(error: Exception) -> str:
    """Return in one line what a parser says, and where; those of YAML quote the file besides."""
    mark = getattr(error, 'problem_mark', None)
    if mark is None:
        return ' '.join(str(error).split())
    problem = getattr(error, 'problem', None) or type(error).__name__
    return f'line {mark.line + 1}, column {mark.column + 1}: {problem}'
