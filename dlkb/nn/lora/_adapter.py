"""One adapter of one layer."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from dlkb.arrays import check_between
from dlkb.finetuning import lora as formula
from dlkb.finetuning import lora_variants as variants
from dlkb.nn.dropout import Dropout

START = ("start_A", "start_B")
"""What an adapter keeps and does not train: the factors that PiSSA started from."""

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
    start_A: Tensor | None  # noqa: N815
    start_B: Tensor | None  # noqa: N815

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
        check_between("lora_dropout", options.lora_dropout, 0, 1)
        self.options = options
        self.scaling = formula.lora_scaling(options.alpha, options.r, rule=options.rule)
        dtype, device = options.dtype or weight.dtype, weight.device
        factors = _start(weight, options, self.scaling, dtype, generator)
        A = factors.A.to(device).contiguous()
        B = factors.B[:, : options.r // groups].to(device).contiguous()
        self.lora_A, self.lora_B = nn.Parameter(A), nn.Parameter(B)
        start = [A.clone(), B.clone()] if options.init == "pissa" else [None, None]
        for name, value in zip(START, start, strict=True):
            # A frozen parameter, not a buffer: fully_shard shards it as it does the weight.
            kept = None if value is None else nn.Parameter(value, requires_grad=False)
            self.register_parameter(name, kept)
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
        return ", ".join(
            [f"r={o.r}, alpha={o.alpha}, rule={o.rule}, scaling={self.scaling}", *more]
        )


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


def check_name(argument: str, name: str) -> None:
    """Raise ValueError for a name under which `nn.ModuleDict` takes no adapter."""
    if not name or "." in name or hasattr(nn.ModuleDict(), name):
        raise ValueError(
            f"{argument} is {name!r}: a name without a dot is needed, and none of nn.ModuleDict's "
            'own, such as "train"'
        )


def refuse(name: str, base: nn.Module, options: Options, *what: str) -> None:
    """Raise ValueError for options that a kind of layer cannot have."""
    given = {
        "lora_dropout": bool(options.lora_dropout),
        "dora": options.dora,
        "pissa": options.init == "pissa",
    }
    for option in what:
        if given[option]:
            reason = "would do nothing" if option == "lora_dropout" else "is for linear layers"
            raise ValueError(f"{name} is {type(base).__name__}: {option} {reason}, leave it out")
