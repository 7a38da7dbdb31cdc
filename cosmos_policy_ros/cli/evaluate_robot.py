# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy evaluate-robot``: which of two policies is better on a robot, judged blind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
import select
import sys
from typing import Any, Literal

from cosmos_policy_ros.cli.robot_options import Namespace
from cosmos_policy_ros.core.config import check_robot
from cosmos_policy_ros.core.facts import read_facts, read_tasks
from cosmos_policy_ros.core.paraphrase import TaskMatcher
from cosmos_policy_ros.data.bags.custom import relabel_bag
from cosmos_policy_ros.data.bags.provenance import hash_checkpoint
from cosmos_policy_ros.evaluation.trials import JudgedRollout, RESULTS, Session, Trial
from cosmos_policy_ros.event_log import Event
from cosmos_policy_ros.outputs import whole_file, write_json
from cosmos_policy_ros.report.score_sheet import verdict, write_csv, write_sheet
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.experts.table import find_task
from cosmos_policy_ros.sim.task_words import task_synonyms
from cosmos_policy_ros.sim.tasks import EPISODE_S, UNSEEN_SEED
from cosmos_policy_ros.stack.domain import choose_domain, choose_domain_of_running_robot
from cosmos_policy_ros.stack.node_list import fit_robot, NodeSpec, POLICY_STACK, SIM_STACK, Value
from cosmos_policy_ros.terminal.rollout import Answer, play_rollout, Rollout, write_rollout_film
from cosmos_policy_ros.terminal.typed import forget_typed
from cosmos_policy_ros.types import ConfigError, MOST_PROGRESS
from rich.console import Console
from rich.prompt import IntPrompt, Prompt

FILM, SHEET, TABLE, FIGURES = 'rollout.mp4', 'score_sheet.html', 'rollouts.csv', 'figures.json'


@dataclass(frozen=True)
class EvaluateRobot:
    """Compare two policies on a robot: in pairs from the same start, blind, until it is clear.

    In every pair both policies act from one start state that you set up, in an order that is
    drawn; you see the pair and the turn, not the policy. You begin and end each rollout and say
    how far it came (0 nothing to 4 done), what went wrong and what else is worth knowing. After
    every pair the evidence is looked at, by a test that may be looked at as often as one likes,
    and the comparison ends where it is clear; names are shown at the end, in a score sheet with
    films and a CSV file. Every rollout becomes a rosbag. What is broken off names nobody, and goes
    on where it was when the same command is given again; with --reveal it ends there.

    The arms are enabled by this command, once you have said so before each rollout, and disabled
    after it; drivers of arms and cameras run already. Keep cosmos-policy estop at hand.
    Without --robot the simulated robot acts, and --judge sim lets the simulator judge.

    Example: cosmos-policy evaluate-robot --policies A B --robot my.yaml --task "fold the shirt"
    Example: cosmos-policy evaluate-robot --policies models/aloha_sim runs/my_task --judge sim
    """

    policies: tuple[Path, Path]
    """Two checkpoint folders."""
    robot: Path | None = None
    """Robot YAML of a robot whose drivers run; by default the simulated one."""
    task: str = ''
    """Instruction; for the simulated robot a simulated task, by default transfer_cube."""
    pairs: int = 20
    """Most pairs to be played."""
    seconds: float = EPISODE_S
    """Longest rollout [s]; Enter ends it sooner."""
    judge: Literal['person', 'sim'] = 'person'
    """Who begins, ends and judges: person asks in this terminal, sim believes the simulator."""
    seed: int = UNSEEN_SEED
    """Of order and letters; the simulated robot plays the scene of seed + pair."""
    out: Path = Path('runs', 'evaluate_robot')
    """Folder of the session."""
    films: bool = True
    """Write a film of every rollout."""
    reveal: bool = False
    """Play nothing more: write the score sheet of what was judged, which names the policies."""
    candidates: int | Literal['auto'] = 'auto'
    """Candidates N per query, for both policies."""
    device: str = 'cpu'
    """Where the networks run."""
    namespace: Namespace = ''
    domain: int | None = None
    """ROS domain, by default ROS_DOMAIN_ID; for the simulated robot else one of its own."""


def run(options: EvaluateRobot) -> int:
    """Play the pairs that are left and write the score sheet."""
    values, others = _stack(options)
    names = [str(path.resolve()) for path in options.policies]
    if options.reveal and not (options.out / RESULTS).exists():
        msg = f'nothing was judged in {options.out} yet; leave out --reveal to begin'
        raise ConfigError(msg)
    session = Session(
        options.out, names, options.pairs, options.seed, _conditions(options, values)
    )
    choose = choose_domain if options.robot is None else choose_domain_of_running_robot
    choose(options.domain)
    console = Console()
    while (trial := session.next_trial) is not None and not session.is_decided():
        if options.reveal:
            break
        try:
            played = _play(options, session, trial, values, others, console)
        except KeyboardInterrupt:
            _say_how_to_go_on(trial, console)
            raise
        if played is None:
            _say_how_to_go_on(trial, console)
            return 0
        rollout, judgement = played
        session.add(judgement)
        relabel_bag(options.out / judgement.bag, judgement.labels)
        if options.films:
            with console.status('writing the film'):
                film = Path(rollout.episode['bag']).parents[1] / FILM
                robot = read_robot(Path(str(values['robot'])))
                write_rollout_film(film, rollout, judgement.success, robot)
    _report(options, session, console)
    return 0


def _say_how_to_go_on(trial: Trial, console: Console) -> None:
    """Print how a broken off session goes on; names would tell who goes on judging."""
    console.print(
        f'broken off; the same command goes on with pair {trial.pair + 1}, and with '
        '--reveal it ends and names the policies',
        highlight=False,
        soft_wrap=True,
    )


def _stack(options: EvaluateRobot) -> tuple[dict[str, Value], tuple[NodeSpec, ...]]:
    """Return the arguments of the nodes that both policies share, and the nodes.

    Raises:
        ConfigError: A count is too small, a checkpoint does not fit the robot or does not know the
            task, or the simulator is to judge what happens elsewhere.
    """
    if options.pairs < 1 or options.seconds <= 0.0 or options.seed < 0:
        msg = '--pairs must be at least 1, --seconds above 0 and --seed not negative, got '
        msg += f'{options.pairs}, {options.seconds} and {options.seed}'
        raise ConfigError(msg)
    others: tuple[NodeSpec, ...]
    values: dict[str, Value] = {
        'candidates': str(options.candidates),
        'device': options.device,
        'seconds': options.seconds,
        'seed': options.seed,
        'namespace': options.namespace,
    }
    if options.robot is None:
        values |= {'driver': 'sim', 'task': options.task or 'transfer_cube'}
        values |= {'robot': str(robot_file('aloha_sim'))}
        instruction = find_task(str(values['task'])).instruction
        values, others = fit_robot(values), tuple(SIM_STACK)
    else:
        if options.judge == 'sim' or not options.task:
            msg = '--robot needs --task and a person as judge; the simulator does not see it'
            raise ConfigError(msg)
        instruction = options.task
        values |= {'robot': str(options.robot.resolve()), 'instruction': instruction}
        others = tuple(POLICY_STACK)
    robot = read_robot(Path(str(values['robot'])))
    for path in options.policies:
        check_robot(read_facts(path), robot)
        try:
            TaskMatcher(read_tasks(path), task_synonyms()).find(instruction)
        except ConfigError as error:
            msg = f'{path}: {error}'
            raise ConfigError(msg) from error
    return values, others


def _conditions(options: EvaluateRobot, values: Mapping[str, Value]) -> dict[str, Any]:
    """Return what has to be the same when a session is gone on with."""
    names = ('task', 'instruction', 'candidates', 'seconds')
    same: dict[str, Any] = {name: values[name] for name in names if name in values}
    same |= {'robot': read_robot(Path(str(values['robot']))).name, 'judge': options.judge}
    paths = sorted(path.resolve() for path in options.policies)
    return same | {'checkpoints': [hash_checkpoint(path) for path in paths]}


def _play(
    options: EvaluateRobot,
    session: Session,
    trial: Trial,
    values: dict[str, Value],
    others: tuple[NodeSpec, ...],
    console: Console,
) -> tuple[Rollout, JudgedRollout] | None:
    """Play a rollout, and return it as it was judged; None where the session is broken off."""
    out = _new_folder(options.out.resolve(), trial)
    turn = ('first', 'second')[trial.turn]
    console.rule(f'pair {trial.pair + 1} of {options.pairs}, {turn} rollout')
    mine = values | {'checkpoint': session.policies[trial.letter], 'out': str(out)}
    answer: Answer = _go_at_once
    if options.robot is None:
        mine |= {'scene': options.seed + trial.pair}
    if options.judge == 'person':
        start = 'a start state of your choice' if trial.turn == 0 else 'the same start state again'
        if options.robot is not None and not _agrees(f'Set up {start}, then Enter (q: stop here)'):
            return None
        answer = _ask_in_terminal(console)
    rollout = play_rollout(mine, out, others, answer)
    if rollout is None:
        return None
    judgement = _simulated(rollout) if options.judge == 'sim' else _asked(rollout, console)
    bag = Path(rollout.episode['bag']).relative_to(options.out.resolve())
    return rollout, replace(judgement, bag=str(bag))


def _new_folder(session: Path, trial: Trial) -> Path:
    """Return a new folder for a rollout; one that was broken off keeps what it has."""
    name, again = f'pair_{trial.pair + 1:03d}_{trial.turn + 1}', 0
    while (out := session / (f'{name}_again{again}' if again else name)).exists():
        again += 1
    (out / 'logs').mkdir(parents=True)
    return out


def _go_at_once(event: Event) -> str:
    """Return what a script wants."""
    return 'go' if event['event'] == 'ready' else ''


def _ask_in_terminal(console: Console) -> Answer:
    """Return what asks a person after every event."""

    def answer(event: Event) -> str:
        if event['event'] == 'ready':
            go = _agrees('The arms will move. Enter starts, Enter again ends (q: stop here)')
            return 'go' if go else 'quit'
        if event['event'] == 'progress':
            console.print(f'{event["seconds"]:5.1f} s  {event["state"]}  ', end='\r')
            if select.select([sys.stdin], [], [], 0.0)[0]:
                sys.stdin.readline()
                return 'stop'
        return ''

    return answer


def _agrees(question: str) -> bool:
    forget_typed()
    return Prompt.ask(question, default='', show_default=False).strip().lower() != 'q'


def _simulated(rollout: Rollout) -> JudgedRollout:
    """Return the simulator's judgement."""
    episode = rollout.episode
    progress = MOST_PROGRESS if episode['success'] else min(episode['progress'], MOST_PROGRESS - 1)
    failure = 'fault' if episode['fault'] else ''
    return JudgedRollout(
        progress == MOST_PROGRESS,
        progress,
        '' if episode['success'] else failure,
        episode['ended'],
        episode['seconds'],
    )


def _asked(rollout: Rollout, console: Console) -> JudgedRollout:
    """Return a person's judgement."""
    episode = rollout.episode
    console.print(f'{episode["seconds"]:.1f} s, ended: {episode["ended"]}', highlight=False)
    choices = [str(number) for number in range(MOST_PROGRESS + 1)]
    progress = IntPrompt.ask('progress, 0 nothing to 4 done', choices=choices)
    failure = ''
    if progress < MOST_PROGRESS:
        failure = Prompt.ask('what went wrong, in a word', default='').strip()
    note = Prompt.ask('note', default='').strip()
    return JudgedRollout(progress == MOST_PROGRESS, progress, failure, note, episode['seconds'])


def _report(options: EvaluateRobot, session: Session, console: Console) -> None:
    """Reveal the names in a sheet, a table and a file of figures, and in a line."""
    figures, rows = session.reveal(), []
    for trial, judgement in session.judged:
        row: dict[str, Any] = asdict(trial) | asdict(judgement)
        row |= {'pair': trial.pair + 1, 'turn': trial.turn + 1}
        row |= {'policy': session.policies[trial.letter]}
        film = Path(judgement.bag).parents[1] / FILM  # beside the folder of bags
        if (options.out / film).is_file():
            row['film'] = str(film)
        rows.append(row)
    title = options.task or 'transfer_cube'
    with whole_file(options.out / SHEET) as sheet, whole_file(options.out / TABLE) as table:
        write_sheet(sheet, title, figures, rows)
        write_csv(table, rows)
    write_json(options.out / FIGURES, figures)
    for name, found in figures['policies'].items():
        console.print(
            f'{name}: {found["successes"]} of {found["rollouts"]} successes', highlight=False
        )
    console.print(f'{verdict(figures)} See {options.out / SHEET}', highlight=False, soft_wrap=True)
