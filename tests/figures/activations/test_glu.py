import numpy as np
import torch

from scripts.figures.activations import glu as figures
from tests.figures.drawn import assert_draws


def test_the_backward_pass_is_that_of_autograd():
    rng = np.random.default_rng(0)
    shape = (figures.DEPTH, 2, figures.WIDTH, figures.WIDTH)
    weights = torch.tensor(1.41 / figures.WIDTH**0.5 * rng.normal(size=shape))
    start = torch.tensor(rng.normal(size=(figures.BATCH, figures.WIDTH))).requires_grad_()
    cotangent = torch.tensor(np.random.default_rng([0, 1]).normal(size=start.shape))
    for name, layer in (
        ("GLU", lambda value, gate: value * torch.sigmoid(gate)),
        ("GTU", lambda value, gate: torch.tanh(value) * torch.sigmoid(gate)),
        ("ReLU", lambda value, gate: torch.relu(value)),
    ):
        x = start
        for W, V in weights[:5]:
            x = layer(x @ V.T, x @ W.T)
        (gradient,) = torch.autograd.grad(x, start, cotangent)
        ratio = (gradient.norm() / cotangent.norm()).item()
        assert np.isclose(figures.gradients(1.41)[name][0, 4], ratio, rtol=1e-10)


def test_the_linear_path_loses_less_in_each_network():
    for gain in figures.GAINS:
        data = figures.gradients(gain)
        assert data["GLU"].shape == (10, figures.DEPTH)
        assert (data["GLU"][:, -1] > data["GTU"][:, -1]).all()


def test_only_relu_keeps_the_gradient_at_its_own_gain():
    data = figures.gradients(1.41)
    assert 0.2 < np.median(data["ReLU"][:, -1]) < 5
    assert (data["GLU"][:, -1] < 0.05).all()


def test_gradient_by_depth_draws_the_medians():
    layers = np.arange(1, figures.DEPTH + 1)
    data = figures.gradients(1.41)
    assert_draws(
        figures.gradient_by_depth(),
        lines={name: (layers, np.median(rows, 0)) for name, rows in data.items()},
        legend=["ReLU", "GLU", "GTU"],
        xlabel="layers",
        ylabel="gradient, last layer = 1",
    )


def test_gates_draws_the_factors():
    g, found = figures.GATES, figures.factors()
    smooth = {"GLU": 1 / (1 + np.exp(-g)), "SwiGLU": g / (1 + np.exp(-g))}
    assert np.allclose(found["geglu"], torch.nn.functional.gelu(torch.tensor(g)))
    assert_draws(
        figures.gates(),
        lines={
            "bilinear": (g, g),
            "ReGLU": (g, np.maximum(g, 0)),
            "GEGLU": (g, found["geglu"]),
            **{name: (g, y) for name, y in smooth.items()},
        },
        legend=["bilinear", "GLU", "ReGLU", "GEGLU", "SwiGLU"],
        xlabel="gate g",
        ylabel="factor of the value",
    )
