from functools import partial

import numpy as np
import pytest
import torch

from dlkb.experiments.rules import (
    adam_rule,
    at_step,
    plain_rule,
    reddi_gradient,
    sgd_rule,
    trajectory,
)
from dlkb.regularization.l1_l2 import ista

START = np.asarray([1.0, -2.0, 0.3])


def slope(theta, t):
    """Something without symmetry that depends on the place and on the step."""
    return theta**3 + theta * 0.5 + 0.1 * t


def torch_path(optimizer, steps=12):
    theta = torch.tensor(START, requires_grad=True)
    optimizer, path = optimizer([theta]), [START]
    for t in range(1, steps + 1):
        theta.grad = slope(theta.detach(), t)
        optimizer.step()
        path.append(theta.detach().numpy().copy())
    return np.stack(path)


@pytest.mark.parametrize(
    ("rule", "optimizer"),
    [
        (sgd_rule(lr=0.1), partial(torch.optim.SGD, lr=0.1)),
        (
            sgd_rule(lr=0.1, momentum=0.8, weight_decay=0.2),
            partial(torch.optim.SGD, lr=0.1, momentum=0.8, weight_decay=0.2),
        ),
        (
            sgd_rule(lr=0.1, momentum=0.8, nesterov=True),
            partial(torch.optim.SGD, lr=0.1, momentum=0.8, nesterov=True),
        ),
        (adam_rule(lr=0.1), partial(torch.optim.Adam, lr=0.1)),
        (
            adam_rule(lr=0.1, betas=(0.5, 0.6), eps=1e-2, weight_decay=0.3, amsgrad=True),
            partial(
                torch.optim.Adam, lr=0.1, betas=(0.5, 0.6), eps=1e-2, weight_decay=0.3, amsgrad=True
            ),
        ),
        (
            adam_rule(lr=0.1, weight_decay=0.3, decoupled=True),
            partial(torch.optim.AdamW, lr=0.1, weight_decay=0.3),
        ),
    ],
)
def test_rules_are_those_of_torch(rule, optimizer):
    path = trajectory(START, slope, rule=rule, steps=12)
    np.testing.assert_allclose(path, torch_path(optimizer), rtol=1e-12, atol=1e-12)
    tensors = trajectory(torch.tensor(START), slope, rule=rule, steps=12)
    np.testing.assert_allclose(tensors.numpy(), path, rtol=1e-12, atol=1e-12)


def test_schedule_starts_at_step_one():
    path = trajectory(START, slope, rule=lambda t: sgd_rule(lr=0.3 / t), steps=12)

    def scheduled(parameters):
        optimizer = torch.optim.SGD(parameters, lr=0.3)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: 1 / (done + 1))

        class Both:
            def step(self):
                optimizer.step()
                scheduler.step()

        return Both()

    np.testing.assert_allclose(path, torch_path(scheduled), rtol=1e-12)
    assert at_step(sgd_rule(lr=1.0), 3) is not None


def test_bounds_hold_every_point_after_the_start():
    path = trajectory(START, slope, rule=sgd_rule(lr=5.0), steps=5, bounds=(-0.5, 0.5))
    np.testing.assert_array_equal(path[0], START)
    assert np.abs(path[1:]).max() == 0.5


def test_plain_rule_has_no_state():
    rule = plain_rule(partial(ista, lr=0.1, l1=2.0))
    path = trajectory(np.asarray([1.0]), lambda theta, t: 0 * theta, rule=rule, steps=6)
    np.testing.assert_allclose(path[:, 0], [1, 0.8, 0.6, 0.4, 0.2, 0, 0], atol=1e-12)
    assert path[-1, 0] == 0


def test_reddi_sends_adam_to_the_worst_point_and_amsgrad_not():
    gradients = [float(reddi_gradient(np.zeros(()), t)) for t in range(1, 8)]
    assert gradients == [3, -1, -1, 3, -1, -1, 3]
    ends = {}
    for amsgrad in (False, True):
        options = {"betas": (0.0, 0.1), "amsgrad": amsgrad}
        rule = lambda t, options=options: adam_rule(lr=0.1 / t**0.5, **options)  # noqa: E731
        start = np.asarray([-1.0, 0.0])
        ends[amsgrad] = trajectory(start, reddi_gradient, rule=rule, steps=3000, bounds=(-1, 1))
    assert (ends[False][-1] > 0.99).all()
    assert (ends[True][-1] < -0.9).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(sgd_rule, lr=-0.1), "lr is -0.1"),
        (partial(sgd_rule, lr=0.1, momentum=1.0), "momentum is 1.0"),
        (partial(sgd_rule, lr=0.1, weight_decay=-1e-9), "weight_decay is -1e-09"),
        (partial(trajectory, START, slope, rule=sgd_rule(lr=0.1), steps=-1), "steps is -1"),
        (partial(reddi_gradient, START, 1, period=1), "period is 1"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
