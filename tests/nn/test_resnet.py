import pytest
import torch
from torch import nn

from dlkb.nn import BasicBlock, BatchNorm2d, Bottleneck, ResNet
from dlkb.normalization.batch_moments import Running
from dlkb.normalization.batch_norm import fold_into, stored_affine
from dlkb.vision import resnet as formula
from scripts.peers.apart import torchvision
from tests.close import assert_close

theirs = torchvision("models.resnet")
KINDS = {"basic": BasicBlock, "bottleneck": Bottleneck}
THEIRS = {"basic": theirs.BasicBlock, "bottleneck": theirs.Bottleneck}


def pair(kind, layers=(1, 2, 1, 1), **options):
    """Make our network and torchvision's from one seed."""
    made = []
    for module, block in ((ResNet, KINDS[kind]), (theirs.ResNet, THEIRS[kind])):
        torch.manual_seed(0)
        made.append(module(block, list(layers), num_classes=5, **options).double())
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zero", [False, True])
def test_one_seed_gives_the_weights_of_torchvision(kind, zero):
    ours, other = (model.state_dict() for model in pair(kind, zero_init_residual=zero))
    assert list(ours) == list(other)
    assert all(torch.equal(ours[key], other[key]) for key in ours)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 32, 33])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_are_those_of_torchvision(kind, size, training, device):
    ours, other = (model.to(device).train(training) for model in pair(kind))
    x = torch.randn(3, 3, size, size, dtype=torch.float64, device=device)
    if training and size == 1:
        x = x.repeat(1, 1, 8, 8)
    results = []
    for model in (ours, other):
        inputs = x.clone().requires_grad_()
        outputs = model(inputs)
        outputs.square().sum().backward()
        results.append([outputs, inputs.grad, *(p.grad for p in model.parameters())])
    for mine, expected in zip(*results, strict=True):
        assert_close(mine, expected, scale=1000)
    if training:
        assert torch.equal(ours.bn1.running_mean, other.bn1.running_mean)


def test_weights_load_both_ways():
    ours, other = pair("bottleneck")
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    ours.load_state_dict(other.state_dict())
    assert torch.equal(ours.fc.weight, other.fc.weight)
    other.load_state_dict(ours.state_dict())


@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_in_evaluation_is_the_formula_of_its_folded_convolutions(stride_in, stride):
    torch.manual_seed(0)
    project = nn.Sequential(nn.Conv2d(6, 8, 1, stride, bias=False), nn.BatchNorm2d(8))
    block = Bottleneck(6, 2, stride, project, stride_in=stride_in).double().eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.uniform_(0.5, 1.5)

    def folded(convolution, norm):
        moments = Running(norm.running_mean, norm.running_var)
        affine = stored_affine(moments, norm.weight, norm.bias, eps=norm.eps)
        return formula.Conv(*fold_into(*affine, convolution.weight))

    params = formula.Bottleneck(
        folded(block.conv1, block.bn1),
        folded(block.conv2, block.bn2),
        folded(block.conv3, block.bn3),
        folded(*block.downsample),
    )
    x = torch.randn(2, 6, 7, 7, dtype=torch.float64)
    expected = formula.bottleneck(x, params, stride=stride, stride_in=stride_in)
    assert_close(block(x), expected, scale=20)


def test_the_stride_of_the_paper_is_another_function_of_the_same_weights():
    ours, _ = pair("bottleneck")
    paper = ResNet(Bottleneck, [1, 2, 1, 1], 5, stride_in="1x1").double()
    paper.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    assert paper(x).shape == ours(x).shape
    assert not torch.allclose(paper(x), ours(x))
    assert paper.layer2[0].conv1.stride == (2, 2)
    assert paper.layer2[0].conv2.stride == (1, 1)


def test_zeroed_branches_leave_the_shortcut():
    torch.manual_seed(0)
    model = ResNet(BasicBlock, [2, 1, 1, 1], zero_init_residual=True)
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.features(x)[2], model.features(x)[1])


def test_another_normalization_is_taken():
    model = ResNet(BasicBlock, [1, 1, 1, 1], 5, norm_layer=BatchNorm2d)
    assert isinstance(model.layer2[0].downsample[1], BatchNorm2d)
    assert not any(type(m) is nn.BatchNorm2d for m in model.modules())
    assert model(torch.randn(2, 3, 33, 33)).shape == (2, 5)
    group = ResNet(Bottleneck, [1, 1, 1, 1], 5, norm_layer=lambda c: nn.GroupNorm(4, c))
    assert group(torch.randn(1, 3, 40, 24)).shape == (1, 5)


def test_compiles_in_one_graph_and_in_half_precision(device):
    torch.compiler.reset()
    model = ResNet(BasicBlock, [1, 1, 1, 1], 5).to(device).eval()
    x = torch.randn(2, 3, 33, 33, device=device)
    assert_close(torch.compile(model, fullgraph=True, backend="aot_eager")(x), model(x))
    half = model.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ResNet(BasicBlock, [1, 1, 1]), r"layers is \[1, 1, 1\]: four numbers"),
        (lambda: ResNet(BasicBlock, [1, 0, 1, 1]), r"layers is \[1, 0, 1, 1\]"),
        (lambda: ResNet(BasicBlock, [1] * 4, stride_in="1x1"), "a BasicBlock has no 1×1"),
        (lambda: ResNet(type("Own", (BasicBlock,), {}), [1] * 4, stride_in="1x1"), "a Own has"),
        (lambda: Bottleneck(4, 1, stride_in="first"), "stride_in is 'first'"),
        (
            lambda: ResNet(BasicBlock, [1] * 4, 5, True, lambda c: nn.Identity()),
            "zero_init_residual is True but Identity has no gain",
        ),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
