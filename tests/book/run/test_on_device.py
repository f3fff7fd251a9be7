"""A page's torch on another device: the CPU's numbers, conversions, printing.

The meta device holds no values, so it shows where a tensor lies, and that a draw does not ask
for the generator of another device. What lies on it has the CPU's values: on a GPU.
"""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dlkb.book.run.on_device import OnDevice


@pytest.fixture
def there(device) -> str:
    return "cuda" if device == "cuda" else "meta"


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def layer(_: torch.Generator) -> Tensor:
    torch.manual_seed(0)
    made = nn.Linear(3, 4)
    nn.init.kaiming_normal_(made.weight)
    nn.init.normal_(tensor=made.bias, std=2.0)
    return torch.cat([made.weight.detach().flatten(), made.bias.detach()])


DRAWN = {
    "seeded": lambda g: (torch.manual_seed(3), torch.randn(2, 3))[1],
    "a generator": lambda g: torch.rand(4, generator=g, dtype=torch.float64),
    "integers": lambda g: torch.randint(9, (4,), generator=g),
    "permuted": lambda g: torch.randperm(5, generator=g),
    "alike": lambda g: (torch.manual_seed(3), torch.randn_like(torch.ones(3)))[1],
    "filled": lambda g: torch.ones(4).uniform_(-1, 1, generator=g),
    "a layer": layer,
}
SAMPLED = {
    "bernoulli": lambda p: torch.bernoulli(p, generator=seeded()),
    "of the tensor": lambda p: p.bernoulli(generator=seeded()),
    "multinomial": lambda p: torch.multinomial(p, 3, generator=seeded()),
    "normal": lambda p: torch.normal(p, 1.0, generator=seeded()),
    "filled by chances": lambda p: torch.ones(4).bernoulli_(p, generator=seeded()),
}


@pytest.mark.parametrize("name", DRAWN)
def test_draws_are_the_cpus(name, there):
    cpus, ours = seeded(), seeded()
    on_cpu, state = DRAWN[name](cpus), torch.get_rng_state()
    with OnDevice(there):
        drawn = DRAWN[name](ours)
    assert (drawn.device.type, drawn.shape, drawn.dtype) == (there, on_cpu.shape, on_cpu.dtype)
    # The CPU's generators have drawn as many.
    assert torch.equal(ours.get_state(), cpus.get_state())
    assert torch.equal(torch.get_rng_state(), state)
    if there == "cuda":
        assert torch.equal(drawn.cpu(), on_cpu)


@pytest.mark.parametrize("name", SAMPLED)
def test_what_is_drawn_by_a_tensor_is_the_cpus(name, there):
    on_cpu = SAMPLED[name](torch.full((4,), 0.5))
    with OnDevice(there):
        p = torch.full((4,), 0.5)
        if there == "cuda":
            drawn = SAMPLED[name](p)
            assert drawn.is_cuda
            assert torch.equal(drawn.cpu(), on_cpu)
        else:
            with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
                SAMPLED[name](p)


def test_a_drawn_leaf_takes_a_gradient(there):
    with OnDevice(there):
        x = torch.randn(3, requires_grad=True)
        assert x.is_leaf
        assert x.requires_grad
        x.square().sum().backward()
        assert x.grad is not None


def test_a_parameter_that_is_filled_stays_itself(there):
    with OnDevice(there):
        p = nn.Parameter(torch.zeros(3))
        assert nn.init.normal_(p) is p
        assert p.data.uniform_().device.type == there
        assert p.is_leaf
        filled = torch.ones(3)
        assert filled.normal_() is filled


def test_what_is_made_lies_there_and_what_names_a_device_where_it_says(there):
    with OnDevice(there):
        assert torch.tensor([1.0]).device.type == there
        assert torch.rand(2, device="cpu").is_cpu
        assert torch.rand_like(torch.ones(2), device="cpu").is_cpu
        assert torch.ones(2, device="cpu").normal_().is_cpu
    assert torch.ones(1).is_cpu


def test_afterwards_the_default_is_the_cpu_also_after_an_error(there):
    with pytest.raises(KeyError), OnDevice(there):
        raise KeyError
    assert torch.ones(1).is_cpu
    assert torch.get_default_device().type == "cpu"


@pytest.mark.parametrize("read", [Tensor.numpy, np.asarray])
def test_numpy_copies_to_the_cpu(read, there):
    with OnDevice(there):
        x = torch.ones(2)
        if there == "cuda":
            np.testing.assert_array_equal(read(x), [1.0, 1.0])
        else:
            with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
                read(x)


def test_numpy_of_what_requires_a_gradient_is_refused_as_on_the_cpu(there):
    # The copy keeps the gradient's history, so that what is refused is what the CPU refuses.
    refused = "requires grad" if there == "cuda" else "Cannot copy out of meta tensor"
    with OnDevice(there), pytest.raises(RuntimeError, match=refused):
        torch.ones(2, requires_grad=True).numpy()


def test_a_tensor_is_printed_without_its_device(there):
    with OnDevice(there):
        text = repr(torch.ones(2, dtype=torch.float64))
    values = "[1., 1.]" if there == "cuda" else "..., size=(2,)"
    assert text == f"tensor({values}, dtype=torch.float64)"
