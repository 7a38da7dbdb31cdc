# SPDX-License-Identifier: Apache-2.0
"""What the four released checkpoints were trained for: facts that their files do not hold.

Source: NVlabs/cosmos-policy ``cosmos_policy_experiment_configs``, ``constants``,
``cosmos_utils.get_latent_indices_from_model_config`` and the commands of its ALOHA, LIBERO and
RoboCasa guides.
Differs: joints and the rates of the two simulators are not written down there. ALOHA has the
joints and cameras of ``config/robots/aloha.yaml`` (without its ``cam_low``); the simulators move
an end effector at robosuite's 20 Hz, so their seven numbers are named after its directions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args, Literal

from cosmos_policy_ros.core.config import PolicyConfig

Preset = Literal['libero', 'robocasa', 'aloha', 'aloha-planning']
PRESETS: tuple[Preset, ...] = get_args(Preset)

_ALOHA_ARM = (
    'waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate', 'gripper',
)  # fmt: skip

_LIBERO = PolicyConfig(
    cameras=('wrist', 'primary'),
    joint_names=tuple(f'panda/{j}' for j in ('x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper')),
    rate_hz=20.0,
    horizon=16,
    action_size=7,
    proprio_size=9,  # two fingers, position, quaternion of the end effector
    image_size=224,
    centre_crop=True,
    latent_channels=16,
    latent_size=(28, 28),
    independent_frames=False,
    sigma_max=80.0,
    sigma_min=4.0,
    rho=7.0,
    action_steps=5,
    future_steps=1,
    value_steps=1,
    value_kind='value',
    return_discount=0.99,
    two_steps_are_one=True,
    single_member_steps=1,
    base_seed=195,
    open_loop_rows=16,
    flip_images=True,
    jpeg_quality=95,
    text_encoder='t5-11b',
)
_ROBOCASA = replace(_LIBERO, cameras=('wrist', 'primary', 'secondary'), horizon=32)
_ALOHA = replace(
    _LIBERO,
    cameras=('cam_left_wrist', 'cam_right_wrist', 'cam_high'),
    joint_names=tuple(f'follower_{side}/{j}' for side in ('left', 'right') for j in _ALOHA_ARM),
    rate_hz=25.0,
    horizon=50,
    action_size=14,
    proprio_size=14,
    action_steps=10,
    return_discount=0.998,
    open_loop_rows=50,
    flip_images=False,
    jpeg_quality=0,
    resize_first=256,
)


def preset(name: Preset) -> PolicyConfig:
    """Return the configuration of a released checkpoint."""
    configs: dict[Preset, PolicyConfig] = {
        'libero': _LIBERO,
        'robocasa': _ROBOCASA,
        'aloha': _ALOHA,
        'aloha-planning': replace(
            _ALOHA, future_steps=5, value_steps=5, value_kind='value_future_only'
        ),
    }
    return configs[name]
