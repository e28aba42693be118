"""Target sizes: every way to state one, at every picture size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.errors import UsageError
from upscale_cli.upscaling.size import Size

sides = st.integers(1, 5000)
scales = st.floats(0.1, 32)


@given(sides, sides, scales)
def test_a_scale_multiplies_both_sides_and_never_reaches_zero(height: int, width: int, scale: float) -> None:
    result = Size(scale=scale).pixels(height, width)
    assert result == (max(1, round(height * scale)), max(1, round(width * scale)))


@given(st.integers(100, 4000), st.integers(100, 4000), st.integers(500, 3000))
def test_a_width_or_height_is_met_exactly_and_keeps_the_proportions(height: int, width: int, wanted: int) -> None:
    to_height, to_width = Size(width=wanted).pixels(height, width)
    assert to_width == wanted
    assert abs(to_height - height * wanted / width) <= 0.5
    assert Size(height=wanted).pixels(height, width)[0] == wanted


@given(st.integers(100, 4000), st.integers(100, 4000))
def test_fitting_touches_the_box_and_stays_inside(height: int, width: int) -> None:
    to_height, to_width = Size(fit=(1600, 1200)).pixels(height, width)
    assert to_width <= 1600
    assert to_height <= 1200
    assert to_width == 1600 or to_height == 1200


@given(st.integers(100, 4000), st.integers(100, 4000))
def test_paper_is_turned_as_the_picture_needs_it(height: int, width: int) -> None:
    across, down = (1600, 1200) if width > height else (1200, 1600)
    assert Size(paper=(1600, 1200)).pixels(height, width) == Size(fit=(across, down)).pixels(height, width)
    assert Size(paper=(1200, 1600)).pixels(height, width) == Size(paper=(1600, 1200)).pixels(height, width)


@pytest.mark.parametrize("scale", [0.0, 0.09, 32.1, -4, float("nan"), float("inf")])
def test_scales_out_of_range_are_refused(scale: float) -> None:
    with pytest.raises(UsageError, match="out of range"):
        Size(scale=scale)


def test_two_sizes_or_none_are_refused() -> None:
    with pytest.raises(UsageError, match="more than once or not at all"):
        Size(scale=2, width=100)
    with pytest.raises(UsageError, match="more than once or not at all"):
        Size()


def test_a_width_that_means_an_absurd_factor_is_refused() -> None:
    with pytest.raises(UsageError, match="factor of 100"):
        Size(width=1000).pixels(10, 10)


@pytest.mark.parametrize("size", [{"width": 0}, {"height": -3}, {"fit": (0, 5)}])
def test_empty_targets_are_refused(size: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least one pixel"):
        Size(**size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "label"),
    [
        (Size(scale=4.0), "x4"),
        (Size(scale=2.5), "x2.5"),
        (Size(width=9), "w9"),
        (Size(height=9), "h9"),
        (Size(fit=(8, 6)), "8x6"),
    ],
)
def test_labels_name_the_size(size: Size, label: str) -> None:
    assert size.label() == label
