import numpy as np
import pytest

from dlkb.transformers.sequences import (
    Packed,
    Spans,
    corrupt_spans,
    pack_pair,
    restore_spans,
)
from tests.cases import Case

MARKS = tuple(range(99, 80, -1))
CASES = [
    Case(pack_pair, lambda rng: (((5, 6), (7,)), {"cls": 1, "sep": 2})),
    Case(corrupt_spans, lambda rng: (((5, 6, 7), (True, False, True)), {"sentinels": MARKS})),
    Case(restore_spans, lambda rng: ((Spans((99, 6), (99, 5, 98)),), {"sentinels": MARKS})),
]


def test_pairs_are_packed_as_by_berts_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {"[CLS]": 1, "[SEP]": 2, "[UNK]": 0, "a": 7, "b": 8, "c": 9}
    peer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    peer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    peer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    for first, second in (("a b", "c"), ("a", "b c a"), ("", "a"), ("a", "")):
        encoded = peer.encode(first, second)
        ids = [[vocabulary[w] for w in text.split()] for text in (first, second)]
        found = pack_pair(*ids, cls=1, sep=2)
        assert found == Packed(tuple(encoded.ids), tuple(encoded.type_ids))


def test_the_figure_of_the_paper():
    words = "Thank you for inviting me to your party last week .".split()
    noise = [word in ("for", "inviting", "last") for word in words]
    found = corrupt_spans(words, noise, sentinels=("<X>", "<Y>", "<Z>"))
    assert " ".join(found.inputs) == "Thank you <X> me to your party <Y> week ."
    assert " ".join(found.targets) == "<X> for inviting <Y> last <Z>"


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_lost(seed):
    rng = np.random.default_rng(seed)
    length = int(rng.integers(0, 20))
    tokens = tuple(int(t) for t in rng.integers(5, 70, size=length))
    noise = [bool(b) for b in rng.random(length) < rng.random()]
    found = corrupt_spans(tokens, noise, sentinels=MARKS)
    runs = sum(n and not (i and noise[i - 1]) for i, n in enumerate(noise))
    assert restore_spans(found, sentinels=MARKS) == tokens
    assert len(found.inputs) == length - sum(noise) + runs
    assert len(found.targets) == sum(noise) + runs + 1


def test_a_sentinel_that_is_not_answered_leaves_a_gap():
    spans = Spans((5, 99, 6, 98), (98, 7))
    assert restore_spans(spans, sentinels=MARKS) == (5, 6, 7)
    assert restore_spans(Spans((5, 99), (8, 99, 7)), sentinels=MARKS) == (5, 7)


def test_errors():
    with pytest.raises(ValueError, match="noise has 1 entries for 2 tokens"):
        corrupt_spans((5, 6), (True,), sentinels=MARKS)
    corrupt_spans((5, 6), (True, True), sentinels=(99, 98))
    with pytest.raises(ValueError, match="sentinels has 1 entries: 2 are needed"):
        corrupt_spans((5, 6), (True, True), sentinels=(99,))
