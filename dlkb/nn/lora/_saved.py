"""Modules that an adapter trains in full: a copy each, beside the pretrained one."""

import copy
from typing import Any

from torch import Tensor, nn


class SavedModule(nn.Module):
    """A frozen module and the copies of it that adapters train.

    Called, or asked for an attribute, it is the copy of the adapter in use; with adapters off,
    the pretrained module. So switching off or taking out an adapter gives the old head back.

    Args:
        base_layer: The module. It is kept, and `add_lora` freezes it.
        only_bias: Copies share all but the parameters with "bias" in their names.
    """

    def __init__(self, base_layer: nn.Module, *, only_bias: bool = False) -> None:
        super().__init__()
        self.training = base_layer.training
        self.adapters = nn.ModuleDict().train(self.training)
        self.active: list[str] = []
        self.enabled = True
        self.only_bias = only_bias
        self.base_layer = base_layer

    def add_adapter(self, name: str) -> None:
        """Copy the pretrained module for an adapter, which is the one in use from now on."""
        shared = {}
        if self.only_bias:
            own = [*self.base_layer.named_parameters(), *self.base_layer.named_buffers()]
            shared = {id(t): t for key, t in own if not is_bias(key)}
        self.adapters[name] = copy.deepcopy(self.base_layer, shared)
        self.active = [name]

    def trained(self, name: str) -> dict[str, Tensor]:
        """Return what an adapter trains and saves, by name."""
        state = self.adapters[name].state_dict(keep_vars=True)
        held = {k: t for k, t in state.items() if isinstance(t, Tensor)}
        return {k: t for k, t in held.items() if is_bias(k) or not self.only_bias}

    def chosen(self) -> nn.Module:
        """Return the module in use."""
        names = [n for n in self.active if self.enabled]
        return self.adapters[names[-1]] if names else self.base_layer

    def __getattr__(self, name: str) -> Any:
        """Return what the module in use has."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in ("base_layer", "adapters", "active", "enabled"):
                raise
            return getattr(self.chosen(), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module in use."""
        return self.chosen()(*args, **kwargs)


def is_bias(name: str) -> bool:
    """Whether a parameter is a bias, by its name as in peft."""
    return "bias" in name.rpartition(".")[2]
