# SPDX-License-Identifier: Apache-2.0
"""YAML that somebody's recorder wrote, which may be damaged in any way."""

from __future__ import annotations

from typing import Any

import yaml

# in C where it is there: one of them keeps every value a word
LOADERS = {
    False: getattr(yaml, 'CSafeLoader', yaml.SafeLoader),
    True: getattr(yaml, 'CBaseLoader', yaml.BaseLoader),
}
DEEPEST = 100  # lists and mappings in each other; rosbag2 nests 6


def parse_metadata(text: str, words: bool = False) -> Any:
    """Return what YAML says.

    The loader in C ends the process where tens of thousands of lists lie in each other, so the
    depth is counted first.

    Args:
        text: The YAML.
        words: Leave every value the text it is, ``yes`` and ``1.0`` too.

    Raises:
        yaml.YAMLError: It is damaged or nested too deep.
    """
    depth = 0
    for event in yaml.parse(text, Loader=LOADERS[words]):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            msg = f'more than {DEEPEST} lists and mappings lie in each other'
            raise yaml.YAMLError(msg)
    return yaml.load(text, Loader=LOADERS[words])
