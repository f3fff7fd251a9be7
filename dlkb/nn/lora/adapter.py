"""One adapter of one layer, and the weight that is summed when somebody computes with it."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from dlkb.finetuning import lora as formula
from dlkb.finetuning import lora_variants as variants
from dlkb.nn.dropout import Dropout

Init = Literal["uniform", "gaussian", "pissa", "embedding"]


class Options(NamedTuple):
    """How an adapter of one layer is made; `dlkb.nn.add_lora` describes each."""

    r: int
    alpha: float
    rule: formula.Rule = "lora"
    lora_dropout: float = 0.0
    init: Init = "uniform"
    dora: bool = False
    bias: bool = False
    dtype: torch.dtype | None = None


class Adapter(nn.Module):
    """The parameters of one adapter of one layer, and their scaling.

    Args:
        weight: The weight of the layer as a matrix, (out, in). Only PiSSA and DoRA read it.
        bias: The bias of the layer, copied if `options.bias` is set.
        options: How the adapter is made.
        groups: Of a convolution; each has factors of its own.
        generator: A CPU generator; None for torch's own.
    """

    magnitude: Tensor | None
    bias: Tensor | None
    start_A: Tensor | None
    start_B: Tensor | None

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        options: Options,
        *,
        groups: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.options = options
        self.scaling = formula.lora_scaling(options.alpha, options.r, rule=options.rule)
        dtype, device = options.dtype or weight.dtype, weight.device
        factors = _start(weight, options, self.scaling, dtype, generator)
        start: formula.Factors | tuple[None, None] = (None, None)
        if options.init == "pissa":
            start = formula.Factors(*(t.detach().clone().to(device) for t in factors))
        self.register_buffer("start_A", start[0])
        self.register_buffer("start_B", start[1])
        self.lora_A = nn.Parameter(factors.A.to(device))
        self.lora_B = nn.Parameter(factors.B[:, : options.r // groups].to(device).contiguous())
        lengths = variants.row_lengths(_wide(weight)).to(dtype) if options.dora else None
        self.register_parameter("magnitude", None if lengths is None else nn.Parameter(lengths))
        own = bias.detach().clone() if options.bias and bias is not None else None
        self.register_parameter("bias", None if own is None else nn.Parameter(own))
        self.lora_dropout = Dropout(options.lora_dropout) if options.lora_dropout else nn.Identity()

    def direction(self, weight: Tensor, groups: int = 1) -> Tensor:
        """Return W + sBA for a matrix W, in its dtype."""
        dtype, scaling = weight.dtype, self.scaling
        if self.start_A is not None and self.start_B is not None:
            start = self.start_A.to(dtype), self.start_B.to(dtype)
            weight = formula.unmerge(weight, *start, scaling=scaling)
        A, B = self.lora_A.to(dtype), self.lora_B.to(dtype)
        if groups == 1:
            return formula.merge(weight, A, B, scaling=scaling)
        parts = zip(*(t.chunk(groups) for t in (weight, A, B)), strict=True)
        return torch.cat([formula.merge(*part, scaling=scaling) for part in parts])

    def merged(self, weight: Tensor, groups: int = 1) -> Tensor:
        """Return the matrix W with this adapter in it, in its dtype."""
        V = self.direction(weight, groups)
        return V if self.magnitude is None else self.stretch(V)[:, None] * V

    def stretch(self, V: Tensor) -> Tensor:
        """Return by what DoRA multiplies each row; the length is constant in the backward pass."""
        assert self.magnitude is not None
        lengths = variants.row_lengths(V.detach())
        return self.magnitude.to(V.dtype) / torch.where(lengths > 0, lengths, 1)

    def get_extra_state(self) -> Tensor:
        """Put the scaling into the `state_dict`: factors mean nothing without it."""
        return torch.tensor(self.scaling, dtype=torch.float64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse factors that were trained with another scaling."""
        if float(state) != self.scaling:
            raise ValueError(
                f"the factors were saved with scaling {float(state)}, this layer has "
                f"{self.scaling}: build it with the alpha, r and rule of the training"
            )

    def extra_repr(self) -> str:
        """Say what the sub-modules do not."""
        o = self.options
        more = [f"init={o.init}"] * (o.init == "pissa") + ["dora"] * o.dora + ["bias"] * o.bias
        return ", ".join([f"r={o.r}, alpha={o.alpha}, rule={o.rule}, scaling={self.scaling}", *more])


def _start(
    weight: Tensor,
    options: Options,
    scaling: float,
    dtype: torch.dtype,
    generator: torch.Generator | None,
) -> formula.Factors:
    """Return the factors that training starts from, on the CPU but for PiSSA's."""
    r, init = options.r, options.init
    if init == "pissa":
        A, B = variants.factorize(_wide(weight.detach()), r=r, scaling=scaling)
        return formula.Factors(A.to(dtype), B.to(dtype))
    if init not in ("uniform", "gaussian", "embedding"):
        raise ValueError(f'init is {init!r}: it must be "uniform", "gaussian" or "pissa"')
    # Only shape and dtype are read: drawn on the CPU, factors are the same on every device.
    like = torch.empty((), dtype=dtype, device="cpu").expand(weight.shape)
    draw = generator or torch.default_generator
    if init == "embedding":  # A = 0, so that the padding, which has no gradient, stays
        B, A = formula.lora_init(like.T, r=r, generator=draw, std=1.0)
        return formula.Factors(A.T, B.T)
    return formula.lora_init(like, r=r, generator=draw, std=1 / r if init == "gaussian" else None)


def _wide(tensor: Tensor) -> Tensor:
    """Return the tensor in float32 at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class EffectiveWeight(Tensor):
    """The weight in effect, W + sBA, which is summed when it is computed with.

    Models look at `layer.weight.dtype` in each forward pass (T5 does): dtype, device and shape
    are known without the sum. Whatever else is done with it sees the sum.
    """

    _sum: Callable[[], Tensor]

    @staticmethod
    def of(weight: Tensor, total: Callable[[], Tensor]) -> "EffectiveWeight":
        """Return a tensor that looks like `weight` and computes like `total()`."""
        look: EffectiveWeight = Tensor._make_subclass(EffectiveWeight, weight.detach())
        look._sum = total
        return look

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer looks at once; sum for the rest."""
        with torch._C.DisableTorchFunctionSubclass():
            if func in _LOOKS:
                return func(*args, **(kwargs or {}))
            return func(*_summed(args), **_summed(kwargs or {}))


_LOOKS = {
    *(
        getattr(Tensor, name).__get__  # a property of C: no function has its name
        for name in ("dtype", "device", "shape", "ndim", "layout", "is_cuda", "is_cpu", "is_meta")
    ),
    *(getattr(Tensor, name) for name in ("size", "dim", "numel", "is_floating_point", "__len__")),
    *(getattr(Tensor, name) for name in ("is_complex", "element_size")),
}


def _summed(tree: Any) -> Any:
    """Replace each EffectiveWeight in the arguments of a call by its sum."""
    if isinstance(tree, EffectiveWeight):
        return tree._sum()
    if type(tree) in (tuple, list):
        return type(tree)(_summed(leaf) for leaf in tree)
    if type(tree) is dict:
        return {key: _summed(leaf) for key, leaf in tree.items()}
    return tree
