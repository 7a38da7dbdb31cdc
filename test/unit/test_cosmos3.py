# SPDX-License-Identifier: Apache-2.0
"""A Cosmos 3 policy answers as its server does, drives the stack and says what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
import shutil
import socket
from typing import Any

from cosmos_policy_ros.backends import load_cosmos_policy, load_policy
from cosmos_policy_ros.cli.demo import _check, Demo
from cosmos_policy_ros.cli.evaluate import Evaluate, run
from cosmos_policy_ros.core.config import check_robot, read_config
from cosmos_policy_ros.core.cosmos3.checkpoint import load_cosmos3
from cosmos_policy_ros.core.cosmos3.facts import Cosmos3Facts, View
from cosmos_policy_ros.core.cosmos3.policy import Cosmos3Policy
from cosmos_policy_ros.core.cosmos3.views import compose_views, cut_views
from cosmos_policy_ros.core.facts import read_facts
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.data.bags.files import read_topics
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.experts.table import TASKS
from cosmos_policy_ros.types import ConfigError
from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import _ACTION_VIEWPOINT_TEMPLATES
import numpy as np
import pytest
from tiny_cosmos3 import (
    cosmos3_observation,
    FACTS,
    OTHER_TASK,
    robot_facts,
    save_tiny_cosmos3,
    TASK,
    tiny_transformer,
    write_facts,
)
import torch

ONE = PlanQuery(candidates=1)
FRAMING = _ACTION_VIEWPOINT_TEMPLATES['concat_view']  # a sentence
HOW_TO = Path(__file__).parents[2] / 'docs' / 'how-to' / 'cosmos3.md'


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny policy, which no test changes."""
    folder = tmp_path_factory.mktemp('cosmos3')
    save_tiny_cosmos3(folder)
    return folder


@pytest.fixture
def changed(folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return what makes a copy of the folder with other facts."""

    def change(**changes: Any) -> Path:
        copy = tmp_path / 'changed'
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        write_facts(copy, replace(FACTS, **changes))
        return copy

    return change


def load(folder: Path) -> Cosmos3Policy:
    """Return the policy of a folder in float32."""
    return load_cosmos3(folder, 'cpu', 'float32')


def positions(policy: Cosmos3Policy, query: PlanQuery = ONE, **changes: Any) -> np.ndarray:
    """Return the (H, A) chunk of an answer."""
    return policy.plan(cosmos3_observation(**changes), query).candidates.positions[0]


def note_calls(policy: Cosmos3Policy) -> list[dict[str, Any]]:
    """Return a list that fills with what the network is called with."""
    calls: list[dict[str, Any]] = []
    network = policy._pipeline.transformer
    network.register_forward_pre_hook(lambda _, __, given: calls.append(given), with_kwargs=True)
    return calls


def note_texts(policy: Cosmos3Policy, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that fills with the conversations that the network is given."""
    tokenizer, texts = policy._pipeline.text_tokenizer, []
    plain = tokenizer.apply_chat_template

    def note(conversation: list[dict[str, str]], **given: Any) -> Any:
        texts.append(conversation)
        return plain(conversation, **given)

    monkeypatch.setattr(tokenizer, 'apply_chat_template', note)
    return texts


def test_answer_is_one_chunk_without_a_value(folder: Path) -> None:
    """Rows of all joints at the stamp of the observation; nothing is judged."""
    answer = load(folder).plan(cosmos3_observation(), ONE)
    candidates = answer.candidates
    assert candidates.stamp_ns == 7
    assert candidates.positions.shape == (1, 8, 4)
    assert candidates.positions.std() > 0.01
    assert candidates.values.shape == candidates.future_proprio.shape == (1, 0)
    assert np.isnan(candidates.mean_values).all()


def test_equal_seeds_give_equal_answers(folder: Path) -> None:
    """Also of a policy that is loaded anew, and other seeds others."""
    first, again = load(folder), load(folder)
    np.testing.assert_array_equal(positions(first), positions(again))
    assert np.abs(positions(first, replace(ONE, seed=1)) - positions(first)).max() > 0.01


def test_answer_depends_on_images_joints_and_instruction(folder: Path) -> None:
    """The network is shown all of them."""
    policy, obs = load(folder), cosmos3_observation()
    plain = positions(policy)
    dark = {camera: image // 4 for camera, image in obs.images.items()}
    moved = obs.proprio + np.float32(0.5)
    for changes in ({'images': dark}, {'proprio': moved}, {'task': OTHER_TASK}):
        assert np.abs(positions(policy, **changes) - plain).max() > 1e-4, changes


def test_actions_are_scaled_by_the_two_ends_of_every_joint(changed: Callable[..., Path]) -> None:
    """2 and 0 of a gripper turn it round: what the network opens, the robot closes."""
    plain = positions(load(changed(state_row=False)))
    scaled = changed(state_row=False, joint_low=(0, -1, 3, 2), joint_high=(4, -1, 4, 0))
    waist, still, other, gripper = positions(load(scaled)).T
    np.testing.assert_allclose(waist, 2 * (plain[:, 0] + 1), atol=1e-5)
    np.testing.assert_allclose(still, -1.0)
    np.testing.assert_allclose(other, 3.5 + plain[:, 2] / 2, atol=1e-5)
    np.testing.assert_allclose(gripper, 1 - plain[:, 3], atol=1e-5)


def test_measured_joints_are_a_clean_row_at_the_time_of_the_image(folder: Path) -> None:
    """They stay as they are in every step; the fourth action is due with the fourth image."""
    policy = load(folder)
    calls = note_calls(policy)
    positions(policy)
    for call in calls:
        (tokens,), (noisy,) = call['action_tokens'], call['action_noisy_frame_indexes']
        assert tokens.shape == (9, 16)
        assert tokens[0, :4].tolist() == pytest.approx([0.5, -0.5, 1.0, 0.0], abs=1e-5)
        assert tokens[:, 4:].abs().max() == 0
        assert noisy.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
        assert call['action_domain_ids'][0].tolist() == [17]
    times = calls[0]['position_ids'][0]
    images, actions = (times[calls[0][f'{n}_sequence_indexes']] for n in ('vision', 'action'))
    per_frame = len(images) // 3  # latent frames of 1, 4 and 4 images
    np.testing.assert_allclose(actions[0], images[0])
    np.testing.assert_allclose(actions[4], images[per_frame])


def test_policy_without_a_state_row_is_given_no_joints(changed: Callable[..., Path]) -> None:
    """Its first action is due with the first image to come."""
    policy = load(changed(state_row=False))
    calls = note_calls(policy)
    plain = positions(policy)
    (tokens,) = calls[0]['action_tokens']
    assert tokens.shape == (8, 16)
    times = calls[0]['position_ids'][0]
    images, actions = (times[calls[0][f'{n}_sequence_indexes']] for n in ('vision', 'action'))
    np.testing.assert_allclose(actions[3], images[len(images) // 3])
    np.testing.assert_array_equal(positions(policy, proprio=np.zeros(4, np.float32)), plain)


def test_guidance_ends_where_the_facts_say(changed: Callable[..., Path]) -> None:
    """Noise levels are those of the server: 4 steps of a flow shifted by 5."""
    policy = load(changed(guided_from=960.0))
    calls = note_calls(policy)
    positions(policy)
    times = [float(call['action_timesteps'][0]) for call in calls]
    assert times == [999, 999, 937, 833, 624]


def test_fewer_steps_are_taken_where_there_is_no_time(changed: Callable[..., Path]) -> None:
    """One call a step without guidance."""
    policy = load(changed(guidance=1.0))
    calls = note_calls(policy)
    positions(policy, replace(ONE, steps=1, budget_s=0.0))
    assert len(calls) == 1


def test_text_has_a_key_for_each_fact(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the image too, as in training; without an instruction it is empty."""
    policy = load(folder)
    texts = note_texts(policy, monkeypatch)
    positions(policy)
    (given,), (empty,) = texts
    assert json.loads(given['content']) == {
        'cinematography': {'framing': f'{FRAMING} The views of two cameras are below.'},
        'actions': [{'time': '0:00-0:01', 'description': 'lift the cup.'}],
        'duration': '0s',
        'fps': 12.5,
        'resolution': {'H': 256, 'W': 256},
        'aspect_ratio': '1,1',
    }
    assert (given['role'], empty['role'], empty['content']) == ('user', 'user', '')


def test_text_may_be_sentences(
    changed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an older policy was trained."""
    policy = load(changed(caption='text'))
    texts = note_texts(policy, monkeypatch)
    positions(policy)
    assert texts[0][0]['content'] == (
        f'lift the cup. {FRAMING} The views of two cameras are below. '
        'The video is 0.0 seconds long and is of 12 FPS. This video is of 256x256 resolution.'
    )


def test_every_camera_is_put_in_its_place_and_found_there_again() -> None:
    """Reduced to half where it has to be, as it is where not; black beside."""
    views = (View('top', 0, 0, 4, 2), View('below', 1, 2, 2, 1))
    top = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    below = np.tile(np.array([[10], [20]], np.uint8), (1, 4))[..., None].repeat(3, axis=2)
    whole = compose_views({'top': top, 'below': below}, views, (3, 4))
    assert whole[:2].tolist() == top.tolist()
    assert whole[2, :, 0].tolist() == [0, 15, 15, 0]
    cut = cut_views(whole, views, (1.0, 1.0))
    assert cut['top'].tolist() == top.tolist()
    assert cut['below'][..., 0].tolist() == [[15, 15]]
    assert cut_views(whole[:2], views, (0.5, 0.5))['top'].shape == (1, 2, 3)


def test_images_after_the_chunk_are_shown_for_every_camera(folder: Path) -> None:
    """Cut from the last image of the video that was denoised with the actions."""
    policy = load(folder)
    answer = policy.plan(cosmos3_observation(), ONE)
    images = policy.images(answer, [0])
    shapes = {camera: image.shape for camera, image in images.items()}
    assert shapes == {'high': (1, 48, 64, 3), 'left': (1, 24, 32, 3), 'right': (1, 24, 32, 3)}
    assert all(image.dtype == np.uint8 and image.std() > 0 for image in images.values())
    np.testing.assert_array_equal(policy.images(answer)['left'], images['left'])


def test_committed_rows_stand_at_the_start_of_the_chunk(folder: Path) -> None:
    """The others are as without, since the network was never shown such rows."""
    policy = load(folder)
    committed = np.full((3, 4), 0.25, np.float32)
    rows = positions(policy, committed=committed)
    assert rows[:3].tolist() == committed.tolist()
    np.testing.assert_array_equal(rows[3:], positions(policy)[3:])
    for wrong in (np.zeros((8, 4), np.float32), np.zeros((1, 3), np.float32)):
        with pytest.raises(ValueError, match='fewer than the 8 of a chunk'):
            positions(policy, committed=wrong)


@pytest.mark.parametrize(
    'wanted',
    [
        {'candidates': 4},
        {'futures': 1},
        {'values': 2},
        {'depth': 2},
        {'keep': (1,)},
        {'temperature': 0.5},
        {'guidance': 2.0},
    ],
    ids=str,
)
def test_query_that_takes_a_value_is_refused(folder: Path, wanted: dict[str, Any]) -> None:
    """The message names what was wanted, and that planning is off."""
    (name,) = wanted
    with pytest.raises(ConfigError, match=f'no value, so planning is off.*got {name}'):
        read_facts(folder).check_query(replace(ONE, **wanted))


def test_observation_of_another_robot_is_refused(folder: Path) -> None:
    """Cameras, joints, and instructions that nobody allowed."""
    policy, obs = load(folder), cosmos3_observation()
    for changes, message in (
        ({'images': {'high': obs.images['high']}}, 'needs the cameras'),
        ({'proprio': np.zeros(3, np.float32)}, 'must have 4 numbers, got 3'),
        ({'task': 'fly'}, "does not know the task 'fly'"),
    ):
        with pytest.raises(ValueError, match=message):
            policy.check(replace(obs, **changes))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'joint_low': (0.0,)}, 'joint_low must be 4 numbers'),
        ({'views': (View('a', 0, 0, 8, 8), View('a', 8, 0, 8, 8))}, 'of distinct cameras'),
        ({'views': (View('a', -1, 0, 8, 8),)}, 'boxes within 8192 pixels'),
        ({'horizon': 1}, 'horizon must be from 2 to 1000, got 1'),
        ({'guidance': 0.5}, 'guidance must be from 1 to 20'),
        ({'tasks': ('',)}, 'distinct instructions'),
        ({'guided_from': 1001.0}, 'a timestep from 0 to 1000'),
        ({'open_loop_rows': 9}, 'at most the horizon'),
    ],
)
def test_facts_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    """Before anything is loaded."""
    with pytest.raises(ConfigError, match=message):
        replace(FACTS, **changes)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'domain_id': 20}, 'domain_id must be below 20'),
        ({'horizon': 6}, 'horizon must be a multiple of 4'),
    ],
)
def test_facts_that_do_not_fit_the_networks_are_refused(
    changed: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    """The file and the fact are named."""
    with pytest.raises(ConfigError, match=f'changed: policy.json: {message}'):
        load(changed(**changes))


def test_folder_says_what_is_missing_or_damaged(changed: Callable[..., Path]) -> None:
    """A part, a file of weights, weights of another network, and a network without actions."""
    copy = changed()
    (copy / 'text_tokenizer' / 'tokenizer.json').rename(copy / 'kept.json')
    with pytest.raises(ConfigError, match=r'no file .*tokenizer.json; a Cosmos 3 policy'):
        load(copy)
    (copy / 'kept.json').rename(copy / 'text_tokenizer' / 'tokenizer.json')
    weights = copy / 'transformer' / 'diffusion_pytorch_model.safetensors'
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match='does not hold a Cosmos3OmniTransformer'):
        load(copy)
    tiny_transformer(num_hidden_layers=1).save_pretrained(copy / 'transformer')
    tiny_transformer(num_hidden_layers=2).save_config(copy / 'transformer')
    with pytest.raises(ConfigError, match=r'lack or have in another shape .* of another network'):
        load(copy)
    tiny_transformer(action_gen=False).save_pretrained(copy / 'transformer')
    with pytest.raises(ConfigError, match='has no action layers, so it is no policy'):
        load(copy)


def test_nothing_is_loaded_from_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading and answering open no connection."""

    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    assert positions(load(folder)).shape == (8, 4)


def test_weights_are_read_in_the_precision_that_computes(folder: Path) -> None:
    """But for the layer that diffusers keeps in float32."""
    policy = load_policy(folder, precision='bfloat16')
    assert str(policy) == 'Cosmos 3 in bfloat16 (no value: planning is off)'
    network = policy._pipeline.transformer
    assert network.layers[0].mlp.up_proj.weight.dtype is torch.bfloat16
    assert network.time_embedder.linear_1.weight.dtype is torch.float32
    assert np.isfinite(policy.plan(cosmos3_observation(), ONE).candidates.positions).all()


def test_kind_is_known_before_anything_is_loaded(folder: Path) -> None:
    """What needs a Cosmos Policy says so; what does not takes both."""
    facts = read_facts(folder)
    assert isinstance(facts, Cosmos3Facts)
    assert (facts, facts.committed_rows, facts.has_value) == (FACTS, 0, False)
    for needs in (lambda: read_config(folder / 'policy.json'), lambda: load_cosmos_policy(folder)):
        with pytest.raises(ConfigError, match='kind cosmos3, and this takes a Cosmos Policy'):
            needs()
    for options, message in (
        ({'planning': folder}, 'cannot judge'),
        ({'backend': 'openvino'}, 'runs on diffusers'),
        ({'precision': 'float16'}, 'in bfloat16 or float32'),
        ({'conditioning': 'corrected'}, 'give conditioning replaced or auto'),
    ):
        with pytest.raises(ConfigError, match=message):
            load_policy(folder, **options)


def test_the_file_of_the_documents_is_one_that_is_read(tmp_path: Path) -> None:
    """Three cameras in an image of the size that the server makes of them."""
    block = HOW_TO.read_text(encoding='utf-8').partition('```json\n')[2].partition('```')[0]
    (tmp_path / 'policy.json').write_text(block)
    facts = read_facts(tmp_path)
    assert isinstance(facts, Cosmos3Facts)
    assert (facts.cameras, facts.image_size) == (('wrist', 'left', 'right'), (540, 640))
    assert (facts.action_size, facts.horizon, facts.state_row) == (8, 32, True)


def test_demo_refuses_what_the_nodes_would_refuse(tmp_path: Path) -> None:
    """Before they start: a choice, and a task that the policy may not be given."""
    facts = robot_facts(read_robot(robot_file('aloha_sim')), tasks=(TASKS['transfer_cube'],))
    write_facts(tmp_path, facts)
    _check(Demo(checkpoint=tmp_path))
    with pytest.raises(ConfigError, match=r'planning is off.*got candidates 4'):
        _check(Demo(checkpoint=tmp_path, candidates=4))
    with pytest.raises(ConfigError, match='does not know the task'):
        _check(Demo(checkpoint=tmp_path, task='insert_peg'))


@pytest.mark.slow
def test_it_plays_an_episode_and_nothing_is_said_of_its_value(tmp_path: Path) -> None:
    """A short one in the simulator, by the command; the bag has its chunks."""
    robot = read_robot(robot_file('aloha_sim'))
    folder, file = tmp_path / 'checkpoint', tmp_path / 'evaluation.json'
    facts = robot_facts(robot, horizon=16, action_steps=1, guidance=1.0)
    facts = replace(facts, tasks=(TASKS['transfer_cube'],))
    save_tiny_cosmos3(folder, facts)
    check_robot(read_facts(folder), robot)
    options = Evaluate(
        checkpoint=folder, episodes=1, seconds=1.2, workers=1, json=file, record=tmp_path / 'bags'
    )
    assert run(options) == 0
    figures = json.loads(file.read_text())
    (result,) = figures['results']
    assert (figures['value_auc'], result['middle_value'], result['values']) == (None, None, [])
    assert len(result['query_ms']) >= 2
    (bag,) = (tmp_path / 'bags').iterdir()
    tables = read_topics(bag, ['/policy/candidates'])['/policy/candidates']
    assert 'values' not in {field.name for field in tables[0][1].fields}
    others = replace(options, json=None, record=None)
    with pytest.raises(ConfigError, match='no value that could say that the task is done'):
        run(replace(others, stop_when_done=True))
    with pytest.raises(ConfigError, match=r'planning is off.*candidates 4'):
        run(replace(others, candidates=4))


def test_task_is_listed_in_the_message(folder: Path) -> None:
    """So that a person sees what may be given."""
    with pytest.raises(ConfigError, match=TASK):
        read_facts(folder).check_task('fly')
