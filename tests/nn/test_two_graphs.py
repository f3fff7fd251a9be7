"""A formula and its gradient as two graphs, against autograd and the functions of torch."""

import io
import itertools
import warnings
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import grad, hessian, jvp, vmap
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP

import dlkb.nn as ours
from dlkb.activations.gelu import gelu, gelu_vjp, mish, mish_vjp, silu, silu_vjp
from dlkb.activations.glu import gated, gated_vjp
from dlkb.losses.cross_entropy import cross_entropy, cross_entropy_vjp
from dlkb.nn import compiled, saved_memory
from dlkb.nn.two_graphs import TwoGraphs
from dlkb.normalization.layer_norm import layer_norm, layer_norm_vjp
from dlkb.normalization.rms_norm import rms_norm, rms_norm_vjp
from tests.close import assert_close

LLAMA = LlamaConfig(hidden_size=64, intermediate_size=64)


def draws(*shapes: tuple[int, ...]):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


X, G, W, B = draws((6, 5), (6, 5), (5,), (5,))
CASES = {
    "gelu": (gelu, gelu_vjp, {}, F.gelu, [X]),
    "gelu, tanh": (
        gelu,
        gelu_vjp,
        {"approximate": "tanh"},
        partial(F.gelu, approximate="tanh"),
        [X],
    ),
    "silu": (silu, silu_vjp, {}, F.silu, [X]),
    "mish": (mish, mish_vjp, {}, F.mish, [X]),
    "swiglu": (gated, gated_vjp, {"variant": "swiglu"}, lambda v, g: v * F.silu(g), [X, G]),
    "layer norm": (
        layer_norm,
        layer_norm_vjp,
        {"eps": 0.1},
        lambda x, w, b: F.layer_norm(x, (5,), w, b, eps=0.1),
        [X, W, B],
    ),
    "rms norm, no gain": (
        rms_norm,
        rms_norm_vjp,
        {"eps": 0.1},
        lambda x, w: F.rms_norm(x, (5,), eps=0.1),
        [X, None],
    ),
    "cross entropy": (
        cross_entropy,
        cross_entropy_vjp,
        {"label_smoothing": 0.1},
        partial(F.cross_entropy, label_smoothing=0.1),
        [X, torch.tensor([0, 1, 2, 3, 4, -100])],
    ),
}


def leaves(inputs, dtype, device):
    def leaf(x):
        if not isinstance(x, torch.Tensor):
            return x
        x = x.detach().clone().to(device)
        return x.to(dtype).requires_grad_() if x.is_floating_point() else x

    return [leaf(x) for x in inputs]


def gradients(function, inputs, *, create_graph=False):
    at = [x for x in inputs if isinstance(x, torch.Tensor) and x.requires_grad]
    y = function(*inputs)
    weights = torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype, device=y.device)
    loss = (y * weights.reshape(y.shape)).sum()
    return y, torch.autograd.grad(loss, at, create_graph=create_graph)


@pytest.fixture(autouse=True)
def quick(request, monkeypatch):
    """Trace as for the compiler, and run the graphs as they are; "compiler" takes all of it."""
    torch.compiler.reset()
    if "compiler" not in request.fixturenames:
        monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))


@pytest.fixture
def compiler():
    """The compiler that users have."""


# Of CUDA's compiler, where a row is summed in parts: PyTorch 2.11.
@pytest.mark.filterwarnings(r"ignore:\s*Online softmax is disabled:UserWarning")
def test_the_compiler_itself(compiler, device):
    for case in ("layer norm", "cross entropy"):
        test_values_and_gradients_are_those_of_torch(case, torch.float32, device)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_are_those_of_torch(case, dtype, device):
    formula, vjp, options, theirs, inputs = CASES[case]
    ours = compiled(formula, vjp, options)
    for transposed in (False, True):
        given = leaves(inputs, dtype, device)
        if transposed and len(given) == 1:  # strided as others leave it
            given = [given[0].detach().mT.contiguous().mT.requires_grad_()]
        y, found = gradients(ours, given)
        wanted_y, wanted = gradients(theirs, given)
        tolerance = str(dtype).removeprefix("torch.")
        assert_close(y.detach(), wanted_y.detach(), dtype=tolerance)
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == b.dtype
            assert_close(a, b, dtype=tolerance)


def test_many_dtypes_axes_and_options_are_all_compiled():
    """The compiler gives up on a code object after eight kernels."""
    torch._dynamo.utils.counters.clear()
    fast = compiled(gelu, gelu_vjp)
    kinds = list(itertools.product((torch.float64, torch.float32, torch.bfloat16), (1, 2, 3, 4)))
    for dtype, axes in kinds:
        fast(torch.ones((2,) * axes, dtype=dtype))
    fast(torch.zeros((2,) * axes, dtype=dtype))
    compiled(gelu, gelu_vjp, {"approximate": "tanh"})(torch.ones(2))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == len(kinds) + 1


def test_only_the_inputs_are_kept():
    kept = []
    x = X.clone().requires_grad_()
    fast = compiled(gelu, gelu_vjp)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        fast(x)
    assert [t.data_ptr() for t in kept] == [x.data_ptr()]


@pytest.mark.parametrize("case", ["gelu", "layer norm", "cross entropy"])
def test_gradients_can_be_differentiated_again(case):
    formula, vjp, options, theirs, inputs = CASES[case]
    second = []
    for function in (compiled(formula, vjp, options), theirs):
        given = leaves(inputs, torch.float64, "cpu")
        _, (first, *_) = gradients(function, given, create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), given[0])[0])
    assert_close(second[0], second[1], dtype="float64")


def test_transforms_take_the_plain_formula():
    fast, x = compiled(gelu, gelu_vjp), X[0]
    assert_close(vmap(fast)(X), F.gelu(X), dtype="float64")
    assert_close(
        grad(lambda x: fast(x).sum())(x), grad(lambda x: F.gelu(x).sum())(x), dtype="float64"
    )
    assert_close(jvp(fast, (x,), (x,))[1], jvp(F.gelu, (x,), (x,))[1], dtype="float64")
    assert_close(
        hessian(lambda x: fast(x).sum())(x), hessian(lambda x: F.gelu(x).sum())(x), dtype="float64"
    )
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, x)
        tangent = torch.autograd.forward_ad.unpack_dual(fast(dual)).tangent
    assert_close(tangent, jvp(F.gelu, (x,), (x,))[1], dtype="float64")


def test_batched_gradients():
    x = X.clone().requires_grad_()
    each = torch.eye(X.numel(), dtype=torch.float64).reshape(-1, *X.shape)
    found, wanted = (
        torch.autograd.grad(f(x), x, each, is_grads_batched=True)[0]
        for f in (compiled(gelu, gelu_vjp), F.gelu)
    )
    assert_close(found, wanted, dtype="float64")


def test_inside_another_compiler():
    fast = compiled(gelu, gelu_vjp)
    outer = torch.compile(lambda x: fast(x) + 1, fullgraph=True, backend="aot_eager")
    x = X.clone().requires_grad_()
    assert_close(gradients(outer, [x])[1][0], gradients(F.gelu, [x])[1][0], dtype="float64")


def test_autocast_is_off_inside():
    def linear(x, weight):
        return x @ weight.mT

    def linear_vjp(x, weight, cotangent):
        return cotangent @ weight, cotangent.mT @ x

    fast = compiled(linear, linear_vjp)
    x, weight = X.float().requires_grad_(), G.float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = fast(x, weight)
        y.sum().backward()
    assert y.dtype == x.grad.dtype == weight.grad.dtype == torch.float32
    assert_close(y.detach(), (x @ weight.mT).detach(), dtype="float32")
    assert_close(x.grad, weight.detach().sum(0).expand(6, 5), dtype="float32")


def test_without_gradients_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(TwoGraphs, "apply", lambda *given: pytest.fail("a graph is kept"))
    fast = compiled(gelu, gelu_vjp)
    with torch.no_grad():
        assert not fast(X.clone().requires_grad_()).requires_grad
    assert fast(X).grad_fn is None


@pytest.mark.parametrize("again", [False, True])
def test_which_gradient_is_called(again, monkeypatch):
    """The compiled one; the formula where its result shall be differentiated in turn."""
    calls = []

    def counted(function, **_):
        return lambda **arguments: (calls.append(function.__name__), function(**arguments))[1]

    monkeypatch.setattr(torch, "compile", counted)
    x = X.clone().requires_grad_()
    torch.autograd.grad(compiled(gelu, gelu_vjp)(x).sum(), x, create_graph=again)
    assert calls == (["gelu"] if again else ["gelu", "gelu_vjp"])


def test_a_dual_number_takes_the_plain_formula(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda f, **_: lambda **_: pytest.fail("compiled"))
    with torch.autograd.forward_ad.dual_level():
        compiled(gelu, gelu_vjp)(torch.autograd.forward_ad.make_dual(X, X))


def test_labels_have_no_gradient_and_a_missing_one_is_refused():
    soft = torch.softmax(X, -1).requires_grad_()
    fast = compiled(cross_entropy, cross_entropy_vjp)
    assert_close(fast(X, soft.detach()), F.cross_entropy(X, soft.detach()), dtype="float64")
    with pytest.raises(NotImplementedError, match=r"cross_entropy_vjp returns 1 .* detach\(\) it"):
        fast(X.clone().requires_grad_(), soft).backward()


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: compiled(gelu, silu_vjp, {"approximate": "tanh"}), ValueError, "silu_vjp has no"),
        (lambda: compiled(gelu, gelu_vjp, {"form": 1}), ValueError, "gelu has no argument form"),
        (lambda: compiled(gelu, layer_norm), ValueError, "layer_norm has no argument cotangent"),
        (lambda: compiled(gelu, gelu_vjp)(X, "tanh"), TypeError, "2 arguments are given"),
        (lambda: compiled(layer_norm, layer_norm_vjp)(X, 2.0), TypeError, "weight is float"),
        (lambda: compiled(gelu, gelu_vjp)(None), TypeError, "x is NoneType"),
    ],
)
def test_bad_input(build, error, message):
    with pytest.raises(error, match=message):
        build()


def kept(module, *inputs):
    """Bytes of what is kept for the backward pass, without parameters."""
    saved = saved_memory(module, inputs)
    return saved.inputs + saved.activations


MODULES = {
    "gelu": (ours.GELU, nn.GELU),
    "gelu, tanh": (partial(ours.GELU, "tanh"), partial(nn.GELU, "tanh")),
    "elu": (ours.ELU, nn.ELU),
    "relu": (ours.ReLU, nn.ReLU),
    "leaky relu": (ours.LeakyReLU, nn.LeakyReLU),
    "prelu": (ours.PReLU, nn.PReLU),
    "prelu, channels": (partial(ours.PReLU, 64), partial(nn.PReLU, 64)),
    "softplus": (ours.Softplus, nn.Softplus),
    "silu": (ours.SiLU, nn.SiLU),
    "mish": (ours.Mish, nn.Mish),
    "quick gelu": (ours.QuickGELU, nn.GELU),
    "sigmoid": (ours.Sigmoid, nn.Sigmoid),
    "tanh": (ours.Tanh, nn.Tanh),
    "log sigmoid": (ours.LogSigmoid, nn.LogSigmoid),
    "glu": (ours.GLU, nn.GLU),
    "gated MLP": (partial(ours.GatedMLP, 64, 64), partial(LlamaMLP, LLAMA)),
    "layer norm": (partial(ours.LayerNorm, 64), partial(nn.LayerNorm, 64)),
    "rms norm": (partial(ours.RMSNorm, 64), partial(nn.RMSNorm, 64)),
    "batch norm": (partial(ours.BatchNorm1d, 64), partial(nn.BatchNorm1d, 64)),
    "group norm": (partial(ours.GroupNorm, 4, 64), partial(nn.GroupNorm, 4, 64)),
    "cross entropy": (ours.CrossEntropyLoss, nn.CrossEntropyLoss),
    "binary cross entropy": (ours.BCEWithLogitsLoss, nn.BCEWithLogitsLoss),
    "Huber": (ours.HuberLoss, nn.HuberLoss),
    "smooth L1": (ours.SmoothL1Loss, nn.SmoothL1Loss),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", MODULES)
def test_modules_keep_no_more_than_those_of_torch(name, dtype):
    x = torch.randn(128, 64).to(dtype).requires_grad_()
    labels = torch.arange(128) % 64
    more = [] if name in list(MODULES)[:-4] else [labels if name == "cross entropy" else x.detach()]
    mine, theirs = (kept(make().to(dtype), x, *more) for make in MODULES[name])
    assert 0 < mine <= theirs


@pytest.mark.parametrize("name", ["gelu", "layer norm"])
def test_a_trace_can_be_saved(name):
    module, x = MODULES[name][0](), torch.randn(3, 64, requires_grad=True)
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # of the tracer, and that it is deprecated
        torch.jit.save(torch.jit.trace(module, x), file)
        file.seek(0)
        assert_close(torch.jit.load(file)(x).detach(), module(x).detach(), dtype="float32")


@pytest.mark.parametrize("name", ["gelu", "rms norm"])
def test_shapes_alone_on_the_meta_device(name):
    module = MODULES[name][0]().to("meta")
    x = torch.empty(3, 64, device="meta", requires_grad=True)
    y = module(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == (3, 64)


def test_attention_keeps_its_inputs_alone():
    class Attention(nn.Module):
        def forward(self, q, k, v):
            return ours.scaled_dot_product_attention(q, k, v, is_causal=True)

    q, k, v = (torch.randn(2, 3, 64, 8, requires_grad=True) for _ in range(3))
    assert kept(Attention(), q, k, v) == 3 * q.nbytes


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "BCEWithLogitsLoss", "HuberLoss"])
def test_targets_may_require_a_gradient(name):
    found = []
    for module in (getattr(ours, name)(), getattr(nn, name)()):
        x, y = X.clone().requires_grad_(), torch.softmax(G, -1).requires_grad_()
        found.append(torch.autograd.grad(module(x, y), (x, y)))
    for mine, theirs in zip(*found, strict=True):
        assert_close(mine, theirs, dtype="float64")
