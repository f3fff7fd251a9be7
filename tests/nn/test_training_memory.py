import copy
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from dlkb.experiments.transformer import Block
from dlkb.nn import SavedMemory, peak_memory, saved_memory


def stack(depth=6, n=16, activation=nn.Tanh):
    return nn.Sequential(
        *(layer for _ in range(depth) for layer in (nn.Linear(n, n), activation()))
    )


def test_counts_by_hand(device):
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).to(device)
    saved = saved_memory(model, torch.ones(32, 8, device=device))
    assert saved == SavedMemory(848, 848, 0, 1024, 2048, {"1": 2048})


def test_weights_are_not_activations_and_views_count_whole():
    model = nn.Linear(8, 16)
    wide = torch.ones(32, 64, requires_grad=True)
    saved = saved_memory(model, (wide[:, :8],))
    assert saved.inputs == 32 * 64 * 4
    assert saved.activations == 0


def test_gradients_of_views_have_memory_of_their_own():
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            flat = torch.ones(1000)
            self.a, self.b = nn.Parameter(flat[:10]), nn.Parameter(flat[10:30])

        def forward(self, x):
            return (x * self.a).sum() + self.b.sum()

    saved = saved_memory(Views(), torch.ones(10))
    assert (saved.parameters, saved.gradients) == (4000, 120)


def test_what_two_operations_keep_counts_once():
    class Twice(nn.Module):
        def forward(self, x):
            h = x.tanh()
            return h * h.sin() + h.view(-1).cos().view_as(h)

    x = torch.ones(10, 10, requires_grad=True)
    saved = saved_memory(Twice(), x)
    assert (saved.inputs, saved.modules) == (0, {"": 2 * 400})  # h, and sin(h)


def test_frozen_layers_keep_no_input_and_get_no_gradient():
    model = stack(2)
    model[2].requires_grad_(False)
    before = saved_memory(model, torch.ones(5, 16))
    model[0].requires_grad_(False)
    after = saved_memory(model, torch.ones(5, 16))
    assert before.gradients == before.parameters // 2
    assert after.gradients == 0
    assert before.activations == 2 * 5 * 16 * 4
    assert (after.activations, after.inputs) == (0, 0)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_segments_keep_their_inputs(reentrant):
    model = stack(6)
    x = torch.ones(5, 16, requires_grad=True)
    row = 5 * 16 * 4

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return checkpoint_sequential(self.model, 3, x, use_reentrant=reentrant)

    # The last segment is not checkpointed: two layers, whose first one's input is a boundary.
    saved = saved_memory(Checkpointed(), x)
    assert saved.inputs == row
    assert saved.activations == 4 * row


def test_what_is_dropped_before_the_end_does_not_count():
    class Drops(nn.Module):
        def forward(self, x):
            x.exp().exp()  # a graph that nothing holds
            return x.tanh()

    x = torch.ones(10, requires_grad=True)
    assert saved_memory(Drops(), x).activations == 40


def test_nothing_is_left_behind_and_gradients_inside_the_model_work():
    """As for a gradient penalty: the model itself differentiates, twice."""
    graphs = []

    class Penalty(nn.Module):
        def forward(self, x):
            y = x.exp().sum()
            graphs.append(weakref.ref(y))
            (slope,) = torch.autograd.grad(y, x, create_graph=True)
            (second,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
            assert torch.equal(second, x.exp())
            return second.square().sum()

    x = torch.arange(3.0, requires_grad=True)
    assert saved_memory(Penalty(), x).activations > 0
    assert graphs[0]() is None


def test_the_loss_is_part_of_it():
    model, y = nn.Linear(8, 100), torch.zeros(32, dtype=torch.long)
    saved = saved_memory(model, torch.ones(32, 8), lambda logits: cross_entropy(logits, y))
    # log-probabilities, labels, and the sum of their weights
    assert 32 * 100 * 4 <= saved.modules["loss"] <= 32 * 100 * 4 + 32 * 8 + 8


def test_the_model_stays_as_it_was():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    before = copy.deepcopy(model.state_dict())
    saved_memory(model, torch.randn(8, 4))
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(p.grad is None for p in model.parameters())
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_a_call_that_fails_leaves_no_name_behind():
    class Fails(nn.Module):
        def forward(self, x):
            raise ArithmeticError

    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Fails()

        def forward(self, x):
            try:
                return self.inner(x)
            except ArithmeticError:
                return x.exp()

    x = torch.ones(10, requires_grad=True)
    assert saved_memory(Tries(), x).modules == {"": 40}


def test_keywords_autocast_and_grad_mode():
    model = Block(16, 2)
    x = torch.ones(2, 5, 16)
    with torch.no_grad():
        saved = saved_memory(model, (), keywords={"x": x})
    assert saved.inputs == x.nbytes
    with torch.autocast("cpu", torch.bfloat16):
        half = saved_memory(model, x)
    copies = sum(p.numel() * 2 for name, p in model.named_parameters() if "norm" not in name)
    assert half.activations < saved.activations + copies
    assert half.activations > saved.activations / 2


def test_on_meta_the_same_as_for_real():
    real = saved_memory(Block(16, 2), torch.ones(2, 5, 16))
    with torch.device("meta"):
        large = saved_memory(Block(16, 2), torch.ones(2, 5, 16))
        fused = saved_memory(Block(16, 2, fused=True), torch.ones(2, 5, 16))
    assert real == large
    assert fused.activations >= large.activations


def test_wrappers_and_sparse_tensors_are_counted_by_what_is_inside():
    model = nn.Linear(8, 4)
    rows = [torch.ones(2, 8), torch.ones(3, 8)]
    jagged = torch.nested.nested_tensor(rows, layout=torch.jagged)
    assert saved_memory(model, jagged).inputs >= 5 * 8 * 4

    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6, 2))

        def forward(self, x):
            return torch.sparse.mm(x, self.weight)

    sparse = torch.eye(6).to_sparse()
    assert saved_memory(Product(), sparse).inputs == 6 * 4 + 2 * 6 * 8
    csr = pytest.warns(UserWarning, match="beta")
    with csr, pytest.raises(TypeError, match=r"layout torch\.sparse_csr"):
        saved_memory(Product(), torch.eye(6).to_sparse_csr())


def test_printed():
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    text = str(saved_memory(model, torch.ones(32, 8)))
    assert text.splitlines()[0] == "parameters       848 B"
    assert text.splitlines()[-2:] == ["activations      2 KiB", "  1              2 KiB"]


def test_script_modules_are_refused():
    with pytest.warns(DeprecationWarning, match="script"):
        scripted = torch.jit.script(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="ScriptModule"):
        saved_memory(nn.Sequential(scripted), torch.ones(1, 2))


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("segments", [0, 3])
def test_peak_of_a_step_is_that_of_torch_s_tracker(batch, segments):
    model, x = stack(6), torch.ones(batch, 16)

    def step():
        model.zero_grad()
        y = checkpoint_sequential(model, segments, x, use_reentrant=False) if segments else model(x)
        y.sum().backward()

    found = peak_memory(step)
    model.zero_grad()
    tracker = MemTracker()
    tracker.track_external(model, x)
    with tracker:
        step()
    there = sum(p.nbytes for p in model.parameters()) + x.nbytes
    assert found == tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"] - there


def test_peak_counts_what_is_alive_at_one_time():
    x = torch.ones(1000)
    assert peak_memory(lambda: (x + 1) * 2) == 8000
    assert peak_memory(lambda: (x + 1).add_(1).mul_(2)) == 4000
    assert peak_memory(lambda: x.view(10, 100).t()) == 0
    assert peak_memory(lambda: [x + 1 for _ in range(5)]) == 20_000
    assert peak_memory(lambda: sum((x + i).sum() for i in range(5))) < 4100
    assert x.equal(torch.ones(1000))


def test_peak_counts_tensors_of_numbers_and_not_the_memory_of_an_array():
    numbers, array = [0.0] * 1000, np.zeros(1000, dtype=np.float32)
    assert peak_memory(lambda: torch.tensor(numbers)) == 4000
    assert peak_memory(lambda: torch.tensor(numbers) + 1) == 8000
    assert peak_memory(lambda: torch.from_numpy(array)) == 0
    assert peak_memory(lambda: torch.tensor(array)) == 4000


def test_peak_sees_what_a_checkpoint_computes_again():
    x = torch.ones(1000, requires_grad=True)

    def inner(x):
        return x.exp().exp().exp()

    plain = peak_memory(lambda: inner(x).sum().backward())
    x.grad = None
    again = peak_memory(lambda: checkpoint(inner, x, use_reentrant=False).sum().backward())
    assert 8000 < again <= plain + 4000
