import io
import math

import numpy as np
import pytest
import torch
from torch import nn
from transformers import EarlyStoppingCallback, TrainerControl, TrainerState, TrainingArguments

from dlkb.nn import EarlyStopping
from tests.close import assert_close

LOSSES = [3.0, 2.0, 1.0, 1.5, 1.6, 0.5]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def train(model, stopping, losses):
    """Change every parameter and buffer at each step; return the states and the stops."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    device = next(model.parameters()).device
    states, stops = [], []
    for i, loss in enumerate(losses):
        optimizer.zero_grad()
        model(torch.full((5, 3), float(i), device=device).cumsum(0)).square().mean().backward()
        optimizer.step()
        stops.append(stopping.step(loss, model))
        states.append({key: value.clone() for key, value in model.state_dict().items()})
    return states, stops


def assert_same_state(model, state):
    assert model.state_dict().keys() == state.keys()
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key]), key


def differ(first, second):
    return all(not torch.equal(first[key], second[key]) for key in first)


def test_the_best_weights_and_buffers_come_back(device):
    model, stopping = network().to(device), EarlyStopping(patience=2)
    states, stops = train(model, stopping, LOSSES[:5])
    assert stops == [False, False, False, False, True]
    assert differ(states[2], states[4])
    parameters = list(model.parameters())
    assert stopping.restore(model) is model
    assert_same_state(model, states[2])
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert all(p.requires_grad for p in parameters)
    assert next(iter(stopping.best_state.values())).device.type == device


def test_the_copy_survives_more_training_and_a_second_restore():
    model, stopping = network(), EarlyStopping(patience=2)
    states, _ = train(model, stopping, LOSSES[:5])
    stopping.restore(model)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(7.0)
        model[1].running_mean.fill_(7.0)
    assert_same_state(stopping.restore(model), states[2])


def test_maximum_and_min_delta():
    model = network()
    best = EarlyStopping(patience=2, min_delta=0.3, mode="max")
    _, stops = train(model, best, [0.1, 0.3, 0.5, 0.6, 0.79])
    assert stops == [False, False, False, False, True]
    assert (best.best, best.best_step, best.wait) == (0.5, 2, 2)


@pytest.mark.parametrize(
    "score", [2.0, torch.tensor(2.0), torch.tensor([2.0]), np.float32(2.0), np.ones((1, 1)) * 2]
)
def test_kinds_of_score(score):
    stopping = EarlyStopping()
    assert stopping.step(score, network()) is False
    assert stopping.best == 2.0
    assert stopping.step(torch.tensor(1.0, requires_grad=True), network()) is False
    assert stopping.best == 1.0


def test_nan_is_no_improvement_and_is_not_kept():
    model, stopping = network(), EarlyStopping(patience=3)
    states, stops = train(model, stopping, [math.nan, 2.0, math.nan, math.nan, math.nan])
    assert stops == [False, False, False, False, True]
    assert_same_state(stopping.restore(model), states[1])
    nothing = EarlyStopping(patience=2)
    assert train(model, nothing, [math.nan, math.nan])[1] == [False, True]
    with pytest.raises(RuntimeError, match="none of 2 scores improved on inf"):
        nothing.restore(model)


def test_plain_arrays_are_copied_and_returned(device):
    weights = {
        "numpy": np.zeros(2),
        "torch": torch.zeros(2, device=device, requires_grad=True),
        "nested": (np.zeros(1), [torch.zeros(1, device=device)]),
    }
    stopping = EarlyStopping(patience=1)
    stopping.step(1.0, weights)
    weights["numpy"] += 1
    weights["nested"][1][0].add_(1)
    with torch.no_grad():
        weights["torch"].add_(1)
    assert stopping.step(2.0, weights)
    for _ in range(2):
        found = stopping.restore(weights)
        assert_close(found["numpy"], np.zeros(2))
        assert_close(found["torch"], torch.zeros(2))
        assert_close(found["nested"][1][0], torch.zeros(1))
        found["numpy"] += 5  # the copy that is kept is not handed out
    assert_close(weights["numpy"], np.ones(2))


def test_tied_weights_stay_tied():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    stopping = EarlyStopping()
    stopping.step(1.0, model)
    before = model[0].weight.detach().clone()
    with torch.no_grad():
        model[0].weight.add_(1)
    stopping.restore(model)
    assert model[1].weight is model[0].weight
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_run_goes_on_from_a_checkpoint(cut):
    model, whole = network(), EarlyStopping(patience=2)
    states, stops = train(model, whole, LOSSES)
    again, first = network(), EarlyStopping(patience=2)
    train(again, first, LOSSES[:cut])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = EarlyStopping(patience=2)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert repr(second) == repr(first)
    assert [second.step(loss, again) for loss in LOSSES[cut:]] == stops[cut:]
    assert (second.best, second.best_step, second.wait) == (0.5, 5, 0)
    assert second.progress._asdict() == whole.progress._asdict()
    kept = EarlyStopping(patience=2)
    kept.load_state_dict(first.state_dict())
    assert_same_state(kept.restore(again), states[min(cut - 1, 2)])


def test_a_loaded_state_is_a_copy():
    stopping, other = EarlyStopping(), EarlyStopping()
    stopping.step(1.0, {"w": np.zeros(2)})
    state = stopping.state_dict()
    other.load_state_dict(state)
    state["best_state"]["w"] += 1
    assert_close(other.restore({})["w"], np.zeros(2))


def by_transformers(scores, patience, threshold, greater):
    """Return where Hugging Face's callback stops. The trainer moves its best with every gain."""
    arguments = TrainingArguments(
        output_dir="unused",
        metric_for_best_model="eval_score",
        greater_is_better=greater,
        load_best_model_at_end=True,
        eval_strategy="steps",
        save_strategy="steps",
        use_cpu=True,
        report_to=[],
    )
    callback = EarlyStoppingCallback(patience, threshold)
    state, control = TrainerState(), TrainerControl()
    for i, score in enumerate(scores):
        callback.on_evaluate(arguments, state, control, {"eval_score": score})
        best = state.best_metric
        if best is None or (score > best if greater else score < best):
            state.best_metric = score
        if control.should_training_stop:
            return i
    return None


def by_us(scores, patience, min_delta, greater):
    stopping = EarlyStopping(patience, min_delta, "max" if greater else "min")
    stops = [stopping.step(score, {}) for score in scores]
    return stops.index(True) if True in stops else None


@pytest.mark.parametrize("greater", [False, True])
@pytest.mark.parametrize("patience", [1, 3])
def test_without_min_delta_hugging_face_stops_at_the_same_score(patience, greater):
    rng = np.random.default_rng(0)
    stopped = set()
    for _ in range(20):
        scores = rng.normal(size=12).round(1).tolist()
        expected = by_transformers(scores, patience, 0.0, greater)
        assert by_us(scores, patience, 0.0, greater) == expected
        stopped.add(expected)
    assert len(stopped) > 2


def test_with_min_delta_hugging_face_runs_out_of_patience_on_a_slow_descent():
    slow = [1 - 0.25 * i for i in range(16)]
    assert by_transformers(slow, 3, 0.6, False) == 3
    assert by_us(slow, 3, 0.6, False) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patience": 0}, "patience is 0"),
        ({"min_delta": -1.0}, r"min_delta is -1\.0"),
        ({"mode": "auto"}, "mode is 'auto'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**arguments)


def test_a_state_that_is_not_ours():
    with pytest.raises(ValueError, match=r"state has the keys \['best'\].*best_state"):
        EarlyStopping().load_state_dict({"best": 1.0})
