# SPDX-License-Identifier: Apache-2.0
"""CosmosPolicy on real tiny networks: batching, seeds, stages, images."""

from __future__ import annotations

from dataclasses import replace

from cosmos_policy_ros.backends.torch_backend import TorchBackend
from cosmos_policy_ros.core.codec import read_value
from cosmos_policy_ros.core.images import frames_to_video, scale_pixels
from cosmos_policy_ros.core.networks import (
    decode_video,
    encode_video,
    is_frame_independent,
    predict_velocity,
)
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.types import ConfigError, Observation
import numpy as np
import pytest
from tiny import (
    CONFIG,
    noting_policy,
    NotingBackend,
    TASK,
    tiny_config,
    tiny_observation,
    tiny_policy,
    tiny_stats,
    tiny_text,
    tiny_transformer,
    tiny_vae,
)
import torch
from torch import Tensor

OBS = tiny_observation()


def test_planning_query_makes_twenty_network_calls() -> None:
    """10 + 5 + 5, where the reference makes 488."""
    policy, backend = noting_policy()
    candidates = policy.plan(OBS, PlanQuery(candidates=8, futures=3, values=5)).candidates
    assert len(backend.calls) == 20
    assert candidates.values.shape == (8, 15)


def test_rows_of_each_call_are_the_members_still_running() -> None:
    """8 candidates; 24 futures with 1, 3, 5 steps; 120 values with 1 … 5 steps."""
    policy, backend = noting_policy()
    policy.plan(OBS, PlanQuery(candidates=8, futures=3, values=5))
    rows = [len(latents) for latents, _, _ in backend.calls]
    assert rows == [8] * 10 + [24, 16, 16, 8, 8] + [120, 96, 72, 48, 24]


def test_max_rows_bounds_every_call() -> None:
    """The result is the same."""
    policy, backend = noting_policy()
    whole = policy.plan(OBS, PlanQuery(4, 2, 2)).candidates
    policy.max_rows = 3
    backend.calls.clear()
    split = policy.plan(OBS, PlanQuery(4, 2, 2)).candidates
    assert max(len(latents) for latents, _, _ in backend.calls) == 3
    np.testing.assert_allclose(split.positions, whole.positions, atol=1e-5)
    np.testing.assert_allclose(split.values, whole.values, atol=1e-5)


@pytest.mark.parametrize(
    ('value_kind', 'target'),
    [('value', [10]), ('value_future_only', [1, 2, 3, 4, 5, 10])],
)
def test_each_stage_asks_for_its_unknown_frames(value_kind: str, target: list[int]) -> None:
    """Those of policy, world model and value, at the noise level of the first step."""
    policy, backend = noting_policy(value_kind)
    policy.plan(OBS, PlanQuery(candidates=1, futures=1, values=1))
    frames = [a.tolist() for _, _, a in backend.calls]
    assert frames[0] == [5, 6, 7, 8, 9, 10]
    assert frames[10] == [6, 7, 8, 9, 10]
    assert frames[15] == target
    assert backend.calls[15][1].tolist() == pytest.approx([80 / 81])


def test_action_value_is_asked_without_futures() -> None:
    """Q(s, a) knows the action and no future, and refuses to be given one."""
    policy, backend = noting_policy('value_q')
    assert policy.plan(OBS, PlanQuery(candidates=2, values=3)).candidates.values.shape == (2, 3)
    assert backend.calls[10][2].tolist() == [6, 7, 8, 9, 10]
    with pytest.raises(ValueError, match='without futures'):
        policy.plan(OBS, PlanQuery(1, futures=1))


def test_a_scorer_of_its_own_predicts_and_values_what_the_policy_proposes() -> None:
    """The base is asked for actions only; the scorer is shown them as they were generated."""
    scorer, scoring = noting_policy('value_future_only')
    proposing = NotingBackend()
    base = CosmosPolicy(proposing, CONFIG, tiny_stats(), tiny_text(), scorer=scorer)
    plain = noting_policy()[0].plan(OBS, PlanQuery(candidates=3)).candidates
    candidates = base.plan(OBS, PlanQuery(candidates=3)).candidates
    np.testing.assert_array_equal(candidates.positions, plain.positions)
    assert (len(proposing.calls), len(scoring.calls)) == (10, 5)
    acted = base.act(OBS, PlanQuery(3)).latents[:, :, 5]
    assert torch.equal(scoring.calls[0][0][:, :, 5], acted)
    assert base.plan(
        OBS, PlanQuery(candidates=3, futures=2, values=2)
    ).candidates.values.shape == (3, 4)


def test_a_search_that_keeps_all_is_the_exact_one() -> None:
    """To the last bit."""
    policy = tiny_policy()
    exact, kept = (
        policy.plan(OBS, PlanQuery(8, keep=keep)).candidates for keep in ((), (8, 8, 8))
    )
    np.testing.assert_array_equal(kept.positions, exact.positions)
    np.testing.assert_array_equal(kept.values, exact.values)
    np.testing.assert_array_equal(kept.future_proprio, exact.future_proprio)


def test_a_pruned_search_keeps_the_best_so_far() -> None:
    """After the first step the best four, after the second the best two of those."""
    policy, backend = noting_policy()
    policy.act(OBS, PlanQuery(8, seed=20))
    first, second = (early_values(backend, step) for step in (0, 1))
    four = sorted(sorted(range(8), key=lambda i: -first[i])[:4])
    two = sorted(sorted(four, key=lambda i: -second[i])[:2])
    assert four != [0, 1, 2, 3]
    assert two != four[:2]
    assert policy.act(OBS, PlanQuery(8, seed=20, keep=(4,))).seeds == tuple(20 + i for i in four)
    assert policy.act(OBS, PlanQuery(8, seed=20, keep=(4, 2))).seeds == tuple(20 + i for i in two)


def early_values(backend: NotingBackend, step: int) -> list[float]:
    """Return what the values of the candidates are estimated to be after a step, from 0."""
    latents, time, target = backend.calls[step]
    text = backend.encode_text(tiny_text().lookup(TASK))
    velocity = backend.denoise(latents, time, text, target)
    backend.calls.pop()
    clean = latents[:, :, target] - time[:, None, None, None, None] * velocity
    return read_value(clean, -1).tolist()


def test_what_a_pruned_search_keeps_it_answers_as_the_exact_one() -> None:
    """Up to rounding; what it dropped is not in the answer."""
    policy = tiny_policy()
    exact = policy.plan(OBS, PlanQuery(8)).candidates
    pruned, shown, _ = policy.plan(OBS, PlanQuery(8, keep=(4, 2)))
    rows = list(shown.seeds)
    assert pruned.positions.shape[0] == pruned.values.shape[0] == len(rows) == 2
    np.testing.assert_allclose(pruned.positions, exact.positions[rows], atol=1e-5)
    np.testing.assert_allclose(pruned.values, exact.values[rows], atol=1e-5)
    np.testing.assert_allclose(pruned.future_proprio, exact.future_proprio[rows], atol=1e-5)


def test_a_pruned_search_asks_for_fewer_rows() -> None:
    """16 instead of 40 in five steps; futures and values are asked of the survivors alone."""
    policy, backend = noting_policy()
    policy.config = tiny_config(action_steps=5)
    answer = policy.plan(OBS, PlanQuery(8, 3, 5, keep=(4, 2, 1)))
    rows = [len(latents) for latents, _, _ in backend.calls]
    assert rows == [8, 4, 2, 1, 1, *[3, 2, 2, 1, 1], *[15, 12, 9, 6, 3]]
    assert answer.candidates.values.shape == (1, 15)
    assert policy.images(answer)['high'].shape[0] == 1


def test_survivors_of_a_pruned_search_keep_their_seeds() -> None:
    """Futures and values of a candidate are drawn with its own noise."""
    policy = tiny_policy()
    pruned, shown, _ = policy.plan(OBS, PlanQuery(8, 2, 2, keep=(3,), seed=5))
    exact = policy.plan(OBS, PlanQuery(8, 2, 2, seed=5)).candidates
    rows = [seed - 5 for seed in shown.seeds]
    np.testing.assert_allclose(pruned.values, exact.values[rows], atol=1e-5)


def test_a_pruned_search_that_cannot_be_is_refused() -> None:
    """A user can mend it, so it is one line."""
    with pytest.raises(ConfigError, match='keep is 4 4; it takes at most 1 numbers'):
        tiny_policy(action_steps=1).plan(OBS, PlanQuery(8, keep=(4, 4)))


def test_a_query_may_take_other_denoising_steps_than_the_checkpoint() -> None:
    """Three instead of ten, and the same answer as a checkpoint of three."""
    policy, backend = noting_policy()
    got = policy.plan(OBS, PlanQuery(2, steps=3)).candidates
    want = tiny_policy(action_steps=3).plan(OBS, PlanQuery(2)).candidates
    assert len(backend.calls) == 3
    np.testing.assert_array_equal(got.positions, want.positions)


def test_images_of_some_candidates_are_those_of_all() -> None:
    """The inference node decodes the best one alone."""
    policy = tiny_policy()
    answer = policy.plan(OBS, PlanQuery(3, futures=2))
    one, every = policy.images(answer, [2]), policy.images(answer)
    assert every['high'].shape == (3, 32, 32, 3)
    difference = one['high'][0].astype(int) - every['high'][2]
    assert np.abs(difference).max() <= 1  # a rounding


def test_known_frames_are_the_generated_ones_unchanged() -> None:
    """Stage 2 is given the raw action frame of stage 1, not its mean tiled again."""
    policy, backend = noting_policy()
    acted = policy.act(OBS, PlanQuery(1))
    policy.predict_future(acted)
    assert torch.equal(backend.calls[10][0][0, :, 5], acted.latents[0, :, 5])


def test_direct_mode_reads_the_value_of_the_joint_sample() -> None:
    """Action, future and value from ten calls."""
    policy, backend = noting_policy()
    candidates = policy.plan(OBS, PlanQuery(candidates=2)).candidates
    assert len(backend.calls) == 10
    assert candidates.values.shape == (2, 1)
    assert candidates.future_proprio.shape == (2, 4)
    assert candidates.future_images == {}
    assert candidates.stamp_ns == OBS.stamp_ns


def test_values_may_be_read_from_the_futures() -> None:
    """Stage 2 denoises the value too."""
    policy, backend = noting_policy()
    assert policy.plan(OBS, PlanQuery(candidates=2, futures=3)).candidates.values.shape == (2, 3)
    assert len(backend.calls) == 15


def test_candidates_differ_and_the_first_is_the_plain_answer() -> None:
    """Candidate i is drawn with seed + i."""
    policy = tiny_policy()
    many = policy.plan(OBS, PlanQuery(candidates=3, seed=195)).candidates
    alone = [
        policy.plan(OBS, PlanQuery(1, seed=s)).candidates.positions[0] for s in (195, 196, 197)
    ]
    np.testing.assert_allclose(many.positions, alone, atol=1e-5)
    assert np.abs(many.positions[0] - many.positions[1]).max() > 1e-2


def test_batched_members_equal_members_one_by_one() -> None:
    """Seeds as in the reference: candidate i, future j, value k use s+i, s+i+j, s+i+k."""
    policy = tiny_policy()
    batched = policy.plan(
        OBS, PlanQuery(candidates=2, futures=3, values=2, seed=5)
    ).candidates.values
    serial = []
    for i in range(2):
        acted = policy.act(OBS, PlanQuery(1, seed=5 + i))
        futures = policy.predict_future(acted, members=3)
        values = policy.predict_value(futures, members=2)
        assert futures.seeds == (5 + i,) * 3
        serial.append(values.flatten().numpy())
    np.testing.assert_allclose(batched, serial, atol=1e-5)


def test_same_seed_same_answer() -> None:
    """Nothing else is random."""
    policy = tiny_policy()
    first, second = (policy.plan(OBS, PlanQuery(2, 1, 1, seed=3)).candidates for _ in range(2))
    assert np.array_equal(first.positions, second.positions)
    assert np.array_equal(first.values, second.values)


def test_proprio_is_shown_normalised() -> None:
    """Range -2 … 2: 0.5, -0.5, 1, 0 become a quarter, and fill frame 1."""
    policy, backend = noting_policy()
    policy.act(OBS, PlanQuery(1))
    frame = backend.calls[0][0][0, :, 1].flatten()
    assert frame.tolist() == pytest.approx([0.25, -0.25, 0.5, 0.0] * 16)


def test_actions_come_in_robot_units() -> None:
    """A frame of ones is the upper end of the range, of a gripper too: the robot's is its own."""
    policy = tiny_policy()
    latents = torch.ones(1, 4, 11, 4, 4)
    actions = policy.read_actions(replace(policy.act(OBS, PlanQuery(1)), latents=latents))
    assert actions.shape == (1, 6, 4)
    assert actions.dtype == np.float32
    assert actions[0, 0].tolist() == [2.0, 2.0, 2.0, 2.0]


def test_libero_layout_runs_too() -> None:
    """Two cameras, wrist before primary."""
    cameras = ('wrist', 'primary')
    policy = tiny_policy(cameras=cameras)
    answer = policy.plan(tiny_observation(cameras), PlanQuery(2, 2, 2))
    assert answer.candidates.values.shape == (2, 4)
    assert tuple(policy.images(answer)) == cameras


def test_a_policy_is_named_after_what_runs_it() -> None:
    """The inference node logs it at start-up."""
    assert str(tiny_policy()) == 'TorchBackend in float32'
    assert tiny_policy().tasks == (TASK,)


def test_missing_camera_is_named() -> None:
    """Both sides in the message."""
    obs = tiny_observation(('left_wrist', 'high'))
    with pytest.raises(ValueError, match=r"'right_wrist'.*got \('left_wrist', 'high'\)"):
        tiny_policy().plan(obs, PlanQuery(1))


def test_wrong_proprio_size_is_refused() -> None:
    """Both sizes in the message."""
    obs = Observation(0, OBS.images, np.zeros(5, np.float32), TASK)
    with pytest.raises(ValueError, match='4 numbers, got 5'):
        tiny_policy().plan(obs, PlanQuery(1))


def test_unknown_task_is_refused() -> None:
    """A task without embedding."""
    obs = Observation(0, OBS.images, OBS.proprio, 'juggle')
    with pytest.raises(ConfigError, match=r"'juggle'.*lift the cube"):
        tiny_policy().plan(obs, PlanQuery(1))


def test_blank_image_is_encoded_once() -> None:
    """A frame-independent autoencoder sees a black image, then three images per query."""
    policy, backend = noting_policy()
    policy.act(OBS, PlanQuery(1))
    policy.act(OBS, PlanQuery(1))
    assert [shape[0] for shape in backend.encoded] == [1, 3, 3]


def test_frame_independent_latents_equal_the_causal_ones() -> None:
    """Images one by one, or the whole video of four copies each."""
    vae = tiny_vae(independent=True)
    slots = torch.rand(1, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        video = encode_video(vae, frames_to_video(slots))
        single = encode_video(vae, slots[0][:, :, None])
        shown = decode_video(vae, video)[0, :, 1::4]
        alone = decode_video(vae, single)
    assert is_frame_independent(vae)
    torch.testing.assert_close(video[0, :, 1:], single[:, :, 0].transpose(0, 1))
    torch.testing.assert_close(shown, alone[:, :, 0].transpose(0, 1))


def test_ordinary_autoencoder_is_not_frame_independent() -> None:
    """What make_frame_independent is needed for."""
    assert not is_frame_independent(tiny_vae(independent=False))


def test_only_the_known_frames_of_a_causal_video_are_encoded() -> None:
    """The first latents of 17 pixel frames equal those of all 41."""
    vae = tiny_vae(independent=False)
    slots = torch.rand(1, 10, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        short = encode_video(vae, frames_to_video(slots[:, :4]))
        long = encode_video(vae, frames_to_video(slots))
    torch.testing.assert_close(short, long[:, :, :5])


def test_both_ways_to_see_agree_in_the_policy() -> None:
    """The same networks, told that frames are independent or not."""
    networks = TorchBackend(tiny_transformer(), tiny_vae(independent=True))
    ways = [
        CosmosPolicy(networks, tiny_config(independent_frames=i), tiny_stats(), tiny_text())
        for i in (True, False)
    ]
    one, other = (p.plan(OBS, PlanQuery(candidates=2, futures=1)) for p in ways)
    np.testing.assert_allclose(one.candidates.positions, other.candidates.positions, atol=1e-4)
    for camera in CONFIG.cameras:
        difference = ways[0].images(one)[camera].astype(int) - ways[1].images(other)[camera]
        assert np.abs(difference).max() <= 1  # rounding to uint8


def test_predicted_images_equal_a_full_decoding() -> None:
    """Reference way: placeholders restored, everything decoded, pixel frame (i - 1) * 4 + 1."""
    policy = tiny_policy(independent_frames=False)
    acted = policy.act(OBS, PlanQuery(2))
    vae = tiny_vae(independent=False)
    black = -torch.ones(1, 3, 32, 32)
    slots = torch.cat([black, acted.images, black, black, acted.images, black])[None]
    with torch.inference_mode():
        clean = encode_video(vae, frames_to_video(slots))
        latents = acted.latents.clone()
        for i in (0, 1, 5, 6):
            latents[:, :, i] = clean[:, :, i]
        video = decode_video(vae, latents)
    for i, camera in enumerate(CONFIG.cameras):
        shown = policy.read_images(acted)[camera]
        wanted = ((video[:, :, (7 + i - 1) * 4 + 1].movedim(1, -1) + 1) * 127.5).round()
        assert shown.shape == (2, 32, 32, 3)
        assert np.abs(shown.astype(int) - wanted.numpy()).max() <= 1


@torch.inference_mode()
def test_current_images_decode_to_what_the_autoencoder_makes_of_them() -> None:
    """Camera order is kept from observation to predicted image."""
    policy = tiny_policy()
    acted = policy.act(OBS, PlanQuery(1))
    latents = acted.latents.clone()
    latents[:, :, 7:10] = latents[:, :, 2:5]
    vae = tiny_vae()
    for camera, shown in policy.read_images(replace(acted, latents=latents)).items():
        i = CONFIG.cameras.index(camera)
        again = decode_video(vae, encode_video(vae, acted.images[i][None, :, None]))
        difference = scale_pixels(shown[0]) - again[0, :, 0]
        assert difference.abs().max().item() < 0.01  # one uint8 step


def test_official_networks_with_their_own_padding_mask_are_served() -> None:
    """in_channels is one less and the padding mask has batch 1; the same function."""
    pytest.importorskip('torchvision')
    torch.manual_seed(0)
    ours = tiny_transformer()
    theirs = tiny_transformer(in_channels=5, concat_padding_mask=True)
    theirs.load_state_dict(ours.state_dict())
    inputs = (
        torch.randn(2, 4, 11, 4, 4),
        torch.rand(2, 11),
        torch.randn(2, 2, 8),
        (torch.rand(2, 11) > 0.5).float(),
    )
    with torch.inference_mode():
        torch.testing.assert_close(
            predict_velocity(theirs, *inputs), predict_velocity(ours, *inputs)
        )


def test_bfloat16_answers_almost_the_same() -> None:
    """Mixed precision rounds to three digits."""
    fast = TorchBackend(tiny_transformer(), tiny_vae(), precision='bfloat16')
    rounded = (
        CosmosPolicy(fast, CONFIG, tiny_stats(), tiny_text()).plan(OBS, PlanQuery(1)).candidates
    )
    exact = tiny_policy().plan(OBS, PlanQuery(1)).candidates
    np.testing.assert_allclose(rounded.positions, exact.positions, atol=0.1)


class TimedBackend(NotingBackend):
    """Every network call takes a second of a clock of its own, whatever it takes."""

    now_s = 0.0

    def denoise(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        target: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Let the clock go on."""
        self.now_s += 1.0
        return super().denoise(latents, time, text, target, frames)


def timed_policy() -> CosmosPolicy:
    """Return a policy of 10 action steps, and 5 each for futures and values."""
    backend = TimedBackend()
    return CosmosPolicy(
        backend, CONFIG, tiny_stats(), tiny_text(), clock=lambda: float(backend.now_s)
    )


def test_a_budget_that_suffices_changes_nothing() -> None:
    """Bit by bit."""
    plain = timed_policy().plan(OBS, PlanQuery(2, 1, 2))
    timed = timed_policy().plan(OBS, PlanQuery(2, 1, 2, budget_s=100.0))
    np.testing.assert_array_equal(plain.candidates.positions, timed.candidates.positions)
    np.testing.assert_array_equal(plain.candidates.values, timed.candidates.values)
    assert (plain.steps, timed.steps) == (10, 10)


def test_no_time_at_all_is_an_answer_of_one_step() -> None:
    """It is that of a query for one step, since both begin at the highest noise level."""
    hurried = timed_policy().plan(OBS, PlanQuery(2, budget_s=0.0))
    single = timed_policy().plan(OBS, PlanQuery(2, steps=1))
    np.testing.assert_array_equal(hurried.candidates.positions, single.candidates.positions)
    assert (hurried.steps, single.steps) == (1, 1)


def test_denoising_ends_before_the_step_that_would_be_late() -> None:
    """3.5 s are three steps of a second each."""
    assert timed_policy().plan(OBS, PlanQuery(2, budget_s=3.5)).steps == 3


def test_action_steps_leave_time_for_the_stages_behind() -> None:
    """Five of a future and, for it, five of a value: of 13.5 s three steps remain."""
    policy = timed_policy()
    answer = policy.plan(OBS, PlanQuery(2, 1, 1, budget_s=13.5))
    assert (answer.steps, policy.backend.now_s) == (3, 13.0)


def test_stages_behind_end_early_too() -> None:
    """Each makes one step at least, and the number of values stays."""
    policy = timed_policy()
    answer = policy.plan(OBS, PlanQuery(2, 1, 3, budget_s=2.0))
    assert (answer.steps, policy.backend.now_s) == (1, 3.0)
    assert answer.candidates.values.shape == (2, 3)
