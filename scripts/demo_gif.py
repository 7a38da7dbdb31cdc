# SPDX-License-Identifier: Apache-2.0
"""A part of a demo's film as an animated GIF, for pages that play no video.

cosmos-policy demo --episodes 1 --seed 100000 --candidates 1 --out runs/film
python scripts/demo_gif.py runs/film/demo.mp4 docs/images/demo.gif
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image
import tyro


@dataclass(frozen=True)
class DemoGif:
    """Write a part of demo.mp4 as a GIF that repeats for ever."""

    film: tyro.conf.Positional[Path]
    """The film that cosmos-policy demo wrote."""
    out: tyro.conf.Positional[Path]
    """GIF file to write."""
    start: float = 0.0
    """Where the part begins [s]."""
    seconds: float = 9.0
    """How long it is [s]."""
    every: int = 1
    """Take every so-manieth image."""
    width: int = 726
    """Width of the images [px]."""
    colors: int = 64
    """Colours of one palette for all images; fewer make a smaller file."""


def read_images(options: DemoGif) -> tuple[list[Image.Image], Fraction]:
    """Return the images of the part, scaled, and how many of them make a second."""
    images = []
    with av.open(str(options.film)) as file:
        stream = file.streams.video[0]
        rate = Fraction(stream.average_rate)
        height = round(options.width * stream.height / stream.width)
        for number, frame in enumerate(file.decode(stream)):
            time_s = number / rate - options.start
            if 0 <= time_s < options.seconds and number % options.every == 0:
                image = frame.to_image().resize((options.width, height), Image.Resampling.LANCZOS)
                images.append(image)
    return images, rate / options.every


def write_gif(path: Path, images: list[Image.Image], rate: Fraction, colors: int) -> None:
    """Write images as a GIF that repeats for ever.

    Args:
        path: File to write.
        images: RGB images of one size.
        rate: Images per second [Hz].
        colors: Colours of the palette that all images share, from 2 to 256.
    """
    # One palette of a sheet of all images: a palette of its own per image would flicker.
    sheet = Image.new('RGB', (images[0].width, sum(i.height for i in images)))
    for row, image in enumerate(images):
        sheet.paste(image, (0, row * image.height))
    palette = sheet.quantize(colors, method=Image.Quantize.MEDIANCUT)
    flat = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    duration_ms = round(1000 / rate)
    path.parent.mkdir(parents=True, exist_ok=True)
    flat[0].save(path, save_all=True, append_images=flat[1:], duration=duration_ms, loop=0)


def main() -> None:
    """Read the film, write the GIF and print its size."""
    options = tyro.cli(DemoGif)
    images, rate = read_images(options)
    if not images:
        msg = f'{options.film} has no images from {options.start} s on'
        raise SystemExit(msg)
    write_gif(options.out, images, rate, options.colors)
    print(f'{options.out}: {len(images)} images, {options.out.stat().st_size / 1e6:.2f} MB')


if __name__ == '__main__':
    main()
