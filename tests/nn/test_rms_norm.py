from typing import ClassVar

import pytest
from torch import nn

from dlkb.nn import RMSNorm
from tests.nn.norms import LastAxesNorm

MISMATCH = "ignore:Mismatch dtype:UserWarning"  # torch's


class TestRMSNorm(LastAxesNorm):
    Ours, Theirs = RMSNorm, nn.RMSNorm
    ARGUMENTS: ClassVar = {
        "plain": ((7,), {}),
        "int": ((7,), {"eps": 0.1}),
        "list": (([6, 7],), {}),
        "bare": ((7,), {"elementwise_affine": False}),
    }

    @pytest.mark.filterwarnings(MISMATCH)
    def test_autocast_and_pickling(self):
        super().test_autocast_and_pickling()

    @pytest.mark.filterwarnings(MISMATCH)
    def test_parameters_and_input_of_different_types(self):
        super().test_parameters_and_input_of_different_types()
