import pytest
import torch
from torch import nn

from dlkb.experiments.transformer import Attention, Block
from tests.close import assert_close


def theirs(block, hidden, heads):
    """PyTorch's layer with the block's weights."""
    layer = nn.TransformerEncoderLayer(
        hidden, heads, 4 * hidden, 0.0, "gelu", batch_first=True, norm_first=True
    ).double()
    layer.self_attn.in_proj_weight.data = block.attention.qkv.weight.data
    layer.self_attn.in_proj_bias.data = block.attention.qkv.bias.data
    pairs = (
        (layer.self_attn.out_proj, block.attention.out),
        (layer.linear1, block.mlp[0]),
        (layer.linear2, block.mlp[2]),
        (layer.norm1, block.norm_1),
        (layer.norm2, block.norm_2),
    )
    for target, source in pairs:
        target.load_state_dict(source.state_dict())
    return layer


@pytest.mark.parametrize("fused", [False, True])
def test_block_is_that_of_torch(fused):
    torch.manual_seed(0)
    block = Block(12, 3, fused=fused).double()
    for norm in (block.norm_1, block.norm_2):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    assert_close(block(x), theirs(block, 12, 3)(x))


def test_dropout_is_on_the_scores_and_behind_both_parts():
    block = Block(12, 3, dropout=1.0)
    x = torch.randn(2, 5, 12)
    assert torch.equal(block(x), x)
    attention = Attention(12, 3, dropout=1.0)
    assert torch.equal(attention(x), attention.out.bias.expand(2, 5, 12))
    assert not torch.equal(block.eval()(x), x)
