# SPDX-License-Identifier: Apache-2.0
"""Simulators of benchmarks, and the protocol by which a policy is measured in them."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import sys
import types
from typing import Any, ClassVar

from cosmos_policy_ros.cli import main
from cosmos_policy_ros.cli.evaluate import Evaluate, run as evaluate
from cosmos_policy_ros.core.official.presets import preset
from cosmos_policy_ros.core.protocol import Answer
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation import benchmark
from cosmos_policy_ros.evaluation.benchmark import play_trial, summarize_trials, Trial, TrialResult
from cosmos_policy_ros.evaluation.comparison import compare_evaluations, read_evaluation
from cosmos_policy_ros.mujoco_import import mujoco
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim import libero, robocasa
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.experts.pick_and_place import PickAndPlace
from cosmos_policy_ros.sim.robosuite import RobosuiteSim
from cosmos_policy_ros.sim.simulator import (
    find_demonstration,
    find_simulator,
    Simulator,
    SIMULATORS,
    Suite,
)
from cosmos_policy_ros.types import Candidates, ConfigError, Observation
import numpy as np
import pytest
from samples import ROBOT
from tiny import save_tiny_checkpoint, tiny_config

PANDA = read_robot(share_path('config', 'robots', 'libero_panda.yaml'), simulated=True)
IDLE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
CAMERAS = {'wrist': 'eye', 'primary': 'front'}


class Kitchen:
    """An environment with the members of robosuite's: the hand moves by what it is told.

    Attributes:
        actions: What it was told.
        done_after: Steps after which the task is done.
    """

    def __init__(self, done_after: int = 10**6) -> None:
        """Begin with the hand in the middle."""
        self.actions: list[list[float]] = []
        self.done_after, self.closed = done_after, False
        self.sim = self
        self.hand = np.zeros(3)

    def seen(self) -> dict[str, Any]:
        """Return an observation."""
        return {
            'robot0_gripper_qpos': np.array([0.04, -0.04]),
            'robot0_eef_pos': self.hand.copy(),
            'robot0_eef_quat': np.array([1.0, 0.0, 0.0, 0.0]),
            'cup_pos': np.array([0.1, 0.2, 0.3]),
        }

    def reset(self) -> dict[str, Any]:
        """Put the hand into the middle."""
        self.hand = np.zeros(3)
        self.actions.clear()
        return self.seen()

    def step(self, action: list[float]) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        """Move the hand."""
        self.actions.append(action)
        self.hand += 0.05 * np.array(action[:3])
        return self.seen(), 0.0, False, {}

    def check_success(self) -> bool:
        """Whether it was long enough."""
        return len(self.actions) >= self.done_after

    _check_success = check_success

    def render(self, camera_name: str, height: int, width: int) -> np.ndarray:
        """Return an image whose first row is dark and whose last is bright."""
        rows = np.linspace(0, 255, height).astype(np.uint8)[:, None, None]
        return np.repeat(np.repeat(rows, width, axis=1), 3, axis=2)

    def get_ep_meta(self) -> dict[str, str]:
        """Return the instruction."""
        return {'lang': 'pick the cup'}

    def close(self) -> None:
        """Be closed."""
        self.closed = True


class Nudge:
    """Answers every query with rows that count up, two of them beyond the range."""

    tasks = ('pick the cup',)

    def __init__(self, **changes: Any) -> None:
        """Take the facts of LIBERO, some of them changed."""
        self.config = replace(preset('libero'), **changes)
        self.seen: list[Observation] = []
        self.seeds: list[int] = []

    def check(self, obs: Observation) -> None:
        """Take everything."""

    def plan(self, obs: Observation, query: PlanQuery) -> Answer:
        """Answer."""
        self.seen.append(obs)
        self.seeds.append(query.seed)
        rows = np.zeros((1, self.config.horizon, self.config.action_size), np.float32)
        rows[0, :, 0] = 0.01 * np.arange(self.config.horizon)
        rows[0, :, 6] = -0.67
        rows[0, 0, 6], rows[0, 1, 6] = 1.35, -1.2
        value = np.full((1, 1), 0.1 * len(self.seen), np.float32)
        candidates = Candidates(obs.stamp_ns, rows, value, np.zeros((1, 9), np.float32))
        return Answer(candidates, None)

    def images(self, answer: Answer, rows: Any = None) -> dict[str, np.ndarray]:
        """Return nothing."""
        return {}


def kitchen_sim(kitchen: Kitchen) -> RobosuiteSim:
    """Return the simulator of an environment."""
    return RobosuiteSim(
        kitchen, lambda _: kitchen.reset(), lambda: 'pick the cup', CAMERAS, (8, 6)
    )


def suite(most_steps: int, settle: int = 3) -> Suite:
    """Return a suite of one task."""
    return Suite(('cup',), 2, settle, IDLE, most_steps, 0.9)


def test_a_trial_settles_then_plays_the_rows_of_the_policy_and_asks_again() -> None:
    """Ten rows of sixteen, twice and a part; grippers inside the range of the robot file only."""
    kitchen, policy = Kitchen(), Nudge(open_loop_rows=10)
    result = play_trial(
        policy, kitchen_sim(kitchen), PANDA, suite(25), Trial('cup', 1), PlanQuery(1, seed=195)
    )
    assert (result.success, result.steps, result.seed) == (False, 25, 1)
    assert kitchen.actions[:3] == [list(IDLE)] * 3
    played = np.array(kitchen.actions[3:])
    counted = np.array([*range(10), *range(10), *range(5)])
    np.testing.assert_allclose(played[:, 0], 0.01 * counted, atol=1e-6)
    np.testing.assert_allclose(played[:4, 6], [1.0, -1.0, -0.67, -0.67], atol=1e-6)
    assert policy.seeds == [195, 195, 195]
    assert result.values == (0.1, 0.2, 0.3)
    assert result.middle_value == pytest.approx(0.2)
    assert [obs.stamp_ns for obs in policy.seen] == [0, 500_000_000, 1_000_000_000]
    assert {obs.task for obs in policy.seen} == {'pick the cup'}
    assert policy.seen[0].proprio.tolist() == pytest.approx([0.04, -0.04, 0, 0, 0, 1, 0, 0, 0])


def test_a_trial_ends_when_the_task_is_done() -> None:
    """In the middle of the rows."""
    kitchen = Kitchen(done_after=3 + 5)
    sim = kitchen_sim(kitchen)
    result = play_trial(Nudge(), sim, PANDA, suite(25), Trial('cup', 0), PlanQuery(1))
    assert (result.success, result.steps) == (True, 5)


def test_images_are_handed_over_as_they_are_drawn() -> None:
    """The lowest row first; turning them over is a fact of the checkpoint."""
    policy = Nudge()
    sim = kitchen_sim(Kitchen())
    play_trial(policy, sim, PANDA, suite(1), Trial('cup', 0), PlanQuery(1))
    image = policy.seen[0].images['primary']
    assert (image.shape, image[0, 0, 0], image[-1, 0, 0]) == ((8, 6, 3), 0, 255)


def test_objects_have_places() -> None:
    """Of scripts; an unknown one names those that there are."""
    sim = kitchen_sim(Kitchen())
    sim.reset(0)
    assert sim.place('cup').tolist() == [0.1, 0.2, 0.3]
    with pytest.raises(ConfigError, match=r"no object 'pot'; there are \['cup', 'robot0_eef'\]"):
        sim.place('pot')


CUPBOARD = """
<mujoco><worldbody>
  <geom name="floor" type="plane" size="1 1 0.1"/>
  <body name="cup_1_main" pos="0.3 0.1 0.05" quat="0.7071068 0 0 0.7071068"><freejoint/>
    <geom type="box" size="0.04 0.01 0.05"/>
    <geom type="box" pos="0 0 0.4" size="0.2 0.2 0.2" contype="0" conaffinity="0"/>
    <body pos="0 0 0.06"><geom type="box" pos="0.05 0 0" size="0.01 0.01 0.01"/></body>
  </body>
</worldbody></mujoco>
"""


def test_objects_have_boxes() -> None:
    """Of all that collides, turned as it lies; what is only seen does not count."""
    model = mujoco.MjModel.from_xml_string(CUPBOARD)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    kitchen = Kitchen()
    kitchen.sim = types.SimpleNamespace(  # type: ignore[assignment]
        model=types.SimpleNamespace(_model=model), data=types.SimpleNamespace(_data=data)
    )
    bodies = {'cup_1': model.body('cup_1_main').id}
    sim = RobosuiteSim(
        kitchen, lambda _: kitchen.reset(), lambda: '', CAMERAS, (8, 6), bodies=lambda: bodies
    )
    np.testing.assert_allclose(
        sim.box('cup_1'), [[0.29, 0.06, 0.0], [0.31, 0.16, 0.12]], atol=1e-6
    )
    with pytest.raises(ConfigError, match=r"no object 'pot'; there are \['cup_1'\]"):
        sim.box('pot')


class LiberoEnv:
    """LIBERO's environment, as far as it is spoken to; it notes what it is given.

    Attributes:
        given: What every one was made with, was seeded with and was set to.
    """

    given: ClassVar[list[Any]] = []
    obj_of_interest = ('cup_1', 'basket_1')

    def __init__(self, **options: Any) -> None:
        """Note the options."""
        self.given.append(options)
        self.env = types.SimpleNamespace(obj_body_id={'cup_1': 4})

    def seed(self, seed: int) -> None:
        """Note it."""
        self.given.append(('seed', seed))

    def reset(self) -> dict[str, Any]:
        """Note it."""
        self.given.append('reset')
        return Kitchen().seen()

    def get_sim_state(self) -> Any:
        """Return time, seven joints of the arm and two of its fingers, all at 0."""
        return np.zeros(10)

    def set_init_state(self, state: Any) -> dict[str, Any]:
        """Note it."""
        self.given.append(('state', state))
        return Kitchen().seen()


@pytest.fixture
def libero_package(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Put a stand-in in the place of LIBERO, which is large, and return what it is given."""
    task = types.SimpleNamespace(name='put_in_the_cup', language='put in the cup')
    suite = types.SimpleNamespace(
        tasks=[task],
        get_task=lambda number: task,
        get_task_bddl_file_path=lambda number: f'{number}.bddl',
        get_task_init_states=lambda number: ['first', 'second'],
    )
    names = ('libero', 'libero.libero', 'libero.libero.envs', 'libero.libero.envs.env_wrapper')
    modules = {name: types.ModuleType(name) for name in names}
    modules['libero'].__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    modules['libero.libero'].benchmark = types.SimpleNamespace(  # type: ignore[attr-defined]
        get_benchmark=lambda name: lambda: suite
    )
    modules[names[-1]].ControlEnv = LiberoEnv  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(LiberoEnv, 'given', [])
    return LiberoEnv.given


def test_trials_of_libero_have_its_start_states(libero_package: list[Any]) -> None:
    """Environment seed 0, start state i in trial i."""
    sim = libero.open_task('libero_object', 'put_in_the_cup', (8, 6))
    sim.reset(1)
    assert libero_package[0]['bddl_file_name'] == '0.bddl'
    assert libero_package[1:] == [('seed', 0), 'reset', ('state', 'second')]
    with pytest.raises(ConfigError, match='has the start states 0 to 1, not 2'):
        sim.reset(2)
    with pytest.raises(ConfigError, match="libero_object has no task 'a'"):
        libero.open_task('libero_object', 'a', (8, 6))


def test_demonstrations_of_libero_have_starts_of_their_own(libero_package: list[Any]) -> None:
    """Placements and the arm's joints are drawn from the seed, and nothing else is changed."""
    open_demonstration = find_demonstration('libero')
    sim, make = open_demonstration('libero_object', 'put_in_the_cup', (8, 6))
    for seed in (1003, 1004, 1003):
        sim.reset(seed)
    assert libero_package[1:3] == [('seed', 1003), 'reset']
    first, other, again = (given[1] for given in libero_package[3::3])
    assert first.tolist() == again.tolist()
    assert first[[0, 8, 9]].tolist() == [0.0, 0.0, 0.0]
    arms = np.concatenate([first[1:8], other[1:8]])
    assert len({*arms}) == 14
    assert 0.01 < arms.std() < 0.03
    script = make(np.random.default_rng(0), 0.1)
    assert isinstance(script, PickAndPlace)
    assert (script.thing, script.goal, script.row_s) == ('cup_1', 'basket_1', 0.1)
    assert sim.task == 'put in the cup'


def test_the_simulated_aloha_is_such_a_simulator_too() -> None:
    """Rows of 12.5 Hz are held for four of its steps, 50 Hz."""
    sim: Simulator = AlohaSim('transfer_cube', (24, 32))
    policy = Nudge(**{
        name: getattr(tiny_config(), name) for name in ('cameras', 'latent_channels')
    })  # fmt: skip
    policy.config = replace(
        policy.config, joint_names=ROBOT.joint_names, action_size=14, proprio_size=14, rate_hz=12.5
    )
    policy.plan = lambda obs, query: Answer(  # type: ignore[method-assign]
        Candidates(
            obs.stamp_ns,
            np.repeat(obs.proprio[None, None], 16, axis=1),
            np.zeros((1, 1), np.float32),
            obs.proprio[None],
        ),
        None,
    )
    idle = tuple(ROBOT.start.tolist())
    try:
        rules = Suite(('transfer_cube',), 1, 2, idle, 8)
        result = play_trial(policy, sim, ROBOT, rules, Trial('transfer_cube', 3), PlanQuery(1))
        assert (result.steps, len(result.values)) == (8, 1)
        assert sim.data.time == pytest.approx((2 + 8) * 0.02)  # type: ignore[attr-defined]
    finally:
        sim.close()


def test_robocasa_is_spoken_to_as_its_environments_want(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven numbers and a base that stands still; by a stand-in for what is on no index."""
    kitchen, given = Kitchen(), {}
    package, tools = types.ModuleType('robocasa'), types.ModuleType('robocasa.utils.env_utils')
    package.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    tools.create_env = lambda **options: given.update(options) or kitchen  # type: ignore[attr-defined]
    for name, module in (('robocasa', package), ('robocasa.utils.env_utils', tools)):
        monkeypatch.setitem(sys.modules, name, module)
    rules = robocasa.open_suite('PnPCounterToSink')
    sim = robocasa.open_task('PnPCounterToSink', 'PnPCounterToSink', (8, 6))
    assert given['env_name'] == 'PnPCounterToSink'
    assert given['camera_names'] == [
        'robot0_eye_in_hand', 'robot0_agentview_left', 'robot0_agentview_right',
    ]  # fmt: skip
    sim.reset(7)
    assert kitchen.seed == 7  # type: ignore[attr-defined]
    sim.step(np.array(rules.idle, np.float32))
    assert kitchen.actions == [[*IDLE, 0.0, 0.0, 0.0, 0.0, -1.0]]
    assert sim.task == 'pick the cup'
    sim.close()
    assert kitchen.closed


def test_what_is_not_installed_or_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each."""
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'cosmos_policy_ros\[libero\]'"):
        libero.open_suite('libero_10')
    with pytest.raises(ConfigError, match="LIBERO has no suite 'libero_11'; choose one of"):
        libero.open_suite('libero_11')
    with pytest.raises(ConfigError, match='RoboCasa is not installed'):
        robocasa.open_task('x', 'x', (8, 8))
    with pytest.raises(ConfigError, match="no simulator 'gazebo'; choose one of"):
        find_simulator('gazebo')
    assert set(SIMULATORS) == {'libero', 'robocasa'}


def result(task: str, seed: int, success: bool) -> TrialResult:
    """Return the result of a trial."""
    return TrialResult(task, seed, success, 20, 0.5, (0.5,), (3.0,))


def test_figures_of_a_suite_stand_beside_those_of_the_paper() -> None:
    """Every task with its interval."""
    rows = [result('a', 0, True), result('a', 1, True), result('b', 0, False)]
    figures = summarize_trials(rows, 0.976)
    assert (figures['episodes'], figures['successes'], figures['paper']) == (3, 2, 0.976)
    assert figures['tasks']['a'] == {
        'episodes': 2, 'successes': 2, 'interval_95': [pytest.approx(0.342, abs=1e-3), 1.0],
    }  # fmt: skip
    assert figures['tasks']['b']['successes'] == 0


def test_command_plays_a_suite_goes_on_and_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the file has already is not played again; another checkpoint needs another file."""
    checkpoint, file = tmp_path / 'tiny', tmp_path / 'suite.json'
    facts = {'cameras': ('wrist', 'primary'), 'rate_hz': 20.0, 'proprio_size': 7}
    save_tiny_checkpoint(checkpoint, PANDA, **facts)
    monkeypatch.setattr(type(PANDA), 'proprio_size', property(lambda robot: 7))
    played: list[Trial] = []

    def play(agent: Any, sim: str, name: str, robot: Any, trials: Any, **options: Any) -> None:
        for trial in trials:
            played.append(trial)
            options['on_result'](result(trial.task, trial.seed, trial.seed == 0))

    monkeypatch.setattr(benchmark, 'play_suite', play)
    monkeypatch.setattr(libero, 'open_suite', lambda name: Suite(('a', 'b'), 50, 3, IDLE, 20, 0.9))

    def run(*words: str) -> None:
        fixed = ('evaluate', '--sim', 'libero', '--suite', 'libero_10', '--json', str(file))
        given = ('--checkpoint', str(checkpoint), *words)
        monkeypatch.setattr('sys.argv', ['cosmos-policy', *fixed, *given])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code in (0, None)

    run('--episodes', '2', '--task', '1')
    assert played == [Trial('b', 0), Trial('b', 1)]
    run('--episodes', '2')
    assert played[2:] == [Trial('a', 0), Trial('a', 1)]
    figures = json.loads(file.read_text())
    assert (figures['episodes'], figures['successes'], figures['paper']) == (4, 2, 0.9)
    assert compare_evaluations(['x'], [read_evaluation(file)]).count('50.0 %') == 1
    for other in (('--seed', '196'), ('--candidates', '4', '--depth', '2')):
        with pytest.raises(AssertionError):
            run('--episodes', '2', *other)
        assert 'has results of something else' in capsys.readouterr().err


@pytest.mark.parametrize(
    'option',
    [{'selection': 'argmax'}, {'paired': False}, {'mend': True}, {'seconds': 5.0}],
    ids=lambda option: next(iter(option)),
)
def test_what_the_protocol_does_not_have_is_refused(option: dict[str, Any]) -> None:
    """Instead of being left out without a word."""
    (name,) = option
    with pytest.raises(ConfigError, match=f'^--{name} means nothing to --sim libero'):
        evaluate(Evaluate(sim='libero', suite='libero_10', **option))
