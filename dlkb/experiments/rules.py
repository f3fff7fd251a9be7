"""Update rules in one shape, so that one loop runs them all, and what they do step by step.

A rule is made of the formulas of `dlkb.optimizers`: a state to start from, and a step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from dlkb.arrays import Array, check_between, check_count, namespace
from dlkb.optimizers.adam import AdamState, adam, adam_init
from dlkb.optimizers.adamw import adamw
from dlkb.optimizers.momentum import momentum as momentum_step
from dlkb.optimizers.sgd import sgd


class Rule(NamedTuple):
    """How parameters are updated.

    Attributes:
        start: Takes the parameters, returns the state before the first step.
        step: Takes parameters, gradient and state, returns new parameters and new state.
    """

    start: Callable[[Array], Any]
    step: Callable[[Array, Array, Any], tuple[Array, Any]]


Schedule = Callable[[int], Rule]
"""A rule for each step, numbered from 1: `lambda t: sgd_rule(lr=0.1 / t**0.5)`."""


def plain_rule(step: Callable[[Array, Array], Array]) -> Rule:
    """Make a rule of a step that keeps no state.

    Args:
        step: Takes parameters and gradient, returns new parameters.

    Returns:
        The rule.

    Example:
        >>> import numpy as np
        >>> from functools import partial
        >>> from dlkb.regularization.l1_l2 import ista
        >>> rule = plain_rule(partial(ista, lr=0.1, l1=1.0))
        >>> rule.step(np.asarray([0.05, 1.0]), np.zeros(2), None)[0]
        array([0. , 0.9])
    """
    return Rule(lambda theta: None, lambda theta, grad, state: (step(theta, grad), state))


def sgd_rule(
    *, lr: float, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
) -> Rule:
    r"""Return gradient descent, with momentum if asked for.

    $$v_t = \beta v_{t-1} + g_t + \lambda\theta_{t-1},\qquad \theta_t = \theta_{t-1} - \eta v_t$$

    Args:
        lr: Learning rate η ≥ 0.
        momentum: β in [0, 1).
        nesterov: Step along $g_t + \lambda\theta_{t-1} + \beta v_t$ instead.
        weight_decay: λ ≥ 0, added to the gradient.

    Returns:
        The rule; its state is the velocity, None without momentum. It is `torch.optim.SGD`
        without dampening.

    Raises:
        ValueError: If a hyperparameter is out of its range.

    Example:
        >>> import numpy as np
        >>> rule, theta = sgd_rule(lr=0.1, momentum=0.9), np.asarray([1.0])
        >>> theta, state = rule.step(theta, np.asarray([1.0]), rule.start(theta))
        >>> rule.step(theta, np.asarray([1.0]), state)[0]
        array([0.71])
    """
    check_between("lr", lr, 0, float("inf"), closed="left")
    check_between("momentum", momentum, 0, 1, closed="left")
    check_between("weight_decay", weight_decay, 0, float("inf"), closed="left")
    if momentum == 0:
        return plain_rule(partial(sgd, lr=lr, weight_decay=weight_decay))
    step = partial(
        momentum_step, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
    )
    return Rule(lambda theta: 0 * theta, step)


def _adam_start(theta: Array, amsgrad: bool = False) -> AdamState:
    # A Python number as counter: 1 − βᵗ is then computed in float64, whatever the dtype.
    return adam_init(theta, amsgrad=amsgrad)._replace(step=0)


def adam_rule(
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    amsgrad: bool = False,
) -> Rule:
    """Return Adam, AMSGrad or AdamW.

    Args:
        lr: Learning rate η ≥ 0.
        betas: Decay rates (β₁, β₂), each in [0, 1).
        eps: ε ≥ 0.
        weight_decay: λ ≥ 0.
        decoupled: Decay the parameters themselves: AdamW.
        amsgrad: Divide by the largest v so far.

    Returns:
        The rule; its state is an `AdamState`. A hyperparameter out of its range raises ValueError
        at the first step.

    Example:
        >>> import numpy as np
        >>> rule, theta = adam_rule(lr=0.1), np.asarray([1.0, 1.0])
        >>> rule.step(theta, np.asarray([1.0, -50.0]), rule.start(theta))[0]
        array([0.9, 1.1])
    """
    update = adamw if decoupled else adam
    return Rule(
        partial(_adam_start, amsgrad=amsgrad),
        partial(update, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay),
    )


def at_step(rule: Rule | Schedule, t: int) -> Rule:
    """Return the rule that holds at step t: a schedule's, or the rule itself.

    Args:
        rule: A rule, or a function from the number of the step to a rule.
        t: The number of the step, from 1.

    Returns:
        A rule.

    Example:
        >>> import numpy as np
        >>> rule = at_step(lambda t: sgd_rule(lr=1 / t), 4)
        >>> rule.step(np.zeros(1), np.ones(1), None)[0]
        array([-0.25])
    """
    return rule if isinstance(rule, Rule) else rule(t)


def trajectory(
    theta: Array,
    gradient: Callable[[Array, int], Array],
    *,
    rule: Rule | Schedule,
    steps: int,
    bounds: tuple[float, float] | None = None,
) -> Array:
    """Return where a rule goes, from the start on.

    Args:
        theta: The start, any shape; many starts at once in its axes.
        gradient: Takes the parameters and the number of the step, 1 … `steps`, and returns the
            gradient in the shape of the parameters.
        rule: A rule, or a function from the number of the step to a rule.
        steps: Number of steps ≥ 0.
        bounds: Every coordinate is cut to this interval after every step.

    Returns:
        Shape (steps + 1, ...).

    Raises:
        ValueError: If `steps` is negative.

    Example:
        >>> import numpy as np
        >>> start, rule = np.asarray(1.0), sgd_rule(lr=0.25)
        >>> trajectory(start, lambda theta, t: 2 * theta, rule=rule, steps=3)
        array([1.   , 0.5  , 0.25 , 0.125])
    """
    check_count("steps", steps, 0)
    xp = namespace(theta)
    state = at_step(rule, 1).start(theta)
    path = [theta]
    for t in range(1, steps + 1):
        theta, state = at_step(rule, t).step(theta, gradient(theta, t), state)
        theta = theta if bounds is None else xp.clip(theta, *bounds)
        path.append(theta)
    return xp.stack(path)


def reddi_gradient(theta: Array, t: int, *, C: float = 3.0, period: int = 3) -> Array:
    r"""Return the gradient of the example on which Adam goes to the worst point.

    $$g_t = C \;\text{ if } t \bmod n = 1, \text{ else } -1$$

    On [−1, 1] the point −1 is the best if C > n − 1: the sum over a period is positive.

    Args:
        theta: Parameters, any shape; the gradient does not depend on their values.
        t: The number of the step, from 1.
        C: The rare, large gradient.
        period: n ≥ 2.

    Returns:
        An array like `theta`.

    Raises:
        ValueError: If `period` is below 2.

    Reference:
        Reddi, Kale and Kumar, On the Convergence of Adam and Beyond (2018).

    Example:
        >>> import numpy as np
        >>> rule = lambda t: adam_rule(lr=0.1 / t**0.5, betas=(0, 0.1))
        >>> options = {"rule": rule, "steps": 3000, "bounds": (-1, 1)}
        >>> path = trajectory(np.asarray([-1.0]), reddi_gradient, **options)
        >>> path[-1].round(2)
        array([1.])
    """
    check_count("period", period, 2)
    return 0 * theta + (C if t % period == 1 else -1.0)
