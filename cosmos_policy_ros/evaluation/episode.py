# SPDX-License-Identifier: Apache-2.0
"""One episode of an evaluation: the running stack's loop without the processes.

The same observation age, the same latency between asking and answering, the same chunk player and
the same safety.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import as_completed, ProcessPoolExecutor
import multiprocessing
import time
from typing import TYPE_CHECKING, TypeVar

from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.evaluation import rollout_bag
from cosmos_policy_ros.evaluation.summary import EpisodeResult
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.types import ActionChunk, Candidates, Observation, Plan
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cosmos_policy_ros.cli.evaluate import Evaluate
    from cosmos_policy_ros.sim.aloha import AlohaSim

Ask = Callable[[Observation], tuple[Candidates, Plan]]
Result = TypeVar('Result')


def play_scenes(
    prepare: Callable[[], None], play: Callable[[int], Result], seeds: range, workers: int
) -> Iterator[Result]:
    """Play scenes in processes side by side; return what comes, as it comes.

    Args:
        prepare: Loads policy and scene, once per process.
        play: Plays the scene of a seed; both can be pickled.
        seeds: Scenes.
        workers: Processes.
    """
    # spawn: neither an EGL context nor torch's threads survive a fork
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, context, prepare) as pool:
        for job in as_completed([pool.submit(play, seed) for seed in seeds]):
            yield job.result()


def play_episode(
    ask: Ask, sim: AlohaSim, robot: RobotSpec, task: str, options: Evaluate, seed: int
) -> EpisodeResult:
    """Play one episode and return what it came to.

    Args:
        ask: Answers a query with candidates and the choice among them.
        sim: Scene, which is reset.
        robot: Rates and limits.
        task: What the policy is told, one of its tasks.
        options: Start states, pace, latency, record.
        seed: Seed of the scene and of the pace.
    """
    from cosmos_policy_ros.sim.tasks import EPISODE_S

    sim.reset(seed, options.states, options.without)
    path = rollout_bag.bag_path(options.record, seed) if options.record else None
    details = {'task': task, 'seed': str(seed), 'states': options.states}
    if options.without:
        details['without'] = ' '.join(options.without)
    if options.explore:
        details |= {'explore': str(options.explore), 'spread_rad': str(options.spread_rad)}
    if path is not None:
        checkpoints = options.checkpoint, options.planning_checkpoint
        details |= rollout_bag.checkpoint_hashes(*checkpoints)
    playback = Playback(robot)
    playback.enable(sim.proprio, 0.0, 0)
    period_ns = round(1e9 / robot.control_rate_hz)
    image_ticks = round(robot.control_rate_hz / robot.cameras[0].rate_hz)
    replan_ticks = max(1, round(options.replan_s * robot.control_rate_hz))
    latency_ticks = round(options.latency_s * robot.control_rate_hz)
    images: dict[str, NDArray[np.uint8]] = {}
    waiting: list[tuple[int, Candidates, ActionChunk]] = []  # tick of arrival, answer, choice
    values, query_ms, best = [], [], 0
    rng, next_query = np.random.default_rng(seed), 0
    with rollout_bag.rollout(path, sim, robot, details) as played:
        for tick in range(round(EPISODE_S * robot.control_rate_hz)):
            now_ns = tick * period_ns
            # Staggered as in the simulator node, so that images have different ages.
            due = [
                c.name
                for i, c in enumerate(robot.cameras)
                if not tick or (tick - i) % image_ticks == 0
            ]
            fresh = {name: sim.render(name) for name in due}
            images |= fresh
            played.see(fresh, now_ns)
            if tick >= next_query:
                # The pace wanders a little, so that queries do not always meet fresh images.
                next_query = tick + replan_ticks + int(rng.integers(-1, 2))
                start_s = time.perf_counter()
                answer, plan = ask(Observation(now_ns, dict(images), sim.proprio, task))
                query_ms.append((time.perf_counter() - start_s) * 1e3)
                values.append(float(plan.scores[plan.best]))
                waiting.append((tick + latency_ticks, answer, plan.chunk))
            while waiting and waiting[0][0] <= tick:
                _, answer, chunk = waiting.pop(0)
                playback.add(chunk, now_ns)
                played.hear(answer, chunk, now_ns)
            command = playback.tick(sim.proprio, 0.0, now_ns)
            assert command is not None
            played.step(command, now_ns)
            best = max(best, sim.reward)
    return EpisodeResult(
        seed=seed,
        success=sim.success,
        best_reward=best,
        middle_value=values[len(values) // 2],
        values=tuple(round(value, 4) for value in values),
        query_ms=tuple(round(ms, 2) for ms in query_ms),
        seam_jump_rad=round(playback.stats.seam_jump_rad_max, 4),
        interventions=playback.safety.interventions,
    )
