"""Mirroring at borders, against NumPy's own padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.borders import mirrored, pad_mirrored


@pytest.mark.parametrize(("edge_twice", "mode"), [(True, "symmetric"), (False, "reflect")])
@given(length=st.integers(1, 12), before=st.integers(0, 40), after=st.integers(0, 40))
def test_mirroring_is_numpys_for_every_size(edge_twice: bool, mode: str, length: int, before: int, after: int) -> None:
    wanted = np.pad(np.arange(length), (before, after), mode=mode)  # type: ignore[call-overload]
    assert np.array_equal(mirrored(-before, length + after, length, edge_twice=edge_twice), wanted)


@pytest.mark.parametrize(("edge_twice", "mode"), [(True, "symmetric"), (False, "reflect")])
@given(side=st.integers(1, 30), margin=st.integers(0, 10))
def test_padding_is_numpys_for_every_size(edge_twice: bool, mode: str, side: int, margin: int) -> None:
    image = torch.arange(side * 3.0).view(1, 1, side, 3)
    wanted = np.pad(image[0, 0].numpy(), margin, mode=mode)  # type: ignore[call-overload]
    assert np.array_equal(pad_mirrored(image, margin, edge_twice=edge_twice)[0, 0].numpy(), wanted)
