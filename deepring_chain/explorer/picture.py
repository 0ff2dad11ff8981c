"""The ring as a drawing: where seats, links and labels go. Units are those of the SVG's view box."""

from __future__ import annotations

import math
from dataclasses import dataclass

SIZE = 480
CENTER = SIZE / 2
RADIUS = 178.0
PILL_SEATS = 9
"""With more seats than this there is no room for names in the picture."""

PILL_WIDTH, PILL_HEIGHT = 112.0, 50.0
DOT_RADIUS = 17.0


@dataclass(frozen=True)
class Point:
    """A place in the drawing."""

    x: float
    y: float


@dataclass(frozen=True)
class Link:
    """From one seat to the next, along the circle.

    Attributes:
        path: of an SVG path.
        middle: where a sign can stand.
        turn: degrees by which an arrow there is turned.
    """

    path: str
    middle: Point
    turn: float


def seat_point(position: int, seats: int) -> Point:
    """The middle of a seat: the first one on top, the others clockwise."""
    return _on_circle(_angle(position, seats), RADIUS)


def link(position: int, seats: int) -> Link:
    """The link from the seat before to `position`."""
    start, end = seat_point(position - 1, seats), seat_point(position, seats)
    middle = _angle(position, seats) - math.pi / seats
    path = f"M {start.x} {start.y} A {RADIUS:g} {RADIUS:g} 0 0 1 {end.x} {end.y}"
    return Link(path, _on_circle(middle, RADIUS), round(math.degrees(middle) + 90, 1))


def has_room_for_names(seats: int) -> bool:
    """Whether each seat can carry a name."""
    return seats <= PILL_SEATS


def _angle(position: int, seats: int) -> float:
    return 2 * math.pi * position / seats - math.pi / 2


def _on_circle(angle: float, radius: float) -> Point:
    return Point(round(CENTER + radius * math.cos(angle), 1), round(CENTER + radius * math.sin(angle), 1))
