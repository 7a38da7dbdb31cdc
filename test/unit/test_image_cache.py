# SPDX-License-Identifier: Apache-2.0
"""Images of the cached episodes by their rows."""

from pathlib import Path

from cosmos_policy_ros.training.config import TrainConfig
from cosmos_policy_ros.training.image_cache import load_images
import numpy as np


def test_images_are_found_by_their_rows(tmp_path: Path) -> None:
    """Rows run through the cameras of a file, then through the files."""
    config = TrainConfig(cameras=('a', 'b'), image_size=8)
    files = []
    for number in range(2):
        arrays = {}
        for i, camera in enumerate(config.cameras):
            arrays[f'index/{camera}'] = np.array([0, 1])
            shades = [10 * (4 * number + 2 * i + k) for k in range(2)]
            arrays[f'images/{camera}'] = np.stack(
                [np.full((8, 8, 3), shade, np.uint8) for shade in shades]
            )
        files.append(tmp_path / f'{number}.npz')
        np.savez(files[-1], **arrays)
    found = load_images(files, config, np.array([[0, 3], [6, 4]]))
    assert found[..., 0, 0, 0].tolist() == [[0, 30], [60, 40]]
