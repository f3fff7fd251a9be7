"""The modules: a bottleneck, the fusion of several, a layer with adapters on it."""

import torch
from torch import Tensor, nn

from dlkb.finetuning import adapters as formula


class Adapter(nn.Module):
    r"""A bottleneck, and a skip around it unless it is told what to add to.

    $$\mathbf{y} = \mathbf{h} + s\,(\mathbf{U}\phi(\mathbf{D}\mathbf{h} + \mathbf{b}) +
      \mathbf{c})$$

    Its state_dict has the keys of the `Adapter` of the library `adapters`, for configurations
    with these two linear layers alone.

    Args:
        input_size: Width d of the layer.
        down_sample: Width m of the bottleneck.
        non_linearity: φ: "relu", "gelu", "swish" or "identity".
        scaling: The factor s.
        std: None to start at the identity, else the deviation of both weights, see
            `dlkb.finetuning.adapters.adapter_init`.
        generator: A CPU generator for the weights; None for torch's own.

    Raises:
        ValueError: If a size is below 1, there is no such activation, or `std` is not positive.

    Note:
        Differs from the library, whose layer also returns what is inside, starts at N(0, 0.02²)
        and takes a configuration.

    Example:
        >>> adapter = Adapter(8, 2)
        >>> h = torch.ones(3, 8)
        >>> torch.equal(adapter(h), h)
        True
        >>> sum(p.numel() for p in adapter.parameters())
        42
    """

    def __init__(
        self,
        input_size: int,
        down_sample: int,
        non_linearity: str = "relu",
        scaling: float = 1.0,
        std: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if non_linearity not in formula.ACTIVATIONS:
            raise ValueError(
                f"non_linearity is {non_linearity!r}: it must be one of {formula.ACTIVATIONS}"
            )
        formula.adapter_parameters(input_size, m=down_sample)  # checks the sizes
        self.non_linearity = non_linearity
        self.scaling = scaling
        self.adapter_down = nn.ModuleList([nn.Linear(input_size, down_sample)])
        self.adapter_up = nn.Linear(down_sample, input_size)
        source = generator or torch.default_generator
        like = torch.empty(input_size, device="cpu", dtype=self.adapter_up.weight.dtype)
        drawn = formula.adapter_init(like, m=down_sample, generator=source, std=std)
        with torch.no_grad():
            for parameter, value in zip(self._weights(), drawn, strict=True):
                parameter.copy_(value)

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        down, up = self.adapter_down[0], self.adapter_up
        return down.weight, up.weight, down.bias, up.bias

    def branch(self, x: Tensor) -> Tensor:
        """Return what the adapter adds."""
        weights = self._weights()
        added: Tensor = formula.branch(
            x, *weights, activation=self.non_linearity, scaling=self.scaling
        )
        return added

    def forward(self, x: Tensor, residual_input: Tensor | None = None) -> Tensor:
        """Return the branch, added to `residual_input`, or to the input itself."""
        return (x if residual_input is None else residual_input) + self.branch(x)

    def extra_repr(self) -> str:
        """Return the options."""
        return f"non_linearity={self.non_linearity!r}, scaling={self.scaling}"


class AdapterFusion(nn.Module):
    """Attention over the outputs of adapters; see `dlkb.finetuning.adapters.fusion`.

    Its state_dict has the keys of the `BertFusion` of the library `adapters`. The value starts
    with 1 on the diagonal and 1e-6 elsewhere, as there; the bias of the keys has no effect and is
    kept for such files.

    Args:
        dense_size: Width d of the layer.

    Note:
        Differs from the library in what it leaves out: dropout of the scores, the residual
        (`AdaptedLayer` adds it), and a temperature.

    Example:
        >>> layer = AdapterFusion(4)
        >>> z = torch.ones(2, 3, 4)  # two tokens, three equal adapters
        >>> layer.weights(torch.ones(2, 4), z)[0].detach()
        tensor([0.3333, 0.3333, 0.3333])
    """

    def __init__(self, dense_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(dense_size, dense_size)
        self.key = nn.Linear(dense_size, dense_size)
        self.value = nn.Linear(dense_size, dense_size, bias=False)
        with torch.no_grad():
            for layer in (self.query, self.key):
                layer.weight.normal_(std=0.02)
                layer.bias.zero_()
            self.value.weight.fill_(1e-6).fill_diagonal_(1.0)

    def weights(self, h: Tensor, z: Tensor) -> Tensor:
        """Return how much each adapter counts, shape (..., N)."""
        query, key = self.query, self.key
        found: Tensor = formula.fusion_weights(h, z, query.weight, key.weight, query.bias)
        return found

    def forward(self, h: Tensor, z: Tensor) -> Tensor:
        """Return the mixture of z, shape (..., N, d), by what h, shape (..., d), asks for."""
        matrices = (self.query.weight, self.key.weight, self.value.weight)
        mixed: Tensor = formula.fusion(h, z, *matrices, self.query.bias)
        return mixed


def _nothing(module: nn.Module, args: tuple[Tensor, ...]) -> None:
    """Do nothing: in `eval()` torch's encoder layer passes over parts of it without a hook."""


class AdaptedLayer(nn.Module):
    """A layer and the adapters on its output, or beside it.

    Args:
        base_layer: A module of one input; it is kept, not copied. `add_adapter` freezes it.
        parallel: Whether adapters read the layer's input. Input and output then have one width.

    Example:
        >>> layer = AdaptedLayer(nn.Linear(4, 4))
        >>> layer.adapters["a"] = Adapter(4, 2)
        >>> layer.active = ["a"]
        >>> x = torch.ones(1, 4)
        >>> torch.equal(layer(x), layer.base_layer(x))
        True
    """

    fusion: AdapterFusion | None

    def __init__(self, base_layer: nn.Module, parallel: bool = False) -> None:
        super().__init__()
        self.training = base_layer.training
        self.base_layer = base_layer
        self.adapters = nn.ModuleDict().train(self.training)
        self.fusion = None
        self.active: list[str] = []
        self.fused: list[str] = []
        self.parallel = parallel
        self.register_forward_pre_hook(_nothing)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output and what the adapters in use add."""
        h: Tensor = self.base_layer(x)
        source = x if self.parallel else h
        outputs = [self.adapters[name].branch(source) for name in self.active]
        if len(outputs) < 2 or self.fusion is None:
            return sum(outputs, h)
        return h + self.fusion(source, torch.stack(outputs, dim=-2))
