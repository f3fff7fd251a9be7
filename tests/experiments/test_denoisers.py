import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from sklearn.datasets import make_moons

from dlkb.experiments.denoisers import (
    MIDDLE,
    SPREAD,
    Denoiser,
    fit,
    gaussian_law,
    moon_distance,
    moons,
    sample,
)
from dlkb.vision.diffusion import ddim_step
from dlkb.vision.ideal_denoiser import mixture_x0
from dlkb.vision.noise_schedules import alpha_bar, cosine_beta

T = 20
SHARE = np.concatenate([[1.0], alpha_bar(cosine_beta(np.arange(1.0, T + 1), steps=T))])


def test_moons_are_those_of_scikit_learn():
    theirs, _ = make_moons(20_000, noise=None)
    np.testing.assert_allclose(theirs.mean(0), MIDDLE, atol=1e-3)
    np.testing.assert_allclose(theirs.std(0), SPREAD, atol=1e-3)
    tree = cKDTree((theirs - MIDDLE) / SPREAD * SPREAD)
    ours = moons(500, noise=0.0) * SPREAD
    assert tree.query(ours)[0].max() < 1e-3
    assert 0.45 < np.mean(moons(4000, noise=0.0)[:, 1] > -MIDDLE[1] / SPREAD[1]) < 0.85


def test_distance_is_that_to_the_nearest_of_many_points_of_the_curves():
    curves, _ = make_moons(20_000, noise=None)
    points = np.random.default_rng(0).uniform(-2, 2, size=(300, 2))
    expected = cKDTree(curves).query(points * SPREAD + MIDDLE)[0]
    np.testing.assert_allclose(moon_distance(points), expected, atol=1e-3)


def test_noise_and_seed():
    near, far = (moon_distance(moons(2000, noise=noise)) for noise in (0.05, 0.2))
    assert (near**2).mean() ** 0.5 == pytest.approx(0.05, rel=0.1)
    assert far.mean() > 2 * near.mean()
    assert not np.array_equal(moons(5), moons(5, seed=1))
    assert moons(0).shape == (0, 2)


def test_denoiser_sees_step_label_and_waves():
    torch.manual_seed(0)
    net = Denoiser(3, steps=T, classes=2, width=8, waves=(5,))
    x, t = torch.zeros(1, 3), torch.tensor([4])
    given = [net(x, t, torch.tensor([label])) for label in (0, 1, 2)]
    assert torch.equal(net(x, t), given[2])  # no label is the last
    assert not torch.equal(given[0], given[1])
    assert not torch.equal(net(x, t + 1), net(x, t))
    turn = 2 * torch.pi / 5
    plain = Denoiser(3, steps=T, width=8, waves=(5,))
    plain.layers[0].weight.data[:, :3] = 0  # all but the waves
    assert torch.allclose(plain(x + turn, t), plain(x, t), atol=1e-5)
    assert not torch.allclose(plain(x + turn / 3, t), plain(x, t), atol=1e-3)


@pytest.mark.parametrize("predicts", ["noise", "x0", "velocity"])
def test_fit_finds_a_constant(predicts):
    """Where all data are one point, each form is a linear function of x for each t."""
    torch.manual_seed(0)
    data = np.full((10, 2), 0.7)
    net = Denoiser(2, steps=T)
    loss = fit(net, data, share=SHARE, predicts=predicts, steps=300)
    assert loss[-30:].mean() < 0.2 * loss[:5].mean()
    x = torch.tensor(np.random.default_rng(0).normal(size=(50, 2)), dtype=torch.float32)
    times = list(range(T, -1, -1))
    states = sample(
        lambda x, t: net(x, torch.full((len(x),), t)),
        x, share=SHARE, times=times, predicts=predicts, clip=3.0,
    )  # fmt: skip
    assert abs(states[-1].numpy() - 0.7).mean() < 0.15


def test_fit_is_decided_by_seeds():
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        net = Denoiser(2, steps=T)
        losses.append(fit(net, moons(50), share=SHARE, steps=5, seed=seed))
    np.testing.assert_array_equal(losses[0], losses[1])
    assert not np.array_equal(losses[0], losses[2])


def test_labels_are_learned_and_dropped():
    """Data are ±1 by label: with it the guess is ±1 at pure noise, without it the mean."""
    torch.manual_seed(0)
    labels = np.asarray([0, 1] * 50)
    net = Denoiser(1, steps=T, classes=2)
    fit(net, 2.0 * labels[:, None] - 1, labels, share=SHARE, predicts="x0", steps=400, drop=0.4)
    x, t = torch.zeros(3, 1), torch.full((3,), T)
    found = net(x, t, torch.tensor([0, 1, 2])).flatten().tolist()
    np.testing.assert_allclose(found, [-1, 1, 0], atol=0.2)


def test_sampling_ends_on_the_data_of_an_exact_predictor():
    centres = torch.tensor([[-1.0], [1.0]])
    x = torch.tensor(np.random.default_rng(0).normal(size=(400, 1)), dtype=torch.float32)
    for eta in (0.0, 1.0):
        states = sample(
            lambda x, t: mixture_x0(x, centres, SHARE[t].item()),
            x, share=SHARE, times=[20, 10, 5, 2, 0], predicts="x0", eta=eta,
        )  # fmt: skip
        assert len(states) == 5
        assert torch.equal(states[0], x)
        assert float(((states[-1].abs() - 1).abs() < 0.01).float().mean()) > 0.97
        assert 0.4 < float((states[-1] > 0).float().mean()) < 0.6


def test_eta_seed_and_clip():
    x = torch.ones(4, 1)

    def end(**options):
        def predict(x, t):
            return torch.full_like(x, 5.0)

        return sample(
            predict, x, share=SHARE, times=[20, 10, 0], predicts="x0", **options
        )[1]  # fmt: skip

    assert torch.equal(end(seed=0), end(seed=1))
    assert not torch.equal(end(eta=1.0, seed=0), end(eta=1.0, seed=1))
    assert (end(clip=1.0) < end()).all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"drop": 1.5}, "drop is 1.5"),
        ({"steps": 0}, "steps is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"predicts": "mean"}, "predicts is 'mean': it must be one of"),
    ],
)
def test_bad_input_is_named(options, match):
    with pytest.raises(ValueError, match=match):
        fit(Denoiser(2, steps=T), moons(5), share=SHARE, **options)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_gaussian_law_is_that_of_many_samples(eta):
    def step(*arguments):
        return ddim_step(*arguments, eta=eta)

    times = [20, 15, 10, 6, 3, 1, 0]
    law = gaussian_law(step, share=SHARE, times=times, mean=1.0, std=0.5)
    x = torch.tensor(np.random.default_rng(0).normal(size=(40_000, 1)))
    centre = torch.ones(1, 1, dtype=torch.float64)
    states = sample(
        lambda x, t: mixture_x0(x, centre, SHARE[t].item(), variance=0.25),
        x,
        share=SHARE,
        times=times,
        predicts="x0",
        eta=eta,
    )
    np.testing.assert_allclose([s.mean() for s in states], law[0], atol=0.02)
    np.testing.assert_allclose([s.std() for s in states], law[1], atol=0.02)


def test_several_laws_at_once_are_each_alone():
    options = {"share": SHARE, "times": range(T, -1, -1)}
    means, stds = (0.0, 2.0), (2.0, 0.5)
    both = gaussian_law(ddim_step, mean=means, std=stds, **options)
    assert both.shape == (2, T + 1, 2)
    for k in range(2):
        alone = gaussian_law(ddim_step, mean=means[k], std=stds[k], **options)
        np.testing.assert_allclose(both[:, :, k], alone)


def test_noise_adds_to_the_variance_of_the_moons():
    for noise in (0.0, 1.0):
        points = moons(100_000, noise=noise)
        np.testing.assert_allclose(points.mean(0), 0, atol=0.03)
        np.testing.assert_allclose(points.var(0), 1 + noise**2 / SPREAD**2, rtol=0.03)


def test_a_share_of_zero_leads_nowhere():
    with pytest.raises(ValueError, match="alpha_bar is 0"):
        sample(lambda x, t: 0 * x, torch.ones(1, 2), share=np.asarray([1.0, 0.0]), times=[1, 0])
