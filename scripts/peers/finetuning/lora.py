"""Which convention of LoRA a library follows, found by running it.

Each layer maps 512 inputs to 96 outputs. Shapes, scaling and start are read off the layer; the
words of a start are those of the law whose deviation and largest entry it has.
"""

import math

import keras
import numpy as np
import peft
import torch
from numpy.typing import NDArray

from dlkb.finetuning.lora import lora_init, lora_scaling, low_rank, merge

LIBRARIES = ("peft", "keras")

IN, OUT, R, ALPHA = 512, 96, 4, 16
SIZES = {IN: "in", OUT: "out", R: "r"}

Array = NDArray[np.float64]


def shape_words(array: Array) -> str:
    """Write a shape in the letters of the page."""
    return f"({', '.join(SIZES[size] for size in array.shape)})"


def scaling_words(update: Array, product: Array) -> str:
    """Say by which rule the product of the factors is scaled."""
    found = float(np.linalg.norm(update) / np.linalg.norm(product))
    rules = {"α/r": ALPHA / R, "α/√r": ALPHA / math.sqrt(R), "α": float(ALPHA), "none": 1.0}
    [words] = [words for words, value in rules.items() if math.isclose(found, value, rel_tol=1e-3)]
    if not np.allclose(update, found * product, atol=1e-4 * np.abs(update).max()):
        raise LookupError("the update is no multiple of the product of the factors")
    return words


def start_words(A: Array) -> str:
    """Say from which law A was drawn: by its deviation, and by its tails."""
    std, largest = float(A.std()), float(np.abs(A).max())
    uniform = largest < 1.8 * std  # √3 deviations; of this many normal draws the largest is > 3
    laws = {
        r"$U(\pm1/\sqrt{\text{in}})$": (True, (3 * IN) ** -0.5),
        r"$U(\pm\sqrt{6/\text{in}})$": (True, (2 / IN) ** 0.5),
        "Gaussian, σ = 1/r": (False, 1 / R),
        "Gaussian, σ = 1/√r": (False, R**-0.5),
    }
    [words] = [
        words
        for words, (kind, wanted) in laws.items()
        if kind == uniform and math.isclose(std, wanted, rel_tol=0.1)
    ]
    return words


def peft_layer(**options: object) -> torch.nn.Module:
    """Return one linear layer adapted by peft."""
    torch.manual_seed(0)
    base = torch.nn.Sequential(torch.nn.Linear(IN, OUT, bias=False))
    config = peft.LoraConfig(target_modules=["0"], r=R, lora_alpha=ALPHA, **options)
    return peft.get_peft_model(base, config).base_model.model[0]


def peft_factors(layer: torch.nn.Module) -> tuple[Array, Array]:
    """Return A and B of peft's layer."""
    pair = (layer.lora_A["default"], layer.lora_B["default"])
    A, B = (factor.weight.detach().double().numpy() for factor in pair)
    return A, B


def of_peft(**options: object) -> tuple[str, ...]:
    """Return the cells of peft."""
    layer = peft_layer(**options)
    A, B = peft_factors(layer)
    if np.any(B):
        raise LookupError("B does not start at zero")
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_()
    before = layer.get_base_layer().weight.detach().double().numpy()
    layer.merge()
    update = layer.get_base_layer().weight.detach().double().numpy() - before
    product = peft_factors(layer)[1] @ A
    cells = (r"$\mathbf{B}\mathbf{A}$", shape_words(A), shape_words(B))
    return (*cells, scaling_words(update, product), start_words(A))


def of_keras() -> tuple[str, ...]:
    """Return the cells of Keras."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(OUT, use_bias=False)
    layer.build((None, IN))
    layer.enable_lora(rank=R, lora_alpha=ALPHA)
    A, B = (np.asarray(w.numpy()) for w in (layer.lora_kernel_a, layer.lora_kernel_b))
    if np.any(B):
        raise LookupError("B does not start at zero")
    x = np.random.default_rng(0).normal(size=(64, IN)).astype("float32")
    before = keras.ops.convert_to_numpy(layer(x))
    drawn = np.random.default_rng(1).normal(size=B.shape).astype("float32")
    layer.lora_kernel_b.assign(drawn)
    update = keras.ops.convert_to_numpy(layer(x)) - before
    cells = (r"$\mathbf{A}\mathbf{B}$, kernel (in, out)", shape_words(A), shape_words(B))
    return (*cells, scaling_words(update, x @ (A @ drawn)), start_words(A))


def ours() -> tuple[str, ...]:
    """Return the cells of this package."""
    W = np.zeros((OUT, IN))
    A, B = lora_init(W, r=R, generator=np.random.default_rng(0))
    if np.any(B):
        raise LookupError("B does not start at zero")
    drawn = np.random.default_rng(1).normal(size=B.shape)
    update = merge(W, A, drawn, scaling=lora_scaling(ALPHA, R))
    cells = (r"$\mathbf{B}\mathbf{A}$", shape_words(A), shape_words(B))
    return (*cells, scaling_words(update, drawn @ A), start_words(A))


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return update, shapes, scaling and start of each library."""
    gaussian = of_peft(init_lora_weights="gaussian")
    stabilized = of_peft(use_rslora=True)
    plain = of_peft()
    *same, _, start = plain
    if gaussian[:4] != plain[:4] or stabilized != (*same, stabilized[3], start):
        raise LookupError("peft's options change more than the scaling or the start")
    return {
        "peft": (
            *same,
            f"{plain[3]}; `use_rslora`: {stabilized[3]}",
            f"{start}; `gaussian`: {gaussian[4].removeprefix('Gaussian, ')}",
        ),
        "Keras `enable_lora`": of_keras(),
        "this package": ours(),
    }


def dora_rescales_rows() -> bool:
    """Whether DoRA in peft gives W + sBA, each output's row scaled to a trained length."""
    layer = peft_layer(use_dora=True)
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_()
    A, B = peft_factors(layer)
    before = layer.get_base_layer().weight.detach().double().numpy()
    lengths = np.linalg.norm(before, axis=1, keepdims=True)  # where the trained lengths start
    moved = before + ALPHA / R * B @ A
    wanted = lengths * moved / np.linalg.norm(moved, axis=1, keepdims=True)
    layer.merge()
    found = layer.get_base_layer().weight.detach().double().numpy()
    return bool(np.allclose(found, wanted, atol=1e-5))


def pissa_starts_at_the_largest() -> bool:
    """Whether PiSSA's first update is the part of rank r that is nearest to W."""
    W = peft_layer().get_base_layer().weight.detach().double().numpy()
    A, B = peft_factors(peft_layer(init_lora_weights="pissa"))
    return bool(np.allclose(ALPHA / R * B @ A, low_rank(W, r=R), atol=1e-5))


def variants() -> dict[str, tuple[str, ...]]:
    """Return what the options of peft's `LoraConfig` change."""
    if not dora_rescales_rows():
        raise LookupError("DoRA in peft does not rescale rows")
    if not pissa_starts_at_the_largest():
        raise LookupError("PiSSA in peft does not start at the largest singular vectors")
    counts, starts = {}, {}
    x = torch.randn(8, IN, generator=torch.Generator().manual_seed(0))
    chosen: dict[str, dict[str, object]] = {
        "`use_rslora=True`": {"use_rslora": True},
        "`use_dora=True`": {"use_dora": True},
        '`init_lora_weights="pissa"`': {"init_lora_weights": "pissa"},
    }
    for name, options in chosen.items():
        layer = peft_layer(**options)
        trained = sum(p.numel() for p in layer.parameters() if p.requires_grad)
        counts[name] = "" if trained == R * (IN + OUT) else " + out"
        fresh = torch.nn.functional.linear(x, peft_layer().get_base_layer().weight)
        same_base = torch.equal(layer.get_base_layer().weight, peft_layer().get_base_layer().weight)
        if not torch.allclose(layer(x), fresh, atol=1e-4):
            raise LookupError(f"{name} does not start at the base's output")
        starts[name] = "unchanged" if same_base else "less the start of the update"
    what = (
        "the scaling: α/√r",
        "each row of W + sBA gets a trained length",
        "the factors start at the largest singular vectors of W",
    )
    return {
        name: (words, f"r(in + out){counts[name]}", starts[name])
        for name, words in zip(counts, what, strict=True)
    }
