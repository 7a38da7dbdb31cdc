# SPDX-License-Identifier: Apache-2.0
"""The commands of the documents, each as the words that a shell would run, and whether they fit.

A block of commands is run by bash in an empty folder in which no program exists: loops, variables
and arrays do what they do, and every program that would be started is noted instead.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
from itertools import dropwhile, pairwise
from pathlib import Path
import re
import shlex
import subprocess
import textwrap

from build_site import PAGES
from cosmos_policy_ros.cli import commands, parse
from cosmos_policy_ros.resources import PACKAGE
from cosmos_policy_ros.stack.node_list import stack_arguments
from cosmos_policy_ros.stack.security import MANAGED
from cosmos_policy_ros.topics import SERVICES, TOPICS
from reference import launch_stack, NODES, parameter_lines
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'README.md', *(ROOT / name for name in PAGES), *ROOT.glob('docs/**/*.md'))
)
NOTE = """
PATH=/nowhere
command_not_found_handle() { printf '%s\\037' "$@" >&3; printf '\\036' >&3; }
source() { command_not_found_handle source "$@"; }
cd() { command_not_found_handle cd "$@"; }
"""
WITHOUT_CHECK = {  # programs of others, whose words are theirs
    'apt-get', 'cd', 'colcon', 'cp', 'git', 'pgrep', 'pip', 'pytest', 'sed', 'source',
    'tensorboard', 'top',
}  # fmt: skip
FENCE = re.compile(r'^( *)```(\w*)\n(.*?)^\1```$', re.M | re.S)
TYPES = {bool: bool, int: int, float: float, str: str}


def text_of(document: str) -> str:
    """Return the text of a document, by its path from the root of the repository."""
    return (ROOT / document).read_text(encoding='utf-8')


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, empty for those without any."""
    fences = FENCE.findall(text_of(document))
    return [textwrap.dedent(block) for _, name, block in fences if name == language]


def spans(document: str) -> list[str]:
    """Return the inline literals of a document, outside of blocks."""
    prose = FENCE.sub('', text_of(document))
    return [' '.join(span.split()) for span in re.findall(r'`([^`]+)`', prose)]


def programs(block: str, folder: Path) -> list[list[str]]:
    """Return the words of every program that a block of commands starts.

    Args:
        block: Commands for bash.
        folder: Empty folder to run it in; what it redirects lands there.

    Raises:
        AssertionError: The block is not valid bash.
    """
    notes = folder / '.notes'
    command = ['/bin/bash', '--norc', '-c', f'exec 3>.notes\n{NOTE}\n{block}']
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.stderr == '', f'{result.stderr}\n{block}'
    runs = notes.read_text(encoding='utf-8').split('\036')[:-1]
    return [run.split('\037')[:-1] for run in runs]


def check_program(words: list[str]) -> None:
    """Refuse a program that does not exist or would refuse its words.

    Raises:
        AssertionError: It does; the message has the words.
    """
    name, rest = words[0], words[1:]
    assert name in {*CHECKS, *WITHOUT_CHECK}, f'nobody knows the program {name}: {words}'
    if name in CHECKS:
        CHECKS[name](rest)


def check_cosmos_policy(words: list[str]) -> None:
    """Parse the options as the command does."""
    if words == ['--help']:
        return
    if words[1:] == ['--help']:
        assert words[0] in commands(), words
        return
    try:
        parse(words)
    except SystemExit as error:
        msg = f'cosmos-policy {shlex.join(words)} is refused'
        raise AssertionError(msg) from error


def check_span(span: str) -> None:
    """Refuse a command named in a sentence that does not exist or lacks one of its options.

    Options that it would need may be missing there.
    """
    words = [*dropwhile(lambda word: re.match('[A-Z]+=', word), span.split()), '']
    if words[0] == 'bash':
        check_script(words[1:-1])
    if words[0] == 'make' and len(words) > 2:
        check_make(shlex.split(span)[1:])
    if words[0] == 'cosmos-policy' and words[1] not in ('', 'COMMAND'):
        words = words[1:]
        assert words[0] in commands(), f'{span}: no such command'
    if words[0] in commands():
        options = {
            '--' + field.name.replace('_', '-')
            for field in dataclasses.fields(commands()[words[0]][0])
        }
        named = {word for word in words if word.startswith('--') and word != '--help'}
        assert named <= options, f'{span}: {words[0]} has no option {sorted(named - options)}'


def check_make(words: list[str]) -> None:
    """Find the target in the Makefile; the options of a demo are those of the command."""
    targets = re.findall(r'^([\w-]+):', text_of('Makefile'), re.M)
    for word in words:
        if word.startswith('ARGS=') and words[0] == 'demo':
            check_cosmos_policy(['demo', *shlex.split(word.removeprefix('ARGS='))])
        assert '=' in word or word in targets, f'make has no target {word}'


def check_ros2(words: list[str]) -> None:
    """Find the launch file, node, topic, service or parameter with its type."""
    verbs = {
        'launch': check_launch,
        'run': check_run,
        'service': check_service,
        'topic': check_topic,
        'param': check_param,
        'security': check_security,
        'lifecycle': check_lifecycle,
    }
    assert words[0] in verbs, f'ros2 {words[0]} is not checked'
    verbs[words[0]](words[1:])


def check_security(words: list[str]) -> None:
    """Know the verb of sros2 and its options."""
    options = {'create_keystore': set(), 'generate_artifacts': {'-k', '-p', '-e'}}
    assert words[0] in options, words
    assert {word for word in words[1:] if word.startswith('-')} <= options[words[0]], words


def check_lifecycle(words: list[str]) -> None:
    """Know the node that has a life cycle, and its transitions."""
    verb, node, transition = words
    assert (verb, node.removeprefix('/')) == ('set', *(spec.name for spec in MANAGED)), words
    assert transition in {'configure', 'activate', 'deactivate', 'cleanup'}, words


def check_launch(words: list[str]) -> None:
    """Find the launch file and its arguments; those without a default must be given."""
    package, name, *rest = words
    file = ROOT / 'launch' / name
    assert package == PACKAGE, package
    assert file.is_file(), f'no launch file {name}'
    specs, required = launch_stack(file)
    if rest == ['--show-args']:
        return
    arguments = stack_arguments(specs)
    given = dict(word.split(':=', 1) for word in rest)
    assert set(given) <= set(arguments), f'{name} has no arguments {set(given) - set(arguments)}'
    assert set(required) <= set(given), f'{name} needs {required}, got {sorted(given)}'
    for key, value in given.items():
        TYPES[arguments[key].type](value)


def check_run(words: list[str]) -> None:
    """Find the node and its parameters."""
    package, node, *rest = words
    assert package == PACKAGE, package
    assert (NODES / f'{node}.py').is_file(), f'no node {node}'
    known = {line.name for line in parameter_lines()[node.removesuffix('_node')]}
    for option, value in pairwise(rest):
        if option == '-p':
            assert value.split(':=')[0] in known, f'{node} has no parameter {value}'
        if option == '--params-file':
            assert (ROOT / value).is_file(), value


def check_service(words: list[str]) -> None:
    """Find the service and its type."""
    verb, name, kind = words[:3]
    names = {re.sub(r'<\w+>', r'[^/]+', service.name): service.type for service in SERVICES}
    kinds = [kind for pattern, kind in names.items() if re.fullmatch(pattern, name)]
    assert verb == 'call', verb
    assert kind in kinds, f'{name} is {kinds}, not {kind}'
    for request in words[3:]:
        assert isinstance(yaml.safe_load(request), dict), request


def check_topic(words: list[str]) -> None:
    """Find the topic, and the type where a message is published."""
    names = {re.sub(r'<\w+>', r'[^/]+', topic.name): topic.type for topic in TOPICS}
    (name,) = [word for word in words if word.startswith('/')]
    kinds = [kind for pattern, kind in names.items() if re.fullmatch(pattern, name)]
    assert kinds, f'no topic {name}'
    if words[0] == 'pub':
        assert words[words.index(name) + 1] in kinds, f'{name} is {kinds}'
        assert isinstance(yaml.safe_load(words[-1]), dict), words[-1]


def check_param(words: list[str]) -> None:
    """Find the parameter of the node."""
    verb, node, name, *_ = words
    assert verb in ('get', 'set'), verb
    known = {line.name for line in parameter_lines()[node.removeprefix('/')]}
    assert name in known, f'{node} has no parameter {name}'


def check_script(words: list[str]) -> None:
    """Find the script, or the module that ``-m`` names; a shell script names its own words."""
    if words[0] == '-m':
        assert words[1] in ('colcon', 'http.server', 'pytest'), words
    else:
        assert (ROOT / words[0]).is_file(), f'no file {words[0]}'
        for word in words[1:] if words[0].endswith('.sh') else ():
            assert f' {word} ' in text_of(words[0]), f'{words[0]} has no part {word}'


def check_wrapped(words: list[str]) -> None:
    """Check the program that ``chrt``, ``timeout`` or ``torchrun`` starts."""
    start = next(i for i, word in enumerate(words) if word.endswith('cosmos-policy'))
    check_cosmos_policy(words[start + 1 :])


CHECKS: dict[str, Callable[[list[str]], None]] = {
    'bash': check_script,
    'chrt': check_wrapped,
    'cosmos-policy': check_cosmos_policy,
    'make': check_make,
    'python': check_script,
    'ros2': check_ros2,
    'timeout': check_wrapped,
    'torchrun': check_wrapped,
}
