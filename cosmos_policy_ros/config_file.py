# SPDX-License-Identifier: Apache-2.0
"""Build a frozen dataclass from what a YAML file holds, refusing all that does not fit."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, MISSING
import math
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints, Literal, TypeVar

from cosmos_policy_ros.types import ConfigError
import yaml

T = TypeVar('T')
WANTED = {int: 'a whole number', float: 'a finite number', str: 'text', bool: 'true or false'}


def read_mapping(path: Path, what: str, hint: str) -> dict[str, Any]:
    """Return what a YAML file holds.

    Args:
        path: File.
        what: What it is, for messages.
        hint: What to do when it is missing.

    Raises:
        ConfigError: The file is missing or holds no YAML mapping.
    """
    if not path.is_file():
        msg = f'no {what} {path}; {hint}'
        raise ConfigError(msg)
    try:
        data = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f'{path} is not valid YAML: {error}'
        raise ConfigError(msg) from error
    if not isinstance(data, dict):
        msg = f'{path} must hold a YAML mapping, got {type(data).__name__}'
        raise ConfigError(msg)
    return data


def build(cls: type[T], data: Any, where: str) -> T:
    """Return a dataclass whose fields have the types it declares, nested ones included.

    Args:
        cls: Dataclass of numbers, text, literals, tuples of these, and such dataclasses.
        data: What was read.
        where: File and place, for messages.

    Raises:
        ConfigError: A key is unknown or missing, or a value has another type or is not finite.
    """
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    if not isinstance(data, dict):
        msg = f'{where} must be a mapping with the keys {known}, got {data!r}'
        raise ConfigError(msg)
    unknown = sorted(str(key) for key in set(data) - set(known))
    if unknown:
        msg = f'{where} has unknown keys {unknown}; known keys are {known}'
        raise ConfigError(msg)
    missing = [
        f.name
        for f in fields(cls)  # type: ignore[arg-type]
        if f.name not in data and f.default is MISSING and f.default_factory is MISSING
    ]
    if missing:
        msg = f'{where} lacks the keys {missing}'
        raise ConfigError(msg)
    types = get_type_hints(cls)
    return cls(**{k: _convert(types[k], v, f'{where}: {k}') for k, v in data.items()})


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
