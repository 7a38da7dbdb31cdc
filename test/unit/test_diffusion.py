# SPDX-License-Identifier: Apache-2.0
"""Noise levels, sampler and training noise against golden values of the reference."""

from __future__ import annotations

from cosmos_policy_ros.core.diffusion import (
    clean_estimate,
    draw_training_sigma,
    member_steps,
    sample,
    sigma_levels,
    start_noise,
    step_coefficients,
    training_input,
)
import pytest
import torch
from torch import Tensor


def toy(x: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
    """Return the scalar toy denoiser of the golden values."""
    return (x + 0.3 * sigma**2) / (1.0 + sigma**2)


@pytest.mark.parametrize(
    ('n_steps', 'golden'),
    [(1, 0.3062021559), (2, 0.4171112970), (5, 0.4196514266), (10, 0.4201750165)],
)
def test_sampler_reaches_the_golden_value(n_steps: int, golden: float) -> None:
    """One scalar row; golden values carry ten digits, hence 1e-9."""
    result = sample(toy, torch.tensor([40.0]), [sigma_levels(n_steps)])
    assert result.item() == pytest.approx(golden, abs=1e-9)


def test_two_steps_of_the_reference_are_our_single_one() -> None:
    """The reference answers n = 2 with a single evaluation at sigma 80, this package with two."""
    result = sample(toy, torch.tensor([40.0]), [sigma_levels(1)])
    assert sigma_levels(1) == [80.0]
    assert sigma_levels(2) == pytest.approx([80.0, 4.0])
    assert result.item() == pytest.approx(0.3062021559, abs=1e-9)


def test_rows_with_different_steps_share_one_batch() -> None:
    """Every row ends where it would have ended alone."""
    levels = [sigma_levels(n) for n in (10, 1, 5, 2)]
    result = sample(toy, torch.full((4,), 40.0), levels)
    golden = [0.4201750165, 0.3062021559, 0.4196514266, 0.4171112970]
    assert result.tolist() == pytest.approx(golden, abs=1e-9)


def test_finished_rows_leave_the_batch() -> None:
    """The number of network calls is that of the longest row, and rows get fewer."""
    seen: list[list[int]] = []

    def spy(x: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        seen.append(rows.tolist())
        return toy(x, sigma, rows)

    sample(spy, torch.full((3,), 40.0), [sigma_levels(n) for n in (1, 3, 2)])
    assert seen == [[0, 1, 2], [1, 2], [1]]


def test_max_rows_splits_calls_and_changes_nothing() -> None:
    """A memory bound costs calls, not results."""
    levels = [sigma_levels(n) for n in (5, 10, 5)]
    x = torch.tensor([40.0, -3.0, 7.0])
    assert torch.equal(sample(toy, x, levels, max_rows=2), sample(toy, x, levels))


def test_rows_that_are_not_chosen_stop() -> None:
    """The others end where they would have ended without them, in calls of fewer rows."""
    x, levels, seen = torch.tensor([40.0, -3.0, 7.0]), [sigma_levels(4)] * 3, []

    def spy(x: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        seen.append(rows.tolist())
        return toy(x, sigma, rows)

    def choose(step: int, estimate: Tensor) -> list[int]:
        assert len(estimate) == len(seen[step])
        return [[0, 2], [2], [2], [2]][step]

    whole, stopped = sample(toy, x, levels), sample(spy, x, levels, choose=choose)
    assert seen == [[0, 1, 2], [0, 2], [2], [2]]
    assert stopped[2] == whole[2]
    assert stopped[1] != whole[1]
    everyone = sample(toy, x, levels, choose=lambda *_: [0, 1, 2])
    assert torch.equal(everyone, whole)


def test_sampler_that_is_stopped_returns_the_newest_estimates() -> None:
    """After two of four steps; a row that had finished before is as it was."""
    x, levels = torch.tensor([40.0, -3.0]), [sigma_levels(4), sigma_levels(1)]
    estimates: list[Tensor] = []

    def spy(x: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        estimates.append(toy(x, sigma, rows))
        return estimates[-1]

    stopped = sample(spy, x, levels, stop=lambda: len(estimates) == 2)
    assert len(estimates) == 2
    assert stopped.tolist() == [estimates[1].item(), estimates[0][1].item()]


def test_sampler_that_is_not_stopped_is_the_same() -> None:
    """Bit by bit."""
    x, levels = torch.tensor([40.0, -3.0]), [sigma_levels(4), sigma_levels(2)]
    assert torch.equal(sample(toy, x, levels, stop=lambda: False), sample(toy, x, levels))


def test_sampler_refuses_rows_without_levels() -> None:
    """Two rows cannot share one list by accident."""
    with pytest.raises(ValueError, match='2 rows'):
        sample(toy, torch.zeros(2), [sigma_levels(1)])


def test_noise_levels_match_the_reference() -> None:
    """Grid of five steps."""
    golden = [80.0, 42.2911, 20.9724, 9.6183, 4.0]
    assert sigma_levels(5) == pytest.approx(golden, abs=5e-5)


@pytest.mark.parametrize(
    ('n_steps', 'i', 'golden'),
    [
        (5, 0, (0.528639, 0.471361, 0.0)),
        (5, 1, (0.495907, 0.813568, -0.309474)),
        (5, 2, (0.458614, 0.880953, -0.339566)),
        (5, 3, (0.415876, 0.960296, -0.376172)),
        (10, 0, (0.758683, 0.241317, 0.0)),
        (10, 1, (0.750125, 0.386170, -0.136294)),
        (10, 8, (0.667930, 0.519460, -0.187390)),
    ],
)
def test_step_coefficients_match_the_reference(
    n_steps: int, i: int, golden: tuple[float, float, float]
) -> None:
    """Affine weights of x, this and the previous estimate; golden values have six digits."""
    assert step_coefficients(sigma_levels(n_steps), i) == pytest.approx(golden, abs=1e-6)


def test_no_steps_are_refused() -> None:
    """Zero network calls denoise nothing."""
    with pytest.raises(ValueError, match='at least 1 step'):
        sigma_levels(0)


def test_start_noise_is_the_reference_noise() -> None:
    """RandomState(195) of the ALOHA latent shape."""
    noise = start_noise(195, (1, 16, 11, 28, 28))
    golden = [0.96968484, -1.8599659, -1.3648067, 0.60063183]
    assert noise.dtype == torch.float32
    assert noise.flatten()[:4].tolist() == pytest.approx(golden, abs=1e-7)


@pytest.mark.parametrize(
    ('n_steps', 'members', 'steps'),
    [(5, 3, [1, 3, 5]), (5, 5, [1, 2, 3, 4, 5]), (5, 1, [5]), (10, 4, [1, 4, 7, 10])],
)
def test_ensemble_members_take_different_steps(
    n_steps: int, members: int, steps: list[int]
) -> None:
    """The reference's linspace from 1; a single member takes all."""
    assert member_steps(n_steps, members) == steps


def test_target_frames_enter_as_the_network_was_trained_on_them() -> None:
    """Noise of level 3 on 8: scaled to the flow, at timestep 3 / 4, in float32."""
    x = torch.full((1, 1, 1, 1, 1), 8.0, dtype=torch.float64)
    seen: list[Tensor] = []

    def velocity(x_t: Tensor, timestep: Tensor) -> Tensor:
        seen.extend([x_t, timestep])
        return torch.full_like(x_t, 2.0)

    result = clean_estimate(velocity, x, torch.tensor([3.0]).double())
    assert seen[0].flatten().tolist() == [2.0]  # 8 / (1 + 3)
    assert seen[1].tolist() == [0.75]  # 3 / (1 + 3)
    assert [v.dtype for v in seen] == [torch.float32] * 2
    assert result.flatten().tolist() == [0.5]  # 2 - 0.75 * 2
    assert result.dtype == torch.float64


def test_estimate_of_the_true_velocity_is_the_clean_latent() -> None:
    """Training input and sampler preconditioning are inverse to each other."""
    torch.manual_seed(0)
    x0, noise = torch.randn(2, 3, 4, 2, 2).double(), torch.randn(2, 3, 4, 2, 2).double()
    sigma, mask = torch.tensor([4.0, 80.0]).double(), torch.tensor([1.0, 0.0, 0.0, 1.0])
    network_input, timestep, target = training_input(x0, noise, sigma, mask.expand(2, -1))
    x = x0 + sigma.view(-1, 1, 1, 1, 1) * noise
    seen: list[Tensor] = []

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        seen.extend([x_t, t])
        return target[:, :, 1:3]

    estimate = clean_estimate(velocity, x[:, :, 1:3], sigma)
    torch.testing.assert_close(estimate, x0[:, :, 1:3])
    torch.testing.assert_close(seen[0], network_input[:, :, 1:3].float())
    torch.testing.assert_close(seen[1], timestep[:, 1].float())


def test_reference_loss_is_the_velocity_error() -> None:
    """(x0 - estimate)² times (1 + sigma)² / sigma² is the squared velocity error."""
    torch.manual_seed(0)
    x0, noise, v = (torch.randn(2, 3, 4, 2, 2).double() for _ in range(3))
    sigma, mask = torch.tensor([0.5, 30.0]).double(), torch.zeros(4)
    _, _, target = training_input(x0, noise, sigma, mask.expand(2, -1))
    s = sigma.view(-1, 1, 1, 1, 1)
    estimate = clean_estimate(lambda x_t, t: v, x0 + s * noise, sigma)
    reference = ((1.0 + s) ** 2 / s**2 * (x0 - estimate) ** 2).mean()
    torch.testing.assert_close(reference, ((v - target) ** 2).mean())


@pytest.mark.parametrize(
    ('frames', 'median', 'below_4', 'above_80'), [(9, 21.2, 0.13, 0.25), (11, 23.5, 0.11, 0.26)]
)
def test_training_noise_follows_the_official_mixture(
    frames: int, median: float, below_4: float, above_80: float
) -> None:
    """Statistics of the exact mixture; 400,000 draws put the errors below the tolerances."""
    generator = torch.Generator().manual_seed(0)
    sigma = draw_training_sigma(400_000, frames, generator)
    assert sigma.median().item() == pytest.approx(median, abs=0.3)
    assert (sigma < 4.0).float().mean().item() == pytest.approx(below_4, abs=0.01)
    assert (sigma > 80.0).float().mean().item() == pytest.approx(above_80, abs=0.01)


def test_bounded_training_noise_stays_in_its_bounds() -> None:
    """The named deviation: only levels that the sampler visits."""
    sigma = draw_training_sigma(5000, 11, torch.Generator().manual_seed(0), low=4.0, high=80.0)
    assert len(sigma) == 5000
    assert sigma.min().item() >= 4.0
    assert sigma.max().item() <= 80.0


def test_another_highest_level_shrinks_the_whole_mixture() -> None:
    """A quarter of the range has a quarter of every level."""
    usual, quarter = (
        draw_training_sigma(1000, 11, torch.Generator().manual_seed(0), low=low, high=high)
        for low, high in ((4.0, 80.0), (1.0, 20.0))
    )
    torch.testing.assert_close(quarter, usual / 4.0)


def test_training_noise_repeats_with_its_generator() -> None:
    """The same seed gives the same levels."""
    first = draw_training_sigma(8, 11, torch.Generator().manual_seed(5))
    assert torch.equal(first, draw_training_sigma(8, 11, torch.Generator().manual_seed(5)))
