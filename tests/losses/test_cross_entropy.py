import math

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import special
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import binary_calibration_error

from dlkb.losses.cross_entropy import (
    REDUCTIONS,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_vjp,
    calibration_error,
    cross_entropy,
    cross_entropy_vjp,
    log_softmax,
    reliability,
    smoothing_floor,
    smoothing_gap,
    softmax,
    weighted_probability,
)
from tests.cases import Case
from tests.close import assert_close

LABELS = np.asarray([0, 3, -1, 2, 2])
WEIGHT = np.asarray([0.5, 2.0, 1.0, 0.25])


def smoothed(**options):
    return {"weight": WEIGHT.copy(), "label_smoothing": 0.3, "ignore_index": -1, **options}


def logits(rng, shape=(5, 4)):
    return 3 * rng.normal(size=shape)


def shares(rng, shape=(5, 4)):
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def binary(rng, shape=(5, 4)):
    return logits(rng, shape), rng.uniform(size=shape)


def weighted(**options):
    return {"weight": 1 / WEIGHT, "pos_weight": 2 * WEIGHT, **options}


EXAMPLES = ("logits", "labels")
TOO_LARGE = {"huge all": "weight times loss is beyond the format before the mean divides"}
ENTRIES = {"batch": ("logits", "targets"), "broadcasts": ("weight", "pos_weight")}
TOGETHER = {"batch": (), "broadcasts": ("weight", "pos_weight")}


def predictions(rng):
    return (np.arange(1.0, 32, 3) / 32, np.arange(11.0) % 2), {"bins": 4}


def of_labels(label, options, **conditions):
    def make(rng):
        return (logits(rng), LABELS.copy()), options()

    return Case(cross_entropy, make, label, batch=EXAMPLES, **conditions)


CASES = [
    Case(log_softmax, lambda rng: ((logits(rng),), {}), scale=4),
    Case(softmax, lambda rng: ((logits(rng),), {})),
    of_labels("labels", lambda: {"ignore_index": -1}),
    of_labels("options", smoothed, unless=TOO_LARGE),
    of_labels("each", lambda: smoothed(reduction="none")),
    Case(
        cross_entropy,
        lambda rng: ((logits(rng), shares(rng)), smoothed()),
        "probabilities",
        batch=EXAMPLES,
    ),
    Case(
        cross_entropy_vjp,
        lambda rng: ((logits(rng), LABELS.copy(), np.asarray(0.7)), smoothed(reduction="sum")),
        "sum",
        batch=(),
    ),
    Case(
        cross_entropy_vjp,
        lambda rng: ((logits(rng), LABELS.copy(), np.asarray(0.7)), smoothed()),
        "mean",
        batch=(),
    ),
    Case(
        cross_entropy_vjp,
        lambda rng: ((logits(rng), shares(rng), rng.normal(size=5)), {"reduction": "none"}),
        "each",
    ),
    Case(
        binary_cross_entropy,
        lambda rng: (
            (rng.uniform(size=6), rng.uniform(size=6)),
            {"weight": rng.uniform(size=6), "reduction": "none"},
        ),
        fixed=("p", "targets"),
        broadcasts=("weight",),
    ),
    Case(
        binary_cross_entropy_with_logits,
        lambda rng: (binary(rng), weighted(reduction="none")),
        "each",
        **ENTRIES,
    ),
    Case(binary_cross_entropy_with_logits, lambda rng: (binary(rng), {"pos_weight": 3.0})),
    Case(
        binary_cross_entropy_with_logits_vjp,
        lambda rng: ((*binary(rng), np.asarray(0.7)), weighted(reduction="sum")),
        "sum",
        **TOGETHER,
    ),
    Case(
        binary_cross_entropy_with_logits_vjp,
        lambda rng: ((*binary(rng), np.asarray(0.7)), weighted()),
        "mean",
        **TOGETHER,
    ),
    Case(smoothing_gap, lambda rng: ((), {"classes": 10, "label_smoothing": 0.1})),
    Case(smoothing_floor, lambda rng: ((), {"classes": 10, "label_smoothing": 0.1})),
    Case(weighted_probability, lambda rng: ((rng.uniform(size=5),), {"pos_weight": 4.0})),
    Case(reliability, predictions, batch=()),
    Case(calibration_error, predictions, batch=()),
]


def tensors(*values, grad=True):
    found = [torch.tensor(value) for value in values]
    return [x.requires_grad_(grad and x.is_floating_point()) for x in found]


def test_softmax_is_that_of_scipy_far_from_zero_too():
    for scale in (1e-3, 1.0, 300.0, 1e300):
        z = scale * np.random.default_rng(1).normal(size=(3, 5, 7))
        assert_close(softmax(z), special.softmax(z, axis=-1))
        assert_close(log_softmax(z) / scale, special.log_softmax(z, axis=-1) / scale)
    z = np.asarray([1e4, 1e4 + 1, -np.inf])
    assert_close(softmax(z), np.asarray([special.expit(-1), special.expit(1), 0.0]))
    assert_close(log_softmax(np.zeros((2, 1))), np.zeros((2, 1)))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("kind", ["labels", "zero is ignored", "probabilities", "any sums"])
def test_values_and_gradients_are_those_of_torch(reduction, smoothing, weight, kind):
    rng = np.random.default_rng(2)
    labels = np.asarray([0, 3, 0, 2, 2])
    if kind in ("probabilities", "any sums"):
        labels = shares(rng)
    if kind == "any sums":
        labels = labels * np.arange(5)[:, None]
    ignore = 0 if kind == "zero is ignored" else -100
    z, y = tensors(logits(rng), labels)
    y.requires_grad_(False)
    options = {
        "weight": None if weight is None else torch.tensor(weight),
        "ignore_index": ignore,
        "reduction": reduction,
        "label_smoothing": smoothing,
    }
    expected = F.cross_entropy(z, y, **options)
    cotangent = torch.tensor(rng.normal(size=tuple(expected.shape)))
    expected.backward(cotangent)
    assert_close(cross_entropy(z, y, **options), expected)
    assert_close(cross_entropy_vjp(z.detach(), y, cotangent, **options), z.grad)
    wanted, z.grad = z.grad, None
    cross_entropy(z, y, **options).backward(cotangent)
    assert_close(z.grad, wanted)


@pytest.mark.parametrize("shape", [(4,), (1, 1), (2, 3, 4), (2, 1, 5), (3, 2, 2, 2)])
def test_any_number_of_axes_before_the_classes(shape):
    rng = np.random.default_rng(3)
    z, labels = logits(rng, shape), rng.integers(0, shape[-1], size=shape[:-1])
    z, labels = tensors(z, labels)
    expected = F.cross_entropy(z.reshape(-1, shape[-1]), labels.reshape(-1))
    assert_close(cross_entropy(z, labels), expected)
    each = cross_entropy(z, labels, reduction="none")
    assert tuple(each.shape) == shape[:-1]
    expected.backward()
    one = torch.ones((), dtype=z.dtype)
    assert_close(cross_entropy_vjp(z.detach(), labels, one), z.grad)


def test_the_mean_of_nothing_is_nan_and_its_sum_zero():
    for z, labels in ((np.zeros((0, 3)), np.zeros(0, int)), (np.zeros((2, 3)), np.full(2, -100))):
        assert math.isnan(cross_entropy(z, labels))
        assert cross_entropy(z, labels, reduction="sum") == 0
        assert cross_entropy(z, labels, reduction="none").shape == labels.shape
        assert cross_entropy_vjp(z, labels, np.asarray(1.0), reduction="sum").shape == z.shape
    assert math.isnan(binary_cross_entropy_with_logits(np.zeros(0), np.zeros(0)))
    assert binary_cross_entropy_with_logits(np.zeros(0), np.zeros(0), reduction="sum") == 0
    assert math.isnan(calibration_error(np.zeros(0), np.zeros(0)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_where_all_labels_are_ignored_the_gradient_is_zero_as_torchs(smoothing):
    z, labels = torch.ones(2, 3, requires_grad=True), torch.full((2,), -100)
    (wanted,) = torch.autograd.grad(F.cross_entropy(z, labels, label_smoothing=smoothing), z)
    assert not wanted.any()
    found = cross_entropy_vjp(z.detach(), labels, torch.tensor(1.0), label_smoothing=smoothing)
    assert_close(found, wanted)
    (derived,) = torch.autograd.grad(cross_entropy(z, labels, label_smoothing=smoothing), z)
    assert_close(derived, wanted)


def test_the_derivative_by_targets_that_hold_zeros_is_torchs():
    z, targets = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    targets.requires_grad_()
    found = [
        torch.autograd.grad(f(z, targets), targets)[0] for f in (cross_entropy, F.cross_entropy)
    ]
    assert found[1].all()
    assert_close(*found)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_the_weight_of_a_class_that_no_label_names_does_not_matter(value):
    z, labels = torch.tensor([[0.3, -1.0, 2.0], [1.0, 2.0, 3.0]]), torch.tensor([0, 1])
    weight = torch.tensor([1.0, 2.0, value])  # 1 / frequency, for instance
    if value == math.inf:
        assert_close(cross_entropy(z, labels, weight=weight), F.cross_entropy(z, labels, weight))
    found = [
        cross_entropy_vjp(z, labels, torch.tensor(1.0), weight=w)
        for w in (weight, torch.tensor([1.0, 2.0, 5.0]))
    ]
    assert_close(*found)


@pytest.mark.parametrize("row", [[-math.inf, 1.0, 2.0], [math.inf, 1.0, 2.0], [math.nan] * 3])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_an_ignored_label_has_no_loss_whatever_its_logits(row, reduction):
    z, labels = torch.tensor([row, [1.0, 2.0, 4.0]]), torch.tensor([-100, 1])
    expected = F.cross_entropy(z[1:], labels[1:])
    found = cross_entropy(z, labels, reduction=reduction)
    assert_close(found[1] if reduction == "none" else found, expected)
    assert reduction != "none" or found[0] == 0


@pytest.mark.parametrize("label", [4, -1, 100, -101])
@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor, jnp.asarray])
def test_a_label_that_names_no_class_gives_nan_everywhere(label, library):
    z, labels = library(np.zeros((2, 4))), library(np.asarray([label, 1]))
    each = cross_entropy(z, labels, reduction="none", label_smoothing=0.1)
    assert math.isnan(each[0])
    assert each[1] == pytest.approx(math.log(4))
    assert math.isnan(cross_entropy(z, labels))
    assert math.isnan(cross_entropy_vjp(z, labels, library(np.asarray(1.0)), reduction="sum")[0, 0])


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64])
def test_integers_of_any_width_are_labels(kind):
    labels = np.asarray([1, 255 if kind is np.uint8 else 3], dtype=kind)
    found = cross_entropy(np.zeros((2, 3)), labels, ignore_index=int(labels[1]))
    assert found == pytest.approx(math.log(3))
    # As a byte, -100 is 156: an ordinary label must not be taken for the one to ignore.
    label = torch.tensor([156], dtype=torch.uint8)
    assert cross_entropy(torch.zeros(1, 200), label) == pytest.approx(math.log(200))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    z = torch.tensor(np.random.default_rng(0).normal(size=(64, 9))).to(dtype)
    options = {"labels": torch.arange(64) % 9, "label_smoothing": 0.3, "reduction": "none"}
    assert torch.equal(cross_entropy(z, **options), cross_entropy(z.float(), **options).to(dtype))


@pytest.mark.parametrize("label", [2**32, 2**32 + 1, 2**32 - 100])
@pytest.mark.parametrize("library", [np.asarray, torch.tensor])
def test_a_label_of_64_bits_is_no_class(library, label):
    assert math.isnan(cross_entropy(library([[0.0, 0.0], [0.0, 0.0]]), library([label, 1])))


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_an_unsigned_label_is_not_ignored_by_its_bits(kind):
    labels = np.asarray([np.iinfo(kind).max - 99, 1], dtype=kind)  # the bits of −100
    assert math.isnan(cross_entropy(np.zeros((2, 3)), labels))


def test_a_class_that_is_ruled_out_costs_nothing_where_it_did_not_happen():
    z = torch.tensor([[1.0, 2.0, -math.inf]], dtype=torch.float64, requires_grad=True)
    expected = cross_entropy(z[:, :2], torch.tensor([0]))
    for labels in (torch.tensor([0]), torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)):
        loss = cross_entropy(z, labels)
        assert_close(loss, expected)
        (grad,) = torch.autograd.grad(loss, z, retain_graph=True)
        p = special.expit(1.0)
        assert_close(grad, np.asarray([[-p, p, 0.0]]))
        assert_close(cross_entropy_vjp(z.detach(), labels, torch.ones(())), grad)
    assert cross_entropy(z, torch.tensor([2])) == math.inf


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once_and_sums_do_not_overflow(dtype):
    z = torch.zeros(20_000, 50, dtype=dtype)
    labels = torch.zeros(20_000, dtype=torch.int64)
    loss = cross_entropy(z, labels)
    assert loss.dtype == dtype
    assert_close(loss, np.asarray(math.log(50)), dtype="bfloat16")
    # The sum of the losses, 78 000, is beyond float16; 1/n is below half of its resolution.
    yes = torch.zeros(20_000, dtype=dtype)
    assert_close(
        binary_cross_entropy_with_logits(yes, yes), np.asarray(math.log(2)), dtype="float16"
    )
    rng = np.random.default_rng(4)
    small = torch.tensor(rng.normal(size=(9, 7)), dtype=dtype)
    labels = torch.tensor(rng.integers(0, 7, size=9))
    exact = F.cross_entropy(small.double(), labels).to(dtype)
    torch.testing.assert_close(cross_entropy(small, labels), exact, rtol=0, atol=0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("pos_weight", [None, WEIGHT])
@pytest.mark.parametrize("shape", [(5, 4), (0, 4), (1, 4), (2, 3, 4)])
def test_binary_values_and_gradients_are_those_of_torch(reduction, weight, pos_weight, shape):
    rng = np.random.default_rng(5)
    z, y = tensors(*binary(rng, shape))
    y.requires_grad_(False)
    options = {
        "weight": None if weight is None else torch.tensor(weight),
        "pos_weight": None if pos_weight is None else torch.tensor(pos_weight),
        "reduction": reduction,
    }
    expected = F.binary_cross_entropy_with_logits(z, y, **options)
    cotangent = torch.tensor(rng.normal(size=tuple(expected.shape)))
    expected.backward(cotangent)
    assert_close(binary_cross_entropy_with_logits(z, y, **options), expected)
    found = binary_cross_entropy_with_logits_vjp(z.detach(), y, cotangent, **options)
    assert_close(found, z.grad)
    wanted, z.grad = z.grad, None
    binary_cross_entropy_with_logits(z, y, **options).backward(cotangent)
    assert_close(z.grad, wanted)


def test_binary_logits_are_stable_and_smooth():
    z = torch.tensor([-1e4, -200.0, 0.0, 200.0, 1e4], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    loss = binary_cross_entropy_with_logits(z, y, reduction="none")
    assert_close(loss / 1e4, np.asarray([1e4, 200.0, math.log(2), 200.0, 0.0]) / 1e4)
    (grad,) = torch.autograd.grad(loss.sum(), z, create_graph=True)
    assert_close(grad, np.asarray([-1.0, -1.0, 0.5, 1.0, 0.0]))
    (second,) = torch.autograd.grad(grad.sum(), z)
    assert_close(second, np.asarray([0.0, 0.0, 0.25, 0.0, 0.0]))
    for z, y in ((40.0, 1.0), (-40.0, 0.0)):
        assert binary_cross_entropy_with_logits(np.asarray(z), np.asarray(y)) == math.exp(-40)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, 1 + np.arange(6.0)])
def test_binary_from_probabilities_is_torchs(reduction, weight):
    p, y = tensors(np.asarray([0.0, 0.0, 1.0, 1.0, 0.3, 1e-60]), np.asarray([0, 1, 0, 1, 0.4, 1.0]))
    y.requires_grad_(False)
    weight = None if weight is None else torch.tensor(weight)
    expected = F.binary_cross_entropy(p, y, weight=weight, reduction=reduction)
    assert_close(binary_cross_entropy(p, y, weight=weight, reduction=reduction), expected)
    inner, targets = tensors(np.asarray([0.3, 0.9]), np.asarray([0.4, 1.0]))
    (grad,) = torch.autograd.grad(F.binary_cross_entropy(inner, targets.detach()), inner)
    (found,) = torch.autograd.grad(binary_cross_entropy(inner, targets.detach()), inner)
    assert_close(found, grad)


def test_at_the_edges_the_slope_is_that_of_the_floored_logarithms_not_torchs():
    p, y = torch.tensor([0.0, 0, 1, 1, 1e-14], dtype=torch.float64), torch.tensor([0.0, 1, 0, 1, 1])
    p, y = p.requires_grad_(), y.double()
    losses = [binary_cross_entropy, F.binary_cross_entropy]
    ours, theirs = (torch.autograd.grad(loss(p, y, reduction="sum"), p)[0] for loss in losses)
    assert_close(ours * 1e-14, torch.tensor([1e-14, 0, 0, -1e-14, -1], dtype=torch.float64))
    floor = float(np.float32(1e-12))
    assert_close(theirs * floor, torch.tensor([0.0, -1, 1, 0, -1], dtype=torch.float64))


def test_two_classes_are_yes_or_no():
    z = np.random.default_rng(6).normal(size=9)
    labels = np.arange(9) % 2
    pair = np.stack([np.zeros(9), z], axis=-1)
    expected = binary_cross_entropy_with_logits(z, labels.astype(float))
    assert_close(cross_entropy(pair, labels), expected)
    assert_close(expected, log_loss(labels, special.expit(z)))


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("smoothing", [0.01, 0.1, 0.5, 1.0])
def test_floor_and_gap_are_where_the_smoothed_loss_is_least(classes, smoothing):
    gap = smoothing_gap(classes=classes, label_smoothing=smoothing)
    z = np.zeros(classes)
    losses = []
    for shift in (-0.01, 0.0, 0.01):
        z[0] = gap + shift
        losses.append(cross_entropy(z, np.asarray(0), label_smoothing=smoothing))
    floor = smoothing_floor(classes=classes, label_smoothing=smoothing)
    assert_close(losses[1], floor)
    assert losses[0] > floor < losses[2]
    assert smoothing_floor(classes=classes, label_smoothing=0.0) == 0


def test_a_positive_weight_leads_to_the_weighted_probability():
    p = np.asarray([0.02, 0.3, 0.9])
    for pos_weight in (0.1, 1.0, 49.0):
        z = special.logit(weighted_probability(p, pos_weight=pos_weight))
        assert_close(z, special.logit(p) + math.log(pos_weight))
        options = {"reduction": "none", "pos_weight": pos_weight}
        slope = binary_cross_entropy_with_logits_vjp(z, p, np.ones(3), **options)
        assert_close(slope, np.zeros(3), scale=100)
        back = weighted_probability(special.expit(z), pos_weight=1 / pos_weight)
        assert_close(back, p)
    ends = np.asarray([0.0, 1.0])
    for pos_weight in (7.0, 1e-17):
        assert_close(weighted_probability(ends, pos_weight=pos_weight), ends)


@pytest.mark.parametrize("bins", [1, 2, 15, 30])
def test_calibration_error_is_that_of_torchmetrics(bins):
    rng = np.random.default_rng(7)
    p = rng.uniform(size=500) ** 2
    happened = (rng.uniform(size=500) < p**2).astype(float)
    expected = binary_calibration_error(torch.tensor(p), torch.tensor(happened).int(), n_bins=bins)
    assert_close(calibration_error(p, happened, bins=bins), expected.double(), scale=1e6)


def test_bins_are_closed_on_the_right_and_empty_bins_count_nothing():
    c = np.asarray([0.0, 0.25, 0.26, 0.5, 1.0])
    data = reliability(c, np.asarray([0.0, 1.0, 1.0, 0.0, 1.0]), bins=4)
    assert_close(data.share, np.asarray([0.4, 0.4, 0.0, 0.2]))
    assert_close(data.confidence, np.asarray([0.125, 0.38, 0.0, 1.0]))
    assert_close(data.accuracy, np.asarray([0.5, 0.5, 0.0, 1.0]))
    expected = 0.4 * 0.375 + 0.4 * 0.12
    assert_close(calibration_error(c, np.asarray([0.0, 1.0, 1.0, 0.0, 1.0]), bins=4), expected)
    half = torch.linspace(0, 1, 3000, dtype=torch.float16)
    assert_close(
        reliability(half, torch.zeros_like(half)).share.sum(), np.asarray(1.0), dtype="float16"
    )


def test_new_arrays_are_made_where_the_logits_are():
    z, labels = torch.empty(2, 3, device="meta"), torch.empty(2, dtype=torch.int64, device="meta")
    assert cross_entropy(z, labels).device.type == "meta"
    assert reliability(z[0], z[1]).share.device.type == "meta"


Z, ONE = np.zeros((2, 3)), np.asarray(1.0)
Y = np.zeros(2, int)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: softmax(np.zeros((2, 0))), ValueError, r"logits has shape \(2, 0\): its last"),
        (lambda: log_softmax(np.asarray(1.0)), ValueError, r"logits has shape \(\)"),
        (lambda: softmax(np.zeros(3, int)), TypeError, "logits has dtype int64"),
        (lambda: cross_entropy(Z, np.zeros(3, int)), ValueError, r"labels has shape \(3,\) but"),
        (lambda: cross_entropy(Z, np.zeros(3)), ValueError, r"labels has shape \(3,\)"),
        (lambda: cross_entropy(Z, Y > 0), TypeError, "labels has dtype bool"),
        (lambda: cross_entropy(Z[0], 1), TypeError, "labels is int: an array is needed"),
        (lambda: cross_entropy(Z, Y, ignore_index=2**31), ValueError, "ignore_index is 2147483648"),
        (lambda: cross_entropy_vjp(Z, Y, 1.0), TypeError, "cotangent is float: an array"),
        (lambda: cross_entropy(Z, Y, weight=np.ones(2)), ValueError, r"weight has .* \(3,\)"),
        (lambda: cross_entropy(Z, Y, reduction="batch"), ValueError, "reduction is 'batch'"),
        (lambda: cross_entropy(Z, Y, label_smoothing=1.1), ValueError, "label_smoothing is 1.1"),
        (lambda: cross_entropy_vjp(Z, Y, np.ones(2)), ValueError, r"cotangent has shape \(2,\)"),
        (
            lambda: cross_entropy_vjp(Z, Y, ONE, reduction="none"),
            ValueError,
            r"cotangent has shape \(\): it must be \(2,\)",
        ),
        (lambda: cross_entropy_vjp(Z, Y, ONE, reduction="x"), ValueError, "reduction is 'x'"),
        (lambda: binary_cross_entropy(Z, np.zeros(3)), ValueError, r"targets has shape \(3,\)"),
        (lambda: binary_cross_entropy(Z, Z, reduction="x"), ValueError, "reduction is 'x'"),
        (
            lambda: binary_cross_entropy(Z, Z, weight=np.ones((2, *Z.shape))),
            ValueError,
            "weight has",
        ),
        (lambda: binary_cross_entropy(Y, Z), TypeError, "p has dtype int64"),
        (lambda: binary_cross_entropy_with_logits(Z, Z > 0), TypeError, "targets has dtype bool"),
        (
            lambda: binary_cross_entropy_with_logits(Z, Z[:, :1]),
            ValueError,
            r"targets has shape \(2, 1\) but logits",
        ),
        (
            lambda: binary_cross_entropy_with_logits(Z, Z, pos_weight=np.ones((2, 1, 3))),
            ValueError,
            "pos_weight has",
        ),
        (
            lambda: binary_cross_entropy_with_logits(Z, Z, reduction="x"),
            ValueError,
            "reduction is 'x'",
        ),
        (
            lambda: binary_cross_entropy_with_logits_vjp(Z, Z, Z),
            ValueError,
            r"cotangent has shape \(2, 3\)",
        ),
        (
            lambda: binary_cross_entropy_with_logits_vjp(Z, Z, np.asarray(1)),
            TypeError,
            "cotangent has dtype int64",
        ),
        (lambda: smoothing_gap(classes=1, label_smoothing=0.1), ValueError, "classes is 1"),
        (lambda: smoothing_gap(classes=2, label_smoothing=0), ValueError, r"\(0, 1\]"),
        (lambda: smoothing_floor(classes=1, label_smoothing=0.1), ValueError, "classes is 1"),
        (lambda: smoothing_floor(classes=2, label_smoothing=2), ValueError, "label_smoothing is 2"),
        (lambda: weighted_probability(Z, pos_weight=0.0), ValueError, "pos_weight is 0.0"),
        (lambda: reliability(Z, Z), ValueError, r"confidence has shape \(2, 3\): .* one axis"),
        (lambda: reliability(Z[0], Z[0], bins=0), ValueError, "bins is 0"),
        (lambda: reliability(Z[0], Z[0] > 0), TypeError, "correct has dtype bool"),
        (lambda: calibration_error(Z[0], np.zeros(2)), ValueError, r"correct has shape \(2,\)"),
        (lambda: calibration_error(Z[0], Z[0] > 0), TypeError, "correct has dtype bool"),
        (lambda: calibration_error(Z[0] > 0, Z[0]), TypeError, "confidence has dtype bool"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
