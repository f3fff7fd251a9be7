import pytest
import torch

from dlkb.nn import ShiftedWindowAttention
from scripts.peers.apart import torchvision
from tests.close import assert_close

theirs = torchvision("models.swin_transformer")
SETTINGS = [([4, 4], [2, 2], 2), ([4, 4], [0, 0], 1), ([2, 3], [1, 0], 4), ([7, 7], [3, 3], 2)]


def pair(window, shift, heads, **options):
    made = []
    for kind in (ShiftedWindowAttention, theirs.ShiftedWindowAttention):
        torch.manual_seed(0)
        made.append(kind(8, window, shift, heads, **options).double())
    return made


@pytest.mark.parametrize(("window", "shift", "heads"), SETTINGS)
@pytest.mark.parametrize("options", [{}, {"qkv_bias": False, "proj_bias": False}])
def test_one_seed_gives_the_weights_of_torchvision(window, shift, heads, options):
    ours, other = (layer.state_dict() for layer in pair(window, shift, heads, **options))
    assert list(ours) == list(other)
    for key in ours:
        assert torch.equal(ours[key], other[key]), key
        assert ours[key].dtype == other[key].dtype


@pytest.mark.parametrize(("window", "shift", "heads"), SETTINGS)
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (14, 4), (1, 1)])
def test_outputs_and_gradients_are_those_of_torchvision(window, shift, heads, size, device):
    results = []
    for layer in pair(window, shift, heads):
        layer.to(device)
        torch.manual_seed(1)
        x = torch.randn(2, *size, 8, dtype=torch.float64).to(device).requires_grad_()
        y = layer(x)
        y.square().sum().backward()
        results.append([y, x.grad, *(p.grad for p in layer.parameters())])
    for mine, expected in zip(*results, strict=True):
        assert_close(mine, expected, scale=100)


def test_a_whole_network_of_torchvision_gives_the_same_with_it():
    torch.manual_seed(0)
    model = theirs.SwinTransformer([4, 4], 8, [2, 2], [2, 2], [3, 3], num_classes=5).eval()
    x = torch.randn(2, 3, 40, 44)
    expected = model(x)
    for name, module in list(model.named_modules()):
        if type(module) is theirs.ShiftedWindowAttention:
            mine = ShiftedWindowAttention(
                module.qkv.in_features, module.window_size, module.shift_size, module.num_heads
            )
            mine.load_state_dict(module.state_dict())
            model.set_submodule(name, mine)
    assert sum(isinstance(m, ShiftedWindowAttention) for m in model.modules()) == 4
    assert_close(model(x), expected, scale=10)


def test_dropout_acts_in_training_alone():
    layer = ShiftedWindowAttention(8, [4, 4], [2, 2], 2, attention_dropout=0.5, dropout=0.5)
    x = torch.randn(1, 8, 8, 8)
    dropped = layer(x)
    assert 0.3 < float((dropped == 0).float().mean()) < 0.7
    assert torch.equal(layer.eval()(x), layer(x))
    weights_only = ShiftedWindowAttention(8, [4, 4], [2, 2], 2, attention_dropout=0.5)
    assert not torch.equal(weights_only(x), weights_only(x))


def test_compiles_in_one_graph_and_in_half_precision(device):
    torch.compiler.reset()
    layer = ShiftedWindowAttention(8, [4, 4], [2, 2], 2).to(device)
    x = torch.randn(1, 7, 8, 8, device=device)
    assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), layer(x))
    assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, [4], [0, 0], 2), r"window_size is \[4\] and shift_size \[0, 0\]: two numbers"),
        ((8, [4, 4], [0, 0], 3), "num_heads is 3: it must divide dim, 8"),
        ((8, [0, 4], [0, 0], 2), "those of the window at least 1"),
        ((8, [4, 4], [4, 0], 2), r"shift_size is 4: it must lie in \[0, 4\)"),
        ((8, [4, 4], [0, 0], 0), "num_heads is 0: it must divide dim, 8"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShiftedWindowAttention(*arguments)
