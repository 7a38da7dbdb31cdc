# SPDX-License-Identifier: Apache-2.0
"""Whether a stream can become part of an episode: what its messages say, and by which clock.

The reader of bags, the recorder and the observer of the running robot judge by this file and by
``align.py``, so that the recorder refuses to begin what nobody could read later.

A camera on a machine with another clock, a driver that fills in no stamps or one whose counter
wraps put images beside joints of another time, and nothing in the messages says so. The time of
arrival does: a message arrives within a fraction of a second after it was stamped.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Any

from cosmos_policy_ros.align import camera_image
from cosmos_policy_ros.image_decoder import ImageDecoder, UNNAMED, video_codec
from cosmos_policy_ros.robot import CameraSpec, RobotSpec
import numpy as np
from numpy.typing import NDArray

MAX_IMAGE_AGE_S = 0.25  # of an image at a tick of an episode
MAX_JOINT_AGE_S = 0.1  # of a joint state and a command
AHEAD_S = 0.05  # a stamp after its arrival, beyond what synchronised clocks differ by
STEP_S = 0.1  # back in time, beyond messages that overtake each other
LEAP_S = 1.0  # ahead of what the arrivals say, beyond what a disk or a network holds back
UNSTAMPED = 'has no stamps, its headers are 0'
FROZEN_S = 0.5  # the same image for longer is told: no sensor is without noise


class StampJudge:
    """The stamps of one stream against the arrivals of its messages.

    Attributes:
        span_s: From the first message to the newest [s].
    """

    def __init__(self, name: str, max_late_s: float, kept: int | None = None) -> None:
        """Start without a message.

        Args:
            name: What messages call the stream, best its topic.
            max_late_s: Most that a message may arrive after its stamp, by the median [s].
            kept: Newest messages that are judged by; None takes all.
        """
        self.span_s, self._first_ns = 0.0, 0
        self._name, self._kept, self._max_late_ns = name, kept, max_late_s * 1e9
        self._late_ns: deque[int] = deque()  # of the messages that are judged by
        self._n_late = self._n_ahead = 0  # of them, those that are beyond a limit
        self._stamped = False  # whether any stamp is not 0, or 0 was the time
        self._last: tuple[int, int] | None = None

    def push(self, arrival_ns: int, stamp_ns: int) -> str:
        """Take the next message and return how its stamp steps, empty when it follows the last.

        Args:
            arrival_ns: When it arrived [ns, ROS clock].
            stamp_ns: Its stamp [ns].
        """
        step = ''
        if self._last is not None:
            step_s = (stamp_ns - self._last[1]) * 1e-9
            leap_s = step_s - (arrival_ns - self._last[0]) * 1e-9
            if step_s < -STEP_S or leap_s > LEAP_S:
                way = 'back' if step_s < 0 else 'ahead'
                step = f'its stamps step {way} by {abs(step_s):.3f} s'
        self._first_ns = self._first_ns or arrival_ns
        self.span_s = (arrival_ns - self._first_ns) * 1e-9
        self._last = arrival_ns, stamp_ns
        self._stamped = self._stamped or stamp_ns != 0 or arrival_ns == 0
        self._count(arrival_ns - stamp_ns, 1)
        self._late_ns.append(arrival_ns - stamp_ns)
        if self._kept is not None and len(self._late_ns) > self._kept:
            self._count(self._late_ns.popleft(), -1)
        return step

    def fault(self) -> str:
        """Return why stamps and arrivals do not fit, empty when they do."""
        if not self._late_ns:
            return ''
        if not self._stamped:
            return f'{self._name} {UNSTAMPED}'
        if max(self._n_late, self._n_ahead) * 2 <= len(self._late_ns):
            return ''
        late_s = median(self._late_ns) * 1e-9
        if late_s > 0:
            side, limit_s, why = 'before', self._max_late_ns * 1e-9, ', or late on a busy machine'
        else:
            side, limit_s, why = 'after', AHEAD_S, ''
        return (
            f'{self._name} is stamped {abs(late_s):.3f} s {side} its arrival by the median, limit '
            f'{limit_s:.3f} s: another clock{why}'
        )

    def _count(self, late_ns: int, by: int) -> None:
        self._n_late += by * (late_ns > self._max_late_ns)
        self._n_ahead += by * (late_ns < -AHEAD_S * 1e9)


class ImageLook:
    """A first look at the images of one camera: whether they can be decoded, and change.

    Attributes:
        n: Images so far.
        frozen: When the same image was shown too long: from and to [ns].
        video: Whether the last image was of video, which has no noise where nothing moves.
        lost: When packets of video came that show nothing since one before them was lost [ns].
        unnamed: Encoding of images that names no order of colours, empty where it names one.
    """

    def __init__(self, camera: CameraSpec) -> None:
        """Start before the first image."""
        self.n = 0
        self.frozen: list[tuple[int, int]] = []
        self.video = False
        self.lost: list[int] = []
        self.unnamed = ''
        self._camera, self._decoder = camera, ImageDecoder()
        self._last: Any = None
        self._since_ns = 0

    def see(self, message: Any, arrival_ns: int) -> NDArray[np.uint8] | None:
        """Return the image of the next message, None as of ``ImageDecoder.decode``.

        Args:
            message: A message of ``image_decoder.IMAGE_TYPES``.
            arrival_ns: When it arrived [ns, ROS clock].

        Raises:
            ValueError: As ``camera_image``.
        """
        self.n += 1
        if (encoding := getattr(message, 'encoding', '')) in UNNAMED:
            self.unnamed = encoding
        image = camera_image(self._camera, message, self._decoder)
        if image is not None:  # two packets of video differ, whatever they show
            self.video = video_codec(message) is not None
            self.compare(image if self.video else message.data, arrival_ns)
        elif self._last is not None:
            self.lost.append(arrival_ns)
        return image

    def compare(self, data: Any, arrival_ns: int) -> None:
        """Note whether the data of the next message are those of the last."""
        if self._last is None or not np.array_equal(self._last, data):
            self._last, self._since_ns = data, arrival_ns
        elif self._camera.noise and arrival_ns - self._since_ns > FROZEN_S * 1e9:
            if self.frozen and self.frozen[-1][0] == self._since_ns:
                del self.frozen[-1]
            self.frozen.append((self._since_ns, arrival_ns))


def describe_unnamed(camera: CameraSpec, encoding: str) -> str:
    """Return what is taken for the order of the colours of an encoding that names none."""
    order = {'bgr': 'blue, green, red', 'rgb': 'red, green, blue'}[camera.colours]
    other = 'rgb' if camera.colours == 'bgr' else 'bgr'
    return (
        f'{camera.topic} sends {encoding}, which names no order of colours; taken as {order}. '
        f'Where red looks blue, give the camera colours: {other} in the robot file'
    )


def joint_targets(robot: RobotSpec, message: Any, topic: str) -> NDArray[np.float32]:
    """Return the (A,) float32 commands of a message for all joints [rad; gripper 0..1].

    Args:
        robot: Names of the joints.
        message: sensor_msgs/JointState, its joints in any order.
        topic: Its topic, for messages.

    Raises:
        ValueError: The joints are others, or a number is missing or not finite.
    """
    names = list(message.name)
    if sorted(names) != sorted(robot.joint_names) or len(names) != len(message.position):
        msg = f'{topic} is for {names}, the robot has {robot.joint_names}'
        raise ValueError(msg)
    by_name = dict(zip(names, message.position, strict=True))
    positions = np.array([by_name[name] for name in robot.joint_names], np.float32)
    if not np.isfinite(positions).all():
        msg = f'{topic} has a NaN or infinite position'
        raise ValueError(msg)
    return positions
