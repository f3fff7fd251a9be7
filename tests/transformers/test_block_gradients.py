import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

from dlkb.transformers.block_gradients import SLOPES, attend_vjp, block_vjp, feed_forward_vjp
from dlkb.transformers.blocks import (
    ACTIVATIONS,
    AttentionParams,
    BlockParams,
    Linear,
    attend,
    block,
    feed_forward,
)
from scripts.peers.transformers.blocks import redrawn, torch_params
from tests.cases import Case, leaves, map_arrays
from tests.close import assert_close
from tests.transformers import test_blocks
from tests.transformers.test_blocks import OVERFLOW, SCORES, block_params, mlp_params, tokens

GRADIENTS = {attend: attend_vjp, block: block_vjp, feed_forward: feed_forward_vjp}
ALIKE = "keys that differ by less than their rounding: what queries get cancels"


def alike(*names):
    return {f"float64 {size} {name}": ALIKE for size in ("small", "tiny") for name in names}


GATED = {"float16 large x": OVERFLOW, "float16 large all": OVERFLOW}
READING = alike("memory") | {"float64 small all": ALIKE} | SCORES
UNLESS = {
    **dict.fromkeys(ACTIVATIONS, GATED),
    **dict.fromkeys(("attend", "mask"), READING),
    "grouped, causal, rotary": alike("memory", "all") | SCORES,
    "block": alike("x", "all"),
    "post-norm": {
        **alike("x"),
        "float64 small all": ALIKE,
        "float64 huge x": "the scores overflow",
        "float64 huge all": "the scores overflow",
    },
    "memory": alike("x", "memory", "all") | SCORES,
}


def without_key_bias(tree):
    """Leave out the biases whose gradient is zero: rounding is all that could be compared."""
    if isinstance(tree, AttentionParams):
        return tree._replace(k=Linear(tree.k.weight))
    if isinstance(tree, BlockParams):
        return BlockParams(*map(without_key_bias, tree))
    return tree


def gradient_case(of):
    """Return the case of a gradient: the arguments of the formula's case, and a cotangent."""

    def make(rng):
        args, options = of.make(rng)
        if options.get("rotary_base") is None:
            args = tuple(map(without_key_bias, args))
        return (*args, rng.normal(size=args[0].shape)), options

    return Case(
        GRADIENTS[of.function],
        make,
        of.label,
        scale=100.0,
        fixed=of.fixed,
        batch=(),  # gradients of weights are sums over the batch
        broadcasts=of.broadcasts,
        unless=UNLESS.get(of.label or of.function.__name__, {}),
    )


CASES = [gradient_case(of) for of in test_blocks.CASES if of.function in GRADIENTS]
UNTRACED = {"is_causal": False, "rotary_base": None}
"""What makes arrays on the device of another: JAX's arrays have none while it differentiates."""
FORMULAS = {vjp: formula for formula, vjp in GRADIENTS.items()}


def split(case, given):
    """Return the formula of the arrays that have gradients, these arrays, and the cotangent."""
    given = dict(given)
    cotangent = given.pop("cotangent")
    names = [name for name in ("x", "params", "memory") if name in given]

    def formula(*arrays):
        return FORMULAS[case.function](**(given | dict(zip(names, arrays, strict=True))))

    return formula, [given[name] for name in names], cotangent


def in_order(grads):
    """Return the gradients by x, by the parameters and by the memory, as `split` names them."""
    return [getattr(grads, n) for n in ("x", "params", "memory") if hasattr(grads, n)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_those_of_autograd(case):
    formula, arrays, cotangent = split(case, map_arrays(torch.as_tensor, case.arguments()))
    arrays = map_arrays(lambda a: a.clone().requires_grad_(), arrays)
    expected = torch.autograd.grad(formula(*arrays), leaves(arrays), cotangent)
    found = leaves(in_order(case.call(map_arrays(torch.as_tensor, case.arguments()))))
    assert len(found) == len(expected)
    for grad, wanted in zip(found, expected, strict=True):
        assert_close(grad, wanted, scale=100)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_those_of_jax(case):
    given = case.arguments()
    given |= {n: v for n, v in UNTRACED.items() if n in given}
    formula, arrays, cotangent = split(case, map_arrays(jnp.asarray, given))
    _, back = jax.vjp(formula, *arrays)
    found = leaves(in_order(case.call(given)))
    for grad, wanted in zip(found, leaves(list(back(cotangent))), strict=True):
        assert_close(grad, wanted, scale=100)


def test_a_bias_that_the_rms_norm_ignores_has_the_gradient_zero():
    rng = np.random.default_rng(0)
    x, params = tokens(rng), block_params(rng)
    found = block_vjp(x, params, tokens(rng), heads=2, rms=True)
    assert [g.shape for g in leaves(found.params)] == [p.shape for p in leaves(params)]
    assert not found.params.attention_norm.bias.any()


@pytest.mark.parametrize("pre_norm", [False, True])
def test_gradients_are_those_of_torchs_decoder_layer(pre_norm):
    options = {"dropout": 0.0, "batch_first": True, "norm_first": pre_norm}
    layer = redrawn(nn.TransformerDecoderLayer(8, 2, 12, **options))
    rng = np.random.default_rng(0)
    x, memory, cotangent = (torch.tensor(tokens(rng, n)).requires_grad_() for n in (5, 6, 5))
    names = [n for n, _ in layer.named_parameters()]
    grads = torch.autograd.grad(layer(x, memory), [x, memory, *layer.parameters()], cotangent)
    expected = dict(zip(["x", "memory", *names], grads, strict=True))
    with torch.no_grad():
        params = torch_params(layer, cross=True)
        options = {"heads": 2, "pre_norm": pre_norm, "activation": "relu"}
        found = block_vjp(x, params, cotangent, memory=memory, **options)
    own, cross, mlp = found.params.attention, found.params.cross, found.params.feed_forward
    packed = torch.cat([cross.q.weight, cross.k.weight, cross.v.weight])
    for grad, name in (
        (found.x, "x"),
        (found.memory, "memory"),
        (own.o.weight, "self_attn.out_proj.weight"),
        (packed, "multihead_attn.in_proj_weight"),
        (mlp.up.bias, "linear1.bias"),
        (found.params.cross_norm.weight, "norm2.weight"),
        (found.params.feed_forward_norm.bias, "norm3.bias"),
    ):
        assert_close(grad, expected[name], scale=100)


def test_the_gradient_of_the_keys_bias_is_zero_and_by_rotation_it_is_not():
    rng = np.random.default_rng(0)
    x, params = tokens(rng), block_params(rng)
    for base, zero in ((None, True), (100.0, False)):
        found = block_vjp(x, params, tokens(rng), heads=2, rotary_base=base)
        assert np.allclose(found.params.attention.k.bias, 0, atol=1e-12) == zero


def test_a_silent_branch_hands_the_gradient_on_before_the_norm_alone():
    rng = np.random.default_rng(0)
    x, cotangent = tokens(rng), tokens(rng)
    params = map_arrays(np.zeros_like, block_params(rng))
    assert np.array_equal(block_vjp(x, params, cotangent, heads=2).x, cotangent)
    assert not block_vjp(x, params, cotangent, heads=2, pre_norm=False).x.any()


def test_every_activation_has_its_slope():
    assert list(SLOPES) == list(ACTIVATIONS)


def test_errors():
    rng = np.random.default_rng(0)
    x, params = tokens(rng), block_params(rng)
    with pytest.raises(ValueError, match=r"memory is given and params\.cross is not"):
        block_vjp(x, params, x, heads=2, memory=x)
    with pytest.raises(ValueError, match=r"memory is missing and params\.cross is not"):
        block_vjp(x, block_params(rng, cross=True), x, heads=2)
    with pytest.raises(ValueError, match=r"cotangent has shape .* but x has shape"):
        block_vjp(x, params, x[:, :1], heads=2)
    with pytest.raises(ValueError, match="activation is 'tanh': it must be one of"):
        feed_forward_vjp(x, mlp_params(rng), x, activation="tanh")
    short = mlp_params(rng)
    short = short._replace(up=short.up._replace(bias=np.zeros(1)))
    with pytest.raises(ValueError, match="has shape"):
        feed_forward_vjp(x, short, x)
    own = params.attention
    longer = own._replace(o=own.o._replace(bias=np.zeros(9)))
    with pytest.raises(ValueError, match=r"the bias has shape \(9,\)"):
        attend_vjp(x, x, longer, x, heads=2)
