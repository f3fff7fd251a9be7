import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import dlkb.nn
from dlkb.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, fold_batch_norm
from tests.close import assert_close
from tests.distributed import in_processes
from tests.nn import norms
from tests.nn.norms import inputs

OPTIONS = [
    {},
    {"eps": 0.1, "momentum": 0.3},
    {"momentum": None},
    {"momentum": 0.0},
    {"affine": False},
    {"bias": False},
    {"track_running_stats": False},
]
KINDS = [
    (BatchNorm1d, nn.BatchNorm1d, (6, 4)),
    (BatchNorm1d, nn.BatchNorm1d, (6, 4, 3)),
    (BatchNorm2d, nn.BatchNorm2d, (2, 4, 3, 5)),
    (BatchNorm2d, nn.BatchNorm2d, (1, 4, 3, 5)),
    (BatchNorm3d, nn.BatchNorm3d, (3, 4, 2, 1, 2)),
]


def pair(ours=BatchNorm1d, theirs=nn.BatchNorm1d, channels=4, **options):
    return norms.pair(ours, theirs, channels, **options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0].__name__}-{kind[2]}")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_three_batches_then_evaluation_as_torch(options, kind, dtype, device):
    ours, theirs, shape = kind
    found = []
    for layer in pair(ours, theirs, device=device, dtype=dtype, **options):
        results = []
        for seed in range(4):
            layer.train(seed < 3)
            x = (inputs(shape, dtype, device, seed=seed) + seed).requires_grad_()
            output = layer(x)
            (output * inputs(shape, dtype, device, seed=9)).sum().backward()
            results += [output, x.grad]
        found.append([*results, *(p.grad for p in layer.parameters()), *layer.buffers()])
    assert len(found[0]) == len(found[1])
    for mine, their in zip(*found, strict=True):
        assert_close(mine, their, scale=30)


@pytest.mark.parametrize("kind", KINDS[1:4:2], ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_takes_the_place_of_torch_s(options, kind):
    ours, theirs, shape = kind
    mine, other = pair(ours, theirs, **options)
    assert repr(mine) == repr(other)
    mine(inputs(shape))
    assert list(mine.state_dict()) == list(other.state_dict())
    other.load_state_dict(mine.state_dict())
    assert_close(other.eval()(inputs(shape)), mine.eval()(inputs(shape)))
    mine.reset_parameters()
    fresh = theirs(4, **options).state_dict()
    assert all(torch.equal(value, fresh[key]) for key, value in mine.state_dict().items())
    names = ("num_features", "eps", "momentum", "affine", "track_running_stats")
    assert [getattr(mine, n) for n in names] == [getattr(other, n) for n in names]


def test_a_state_dict_of_version_1_has_no_count():
    old = {f"0.{k}": v for k, v in nn.BatchNorm1d(4).state_dict().items()}
    del old["0.num_batches_tracked"]
    nn.Sequential(BatchNorm1d(4)).load_state_dict(dict(old))
    nn.Sequential(BatchNorm1d(4, track_running_stats=False)).load_state_dict(
        {k: v for k, v in old.items() if "running" not in k}
    )
    state = nn.Sequential(BatchNorm1d(4)).state_dict()
    del state["0.num_batches_tracked"]
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        nn.Sequential(BatchNorm1d(4)).load_state_dict(state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_half_precision(training, dtype, device):
    ours, theirs = pair(BatchNorm2d, nn.BatchNorm2d, dtype=dtype, device=device)
    x = inputs((4, 4, 8, 8), dtype, device) * 100
    step = torch.finfo(dtype).eps
    a, b = (layer.train(training)(x.clone().requires_grad_()) for layer in (ours, theirs))
    torch.testing.assert_close(a, b, rtol=3 * step, atol=3 * step)
    torch.testing.assert_close(ours.running_var, theirs.running_var, rtol=2 * step, atol=0)
    a.sum().backward()
    assert {p.grad.dtype for p in ours.parameters()} == {dtype}


def test_parameters_and_input_of_different_types():
    for mode in (True, False):
        ours, theirs = (layer.train(mode) for layer in pair())
        x = inputs((6, 4), torch.bfloat16)
        torch.testing.assert_close(ours(x), theirs(x), rtol=0.02, atol=0.02)
        assert ours.running_mean.dtype == torch.float32


@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 3), (2, 4, 0)])
def test_an_empty_batch_is_counted_and_not_stored(shape):
    ours, theirs = pair()
    assert ours(inputs(shape)).shape == theirs(inputs(shape)).shape == shape
    for mine, their in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.equal(mine, their)


@pytest.mark.parametrize("options", [{}, {"track_running_stats": False}], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_one_number_a_channel_is_refused_where_torch_refuses_it(training, options):
    ours, theirs = (layer.train(training) for layer in pair(**options))
    for shape in ((1, 4), (1, 4, 1)):
        if not training and not options:
            assert_close(ours(inputs(shape)), theirs(inputs(shape)))
            continue
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            theirs(inputs(shape))
        with pytest.raises(ValueError, match=r"one number a channel: .*drop_last=True"):
            ours(inputs(shape))
    assert_close(ours(inputs((1, 4, 2))), theirs(inputs((1, 4, 2))))
    assert_close(ours(inputs((2, 4))), theirs(inputs((2, 4))))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (BatchNorm1d, (4,)),
        (BatchNorm1d, (2, 4, 3, 3)),
        (BatchNorm1d, (2, 5)),
        (BatchNorm2d, (2, 4)),
        (BatchNorm3d, (2, 4, 3, 3)),
    ],
)
def test_wrong_shapes_are_named(kind, shape):
    with pytest.raises(ValueError, match=rf"input has shape \({shape[0]}.*{kind.__name__} needs"):
        kind(4)(inputs(shape))


def test_an_error_leaves_the_buffers_as_they_were():
    layer, _ = pair()
    with pytest.raises(TypeError, match=r"x has dtype torch\.int64"):
        layer(torch.ones(6, 4, dtype=torch.int64))
    assert layer.num_batches_tracked == 0
    for options, message in (
        ({"eps": -1.0}, "eps is -1.0"),
        ({"momentum": 1.5}, "momentum is 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            BatchNorm1d(4, **options)


def test_buffers_carry_no_graph_and_evaluation_changes_none():
    layer, _ = pair()
    layer(inputs((6, 4)).requires_grad_())
    assert not layer.running_mean.requires_grad
    before = copy.deepcopy(layer.state_dict())
    layer.eval()(inputs((6, 4), seed=3))
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())


def test_buffers_can_be_switched_off_later():
    for layer in pair():
        layer.track_running_stats = False
        layer(inputs((6, 4)))
        assert (layer.running_mean == 0).all()
        layer.running_mean = layer.running_var = None  # evaluation takes the batch's, too
        assert_close(layer.eval()(inputs((6, 4))), layer.train()(inputs((6, 4))))


def test_strides_and_memory_format():
    ours, theirs = pair(BatchNorm2d, nn.BatchNorm2d)
    x = inputs((2, 4, 3, 5)).contiguous(memory_format=torch.channels_last)
    assert_close(ours(x), theirs(x), scale=3)
    assert_close(
        ours(inputs((4, 4, 3, 10))[::2, :, :, ::2]), theirs(inputs((4, 4, 3, 10))[::2, :, :, ::2])
    )


@pytest.mark.parametrize("momentum", [0.1, None])
def test_compiles_in_one_graph(momentum, device):
    torch.compiler.reset()
    ours, theirs = pair(momentum=momentum, device=device)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    for seed in range(2):
        x = inputs((6, 4), device=device, seed=seed)
        assert_close(compiled(x), theirs(x), scale=3)
    for mine, their in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert_close(mine, their)


def test_second_derivatives():
    layer = BatchNorm1d(3, eps=0.1).double()
    x = inputs((4, 3), torch.float64).requires_grad_()
    assert torch.autograd.gradgradcheck(layer, (x,))


def test_deepcopy_and_pickling():
    layer, _ = pair()
    layer(inputs((6, 4)))
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(layer), buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    assert torch.equal(again.eval()(inputs((6, 4))), layer.eval()(inputs((6, 4))))


LAYERS = [
    (nn.Linear(3, 4), (5, 3), 1),
    (nn.Linear(3, 4, bias=False), (5, 3), 1),
    (nn.Conv1d(3, 4, 2), (5, 3, 6), 1),
    (nn.Conv2d(4, 4, 3, padding=1, stride=2, groups=2), (5, 4, 6, 6), 2),
    (
        nn.Conv2d(3, 4, 3, dilation=2, bias=False, padding_mode="reflect", padding=1),
        (2, 3, 7, 7),
        2,
    ),
    (nn.Conv3d(3, 4, 2), (2, 3, 4, 4, 4), 3),
]


@pytest.mark.parametrize(("layer", "shape", "dims"), LAYERS, ids=str)
@pytest.mark.parametrize("options", [{}, {"affine": False}, {"bias": False}], ids=str)
@pytest.mark.parametrize("package", [dlkb.nn, nn])
def test_folding_gives_evaluation_s_output(package, options, layer, shape, dims):
    norm = getattr(package, f"BatchNorm{dims}d")(4, **options).double()
    layer = copy.deepcopy(layer).double()
    with torch.no_grad():
        for seed, p in enumerate(norm.parameters()):
            p.copy_(inputs(p.shape, p.dtype, seed=seed))
        for seed in range(3):
            norm(layer(inputs(shape, torch.float64, seed=seed)) + seed)
    before = copy.deepcopy(layer.state_dict())
    folded = fold_batch_norm(layer, norm.eval())
    x = inputs(shape, torch.float64, seed=9)
    assert_close(folded(x), norm(layer(x)))
    assert type(folded) is type(layer)
    assert folded.bias.requires_grad
    assert all(torch.equal(before[k], v) for k, v in layer.state_dict().items())


def test_folding_keeps_the_type_of_the_layer():
    norm = BatchNorm1d(4).eval()
    folded = fold_batch_norm(nn.Linear(3, 4).bfloat16(), norm)
    assert {p.dtype for p in folded.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("layer", "norm", "error", "message"),
    [
        (nn.ConvTranspose2d(3, 4, 3), BatchNorm2d(4).eval(), TypeError, "ConvTranspose2d: "),
        (nn.Linear(3, 4), BatchNorm1d(4), ValueError, "training mode"),
        (
            nn.Linear(3, 4),
            BatchNorm1d(4, track_running_stats=False).eval(),
            ValueError,
            "track_running_stats=True",
        ),
        (nn.Linear(3, 4), nn.LayerNorm(4).eval(), ValueError, "stores no moments"),
        (nn.Linear(3, 5), BatchNorm1d(4).eval(), ValueError, "norm has 4 channels and layer 5"),
        (
            nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
            BatchNorm1d(4).eval(),
            ValueError,
            "from other parameters",
        ),
        (
            prune.l1_unstructured(nn.Linear(3, 4), "bias", 1),
            BatchNorm1d(4).eval(),
            ValueError,
            r"pruning: make them permanent first \(.*prune.remove",
        ),
    ],
)
def test_what_cannot_be_folded_is_named(layer, norm, error, message):
    with pytest.raises(error, match=message):
        fold_batch_norm(layer, norm)


def first_process_wins(folder, device):
    """DistributedDataParallel sends the first process's stored moments to all, at each forward."""
    rank = torch.distributed.get_rank()
    for kind in (BatchNorm1d, nn.BatchNorm1d):
        model = nn.parallel.DistributedDataParallel(kind(4))
        alone = nn.BatchNorm1d(4)
        for step in range(2):
            for layer in (model, alone):
                layer(inputs((5, 4), seed=10 * step + rank) + 3 * rank).sum().backward()
        before = model.module.running_mean.clone()
        model(inputs((5, 4), seed=7))  # its gradient is never asked for
        mine = [torch.empty(4) for _ in range(2)]
        torch.distributed.all_gather(mine, alone.running_mean)
        after_sync = 0.9 * mine[0] + 0.1 * inputs((5, 4), seed=7).mean(0)
        assert_close(model.module.running_mean, after_sync)
        if rank == 0:
            assert_close(before, mine[0])
        else:
            assert not torch.allclose(before, mine[0], atol=0.1)


def test_stored_moments_under_ddp(tmp_path):
    in_processes(first_process_wins, tmp_path)
