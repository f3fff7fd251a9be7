import numpy as np
import pytest
import scipy.optimize
import torch

from dlkb.experiments.landscapes import bowl, descend, rosenbrock, saddle
from dlkb.experiments.rules import adam_rule, sgd_rule

ALL = {
    "bowl": bowl(condition=30.0, angle=0.7),
    "rosenbrock": rosenbrock(steepness=40.0),
    "saddle": saddle(),
}


@pytest.mark.parametrize("name", ALL)
def test_gradient_is_the_derivative(name):
    loss, gradient, _ = ALL[name]
    points = np.random.default_rng(0).normal(size=(4, 5, 2))
    for point in points.reshape(-1, 2):
        numeric = scipy.optimize.approx_fprime(point, loss, 1e-7)
        np.testing.assert_allclose(gradient(point), numeric, rtol=1e-4, atol=1e-4)
    assert loss(points).shape == (4, 5)
    np.testing.assert_allclose(gradient(points)[2, 3], gradient(points[2, 3]))


@pytest.mark.parametrize("name", ALL)
def test_minimum_is_a_minimum(name):
    loss, gradient, minimum = ALL[name]
    here = np.asarray(minimum)
    np.testing.assert_allclose(gradient(here), 0, atol=1e-12)
    around = here + np.random.default_rng(0).normal(size=(500, 2))
    assert (loss(around) >= loss(here)).all()


def test_rosenbrock_is_scipys():
    point = np.asarray([0.3, -1.2])
    assert rosenbrock().loss(point) == pytest.approx(scipy.optimize.rosen(point))
    np.testing.assert_allclose(rosenbrock().gradient(point), scipy.optimize.rosen_der(point))


def test_bowl_has_its_curvatures_along_the_turned_axes():
    flat = np.asarray([np.cos(0.7), np.sin(0.7)])
    steep = np.asarray([-np.sin(0.7), np.cos(0.7)])
    gradient = ALL["bowl"].gradient
    np.testing.assert_allclose(gradient(flat), flat, atol=1e-12)
    np.testing.assert_allclose(gradient(steep), 30 * steep, atol=1e-12)


def test_descend_is_torchs_loop():
    rule = adam_rule(lr=0.05)
    path = descend(rosenbrock(), [(-1.0, 1.5), (0.5, 0.5)], rule=rule, steps=30)
    assert path.points.shape == (31, 2, 2)
    theta = torch.tensor([-1.0, 1.5], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([theta], lr=0.05)
    for step in range(30):
        optimizer.zero_grad()
        loss = (1 - theta[0]) ** 2 + 100 * (theta[1] - theta[0] ** 2) ** 2
        assert path.loss[step, 0] == pytest.approx(loss.item())
        loss.backward()
        assert path.grad_norm[step, 0] == pytest.approx(theta.grad.norm().item())
        optimizer.step()
    np.testing.assert_allclose(path.points[-1, 0], theta.detach().numpy())


def test_noise_is_added_to_each_gradient_and_seeded():
    options = {"rule": sgd_rule(lr=0.1), "steps": 200}
    still = descend(bowl(), np.zeros((50, 2)), **options)
    assert not still.points.any()
    moved, again = (descend(bowl(), np.zeros((50, 2)), noise=2.0, **options) for _ in range(2))
    other = descend(bowl(), np.zeros((50, 2)), noise=2.0, seed=1, **options)
    np.testing.assert_array_equal(moved.points, again.points)
    assert not np.array_equal(moved.points, other.points)
    assert moved.points[1].std() == pytest.approx(0.1 * 2, rel=0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bowl(condition=0.0), "condition is 0.0"),
        (lambda: rosenbrock(steepness=-1.0), "steepness is -1.0"),
        (lambda: descend(saddle(), (1, 2, 3), rule=sgd_rule(lr=1.0), steps=1), r"shape \(3,\)"),
        (
            lambda: descend(saddle(), (1, 2), rule=sgd_rule(lr=1.0), steps=1, noise=-1.0),
            "noise is -1.0",
        ),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
