"""Which penalty a library means by its number, found by running it.

Each row is decided alike: run the library with one strength, compare with what each convention
gives, and return the words of the only one that agrees.
"""

from collections.abc import Callable, Mapping

import keras
import numpy as np
import optax
import torch
from numpy.typing import NDArray
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge

from dlkb.regularization.l1_l2 import min_subgradient, penalty, penalty_vjp

LIBRARIES = ("torch", "keras", "optax", "scikit-learn")

Values = NDArray[np.float64]

START, GRADIENT, LR, STRENGTH = 2.0, 1.0, 0.1, 0.3
ADAM_EPS = 0.5  # large, so that a penalty inside Adam's quotient changes the first step

COUPLED = "adds $w\\theta$ to the gradient"
DIVIDED = "the same, then divides by $\\sqrt{\\hat v}$"
DECOUPLED = "multiplies by $1-\\eta w$, beside Adam's step"
L2_IS_W = "$\\lambda_2=w$"
NONE = "no λ"
HALF_SUM = "half the **sum** of squares"


def which(holds: Mapping[str, bool]) -> str:
    """Return the only words that hold."""
    true = [words for words, so in holds.items() if so]
    if len(true) != 1:
        raise LookupError(f"{len(true)} of the conventions hold: {true}")
    return true[0]


def adam_first(grad: float) -> float:
    """Return Adam's first step, without the learning rate."""
    return grad / (abs(grad) + ADAM_EPS)


def decay_words(end: float) -> str:
    """Say what became of one step from `START`."""
    with_penalty = GRADIENT + float(penalty_vjp(np.asarray(START), 1.0, l2=STRENGTH))
    kept = (1 - LR * STRENGTH) * START
    ends = {
        COUPLED: START - LR * with_penalty,
        DIVIDED: START - LR * adam_first(with_penalty),
        DECOUPLED: kept - LR * adam_first(GRADIENT),
    }
    return which({words: bool(np.isclose(end, value, rtol=1e-6)) for words, value in ends.items()})


def of_torch(make: Callable[..., torch.optim.Optimizer], **options: float) -> float:
    """Take one step of a PyTorch optimizer."""
    theta = torch.tensor([START], dtype=torch.float64, requires_grad=True)
    theta.grad = torch.tensor([GRADIENT], dtype=torch.float64)
    make([theta], lr=LR, weight_decay=STRENGTH, **options).step()
    return theta.item()


def of_optax(*, adam: bool) -> float:
    """Take one step with `add_decayed_weights`, alone or after `scale_by_adam`."""
    parts = [optax.scale_by_adam(eps=ADAM_EPS)] if adam else []
    transform = optax.chain(*parts, optax.add_decayed_weights(STRENGTH), optax.scale(-LR))
    theta = np.asarray([START], dtype=np.float32)
    gradient = np.asarray([GRADIENT], dtype=np.float32)
    update, _ = transform.update(gradient, transform.init(theta), theta)
    return float(optax.apply_updates(theta, update)[0])


def keras_words(name: str) -> tuple[str, str]:
    """Say which penalty a regularizer of Keras adds, and what that is here."""
    theta = np.asarray([3.0, -4.0])
    found = float(getattr(keras.regularizers, name)(STRENGTH)(keras.ops.convert_to_tensor(theta)))
    conventions = {
        ("$l\\sum\\lvert\\theta\\rvert$", "$\\lambda_1=l$"): {"l1": STRENGTH},
        ("$\\frac l2\\sum\\theta^2$", "$\\lambda_2=l$"): {"l2": STRENGTH},
        ("$l\\sum\\theta^2$", "$\\lambda_2=2l$"): {"l2": 2 * STRENGTH},
    }
    same = {
        words: np.isclose(found, float(penalty(theta, **ours)), rtol=1e-6)
        for words, ours in conventions.items()
    }
    formula = which({formula: bool(so) for (formula, _), so in same.items()})
    return f"adds {formula} to the loss", dict(conventions.keys())[formula]


def data() -> tuple[Values, Values]:
    """Return a centred regression problem of 40 examples and 5 features."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    X -= X.mean(0)
    y = X @ np.asarray([2.0, -1.0, 0.5, 0.0, 0.0]) + rng.normal(size=40)
    return X, y - y.mean()


def rests(coef: Values, grad: Values, conventions: Mapping[str, Mapping[str, float]]) -> str:
    """Return the words of the strengths under which the coefficients are a minimum."""
    return which(
        {
            words: bool(np.abs(min_subgradient(coef, grad, **ours)).max() < 1e-4)
            for words, ours in conventions.items()
        }
    )


def regression_words(fit: Ridge | Lasso | ElasticNet, a: float, r: float) -> str:
    """Say which λ of ours, for half the sum of squares, a regression of scikit-learn means."""
    X, y = data()
    coef = fit.fit(X, y).coef_
    n = len(y)
    conventions = {
        "$\\lambda_2=a$": {"l2": a},
        "$\\lambda_2=2a$": {"l2": 2 * a},
        "$\\lambda_1=a$": {"l1": a},
        "$\\lambda_1=na$": {"l1": n * a},
    }
    if r:
        conventions = {
            "$\\lambda_1=ar$, $\\lambda_2=a(1-r)$": {"l1": a * r, "l2": a * (1 - r)},
            "$\\lambda_1=nar$, $\\lambda_2=na(1-r)$": {"l1": n * a * r, "l2": n * a * (1 - r)},
            "$\\lambda_1=nar$, $\\lambda_2=2na(1-r)$": {"l1": n * a * r, "l2": 2 * n * a * (1 - r)},
        }
    return rests(coef, X.T @ (X @ coef - y), conventions)


def logistic_words() -> str:
    """Say which λ of ours, for the sum of the losses, logistic regression means by C."""
    X, y = data()
    sign, C = np.where(y > 0, 1.0, -1.0), 0.25
    fit = LogisticRegression(C=C, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(X, sign)
    coef = fit.coef_[0]
    grad = -X.T @ (sign / (1 + np.exp(sign * (X @ coef))))
    conventions = {
        "$\\lambda_2=c$": {"l2": C},
        "$\\lambda_2=1/c$": {"l2": 1 / C},
        "$\\lambda_2=2/c$": {"l2": 2 / C},
        "$\\lambda_2=1/(2c)$": {"l2": 1 / (2 * C)},
    }
    return rests(coef, grad, conventions)


def which_convention() -> dict[str, tuple[str, ...]]:
    """Return what each call does, and the strength of this page that it means."""
    ours = {COUPLED: L2_IS_W, DIVIDED: NONE, DECOUPLED: NONE}
    steps = {
        "`torch.optim.SGD(weight_decay=w)`": of_torch(torch.optim.SGD),
        "`torch.optim.Adam(weight_decay=w)`": of_torch(torch.optim.Adam, eps=ADAM_EPS),
        "`torch.optim.AdamW(weight_decay=w)`": of_torch(torch.optim.AdamW, eps=ADAM_EPS),
        "optax `add_decayed_weights(w)`": of_optax(adam=False),
        "the same after `scale_by_adam`": of_optax(adam=True),
    }
    rows: dict[str, tuple[str, ...]] = {
        call: (decay_words(end), ours[decay_words(end)]) for call, end in steps.items()
    }
    rows |= {f"`keras.regularizers.{name}(l)`": keras_words(name) for name in ("L1", "L2")}
    tight = {"tol": 1e-12, "max_iter": 100_000}
    a, r = 0.3, 0.6
    fits = {
        "`Ridge(alpha=a)`": (Ridge(alpha=a, solver="svd"), 0.0),
        "`Lasso(alpha=a)`": (Lasso(alpha=a, **tight), 0.0),
        "`ElasticNet(alpha=a, l1_ratio=r)`": (ElasticNet(alpha=a, l1_ratio=r, **tight), r),
    }
    for call, (fit, ratio) in fits.items():
        goal = "the same" if "scikit-learn `Ridge(alpha=a)`" in rows else HALF_SUM
        rows[f"scikit-learn {call}"] = (goal, regression_words(fit, a, ratio))
    rows["scikit-learn `LogisticRegression(C=c)`"] = ("the **sum** of losses", logistic_words())
    return rows
