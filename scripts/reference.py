# SPDX-License-Identifier: Apache-2.0
"""The reference pages of the documents that are written by the code, not by hand.

python scripts/reference.py           writes docs/reference/*.md
python scripts/reference.py --check   writes nothing; exit status 1 when a page is out of date

Every page is made from what the programs themselves read: the table of topics, the parameters of
the nodes with ``config/nodes.yaml``, the launch files with the node list, the option classes of
the commands, and the dataclasses of the configuration files. No node is imported, so no ROS is
needed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
import dataclasses
from dataclasses import dataclass
import inspect
import json
from pathlib import Path
import re
import sys
import textwrap
import types
from typing import Annotated, Any, get_args, get_origin, get_type_hints, Literal, Union

from cosmos_policy_ros import robot, status, topics
from cosmos_policy_ros.cli import commands
from cosmos_policy_ros.core.config import PolicyConfig
from cosmos_policy_ros.core.cosmos3.facts import Cosmos3Facts
from cosmos_policy_ros.resources import PACKAGE
from cosmos_policy_ros.stack import node_list
from cosmos_policy_ros.training.config import TrainConfig
import tyro
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / 'docs' / 'reference'
NODES = ROOT / 'cosmos_policy_ros' / 'nodes'
NOTE = '<!-- Written by scripts/reference.py; `make docs` writes it again. -->\n'
WIDTH = 120
Rows = list[Sequence[str]]


# Markdown


def table(head: Sequence[str], rows: Rows) -> str:
    """Return a Markdown table; ``|`` in a cell is escaped."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(
        '| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |' for line in lines
    )


def prose(text: str) -> str:
    """Return a docstring's text as Markdown: its paragraphs filled, its literals in backticks."""
    paragraphs = re.split(r'\n\s*\n', inspect.cleandoc(text))
    filled = [
        textwrap.fill(' '.join(p.split()), WIDTH, break_on_hyphens=False) for p in paragraphs
    ]
    return '\n\n'.join(filled).replace('``', '`')


def cell(text: str) -> str:
    """Return a docstring's text on one line, safe from being taken for HTML."""
    literals = ' '.join(text.split()).replace('``', '`').split('`')
    literals[::2] = [part.replace('<', '&lt;') for part in literals[::2]]
    return '`'.join(literals)


def code(text: str) -> str:
    """Return text as a literal, nothing for empty text."""
    return f'`{text}`' if text else ''


def page(title: str, *parts: str) -> str:
    """Return a whole page."""
    return '\n\n'.join([NOTE + f'\n# {title}', *(p.strip('\n') for p in parts if p)]) + '\n'


# What the source says


def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a Python file."""
    return ast.parse(path.read_text(encoding='utf-8'))


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(tree_of(path))
    assert text, f'{path} has no docstring'
    return cell(text.split('\n\n')[0])


def attribute_texts(cls: type) -> dict[str, str]:
    """Return the texts of ``Attributes:`` in a class's docstring by attribute."""
    lines = inspect.cleandoc(cls.__doc__ or '').splitlines()
    texts: dict[str, str] = {}
    name = ''
    for line in lines[lines.index('Attributes:') + 1 :] if 'Attributes:' in lines else []:
        if line and not line.startswith(' '):
            break
        begin = re.match(r'    (\w+): (.*)', line)
        if begin:
            name = begin[1]
            texts[name] = begin[2]
        elif name:
            texts[name] += ' ' + line.strip()
    return {name: cell(text) for name, text in texts.items()}


def field_texts(cls: type) -> dict[str, str]:
    """Return the strings that stand below the fields of a class, and of its bases, by field."""
    bases = [base for base in cls.__bases__ if dataclasses.is_dataclass(base)]
    inherited = {name: text for base in bases for name, text in field_texts(base).items()}
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = inherited
    for statement, after in zip(body.body, body.body[1:], strict=False):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            texts[statement.target.id] = cell(str(after.value.value))
    return texts


def type_text(hint: Any) -> str:
    """Return a type as a user writes its values, such as ``a`` or ``b`` for a ``Literal``."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_text(inner[0])
    if origin is Literal:
        return ', '.join(f'`{choice}`' for choice in inner)
    if origin in (Union, types.UnionType):
        return ' or '.join(type_text(part) for part in inner if part is not type(None))
    if origin is tuple:
        parts = [part for part in inner if part is not Ellipsis]
        if Ellipsis in inner:
            return f'list of {type_text(parts[0])}'
        return ', '.join(type_text(part) for part in parts)
    names = {bool: 'yes or no', int: 'whole number', float: 'number', str: 'text', Path: 'path'}
    if hint in names:
        return names[hint]
    return f'[{hint.__name__}](#{hint.__name__.lower()})'


def value_text(value: Any) -> str:
    """Return a default value as a user writes it; paths below the repository are relative."""
    if value is None or value is dataclasses.MISSING:
        return ''
    if dataclasses.is_dataclass(value) or isinstance(value, dict):
        return 'below'
    if isinstance(value, Path) or (isinstance(value, str) and value.startswith(str(ROOT))):
        return code(str(value).removeprefix(f'{ROOT}/'))
    if isinstance(value, (tuple, list)):
        return ' '.join(value_text(v) for v in value)
    return code(str(value).lower() if isinstance(value, bool) else str(value))


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return the default value of a field, ``MISSING`` where it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


# Topics and services


def quality_text(qos: topics.Qos) -> str:
    """Return a quality of service in words: reliability, durability if not volatile, depth."""
    words = [qos.reliability, '' if qos.durability == 'volatile' else qos.durability]
    return ', '.join([word.replace('_', ' ') for word in words if word] + [str(qos.depth)])


def topics_page() -> str:
    """Return the page of topics and services, from ``topics.py``."""
    rows: Rows = [
        [
            f'{code(row.name)}<br>{cell(row.meaning)}',
            code(row.type),
            quality_text(row.qos),
            ', '.join(row.publishers),
            ', '.join(row.subscribers),
        ]
        for row in topics.TOPICS
    ]
    services: Rows = [
        [code(row.name), code(row.type), row.server, ', '.join(row.clients), cell(row.meaning)]
        for row in topics.SERVICES
    ]
    actions: Rows = [
        [code(row.name), code(row.type), row.server, ', '.join(row.clients), cell(row.meaning)]
        for row in topics.ACTIONS
    ]
    return page(
        'Topics and services',
        prose("""
            All topics, with the type of their messages, quality of service (QoS), and the nodes at
            both ends. Names of cameras, arms, leaders and controllers are those of the [robot
            file](configuration.md#robot). A *driver* is a camera or arm driver that runs already;
            a *person* is somebody at a terminal. No message is of a type of its own: any tool
            opens a recording.

            The quality of service is reliability, durability if it is not volatile, and how many
            messages are kept (history keep last), as of the publisher. Images and joint states are
            received best effort, and everything by the recorder.

            Names are those of a stack without a namespace, and so are those in recordings. In a
            namespace (`namespace:=robot1`) every topic and service is there, `/diagnostics`
            apart; so are relative names of the robot file, and those with a leading slash are not.
        """),
        table(['topic', 'type', 'QoS', 'from', 'to'], rows),
        '## The candidate table',
        prose(f"""
            `/policy/candidates` is an organised point cloud: a row for each of N candidates, a
            point for each of H rows of its chunk. Its stamp is that of the query; its `frame_id`
            says since when the node that answers has been active [ns, ROS clock], since a table of
            poses has no coordinate frame. The fields of a point are little-endian float32: one
            per joint, named as in the robot file, then
            ``{topics.TIME_FROM_START}``, when the row is due after the stamp [s],
            ``{topics.VALUES}``, the max(M, 1) · max(K, 1) values of the candidate, and
            ``{topics.FUTURE_PROPRIO}``, the joints predicted after the chunk. The last two are
            left out of the table of a policy that has no value or predicts no joints.
        """),
        '## Services',
        table(['service', 'type', 'answered by', 'called by', 'what it does'], services),
        '## Actions',
        table(['action', 'type', 'served by', 'used by', 'what it does'], actions),
        '## Statuses',
        prose("""
            What programs decide by: key-value pairs of a `DiagnosticStatus`, written and read by
            `status.py`. On `/diagnostics` the same figures are rounded, for people.
        """),
        *(part for cls in get_args(status.Status) for part in status_parts(cls)),
    )


def status_parts(cls: type) -> tuple[str, str, str]:
    """Return heading, summary and table of a status."""
    rows: Rows = [[code(name), text] for name, text in attribute_texts(cls).items()]
    return f'### {cls.__name__}', summary(cls), table(['key', 'meaning'], rows)


# Node parameters


@dataclass(frozen=True)
class Parameter:
    """A line of ``config/nodes.yaml``.

    Attributes:
        name: Name of the ROS parameter.
        value: Its value.
        comment: What stands behind it.
    """

    name: str
    value: Any
    comment: str


def parameter_lines() -> dict[str, list[Parameter]]:
    """Return the parameters of ``config/nodes.yaml`` with their comments by section."""
    file = node_list.parameter_file()
    values = yaml.safe_load(file.read_text(encoding='utf-8'))
    sections: dict[str, list[Parameter]] = {}
    section = ''
    for line in file.read_text(encoding='utf-8').splitlines():
        head = re.match(r'(\w+):$', line)
        row = re.match(r'    (\w+): .*?# (.*)', line)
        if head:
            section = head[1]
            sections[section] = []
        elif row:
            value = values[section]['ros__parameters'][row[1]]
            sections[section].append(Parameter(row[1], value, row[2]))
    return sections


def parameter_ranges(file: Path) -> dict[str, str]:
    """Return the allowed ranges of a node's parameters, from its calls of ``param``."""
    ranges: dict[str, str] = {}
    for node in ast.walk(tree_of(file)):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.value, ast.Call):
            continue
        call = node.value
        if not isinstance(call.func, ast.Name) or call.func.id != 'param' or len(call.args) < 4:
            continue
        assert isinstance(node.target, ast.Name)
        low, high = (_number_text(ast.unparse(bound)) for bound in call.args[2:4])
        ranges[node.target.id] = f'{low} … {high}'
    return ranges


def _number_text(source: str) -> str:
    """Return a bound as people write it: powers of two as such, whole numbers without a point."""
    power = re.fullmatch(r'2 \*\* (\d+)', source)
    return f'2^{power[1]}' if power else f'{float(source):.10g}'


def node_file(section: str) -> Path:
    """Return the file of the node that a section of ``config/nodes.yaml`` is for."""
    (file,) = [f for f in NODES.glob('*.py') if f.stem.removesuffix('_node') == section]
    return file


def parameters_page() -> str:
    """Return the page of node parameters, from the nodes and ``config/nodes.yaml``."""
    parts = []
    for section, lines in parameter_lines().items():
        file = node_file(section)
        ranges = parameter_ranges(file)
        rows: Rows = [
            [
                code(line.name),
                code(json.dumps(line.value).replace('"', "'")),
                ranges.get(line.name, ''),
                cell(line.comment),
            ]
            for line in lines
        ]
        parts += [
            f'## {section}',
            f'`ros2 run {PACKAGE} {file.stem}`: {first_line(file)}',
            table(['parameter', 'value', 'range', 'meaning'], rows),
        ]
    return page(
        'Nodes and their parameters',
        prose("""
            Values are those of `config/nodes.yaml`, which the launch files and `cosmos-policy
            demo` read. All parameters are read-only but `seed` of `sim` and `speed_scale` of
            `planner`. A value of the wrong type or out of range and an unknown name end the node
            with one line and exit status 1. A file or folder that is empty here is set by the
            launch file or the command.
        """),
        *parts,
    )


# Launch files


def launch_stack(file: Path) -> tuple[tuple[node_list.NodeSpec, ...], tuple[str, ...]]:
    """Return the nodes that a launch file starts, and the arguments that must be given."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'describe_stack':
            assert isinstance(node.args[0], ast.Name)
            required = [k.value for k in node.keywords if k.arg == 'required']
            names = ast.literal_eval(required[0]) if required else ()
            return getattr(node_list, node.args[0].id), tuple(names)
    msg = f'{file} does not call describe_stack'
    raise ValueError(msg)


def launch_files_page() -> str:
    """Return the page of launch files and their arguments, from the node list."""
    parts = []
    for file in sorted((ROOT / 'launch').glob('*.launch.py')):
        specs, required = launch_stack(file)
        defaults = node_list.default_values()
        rows: Rows = [
            [
                code(name),
                'must be given' if name in required else value_text(defaults.get(name)),
                cell(argument.help),
            ]
            for name, argument in node_list.stack_arguments(specs).items()
        ]
        name, names = file.name.removesuffix('.launch.py'), ', '.join(s.name for s in specs)
        parts += [
            f'## {name}',
            f'`ros2 launch {PACKAGE} {file.name}` starts {names}.',
            table(['argument', 'default', 'meaning'], rows),
        ]
    return page(
        'Launch files',
        prose("""
            Arguments are given as `name:=value`. All other parameters stand in
            `config/nodes.yaml`: [nodes and their parameters](parameters.md). `--show-args`
            prints the same. A `device` that is a list such as `cuda:0,cuda:1` starts [an
            inference node each](../how-to/several_inference_nodes.md).
        """),
        *parts,
    )


# Commands


def option_rows(cls: type) -> Iterator[Sequence[str]]:
    """Yield a row for every option of a command."""
    hints = get_type_hints(cls, include_extras=True)
    texts = field_texts(cls)
    positional = get_args(tyro.conf.Positional[int])[1]
    for field in dataclasses.fields(cls):
        marks = (
            get_args(hints[field.name])[1:] if get_origin(hints[field.name]) is Annotated else ()
        )
        helps = [mark.help for mark in marks if getattr(mark, 'help', None)]
        text = cell(helps[0]) if helps else texts[field.name]
        name = field.name.upper() if positional in marks else '--' + field.name.replace('_', '-')
        default = default_of(field)
        shown = 'must be given' if default is dataclasses.MISSING else value_text(default)
        yield [code(name), type_text(hints[field.name]), shown, text]


def commands_page() -> str:
    """Return the page of all commands and their options, from the option classes."""
    parts = []
    for name, (cls, _) in commands().items():
        text, *examples = re.split(r'^Example: ', inspect.cleandoc(cls.__doc__ or ''), flags=re.M)
        lines = '\n'.join(' '.join(example.split()) for example in examples)
        rows: Rows = list(option_rows(cls))
        parts += [
            f'## {name}',
            prose(text),
            f'```bash\n{lines}\n```' if lines else '',
            table(['option', 'value', 'default', 'meaning'], rows),
        ]
    return page(
        'Commands',
        prose("""
            `cosmos-policy COMMAND --help` prints the same. A *yes or no* option is given as
            `--name` or `--no-name`; words in capitals are given without a name. `--robot` takes
            a YAML file, or the name of one in `config/robots`. Exit status 0
            means that the command did what it describes, 1 that it ended with one line about a
            mistake that can be mended, 2 that an option is unknown or has a wrong value, 130
            Ctrl-C.
        """),
        *parts,
    )


# Configuration files


def nested(cls: type) -> list[type]:
    """Return a dataclass and those that its fields are made of, each once."""
    found = [cls]
    for hint in get_type_hints(cls).values():
        parts = [hint, *get_args(hint)]
        for part in parts:
            if dataclasses.is_dataclass(part) and isinstance(part, type):
                found += [c for c in nested(part) if c not in found]
    return found


def dataclass_table(cls: type, shipped: dict[str, dict[str, Any]]) -> str:
    """Return the table of a dataclass's fields.

    Args:
        cls: The dataclass.
        shipped: Values of configuration files by the head of their column and by field.
    """
    hints = get_type_hints(cls)
    texts = attribute_texts(cls)
    defaults = {f.name: default_of(f) for f in dataclasses.fields(cls)}
    optional = any(value is not dataclasses.MISSING for value in defaults.values())
    rows: Rows = []
    for name, value in defaults.items():
        shown = ['must be given' if value is dataclasses.MISSING else value_text(value) or 'none']
        given = [value_text(values.get(name)) for values in shipped.values()]
        rows.append([code(name), type_text(hints[name]), *shown[:optional], *given, texts[name]])
    head = ['key', 'value', *['default'][:optional], *shipped, 'meaning']
    return table(head, rows)


def summary(cls: type) -> str:
    """Return the first paragraph of a class's docstring."""
    return prose((cls.__doc__ or '').split('\n\n')[0])


def training_files() -> dict[str, dict[str, Any]]:
    """Return the committed training configurations by file name."""
    files = sorted((ROOT / 'config').glob('*.yaml'))
    contents = {file.name: yaml.safe_load(file.read_text(encoding='utf-8')) for file in files}
    return {code(name): values for name, values in contents.items() if 'updates' in values}


def configuration_page() -> str:
    """Return the page of the configuration files, from the dataclasses that they are read into."""
    parts = [
        '## Robot',
        prose("""
            A file of `config/robots/`. `aloha.yaml` there is the one to copy for a real robot:
            it has the unit and the origin of its numbers. `aloha_sim.yaml` is the simulated one.
        """),
    ]
    for cls in nested(robot.RobotSpec):
        parts += [f'### {cls.__name__}', summary(cls), dataclass_table(cls, {})]
    drivers: Rows = [[code(name), text] for name, text in robot.DRIVERS.items()]
    parts += [
        '### Drivers',
        'How the commands of an arm leave ([add a robot](../how-to/add_a_robot.md)).',
        table(['`driver`', 'sends'], drivers),
    ]
    files = training_files()
    parts += [
        '## Training',
        prose("""
            What `cosmos-policy train --config` reads. The middle columns have what the
            committed files set; what they leave out keeps the default.
        """),
    ]
    for cls in nested(TrainConfig):
        key = '' if cls is TrainConfig else _key_of(cls)
        shipped = {head: values.get(key, {}) if key else values for head, values in files.items()}
        shipped = {head: values for head, values in shipped.items() if values}
        parts += [f'### {cls.__name__}', summary(cls), dataclass_table(cls, shipped)]
    committed = json.loads(
        (ROOT / 'models' / 'aloha_sim' / 'policy.json').read_text(encoding='utf-8')
    )
    parts += [
        '## Policy',
        prose("""
            `policy.json` of a [checkpoint folder](checkpoint.md), written by `train` and
            `import-weights`: what a checkpoint was trained for. A deployment may not change any
            of it.
        """),
        dataclass_table(PolicyConfig, {'`aloha_sim`': committed}),
        '## Cosmos 3',
        prose("""
            `policy.json` of a [Cosmos 3 policy](../how-to/cosmos3.md), written by whoever brings
            it to a robot, with `"kind": "cosmos3"` and `"format_version": 1` besides.
        """),
    ]
    for cls in nested(Cosmos3Facts):
        parts += [f'### {cls.__name__}', summary(cls), dataclass_table(cls, {})]
    return page(
        'Configuration files',
        prose("""
            Each file is read into a frozen dataclass. An unknown key, a missing one and a value
            of another type end the program with one line that names the file and the key.
        """),
        *parts,
    )


def _key_of(cls: type) -> str:
    """Return the field of ``TrainConfig`` that holds an instance of a class."""
    hints = get_type_hints(TrainConfig)
    return next(name for name, hint in hints.items() if hint is cls)


# Faults


def fault_cell(cases: list[dict[str, Any]]) -> str:
    """Return what cases of one fault and driver ended in, their worst numbers."""
    if not cases:
        return '–'
    reactions = ', '.join(dict.fromkeys(case['reaction'] for case in cases))
    times_ms = [case['reaction_ms'] for case in cases if case['reaction_ms'] is not None]
    slowest = f' {max(times_ms)} ms' if times_ms else ''
    step = max(case['max_step_rad'] for case in cases)
    speed = max(case['max_speed_rad_s'] for case in cases)
    failed = sum(not case['passed'] for case in cases)
    wrong = f'**{failed} of {len(cases)} not as wanted:** ' if failed else ''
    return f'{wrong}{reactions}{slowest}; {step:.3f} rad, {speed:.2f} rad/s'


def faults_page() -> str:
    """Return the page of the faults that were tried, from the report of a campaign."""
    report = json.loads((PAGES / 'faults.json').read_text(encoding='utf-8'))
    cases = report['cases']
    drivers = list(dict.fromkeys(case['driver'] for case in cases))
    names = list(dict.fromkeys(case['fault'] for case in cases))
    commands = []
    for driver in drivers:
        tried = {(case['fault'], case['moment']) for case in cases if case['driver'] == driver}
        quick = '' if len(tried) > len({fault for fault, _ in tried}) else ' --quick'
        output = '--json docs/reference/faults.json'
        commands.append(f'cosmos-policy faults{quick} --driver {driver} {output}')
    rows: Rows = []
    for name in names:
        own = [case for case in cases if case['fault'] == name]
        limit = f', {own[0]["limit_ms"]} ms' if own[0]['limit_ms'] else ''
        cells = [fault_cell([c for c in own if c['driver'] == driver]) for driver in drivers]
        rows.append([code(name), own[0]['about'], own[0]['wanted'] + limit, *cells])
    moments = ', '.join(dict.fromkeys(case['moment'] for case in cases))
    return page(
        'Faults that were tried',
        prose(f"""
            {report['kinds']} kinds of faults in {len(cases)} cases (arms {moments}),
            {report['unsafe']} of them with another end than wanted. The whole stack ran on the
            simulator behind a proxy of its sensors, with stand-ins for the drivers of the arms.
            Of each case: the reaction of the executor, after what time once it could see the
            fault, the largest step from one command to the next and the highest speed of the
            commands. *ignored*: the arms play on. *safe*: any reaction, without a step beyond the
            limits or a speed that the motion does not have without a fault. Where the arms held
            though they should have played on, as they do on a busy machine without a fault too, or
            where nothing could be seen of a fault, a case was tried again:
            {sum(case['tries'] > 1 for case in cases)} of them. What a `fault` needs to go on, and
            why: [safety](safety.md).
        """),
        '\n'.join(['```bash', *commands, '```']),
        table(['fault', 'what happens', 'wanted', *drivers], rows),
    )


PAGE_MAKERS: dict[str, Callable[[], str]] = {
    'topics.md': topics_page,
    'parameters.md': parameters_page,
    'launch_files.md': launch_files_page,
    'commands.md': commands_page,
    'configuration.md': configuration_page,
    'faults.md': faults_page,
}


def main() -> None:
    """Write the pages, or name those that are out of date."""
    stale = []
    for name, make in PAGE_MAKERS.items():
        text, file = make(), PAGES / name
        if not file.is_file() or file.read_text(encoding='utf-8') != text:
            stale.append(name)
            if '--check' not in sys.argv:
                file.write_text(text, encoding='utf-8')
    if '--check' in sys.argv and stale:
        sys.exit(f'{", ".join(stale)} in docs/reference out of date; run make docs')
    print(f'docs/reference: {len(PAGE_MAKERS)} pages, {len(stale)} of them written')


if __name__ == '__main__':
    main()
