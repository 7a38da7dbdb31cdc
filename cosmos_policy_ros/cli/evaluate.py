# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy evaluate``: success rate in the simulator, faster than real time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TYPE_CHECKING

from cosmos_policy_ros.backends import Precision
from cosmos_policy_ros.cli.counts import check_counts
from cosmos_policy_ros.cli.figures import print_figures, write_figures
from cosmos_policy_ros.cli.suites import (
    DEFAULT_TASK,
    find_suite_tasks,
    OWN_ROBOT,
    read_suite_robot,
    TASK_HELP,
)
from cosmos_policy_ros.control.seams import PlaybackSettings
from cosmos_policy_ros.core.config import Conditioning
from cosmos_policy_ros.core.planner import Selection
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.outputs import check_output
from cosmos_policy_ros.progress import Progress
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.sim.states import Ingredient, States
from cosmos_policy_ros.sim.tasks import EPISODE_S, UNSEEN_SEED
from cosmos_policy_ros.types import ConfigError
import tyro

if TYPE_CHECKING:
    from cosmos_policy_ros.evaluation import Agent, EpisodeResult, LivePace, Scenario

DEMO_OPTIONS = (
    'checkpoint',
    'planning_checkpoint',
    'task',
    'states',
    'episodes',
    'seed',
    'keep',
    'futures',
    'values',
    'depth',
    'temperature',
    'paired',
    'guidance',
    'selection',
    'robot',
)  # that this command has too


@dataclass(frozen=True)
class Evaluate:
    """Measure the success rate on seeded scenes, faster than real time.

    Example: cosmos-policy evaluate --checkpoint models/aloha_sim --episodes 100
    --seed 100000 --json evaluation.json
    Example: cosmos-policy evaluate --latency-from runs/20261123-101500/report.json
    Example: cosmos-policy evaluate --sim libero --suite libero_10
    --checkpoint models/cosmos_libero --json libero_10.json
    """

    checkpoint: Path = share_path('models', 'aloha_sim')
    """Checkpoint folder."""
    planning_checkpoint: Path | None = None
    """Checkpoint folder that scores the candidates; otherwise the first one does so itself."""
    sim: Literal['aloha', 'libero', 'robocasa'] = 'aloha'
    """Simulator: that of the package, or one of a benchmark, by the benchmark's own protocol: the
    simulator stands while the policy plans, then plays the rows that the checkpoint says. libero
    needs the extra of its name, robocasa an installation of your own."""
    suite: str | None = None
    """Suite of the benchmark: libero_spatial, libero_object, libero_goal, libero_10, or a task of
    RoboCasa."""
    task: Annotated[str | None, tyro.conf.arg(help=TASK_HELP)] = None
    instruction: str | None = None
    """Instruction given to the policy, a task of the checkpoint or a paraphrase; by
    default the simulated task's own."""
    states: States = 'normal'
    """Start states: normal as in training; hard ones have pieces beside the range of training, in
    other colours and pushed once, and cameras moved a little."""
    without: tuple[Ingredient, ...] = ()
    """Ingredients of hard states that are as in training, to see what makes them hard."""
    episodes: int = 100
    """Number of episodes; of each task of a benchmark, which has 50 start states at most."""
    seed: int | None = None
    """Episode i uses seed + i, by default 100000 + i; training used seeds below that. In a
    benchmark it is the seed of every query, by default the checkpoint's own, and trial i has
    start state i."""
    candidates: int = 1  # the plain policy, what a success rate is first of all about
    """Candidates N per query; the best by value is played."""
    keep: tuple[int, ...] = ()
    """Candidates kept after each denoising step, by value so far; none keeps all to the end."""
    futures: int = 0
    """Predicted futures M per candidate; 0 reads the value from the joint denoising."""
    values: int = 0
    """Value samples K per future; 0 reads the value from the stage before."""
    depth: int = 1
    """Chunks that are imagined one after the other before a candidate is valued; with 2 the policy
    acts again on the imagined state."""
    temperature: float = 0.0
    """How far the candidates are spread as different plans: 1 as far as held-out demonstrations
    are from what the policy predicts of them; 0 leaves them to the noise."""
    paired: bool = True
    """Judge all candidates with the same noise, so that they differ by what they do; otherwise
    with noise of their own, as the reference."""
    guidance: float = 1.0
    """How strongly a checkpoint of train --role improve is asked for what goes better than
    expected: 0 not at all, 1 as trained, up to 3 beyond, which takes twice the time."""
    selection: Selection = 'decisive'
    """When another candidate than the first is played: decisive, if it is another plan and better
    by more than the ensemble is unsure of; reference, if its score is higher; argmax, the
    highest."""
    spread_rad: float = 0.0
    """Standard deviation by which all candidates but the first are displaced in every arm joint,
    for more to choose from [rad]."""
    explore: float = 0.0
    """Share of the queries in which any of several candidates at a --temperature is played
    whatever comes of it, so that --record shows what does; or the only one displaced by
    --spread-rad, whose recorded value is that of the chunk before."""
    steps: int = 0
    """Denoising steps of the action chunk; 0 takes the checkpoint's."""
    replan_s: float = 0.8
    """Time between two queries [s]; one leaves earlier where the running chunk would not outlast
    its answer."""
    latency_s: float = 0.2
    """Simulated time between a query and its answer [s]."""
    seam: str = PlaybackSettings.seam
    """How a chunk takes over from the one before, a row of SEAMS in control/seams.py."""
    latency_from: Path | None = None
    """report.json of a demo whose latencies, image ages and pace are played. Scenes, checkpoint,
    candidates and other options that the demo has too are the demo's where they are left at their
    defaults here."""
    workers: Annotated[int, tyro.conf.arg(aliases=['-j'])] = 2
    """Processes that play episodes side by side."""
    threads: int = 1
    """CPU threads of the networks in each process."""
    backend: str = 'auto'
    """What runs the networks; auto takes what cosmos-policy export wrote, else torch."""
    precision: Precision = 'auto'
    """Arithmetic of the networks; auto is bfloat16 where the processor has it."""
    conditioning: Conditioning = 'auto'
    """How a chunk comes to begin with the committed rows; auto takes the first of trained,
    corrected and replaced that the checkpoint is made for."""
    mend: bool = False
    """Let a scripted person take over where the policy gets no farther for 3 s or loses what it
    had, and lead until the task is done; with --record for train to imitate. A success may be the
    person's then."""
    seconds: float = EPISODE_S
    """Length of an episode [s]."""
    stop_when_done: bool = False
    """End an episode as soon as the value says that the task is done, as the planner does with its
    parameter of that name; success is judged then."""
    robot: Path | None = None
    """Robot YAML file, or the name of one in config/robots; by default that of the simulator."""
    json: Path | None = None
    """Write the figures to this file, after every episode; one that is there is read first, and
    episodes that it lacks are played."""
    record: Path | None = None
    """Write a bag of every episode to this folder, with all candidates and their values, to train
    on (--role planning) or to look at (cosmos-policy report)."""


def run(options: Evaluate) -> int:
    """Play the episodes, print a table and write the figures."""
    from cosmos_policy_ros.evaluation import (  # loads torch and MuJoCo
        describe_measured,
        read_live_pace,
        read_results,
        Scenario,
        summarize_episodes,
    )

    check_counts(options, 'episodes', 'candidates', 'workers', 'threads')
    check_output('--json', options.json)
    if options.sim != 'aloha':
        return _run_suite(options)
    if options.suite is not None:
        msg = '--suite is of a benchmark; give --sim libero or --sim robocasa besides'
        raise ConfigError(msg)
    pace: dict[str, Any] = {
        'replan_s': options.replan_s,
        'latencies_s': (options.latency_s,),
    }
    if options.latency_from:
        live = read_live_pace(options.latency_from)
        options = _as_in_demo(options, live)
        names = ('replan_s', 'margin_s', 'latencies_s', 'image_ages_s')
        pace = {name: getattr(live, name) for name in names}
    task = options.task or DEFAULT_TASK
    first = UNSEEN_SEED if options.seed is None else options.seed
    options = replace(options, task=task, seed=first)  # as they are written beside the figures
    if options.latency_from:
        print(
            f'as in {options.latency_from}: {live}; {options.episodes} scenes of {task} from seed '
            f'{first}, {options.states} states'
        )
    scenario = Scenario(
        task=task,
        instruction=options.instruction,
        states=options.states,
        without=options.without,
        playback=PlaybackSettings(seam=options.seam),
        mended=options.mend,
        seconds=options.seconds,
        stop_when_done=options.stop_when_done,
        **pace,
    )
    agent = _make_agent(options)
    robot = read_robot(options.robot or OWN_ROBOT)
    measured = describe_measured(agent, scenario, robot) if options.json else {}
    done = read_results(options.json, measured)
    known = {result.seed for result in done}
    seeds = range(first, first + options.episodes)
    missing = [seed for seed in seeds if seed not in known]
    if done:
        print(f'{options.json} has {len(done)} episodes already; {len(missing)} are played now')
    if missing:
        _play_missing(options, agent, scenario, robot, missing, measured, done)
    print_figures(summarize_episodes(done))
    return 0


def _recorded_before(options: Evaluate) -> range:
    """Return the seeds whose bags the run before this one recorded to the same folder."""
    assert options.json is not None
    with options.json.open(encoding='utf-8') as file:
        before = json.load(file)['options']
    if before.get('record') != str(options.record):
        return range(0)
    return range(before['seed'], before['seed'] + before['episodes'])


def _play_missing(
    options: Evaluate,
    agent: Agent,
    scenario: Scenario,
    robot: RobotSpec,
    missing: list[int],
    measured: dict[str, Any],
    done: list[EpisodeResult],
) -> None:
    """Play the scenes of the missing seeds, and write all results after each of them.

    Args:
        options: Where to write and to record, and how many play side by side.
        agent: Policy that is measured, and its query.
        scenario: Task, start states and pace.
        robot: Cameras, rates and limits.
        missing: Seeds of the scenes, at least one.
        measured: What the results depend on.
        done: Results that are there already; the new ones are put in among them.
    """
    from cosmos_policy_ros.evaluation import (
        check_evaluation,
        evaluate_scenes,
        summarize_episodes,
    )
    from cosmos_policy_ros.evaluation.sim_bag import set_aside_unfinished

    if options.record is not None and done:  # what broke off the run that wrote the file
        set_aside_unfinished(options.record, missing, whole=_recorded_before(options))
    match = check_evaluation(agent, scenario, robot, options.record, missing)
    if options.instruction not in (None, match.task):
        print(f'taken for {match.task!r} (similarity {match.similarity:.2f})')
    with Progress() as progress:
        total = len(done) + len(missing)
        bar = progress.add_task('episodes', total=total, completed=len(done))

        def note(result: EpisodeResult) -> None:
            done.append(result)
            done.sort(key=lambda one: one.seed)
            n = sum(one.success for one in done)
            progress.update(bar, advance=1, description=f'{n} of {len(done)} succeeded')
            if options.json:
                write_figures(
                    options.json,
                    summarize_episodes(done),
                    options,
                    measured=measured,
                    instruction=match._asdict(),
                    results=[asdict(one) for one in done],
                )

        evaluate_scenes(
            agent,
            scenario,
            robot,
            missing,
            workers=options.workers,
            record=options.record,
            on_result=note,
        )


def _make_agent(options: Evaluate) -> Agent:
    """Return the policy that the options describe, and how it chooses."""
    from cosmos_policy_ros.evaluation import Agent, Displacement  # loads torch

    return Agent(
        checkpoint=options.checkpoint,
        planning_checkpoint=options.planning_checkpoint,
        query=PlanQuery(
            candidates=options.candidates,
            futures=options.futures,
            values=options.values,
            depth=options.depth,
            temperature=options.temperature,
            paired=options.paired,
            guidance=options.guidance,
            keep=options.keep,
            steps=options.steps or None,
        ),
        selection=options.selection,
        displacement=Displacement(options.spread_rad, options.explore),
        backend=options.backend,
        precision=options.precision,
        threads=options.threads,
        conditioning=options.conditioning,
    )


def _run_suite(options: Evaluate) -> int:
    """Play trials of a benchmark's suite, print its figures beside the paper's and write them."""
    from cosmos_policy_ros.evaluation.benchmark import (
        play_suite,
        read_trials,
        summarize_trials,
        Trial,
        TrialResult,
    )
    from cosmos_policy_ros.sim.simulator import find_simulator, SIMULATORS

    _refuse_for_suite(options)
    open_suite, _ = find_simulator(options.sim)
    assert options.suite is not None
    suite = open_suite(options.suite)
    names = find_suite_tasks(options.suite, options.task, suite.tasks)
    own = _make_agent(options)
    # By the protocol every candidate has its own noise, and nothing is committed to.
    query = replace(own.query, paired=False)
    agent = replace(own, query=query, conditioning='replaced')
    robot = read_suite_robot(options.robot, SIMULATORS[options.sim].robot)
    agent.load(robot)  # a mistake shows here, not in a worker process
    measured = {
        **{'sim': options.sim, 'suite': options.suite, 'seed': options.seed, **agent.describe()},
        **{'backend': options.backend, 'precision': options.precision},
        'query': {**asdict(query), 'keep': list(query.keep)},
    }
    done = read_trials(options.json, measured)
    known = {(result.task, result.seed) for result in done}
    wanted = [Trial(n, i) for n in names for i in range(min(options.episodes, suite.starts))]
    missing = [trial for trial in wanted if (trial.task, trial.seed) not in known]
    with Progress() as progress:
        bar = progress.add_task('trials', total=len(wanted), completed=len(wanted) - len(missing))

        def note(result: TrialResult) -> None:
            done.append(result)
            n = sum(one.success for one in done)
            progress.update(bar, advance=1, description=f'{n} of {len(done)} succeeded')
            if options.json:
                figures = summarize_trials(done, suite.paper)
                rows = [asdict(one) for one in done]
                write_figures(options.json, figures, options, measured=measured, results=rows)

        play_suite(
            agent,
            options.sim,
            options.suite,
            robot,
            missing,
            seed=options.seed,
            workers=options.workers,
            on_result=note,
        )
    figures = summarize_trials(done, suite.paper)
    tasks = figures.pop('tasks')
    rates = {f'  {name}': f'{n["successes"]} of {n["episodes"]}' for name, n in tasks.items()}
    print_figures(figures | rates)
    return 0


def _refuse_for_suite(options: Evaluate) -> None:
    """Refuse what a benchmark's own protocol does not have.

    Raises:
        ConfigError: There is no suite, or an option is given that means nothing there.
    """
    if options.suite is None:
        msg = f'--sim {options.sim} needs --suite'
        raise ConfigError(msg)
    unused = (
        'instruction', 'states', 'without', 'paired', 'selection', 'spread_rad', 'explore',
        'replan_s', 'latency_s', 'seam', 'latency_from', 'conditioning', 'mend', 'seconds',
        'stop_when_done', 'record',
    )  # fmt: skip
    defaults = {f.name: f.default for f in fields(options)}
    given = [f'--{n.replace("_", "-")}' for n in unused if getattr(options, n) != defaults[n]]
    if given:
        msg = f'{", ".join(given)} means nothing to --sim {options.sim}, with its own protocol'
        raise ConfigError(msg)


def _as_in_demo(options: Evaluate, live: LivePace) -> Evaluate:
    """Return the options with those of a demo where they are left at their defaults.

    Raises:
        ConfigError: A pace is given besides that of the demo.
    """
    untouched = {f.name for f in fields(options) if getattr(options, f.name) == f.default}
    if not {'replan_s', 'latency_s'} <= untouched:
        msg = '--latency-from has the pace of a demo; give no --replan-s or --latency-s besides'
        raise ConfigError(msg)
    taken: dict[str, Any] = {
        name: getattr(live, name) for name in ('replan_s', 'candidates', 'steps', 'seam')
    }
    for name in (n for n in DEMO_OPTIONS if n in live.options):  # not all, in an older report
        value = live.options[name]
        is_path = name in ('checkpoint', 'planning_checkpoint', 'robot') and value is not None
        taken[name] = Path(value) if is_path else tuple(value) if name == 'keep' else value
    return replace(options, **{n: value for n, value in taken.items() if n in untouched})
