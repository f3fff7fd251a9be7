from typing import ClassVar

import torch
from torch import nn

from dlkb.nn import LayerNorm
from tests.nn.norms import LastAxesNorm, inputs


class TestLayerNorm(LastAxesNorm):
    Ours, Theirs = LayerNorm, nn.LayerNorm
    ARGUMENTS: ClassVar = {
        "plain": ((7,), {}),
        "int": ((7,), {"eps": 0.1}),
        "list": (([6, 7],), {}),
        "no bias": ((7,), {"bias": False}),
        "bare": ((7,), {"elementwise_affine": False}),
        "bare, asked for a bias": ((7,), {"elementwise_affine": False, "bias": True}),
    }

    def test_training_and_evaluation_are_one(self):
        layer, x = LayerNorm(7), inputs()
        assert torch.equal(layer.train()(x), layer.eval()(x))
