import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dlkb.finetuning.regimes import layer_rates, step_macs, trained_parameters
from tests.cases import Case
from tests.close import assert_close

WIDTHS = (7, 5, 6, 3)

CASES = [
    Case(
        layer_rates,
        lambda rng: ((np.arange(1.0, 6.0),), {"lr": 0.1, "layers": 5, "decay": 0.4}),
        fixed=("layer",),
    ),
    Case(
        layer_rates,
        lambda rng: ((np.asarray([1.0]),), {"lr": 1.0, "layers": 1, "decay": 1.0}),
        "one",
        fixed=("layer",),
    ),
    Case(trained_parameters, lambda _: ((WIDTHS,), {"first": 2})),
    Case(step_macs, lambda _: ((WIDTHS,), {"first": 2})),
]


@pytest.mark.parametrize("decay", [1 / 2.6, 0.75, 1.0])
@pytest.mark.parametrize("layers", [1, 2, 12])
def test_rates_fall_by_one_factor_a_layer_down_from_the_top(layers, decay):
    rates = layer_rates(np.arange(1.0, layers + 1), lr=0.3, layers=layers, decay=decay)
    assert rates[-1] == 0.3
    assert_close(rates[:-1], decay * rates[1:])
    assert layer_rates(np.zeros((0, 2)), lr=0.3, layers=layers, decay=decay).shape == (0, 2)


def mlp(widths, first):
    layers = [nn.Linear(a, b).double() for a, b in pairwise(widths)]
    for layer in layers[: first - 1]:
        layer.requires_grad_(False)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("widths", [WIDTHS, (4, 2), (3, 3, 3, 3, 3)])
def test_counts_are_those_of_torch(widths):
    for first in range(1, len(widths)):
        model = mlp(widths, first)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert trained_parameters(widths, first=first) == trained
        with FlopCounterMode(display=False) as counter:
            model(torch.ones(5, widths[0], dtype=torch.float64)).sum().backward()
        assert counter.get_total_flops() == 2 * 5 * step_macs(widths, first=first)
    assert trained_parameters(widths) == trained_parameters(widths, first=1)
    assert step_macs(widths) == step_macs(widths, first=1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rates(np.ones(1, int)), TypeError, "layer has dtype int64"),
        (lambda: rates(np.ones(1), lr=-1.0), ValueError, "lr is -1.0"),
        (lambda: rates(np.ones(1), lr=math.inf), ValueError, "lr is inf"),
        (lambda: rates(np.ones(1), layers=0), ValueError, "layers is 0"),
        (lambda: rates(np.ones(1), decay=0.0), ValueError, "decay is 0.0"),
        (lambda: rates(np.ones(1), decay=1.1), ValueError, "decay is 1.1"),
        (lambda: trained_parameters((3,)), ValueError, r"widths is \(3,\)"),
        (lambda: trained_parameters((3, 0)), ValueError, r"widths is \(3, 0\)"),
        (lambda: step_macs((3, 2), first=2), ValueError, "first is 2"),
        (lambda: step_macs((3, 2), first=0), ValueError, "first is 0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def rates(layer, lr=0.1, layers=3, decay=0.5):
    return layer_rates(layer, lr=lr, layers=layers, decay=decay)
