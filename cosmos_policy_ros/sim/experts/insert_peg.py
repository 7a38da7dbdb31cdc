# SPDX-License-Identifier: Apache-2.0
"""The task insert_peg and its scripted expert: each hand grasps its piece, the peg goes in.

Motions are planned in space, not in the joints: per arm [fingertips 3, pitch, roll, gripper]. The
forearm stays unrolled, so a gripper faces away from its base and cannot be turned freely; its roll
about its own axis turns a grasped piece about the vertical and a little about its length, and the
second does no harm, since the peg fits into the socket at any roll.

Source: scene, start ranges and reward of gym-aloha's ``insertion`` (Apache-2.0).
"""

from __future__ import annotations

from cosmos_policy_ros.sim.experts.base import (
    Array,
    CLOSED,
    Expert,
    LEFT,
    Move,
    Noise,
    OPEN,
    RIGHT,
    Scene,
)
from cosmos_policy_ros.sim.tasks import (
    LEFT_FINGER,
    Pairs,
    Piece,
    RIGHT_FINGER,
    TABLE,
    Task,
    touching,
)
import numpy as np

PEG, WALLS = ('red_peg',), ('socket-1', 'socket-2', 'socket-3', 'socket-4')  # geoms


def reward(contacts: Pairs) -> int:
    """Return 1 both hands touch, 2 both lifted, 3 peg at the socket, 4 the pin inside touched.

    Args:
        contacts: Names of the two geoms of every contact.
    """
    if touching(contacts, PEG, ['pin']):
        return 4
    on_table = touching(contacts, (*PEG, *WALLS), [TABLE])
    if touching(contacts, PEG, WALLS) and not on_table:
        return 3
    if touching(contacts, PEG, [RIGHT_FINGER]) and touching(contacts, WALLS, [LEFT_FINGER]):
        return 1 if on_table else 2
    return 0


TASK = Task(
    scene='bimanual_viperx_insertion.xml',
    instruction='insert the red peg into the blue socket',
    pieces=(
        Piece('peg', PEG, low=(0.1, 0.4, 0.05), high=(0.2, 0.6, 0.05)),
        Piece('socket', WALLS, low=(-0.2, 0.4, 0.05), high=(-0.1, 0.6, 0.05)),
    ),
    reward=reward,
    synonyms={'insert': 'put place plug push slide fit', 'peg': 'pin', 'socket': 'hole'},
    hardness=0.3,
    joined_m=0.115,  # the peg touches the pin at 0.1 and leaves the socket at 0.12
)

MEET_M = np.array([-0.06, 0.5, 0.16])  # where the socket waits for the peg
PIECES = ('socket', 'peg')  # of the left and of the right hand
PITCH = np.deg2rad(80.0)  # flatter, the pads tilt on a piece beside the base's axis and drop it
ABOVE_M = np.array([0.0, 0.0, 0.075])  # fingertips over the piece before they come down
GRASP_M = np.array([[-0.03, 0.0, 0.002], [0.015, 0.0, 0.007]])  # fingertips from the centre
INSIDE_M = 0.1  # between the centres when the peg touches the pin
APART_M = 0.15  # between the centres before the insertion; the peg enters at 0.12
ENTERING_M = 0.13  # between the centres when the peg is no longer pushed aside
PRESS_M = 0.004  # how far the peg is pushed beyond the first touch
WAIT_M = 0.08  # how far a hand stays away while the other one tries again
# Mean speeds [m/s] and [rad/s]. Two pads hold the peg with 2 N each: it slips when turned faster.
SPEED = {'reach': 0.3, 'descend': 0.13, 'carry': 0.17, 'align': 0.1, 'insert': 0.045}
TURN = {'reach': 1.4, 'descend': 1.4, 'carry': 0.4, 'align': 0.3, 'insert': 0.3}
PUSH = {'reach': 1.0, 'descend': 1.0, 'carry': 0.5, 'align': 0.25, 'insert': 0.25}
EMPTY = (0.5, 0.2)  # a closed gripper below this opening holds nothing; socket 0.66, peg 0.36
IN_HAND_M = 0.06  # a held piece's centre is closer to the fingertips
LOW_M = 0.06  # a piece whose centre is lower than this is not lifted
LIFT_S = 0.6  # [s] until a carried piece must have left the table
# Fingertips inside a funnel over the grasp go down from where they are: a hand that always went to
# its tip first would wait there, and a policy that cannot see for how long would wait for good.
FUNNEL_M, FUNNEL_SLOPE = 0.008, 0.3  # radius at the grasp, and how much it grows with the height
FUNNEL_TOP_M = 0.1  # higher up a hand goes to a point above the piece first
BESIDE_M = 0.02  # the fingertips go up again when they come down this far outside the funnel
ALIGNED_M = 0.004  # how exactly the peg points at the socket before it goes in; it has 8 mm
DROP_TICKS = 15  # how long a hand opens that drops its piece
X = np.array([1.0, 0.0, 0.0])
KINDS = (  # share of episodes up to here, what goes wrong; without retry they do not notice it
    (0.58, Noise(pushes=2.0)),
    (0.7, Noise(pushes=1.0, grasp_m=0.025)),
    (0.78, Noise(pushes=1.0, meet_m=0.012)),
    (0.83, Noise(pushes=1.0, drops=True)),
    (0.9, Noise(pushes=1.0, grasp_m=0.04, retry=False)),
    (0.96, Noise(pushes=1.0, meet_m=0.02, retry=False)),
    (1.0, Noise(pushes=1.0, drops=True, retry=False)),
)


class InsertExpert(Expert):
    """Reach, grasp and carry with both arms at once, then insert with the right."""

    task = TASK
    phases = ('reach', 'descend', 'grasp', 'carry', 'align', 'insert', 'rest')

    def __init__(self, sim: Scene, rng: np.random.Generator, noise: Noise) -> None:
        """Take the scene as it stands after a reset.

        Args:
            sim: Scene, already reset.
            rng: Source of the disturbances.
            noise: What goes wrong; ``meet_m`` is how far beside the socket the peg arrives.
        """
        super().__init__(sim, rng, noise)
        self._grasp_error = np.zeros((2, 3))  # one hand errs
        self._grasp_error[rng.integers(2), :2] = rng.normal(0.0, 1.0, 2) * noise.grasp_m
        self._meet_error = np.array([0.0, *rng.normal(0.0, 1.0, 2)]) * noise.meet_m
        self._dropping = int(rng.integers(2))  # the hand that opens
        self._drop_ticks = DROP_TICKS * noise.drops
        self._grips = [self._grip(0), self._grip(1)]
        self._residue = np.zeros((2, 6))  # what a plan in space leaves out of the joints [rad]

    @staticmethod
    def draw_noise(rng: np.random.Generator) -> Noise:
        """Return the disturbances of one recorded episode.

        Most episodes are pushed off their course and recover; some reach beside a piece, miss the
        socket or drop a piece first and try again; some do not notice and fail, which is what the
        value function has to learn.
        """
        kind = rng.random()
        return next(noise for below, noise in KINDS if kind < below)

    @property
    def mistaken(self) -> bool:
        """Whether a hand reaches beside its piece, misses the socket or drops what it holds."""
        late = self.phases.index(self.phase) >= self.phases.index('carry')
        astray = self._grasp_error.any() or (late and self._meet_error.any())
        dropping = self.noise.drops and self._drop_ticks < DROP_TICKS
        return bool(astray or (dropping and (self._drop_ticks or not self.noise.retry)))

    @property
    def push_scale(self) -> float:
        """Share of a push: less once the pieces are held, none while the peg enters."""
        near = self.phase == 'insert' and self._apart < ENTERING_M
        return 0.0 if near else PUSH.get(self.phase, 0.0)

    def pushed_arm(self) -> slice:
        """Return either arm, as likely."""
        return RIGHT if self.rng.random() < 0.5 else LEFT

    def phase_after_push(self) -> str:
        """Return the phase that fits where the push left the arms."""
        if self.phase == 'insert' and self._apart < ENTERING_M:
            return 'insert'
        if self.phase in ('reach', 'descend'):
            return 'descend' if self._funnel_m < 0.0 else 'reach'
        return {'insert': 'align'}.get(self.phase, self.phase)

    @property
    def arrived(self) -> bool:
        """Whether the phase is over: also early, over a piece or when the peg points already."""
        early = self.phase == 'reach' and self._funnel_m < 0.0
        return early or (self.phase == 'align' and self._is_aligned(0.01)) or super().arrived

    def _is_aligned(self, along_m: float = np.inf) -> bool:
        """Whether the peg points at the socket, and is as far from it as it should be."""
        off = self.sim.place('peg') - self.sim.place('socket') - self._meet_error
        return np.abs(off[1:]).max() <= ALIGNED_M and abs(off[0] - APART_M) < along_m

    @property
    def _funnel_m(self) -> float:
        """How far the hand that is farther out is outside its funnel [m]; below 0 inside."""
        outside = [-np.inf]  # nothing counts when both hands hold their pieces already
        for side, arm in enumerate(self.arms):
            if self.command[7 * side + 6] < 0.5 and self._holds(side):
                continue
            away = arm.tip(self.command[7 * side :][:6]) - self._over(side, np.zeros(3))[:3]
            radius = FUNNEL_M + FUNNEL_SLOPE * max(0.0, away[2])
            outside += [np.linalg.norm(away[:2]) - radius, away[2] - FUNNEL_TOP_M]
        return float(max(outside))

    @property
    def tracking(self) -> bool:
        """Whether the goal follows the pieces: until they are grasped, and before the socket."""
        return self.phase in ('reach', 'descend', 'align', 'insert')

    def plan_move(self) -> Move:
        """Return the motion of both hands, as long as the slower one needs."""
        if self.move is None:
            start = self._start()
            self._grips = [self._grip(0), self._grip(1)]
        else:
            start = self.move.start
        goal = np.concatenate([self._goal(side, start[6 * side :][:6]) for side in (0, 1)])
        if self.phase not in SPEED:
            return Move(start, goal, 0.5 if self.phase == 'grasp' else 10.0)
        change = (goal - start).reshape(2, 6)
        way_m = np.linalg.norm(change[:, :3], axis=1).max()
        turn_rad = np.abs(change[:, 3:5]).max()
        length_s = max(0.3, way_m / SPEED[self.phase], turn_rad / TURN[self.phase])
        return Move(start, goal, float(length_s))

    def _goal(self, side: int, start: Array) -> Array:
        """Return [fingertips 3, pitch, roll, gripper] where the phase takes an arm."""
        phase, closed = self.phase, start[5] < 0.5
        if phase == 'grasp':
            return np.array([*start[:5], CLOSED])
        if phase == 'rest' or (phase == 'descend' and closed):  # it holds its piece already
            return start
        waits = phase == 'reach' and closed and self._holds(side)
        if phase in ('reach', 'descend') and not waits:
            return np.array([*self._over(side, ABOVE_M * (phase == 'reach')), OPEN])
        if waits:
            centre = MEET_M + X * (-WAIT_M, APART_M + WAIT_M)[side]
        elif side == 0:
            centre = MEET_M
        elif phase == 'carry':
            centre = MEET_M + X * APART_M + self._meet_error
        else:
            apart = APART_M if phase == 'align' else INSIDE_M - PRESS_M
            centre = self.sim.place('socket') + X * apart + self._meet_error
            # the arm lags a few millimetres behind its command, in every direction differently
            lag = np.clip(centre - self.sim.place('peg'), -0.006, 0.006)
            centre = centre + lag * (1.0 - X)
        return np.array([*self.arms[side].carry(centre, *self._grips[side], PITCH), CLOSED])

    def _over(self, side: int, up: Array) -> Array:
        """Return [fingertips 3, pitch, roll] to close across the piece, or above it."""
        turn = self.sim.turn(PIECES[side])
        along = turn[:, 0] * np.sign(turn[0, 0])
        above = np.array([0.0, 0.0, GRASP_M[side, 2]]) + self._grasp_error[side] + up
        tip = self.sim.place(PIECES[side]) + along * GRASP_M[side, 0] + above
        return self.arms[side].across(tip, PITCH, along)

    def _grip(self, side: int) -> tuple[Array, Array]:
        """Return centre and length of the piece in the gripper, nominal where it holds nothing.

        Measured when a motion starts: a peg that slips turns against the gripper, and a plan that
        followed it in every tick would shake it out.
        """
        arm, piece = self.arms[side], PIECES[side]
        tip, turn = arm.pose(self.sim.proprio[7 * side :][:6].astype(np.float64))
        if self._holds(side):
            return turn.T @ (self.sim.place(piece) - tip), turn.T @ self.sim.turn(piece)[:, 0]
        level = arm.orientation(tip, PITCH, 0.0)
        return -level.T @ GRASP_M[side], level.T @ X

    @property
    def _apart(self) -> float:
        """Distance of the centres [m]."""
        return float(np.linalg.norm(self.sim.place('peg') - self.sim.place('socket')))

    def _holds(self, side: int) -> bool:
        """Whether a closed hand has its piece."""
        proprio = self.sim.proprio[7 * side :][:7].astype(np.float64)
        away = self.sim.place(PIECES[side]) - self.arms[side].tip(proprio[:6])
        return bool(proprio[6] > EMPTY[side] and np.linalg.norm(away) < IN_HAND_M)

    def _start(self) -> Array:
        """Return the present command in space, and keep what that leaves out."""
        points = []
        for side, arm in enumerate(self.arms):
            q, gripper = self.command[7 * side :][:6], self.command[7 * side + 6]
            place = arm.place(q)
            self._residue[side] = q - arm.solve(place[:3], place[3], place[4], q)
            points += [*place, gripper]
        return np.array(points)

    def to_joints(self, point: Array) -> Array:
        """Return the (14,) joint targets of a point of both hands in space."""
        assert self.move is not None
        joints = self.command.copy()
        for side, arm in enumerate(self.arms):
            at, q = point[6 * side :][:6], joints[7 * side :][:6]
            rest = (1.0 - self.move.along) * self._residue[side]
            joints[7 * side :][:6] = arm.solve(at[:3], at[3], at[4], q) + rest
            joints[7 * side + 6] = at[5]
        if self.phase == 'carry' and self._drop_ticks and self.move.along > 0.5:
            self._drop_ticks -= 1
            joints[7 * self._dropping + 6] = OPEN
        return joints

    @property
    def lost(self) -> bool:
        """Whether a piece is not where it should be."""
        if self.phase == 'descend':
            return self._funnel_m > BESIDE_M
        at_s = self.move.at_s if self.move else 0.0
        lifting = self.phase == 'carry' and at_s < LIFT_S
        held = self.phase in ('carry', 'align', 'insert') and not lifting
        return held and any(self.sim.place(piece)[2] < LOW_M for piece in PIECES)

    def start_over(self) -> str:
        """Return the first phase; after a piece was held, the mistakes are over."""
        self._drop_ticks = 0
        if self.phase != 'descend':
            self._grasp_error = np.zeros((2, 3))
        return 'reach'

    def next_phase(self) -> str:
        """Return the phase that follows, or the one in which a mistake is mended."""
        if self.phase == 'grasp':
            held = self._holds(0) and self._holds(1)
            if held or self.noise.retry:
                self._grasp_error = np.zeros((2, 3))
            if not held and self.noise.retry:
                return 'reach'
        if self.phase == 'align' and self.noise.retry and not self._is_aligned():
            return 'align'
        if self.phase == 'insert' and self.noise.retry and self.sim.reward < 4:
            self._meet_error = np.zeros(3)
            return 'align'
        return self.following_phase()
