# SPDX-License-Identifier: Apache-2.0
"""The latencies of the backends are measured, and so are their errors, starts and memory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
import json
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.backends.first_answer import time_first_answer
from cosmos_policy_ros.bench import latency as bench_latency
from cosmos_policy_ros.bench.latency import compare_all, summarize, time_queries
from cosmos_policy_ros.bench.load import CONDITIONS
from cosmos_policy_ros.bench.stack_latency import measure_stack
from cosmos_policy_ros.bench.variants import BASELINE, load_variants, Variant
from cosmos_policy_ros.cli import bench
from cosmos_policy_ros.core.policy import CosmosPolicy
from cosmos_policy_ros.core.text import save_text_embeddings, TextEmbeddings
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.experts.table import TASKS
from cosmos_policy_ros.types import ConfigError
import pytest
from rich.progress import Progress
from ros_domains import ros_domain
from tiny import save_tiny_checkpoint, TASK, tiny_observation, tiny_policy, tiny_text

SEEN = [tiny_observation()] * 3
OTHER = Variant('torch')
PAUSE_S = 0.01
CHECKPOINT = share_path('models', 'aloha_sim')


class Changed:
    """A backend that takes longer, or answers otherwise, than the one it wraps."""

    def __init__(self, backend: Any, pause_s: float = 0.0, error: float = 0.0) -> None:
        """Wrap a backend."""
        self._backend, self._pause_s, self._error = backend, pause_s, error

    def __getattr__(self, name: str) -> Any:
        """Return what the backend has."""
        return getattr(self._backend, name)

    def denoise(self, *inputs: Any) -> Any:
        """Wait, and add the error to the velocity."""
        time.sleep(self._pause_s)
        return self._backend.denoise(*inputs) + self._error


def pair(**changes: float) -> dict[Variant, CosmosPolicy]:
    """Return the tiny policy as the baseline, and with a changed backend as another variant."""
    policies = {BASELINE: tiny_policy(), OTHER: tiny_policy()}
    policies[OTHER].backend = Changed(policies[OTHER].backend, **changes)
    return policies


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny checkpoint of the simulated robot and one of its tasks."""
    path = tmp_path_factory.mktemp('latency') / 'checkpoint'
    save_tiny_checkpoint(path, read_robot(share_path('config', 'robots', 'aloha_sim.yaml')))
    text = TextEmbeddings({TASKS['transfer_cube']: tiny_text().lookup(TASK)})
    save_text_embeddings(path / 'text_embeddings.safetensors', text)
    return path


@pytest.mark.slow
def test_a_slower_backend_takes_longer() -> None:
    """Ten denoising steps with a pause each, for one candidate and for eight."""
    figures = time_queries(pair(pause_s=PAUSE_S), SEEN, range(3), CONDITIONS['quiet'], 0.01)
    assert figures[BASELINE]['direct']['ratio'] == 1.0
    for kind in ('direct', 'best_of_8'):
        assert figures[OTHER][kind]['ms'] > 1e3 * 10 * PAUSE_S
        assert figures[OTHER][kind]['ms'] > figures[BASELINE][kind]['ms']
        assert figures[OTHER][kind]['ratio'] < 1.0
        assert figures[OTHER][kind]['p99_ms'] >= figures[OTHER][kind]['ms']
        assert figures[OTHER][kind]['samples'] == 3 * bench_latency.LEAST


def test_an_error_is_reported() -> None:
    """Of the actions in rad; without one there is none."""
    with Progress() as progress:
        wrong = compare_all(pair(error=0.1), SEEN, progress)
        right = compare_all(pair(), SEEN, progress)
    assert wrong[OTHER]['max_action_error_rad'] > 0.01
    assert wrong[OTHER]['max_action_error_rad'] >= wrong[OTHER]['mean_action_error_rad'] > 0
    assert wrong[BASELINE]['max_action_error_rad'] == right[OTHER]['max_action_error_rad'] == 0
    assert right[OTHER]['same_choice'] == 1.0


def test_a_round_that_was_disturbed_does_not_decide() -> None:
    """The median of the rounds' medians and ratios; p99 and the maximum tell of it."""
    baseline = [[0.004] * 9, [0.4] * 9, [0.004] * 9]
    figures = summarize([[0.002] * 9, [0.2] * 9, [0.001] * 9], baseline)
    assert figures == {'ms': 2.0, 'p99_ms': 200.0, 'max_ms': 200.0, 'ratio': 2.0, 'samples': 27}


def test_what_cannot_run_is_left_out_with_the_reason(checkpoint: Path) -> None:
    """The baseline runs beside what was asked for."""
    with Progress() as progress:
        policies, left_out = load_variants(checkpoint, ['onnxruntime'], 1, progress)
        with pytest.raises(ConfigError, match=r"no backends \['auto', 'tpu'\]"):
            load_variants(checkpoint, ['auto', 'tpu'], 1, progress)
    assert next(iter(policies)) == BASELINE
    assert 'cosmos-policy export' in left_out['onnxruntime float32']


@pytest.mark.slow
def test_a_process_of_its_own_tells_start_and_memory(checkpoint: Path) -> None:
    """From its start, so that the imports are in it."""
    start_s = time.monotonic()
    figures = time_first_answer(checkpoint, backend='torch', precision='float32', threads=1)
    assert 0.5 < figures['load_s'] < figures['start_s'] < time.monotonic() - start_s
    assert figures['peak_mb'] > 100
    with pytest.raises(RuntimeError, match='no checkpoint folder'):
        time_first_answer(checkpoint / 'none', backend='torch')


@pytest.mark.slow
def test_figures_are_written_and_printed(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By backend; without ROS 2 in the quiet alone."""
    monkeypatch.setattr(bench_latency, 'find_spec', lambda _: None)
    monkeypatch.setattr(bench_latency, 'OBSERVATIONS', 2)
    file = tmp_path / 'latency.json'
    options = bench.Bench('latency', checkpoint=checkpoint, rounds=1, json=file)
    assert bench.run(replace(options, backends=('torch',))) == 0
    figures = json.loads(file.read_text(encoding='utf-8'))
    assert {'diffusers float32', 'torch float32', 'torch bfloat16'} <= set(figures['backends'])
    for row in figures['backends'].values():
        assert row['ms'] == row['quiet']['direct']['ms'] > 0
        assert row['quiet']['best_of_8']['ms'] > 0
        assert row['max_action_error_rad'] < 0.1
        assert row['peak_mb'] > 100
        assert 'loaded' not in row
    assert figures['backends']['torch float32']['max_action_error_rad'] < 1e-3
    assert figures['left_out']['stack'] == figures['left_out']['loaded']
    assert set(figures['load']) == {'before', 'after'}
    assert 'torch bfloat16' in capsys.readouterr().out


@pytest.mark.slow
def test_the_stack_is_measured_under_load() -> None:
    """Recorder, cameras and a busy core run while an episode is played with the wanted backend."""
    pytest.importorskip('rclpy')
    values = {'checkpoint': str(CHECKPOINT), 'backend': 'torch', 'precision': 'float32'}
    with ros_domain(), CONDITIONS['loaded'](), ros_domain():
        figures = measure_stack(1, candidates=1, **values)
    assert 0 < figures['answers'] <= figures['queries']
    assert 0 < figures['p50'] <= figures['p99']


def test_all_writes_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its name, as soon as it is there; a lost message is the exit status."""
    file = tmp_path / 'bench.json'
    parts = {name: partial(part, file) for name, part in (('a', lost_one), ('b', see_first))}
    monkeypatch.setattr(bench, 'PARTS', parts)
    assert bench.run(bench.Bench('all', json=file)) == 1
    assert json.loads(file.read_text(encoding='utf-8')) == {'a': {'lost': 1}, 'b': {'before': 1}}


def lost_one(_file: Path, _options: bench.Bench) -> dict[str, Any]:
    """Return the figures of a part that lost something."""
    return {'lost': 1}


def see_first(file: Path, _options: bench.Bench) -> dict[str, Any]:
    """Return what stands in the file so far."""
    return {'before': len(json.loads(file.read_text(encoding='utf-8')))}
