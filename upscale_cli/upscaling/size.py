"""The size of a result: a factor, a width, a height, a box to fit into, or paper."""

from __future__ import annotations

from dataclasses import dataclass

from upscale_cli.errors import UsageError

SMALLEST_SCALE, LARGEST_SCALE = 0.1, 32.0


@dataclass(frozen=True)
class Size:
    """Exactly one of ``scale`` (0.1 to 32), ``width``, ``height`` (pixels), ``fit`` and ``paper`` ((width, height)).

    ``fit`` and ``paper`` are boxes in pixels; paper is turned where the picture is higher than wide, or the other way.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    fit: tuple[int, int] | None = None
    paper: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.scale, self.width, self.height, self.fit, self.paper)) != 1:
            raise UsageError(
                "The size is given more than once or not at all.", "Use one of -s, --width, --height, --fit, --print."
            )
        if self.scale is not None and not SMALLEST_SCALE <= self.scale <= LARGEST_SCALE:
            raise UsageError(
                f"The scale {self.scale:g} is out of range.", f"Use -s {SMALLEST_SCALE:g} to {LARGEST_SCALE:g}."
            )
        if self.fit is not None and not (isinstance(self.fit, tuple) and len(self.fit) == 2):
            raise UsageError(f"fit is {self.fit!r}.", "Give (width, height).")
        if any(side is not None and side < 1 for side in (self.width, self.height, *(self.fit or self.paper or ()))):
            raise UsageError("A picture needs at least one pixel in each direction.", "Give a positive size.")

    def pixels(self, height: int, width: int) -> tuple[int, int]:
        """Return the target (height, width) of a picture of ``height`` x ``width``; proportions are kept.

        Raises UsageError where that means a factor outside 0.1 to 32.
        """
        factor = self.factor(height, width)
        if not SMALLEST_SCALE * 0.999 <= factor <= LARGEST_SCALE * 1.001:
            raise UsageError(
                f"{width}x{height} pixels to {self.label()} is a factor of {factor:.3g}.",
                f"Factors from {SMALLEST_SCALE:g} to {LARGEST_SCALE:g} are possible.",
            )
        target_height, target_width = max(1, round(height * factor)), max(1, round(width * factor))
        return self.height or target_height, self.width or target_width

    def factor(self, height: int, width: int) -> float:
        """Return how many times larger a picture of ``height`` x ``width`` becomes."""
        if self.scale is not None:
            return self.scale
        if self.width is not None:
            return self.width / width
        if self.height is not None:
            return self.height / height
        across, down = self._box
        if self.paper and (across > down) != (width > height):
            across, down = down, across
        return min(across / width, down / height)

    def label(self) -> str:
        """Return a short form for file names: ``x4``, ``x2.5``, ``w1920``, ``h1080``, ``1920x1080``."""
        if self.scale is not None:
            return f"x{self.scale:g}"
        if self.width is not None:
            return f"w{self.width}"
        if self.height is not None:
            return f"h{self.height}"
        return "{}x{}".format(*self._box)

    @property
    def _box(self) -> tuple[int, int]:
        box = self.fit or self.paper
        assert box is not None
        return box
