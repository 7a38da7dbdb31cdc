# SPDX-License-Identifier: Apache-2.0
"""What the documents name exists: commands, options, topics, files, links and numbers."""

from __future__ import annotations

from itertools import pairwise
import json
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

from build_site import PAGES
from cosmos_policy_ros.sim.experts.table import find_task
from cosmos_policy_ros.sim.tasks import EPISODE_S
from cosmos_policy_ros.stack.node_list import stack_arguments
from document_commands import (
    blocks,
    check_program,
    check_span,
    DOCUMENTS,
    FENCE,
    programs,
    ROOT,
    spans,
    text_of,
)
import pytest
from reference import launch_stack, PAGE_MAKERS
from test_layering import (
    BY_NAME,
    FILES,
    imports,
    layer_of,
    MAY_IMPORT,
    module_name,
    ROS_MODULES,
    WAIST,
)
import yaml

WRITTEN_BY_CODE = [f'docs/reference/{name}' for name in PAGE_MAKERS]
DESIGN = 'docs/explanation/design.md'
TO_COME = {layer for layer in MAY_IMPORT if not any(layer_of(p) == layer for p in FILES)}
HISTORY = {'CHANGELOG.md'}  # names what was there
LAYERS = sorted(path.parent.name for path in (ROOT / 'cosmos_policy_ros').glob('*/__init__.py'))
TOP = (
    *LAYERS,
    'cosmos_policy_ros',
    'launch',
    'config',
    'models',
    'scripts',
    'docs',
    'test',
    'examples',
)
PATH = re.compile(rf'({"|".join(TOP)})/[\w./*-]*')
FILES_OF: dict[str, list[Path]] = {}  # file name -> where it lies
for path in (p for top in TOP if (ROOT / top).is_dir() for p in (ROOT / top).rglob('*.py')):
    FILES_OF.setdefault(path.name, []).append(path)
SOURCES = [p.read_text('utf-8') for p in (ROOT / 'cosmos_policy_ros').rglob('*.py')]
ENDINGS = {'html', 'jpg', 'json', 'jsonl', 'mp4', 'safetensors', 'xml', 'yaml'}
LINK = re.compile(r'\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)')


def settings(path: str) -> Any:
    """Return what a YAML or JSON file holds."""
    text = text_of(path)
    return json.loads(text) if path.endswith('.json') else yaml.safe_load(text)


TRAIN, FINETUNE = settings('config/train.yaml'), settings('config/finetune.yaml')
COMMITTED = settings('models/aloha_sim/train.yaml')
POLICY = settings('models/aloha_sim/policy.json')
WEIGHT = TRAIN['action_weight']
AHEAD_S = POLICY['horizon'] / POLICY['rate_hz']  # of a predicted future
PEG_HARDNESS = find_task('insert_peg').hardness
PLANNER = settings('config/nodes.yaml')['planner']['ros__parameters']
NUMBERS = [  # document, sentence with a number, where the number is set
    ('docs/explanation/differences.md', r'action frame counts (\d+) times', WEIGHT),
    ('docs/explanation/learning.md', r'so `config/train.yaml` has (\d+)', WEIGHT),
    ('docs/explanation/differences.md', r'Chunks of (\d+) rows', POLICY['horizon']),
    ('docs/explanation/differences.md', r'rows at ([\d.]+) Hz', POLICY['rate_hz']),
    ('docs/explanation/differences.md', r'(\d+) denoising steps instead', POLICY['action_steps']),
    ('docs/explanation/differences.md', r'a query leaves every ([\d.]+) s', PLANNER['replan_s']),
    ('docs/how-to/train.md', r'`action_weight: (\d+)`', WEIGHT),
    ('docs/how-to/train.md', r'counts (\d+) times as much', WEIGHT),
    ('docs/how-to/evaluate.md', r'one query every ([\d.]+) s', PLANNER['replan_s']),
    ('docs/how-to/evaluate.md', r'at its end\s+after (\d+) s', EPISODE_S),
    ('docs/how-to/several_inference_nodes.md', r'`merge_s` \(([\d.]+) s\)', PLANNER['merge_s']),
    ('docs/how-to/evaluate.md', r'in an insertion ([\d.]+) of all that', PEG_HARDNESS),
    ('README.md', r'peg ([\d.]+) of all that', PEG_HARDNESS),
    ('docs/tutorials/first_demo.md', r'last query, ([\d.]+) s\s+ahead', AHEAD_S),
    ('README.md', r'last query, ([\d.]+) s\s+ahead', AHEAD_S),
]  # fmt: skip


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    words = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading).strip().lower()
    return re.sub(r'[^\w\- ]', '', words).replace(' ', '-')


@pytest.mark.parametrize('document', DOCUMENTS)
def test_every_command_of_a_block_would_be_taken(document: str, tmp_path: Path) -> None:
    """The programs exist and their options are parsed by the real parser."""
    for number, block in enumerate(blocks(document, 'bash')):
        folder = tmp_path / str(number)
        folder.mkdir()
        for words in programs(block, folder):
            check_program(words)


@pytest.mark.parametrize('command', [
    'cosmos-policy evaluate --episode 3',
    'cosmos-policy demo --task fold_shirt --seed x',
    'make demonstration',
    'make demo ARGS="--episode 1"',
    'ros2 launch cosmos_policy_ros sim.launch.py candidate:=4',
    'ros2 launch cosmos_policy_ros sim.launch.py futures:=four',
    'ros2 launch cosmos_policy_ros policy.launch.py robot:=my_robot.yaml',
    'ros2 service call /command_executor/enable std_srvs/srv/Trigger',
    'ros2 service call /executor/enable std_srvs/srv/SetBool "{data: true}"',
    'ros2 topic echo /policy/answers',
    'ros2 param set /sim sede 1',
    'ros2 run cosmos_policy_ros inference_node --ros-args -p candidate:=4',
    'python scripts/nothing.py',
    'for n in 1 2; do cosmos-policy evaluate --candidate $n; done',
    'frobnicate',
])  # fmt: skip
def test_wrong_command_is_found(command: str, tmp_path: Path) -> None:
    """What the documents must not say is refused: names, options, types, programs."""
    words = programs(command, tmp_path)[0]
    with pytest.raises((AssertionError, ValueError)):
        check_program(words)


@pytest.mark.parametrize('document', DOCUMENTS)
def test_every_command_in_a_sentence_has_its_options(document: str) -> None:
    """A renamed command or option is found in prose too."""
    for span in spans(document):
        check_span(span)


def test_every_launch_argument_that_is_named_is_one() -> None:
    """In the prose of the documents and in what the programs advise; a vendor's are its own."""
    files = sorted((ROOT / 'launch').glob('*.launch.py'))
    known = {name for file in files for name in stack_arguments(launch_stack(file)[0])}
    prose = [span for document in DOCUMENTS for span in spans(document)]
    texts = [span for span in prose if not span.startswith('ros2 launch aloha ')] + SOURCES
    texts = [re.sub(r'-r \S+', '', text) for text in texts]  # names that ROS replaces
    named = {name for text in texts for name in re.findall(r'(\w+):=[\w/]', text)}
    assert {'actions', 'cameras', 'takeover'} <= named
    assert named - known == {'name'}  # NAME:=VALUE itself


def test_every_command_of_a_shell_script_has_its_options() -> None:
    """What takes many hours must not end at a renamed option."""
    found = []
    for script in sorted((ROOT / 'scripts').glob('*.sh')):
        text = script.read_text('utf-8').replace('\\\n', ' ')
        found += re.findall(r'(?<![-\w])cosmos-policy [a-z][^|\n]*', text)
    assert len(found) > 4
    for command in found:
        check_span(command)


@pytest.mark.parametrize('document', DOCUMENTS)
def test_no_placeholder_is_left(document: str) -> None:
    """Double braces are what a template leaves where a word was to be filled in."""
    assert '{{' not in text_of(document)


@pytest.mark.parametrize('document', DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading(document: str) -> None:
    """As GitHub shows them; the site generator checks pages and anchors, but no images."""
    for target, anchor in LINK.findall(text_of(document)):
        file = (ROOT / document).parent / target if target else ROOT / document
        assert file.exists(), f'{document} links to {target}'
        if anchor:
            text = FENCE.sub('', file.read_text('utf-8'))
            headings = {slug(h) for h in re.findall(r'^#+ (.*)$', text, re.M)}
            assert anchor in headings, f'{document} links to {target}#{anchor}'


@pytest.mark.parametrize('document', sorted({*DOCUMENTS} - HISTORY))
def test_every_file_that_is_named_exists(document: str) -> None:
    """A path from the root, or a module by its path in the package; * stands for any name."""
    for span in spans(document):
        if not PATH.fullmatch(span):
            continue
        in_package = span.split('/')[0] in LAYERS and span.endswith('.py')
        if span.split('/')[0] in LAYERS and not in_package and not (ROOT / span).exists():
            continue  # data/, report/: a user's own folder
        start = ROOT / 'cosmos_policy_ros' if in_package else ROOT
        assert list(start.glob(span.rstrip('/'))), f'{document} names {span}'


@pytest.mark.parametrize('document', sorted({*DOCUMENTS} - HISTORY))
def test_every_module_and_function_that_is_named_exists(document: str) -> None:
    """`file.py` is somewhere, `module.name` in that module, `name()` defined by something."""
    for span in spans(document):
        member = re.fullmatch(r'(\w+)\.(\w+)(?:\(.*\))?', span)
        if re.fullmatch(r'\w+\.py', span):
            assert FILES_OF.get(span), f'{document} names {span}'
        elif member and f'{member[1]}.py' in FILES_OF and member[2] not in ENDINGS:
            texts = [path.read_text('utf-8') for path in FILES_OF[f'{member[1]}.py']]
            known = re.compile(rf'^ *(?:def |class )?{member[2]}\b', re.M)
            assert any(known.search(text) for text in texts), f'{document} names {span}'
        elif call := re.fullmatch(r'(\w+)\(.*\)', span):
            known = re.compile(rf'\b(?:def|class) {call[1]}\b')
            assert any(known.search(text) for text in SOURCES), f'{document} names {span}'


def test_every_module_that_a_docstring_names_exists() -> None:
    """``core.query`` or ``core/query.py``, and what stands behind a module is in it."""
    modules = {module_name(path).partition('.')[2]: path.read_text('utf-8') for path in FILES}
    tops = {name.partition('.')[0] for name in modules}
    wrong = []
    for text in modules.values():
        named = re.findall(r'``([a-z]\w*(?:\.\w+)+)``', text)
        paths = [path.split('/') for path in re.findall(r'``(\w+/\w+)\.py``', text)]
        for name in (*named, *('.'.join(path) for path in paths if path[0] in LAYERS)):
            parts = name.split('.')
            known = [n for n in range(len(parts), 0, -1) if '.'.join(parts[:n]) in modules]
            behind = parts[known[0] :] if known else parts
            if parts[0] in tops and behind and parts[-1] not in ENDINGS | {'py'}:
                source = modules['.'.join(parts[: known[0]])] if known else ''
                wrong += [] if re.search(rf'\b{behind[0]}\b', source) else [name]
    assert wrong == []


@pytest.mark.parametrize(('document', 'sentence', 'value'), NUMBERS)
def test_numbers_are_those_of_the_configuration(
    document: str, sentence: str, value: float
) -> None:
    """A number that is set in a file and repeated in a sentence is the same in both."""
    found = [float(m[1]) for m in re.finditer(sentence, text_of(document))]
    assert found
    assert found == [value] * len(found)


def test_committed_policy_was_trained_as_its_configuration_says() -> None:
    """What starts from scratch, what goes on and what is committed weigh the action alike."""
    assert WEIGHT == COMMITTED['action_weight'] == 100.0
    assert FINETUNE['action_weight'] == 100.0


def test_readme_can_be_read_in_ten_minutes() -> None:
    """Everything else has a page of its own."""
    assert len(text_of('README.md').split()) <= 1500


def test_readme_shows_the_robot_and_what_it_expects() -> None:
    """A film that a browser loads at once."""
    assert '](docs/images/demo.gif)' in text_of('README.md')
    film = (ROOT / 'docs' / 'images' / 'demo.gif').read_bytes()
    assert film[:6] == b'GIF89a'
    assert len(film) < 3_000_000


def test_picture_of_the_hops_is_the_same_on_both_first_pages() -> None:
    """One would be forgotten when a topic moves."""
    (readme,) = [b for b in blocks('README.md', '') if 'command_executor' in b]
    (index,) = blocks('docs/index.md', '')
    assert readme == index


def test_readme_has_the_two_services_of_a_real_robot() -> None:
    """Who has a robot reads them before anything else."""
    (block,) = [b for b in blocks('README.md', 'bash') if '/command_executor/' in b]
    assert '/command_executor/estop' in block
    assert '/command_executor/enable' in block


@pytest.mark.parametrize('name', sorted(PAGE_MAKERS))
def test_reference_pages_are_current(name: str) -> None:
    """`make docs` writes them; what it would write is committed."""
    assert text_of(f'docs/reference/{name}') == PAGE_MAKERS[name]()


def test_every_page_is_in_the_navigation_once() -> None:
    """A page that nobody can reach is not read."""
    pages = re.findall(r'^ +- ([\w/-]+\.md)$|^  - (index\.md)$', text_of('mkdocs.yml'), re.M)
    listed = sorted(''.join(page) for page in pages)
    there = [d.removeprefix('docs/') for d in DOCUMENTS if d.startswith('docs/')]
    assert listed == sorted([*there, *PAGES.values()])


@pytest.mark.parametrize('document', DOCUMENTS)
def test_python_of_the_documents_runs(document: str) -> None:
    """Examples are pieces of programs that work."""
    for block in blocks(document, 'python'):
        if 'cosmos_policy_ros.ros' in block:
            pytest.importorskip('rclpy')
        subprocess.run([sys.executable, '-c', block], check=True)  # it may change tables


@pytest.mark.parametrize('document', DOCUMENTS)
def test_lists_and_tables_begin_after_an_empty_line(document: str) -> None:
    """Otherwise the site shows them as running text, although GitHub does not."""
    lines = FENCE.sub('', text_of(document)).split('\n')
    for before, line in pairwise(lines):
        for start in ('- ', '|'):
            inside = before.startswith((start, '  ')) or not before.strip()
            assert inside or not line.startswith(start), f'{document}: {line}'


def test_pages_written_by_code_say_so() -> None:
    """Who would mend one by hand is sent to the script."""
    for document in WRITTEN_BY_CODE:
        assert 'scripts/reference.py' in text_of(document).splitlines()[0]


def design_layers() -> dict[str, tuple[set[str], set[str]]]:
    """Return what the design says a layer may import, and its third-party modules, by layer."""
    rows = re.findall(r'^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$', text_of(DESIGN), re.M)
    parts = {layer: [text.split(',') for text in texts] for layer, *texts in rows}
    names = {
        layer: [{name.strip() for name in column} - {'–'} for column in columns]
        for layer, columns in parts.items()
    }
    return {layer: (allowed, used) for layer, (allowed, used) in names.items()}


def third_party(layer: str) -> set[str]:
    """Return the modules of other packages that a layer imports, as the design calls them."""
    found = {name for path in FILES if layer_of(path) == layer for name in imports(path)}
    tops = {name.split('.')[0] for name in found} | BY_NAME.get(layer, set())
    tops -= {*sys.stdlib_module_names, 'cosmos_policy_ros', 'numpy', 'yaml'}
    tops |= {'mujoco'} if 'cosmos_policy_ros.mujoco_import' in found else set()
    tops |= {'rich'} if 'cosmos_policy_ros.progress' in found else set()
    names = {'PIL': 'Pillow', 'cv2': 'opencv', 'launch_ros': 'launch', 'tensorrt_rtx': 'tensorrt'}
    names |= dict.fromkeys(ROS_MODULES - {'rclpy', 'launch', 'launch_ros'}, 'messages')
    return {names.get(name, name) for name in tops}


def test_design_has_the_third_party_modules_that_are_imported() -> None:
    """Who wants to know what a layer needs installed reads the table, not the imports."""
    layers = design_layers()
    assert {layer: used for layer, (_, used) in layers.items()} == {
        layer: third_party(layer) for layer in layers
    }


def test_design_has_the_layers_of_the_import_rule() -> None:
    """The table that people read is the one that is checked."""
    rule = {
        layer: (names - WAIST - TO_COME) | ({'waist'} if names >= WAIST else set())
        for layer, names in MAY_IMPORT.items()
        if layer not in TO_COME
    }
    assert {layer: allowed for layer, (allowed, _) in design_layers().items()} == rule
    (waist,) = re.findall(r'^\| ([^|]+) \(the waist\) \|', text_of(DESIGN), re.M)
    assert set(re.findall(r'`(\w+)`', waist)) == WAIST
