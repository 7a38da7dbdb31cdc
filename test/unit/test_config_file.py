# SPDX-License-Identifier: Apache-2.0
"""Configuration files become dataclasses, or are refused in words that name the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.config_file import read_config_file
from cosmos_policy_ros.types import ConfigError
import pytest


@dataclass(frozen=True)
class Part:
    """A nested section that refuses a size of 13."""

    size: int

    def __post_init__(self) -> None:
        """Refuse 13."""
        if self.size == 13:
            msg = 'size must not be 13'
            raise ConfigError(msg)


@dataclass(frozen=True)
class Config:
    """A configuration with a section and a default."""

    rate_hz: float
    part: Part
    names: tuple[str, ...] = ('a',)


def read(tmp_path: Path, name: str, text: str) -> Config:
    """Return the configuration in a file with that text."""
    (tmp_path / name).write_text(text, encoding='utf-8')
    return read_config_file(Config, tmp_path / name, 'example file', 'write one')


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('c.yaml', 'rate_hz: 5\npart: {size: 3}\nnames: [b, c]'),
        ('c.json', '{"rate_hz": 5, "part": {"size": 3}, "names": ["b", "c"]}'),
    ],
)
def test_yaml_and_json_describe_the_same(tmp_path: Path, name: str, text: str) -> None:
    """Whole numbers become floats where floats are wanted, lists become tuples."""
    assert read(tmp_path, name, text) == Config(5.0, Part(3), ('b', 'c'))


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        (
            'c.yaml',
            'part: 1\nrate_hz: [',
            r'c\.yaml is not valid YAML: line 2, column 11: expected the node [^\n]*\Z',
        ),
        ('c.json', '{"rate_hz": ', r'c\.json is not valid JSON'),
        ('c.yaml', '[' * 5000, r'c\.yaml is not valid YAML: maximum recursion depth exceeded'),
        ('c.json', '[' * 50000, r'c\.json is not valid JSON: maximum recursion depth exceeded'),
        ('c.yaml', '- 1', r'c\.yaml must hold a YAML mapping, got list'),
        ('c.json', '[1]', r'c\.json must hold a JSON mapping, got list'),
        ('c.yaml', 'rate: 1', r"unknown keys \['rate'\] and lacks the keys \['rate_hz', 'part'\]"),
        ('c.yaml', 'rate_hz: 1\npart: {size: 2.5}', 'part: size must be a whole number, got 2.5'),
        ('c.json', '{"rate_hz": NaN, "part": {"size": 3}}', 'rate_hz must be a finite number'),
        ('c.yaml', 'rate_hz: 1\npart: {size: 13}', r'c\.yaml: part: size must not be 13'),
    ],
)
def test_what_does_not_fit_is_named_with_its_file(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    """Damage, type, missing and unknown keys, and what the dataclass itself refuses."""
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, name, text)


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """The kind of file and the hint are in the message."""
    with pytest.raises(ConfigError, match=r'no example file .*none\.yaml; write one'):
        read_config_file(Config, tmp_path / 'none.yaml', 'example file', 'write one')
