"""Figures of the page on vanishing and exploding gradients.

One network for all: z ← W φ(z), optionally normalized, optionally added to z. All seeds are
trained at once, as a leading axis of every tensor.
"""

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor, nn

from dlkb.gradients.vanishing_exploding import rectifier_gradient_factor
from dlkb.nn import init, jacobian_singular_values, signal_norms

Matrix = NDArray[np.float64]
SEEDS = 10


class Net(NamedTuple):
    """How a network differs from the plain one.

    Attributes:
        activation: "sigmoid", "tanh" or "relu".
        sigma_w: √n times the standard deviation of a hidden weight.
        orthogonal: Draw orthogonal matrices times `sigma_w` instead.
        norm: "", "batch" or "layer", without learned scale, after the product with W.
        skip: Factor of the branch of a residual block; 0 for no skip.
    """

    activation: str = "sigmoid"
    sigma_w: float = 1.0
    orthogonal: bool = False
    norm: str = ""
    skip: float = 0.0


def activate(z: Tensor, name: str) -> Tensor:
    """Apply the activation of that name."""
    return {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}[name](z)


def normalize(z: Tensor, name: str) -> Tensor:
    """Standardize over the examples ("batch") or over the units ("layer")."""
    axis = 1 if name == "batch" else 2
    mean = z.mean(axis, keepdim=True)
    return (z - mean) / torch.sqrt(z.var(axis, keepdim=True, correction=0) + 1e-5)


def draw(net: Net, sizes: tuple[int, int, int], depth: int) -> list[Tensor]:
    """Draw first, hidden and last weights and the hidden biases, one seed an entry of axis 0."""
    inputs, n, outputs = sizes
    rows = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        first = rng.normal(size=(inputs, n)) / inputs**0.5
        hidden = rng.normal(size=(depth, n, n)) / n**0.5
        last = rng.normal(size=(n, outputs)) / n**0.5
        if net.orthogonal:
            hidden = np.linalg.qr(hidden)[0]
        rows.append((first, net.sigma_w * hidden, last, np.zeros((depth, 1, n))))
    return [torch.tensor(np.stack(part)) for part in zip(*rows, strict=True)]


def forward(net: Net, weights: list[Tensor], x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the outputs, shape (seeds, batch, outputs), and every hidden signal."""
    first, hidden, last, bias = weights
    z = x @ first
    signals = [z]
    for weight, shift in zip(hidden.unbind(1), bias.unbind(1), strict=True):
        branch = torch.baddbmm(shift, activate(z, net.activation), weight)
        if net.norm:
            branch = normalize(branch, net.norm)
        z = z + net.skip * branch if net.skip else branch
        signals.append(z)
    return torch.bmm(activate(z, net.activation), last), signals


DEPTHS = (2, 5, 10, 20, 30, 50)


def nets(depth: int) -> dict[str, Net]:
    """Return the networks that are compared at initialization."""
    he = 2**0.5
    return {
        "sigmoid": Net("sigmoid"),
        "tanh": Net("tanh"),
        "ReLU, Xavier's scale": Net("relu", 1.0),
        "ReLU, He": Net("relu", he),
        "ReLU, twice Xavier's": Net("relu", 2.0),
        "ReLU, He, batch norm": Net("relu", he, norm="batch"),
        "sigmoid, layer norm": Net("sigmoid", norm="layer"),
        "sigmoid, batch norm": Net("sigmoid", norm="batch"),
        "sigmoid, skip": Net("sigmoid", skip=1.0),
        "ReLU, He, skip": Net("relu", he, skip=1.0),
        "ReLU, He, skip / √L": Net("relu", he, skip=depth**-0.5),
    }


@cache
def ratio_data(*, n: int = 64, batch: int = 32) -> dict[str, Matrix]:
    """Return log₁₀ of the gradient's norm at the first over that at the last signal.

    Shape (depths, seeds) for each network; the loss is a random linear function of the output.
    """
    torch.set_num_threads(1)
    rng = np.random.default_rng(1000)
    x = torch.tensor(rng.normal(size=(SEEDS, batch, n)))
    target = torch.tensor(rng.normal(size=(SEEDS, batch, n)))
    found: dict[str, Matrix] = {}
    for name in nets(1):
        rows = []
        for depth in DEPTHS:
            net = nets(depth)[name]
            weights = draw(net, (n, n, n), depth)
            start = [weights[0].requires_grad_(), *weights[1:]]
            y, signals = forward(net, start, x)
            first, last = torch.autograd.grad((y * target).sum(), [signals[0], signals[-1]])
            rows.append(torch.log10(first.norm(dim=(1, 2)) / last.norm(dim=(1, 2))).numpy())
        found[name] = np.stack(rows)
    return found


def depth() -> Figure:
    """Draw the ratio of the gradients against depth for each network."""
    data = ratio_data()
    panels = {
        "vanish or explode": [
            "sigmoid",
            "tanh",
            "ReLU, Xavier's scale",
            "ReLU, twice Xavier's",
            "sigmoid, layer norm",
        ],
        "hold, or overdo": [
            "ReLU, He",
            "ReLU, He, batch norm",
            "sigmoid, batch norm",
            "sigmoid, skip",
            "ReLU, He, skip",
            "ReLU, He, skip / √L",
        ],
    }
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.6))
    for ax, (title, names) in zip(axes, panels.items(), strict=True):
        for i, name in enumerate(names):
            low, middle, high = np.quantile(data[name], (0.05, 0.5, 0.95), axis=1)
            ax.fill_between(DEPTHS, low, high, color=f"C{i}", alpha=0.25, linewidth=0)
            ax.plot(DEPTHS, middle, color=f"C{i}", label=name)
        ax.axhline(0, color=plt.rcParams["axes.edgecolor"], linewidth=1, linestyle=":")
        ax.set(title=title, xlabel="depth", xlim=(2, 50))
        ax.legend(fontsize="small")
    for sigma_w in (1.0, 2.0):
        factor = [rectifier_gradient_factor(sigma_w=sigma_w, depth=d) for d in DEPTHS]
        ink = plt.rcParams["text.color"]
        axes[0].plot(DEPTHS, np.log10(factor) / 2, linestyle="--", linewidth=1, color=ink)
    axes[1].set_ylim(top=13)
    axes[0].set_ylabel("log₁₀ ‖∂L/∂h₁‖ / ‖∂L/∂h_L‖")
    return figure


class Training(NamedTuple):
    """How a network is trained.

    Attributes:
        net: The network.
        depth: Number of hidden layers.
        lr: Learning rate of SGD, or of Adam.
        batch: Examples in a step.
        clip: Largest norm of the gradient; infinite for no clipping.
        l2: Weight of the L2 penalty's gradient.
        adam: Use Adam instead of SGD.
    """

    net: Net
    depth: int = 20
    lr: float = 0.1
    batch: int = 32
    clip: float = float("inf")
    l2: float = 0.0
    adam: bool = False


VANISHING = Training(Net("sigmoid"))
EXPLODING = Training(Net("relu", 2.5))


@cache
def digits() -> tuple[Tensor, Tensor]:
    """Return the standardized images, shape (1797, 64), and their labels."""
    images, labels = load_digits(return_X_y=True)
    images = (images - images.mean(0)) / (images.std(0) + 1e-3)
    return torch.tensor(images), torch.tensor(labels)


class Outcome(NamedTuple):
    """What training came to, one entry a seed.

    Attributes:
        losses: Training loss at the steps, shape (steps, seeds); NaN or inf where it diverged.
        moved: log₁₀ of the first update's norm at the first over that at the last hidden layer.
        accuracy: On all the digits, at the end.
    """

    losses: Matrix
    moved: Matrix
    accuracy: Matrix


def train(run: Training, *, n: int = 32, steps: int = 100) -> Outcome:
    """Train all seeds at once on the digits."""
    torch.set_num_threads(1)
    images, labels = digits()
    weights = [w.float().requires_grad_() for w in draw(run.net, (64, n, 10), run.depth)]
    images = images.float()
    order = torch.tensor(
        np.stack([np.random.default_rng(seed).permutation(len(images)) for seed in range(SEEDS)])
    )
    if run.adam:
        optimizer: torch.optim.Optimizer = torch.optim.Adam(weights, lr=run.lr)
    else:
        optimizer = torch.optim.SGD(weights, lr=run.lr, weight_decay=run.l2)
    losses = []
    for step in range(steps):
        at = torch.arange(step * run.batch, (step + 1) * run.batch) % len(images)
        x, y = images[order[:, at]], labels[order[:, at]]
        output, _ = forward(run.net, weights, x)
        loss = torch.nn.functional.cross_entropy(output.transpose(1, 2), y, reduction="none").mean(
            1
        )
        optimizer.zero_grad()
        loss.sum().backward()
        if run.clip < float("inf"):
            _clip_each_seed(weights, run.clip)
        before = weights[1].detach().clone()
        optimizer.step()
        if step == 0:
            update = (weights[1].detach() - before).double().norm(dim=(2, 3))
            moved = torch.log10(update[:, 0] / update[:, -1])
        losses.append(loss.detach())
    with torch.no_grad():
        output, _ = forward(run.net, weights, images.expand(SEEDS, -1, -1))
        accuracy = (output.argmax(2) == labels).double().mean(1)
    return Outcome(torch.stack(losses).numpy(), moved.numpy(), accuracy.numpy())


def _clip_each_seed(weights: list[Tensor], max_norm: float) -> None:
    grads = [w.grad for w in weights if w.grad is not None]
    norm = sum(g.flatten(1).square().sum(1) for g in grads) ** 0.5
    factor = (max_norm / (norm + 1e-6)).clamp(max=1)
    for g in grads:
        g.mul_(factor.reshape(-1, *[1] * (g.ndim - 1)))


def vanishing_remedies() -> dict[str, Training]:
    """Return what is tried on 20 sigmoid layers."""
    base = VANISHING
    return {
        "nothing": base,
        "lr × 10": base._replace(lr=10 * base.lr),
        "lr × 100": base._replace(lr=100 * base.lr),
        "clipping at 1": base._replace(clip=1.0),
        "L2 penalty": base._replace(l2=1e-3),
        "batch × 4": base._replace(batch=4 * base.batch),
        "Adam": base._replace(adam=True, lr=1e-2),
        "weights × 4": base._replace(net=Net("sigmoid", 4.0)),
        "layer norm": base._replace(net=Net("sigmoid", norm="layer")),
        "batch norm": base._replace(net=Net("sigmoid", norm="batch")),
        "residual": base._replace(net=Net("sigmoid", skip=1.0)),
        "ReLU, He": base._replace(net=Net("relu", 2**0.5)),
        "tanh, orthogonal": base._replace(net=Net("tanh", 1.0, orthogonal=True)),
        "1 layer, lr × 10": base._replace(depth=1, lr=10 * base.lr),
    }


def exploding_remedies() -> dict[str, Training]:
    """Return what is tried on 20 ReLU layers whose weights are too large."""
    base, large = EXPLODING, 2.5
    return {
        "nothing": base,
        "lr / 10⁵": base._replace(lr=1e-5 * base.lr),
        "clipping at 1": base._replace(clip=1.0),
        "L2 penalty": base._replace(l2=1e-2),
        "batch × 4": base._replace(batch=4 * base.batch),
        "Adam": base._replace(adam=True, lr=1e-2),
        "batch norm": base._replace(net=Net("relu", large, norm="batch")),
        "residual / √L": base._replace(net=Net("relu", large, skip=20**-0.5)),
        "He": base._replace(net=Net("relu", 2**0.5)),
        "2 layers": base._replace(depth=2),
    }


@cache
def remedies_data() -> tuple[dict[str, Outcome], dict[str, Outcome]]:
    """Train with every remedy: against vanishing, and against exploding gradients."""
    runs = vanishing_remedies(), exploding_remedies()
    vanishing, exploding = ({name: train(run) for name, run in part.items()} for part in runs)
    return vanishing, exploding


def remedies() -> Figure:
    """Draw the accuracy of every seed for every remedy."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 4.2))
    titles = ("20 sigmoid layers", "20 ReLU layers, σ_w = 2.5")
    for ax, title, part in zip(axes, titles, remedies_data(), strict=True):
        for row, outcome in enumerate(part.values()):
            bad = int((~np.isfinite(outcome.losses)).any(axis=0).sum())
            ax.plot(outcome.accuracy, [row] * SEEDS, "o", color="C0", alpha=0.5, markersize=5)
            if bad:
                ax.annotate(f"NaN, {bad} of {SEEDS}", (0.2, row), va="center", color="C1")
        ax.axvline(0.1, color=plt.rcParams["axes.edgecolor"], linestyle=":", linewidth=1)
        ax.set(title=title, xlabel="accuracy after 100 steps", xlim=(0, 1))
        ax.set_yticks(range(len(part)), part)
        ax.invert_yaxis()
    return figure


class Probe(NamedTuple):
    """What the probe of `dlkb.nn` finds in one network.

    Attributes:
        gradients: Norm of the gradient behind each hidden layer, first to last.
        singular_values: Of the end-to-end Jacobian, descending.
    """

    gradients: Matrix
    singular_values: Matrix


class Residual(nn.Module):
    """h + scale · branch(h)."""

    def __init__(self, branch: nn.Module, scale: float) -> None:
        super().__init__()
        self.branch, self.scale = branch, scale

    def forward(self, h: Tensor) -> Tensor:
        """Add the branch to its input."""
        return h + self.scale * self.branch(h)


@cache
def probe_data(*, n: int = 32, layers: int = 20) -> dict[str, Probe]:
    """Probe three networks of one depth and width."""
    torch.set_num_threads(1)
    found = {}
    for name in ("sigmoid, Xavier", "ReLU, He", "ReLU, residual / √L"):
        torch.manual_seed(0)
        blocks: list[nn.Module] = []
        for _ in range(layers):
            linear = nn.Linear(n, n, bias=False, dtype=torch.float64)
            if name == "sigmoid, Xavier":
                block = nn.Sequential(xavier_(linear), nn.Sigmoid())
            else:
                block = nn.Sequential(he_(linear), nn.ReLU())
            blocks.append(Residual(block, layers**-0.5) if "residual" in name else block)
        model = nn.Sequential(*blocks)
        x = torch.randn(1, n, dtype=torch.float64)
        direction = torch.randn(1, n, dtype=torch.float64)
        norms = signal_norms(model, x, lambda y, d=direction: (y * d).sum())
        behind = [norm.gradient for key, norm in norms.items() if key.endswith("1")]
        spectrum = jacobian_singular_values(model, x).singular_values
        found[name] = Probe(np.asarray(behind, dtype=float), spectrum.numpy())
    return found


def xavier_(linear: nn.Linear) -> nn.Linear:
    """Initialize a layer by Xavier's rule."""
    init.xavier_normal_(linear.weight)
    return linear


def he_(linear: nn.Linear) -> nn.Linear:
    """Initialize a layer by He's rule."""
    init.kaiming_normal_(linear.weight)
    return linear


def probe() -> Figure:
    """Draw what the probe finds: the gradient at every layer, and the end-to-end spectrum."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.3))
    for i, (name, data) in enumerate(probe_data().items()):
        depth_axis = np.arange(1, len(data.gradients) + 1)
        axes[0].plot(depth_axis, data.gradients, color=f"C{i}", label=name)
        shown = np.maximum(data.singular_values, 1e-30)
        axes[1].plot(np.arange(1, len(shown) + 1), shown, ".-", color=f"C{i}", label=name)
    axes[0].set(yscale="log", xlabel="layer", ylabel="‖∂L/∂h‖", xticks=[1, 5, 10, 15, 20])
    axes[1].set(yscale="log", xlabel="i", ylabel="σᵢ of the whole", ylim=(1e-30, 100))
    axes[0].legend()
    return figure
