"""Digits for people: in the terminal with half blocks, and as a contact sheet with predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.text import Text

from deepring_chain.errors import ConfigError

CELL = 14
"""Size of a digit in the terminal: as many columns, half as many lines."""

SCALE = 3
CAPTION_HEIGHT = 34


def terminal_row(images: NDArray[np.uint8], captions: Sequence[str]) -> Text:
    """Images [N, 28, 28] side by side, halved in size, each with a caption below."""
    small = images.reshape(len(images), CELL, 2, CELL, 2).mean(axis=(2, 4)).astype(int)
    row = Text()
    for line in range(0, CELL, 2):
        for image in small:
            for upper, lower in zip(image[line], image[line + 1], strict=True):
                row.append("▀", style=f"rgb({upper},{upper},{upper}) on rgb({lower},{lower},{lower})")
            row.append("  ")
        row.append("\n")
    row.append("  ".join(caption.center(CELL) for caption in captions))
    return row


def save_sheet(path: Path, images: NDArray[np.uint8], captions: Sequence[str], wrong: Sequence[bool]) -> None:
    """Writes a PNG with all images, ten in a row; a wrong prediction is framed and crossed, not only red."""
    columns = min(10, len(images))
    rows = -(-len(images) // columns)
    side = images.shape[1] * SCALE
    sheet = Image.new("RGB", (columns * (side + 8) + 8, rows * (side + CAPTION_HEIGHT) + 8), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=18)
    for number, (image, caption, is_wrong) in enumerate(zip(images, captions, wrong, strict=True)):
        left, top = 8 + number % columns * (side + 8), 8 + number // columns * (side + CAPTION_HEIGHT)
        sheet.paste(Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST), (left, top))
        color = "#b00020" if is_wrong else "black"
        if is_wrong:
            draw.rectangle(
                (left - 3, top - 3, left + side + 2, top + side + CAPTION_HEIGHT - 6), outline=color, width=2
            )
        draw.text((left + side / 2, top + side + 13), caption, fill=color, font=font, anchor="mm")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
