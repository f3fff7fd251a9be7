"""Bottleneck adapters for any model: put in, train one, fuse several."""

from dlkb.nn.adapters.insert import add_adapter, fuse_adapters, use_adapter
from dlkb.nn.adapters.layers import AdaptedLayer, Adapter, AdapterFusion

__all__ = [
    "AdaptedLayer",
    "Adapter",
    "AdapterFusion",
    "add_adapter",
    "fuse_adapters",
    "use_adapter",
]
