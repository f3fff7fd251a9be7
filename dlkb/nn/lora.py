"""LoRA for any module that holds `nn.Linear`: put in, list, save, merge, take out."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dlkb.finetuning import lora as formula
from dlkb.nn.dropout import Dropout

__all__ = [
    "LoRALinear",
    "TrainableParameters",
    "add_lora",
    "detach_lora",
    "load_lora_state_dict",
    "lora_state_dict",
    "merge_lora",
    "trainable_parameters",
    "unmerge_lora",
]


class LoRALinear(nn.Module):
    r"""A frozen `nn.Linear` with a trainable low-rank update.

    $$\mathbf{y} = \mathbf{x}\mathbf{W}^\top + \mathbf{b}
      + s\,(\operatorname{dropout}(\mathbf{x})\,\mathbf{A}^\top)\,\mathbf{B}^\top$$

    The weight of the base layer is never written to: merging keeps the sum beside it. So
    `merge` and `unmerge` may be called in any order and any number of times, `unmerge` gives the
    old weight back bit for bit, and a `state_dict` is the same whether merged or not. The price is
    one more weight in memory while merged; `detach_lora` leaves only the sum.

    Args:
        base_layer: The layer to adapt. It is kept, not copied, and frozen.
        r: The rank, at least 1.
        alpha: The numerator of the scaling.
        rule: How alpha and r make the scaling, see `dlkb.finetuning.lora.lora_scaling`.
        lora_dropout: Probability of dropping an input of the branch while training.
        dtype: Of the factors; None for that of the base weight. `torch.float32` keeps small
            updates from being rounded away when the base is bfloat16.
        generator: A CPU generator for `lora_A`; None for torch's own. The draw is made on the
            CPU, so it is the same on every device.

    Raises:
        TypeError: If `base_layer` is no `nn.Linear`, or not floating-point.
        ValueError: If r, alpha or rule is not accepted.

    Note:
        Differs from peft: one adapter a layer; the factors are parameters `lora_A` (r, in) and
        `lora_B` (out, r), not layers; factors follow the base's dtype, where `get_peft_model`
        makes them float32; `weight` is the weight in effect, so that code that reads it in
        place of calling the layer (`nn.MultiheadAttention`, the fast path of
        `nn.TransformerEncoderLayer`) sees the update; forward in training mode while merged
        is an error.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> layer = LoRALinear(nn.Linear(4, 3), r=2, alpha=4)
        >>> layer
        LoRALinear(
          r=2, alpha=4, rule=lora, scaling=2.0, merged=False
          (lora_dropout): Identity()
          (base_layer): Linear(in_features=4, out_features=3, bias=True)
        )
        >>> x = torch.ones(1, 4)
        >>> torch.equal(layer(x), layer.base_layer(x))      # B = 0
        True
    """

    def __init__(
        self,
        base_layer: nn.Linear,
        *,
        r: int,
        alpha: float,
        rule: formula.Rule = "lora",
        lora_dropout: float = 0.0,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(base_layer, nn.Linear):
            raise TypeError(f"base_layer is {type(base_layer).__name__}: nn.Linear is needed")
        self.r, self.alpha, self.rule = r, alpha, rule
        self.scaling = formula.lora_scaling(alpha, r, rule=rule)
        weight = base_layer.weight
        A, B = formula.lora_init(
            torch.empty((), dtype=dtype or weight.dtype, device="cpu").expand(weight.shape),
            r=r,
            generator=generator or torch.default_generator,
        )
        self.lora_A = nn.Parameter(A.to(weight.device))
        self.lora_B = nn.Parameter(B.to(weight.device))
        self.lora_dropout = Dropout(lora_dropout) if lora_dropout else nn.Identity()
        self.base_layer = base_layer.requires_grad_(False)
        self.merged_weight: Tensor | None
        self.register_buffer("merged_weight", None, persistent=False)
        self.register_load_state_dict_post_hook(_refresh)

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.base_layer.in_features

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.base_layer.out_features

    @property
    def bias(self) -> Tensor | None:
        """The bias of the base layer."""
        return self.base_layer.bias

    @property
    def merged(self) -> bool:
        """Whether the sum is kept and used."""
        return self.merged_weight is not None

    @property
    def weight(self) -> Tensor:
        """The weight in effect, W + sBA; gradients flow from it to the factors.

        It is summed in float32 at least and rounded once to the dtype of W.
        """
        if self.merged_weight is not None:
            return self.merged_weight
        W = self.base_layer.weight
        wide = torch.promote_types(torch.promote_types(W.dtype, self.lora_A.dtype), torch.float32)
        A, B = self.lora_A.to(wide), self.lora_B.to(wide)
        return formula.merge(W.to(wide), A, B, scaling=self.scaling).to(W.dtype)

    def merge(self) -> None:
        """Use one weight W + sBA from now on: the cost of the plain layer. Twice is once."""
        if not self.merged:
            self.merged_weight = self.weight.detach()

    def unmerge(self) -> None:
        """Go back to the base weight, which is bit for bit what it was. Twice is once."""
        self.merged_weight = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        if self.merged_weight is not None:
            if self.training:
                raise RuntimeError(
                    "LoRALinear is merged, so lora_A and lora_B would get no gradient: call "
                    "unmerge() (or unmerge_lora(model)) to train, eval() to predict"
                )
            return nn.functional.linear(x, self.merged_weight, self.base_layer.bias)
        y = self.base_layer(x)
        dropped = self.lora_dropout(x).to(self.lora_A.dtype)
        branch = formula.lora_branch(dropped, self.lora_A, self.lora_B, scaling=self.scaling)
        return y + branch.to(y.dtype)

    def extra_repr(self) -> str:
        """Say what the sub-modules do not."""
        return (
            f"r={self.r}, alpha={self.alpha}, rule={self.rule}, scaling={self.scaling}, "
            f"merged={self.merged}"
        )

    def get_extra_state(self) -> Tensor:
        """Put the scaling into the `state_dict`: factors mean nothing without it."""
        return torch.tensor(self.scaling, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse factors that were trained with another scaling."""
        if float(state) != self.scaling:
            raise ValueError(
                f"the factors were saved with scaling {float(state)}, this layer has "
                f"{self.scaling}: build it with the alpha, r and rule of the training"
            )


def _refresh(layer: LoRALinear, _: Any) -> None:
    """Merge again after new factors or a new base were loaded into a merged layer."""
    if layer.merged:
        layer.unmerge()
        layer.merge()


def _named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return every module by name, shared ones by each, without the insides of LoRALinear."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        parents = (name[:i] for i, letter in enumerate(name) if letter == ".")
        if not any(isinstance(found.get(parent), LoRALinear) for parent in ("", *parents) if name):
            found[name] = module
    return found


def _layers(model: nn.Module) -> dict[str, LoRALinear]:
    found = {n: m for n, m in _named_modules(model).items() if isinstance(m, LoRALinear)}
    if not found:
        raise ValueError(f"{type(model).__name__} holds no LoRALinear: call add_lora first")
    return found


def _match(names: Iterable[str], wanted: str | Sequence[str], argument: str) -> list[str]:
    """Return the names that `wanted` means; each of its entries must mean one at least."""
    names = list(names)
    if isinstance(wanted, str):
        found = [name for name in names if re.fullmatch(wanted, name)]
        if not found:
            raise ValueError(f"{argument}={wanted!r} matches no module; there are {names}")
        return found
    for target in wanted:
        if not any(_is_called(name, target) for name in names):
            known = sorted({part for name in names for part in (name, name.rpartition(".")[2])})
            close = get_close_matches(target, known) or names[:8]
            raise ValueError(f"{argument}: no module is called {target!r}; close names: {close}")
    return [name for name in names if any(_is_called(name, target) for target in wanted)]


def _is_called(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def add_lora(
    model: nn.Module,
    targets: str | Sequence[str],
    *,
    r: int,
    alpha: float,
    rule: formula.Rule = "lora",
    lora_dropout: float = 0.0,
    modules_to_save: Sequence[str] = (),
    dtype: torch.dtype | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    r"""Replace the named `nn.Linear` modules by `LoRALinear`, in place, and freeze the rest.

    Args:
        model: Any module that holds `nn.Linear`; it may sit on any device.
        targets: Names, or ends of names: `["q_lin", "v_lin"]` means every `….q_lin` and
            `….v_lin`. A string is a regular expression that must match the whole name of an
            `nn.Linear`: `".*"` means all of them.
        r: The rank.
        alpha: The numerator of the scaling.
        rule: How alpha and r make the scaling, see `dlkb.finetuning.lora.lora_scaling`.
        lora_dropout: Probability of dropping an input of the branches while training.
        modules_to_save: Names of modules that are trained in full and saved with the adapter,
            such as a new classification head.
        dtype: Of the factors; None for that of each base weight.
        generator: A CPU generator for the factors.

    Returns:
        The same model. What an earlier call put in stays as it was.

    Raises:
        TypeError: If a target is not an `nn.Linear`.
        ValueError: If a name matches nothing (close names are listed), a target is adapted
            already, is the model itself, or lies inside `modules_to_save`.
            Nothing has been changed then.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> model = add_lora(model, ["0"], r=2, alpha=4, modules_to_save=["2"])
        >>> trainable_parameters(model).counts
        {'0.lora_A': 8, '0.lora_B': 16, '2.weight': 16, '2.bias': 2}
    """
    modules = _named_modules(model)
    if isinstance(targets, str):
        linear = (n for n, m in modules.items() if isinstance(m, nn.Linear | LoRALinear))
        chosen = _match(linear, targets, "targets")
    else:
        chosen = _match(modules, targets, "targets")
    saved = _match(modules, modules_to_save, "modules_to_save")
    adapted = [n for n, m in modules.items() if isinstance(m, LoRALinear)]
    for name in saved:
        inside = [n for n in chosen + adapted if n == name or n.startswith(f"{name}.")]
        if inside:
            raise ValueError(f"{name} is in modules_to_save, but {inside} in it has LoRA: choose")
    for name in chosen:
        module = modules[name]
        if isinstance(module, LoRALinear):
            raise ValueError(f"{name} is a LoRALinear already: detach_lora first")
        if not isinstance(module, nn.Linear) or not module.weight.is_floating_point():
            raise TypeError(
                f"{name} is {type(module).__name__}: only a floating-point nn.Linear can be adapted"
            )
        if name == "":
            raise ValueError("the model is itself the nn.Linear: use LoRALinear(model, ...)")
        if lora_dropout and isinstance(modules[name.rpartition(".")[0]], nn.MultiheadAttention):
            raise ValueError(
                f"{name} belongs to nn.MultiheadAttention, which reads its weight and does not "
                "call it: lora_dropout would do nothing, set it to 0"
            )
    wrapped: dict[nn.Module, LoRALinear] = {}  # a module that is shared stays shared
    for name in chosen:
        if modules[name] not in wrapped:
            layer = LoRALinear(
                modules[name],
                r=r,
                alpha=alpha,
                rule=rule,
                lora_dropout=lora_dropout,
                dtype=dtype,
                generator=generator,
            )
            wrapped[modules[name]] = layer.train(modules[name].training)
    for name in chosen:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, wrapped[modules[name]])
    for name in saved:
        modules[name].lora_saved = True
    _freeze(model)
    return model


def _freeze(model: nn.Module) -> None:
    """Leave trainable the factors and what is saved with them."""
    ours: set[nn.Parameter] = set()
    for module in model.modules():
        if isinstance(module, LoRALinear):
            ours |= {module.lora_A, module.lora_B}
        elif getattr(module, "lora_saved", False):
            ours |= set(module.parameters())
    for p in model.parameters():
        p.requires_grad_(p in ours)


class TrainableParameters(NamedTuple):
    """What an optimizer would change: counts by name, their sum, and the size of the model."""

    counts: dict[str, int]
    trainable: int
    total: int


def trainable_parameters(model: nn.Module) -> TrainableParameters:
    """List the parameters that require a gradient.

    Args:
        model: Any module.

    Returns:
        Names with counts, the number that is trainable, and the number of all parameters.

    Example:
        >>> from torch import nn
        >>> model = add_lora(nn.Sequential(nn.Linear(100, 100)), ["0"], r=2, alpha=4)
        >>> trainable_parameters(model)
        TrainableParameters(counts={'0.lora_A': 200, '0.lora_B': 200}, trainable=400, total=10500)
    """
    counts = {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}
    total = sum(p.numel() for p in model.parameters())
    return TrainableParameters(counts, sum(counts.values()), total)


def merge_lora(model: nn.Module) -> nn.Module:
    """Merge every LoRALinear of the model, see `LoRALinear.merge`.

    Raises:
        ValueError: If there is none.
    """
    for layer in _layers(model).values():
        layer.merge()
    return model


def unmerge_lora(model: nn.Module) -> nn.Module:
    """Unmerge every LoRALinear of the model, see `LoRALinear.unmerge`.

    Raises:
        ValueError: If there is none.
    """
    for layer in _layers(model).values():
        layer.unmerge()
    return model


def detach_lora(model: nn.Module, *, merge: bool = True) -> nn.Module:
    """Put plain `nn.Linear` modules back, with what was learnt in their weights.

    Args:
        model: A module with LoRALinear in it, or a LoRALinear.
        merge: True writes W + sBA into the layer. False throws the update away and gives the
            pretrained weights back, bit for bit.

    Returns:
        The same model, or the plain layer if `model` was a LoRALinear. All that was frozen
        stays frozen; without a LoRALinear in it the model is returned as it is.

    Example:
        >>> from torch import nn
        >>> model = add_lora(nn.Sequential(nn.Linear(4, 3)), ["0"], r=2, alpha=4)
        >>> detach_lora(model)
        Sequential(
          (0): Linear(in_features=4, out_features=3, bias=True)
        )
    """
    done: set[nn.Module] = set()
    for name, module in _named_modules(model).items():
        if isinstance(module, LoRALinear):
            plain = module.base_layer
            if merge and module not in done:
                # A new parameter: a weight that is tied to another module must not change there.
                plain.weight = nn.Parameter(module.weight.detach(), requires_grad=False)
            done.add(module)
            if name == "":
                return plain
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, plain)
        elif hasattr(module, "lora_saved"):
            del module.lora_saved
    return model


def lora_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Return the part of `model.state_dict()` that belongs to the adapter.

    Args:
        model: A module with LoRALinear in it.

    Returns:
        `lora_A`, `lora_B` and the scaling of every layer, and all of `modules_to_save`, under
        the names that they have in the whole `state_dict`. The tensors are not copied.

    Raises:
        ValueError: If there is no LoRALinear.
    """
    _layers(model)
    state: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, LoRALinear):
            own = module.state_dict(prefix=prefix)
            base = f"{prefix}base_layer."
            state |= {key: value for key, value in own.items() if not key.startswith(base)}
        elif getattr(module, "lora_saved", False):
            state |= module.state_dict(prefix=prefix)
    return state


def load_lora_state_dict(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Load what `lora_state_dict` returned into a model that was prepared in the same way.

    Args:
        model: A module after the same call of `add_lora`. Merged layers are merged anew.
        state: The saved adapter.

    Raises:
        ValueError: If names are missing or left over, or a layer has another scaling.
        RuntimeError: If a shape differs (another rank, say).
    """
    expected = lora_state_dict(model).keys()
    missing, left_over = sorted(expected - state.keys()), sorted(state.keys() - expected)
    if missing or left_over:
        raise ValueError(
            f"the adapter does not fit this model: missing {missing}, left over {left_over}"
        )
    model.load_state_dict(state, strict=False)
