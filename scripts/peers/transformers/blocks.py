"""Where libraries' blocks put the norm, and what they are made of, found by copied weights.

Each library's block is run with weights that are not at their start. Of all combinations of our
block's options the one that gives the same output says what it is.
"""

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn
from transformers import BertConfig, GPT2Config, LlamaConfig
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from dlkb.transformers.blocks import (
    Activation,
    AttentionParams,
    BlockParams,
    FeedForwardParams,
    Linear,
    block,
)

LIBRARIES = ("torch", "transformers")

WIDTH, HEADS, LENGTH = 16, 4, 7
BASE = 10_000.0


def linear_of(module: nn.Module) -> Linear:
    """Return weight and bias of a layer or norm."""
    return Linear(module.weight, getattr(module, "bias", None))


def transposed(module: nn.Module) -> Linear:
    """Return those of GPT-2's `Conv1D`, which holds (in, out)."""
    return Linear(module.weight.T, module.bias)


def split(packed: Linear) -> tuple[Linear, Linear, Linear]:
    """Take a packed layer for queries, keys and values apart."""
    weights, biases = packed.weight.chunk(3), packed.bias.chunk(3)  # type: ignore[union-attr]
    q, k, v = map(Linear, weights, biases)
    return q, k, v


def redrawn(module: nn.Module) -> nn.Module:
    """Give a module weights that are not at their start, where biases are 0 and gains 1."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn_like(p) * 0.3 + (p.ndim == 1))
    return module.double().eval()


def gpt2_params(peer: nn.Module) -> BlockParams:
    """Copy the weights of `GPT2Block`."""
    return BlockParams(
        linear_of(peer.ln_1),
        AttentionParams(*split(transposed(peer.attn.c_attn)), transposed(peer.attn.c_proj)),
        linear_of(peer.ln_2),
        FeedForwardParams(transposed(peer.mlp.c_fc), transposed(peer.mlp.c_proj)),
    )


def bert_params(peer: nn.Module) -> BlockParams:
    """Copy the weights of `BertLayer`."""
    own, out = peer.attention.self, peer.attention.output
    return BlockParams(
        linear_of(out.LayerNorm),
        AttentionParams(*(linear_of(m) for m in (own.query, own.key, own.value, out.dense))),
        linear_of(peer.output.LayerNorm),
        FeedForwardParams(linear_of(peer.intermediate.dense), linear_of(peer.output.dense)),
    )


def llama_params(peer: nn.Module) -> BlockParams:
    """Copy the weights of `LlamaDecoderLayer`."""
    attn, mlp = peer.self_attn, peer.mlp
    return BlockParams(
        Linear(peer.input_layernorm.weight),
        AttentionParams(*map(linear_of, (attn.q_proj, attn.k_proj, attn.v_proj, attn.o_proj))),
        Linear(peer.post_attention_layernorm.weight),
        FeedForwardParams(*map(linear_of, (mlp.up_proj, mlp.down_proj, mlp.gate_proj))),
    )


def torch_params(peer: nn.Module, *, cross: bool = False) -> BlockParams:
    """Copy the weights of `TransformerEncoderLayer`, or of `TransformerDecoderLayer`."""

    def attention(module: nn.Module) -> AttentionParams:
        packed = Linear(module.in_proj_weight, module.in_proj_bias)
        return AttentionParams(*split(packed), linear_of(module.out_proj))

    return BlockParams(
        linear_of(peer.norm1),
        attention(peer.self_attn),
        linear_of(peer.norm3 if cross else peer.norm2),
        FeedForwardParams(linear_of(peer.linear1), linear_of(peer.linear2)),
        *((linear_of(peer.norm2), attention(peer.multihead_attn)) if cross else ()),
    )


def tokens() -> Tensor:
    """Draw the input of all blocks."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, LENGTH, WIDTH, dtype=torch.float64, generator=generator)


def causal() -> Tensor:
    """Return the mask that Transformers' blocks add to their scores."""
    return torch.full((LENGTH, LENGTH), -math.inf, dtype=torch.float64).triu(1)[None, None]


def first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return the hidden states of what a block returns."""
    return output[0] if isinstance(output, tuple) else output


def gpt2() -> tuple[Tensor, BlockParams]:
    """Run the block of GPT-2."""
    peer = redrawn(GPT2Block(GPT2Config(n_embd=WIDTH, n_head=HEADS, n_inner=24)))
    return first(peer(tokens(), attention_mask=causal())), gpt2_params(peer)


def bert() -> tuple[Tensor, BlockParams]:
    """Run the layer of BERT."""
    peer = redrawn(BertLayer(BertConfig(hidden_size=WIDTH, num_attention_heads=HEADS)))
    return first(peer(tokens())), bert_params(peer)


def llama() -> tuple[Tensor, BlockParams]:
    """Run the layer of Llama, with half as many heads of keys and values."""
    config = LlamaConfig(
        hidden_size=WIDTH,
        intermediate_size=24,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS // 2,
    )
    peer = redrawn(LlamaDecoderLayer(config, 0))
    turn = LlamaRotaryEmbedding(config)(tokens(), torch.arange(LENGTH)[None])
    out = peer(tokens(), attention_mask=causal(), position_embeddings=turn)
    return first(out), llama_params(peer)


def torch_layer() -> tuple[Tensor, BlockParams]:
    """Run PyTorch's encoder layer with its defaults."""
    peer = redrawn(nn.TransformerEncoderLayer(WIDTH, HEADS, 24, batch_first=True))
    return peer(tokens()), torch_params(peer)


NAMES: tuple[Activation, ...] = ("relu", "gelu", "gelu_tanh", "silu")


def words(run: Callable[[], tuple[Tensor, BlockParams]]) -> tuple[str, ...]:
    """Say which options of our block give a library's output."""
    with torch.no_grad():
        expected, params = run()
        fitting = []
        for pre, rms, name, mask, turned in product(
            (True, False), (True, False), NAMES, (True, False), (None, BASE)
        ):
            found = block(
                tokens(),
                params,
                heads=HEADS,
                kv_heads=params.attention.k.weight.shape[0] * HEADS // WIDTH,
                pre_norm=pre,
                rms=rms,
                activation=name,
                is_causal=mask,
                rotary_base=turned,
                eps=1e-6,
            )
            if torch.allclose(found, expected, rtol=1e-4, atol=1e-4):
                fitting.append((pre, rms, name, mask, turned))
    if len(fitting) != 1:
        raise LookupError(f"{len(fitting)} combinations fit: {fitting}")
    pre, rms, name, mask, turned = fitting[0]
    activation = {"relu": "ReLU", "gelu": "GELU", "gelu_tanh": "GELU, tanh form", "silu": "SiLU"}
    gate = "" if params.feed_forward.gate is None else ", gated"
    return (
        "before each part" if pre else "after each sum",
        "RMS norm" if rms else "layer norm",
        activation[name] + gate,
        "the left side" if mask else "both sides",
        "turned" if turned else "as they come",
        "none" if params.attention.q.bias is None else "yes",
    )


def which_block() -> dict[str, tuple[str, ...]]:
    """Return what each library's block is made of."""
    return {
        "`nn.TransformerEncoderLayer`": words(torch_layer),
        "Transformers, BERT": words(bert),
        "Transformers, GPT-2": words(gpt2),
        "Transformers, Llama": words(llama),
    }
