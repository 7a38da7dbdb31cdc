# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy episodes``: what is recorded, how good it is, and putting it in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TYPE_CHECKING

from cosmos_policy_ros.cli.reading import reading_of, ReadingOptions
from cosmos_policy_ros.outputs import check_output, write_json
from cosmos_policy_ros.progress import track
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
import tyro

if TYPE_CHECKING:
    from cosmos_policy_ros.data.episode_edits import Listed
    from cosmos_policy_ros.data.episodes import StoredEpisode

Action = Literal['list', 'trim', 'split', 'merge', 'relabel', 'delete', 'restore']
OUTCOMES = ('success', 'failure', 'unjudged', 'invalid', 'damaged')
WIDEST = 10_000  # of a table [characters], wider than any


@dataclass(frozen=True)
class Episodes(ReadingOptions):
    """List episodes, or put those that are picked in order; what does not change stays as it is.

    list: a line per episode, and with --quality what was measured of its images and joints. trim:
    leave idle ends out. split: divide in time at --at; the last part keeps the outcome. merge:
    bring them together in the new folder --out, bags and HDF5 files as links that take no room,
    LeRobot data sets written anew. relabel: write --task, --source, --success, --progress, words
    and who recorded over what is there. delete: move them to a folder .trash beside them. restore:
    move what is in .trash of the given folders back.

    Bags are trimmed and split by what their metadata.yaml says; their files stay as they are. An
    HDF5 file is cut, and the uncut one goes to .trash. --outcome, --only and --where pick
    episodes; a limit of --where is applied to the numbers of --quality. --dry-run changes nothing.

    Example: cosmos-policy episodes list data/fold --quality
    Example: cosmos-policy episodes delete data/fold --where 'sharpness<30' 'late_s>0.3' --dry-run
    Example: cosmos-policy episodes trim data/fold --margin-s 0.5
    Example: cosmos-policy episodes relabel data/fold --only episode_000007 --success no
    Example: cosmos-policy episodes merge data/day1 data/day2 --outcome success --out data/good
    """

    action: tyro.conf.Positional[Action]
    """What to do."""
    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Bags, HDF5 files, LeRobot data sets, or folders of them."""
    outcome: tuple[Literal['success', 'failure', 'unjudged', 'invalid', 'damaged'], ...] = ()
    """Pick those of an outcome. Default: all; only list takes damaged ones by itself."""
    only: tuple[str, ...] = ()
    """Pick those of a name, as list shows it."""
    where: tuple[str, ...] = ()
    """Pick those for which all limits hold, such as 'sharpness<30' 'still_end_s>2'."""
    quality: bool = False
    """List what is measured, which reads every episode."""
    at: tuple[float, ...] = ()
    """Where to split [s, from the start of the episode]."""
    margin_s: float = 0.5
    """How long an episode may stand still before and after what is left of it [s]."""
    out: Path | None = None
    """Folder to make of what is merged."""
    progress: float | None = None
    """How far the task got, 0 to 1."""
    failure: str | None = None
    """A word for what went wrong."""
    note: str | None = None
    """What else is worth knowing."""
    operator_id: str | None = None
    """Who recorded."""
    station_id: str | None = None
    """Where the robot stands."""
    robot_id: str | None = None
    """Which robot of its kind it is."""
    is_eval_episode: bool | None = None
    """Whether it was recorded to measure a policy."""
    checkpoint: str | None = None
    """The policy that acted."""
    robot: Path = robot_file('aloha_sim')
    """Robot YAML of the episodes."""
    json: Path | None = None
    """File for what is listed."""
    dry_run: bool = False
    """Print what would be done."""


@dataclass(frozen=True)
class _Row:
    """An episode, what is known of it, what was measured, and why it cannot be opened."""

    stored: StoredEpisode
    listed: Listed | None
    numbers: dict[str, float]
    damage: str = ''

    @property
    def outcome(self) -> str:
        """A word of ``OUTCOMES``."""
        if self.listed is None:
            return 'damaged'
        if self.listed.invalid:
            return 'invalid'
        success = self.listed.labels.get('success')
        return 'unjudged' if success is None else 'success' if success else 'failure'


def run(options: Episodes) -> int:
    """Do it, print a line per episode and what became of it."""
    # late: video, HDF5 and Parquet load slowly
    from cosmos_policy_ros.data.episode_edits import restore
    from cosmos_policy_ros.data.episodes import list_episodes

    check_output('--json', options.json)
    if not options.paths:
        msg = f'episodes {options.action} needs a recording or a folder of recordings'
        raise ConfigError(msg)
    if missing := [path for path in options.paths if not path.exists()]:
        msg = f'no file or folder {missing[0]}; give a recording or a folder of recordings'
        raise ConfigError(msg)
    if options.action == 'restore':
        back = [place for path in options.paths for place in restore(path, options.dry_run)]
        told = 'would be restored' if options.dry_run else 'restored'
        print('\n'.join([*(f'{place}: {told}' for place in back), f'{len(back)} {told}']))
        return 0
    robot = read_robot(options.robot)
    found = [stored for path in options.paths for stored in list_episodes(path)]
    rows = _pick(options, found, robot)
    if options.action == 'list':
        _print_table(rows, len(found))
        if options.json is not None:
            write_json(options.json, [_to_json(row) for row in rows])
        return 0
    if not rows:
        print(f'none of {len(found)} episodes is picked; nothing is changed')
        return 0
    change = _change_of(options, robot)
    if options.action == 'merge':
        return _merge(options, rows, robot)
    for row in rows:
        done = 'would be changed' if options.dry_run else change(row.stored)
        print(f'{row.stored.name}: {done}')
    print(f'{options.action}: {len(rows)} of {len(found)} episodes')
    return 0


def _pick(options: Episodes, found: list[StoredEpisode], robot: RobotSpec) -> list[_Row]:
    """Return the episodes that the options pick, measured where that is wanted."""
    from cosmos_policy_ros.data.episode_edits import list_labels
    from cosmos_policy_ros.data.episodes import read_episode
    from cosmos_policy_ros.data.quality import matches, measure, read_limit

    limits = [read_limit(text) for text in options.where]
    picked = (
        options.only or options.outcome or limits or [e.path for e in found] == [*options.paths]
    )
    if options.action == 'delete' and not picked:
        msg = 'episodes delete needs what picks them: --only, --outcome or --where, or their paths'
        raise ConfigError(msg)
    if unknown := set(options.only) - {stored.name for stored in found}:
        msg = f'no episode {", ".join(sorted(unknown))}; there are '
        msg += ', '.join(stored.name for stored in found[:20])
        raise ConfigError(msg)
    wanted = options.outcome or (OUTCOMES if options.action == 'list' else OUTCOMES[:-1])
    reading, rows = reading_of(options, robot), []
    measured = bool(limits) or (options.quality and options.action == 'list')
    for stored in track(found, 'reading', transient=True) if measured else found:
        if options.only and stored.name not in options.only:
            continue
        try:
            row = _Row(stored, list_labels(stored, robot.control_rate_hz, reading), {})
            if measured and row.outcome in wanted and row.outcome != 'invalid':  # nobody reads it
                numbers = asdict(measure(read_episode(stored, robot, reading=reading), robot))
                row = _Row(stored, row.listed, numbers)
        except ConfigError as error:
            row = _Row(stored, None, {}, str(error))
        if row.outcome in wanted and (
            not limits or (row.numbers and matches(row.numbers, limits))
        ):
            rows.append(row)
    return rows


def _change_of(options: Episodes, robot: RobotSpec) -> Callable[[StoredEpisode], str]:
    """Return what changes one episode and says what was done; checked before the first."""
    from cosmos_policy_ros.data.episode_edits import (
        LABELS,
        list_labels,
        move_to_trash,
        relabel,
        split,
        trim,
    )
    from cosmos_policy_ros.data.episodes import read_episode

    reading = reading_of(options, robot)
    labels: dict[str, Any] = {name: getattr(options, name) for name in LABELS}
    labels['success'] = None if options.success is None else options.success == 'yes'
    labels = {name: value for name, value in labels.items() if value is not None}

    def trimmed(stored: StoredEpisode) -> str:
        left_s = trim(stored, read_episode(stored, robot, reading=reading), options.margin_s)
        return f'{left_s:.2f} s are left out' if left_s else 'nothing is idle'

    def divided(stored: StoredEpisode) -> str:
        parts = ', '.join(part.name for part in split(stored, options.at))
        return f'{parts}; the outcome is that of the last, of the others nobody has judged'

    def labelled(stored: StoredEpisode) -> str:
        new = dict(labels)
        if options.success == 'yes':
            said = list_labels(stored, robot.control_rate_hz, reading).labels
            if said.get('success') is False:  # what was said of the failure would contradict it
                new |= {'failure': ''} if said.get('failure') else {}
                new |= {'progress': 1.0} if 'progress' in said and 'progress' not in new else {}
        relabel(stored, new)
        return ', '.join(
            f'{name} is {value}' if value != '' else f'no {name}' for name, value in new.items()
        )

    needs: dict[str, tuple[str, object]] = {
        'split': ('--at', options.at),
        'merge': ('--out', options.out),
        'relabel': ('a label such as --success', labels),
    }
    option, given = needs.get(options.action, ('', True))
    if not given:
        msg = f'episodes {options.action} needs {option}'
        raise ConfigError(msg)
    if options.success == 'yes' and options.failure:
        msg = f'--success yes with --failure {options.failure} contradicts itself; give one'
        raise ConfigError(msg)
    if options.progress is not None and not 0.0 <= options.progress <= 1.0:
        msg = f'--progress must be 0 to 1, got {options.progress}'
        raise ConfigError(msg)
    changes: dict[str, Callable[[StoredEpisode], str]] = {
        'trim': trimmed,
        'split': divided,
        'relabel': labelled,
        'delete': lambda stored: f'moved to {move_to_trash(stored)}',
    }
    return changes.get(options.action, lambda stored: stored.name)


def _merge(options: Episodes, rows: list[_Row], robot: RobotSpec) -> int:
    """Bring the episodes together in a new folder."""
    from cosmos_policy_ros.data.convert import convert_episodes
    from cosmos_policy_ros.data.episode_edits import merge_links

    assert options.out is not None
    formats = {row.stored.format for row in rows}
    if len(formats) > 1:
        msg = f'episodes of {", ".join(sorted(formats))} do not merge; convert them first'
        raise ConfigError(msg)
    stored = [row.stored for row in rows]
    if options.dry_run:
        print(f'{options.out}: {len(rows)} episodes would be in it')
    elif formats == {'lerobot'}:
        reading = reading_of(options, robot)
        convert_episodes(stored, options.out, robot, 'lerobot', reading=reading, progress=track)
        print(f'{options.out}: {len(rows)} episodes, every count read back')
    else:
        made = merge_links(stored, options.out)
        print(f'{options.out}: {len(made)} episodes, {made[0].name} to {made[-1].name}')
    return 0


def _print_table(rows: list[_Row], n: int) -> None:
    names = list(next((row.numbers for row in rows if row.numbers), {}))[1:]
    facts = () if names else ('source', 'task', 'operator_id')  # one or the other fits a terminal
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ('episode', 'outcome', 's'):
        table.add_column(name, no_wrap=True)  # whole, since --only takes what stands there
    for fact in facts:
        table.add_column(fact, max_width=40)
    for name in names:
        table.add_column(name, justify='right')
    for row in rows:
        about = row.listed.labels if row.listed else {}
        seconds = f'{row.listed.seconds:.1f}' if row.listed else ''
        told = [
            Text(str(about.get(fact, '')), no_wrap=True, overflow='ellipsis') for fact in facts
        ]
        numbers = [f'{row.numbers[name]:.3g}' if row.numbers else '' for name in names]
        table.add_row(row.stored.name, row.outcome, seconds, *told, *numbers)
    console = Console()
    needed = Measurement.get(console, console.options.update(max_width=WIDEST), table).minimum
    if needed > console.width:
        table.width = needed  # numbers that are cut off are none
    console.print(table, crop=False)
    for row in rows:
        reason = row.damage or (row.listed.invalid if row.listed else '')
        if reason:
            console.print(f'{row.stored.name}: {reason}', highlight=False, soft_wrap=True)
    counts = {word: sum(row.outcome == word for row in rows) for word in OUTCOMES}
    outcomes = ', '.join(f'{count} {word}' for word, count in counts.items() if count)
    total_s = sum(row.listed.seconds for row in rows if row.listed)
    console.print(f'{len(rows)} of {n} episodes, {total_s:.1f} s: {outcomes}', highlight=False)


def _to_json(row: _Row) -> dict[str, Any]:
    return {
        'path': str(row.stored.path),
        'number': row.stored.number,
        'name': row.stored.name,
        'outcome': row.outcome,
        'seconds': row.listed.seconds if row.listed else None,
        'labels': row.listed.labels if row.listed else {},
        'reason': row.damage or (row.listed.invalid if row.listed else ''),
        'quality': row.numbers,
    }
