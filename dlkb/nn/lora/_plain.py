"""Weights of plain layers: what they are, and how a merged one is put in."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


def gathered(tensor: Tensor) -> Tensor:
    """Return all of a tensor that is sharded (a DTensor); a plain one as it is."""
    whole: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole


def is_quantized(weight: Any) -> bool:
    """Whether a weight is stored in codes: integers, or a tensor of a library's own class."""
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        return True
    return type(weight.data) is not Tensor and not hasattr(weight, "full_tensor")


def why_not_merged(layer: Any) -> str:
    """Return why W + sBA cannot take the weight's place in a layer; "" if it can."""
    base, weight = layer.base_layer, layer.base_weight()
    if is_quantized(weight):
        return (
            f"{type(base).__name__} is quantized ({type(weight).__name__}, {weight.dtype}), and W "
            "+ sBA is not: predict without merging, or add_lora to a dequantized copy of the model "
            "and merge there"
        )
    known = next((c for c in KNOWN if isinstance(base, c)), None)
    if known is not None and type(base).forward is not known.forward:
        return (
            f"{type(base).__name__} has a forward of its own, which a merged weight need not fit: "
            "predict without merging"
        )
    return ""


KNOWN = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def put_weight(layer: nn.Module, name: str, weight: Tensor) -> None:
    """Make `weight` the frozen parameter `name`, in the place of whatever computes it now.

    A new parameter: a weight that is tied to another module must not change there. Weight
    normalization, pruning and other reparametrizations of it are gone then.
    """
    if parametrize.is_parametrized(layer, name):
        parametrize.remove_parametrizations(layer, name, leave_parametrized=True)
    for hook in list(layer._forward_pre_hooks.values()):
        if isinstance(hook, prune.BasePruningMethod) and hook._tensor_name == name:
            prune.remove(layer, name)
        elif isinstance(hook, WeightNorm) and hook.name == name:
            remove_weight_norm(layer, name)
        elif isinstance(hook, SpectralNorm) and hook.name == name:
            remove_spectral_norm(layer, name)
    setattr(layer, name, nn.Parameter(weight.detach(), requires_grad=False))


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel and torch.compile."""
    if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
        return unwrapped(model.module)
    inner = getattr(model, "_orig_mod", None)
    return unwrapped(inner) if isinstance(inner, nn.Module) else model


def is_sharded(module: nn.Module) -> bool:
    """Whether parameters of a module are DTensors."""
    return any(hasattr(p, "full_tensor") for p in module.parameters())


@torch.no_grad()
def copy_into(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one that may be sharded."""
    if hasattr(target, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(
            value.to(target.device, target.dtype), target.device_mesh, target.placements
        )
    target.copy_(value)
