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

    def test_half_precision_sums_the_gradients_of_gain_and_shift_in_float32(self, device):
        for dtype in (torch.bfloat16, torch.float16):
            layer = LayerNorm(4, device=device, dtype=dtype)
            x = torch.arange(4.0 * 8192, device=device).reshape(-1, 4).to(dtype) / 1024
            layer(x).sum().backward()  # torch's on the CPU: 256 and 2048
            assert layer.bias.grad.tolist() == [8192.0] * 4
