# SPDX-License-Identifier: Apache-2.0
"""A query in, N candidates with predicted futures and values out.

The observation is taken in the callback, at the stamp of the query; the networks run in one worker
thread. A query that arrives while the worker is busy waits; a newer one takes its place.

A query is to be answered before its committed rows end. Where the time would not suffice for all
candidates and denoising steps, fewer are computed (``core/query_budget.py``).

It is a managed node: configured it has its networks, active it answers, deactivated it keeps them
and answers nothing, cleaned up it has freed them. Unless told otherwise it configures and
activates itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
import math
from pathlib import Path
import time

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.control.pacing import SPLINE_ROWS
from cosmos_policy_ros.control.worker import NewestWorker
from cosmos_policy_ros.core.config import check_robot
from cosmos_policy_ros.core.latency_model import LatencyModel
from cosmos_policy_ros.core.paraphrase import Match, TaskMatcher
from cosmos_policy_ros.core.protocol import Answer, Policy
from cosmos_policy_ros.core.query import PlanQuery, read_keep
from cosmos_policy_ros.core.query_budget import QueryBudget
from cosmos_policy_ros.metrics import percentiles
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import (
    candidates_message,
    image_message,
    optical_frame,
    query_rows,
)
from cosmos_policy_ros.ros.diagnostics import StatusReport
from cosmos_policy_ros.ros.endpoints import (
    create_publisher,
    create_subscription,
    create_timer,
    has_listeners,
)
from cosmos_policy_ros.ros.observer import Observer
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.played_choice import PlayedChoice
from cosmos_policy_ros.sim.task_words import task_synonyms
from cosmos_policy_ros.status import InferenceStatus, Stage
from cosmos_policy_ros.topics import (
    CANDIDATES,
    future_image,
    INFERENCE_STATUS,
    QUERY,
)
from cosmos_policy_ros.types import Observation
import numpy as np
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from trajectory_msgs.msg import JointTrajectory

AUTO = 'auto'
PERSISTENT = 10  # reduced answers in a row before the operator is warned


@dataclass(frozen=True)
class InferenceParams:
    """Parameters of the inference node."""

    robot: str = param(
        '', 'Robot YAML file, which must fit the checkpoint; the launch file sets it.'
    )
    checkpoint: str = param('', 'Checkpoint folder; the launch file sets it.')
    planning_checkpoint: str = param(
        '', 'Checkpoint folder that scores the candidates; empty lets the policy score its own.'
    )
    backend: str = param(
        'auto', 'What runs the networks; auto takes what cosmos-policy export wrote.'
    )
    device: str = param(
        'cpu',
        'cpu, cuda or cuda:1; the launch file starts one node for each of a list such as '
        'cuda:0,cuda:1.',
    )
    precision: str = param(
        'auto',
        'Arithmetic of the networks: auto (bfloat16 where the processor has it), float32, '
        'bfloat16 or, by TensorRT, float16.',
    )
    conditioning: str = param(
        'auto',
        'How a chunk comes to begin with the committed rows: trained, corrected or replaced; auto '
        'takes the first that the checkpoint is made for.',
    )
    threads: int = param(
        1,
        'CPU threads of the networks; more of them answer faster and disturb the control loop.',
        1,
        256,
    )
    max_rows: int | str = param(
        AUTO,
        'Most rows of one network call, which bounds the memory. auto takes as many as fit into '
        'what is free of a GPU, found with one row, and all on a CPU; 0 takes all.',
        0,
        65536,
    )
    candidates: int | str = param(
        AUTO,
        'Candidates N per query; more give a better choice and slower answers. auto takes '
        f'{PlanQuery.candidates}, fewer where there is no time for them, and 1 of a policy that '
        'has no value to choose by.',
        1,
        256,
    )
    keep: str = param(
        '', 'Candidates that are kept after each denoising step, such as 4 2 1; empty keeps all.'
    )
    futures: int = param(
        0,
        'Predicted futures M per candidate; 0 takes the one that is denoised with the action.',
        0,
        64,
    )
    values: int = param(
        0, 'Predicted values K per future; 0 reads the value of the stage before.', 0, 64
    )
    depth: int = param(
        1,
        'Chunks that are imagined one after the other before a candidate is valued; 2 looks twice '
        'as far ahead and takes twice as long. auto candidates imagine fewer where there is no '
        'time.',
        1,
        8,
    )
    temperature: float = param(
        0.0,
        'How far candidates are spread as different plans: 1 as far as held-out demonstrations '
        'are from what the policy predicts of them; 0 leaves them to the noise.',
        0.0,
        10.0,
    )
    paired: bool = param(
        True,
        'true judges all candidates with the same noise, so that they differ by what they do; '
        'false with noise of their own, as the reference.',
    )
    guidance: float = param(
        1.0,
        'How strongly a checkpoint of train --role improve is asked for what goes better than '
        'expected: 0 not at all, 1 as trained, up to 3 beyond, which takes twice the time.',
        0.0,
        3.0,
    )
    autostart: bool = param(
        True,
        'Whether it configures and activates itself; false waits for ros2 lifecycle set.',
    )
    seed: int = param(
        0,
        "Seed of the noise of candidate 0, added to the checkpoint's base seed; candidate i uses "
        'seed + i. The launch file gives several nodes seeds that are N apart.',
        0,
        2**31,
    )
    max_image_age_s: float = param(
        0.25,
        'Age of an image beyond which a query is refused [s]; the arms play on, then hold.',
        0.01,
        10.0,
    )
    max_joint_age_s: float = param(
        0.1, 'Age of a joint state beyond which a query is refused [s].', 0.01, 10.0
    )


class InferenceNode(LifecycleNode):
    """Observations at the stamps of queries, a policy in a worker thread, candidates out."""

    def __init__(self) -> None:
        """Open the topics that a node has in any state; load and answer if it starts by itself.

        Raises:
            ConfigError: The robot file is wrong; with ``autostart`` also as ``_load``.
        """
        super().__init__('inference')
        self.params = p = declare(self, InferenceParams)
        self.robot = read_robot(Path(p.robot), self.get_namespace())
        self._instruction, self._match = '', Match('', 0.0)
        self._budget: QueryBudget | None = None  # once the networks are loaded
        self._stage: Stage = 'unconfigured'
        self._failure: Exception | None = None  # of the last transition
        self._candidates: Publisher | None = None  # while it is active …
        self._active_ns = 0  # … which it has been since then [ns, ROS clock]
        self._futures: dict[str, Publisher] = {}  # likewise
        self._worker: NewestWorker[Observation] | None = None  # likewise
        self._status = StatusReport(self, INFERENCE_STATUS, self.get_name(), self.robot.name)
        self._used = InferenceStatus()  # of the last answer
        self._reduced_in_a_row, self._n_replaced = 0, 0
        self._observer = Observer(self, self.robot, p.max_image_age_s, p.max_joint_age_s)
        self._latency_ms: deque[float] = deque(maxlen=1000)
        self._answered, self._refused, self._reason = 0, 0, ''
        self._starting = p.autostart
        if p.autostart:
            self._start()
        self._starting = False
        create_subscription(self, QUERY, self._on_query)
        self._choice = PlayedChoice(self, self.robot.joint_names)
        create_timer(self, 1.0, self._report)
        if not p.autostart:
            self.get_logger().info(f'{self._stage}; ros2 lifecycle set {self._path} configure')

    def destroy_node(self) -> None:
        """Stop the worker, then the node."""
        if getattr(self, '_worker', None) is not None:
            self._worker.stop()
        super().destroy_node()

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Load the networks."""
        return self._attempt(self._load, 'inactive')

    def on_activate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Answer from now on."""
        return self._attempt(self._open, 'active')

    def on_deactivate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Answer nothing more, once the answer on its way has left."""
        return self._attempt(self._close, 'inactive')

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Free the networks."""
        return self._attempt(self._unload, 'unconfigured')

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Answer nothing more, for good."""
        return self._attempt(self._unload, 'unconfigured')

    @property
    def _path(self) -> str:
        """Its name with its namespace, as commands take it."""
        return self.get_fully_qualified_name()

    def _start(self) -> None:
        """Configure and activate.

        Raises:
            ConfigError: As ``_load``.
        """
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                assert self._failure is not None
                raise self._failure

    def _attempt(self, work: Callable[[], None], stage: Stage) -> TransitionCallbackReturn:
        """Do what a transition means; rclpy would drop an error without a word."""
        self._failure = None
        try:
            work()
        except Exception as error:
            self._failure = error
            if not self._starting:  # else the node ends, and says it then
                self.get_logger().error(f'stays {self._stage}: {error}')
            return TransitionCallbackReturn.FAILURE
        self._stage = stage
        self._report()
        return TransitionCallbackReturn.SUCCESS

    def _load(self) -> None:
        """Load the checkpoint and warm up.

        Raises:
            ConfigError: The checkpoint or the text encoder is damaged, the checkpoint was trained
                for another robot, or it cannot answer such a query.
        """
        p = self.params
        planning = Path(p.planning_checkpoint) if p.planning_checkpoint else None
        self.policy: Policy = load_policy(
            Path(p.checkpoint),
            backend=p.backend,
            device=p.device,
            threads=p.threads,
            precision=p.precision,
            max_rows=p.max_rows or None,
            planning=planning,
            conditioning=p.conditioning,
        )
        check_robot(self.policy.config, self.robot)
        self._matcher = TaskMatcher(self.policy.tasks, task_synonyms())
        usual = PlanQuery.candidates if self.policy.config.has_value else 1
        query = PlanQuery(
            candidates=usual if p.candidates == AUTO else p.candidates,
            futures=p.futures,
            values=p.values,
            depth=p.depth,
            temperature=p.temperature,
            paired=p.paired,
            guidance=p.guidance,
            keep=read_keep(p.keep),
            seed=self.policy.config.base_seed + p.seed,
        )
        self.policy.check_query(query)
        steps = self.policy.config.action_steps
        self._budget = QueryBudget(query, steps, may_reduce=p.candidates == AUTO)
        black = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in self.robot.cameras}
        obs = Observation(0, black, self.robot.start, self.policy.tasks[0])
        self._budget.measure(partial(self.policy.plan, obs))

    def _open(self) -> None:
        """Open what answers leave on."""
        self._worker = NewestWorker(self._work, 'policy')
        self._futures = {
            camera: create_publisher(self, future_image(camera))
            for camera in self.policy.config.cameras
        }
        self._candidates = create_publisher(self, CANDIDATES)
        self._active_ns = self.get_clock().now().nanoseconds
        p = self.params
        self.get_logger().info(
            f'answering with {self._budget.query.candidates} candidates, {p.futures} futures and '
            f'{p.values} values at depth {p.depth} from {p.checkpoint} on {p.device} with '
            f'{self.policy}: {self._budget.describe()}'
        )

    def _close(self) -> None:
        """Stop the worker and close what answers leave on: nobody waits for this node then."""
        if self._worker is not None:
            self._worker.stop()
            self._n_replaced += self._worker.replaced
        closed = [self._candidates, *self._futures.values()]
        self._worker, self._candidates, self._futures = None, None, {}
        for publisher in closed:
            if publisher is not None:
                self.destroy_publisher(publisher)

    def _unload(self) -> None:
        """Close, and free the networks."""
        self._close()
        if self._stage != 'unconfigured':
            del self.policy

    def _on_query(self, message: JointTrajectory) -> None:
        """Take the observation of a query and hand it to the worker; nothing if not active."""
        if self._worker is None:
            return
        try:
            config, now_ns = self.policy.config, self.get_clock().now().nanoseconds
            joints = self.robot.joint_names
            rows = query_rows(message, joints, config.rate_hz, config.horizon, now_ns)
            obs = self._observer.observation(stamp_of(message))
            obs = replace(obs, task=self._find_task(obs.task), committed=rows)
            self.policy.check(obs)
        except (ValueError, TimeoutError) as error:
            self._refuse(str(error))
            return
        if self._reason:
            self.get_logger().info('answering again')
            self._reason = ''
        self._worker.put(obs)

    def _find_task(self, instruction: str) -> str:
        """Return the task that an instruction means; log it if the words differ.

        Raises:
            ConfigError: The policy knows no such task.
        """
        is_new, self._instruction = instruction != self._instruction, instruction
        self._match = Match('', 0.0)
        self._match = match = self._matcher.find(instruction)
        if is_new and match.task != instruction:
            self.get_logger().info(
                f'{instruction!r} is taken for {match.task!r} (similarity {match.similarity:.2f})'
            )
        return match.task

    def _refuse(self, reason: str) -> None:
        """Count a query that is not answered; log the first reason since the last answer."""
        self._refused += 1
        if not self._reason:
            self.get_logger().warning(f'query refused: {reason}')
        self._reason = reason
        self._report()

    def _work(self, obs: Observation) -> None:
        """Answer a query; Ctrl-C while the networks compute is no error."""
        try:
            self._answer(obs)
        except RuntimeError:
            if self.context.ok():
                raise

    def _answer(self, obs: Observation) -> None:
        """Publish the candidates for one observation, and before them what there was time for."""
        query = self._budget.fit(self._left_s(obs))
        start_s = time.perf_counter()
        answer = self.policy.plan(obs, query)
        rate_hz = self.policy.config.rate_hz
        joints = self.robot.joint_names
        message = candidates_message(answer.candidates, rate_hz, joints, self._active_ns)
        self._note_answer(obs, query, answer, time.perf_counter() - start_s)
        assert self._candidates is not None  # closed only once the worker has stopped
        self._candidates.publish(message)
        if any(has_listeners(p) for p in self._futures.values()):
            self._show(answer)

    def _left_s(self, obs: Observation) -> float | None:
        """Return the time until the chunk could no longer take over unnoticed [s].

        That is until the committed rows end, less those that the spline of the executor needs
        behind the take-over. Without committed rows half of the new chunk should be left to play;
        None then where N is given, since whoever gives it may want to wait.
        """
        if obs.committed is not None and len(obs.committed):
            n_rows = max(len(obs.committed) - SPLINE_ROWS, 1)
        elif self._budget.may_reduce:
            n_rows = self.policy.config.horizon // 2
        else:
            return None
        lasts_s = n_rows / self.policy.config.rate_hz
        return lasts_s - (self.get_clock().now().nanoseconds - obs.stamp_ns) * 1e-9

    def _note_answer(
        self, obs: Observation, query: PlanQuery, answer: Answer, took_s: float
    ) -> None:
        """Learn from an answer, and report it."""
        spent = self._budget.note(query, answer.steps, took_s)
        self._latency_ms.append(took_s * 1e3)
        self._answered += 1
        self._reduced_in_a_row = self._reduced_in_a_row + 1 if spent.is_reduced else 0
        self._used = replace(
            self._used,
            stamp_ns=obs.stamp_ns,
            candidates_used=query.candidates,
            steps_used=spent.steps,
            depth_used=query.depth,
            jitter_s=spent.jitter_s,
            budget_s=math.nan if query.budget_s is None else query.budget_s,
            reduced=self._used.reduced + spent.is_reduced,
            late=self._used.late + (query.budget_s is not None and took_s > query.budget_s),
        )
        self._report()

    def _show(self, answer: Answer) -> None:
        """Publish the predicted images of the candidate that is played, stamped when due.

        The answer has left by now, and one candidate costs a fraction of all.
        """
        candidates = answer.candidates
        which = self._choice.find(candidates)
        if which is None:
            return
        shown = self.policy.images(answer, [which])
        ahead_s = self.policy.config.horizon / self.policy.config.rate_hz
        due_ns = candidates.stamp_ns + round(ahead_s * 1e9)
        for camera, images in shown.items():
            message = image_message(images[0], due_ns, optical_frame(camera, self.get_namespace()))
            self._futures[camera].publish(message)

    def _report(self) -> None:
        """Publish what was used, latency, counts and ages; end when the worker died."""
        if self._worker is not None and not self._worker.alive:
            msg = 'the policy worker stopped; see the exception above'
            raise RuntimeError(msg)
        ages_s = self._observer.ages_s(self.get_clock().now().nanoseconds)
        latency = list(self._latency_ms) or [math.nan]
        query_ms = percentiles(latency)
        model = LatencyModel() if self._budget is None else self._budget.model
        status = replace(
            self._used,
            latency_a_s=model.a_s,
            latency_b_s=model.b_s,
            latency_c_s=model.c_s,
            answered=self._answered,
            refused=self._refused,
            replaced=self._n_replaced + (self._worker.replaced if self._worker else 0),
            stage=self._stage,
            query_ms_last=latency[-1],
            query_ms_p50=query_ms['p50'],
            query_ms_p99=query_ms['p99'],
            task=self._match.task,
            task_similarity=self._match.similarity,
            tasks=() if self._stage == 'unconfigured' else tuple(self.policy.tasks),
            oldest_stream_s=max(ages_s.values()),
        )
        trouble = self._describe_trouble(status)
        self._status.publish('warn' if trouble else 'ok', trouble or 'answering', status)

    def _describe_trouble(self, status: InferenceStatus) -> str:
        """Return why queries are not answered in full, for people; empty when all is well."""
        if self._stage != 'active':
            step = 'configure' if self._stage == 'unconfigured' else 'activate'
            return f'{self._stage}; ros2 lifecycle set {self._path} {step}'
        if self._reason:
            return f'query refused: {self._reason}'
        if self._reduced_in_a_row < PERSISTENT:
            return ''
        wanted = self._budget.query
        deep = f' at depth {wanted.depth}' if wanted.depth > 1 else ''
        used = f' at {status.depth_used}' if deep else ''
        return (
            f'no time for {wanted.candidates} candidates of '
            f'{self.policy.config.action_steps} denoising steps{deep}, {self._reduced_in_a_row} '
            f'times in a row: {status.candidates_used} of {status.steps_used}{used} in '
            f'{status.query_ms_last:.0f} ms, where there were {status.budget_s * 1e3:.0f}'
        )


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(InferenceNode)


if __name__ == '__main__':
    main()
