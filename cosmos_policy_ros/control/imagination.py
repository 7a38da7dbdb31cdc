# SPDX-License-Identifier: Apache-2.0
"""How far the world is from what the policy imagined, chunk by chunk.

With every chunk a policy of this kind predicts what the cameras and the joints will show when the
chunk has been played. That is compared with what came. Images are compared coarsely, since a
prediction is blurred and sensors are noisy, and measured against what costs nothing to imagine:
that every camera goes on showing what it showed when the prediction came. A good prediction is
nearer to what comes than that; where it is much farther, camera, arm or scene are not what the
policy takes them for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Thumbnail = NDArray[np.float32]  # (SIDE, SIDE, 3) RGB, 0 to 255
SIDE = 32  # [px] of the images that are compared
IN_A_ROW = 2  # chunks that must be far off before somebody is warned


class Expectation(NamedTuple):
    """What a policy predicted for one instant.

    Attributes:
        due_ns: The instant [ns, ROS clock].
        pose: (P,) float32 joints [rad; gripper 0..1], None where nothing is known of them.
        images: Camera -> predicted image.
        before: Camera -> what it showed when the prediction came.
    """

    due_ns: int
    pose: NDArray[np.float32] | None
    images: Mapping[str, Thumbnail]
    before: Mapping[str, Thumbnail]


class Comparison(NamedTuple):
    """How far what came is from what was expected.

    Attributes:
        due_ns: The instant that was predicted [ns, ROS clock].
        joint_rad: Largest difference over the arm joints [rad]; NaN where it is not known.
        image_errors: Camera -> mean absolute difference to the prediction, 0 to 255.
        still_errors: The same to what the camera showed before.
    """

    due_ns: int
    joint_rad: float
    image_errors: Mapping[str, float]
    still_errors: Mapping[str, float]

    @property
    def excess(self) -> dict[str, float]:
        """Camera -> how much farther off the prediction is than what it showed before, 0 to 255.

        Negative where the prediction is the better one, as it is whenever something moves.
        """
        return {
            camera: error - self.still_errors[camera]
            for camera, error in self.image_errors.items()
            if camera in self.still_errors
        }


class ImaginationWatch:
    """Whether the world keeps on being another than what was imagined.

    Attributes:
        warning: What is far off, and how far, for people; empty when nothing is.
        n_compared: Chunks that were compared.
        n_warnings: How often a warning began.
    """

    def __init__(self, max_excess: float, max_joint_rad: float) -> None:
        """Start without a comparison.

        Args:
            max_excess: ``Comparison.excess`` that is still well, 0 to 255.
            max_joint_rad: ``Comparison.joint_rad`` that is still well [rad].
        """
        self.warning, self.n_compared, self.n_warnings = '', 0, 0
        self._max_excess, self._max_joint_rad = max_excess, max_joint_rad
        self._off: Counter[str] = Counter()  # camera or joints -> chunks in a row

    def note(self, comparison: Comparison) -> None:
        """Take the next comparison."""
        self.n_compared += 1
        far = {
            camera: f'{camera} does not show what was imagined: {excess:.0f} of 255 farther from '
            'it than from what it showed before; is the camera swapped, moved or covered?'
            for camera, excess in comparison.excess.items()
            if excess > self._max_excess
        }
        if comparison.joint_rad > self._max_joint_rad:
            far['joints'] = (
                f'joints are {comparison.joint_rad:.2f} rad from where they were imagined; does '
                'something hold an arm?'
            )
        self._off = Counter({name: self._off[name] + 1 for name in far})
        before = self.warning
        self.warning = '; '.join(far[n] for n, count in self._off.items() if count >= IN_A_ROW)
        self.n_warnings += bool(self.warning and not before)

    def forget(self) -> None:
        """Begin anew, as after a standstill; what was counted stays."""
        self.warning = ''
        self._off.clear()


def shrink(image: NDArray[np.uint8], share: float = 1.0) -> Thumbnail:
    """Return a (height, width, 3) uint8 RGB image of any size as a thumbnail of block means.

    Of large images some pixels are left out: each mean is over nine of them or a few more.

    Args:
        image: The image.
        share: Part of its area that is kept, the middle of it, as policies crop what they see.
    """
    side = np.sqrt(share)
    top, left = (round(n * (1.0 - side) / 2) for n in image.shape[:2])
    step = max(1, min(image.shape[:2]) // (3 * SIDE))
    image = image[top : image.shape[0] - top : step, left : image.shape[1] - left : step]
    for axis in (0, 1):
        if image.shape[axis] < SIDE:  # a block must have a pixel
            image = np.repeat(image, -(-SIDE // image.shape[axis]), axis)
    height, width, _ = image.shape
    rows, columns = np.arange(SIDE) * height // SIDE, np.arange(SIDE) * width // SIDE
    sums = np.add.reduceat(np.add.reduceat(image, rows, 0, np.float32), columns, 1, np.float32)
    n_rows, n_columns = np.diff(rows, append=height), np.diff(columns, append=width)
    return np.asarray(sums / (n_rows[:, None] * n_columns)[..., None], np.float32)


def compare(
    expected: Expectation,
    pose: NDArray[np.float32] | None,
    images: Mapping[str, Thumbnail],
    arm_joints: NDArray[np.bool_],
) -> Comparison:
    """Return how far what came is from what was expected; what is missing is left out.

    Args:
        expected: The expectation.
        pose: (P,) float32 measured joints [rad; gripper 0..1], None where nobody knows them.
        images: Camera -> what it shows.
        arm_joints: (P,) which of the joints are those of arms.
    """
    joint_rad = float('nan')
    if pose is not None and expected.pose is not None:
        joint_rad = float(np.abs(pose - expected.pose)[arm_joints].max())

    def errors(others: Mapping[str, Thumbnail]) -> dict[str, float]:
        return {
            camera: float(np.abs(others[camera] - image).mean())
            for camera, image in images.items()
            if camera in others
        }

    return Comparison(expected.due_ns, joint_rad, errors(expected.images), errors(expected.before))
