"""AdamW for PyTorch parameters: `torch.optim.AdamW` on the formula of this package."""

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dlkb.arrays import check_between
from dlkb.optim.adam import Adam


def _is_undecayed(module: nn.Module) -> bool:
    # All layer and RMS norms name their axes so: those of torch, of this package, of apex.
    return isinstance(module, (nn.Embedding, nn.EmbeddingBag)) or hasattr(
        module, "normalized_shape"
    )


class AdamW(Adam):
    """Adam with decoupled weight decay, in the place of `torch.optim.AdamW`.

    Arguments, parameter groups and `state_dict` are those of `torch.optim.AdamW`: a run saved
    under one resumes under the other. `dlkb.optimizers.adamw.adamw` computes the step.

    Args:
        params: Parameters, pairs of a name and a parameter, or dicts of a parameter group each.
        lr: Learning rate, a number or a tensor of one element.
        betas: Decay rates of the two moving averages in [0, 1), numbers or tensors of one element.
        eps: Added to the root of the second moment.
        weight_decay: A step multiplies the parameters by 1 − lr · weight_decay.
        amsgrad: Divide by the maximum of all second moments.
        maximize: Ascend instead of descend.
        foreach: Accepted and kept, see `Adam`.
        capturable: Keep the step counter on the parameter's device, for CUDA graphs.
        differentiable: Let autograd see the step, see `Adam`.
        fused: Whether to compile the formula, see `Adam`.

    Raises:
        ValueError: If a value is out of its range, or the shapes of a loaded state are not those
            of the parameters.
        RuntimeError: If `fused` and `differentiable` are both `True`.

    Example:
        >>> import torch
        >>> theta = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = AdamW([theta], lr=0.1, weight_decay=0.5)
        >>> theta.sum().backward()
        >>> optimizer.step()
        >>> theta.detach()
        tensor([0.8500, 0.8500])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a loaded state; the decay stays decoupled whatever it says."""
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


def decay_groups(model: nn.Module, weight_decay: float = 1e-2) -> list[dict[str, Any]]:
    """Return two parameter groups: the weights that multiply activations, and the rest.

    Decayed are parameters of two axes or more: the weights of linear, convolutional, recurrent
    and attention layers. Not decayed are biases, gains, and the tables of embeddings.

    Args:
        model: Any module. A parameter that two modules share comes once; one that an embedding
            shares with the output layer is not decayed. Frozen parameters are kept, since
            an optimizer leaves alone what has no gradient.
        weight_decay: Decay rate λ ≥ 0 of the first group.

    Returns:
        Groups of names and parameters for an optimizer that takes groups (not `LBFGS`) with
        parameters of any shape (not `Muon`): the decayed, then the rest. One that would be
        empty is left out, since optimizers refuse it among groups with names.

    Raises:
        ValueError: If `weight_decay` is negative, or a parameter of a lazy module has no shape yet.

    Note:
        Differs from the Trainer of Hugging Face, which decays embeddings too. A gain of
        `weight_norm`, a table of positions that is a bare parameter, and `bias_k` and `bias_v` of
        attention have two axes or more: decayed. Call it before FSDP1 or DeepSpeed's ZeRO-3
        flatten the parameters: what is flat has one axis and would not be decayed.

    Example:
        >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3), nn.LayerNorm(3))
        >>> optimizer = AdamW(decay_groups(model, weight_decay=0.1))
        >>> [group["param_names"] for group in optimizer.param_groups]
        [['1.weight'], ['0.weight', '1.bias', '2.weight', '2.bias']]
    """
    check_between("weight_decay", weight_decay, 0, math.inf, closed="left")
    modules = [module for module in model.modules() if _is_undecayed(module)]
    # What a parametrization keeps for an embedding lies in a module inside of it.
    exempt = {id(p) for module in modules for p in module.parameters()}
    groups: list[dict[str, Any]] = [
        {"params": [], "weight_decay": weight_decay},
        {"params": [], "weight_decay": 0.0},
    ]
    for name, p in model.named_parameters():
        if is_lazy(p):
            raise ValueError(f"{name} has no shape yet: call the model once before decay_groups")
        groups[p.ndim < 2 or id(p) in exempt]["params"].append((name, p))
    return [group for group in groups if group["params"]]
