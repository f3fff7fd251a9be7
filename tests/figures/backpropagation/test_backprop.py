import numpy as np
import pytest
import torch

from dlkb.backpropagation.gradient_check import best_step
from scripts.figures.backpropagation import backprop as figures
from tests.figures.drawn import assert_draws

LAST = figures.STEPS - 1


def test_the_graph_is_differentiated_as_by_autograd():
    w1, w2 = (torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in (0.5, -1.2))
    z = w1 * 2
    h = torch.tanh(z)
    o = w2 * h
    loss, decay = 0.5 * (o - 1) ** 2, 0.1 * (w1**2 + w2**2)
    J = loss + decay
    numbers = {"w₁": w1, "w₂": w2, "z": z, "h": h, "o": o, "ℓ": loss, "s": decay, "J": J}
    grads = torch.autograd.grad(J, list(numbers.values()))
    done = figures.sweep(LAST)
    for (name, number), grad in zip(numbers.items(), grads, strict=True):
        assert done.values[name] == pytest.approx(number.item())
        assert done.grads[name] == pytest.approx(grad.item())
    assert figures.compute(0.5) == pytest.approx(J.item())


def test_numbers_appear_in_turn():
    before = figures.sweep(0)
    assert (set(before.values), before.grads) == ({"x", "w₁", "w₂"}, {})
    for step in range(1, figures.STEPS):
        now = figures.sweep(step)
        assert set(before.values) <= set(now.values)
        assert set(before.grads) <= set(now.grads)
        assert len(now.values) + len(now.grads) > len(before.values) + len(before.grads) or (
            figures.tell(step).count("waits") == 2  # the decay's terms come first
        )
        before = now
    assert set(figures.sweep(6).values) == set(figures.GRAPH)
    assert set(before.grads) == set(figures.GRAPH) - {"x"}


def test_what_is_told():
    assert figures.tell(0) == "Only the input and the weights are known."
    assert figures.tell(1) == "Forward: z = w₁x = 1.00."
    assert figures.tell(7) == "The gradient of J by itself is 1."
    assert figures.tell(LAST) == (
        "Back from z: w₁ gets 0.96 · 2.00 = 1.93, with 0.10 from s together 2.03."
    )


def test_tiles_cover_what_is_not_known():
    for step in range(figures.STEPS):
        now = figures.sweep(step)
        heights = [np.ptp(corners[:, 1]) for corners in figures.covers(step)]
        open_ones = np.isclose(heights, 0.02)
        assert np.allclose(np.asarray(heights)[~open_ones], figures.HIGH)
        assert open_ones.sum() == len(now.values) - 3 + len(now.grads)


def test_arrows_are_blue_forward_and_red_back():
    nowhere = [figures.GRAPH["J"].place]
    for step in range(figures.STEPS):
        lines = figures.arrows(step)
        used = [not np.array_equal(line, nowhere) for line in lines]
        assert len(lines) == 4
        assert sum(used) == len(figures.sweep(step).active)
        assert not any(used[2:] if step <= 6 else used[:2])


def test_graph_draws_edges_and_numbers():
    edges = [(parent, child) for child, node in figures.GRAPH.items() for parent in node.parents]
    done = figures.sweep(LAST)
    assert_draws(
        figures.graph(),
        lines={f"{p} → {c}": tuple(figures.ends((p, c)).T) for p, c in [*edges, ("x", "z")]},
        texts=[
            *(figures.written(value) for value in done.values.values()),
            *(figures.written(grad) for grad in done.grads.values()),
            *figures.GRAPH,
            "value",
            "gradient",
        ],
    )


def test_step_size_draws_the_errors():
    data = figures.errors(64)
    assert_draws(
        figures.step_size(),
        lines={
            "forward difference": (data.step, data.forward),
            "central difference": (data.step, data.central),
            "complex step": (data.step, data.complex),
        },
        legend=["forward difference", "central difference", "complex step"],
        xlabel="step h",
        ylabel="relative error",
    )


@pytest.mark.parametrize("bits", [32, 64])
def test_the_best_step_is_near_the_formulas(bits):
    data, eps = figures.errors(bits), 2.0 ** (-24 if bits == 32 else -53)
    for scheme, errors in (("forward", data.forward), ("central", data.central)):
        ratio = data.step[errors.argmin()] / best_step(eps=eps, scheme=scheme)
        assert 1 / 30 < ratio < 30
    assert (data.complex[-30:] < 4 * eps).all()


def test_float32_has_no_good_difference():
    data = figures.errors(32)
    assert 1e-6 < min(data.forward.min(), data.central.min()) < 1e-3


def test_conv_matrices_draws_both():
    forward, back = figures.matrices()
    assert np.allclose(back, forward.T)
    expected = torch.nn.functional.conv1d(
        torch.eye(7)[:, None], torch.tensor(figures.KERNEL).float()[None, None], stride=2
    )[:, 0].T
    assert np.allclose(forward, expected)
    names = ("convolution: x → y", "gradient: ȳ → x̄")
    for panel, (matrix, name) in enumerate(zip((forward, back), names, strict=True)):
        assert_draws(
            figures.conv_matrices(), panel=panel, images={name: matrix}, texts=["3", "−1", "2"],
            title=name,
        )  # fmt: skip
