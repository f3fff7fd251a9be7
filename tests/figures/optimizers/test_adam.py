import numpy as np

from dlkb.optimizers.adam import spike_step, step_bound
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
    assert round(data.bound, 2) == 7.27 == round(step_bound(lr=1.0), 2)
    assert np.allclose(data.spike[0], spike_step(lr=1.0), rtol=1e-6)
    assert data.spike.argmax() == 0
    assert round(data.constant.max(), 2) == 6.57
    assert data.constant.argmax() == 11
    assert (np.diff(data.growing) > 0).all()
    assert 7.26 < data.growing[-1] < data.bound


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
        lines={"m / √v": (data.t, data.raw_step), "m̂ / √v̂": data.step},
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
    assert_draws(
        figures.largest_steps(),
        lines={
            "one spike": (k, data.spike),
            "constant": (k, data.constant),
            "growing": (k, data.growing),
        },
        legend=["one spike", "constant", "growing"],
        texts=["bound 7.27"],
        xlabel="steps since the gradient set in",
        ylabel="step / lr",
    )
