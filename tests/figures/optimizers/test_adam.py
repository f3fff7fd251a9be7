import numpy as np
import pytest

from dlkb.optimizers.adam import (
    adam,
    adam_init,
    bias_correction,
    spike_step,
    stable_curvature,
    step_bound,
)
from scripts.figures.optimizers import adam as figures
from tests.figures.drawn import assert_draws


def test_correction_undoes_the_bias_and_the_raw_step_is_too_large():
    data = figures.averages()
    assert np.allclose(data.step, 1)
    assert np.allclose(data.m, 1 - 0.9**data.t)
    assert np.allclose(data.v, 1 - 0.999**data.t)
    assert round(data.raw_step[0], 2) == 3.16
    assert (data.t[data.raw_step.argmax()], round(data.raw_step.max(), 2)) == (12, 6.57)
    assert (data.raw_step > 1).all()
    assert data.t[data.raw_step > 2].max() == 287
    assert data.raw_step[-1] < 1.01


def test_adam_goes_to_the_worst_point_and_amsgrad_to_the_best():
    adam, ams = figures.reddi(amsgrad=False), figures.reddi(amsgrad=True)
    assert adam[-1] == 1
    assert (np.diff(adam[::3]) >= 0).all()  # every cycle of three leads the wrong way
    assert -1 < ams[-1] < -0.99
    assert (np.diff(ams[::3]) < 0)[: np.flatnonzero(ams <= -0.99)[0] // 3].all()


def test_adam_leaves_the_best_point_and_amsgrad_stays():
    assert figures.reddi(amsgrad=False, start=-1.0)[-1] == 1
    assert figures.reddi(amsgrad=True, start=-1.0)[-1] < -0.99
    assert figures.reddi(amsgrad=True, start=1.0)[-1] < -0.3  # on its way after 3000 steps


def test_only_growth_reaches_the_bound():
    data = figures.onsets()
    spike, constant, growing = data.steps.T
    assert round(data.bound, 2) == 7.27 == round(step_bound(lr=1.0), 2)
    assert np.allclose(spike[0], spike_step(lr=1.0), rtol=1e-12)
    assert spike.argmax() == 0
    assert round(constant.max(), 2) == 6.57
    assert constant.argmax() == 11
    assert (np.diff(growing) > 0).all()
    assert 7.26 < growing[-1] < data.bound


def test_no_slider_shows_a_step_beyond_its_bound():
    beta1, beta2 = figures.largest_steps().sliders
    for b1 in beta1.values:
        bounds = [figures.onsets(b1, b2).bound for b2 in beta2.values]
        assert (np.diff(bounds) > 0).all()  # lower β₂, and the bound falls
        for b2, bound in zip(beta2.values, bounds, strict=True):
            steps = figures.onsets(b1, b2).steps
            assert 0.9 * bound < steps.max() < bound * (1 + 1e-9)
            assert bound < 100  # the upper end of the axis


def test_bias_correction_draws_the_averages_and_the_steps():
    data, figure = figures.averages(), figures.bias_correction()
    assert_draws(
        figure,
        panel=0,
        lines={"m̂, v̂": np.ones_like(data.t), "m": (data.t, data.m), "v": (data.t, data.v)},
        texts=["m̂, v̂", "m", "v"],
        xlabel="step t",
        title="averages of g = 1",
    )
    assert_draws(
        figure,
        panel=1,
        lines={
            "m / √v": (data.t, data.raw_step),
            "m̂ / √v̂": data.step,
            "first": ([1], [0.1 / 0.001**0.5]),
            "peak": ([data.t[data.raw_step.argmax()]], [data.raw_step.max()]),
        },
        legend=["m / √v", "m̂ / √v̂"],
        texts=["3.16", "6.57"],
        xlabel="step t",
        title="step / lr",
    )


def test_counterexample_draws_both_paths():
    x = np.arange(0, 3001, 3)
    assert_draws(
        figures.counterexample(),
        lines={
            "Adam": (x, figures.reddi(amsgrad=False)[::3]),
            "AMSGrad": (x, figures.reddi(amsgrad=True)[::3]),
        },
        texts=["Adam", "AMSGrad"],
        xlabel="step t",
        ylabel="x",
    )


def test_largest_steps_draws_the_three_kinds_of_gradient():
    data = figures.onsets()
    k = np.arange(1, 61)
    lines = {kind: (k, data.steps[:, i]) for i, kind in enumerate(figures.KINDS)}
    assert_draws(
        figures.largest_steps(),
        lines={**lines, "bound": ([0, 60], [data.bound, data.bound]), "": ([0, 1], [1, 1])},
        legend=[*figures.KINDS, "bound"],
        xlabel="steps since the gradient set in",
        ylabel="step / lr",
    )


def test_adam_bursts_where_the_quadratic_is_too_steep():
    theta, state = np.asarray(1.0), adam_init(np.asarray(1.0))._replace(step=0)
    sizes, stable = [], []
    for t in range(14_500):
        theta, state = adam(theta, 2 * theta, state, lr=0.01)
        denominator = np.sqrt(state.v / bias_correction(t + 1, beta=0.999)) + 1e-8
        stable.append(2 / denominator < stable_curvature(lr=0.01))
        sizes.append(abs(theta))
    passed = np.argmin(stable)  # the first step that is not stable
    assert np.argmin(sizes) == pytest.approx(passed, rel=0.05)  # it falls until then
    back = passed + np.argmax(np.asarray(sizes[passed:]) > 1e-3)
    assert 14_000 < back < 14_200
    assert not any(stable[passed:back])


def test_late_bursts_draws_the_largest_of_each_window():
    data = figures.bowl()
    assert data.sizes.shape == (3, 500)
    assert np.allclose(data.sizes[:, 0], 0.99)  # the first step is lr long
    assert_draws(
        figures.late_bursts(),
        lines={
            name: (np.arange(50, 25_001, 50), sizes)
            for name, sizes in zip(figures.SETTINGS, data.sizes, strict=True)
        },
        legend=list(figures.SETTINGS),
        xlabel="step t",
        ylabel="|θ|",
    )
