import numpy as np
import pytest
import torch
from torch import nn

from dlkb.experiments.norm_place import draw_blocks, entry, gradient_by_layer, stream


def test_blocks_are_drawn_by_xaviers_rule():
    blocks = draw_blocks(np.random.default_rng(0), depth=5, seeds=4, width=16)
    assert blocks.attention.q.weight.shape == (4, 5, 16, 16)
    assert abs(blocks.attention.q.weight.square().mean() - 2 / 32) < 0.003
    assert abs(blocks.feed_forward.up.weight.square().mean() - 2 / 80) < 0.001
    assert (blocks.attention_norm.weight == 1).all()
    assert (blocks.feed_forward.down.bias == 0).all()
    assert not torch.equal(blocks.attention.q.weight, blocks.attention.k.weight)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_gradients_are_those_of_torchs_layers(pre_norm):
    depth, width = 3, 8
    found = gradient_by_layer(depth=depth, pre_norm=pre_norm, seeds=1, width=width, length=5)
    rng = np.random.default_rng(0)
    blocks = draw_blocks(rng, depth=depth, seeds=1, width=width)
    x = torch.tensor(rng.normal(size=(1, 4, 5, width)))[0]
    head = torch.tensor(rng.normal(size=(1, 10, width)) / width**0.5)[0]
    labels = torch.tensor(rng.integers(0, 10, size=(1, 4, 5)))[0]
    layers = []
    for i in range(depth):
        layer = nn.TransformerEncoderLayer(
            width, 2, 4 * width, 0.0, batch_first=True, norm_first=pre_norm, dtype=torch.float64
        )
        q, k, v, o = (part.weight[0, i] for part in blocks.attention)
        with torch.no_grad():
            layer.self_attn.in_proj_weight.copy_(torch.cat([q, k, v]))
            layer.self_attn.out_proj.weight.copy_(o)
            layer.linear1.weight.copy_(blocks.feed_forward.up.weight[0, i])
            layer.linear2.weight.copy_(blocks.feed_forward.down.weight[0, i])
            for bias in (layer.linear1.bias, layer.linear2.bias):
                bias.zero_()
        layers.append(layer)
    h = x
    for layer in layers:
        h = layer(h)
    if pre_norm:
        h = nn.functional.layer_norm(h, (width,))
    nn.functional.cross_entropy((h @ head.T).flatten(0, 1), labels.flatten()).backward()
    expected = torch.stack([layer.linear2.weight.grad.norm() for layer in layers])
    torch.testing.assert_close(found[0], expected)


def test_the_last_blocks_gradient_falls_with_depth_under_pre_norm_alone():
    ratio = {}
    for pre_norm in (True, False):
        shallow, deep = (
            gradient_by_layer(depth=depth, pre_norm=pre_norm)[:, -1].median() for depth in (2, 24)
        )
        ratio[pre_norm] = (deep / shallow).item()
    assert ratio[True] == pytest.approx(0.35, abs=0.12)
    assert ratio[False] > 0.8


def test_what_is_added_is_scaled_by_the_root_of_the_number_of_sums():
    plain, scaled = (
        draw_blocks(np.random.default_rng(0), depth=8, seeds=2, width=8, scaled=scaled)
        for scaled in (False, True)
    )
    torch.testing.assert_close(scaled.attention.o.weight, plain.attention.o.weight / 4)
    torch.testing.assert_close(scaled.feed_forward.down.weight, plain.feed_forward.down.weight / 4)
    assert torch.equal(scaled.attention.v.weight, plain.attention.v.weight)
    assert torch.equal(scaled.feed_forward.up.weight, plain.feed_forward.up.weight)


def test_drawn_small_the_last_blocks_gradient_does_not_fall():
    shallow, deep = (
        gradient_by_layer(depth=depth, pre_norm=True, scaled=True)[:, -1].median()
        for depth in (2, 24)
    )
    assert deep / shallow == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("seed", range(2))
def test_the_stream_grows_as_the_root_of_the_depth_unless_drawn_small(seed):
    def size(depth, **options):
        rng = np.random.default_rng(seed)
        blocks = draw_blocks(rng, depth=depth, seeds=4, width=16, **options)
        x = torch.tensor(rng.normal(size=(4, 8, 16)))
        out = [stream(x, entry(blocks, i), depth=depth, pre_norm=True) for i in range(4)]
        return torch.stack(out).std().item()

    assert size(32) / size(8) == pytest.approx(2.1, abs=0.4)
    assert size(32, scaled=True) / size(8, scaled=True) == pytest.approx(1, abs=0.12)
