import pytest
import torch

from dlkb.nn import CutMix, MixUp
from scripts.peers.apart import torchvision
from tests.close import assert_close

V2 = torchvision("transforms.v2")
PAIRS = [(MixUp, V2.MixUp), (CutMix, V2.CutMix)]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (5, 1, 7, 12), (1, 1, 1, 1)])
def test_same_seed_same_images_and_labels_as_torchvision(ours, theirs, alpha, dtype, shape, device):
    torch.manual_seed(1)
    x = torch.randn(shape).to(device, dtype)
    y = torch.randint(0, 5, shape[:1], device=device)
    for seed in range(8):
        results = []
        for kind in (ours, theirs):
            torch.manual_seed(seed)
            results.append(kind(alpha=alpha, num_classes=5)(x, y))
        for mine, other in zip(*results, strict=True):
            assert mine.dtype == other.dtype
            assert_close(mine, other)


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_rows_of_probabilities_and_whole_numbers(kind):
    x = torch.randn(4, 1, 6, 6)
    y = torch.eye(3)[torch.tensor([0, 1, 2, 0])]
    torch.manual_seed(0)
    _, first = kind()(x, y)
    torch.manual_seed(0)
    _, second = kind(num_classes=3)(x, torch.tensor([0, 1, 2, 0]))
    torch.manual_seed(0)
    _, third = kind()(x, y.long())
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    assert_close(first.sum(1), torch.ones(4))


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_nothing_is_mixed_in_eval_and_gradients_pass(kind):
    layer = kind(num_classes=3)
    x, y = torch.randn(4, 1, 6, 6, requires_grad=True), torch.tensor([0, 1, 2, 0])
    images, rows = layer.eval()(x, y)
    assert images is x
    assert torch.equal(rows, torch.eye(3)[y])
    layer.train()(x, y)[0].sum().backward()
    assert_close(x.grad, torch.ones_like(x))


def test_labels_are_in_proportion_to_pixels():
    """Constant images of one-hot channels: what is seen is the target."""
    x = torch.eye(3)[:, :, None, None].expand(3, 3, 9, 7)
    for seed in range(20):
        torch.manual_seed(seed)
        images, rows = CutMix(num_classes=3)(x, torch.arange(3))
        assert_close(images.mean((2, 3)), rows)


def test_inputs_that_are_no_images():
    x, y = torch.randn(4, 6), torch.tensor([0, 1, 2, 0])
    assert MixUp(num_classes=3)(x, y)[0].shape == (4, 6)
    with pytest.raises(ValueError, match=r"images has shape \(4, 6\)"):
        CutMix(num_classes=3)(x, y)


@pytest.mark.parametrize("kind", [MixUp, CutMix])
@pytest.mark.parametrize(
    ("keywords", "shape", "message"),
    [
        ({"alpha": 0.0}, (4,), "alpha is 0.0"),
        ({"num_classes": None}, (4,), "num_classes is None"),
        ({"num_classes": 3}, (3,), r"labels has shape \(3,\)"),
        ({"num_classes": 3}, (4, 3, 1), r"labels has shape \(4, 3, 1\)"),
        ({"num_classes": 3}, (4, 5), "labels has rows of 5 classes but num_classes is 3"),
    ],
)
def test_errors_name_the_argument(kind, keywords, shape, message):
    with pytest.raises(ValueError, match=message):
        kind(**keywords)(torch.ones(4, 1, 2, 2), torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("kind", [MixUp, CutMix])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int8, torch.int32])
def test_numbers_of_any_integer_dtype_are_no_masks(kind, dtype):
    numbers = torch.tensor([1, 0, 1])
    rows = kind(num_classes=3).eval()(torch.ones(3, 1, 2, 2), numbers.to(dtype))[1]
    assert torch.equal(rows, torch.eye(3)[numbers])


@pytest.mark.parametrize("kind", [MixUp, CutMix])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, -1], r"labels holds -1: of 3 entries, ids lie in \[0, 2\]"),
        ([0, -100], "labels holds -100"),
        ([3, 0], "labels holds 3"),
        ([0.0, 1.0], "labels has dtype torch.float32"),
    ],
)
def test_a_label_that_names_no_class(kind, labels, message):
    """A negative number once was a class counted from the end."""
    with pytest.raises(ValueError, match=message):
        kind(num_classes=3)(torch.ones(2, 1, 2, 2), torch.tensor(labels))


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_images_that_are_bytes(kind):
    with pytest.raises(TypeError, match=r"images has dtype torch\.uint8"):
        kind(num_classes=3)(torch.ones(2, 1, 2, 2, dtype=torch.uint8), torch.arange(2))


def test_printed():
    assert repr(MixUp(alpha=0.2)) == "MixUp(alpha=0.2, num_classes=None)"
