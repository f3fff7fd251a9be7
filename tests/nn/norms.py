"""Modules that normalize beside torch's, and what those over the last axes have in common."""

import copy
import io
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from tests.close import assert_close


def inputs(shape=(6, 7), dtype=torch.float32, device="cpu", seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return torch.tensor(values, dtype=dtype, device=device)


def pair(ours, theirs, *arguments, device="cpu", **options):
    """Return a layer of ours and torch's with equal parameters, not 1 and 0."""
    mine, other = (kind(*arguments, device=device, **options) for kind in (ours, theirs))
    with torch.no_grad():
        for seed, parameter in enumerate(other.parameters()):
            parameter.copy_(inputs(parameter.shape, parameter.dtype, seed=seed + 5))
    mine.load_state_dict(other.state_dict())
    return mine, other


class LastAxesNorm:
    """Tests of a layer `Ours` against torch's `Theirs`, with the `ARGUMENTS` of both, by name."""

    Ours: Any
    Theirs: Any
    ARGUMENTS: ClassVar[dict[str, tuple[tuple, dict[str, Any]]]]

    def pair(self, *arguments, **options):
        return pair(self.Ours, self.Theirs, *arguments, **options)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_values_and_gradients_of_torch(self, case, dtype, device):
        arguments, options = case
        found = []
        for layer in self.pair(*arguments, device=device, dtype=dtype, **options):
            x = inputs((4, 6, 7), dtype, device).requires_grad_()
            output = layer(x)
            (output * inputs((4, 6, 7), dtype, device, seed=1)).sum().backward()
            found.append([output, x.grad, *(p.grad for p in layer.parameters())])
        assert len(found[0]) == len(found[1])
        for mine, their in zip(*found, strict=True):
            assert_close(mine, their, scale=10)

    def test_it_takes_the_place_of_torch_s(self, case):
        arguments, options = case
        ours, theirs = self.pair(*arguments, **options)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert list(ours.buffers()) == []
        theirs.load_state_dict(ours.state_dict())
        fresh, other = self.Ours(*arguments, **options), self.Theirs(*arguments, **options)
        for mine, their in zip(fresh.parameters(), other.parameters(), strict=True):
            assert torch.equal(mine, their)
        assert ours.normalized_shape == theirs.normalized_shape
        assert (ours.eps, ours.elementwise_affine) == (theirs.eps, theirs.elementwise_affine)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision(self, dtype, device):
        ours, theirs = self.pair(64, dtype=dtype, device=device)
        x = inputs((9, 64), dtype, device) * 100
        a, b = (layer(x.clone().requires_grad_()) for layer in (ours, theirs))
        step = torch.finfo(dtype).eps
        torch.testing.assert_close(a, b, rtol=2 * step, atol=1e-3)
        a.sum().backward()
        assert {p.grad.dtype for p in ours.parameters()} == {dtype}

    @pytest.mark.parametrize("shape", [(0, 7), (7,), (3, 0, 7), (2, 1, 1, 7)])
    def test_shapes(self, shape):
        ours, theirs = self.pair(7)
        assert_close(ours(inputs(shape)), theirs(inputs(shape)))

    def test_strides_and_memory_format(self):
        ours, theirs = self.pair(7)
        x = inputs((7, 12)).T[::2]
        assert_close(ours(x), theirs(x))
        x = inputs((2, 3, 6, 7)).contiguous(memory_format=torch.channels_last)
        assert_close(ours(x), theirs(x))

    def test_entries_whose_squares_overflow_in_torch(self):
        x = inputs((3, 7)) * 1e25
        ours, theirs = self.pair(7)
        assert_close(ours(x), theirs.double()(x.double()).float())
        assert not torch.allclose(theirs.float()(x), ours(x))

    def test_second_derivatives_and_forward_mode(self):
        layer, x = self.Ours(4, eps=0.1).double(), inputs((2, 4), torch.float64)
        assert torch.autograd.gradgradcheck(layer, (x.clone().requires_grad_(),))
        _, tangent = torch.func.jvp(layer, (x,), (x.flip(0),))
        jacobian = torch.autograd.functional.jacobian(layer, x)
        assert_close(tangent, torch.einsum("abcd,cd->ab", jacobian, x.flip(0)))

    def test_compiles_in_one_graph_and_under_vmap(self, device):
        torch.compiler.reset()
        ours, theirs = self.pair(7, device=device)
        compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
        found = []
        for layer in (compiled, theirs):
            x = inputs(device=device).requires_grad_()
            layer(x).square().sum().backward()
            found.append(x.grad)
        assert_close(*found, scale=30)
        x = inputs((3, 5, 7), device=device)
        assert_close(torch.vmap(ours)(x), theirs(x))

    def test_autocast_and_pickling(self):
        ours, theirs = self.pair(7, eps=1e-6)
        with torch.autocast("cpu", torch.bfloat16):
            for x in (inputs(), inputs().bfloat16()):
                assert ours(x).dtype == theirs(x).dtype
        buffer = io.BytesIO()
        torch.save(copy.deepcopy(ours), buffer)
        buffer.seek(0)
        again = torch.load(buffer, weights_only=False)
        assert torch.equal(again(inputs()), ours(inputs()))

    def test_parameters_and_input_of_different_types(self):
        ours, theirs = self.pair(7)
        x = inputs(dtype=torch.bfloat16)
        assert ours(x).dtype == theirs(x).dtype == torch.bfloat16
        assert_close(ours(x), theirs(x))

    def test_of_a_transposed_input_the_output_is_transposed(self):
        across = inputs((4, 7)).mT
        assert self.Ours(4)(across).stride() == across.stride() == (1, 7)
        assert self.Theirs(4)(across).is_contiguous()

    @pytest.mark.parametrize("shape", [np.int64(7), torch.Size([6, 7]), [6, 7]])
    def test_sizes_of_any_kind(self, shape):
        ours, theirs = self.pair(shape)
        assert ours.normalized_shape == theirs.normalized_shape

    def test_wrong_shapes_are_named(self):
        with pytest.raises(
            ValueError, match=r"input has shape \(6, 7\): its last axes must be \(5,\)"
        ):
            self.Ours(5)(inputs())
        with pytest.raises(ValueError, match="its last axes"):
            self.Ours((2, 7))(inputs((7,)))
        with pytest.raises(ValueError, match="normalized_shape is empty"):
            self.Ours([])
        with pytest.raises(TypeError, match=r"x has dtype torch\.int64"):
            self.Ours(3)(torch.arange(3))
