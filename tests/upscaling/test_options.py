"""Options: every default in one place, contradictions refused, and the same by name, by pickle and by command line."""

from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from upscale_cli.errors import UsageError
from upscale_cli.upscaling.options import OptionFields, UpscaleOptions
from upscale_cli.upscaling.size import Size


def test_options_survive_pickling_and_have_a_hash() -> None:
    options = UpscaleOptions("lite-x4", scale=2, tile=64, precision="half")
    assert pickle.loads(pickle.dumps(options)) == options
    assert len({options, UpscaleOptions("lite-x4", scale=2, tile=64, precision="half")}) == 1


def test_the_names_for_signatures_are_those_of_the_options_with_the_same_types() -> None:
    types = {name: reference.__forward_arg__ for name, reference in OptionFields.__annotations__.items()}
    assert types == {field.name: field.type for field in fields(UpscaleOptions) if field.name != "model"}
    assert UpscaleOptions("x", **UpscaleOptions("x", tta=True).fields()) == UpscaleOptions("x", tta=True)
    assert set(UpscaleOptions().fields()) == set(types)


def test_without_a_size_pictures_become_four_times_larger() -> None:
    assert UpscaleOptions().size == Size(scale=4)
    assert UpscaleOptions(width=100).size == Size(width=100)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": 2, "width": 9}, "more than once"),
        ({"scale": 99}, "out of range"),
        ({"restore": True, "model": "lite-x4"}, "-m another"),
        ({"restore": True, "denoise": 0.5}, "--denoise another"),
        ({"kernel": Path("k.mat"), "zssr": True, "model": "lite-x4"}, "-m chooses a pretrained network"),
        ({"kernel": "auto", "iterations": 9, "restore": True}, "--restore chooses a pretrained network"),
        ({"kernel": Path("k.mat"), "restore": True}, "--restore chooses a network that takes no notice of a kernel"),
        ({"kernel": "auto", "alpha": 0.0}, "--alpha chooses a network that takes no notice of a kernel"),
        ({"kernel": Path("k.mat"), "fast": True, "tta": True}, "Leave out --tta"),
        ({"zssr": True}, "Add --kernel FILE or --kernel auto"),
        ({"iterations": 5}, "Add --kernel FILE"),
        ({"seed": 0}, "Add --kernel FILE"),
        ({"tile": 10}, "10 is no tile size"),
        ({"tile": "small"}, "'small' is no tile size"),
        ({"precision": "fp8"}, "Use one of auto, half, bf16, fp32"),
        ({"alpha_upsampler": "nearest"}, "Use one of network, bicubic"),
        ({"depth": 12}, "Use one of 8, 16"),
        ({"quality": 0}, "Use 1 to 100"),
        ({"denoise": 1.5}, "Use 0 to 1"),
        ({"denoise": "much"}, "denoise is 'much'. Give a number"),
        ({"noise": "much"}, "Use 0 to 50"),
        ({"model": 4}, "Give a name or a path"),
        ({"scale": "2"}, "scale is '2'. Give a number"),
        ({"width": 2.5}, "Give a whole number"),
        ({"width": True}, "Give a whole number"),
        ({"tta": "yes"}, "Give True or False"),
        ({"fit": (3,)}, "Give \\(width, height\\)"),
        ({"print_size": (30,)}, "Give \\(width, height\\)"),
        ({"print_size": (30, 0)}, "Give \\(width, height\\)"),
        ({"print_size": (30, 20), "scale": 2.0}, "Use one of -s, --width, --height, --fit, --print"),
        ({"dpi": 0}, "Use 1 to"),
        ({"threads": 0}, "Use 1 to"),
        ({"tile_pad": -1}, "Use 0 to"),
        ({"max_megapixels": float("nan")}, "Use 0 to"),
    ],
)
def test_contradictions_and_values_out_of_bounds_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        UpscaleOptions(**given)
