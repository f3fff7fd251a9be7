import math

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, LlamaConfig, LlamaModel

from dlkb.transformers.block_counts import (
    attention_share,
    block_parameters,
    matrix_parameters,
    token_operations,
)
from tests.cases import Case

CASES = [
    Case(block_parameters, lambda rng: ((), {"width": 8})),
    Case(
        block_parameters,
        lambda rng: (
            (),
            {
                "width": 8,
                "hidden": 12,
                "kv_width": 4,
                "gated": True,
                "bias": False,
                "rms": True,
                "cross": True,
            },
        ),
        "options",
    ),
    Case(matrix_parameters, lambda rng: ((), {"width": 8, "gated": False})),
    Case(
        matrix_parameters,
        lambda rng: ((), {"width": 8, "hidden": 12, "kv_width": 4, "gated": True}),
    ),
    Case(
        token_operations,
        lambda rng: ((), {"parameters": 100.0, "layers": 2, "width": 8, "length": 5}),
    ),
    Case(attention_share, lambda rng: ((), {"width": 8, "length": 5})),
]


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_counts_are_those_of_models():
    with torch.device("meta"):
        gpt2, bert = GPT2Model(GPT2Config()), BertModel(BertConfig(), add_pooling_layer=False)
        llama = LlamaModel(
            LlamaConfig(num_hidden_layers=2, num_key_value_heads=8, num_attention_heads=32)
        )
    one = block_parameters(width=768)
    assert count(gpt2) == 12 * one + (50257 + 1024) * 768 + 2 * 768 == 124_439_808
    assert count(bert) == 12 * one + (30522 + 512 + 2) * 768 + 2 * 768
    options = {"width": 4096, "hidden": 11008, "kv_width": 1024, "gated": True}
    each = block_parameters(**options, bias=False, rms=True)
    assert count(llama) == 2 * each + 32000 * 4096 + 4096
    assert each == matrix_parameters(**options) + 2 * 4096


@pytest.mark.parametrize("hidden", [None, 24])
def test_blocks_of_torch(hidden):
    f = 64 if hidden is None else hidden
    options = {"width": 16, "hidden": hidden}
    encoder = nn.TransformerEncoderLayer(16, 4, f)
    assert count(encoder) == block_parameters(**options)
    decoder = nn.TransformerDecoderLayer(16, 4, f)
    assert count(decoder) == block_parameters(**options, cross=True)
    plain = nn.TransformerEncoderLayer(16, 4, f, bias=False)
    assert count(plain) == block_parameters(**options, bias=False, rms=True)


def test_operations_are_those_that_torch_counts():
    length, layers = 32, 3
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 4, 64, 0.0, batch_first=True), layers
    )
    head = nn.Linear(16, 50)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss = head(encoder(torch.randn(2, length, 16))).sum()
    matrices = layers * matrix_parameters(width=16) + 16 * 50
    options = {"parameters": matrices, "layers": layers, "width": 16, "length": length}
    forward = 2 * length * token_operations(**options)
    assert counter.get_total_flops() == forward
    del loss


def test_share_of_attention():
    for width, length in ((64, 10), (64, 384), (4096, 8192)):
        matrices = matrix_parameters(width=width)
        options = {"layers": 1, "width": width}
        whole = token_operations(parameters=matrices, length=length, **options)
        rest = token_operations(parameters=matrices, length=0, **options)
        assert attention_share(width=width, length=length) == pytest.approx(1 - rest / whole)
    assert attention_share(width=64, length=384) == 0.5
    assert attention_share(width=64, length=0) == 0


def test_errors():
    with pytest.raises(ValueError, match="width is 0"):
        block_parameters(width=0)
    with pytest.raises(ValueError, match="hidden is 0"):
        block_parameters(width=1, hidden=0)
    with pytest.raises(ValueError, match="kv_width is 0"):
        matrix_parameters(width=1, kv_width=0)
    good = {"parameters": 1.0, "layers": 1, "width": 1, "length": 1.0}
    for name in good:
        with pytest.raises(ValueError, match=f"{name} is -1"):
            token_operations(**(good | {name: -1}))
        with pytest.raises(ValueError, match=f"{name} is inf"):
            token_operations(**(good | {name: math.inf}))
    with pytest.raises(ValueError, match=r"width is 0\.5"):
        attention_share(width=0.5, length=1)
    with pytest.raises(ValueError, match="length is -1"):
        attention_share(width=1, length=-1)
