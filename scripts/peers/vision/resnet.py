"""What libraries build when asked for a ResNet-50, found by building it and running it."""

import keras
import numpy as np
import torch
from torch import nn
from transformers import ResNetConfig, ResNetForImageClassification

from dlkb.nn import Bottleneck, ResNet
from scripts.peers.apart import torchvision

LIBRARIES = ("torch", "torchvision", "transformers", "keras")


def of_module(model: nn.Module) -> tuple[str, ...]:
    """Return stride, biases, parameters and output, run on images of 64 pixels."""
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    strided = {m.kernel_size[0] for m in convolutions[1:] if m.stride[0] == 2 and branch(m)}
    biased = {m.bias is not None for m in convolutions}
    with torch.no_grad():
        output = model.eval()(torch.randn(2, 3, 64, 64))
    scores = getattr(output, "logits", output)
    parameters = sum(p.numel() for p in model.parameters())
    return row(strided, biased, parameters, scores.numpy(), sizes="run")


def branch(module: nn.Conv2d) -> bool:
    """Whether a convolution with a stride stands in a branch: a shortcut's widens more."""
    return module.out_channels < module.in_channels * 2


def row(
    strided: set[int], biased: set[bool], parameters: int, scores: np.ndarray, *, sizes: str
) -> tuple[str, ...]:
    """Say it in words."""
    [kernel], [bias] = strided, biased
    sums = np.asarray(scores, dtype=np.float64).sum(-1)
    probabilities = bool(np.allclose(sums, 1, atol=1e-4) and (np.asarray(scores) >= 0).all())
    return (
        f"{kernel}×{kernel}",
        "yes" if bias else "no",
        f"{parameters:,}",
        "probabilities" if probabilities else "logits",
        sizes,
    )


def of_keras() -> tuple[str, ...]:
    """Return the same of Keras, whose model holds its layers by name."""
    model = keras.applications.ResNet50(weights=None)
    layers = [m for m in model.layers if isinstance(m, keras.layers.Conv2D)]
    strided = {m.kernel_size[0] for m in layers[1:] if m.strides[0] == 2 and "_0_" not in m.name}
    parameters = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    x = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype(np.float32)
    scores = keras.ops.convert_to_numpy(model(x, training=False))
    try:
        sizes = "run" if model(x[:, :96, :96], training=False).shape else ""
    except ValueError:
        sizes = "an error"
    return row(strided, {m.use_bias for m in layers}, parameters, scores, sizes=sizes)


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return stride, biases, trained parameters, output, and what becomes of other sizes."""
    torch.manual_seed(0)
    ours = of_module(ResNet(Bottleneck, [3, 4, 6, 3]))
    theirs = of_module(torchvision("models").resnet50(weights=None))
    if ours != theirs:
        raise LookupError(f"this package and torchvision differ: {ours}, {theirs}")
    config = ResNetConfig(num_labels=1000)
    paper = ResNetConfig(num_labels=1000, downsample_in_bottleneck=True)
    return {
        "this package, torchvision": ours,
        "Transformers": of_module(ResNetForImageClassification(config)),
        "Transformers, `downsample_in_bottleneck=True`": of_module(
            ResNetForImageClassification(paper)
        ),
        "Keras `applications.ResNet50`": of_keras(),
    }
