from functools import partial

import pytest
import torch
from torch import nn

from dlkb.nn import BasicBlock, Bottleneck, ResNet
from dlkb.vision.resnet_shapes import Layer, convolutions, multiply_adds, parameter_count
from tests.cases import Case

SMALL = {"blocks": (1, 2, 1, 1), "block": "basic", "size": 40}

CASES = [
    Case(convolutions, lambda rng: ((), {"blocks": (1, 2, 1, 1), "size": 40, "stride_in": "1x1"})),
    Case(convolutions, lambda rng: ((), SMALL), "basic"),
    *(
        Case(count, partial(lambda rng, options: (([*convolutions(**SMALL)],), options), options=o))
        for count in (parameter_count, multiply_adds)
        for o in ({}, {"classes": 7})
    ),
]

PUBLISHED = {  # torchvision's documentation of the weights
    18: ((2, 2, 2, 2), "basic", 11_689_512, 1.814),
    34: ((3, 4, 6, 3), "basic", 21_797_672, 3.664),
    50: ((3, 4, 6, 3), "bottleneck", 25_557_032, 4.089),
    101: ((3, 4, 23, 3), "bottleneck", 44_549_160, 7.801),
    152: ((3, 8, 36, 3), "bottleneck", 60_192_808, 11.514),
}


@pytest.mark.parametrize("depth", PUBLISHED)
def test_counts_are_those_published(depth):
    blocks, block, parameters, giga = PUBLISHED[depth]
    layers = convolutions(blocks, block=block)
    assert parameter_count(layers) == parameters
    assert round(multiply_adds(layers) / 1e9, 3) == giga
    assert 1 + sum(not layer.projection for layer in layers) == depth


def test_the_stride_of_the_paper_saves_operations_and_no_parameters():
    paper = convolutions(stride_in="1x1")
    assert parameter_count(paper) == 25_557_032
    assert round(multiply_adds(paper) / 1e9, 3) == 3.858
    assert convolutions((2, 2, 2, 2), block="basic", stride_in="1x1") == convolutions(
        (2, 2, 2, 2), block="basic"
    )


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@pytest.mark.parametrize("size", [1, 33, 64])
@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
def test_layers_are_those_that_run(kind, size, stride_in):
    """Each convolution of the module, in the order of its calls but for the shortcut's."""
    if kind == "basic" and stride_in == "1x1":
        return
    model = ResNet(
        {"basic": BasicBlock, "bottleneck": Bottleneck}[kind], [1, 2, 1, 1], 7, stride_in=stride_in
    ).eval()
    found = []

    def note(name, module, inputs, output):
        stage = int(name[5]) if name.startswith("layer") else 0
        found.append(
            Layer(
                stage,
                module.in_channels,
                module.out_channels,
                module.kernel_size[0],
                output.shape[-1],
                "downsample" in name,
            )
        )

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(partial(note, name))
    with torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    layers = convolutions((1, 2, 1, 1), block=kind, size=size, stride_in=stride_in)
    assert sorted(found) == sorted(layers)
    assert parameter_count(layers, classes=7) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convolutions(size=0), "size is 0"),
        (lambda: convolutions((3, 0, 1, 1)), r"blocks\[1\] is 0"),
        (lambda: convolutions((3, 3, 3)), r"blocks is \(3, 3, 3\): four numbers"),
        (lambda: parameter_count([]), "layers holds no convolution"),
        (lambda: convolutions(block="wide"), "block is 'wide': it must be 'basic' or 'bottleneck'"),
        (lambda: convolutions(stride_in="first"), "stride_in is 'first'"),
        (lambda: parameter_count(convolutions(), classes=0), "classes is 0"),
        (lambda: multiply_adds(convolutions(), classes=0), "classes is 0"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
