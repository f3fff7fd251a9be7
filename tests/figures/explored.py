"""What each explorable figure shows for each value of its sliders, computed for its test."""

import importlib
import io

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dlkb.book.draw import style
from scripts.figures.activations import gelu, glu, relu, sigmoid
from scripts.figures.backpropagation import backprop, training_memory
from scripts.figures.classic_ml import linear_models, neighbours_and_clusters, trees
from scripts.figures.finetuning import adapters, lora, prefix_tuning, regimes
from scripts.figures.gradients import (
    clipping,
    iterated_maps,
    loss_explosion,
    vanishing_exploding,
)
from scripts.figures.initialization import signal_scale, xavier
from scripts.figures.linear_algebra import singular_values, symmetric_matrices
from scripts.figures.losses import cross_entropy, model_selection, perplexity, regression
from scripts.figures.normalization import batch_norm, layer_norm, norm_axes, rms_norm
from scripts.figures.optimizers import adagrad, adam, adamw, momentum, sgd
from scripts.figures.regularization import (
    augmentation,
    dropout,
    l1_l2,
    overfitting,
    stochastic_depth,
)
from scripts.figures.retrieval import hierarchical_nodes, ranking_metrics
from scripts.figures.systems import asyncio as event_loop
from scripts.figures.systems import cuda
from scripts.figures.training import accumulation, batch_size, mixed_precision, schedules
from scripts.figures.transformers import attention, blocks, positional_encoding, pretrained_models
from scripts.figures.vision import clip, diffusion, gan_metrics, pix2pix, resnet, swin
from tests.book.draw.test_explorable import points


def columns(x, y):
    return np.stack([np.broadcast_to(x, np.shape(y)), y], axis=1).astype(float)


def quadratic(lr, momentum):
    data = loss_explosion.descend(lr, momentum)
    return [data.path, data.path[-1:], columns(np.arange(31), data.loss)]


def scale_and_depth(gain, depth):
    data = signal_scale.tanh_depths(gain, depth)
    layers, found = np.arange(1, depth + 1), []
    for rows, limit in (
        (data.signal, data.expected_signal),
        (data.gradient, data.expected_gradient),
    ):
        low, middle, high = np.percentile(rows, [5, 50, 95], axis=0)
        band = np.concatenate([columns(layers, low), columns(layers, high)[::-1]])
        found += [band, columns(layers, middle), columns(layers, limit)]
    return found


def gain_and_slope(gain, slope):
    data = xavier.through(gain, slope)
    low, middle, high = np.percentile(data.signal, [5, 50, 95], axis=0)
    around = np.concatenate([columns(data.layer, low), columns(data.layer, high)[::-1]])
    expected = columns(data.layer, data.expected)[[0, -1]]
    return [around, columns(data.layer, middle), expected]


def row(mean, std):
    data, feature = layer_norm.row_data(mean, std), np.arange(1, 17)
    ends = np.asarray([0.3, 16.7])
    found = []
    for values in data:
        found += [columns(feature, values), columns(ends, [values.mean()] * 2)]
    return found


def axes(kind, channel):
    mask = norm_axes.shared(int(kind), int(channel))
    one = np.zeros_like(mask)
    one[1, int(channel) - 1, 1] = True
    return [columns(*norm_axes.dots(mask)), columns(*norm_axes.dots(one))]


def stored_moments(momentum, size):
    data = batch_norm.stored_data(momentum, int(size))
    steps = np.arange(1, batch_norm.STEPS + 1)
    return [columns(steps, data.batch), columns(steps, data.stored)]


def plane(shift, scale):
    data = rms_norm.plane_data(shift, scale)
    return [data.x, data.rms, data.x, data.layer]


def balls(strength):
    found = []
    for p in (1, 2):
        data = l1_l2.ball_data(p, strength)
        found += [data.edge.T, data.contour.T, data.solution[None]]
    return found


def largest_steps(beta1, beta2):
    data = adam.onsets(beta1, beta2)
    k = np.arange(1, len(data.steps) + 1)
    bound = np.asarray([[0, data.bound], [60, data.bound]])
    return [bound, *(columns(k, steps) for steps in data.steps.T)]


def momentum_path(lr, beta):
    way = momentum.descend(lr, beta).path
    return [way, way, np.asarray([[beta, lr]])]


def momentum_phase(rate, beta):
    data = momentum.phase_data(rate, beta)
    portrait = columns(data.error, data.move)
    return [portrait, portrait, columns(np.arange(momentum.PHASE_STEPS + 1), data.error)]


def sgd_noise(lr, batch):
    data, steps = sgd.noisy(lr, int(batch)), np.arange(sgd.STEPS + 1)
    floor = np.asarray([[0, data.floor], [sgd.STEPS, data.floor]])
    run, expected = columns(steps, data.run), columns(steps, data.expected)
    return [run[:: sgd.SHOWN], expected[::5], floor]


def decay_times(lr, weight_decay):
    flat, rising, floor = adamw.laws(lr, weight_decay)
    measured = [adamw.half_life(decoupled, lr, weight_decay) for decoupled in (True, False)]
    curves = (flat, rising, np.full_like(flat, floor), *measured)
    return [columns(adamw.SCALES, curve) for curve in curves]


def box(weight_decay):
    paths = [adamw.descend(decoupled, weight_decay) for decoupled in (True, False)]
    ends = [path[-1:] for path in paths]
    return [adamw.square(weight_decay), *map(adamw.shown, paths), *ends]


def merging(found, threshold):
    data = hierarchical_nodes.merged_data(int(found), threshold)
    return [data.handed, data.found]


def chance(documents, cutoff):
    data = ranking_metrics.chance_data(int(documents), int(cutoff))
    return [columns(data.share, y) for y in (data.reciprocal, data.ndcg, data.precision)]


def traversal(fan, depth):
    data = hierarchical_nodes.cost_data(int(fan), int(depth))
    return [columns(data.nodes, y) for y in data[1:]]


def fid_bias(features, truth):
    data, sizes = gan_metrics.bias_data(int(features), truth), gan_metrics.SIZES
    ends = np.asarray([[sizes[0], truth], [sizes[-1], truth]])
    return [ends, columns(sizes, data.law), columns(sizes, data.measured)]


def learning_rate(r):
    return [
        columns(np.asarray(lora.RATES), lora.errors(rule, r)[i])
        for i in (0, 1)
        for rule in ("lora", "rslora")
    ]


def transient(lam, c):
    data = singular_values.powers(lam, c)
    return [columns(data.k, y) for y in (data.norm, data.radius)]


def stopping(noise, images):
    data = overfitting.means(noise / 100, int(images))
    steps = np.arange(len(data.val))
    ends = [[[data.best, bottom], [data.best, top]] for bottom, top in ((0.01, 10), (0, 1))]
    curves = (data.train, data.val, data.accuracy)
    return [*(columns(steps, curve) for curve in curves), *map(np.asarray, ends)]


def explore_bands(p, n):
    data = dropout.band_data(p, n)
    bands = [
        np.concatenate(
            [
                columns(data.grid, data.mean - 2 * spread),
                columns(data.grid, data.mean + 2 * spread)[::-1],
            ]
        )
        for spread in (data.mc, data.refit)
    ]
    return [*bands, columns(data.grid, data.mean)]


def weight_scale(scale, skip):
    data = vanishing_exploding.ratios(scale, skip)
    return [columns(data.layers, rows) for rows in (data.expected, *data.medians.values())]


def growth(r):
    data = iterated_maps.growth_data(r)
    curves = (data.at_zero, data.law, data.median)
    return [columns(np.arange(1, iterated_maps.LAYERS + 1), curve) for curve in curves]


def power_growth(correlation):
    norms = symmetric_matrices.growth(correlation).norms
    return [columns(np.arange(21), q) for q in np.quantile(norms, (0.05, 0.95, 0.5), axis=1)]


def when_it_helps(images, units):
    data = dropout.digit_losses(int(images), int(units))
    return [columns(dropout.RATES, losses.mean(1)) for losses in data]


def adam_spike(spike, beta2):
    shown = clipping.SHOWN
    return [
        columns(shown, clipping.spike_data(spike, beta2, clip=clip)[shown - 1])
        for clip in (False, True)
    ]


def depths(last, blocks):
    data = stochastic_depth.depth_data(last, int(blocks))
    mean = np.asarray([[data.mean / blocks, 0], [data.mean / blocks, data.chance.max()]])
    share = columns(data.depth / blocks, data.chance)
    return [columns(data.block / blocks, data.survival), share, mean]


def gains(images):
    gain = augmentation.gains_data(int(images)).gain
    spread = np.percentile(gain, [25, 75], axis=0).T
    bars = [augmentation.bar(mean, at) for at, mean in enumerate(gain.mean(0))]
    return bars + [columns(edges, [at, at]) for at, edges in enumerate(spread)]


def what_fits(size, batch):
    data, at = training_memory.fit_data(size, int(batch)), training_memory.SEQUENCES
    rows = (data.kept, data.fused, data.checkpointed, np.full(len(at), data.state))
    return [columns(at, row) for row in rows]


def dying(lr, slope):
    percent = 100 * relu.deaths(lr, slope).inactive
    steps = np.arange(0, relu.STEPS + 1, relu.EVERY)
    band = np.concatenate([columns(steps, percent.min(0)), columns(steps, percent.max(0))[::-1]])
    return [band, columns(steps, np.median(percent, 0))]


def slopes(spread, mean):
    density = sigmoid.mean_slopes(spread, mean).density
    x = sigmoid.X
    return [np.concatenate([[[x[0], 0]], columns(x, density), [[x[-1], 0]]])]


def swish_and_gelu(beta):
    data = gelu.gap(beta)
    return [columns(gelu.GRID, y) for y in (data.values, data.difference)]


def gradient_by_depth(gain):
    return [
        columns(np.arange(1, glu.DEPTH + 1), np.median(rows, 0))
        for rows in glu.gradients(gain).values()
    ]


def backprop_graph(step):
    closed = [np.concatenate([corners, corners[:1]]) for corners in backprop.covers(int(step))]
    return [*backprop.arrows(int(step)), *closed]


def backprop_errors(bits):
    data = backprop.errors(int(bits))
    return [columns(data.step, curve) for curve in data[1:]]


def loss_and_push(classes, label_smoothing):
    data = cross_entropy.smoothed(int(classes), label_smoothing)
    floor = np.asarray([[-5, data.floor], [15, data.floor]])
    curves = [columns(cross_entropy.GAPS, y) for y in (data.loss, data.push)]
    return [floor, curves[0], np.asarray([[0, data.start]]), curves[1]]


def windows_and_stride(window, share):
    data = perplexity.windows(int(window), share)
    shown = slice(None, perplexity.SHOWN - 1)
    return [
        np.asarray([[0, data.whole], [perplexity.SHOWN, data.whole]]),
        columns(data.position[shown], data.perplexity[shown]),
        np.stack(perplexity.strides(int(window)), axis=1),
        np.asarray([[data.cost, data.whole]]),
    ]


def outlier(height, delta):
    data, by_height = regression.fits(height, delta), regression.errors(delta)
    lines = [columns(regression.ENDS, line) for line in data.lines]
    curves = [columns(regression.HEIGHTS, y) for y in by_height.T]
    dots = [np.asarray([[height, error]]) for error in data.error]
    return [*lines, np.asarray([[regression.X[regression.BAD], height]]), *curves, *dots]


def best_of_many(examples, accuracy):
    data = model_selection.scores(int(examples), accuracy)
    truth = np.asarray([[1, accuracy], [1e4, accuracy]])
    return [truth, columns(model_selection.MODELS, data)]


def adaptive_rates(decay, spike):
    data = adagrad.rates(decay, spike)
    at = adagrad.shown(data.t)
    return [columns(data.t[at], rate[at]) for rate in data.rates]


def gradient_by_depth_of_blocks(depth):
    found = []
    for pre_norm in (False, True):
        rows = blocks.gradients(int(depth), pre_norm)
        polygon = blocks.band(rows)
        line = columns(np.arange(1, rows.shape[1] + 1), np.median(rows, 0))
        found += [np.concatenate([polygon, polygon[:1]]), line]
    return found


def word_in_context(steps, place):
    found = pretrained_models.curves(steps, place)
    return [columns(pretrained_models.EXCHANGED, curve) for curve in found]


def mean_of_means(ratio, count):
    data = accumulation.mean_of_means(ratio, int(count))
    return [
        columns(np.asarray(accumulation.RATIOS), 100 * accumulation.worth(int(count))),
        columns(np.linspace(0, 1, int(count)), data.weight),
        np.asarray([[ratio, 100 * data.worth]]),
    ]


def gradient_window(power, exponent):
    shapes = [mixed_precision.stairs(shares) for shares in mixed_precision.fates(power, exponent)]
    edges = [np.asarray([[x, 0], [x, 20]]) for x in mixed_precision.window(exponent)]
    return [*shapes, *edges]


def steps_to_target(target):
    batch, steps = np.asarray([2.0, 8, 32, 128, 512]), batch_size.tuned("SGD", target).steps
    least, critical = batch_size.fitted("SGD", target)
    line = least * (1 + critical / batch_size.CURVE)
    return [
        columns(batch_size.CURVE, line),
        columns(batch, steps),
        columns(batch_size.CURVE, batch_size.CURVE * line),
        columns(batch, batch * steps),
    ]


def dot_products(position, width):
    data = positional_encoding.products(int(position), int(width))
    return [columns(positional_encoding.OFFSETS, y) for y in data]


def read_keys(width, power):
    data = attention.weights_data(int(width), power)
    at = attention.WIDTHS.index(int(width))
    curve = columns(attention.WIDTHS, data.read)
    return [attention.steps(data.one), curve, curve[[at]]]


def warm_ups(warmup, gain):
    data, steps = schedules.start(int(warmup), gain), np.arange(0, 160, 4)
    shown = data.loss[:, ::4]
    return [
        columns(data.step, data.limit),
        columns(data.step, data.rate),
        columns(steps, shown.max(0)),
        columns(steps, np.median(shown, 0)),
    ]


def k_means_starts(start, step):
    data, x, t = neighbours_and_clusters.run(int(start)), neighbours_and_clusters.plane(), int(step)
    ratio = data.inertia / neighbours_and_clusters.least()
    groups = [x[data.label[t] == j] for j in range(4)]
    curve = columns(np.arange(neighbours_and_clusters.STEPS + 1), ratio)
    return [*groups, data.centers[t], curve, np.asarray([[t, ratio[t]]])]


def tasks_in_flight(limit):
    corners = event_loop.bars(int(limit))
    done = event_loop.done(int(limit))
    return [*corners, np.asarray([[done, 0.2], [done, 8.8]])]


def tiles_and_waves(tile, units):
    return [
        columns(sizes, cuda.efficiency(sizes, int(tile), int(units)))
        for sizes in (cuda.SIZES, cuda.POWERS)
    ]


def adapter_unit(bias):
    data = adapters.fit(bias)
    return [
        columns(adapters.INPUTS, data.adapter),
        columns(adapters.INPUTS, data.merged),
        np.asarray([[bias, data.gap]]),
    ]


def prefix_mixture(score, length):
    data = prefix_tuning.mixed(score, int(length))
    curve = columns(np.asarray(prefix_tuning.SCORES), prefix_tuning.gates(int(length)))
    return [data.output[None], curve, np.asarray([[score, data.gate]])]


def by_angle(angle):
    found = [regimes.result(name, int(angle)) for name in regimes.REGIMES]
    found.append(regimes.untrained(int(angle)))
    return [np.asarray([[r.new.mean(), r.old.mean()]]) for r in found]


def seen_patches(layers, place):
    seen = pix2pix.patch(int(layers), place)
    return [
        pix2pix.square(seen.low, seen.field),
        pix2pix.outline(pix2pix.square(seen.low + seen.step, seen.field)),
    ]


def gradient_back(depth, scale):
    back = np.arange(depth)
    curves = [resnet.median(kind, int(depth), scale) for kind in resnet.KINDS]
    return [columns(back, y) for y in (*curves, resnet.law(int(depth)))]


def contrastive_floor(temperature):
    low = clip.floors(temperature)
    return [columns(clip.BATCHES, low), columns([clip.CLIP_BATCH], low[14:15])]


def window_view(layers, shift):
    return [swin.outline(int(layers), int(shift))]


def separable(l2):
    logistic, score = linear_models.curves(linear_models.fits(l2))
    return [columns(*logistic), columns(*score)]


def boosted_rounds(number, depth):
    return [columns(trees.GRID, trees.stages(int(depth))[int(number)].on_grid)]


COMPUTED = {
    "classic_ml/linear_models/separable": separable,
    "classic_ml/trees/rounds": boosted_rounds,
    "transformers/attention/weights": read_keys,
    "transformers/positional_encoding/dot_products": dot_products,
    "activations/relu/dying": dying,
    "activations/sigmoid/slopes": slopes,
    "activations/gelu/swish_and_gelu": swish_and_gelu,
    "activations/glu/gradient_by_depth": gradient_by_depth,
    "backpropagation/backprop/graph": backprop_graph,
    "backpropagation/backprop/step_size": backprop_errors,
    "classic_ml/neighbours_and_clusters/starts": k_means_starts,
    "finetuning/adapters/no_merge": adapter_unit,
    "finetuning/prefix_tuning/mixture": prefix_mixture,
    "finetuning/regimes/by_angle": by_angle,
    "finetuning/lora/learning_rate": learning_rate,
    "gradients/iterated_maps/growth": growth,
    "gradients/clipping/adam_spike": adam_spike,
    "gradients/loss_explosion/quadratic": quadratic,
    "gradients/vanishing_exploding/weight_scale": weight_scale,
    "initialization/signal_scale/scale_and_depth": scale_and_depth,
    "initialization/xavier/gain_and_slope": gain_and_slope,
    "linear_algebra/singular_values/transient": transient,
    "linear_algebra/symmetric_matrices/power_growth": power_growth,
    "losses/cross_entropy/loss_and_push": loss_and_push,
    "losses/model_selection/best_of_many": best_of_many,
    "transformers/blocks/gradient_by_depth": gradient_by_depth_of_blocks,
    "transformers/pretrained_models/word_in_context": word_in_context,
    "losses/perplexity/windows_and_stride": windows_and_stride,
    "losses/regression/outlier": outlier,
    "optimizers/adagrad/learning_rates": adaptive_rates,
    "optimizers/adam/largest_steps": largest_steps,
    "optimizers/adamw/box": box,
    "optimizers/adamw/decay_times": decay_times,
    "backpropagation/training_memory/what_fits": what_fits,
    "regularization/augmentation/gains": gains,
    "optimizers/momentum/path": momentum_path,
    "optimizers/momentum/phase": momentum_phase,
    "optimizers/sgd/noise": sgd_noise,
    "regularization/stochastic_depth/depths": depths,
    "regularization/dropout/explore_bands": explore_bands,
    "normalization/batch_norm/stored_moments": stored_moments,
    "normalization/layer_norm/before_and_behind": row,
    "normalization/norm_axes/axes_shared": axes,
    "normalization/rms_norm/shift_and_scale": plane,
    "regularization/dropout/when_it_helps": when_it_helps,
    "regularization/l1_l2/balls": balls,
    "regularization/overfitting/stopping": stopping,
    "retrieval/hierarchical_nodes/cost": traversal,
    "retrieval/hierarchical_nodes/merging": merging,
    "retrieval/ranking_metrics/chance": chance,
    "systems/asyncio/limits": tasks_in_flight,
    "systems/cuda/quantization": tiles_and_waves,
    "training/accumulation/token_weights": mean_of_means,
    "training/mixed_precision/gradient_window": gradient_window,
    "training/batch_size/steps_to_target": steps_to_target,
    "training/schedules/against_the_limit": warm_ups,
    "vision/clip/floor": contrastive_floor,
    "vision/resnet/gradient": gradient_back,
    "vision/swin/reach": window_view,
    "vision/gan_metrics/bias": fid_bias,
    "vision/diffusion/from_noise": lambda step, eta: [diffusion.moon_walks()[eta][int(step)]],
    "vision/pix2pix/patches": seen_patches,
}


def svg(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    return file.getvalue()


def drawn(name: str, theme: str = "light"):
    """Return the figure as its script makes it, laid out."""
    stem, _, function = name.rpartition("/")
    module = importlib.import_module(f"scripts.figures.{stem.replace('/', '.')}")
    mpl.rcdefaults()
    mpl.rcParams.update(style.THEMES[theme])
    made = getattr(module, function)()
    made.show(*(slider.values[slider.start] for slider in made.sliders))
    svg(made.figure)
    made.figure.set_layout_engine("none")  # laid out again, axes of fixed aspect would move
    return made


def assert_curves(name: str, made, values, paths: list[str]) -> None:
    """Compare the paths of a frame with the data that the function computes for its values."""
    height = made.figure.get_figheight() * 720
    computed = COMPUTED[name](*values)
    assert len(paths) == len(computed) == len(made.moving)
    for path, curve, data in zip(paths, made.moving, computed, strict=True):
        shown = points(path)
        with np.errstate(divide="ignore"):
            pixels = curve.axes.transData.transform(data)
        expected = pixels * 720 / made.figure.dpi
        expected[:, 1] = height - expected[:, 1]
        # A polygon may repeat its first point to close itself; what is far outside is cut off.
        far = 5e4
        shown, expected = np.clip(shown[: len(data)], -far, far), np.clip(expected, -far, far)
        np.testing.assert_allclose(shown, expected, atol=0.51)
