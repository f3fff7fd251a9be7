"""The same network as a torch module, for one seed."""

import torch
from torch import nn

from dlkb.experiments.networks import Networks, layers


class Module(nn.Module):
    """One of the networks, written with torch's layers."""

    def __init__(self, networks: Networks, s: int, dropout: float = 0.0):
        super().__init__()
        pairs = zip(networks.widths, networks.widths[1:], strict=False)
        self.linears = nn.ModuleList(
            nn.Linear(i, o, bias=networks.bias, dtype=networks.theta.dtype) for i, o in pairs
        )
        with torch.no_grad():
            for linear, layer in zip(self.linears, layers(networks), strict=True):
                linear.weight.copy_(layer.weight[s].T)
                if layer.bias is not None:
                    linear.bias.copy_(layer.bias[s, 0])
        self.networks, self.dropout = networks, nn.Dropout(dropout)

    def normalize(self, z):
        if self.networks.norm == "batch":
            return nn.functional.batch_norm(z, None, None, training=True)
        return nn.functional.layer_norm(z, z.shape[-1:]) if self.networks.norm else z

    def forward(self, x):
        z = self.normalize(self.linears[0](x)) if len(self.linears) > 1 else self.linears[0](x)
        if len(self.linears) == 1:
            return z
        for linear in self.linears[1:-1]:
            branch = self.normalize(linear(self.dropout(self.networks.activation(z))))
            z = z + self.networks.skip * branch if self.networks.skip else branch
        return self.linears[-1](self.dropout(self.networks.activation(z)))

    def row(self):
        """Return the parameters in the order of `theta`."""
        return torch.cat(
            [
                part.ravel()
                for linear in self.linears
                for part in (linear.weight.T, linear.bias)
                if part is not None
            ]
        ).detach()
