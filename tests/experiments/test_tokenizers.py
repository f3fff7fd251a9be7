import json
import re
from collections import Counter

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from dlkb.experiments.tokenizers import byte_pairs, count_words, learn_merges, word_pieces, zen

WORDS = {"low": 5, "lower": 2, "newest": 6, "widest": 3}


def text(seed, words=300):
    """Words of few letters, drawn by a law that repeats the short ones."""
    rng = np.random.default_rng(seed)
    drawn = ["".join(rng.choice(list("abcdé"), size=rng.integers(1, 9))) for _ in range(words)]
    return Counter(drawn[int(i)] for i in rng.integers(0, words, size=words) ** 2 // words)


def trained(words, merges, trainer, model, prefix=""):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    lines = [word for word, count in words.items() for _ in range(count)]
    alphabet = {
        letter if i == 0 else prefix + letter for word in words for i, letter in enumerate(word)
    }
    size = len(alphabet | set("".join(words))) + merges
    tokenizer.train_from_iterator(lines, trainer(vocab_size=size, show_progress=False))
    return tokenizer


@pytest.mark.parametrize("seed", range(6))
def test_merges_and_pieces_are_those_of_tokenizers(seed):
    words = text(seed)
    peer = trained(words, 60, trainers.BpeTrainer, models.BPE())
    expected = [tuple(pair) for pair in json.loads(peer.to_str())["model"]["merges"]]
    merges = learn_merges(words, merges=60)
    assert len(merges) == 60
    assert len(expected) >= 60
    assert merges == tuple(expected[:60])
    for word in [*words, *text(seed + 100)]:
        assert byte_pairs(word, expected) == tuple(peer.encode(word).tokens)


def test_the_example_of_the_paper():
    # Sennrich et al., algorithm 1: the end of a word is a symbol of its own there.
    words = {"low.": 5, "lower.": 2, "newest.": 6, "widest.": 3}
    assert learn_merges(words, merges=1) == (("e", "s"),)
    assert byte_pairs("lowest", (("e", "s"), ("es", "t"))) == ("l", "o", "w", "est")


def test_ties_go_to_the_older_pieces():
    assert learn_merges({"ab": 1, "cd": 1}, merges=1) == (("a", "b"),)
    assert learn_merges({"cd": 2, "ab": 1}, merges=1) == (("c", "d"),)
    assert learn_merges({"abc": 1, "bc": 1, "ab": 1}, merges=2) == (("a", "b"), ("b", "c"))
    assert learn_merges({"cab": 1}, merges=1) == (("a", "b"),)  # no word begins with a
    assert learn_merges({"aa": 1, "baa": 1}, merges=1, prefix="##") == (("a", "##a"),)


def test_likelihood_prefers_letters_that_occur_together_alone():
    words = {"qu": 2, "aba": 3, "ab": 2, "ba": 3}
    assert learn_merges(words, merges=1, score="count") == (("b", "a"),)
    assert learn_merges(words, merges=1, score="likelihood") == (("q", "u"),)
    words = {"ab": 4, "b": 12, "cd": 3}
    assert learn_merges(words, merges=1, score="count") == (("a", "b"),)
    assert learn_merges(words, merges=1, score="likelihood") == (("c", "d"),)


def test_it_ends_when_each_word_is_one_piece():
    assert learn_merges({"aaaa": 1, "": 3, "b": 2}, merges=9) == (("a", "a"), ("aa", "aa"))
    assert learn_merges({}, merges=3) == ()
    assert learn_merges({"ab": 0}, merges=3) == ()
    assert learn_merges({"ab": 1}, merges=0) == ()
    assert byte_pairs("", ()) == ()


def test_a_run_is_joined_from_the_left():
    assert byte_pairs("aaaaa", (("a", "a"),)) == ("aa", "aa", "a")
    assert byte_pairs("abab", (("b", "a"), ("a", "b"))) == ("a", "ba", "b")


@pytest.mark.parametrize("prefix", ["##", "@"])
def test_word_pieces_are_those_of_tokenizers(prefix):
    rng = np.random.default_rng(3)
    for _ in range(20):
        pieces = ["".join(rng.choice(list("abc"), size=rng.integers(1, 4))) for _ in range(9)]
        vocabulary = {piece if i % 2 else prefix + piece for i, piece in enumerate(pieces)}
        listed = {piece: i for i, piece in enumerate(sorted(vocabulary | {"[UNK]"}))}
        peer = Tokenizer(
            models.WordPiece(listed, unk_token="[UNK]", continuing_subword_prefix=prefix)
        )
        for _ in range(40):
            word = "".join(rng.choice(list("abcd"), p=[0.4, 0.3, 0.28, 0.02], size=6))
            expected = tuple(peer.encode(word).tokens)
            assert word_pieces(word, vocabulary, prefix=prefix) == expected


def test_the_longest_match_does_not_go_back():
    vocabulary = {"un", "unh", "##happy", "##appy"}
    assert word_pieces("unhappy", vocabulary) == ("unh", "##appy")
    assert word_pieces("unhappy", {"un", "unh", "##happy"}) == ("[UNK]",)
    assert word_pieces("", vocabulary) == ()


def test_wordpiece_is_trained_by_count_in_tokenizers():
    words = Counter({"qu": 2, "aba": 9, "ab": 4, "ba": 5, "abab": 3})
    by_count = learn_merges(words, merges=2, prefix="##")
    by_likelihood = learn_merges(words, merges=2, prefix="##", score="likelihood")
    peer = trained(words, 2, trainers.WordPieceTrainer, models.WordPiece(), "##")
    pieces = {a + b.removeprefix("##") for a, b in by_count}
    other = {a + b.removeprefix("##") for a, b in by_likelihood}
    assert pieces != other
    assert pieces <= set(peer.get_vocab())
    assert not other <= set(peer.get_vocab())


def test_errors():
    with pytest.raises(ValueError, match="merges is -1: it must be at least 0"):
        learn_merges({}, merges=-1)
    message = re.escape("score is 'bpe': it must be one of ('count', 'likelihood')")
    with pytest.raises(ValueError, match=message):
        learn_merges({}, merges=1, score="bpe")


def test_the_zen_is_what_python_prints(capsys):
    found = zen()
    assert capsys.readouterr().out == ""
    assert found.startswith("The Zen of Python, by Tim Peters\n\nBeautiful is better than ugly.\n")
    assert found.endswith("let's do more of those!")
    assert len(found) == 856


def test_words_are_runs_of_letters():
    assert count_words("Aren't 2 aren, T\nÉté.") == {"aren": 2, "t": 2, "été": 1}
    assert count_words("") == {}
    assert sum(count_words(zen()).values()) == 147
