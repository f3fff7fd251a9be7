import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP

from dlkb.activations.glu import VARIANTS
from dlkb.nn import GLU, GatedMLP
from tests.close import assert_close

ACTIVATIONS = {
    "bilinear": lambda g: g,
    "glu": torch.sigmoid,
    "reglu": F.relu,
    "geglu": F.gelu,
    "swiglu": F.silu,
}


def inputs(shape, dtype=torch.float32, device="cpu"):
    values = 2 * np.random.default_rng(0).normal(size=shape)
    return torch.tensor(values, dtype=dtype, device=device)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "dim"), [((6, 8), -1), ((4, 3), 0), ((0, 2), -1), ((2, 0), 1), ((2, 4, 3, 1), 1)]
)
def test_glu_is_that_of_torch(dtype, shape, dim, device):
    found = []
    for layer in (GLU(dim), nn.GLU(dim)):
        x = inputs(shape, dtype, device).requires_grad_()
        y = layer(x)
        y.square().sum().backward()
        assert y.dtype == x.grad.dtype == dtype
        found.append((y, x.grad))
    assert_close(found[0][0], found[1][0])
    assert_close(found[0][1], found[1][1], scale=4)


def test_glu_takes_the_place_of_torch():
    assert repr(GLU(1)) == repr(nn.GLU(1))
    assert repr(GLU()) == repr(nn.GLU())
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(GLU(1)), buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=False).dim == 1
    with pytest.raises(ValueError, match="even number of entries along axis -1"):
        GLU()(torch.ones(3))
    with pytest.raises(TypeError, match=r"x has dtype torch.int64"):
        GLU()(torch.arange(4))


def llama(bias=False):
    config = LlamaConfig(hidden_size=8, intermediate_size=12, num_attention_heads=2, mlp_bias=bias)
    torch.manual_seed(0)
    return LlamaMLP(config)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_block_is_that_of_llama(bias, dtype):
    theirs = llama(bias).to(dtype)
    ours = GatedMLP(8, 12, bias=bias).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    x = inputs((3, 5, 8), dtype)
    found = []
    for block in (ours, theirs):
        y = block(x)
        y.square().sum().backward()
        found.append([y, *(p.grad for p in block.parameters())])
    for a, b in zip(*found, strict=True):
        assert_close(a, b, scale=4 if dtype == torch.bfloat16 else 1)
    theirs.load_state_dict(ours.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("batch", [(), (1,), (0,), (2, 3)])
def test_every_variant(variant, batch, device):
    block = GatedMLP(4, 6, variant, bias=True).to(device=device, dtype=torch.float64)
    x = inputs((*batch, 4), torch.float64, device)
    hidden = ACTIVATIONS[variant](block.gate_proj(x)) * block.up_proj(x)
    assert_close(block(x), block.down_proj(hidden))
    if x.numel():
        assert torch.autograd.gradcheck(block, (x.requires_grad_(),))


@pytest.mark.parametrize("variant", VARIANTS)
def test_compiles_in_one_graph(variant, device):
    torch.compiler.reset()
    block = GatedMLP(4, 6, variant).to(device)
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    x = inputs((5, 4), device=device)
    assert_close(compiled(x), block(x))
    assert_close(torch.compile(GLU(), fullgraph=True, backend="aot_eager")(x), F.glu(x))


def test_the_block_names_its_variant():
    assert "variant='geglu'" in repr(GatedMLP(4, 6, "geglu"))
    with pytest.raises(ValueError, match="variant is 'silu': it must be one of"):
        GatedMLP(4, 6, "silu")
