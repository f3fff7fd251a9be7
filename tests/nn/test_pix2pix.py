import pytest
import torch
from torch.nn import functional as F

from dlkb.nn import PatchDiscriminator, UNetGenerator
from dlkb.vision.pix2pix import patch_count, unet_blocks
from tests.close import assert_close


def filled(net, seed=0):
    """Parameters and running statistics that no layer would start from."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.copy_(0.3 * torch.randn(value.shape, generator=generator, dtype=value.dtype))
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    return net.eval()


def norm(x, state, name):
    moments = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, *moments, state[f"{name}.weight"], state[f"{name}.bias"])


def by_hand(x, state, name="model.model", level=1, depth=6):
    """The U-Net as functions of the state, level by level."""
    outermost, innermost = level == 1, level == depth
    at = 0 if outermost else 1
    hidden = x if outermost else F.leaky_relu(x, 0.2)
    hidden = F.conv2d(hidden, state[f"{name}.{at}.weight"], stride=2, padding=1)
    if not outermost and not innermost:
        at += 1
        hidden = norm(hidden, state, f"{name}.{at}")
    if not innermost:
        at += 1
        hidden = by_hand(hidden, state, f"{name}.{at}.model", level + 1, depth)
    at += 2
    bias = state.get(f"{name}.{at}.bias")
    weight = state[f"{name}.{at}.weight"]
    hidden = F.conv_transpose2d(F.relu(hidden), weight, bias, stride=2, padding=1)
    if outermost:
        return torch.tanh(hidden)
    return torch.cat([x, norm(hidden, state, f"{name}.{at + 1}")], 1)


def test_u_net_is_the_functions_of_its_state():
    net = filled(UNetGenerator(2, 3, depth=6, width=2).double())
    x = torch.randn(1, 2, 64, 128, generator=torch.Generator().manual_seed(1)).double()
    assert_close(net(x), by_hand(x, net.state_dict()), scale=10)


def test_discriminator_is_the_functions_of_its_state():
    net = filled(PatchDiscriminator(4, width=3, layers=2).double())
    state = net.state_dict()
    x = torch.randn(2, 4, 40, 33, generator=torch.Generator().manual_seed(1)).double()
    h = F.leaky_relu(F.conv2d(x, state["model.0.weight"], state["model.0.bias"], 2, 1), 0.2)
    h = F.conv2d(h, state["model.2.weight"], None, 2, 1)
    h = F.leaky_relu(norm(h, state, "model.3"), 0.2)
    h = F.conv2d(h, state["model.5.weight"], None, 1, 1)
    h = F.leaky_relu(norm(h, state, "model.6"), 0.2)
    h = F.conv2d(h, state["model.8.weight"], state["model.8.bias"], 1, 1)
    assert_close(net(x), h, scale=10)


def test_counts_of_the_authors_code():
    """As its training script prints them: 54.414 and 2.769 million."""
    with torch.device("meta"):
        nets = UNetGenerator(), PatchDiscriminator()
    counts = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert [f"{count / 1e6:.3f}" for count in counts] == ["54.414", "2.769"]
    assert counts == [54_413_955, 2_768_705]


@pytest.mark.parametrize("depth", [5, 7, 8])
def test_shapes_are_those_of_the_formula(depth):
    with torch.device("meta"):
        net = UNetGenerator(1, 2, depth=depth, width=4)
        seen = []
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                module.register_forward_hook(lambda *call: seen.append(tuple(call[2].shape)))
        net(torch.zeros(2, 1, 2**depth, 2**depth))
    blocks = unet_blocks(2**depth, depth=depth, width=4, channels=(1, 2))
    assert seen == [(2, block.channels_out, block.size, block.size) for block in blocks]


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_patches_are_counted(layers):
    with torch.device("meta"):
        net = PatchDiscriminator(width=2, layers=layers)
        output = net(torch.zeros(1, 6, 256, 286))
    expected = tuple(patch_count(side, layers=layers) for side in (256, 286))
    assert output.shape == (1, 1, *expected)
    widest = max(m.out_channels for m in net.modules() if isinstance(m, torch.nn.Conv2d))
    assert widest == min(2 * 2**layers, 16)


def test_dropout_is_where_the_formula_says_and_draws_in_training_only():
    net = UNetGenerator(1, 1, depth=7, width=2, dropout=True)
    drops = [m for m in net.modules() if isinstance(m, torch.nn.Dropout)]
    assert [drop.p for drop in drops] == [0.5, 0.5]
    assert not any(isinstance(m, torch.nn.Dropout) for m in UNetGenerator(width=2).modules())
    x = torch.randn(2, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_gradients_reach_every_parameter():
    net = UNetGenerator(1, 1, depth=5, width=2)
    net(torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_input_is_not_changed():
    net = UNetGenerator(1, 1, depth=5, width=2)
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    net(x)
    assert torch.equal(x, before)


def test_bad_sides_are_named():
    with pytest.raises(ValueError, match=r"x has sides \(64, 80\): multiples of 32"):
        UNetGenerator(1, 1, depth=5, width=2)(torch.zeros(1, 1, 64, 80))
    with pytest.raises(ValueError, match="layers is 0"):
        PatchDiscriminator(layers=0)
    with pytest.raises(ValueError, match="depth is 4"):
        UNetGenerator(depth=4)
