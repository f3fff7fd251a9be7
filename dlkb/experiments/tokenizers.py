"""Words cut into pieces: merges learnt by byte-pair encoding, and WordPiece's longest match.

A word is a string of characters here. Byte-level tokenizers do the same with bytes.
"""

import codecs
import contextlib
import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

Pair = tuple[str, str]
SCORES = ("count", "likelihood")


def zen() -> str:
    """Return the Zen of Python, a text of 856 characters that the module `this` ships.

    Returns:
        The text.

    Example:
        >>> zen()[:31]
        'The Zen of Python, by Tim Peter'
    """
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    return codecs.decode(this.s, "rot13")


def count_words(text: str) -> Counter[str]:
    """Count the words of a text: runs of letters, in lower case.

    Args:
        text: A string.

    Returns:
        How often each occurs.

    Example:
        >>> count_words("Now is better than never, and now.")["now"]
        2
    """
    return Counter("".join(c if c.isalpha() else " " for c in text.lower()).split())


def learn_merges(
    words: Mapping[str, int], *, merges: int, prefix: str = "", score: str = "count"
) -> tuple[Pair, ...]:
    r"""Learn which neighbouring pieces to join, in this order, from the words of a text.

    Each round joins the pair of the highest score: its count $n_{ab}$ in byte-pair encoding,
    and in "likelihood" the count that the pieces' own counts do not explain,

    $$\frac{n_{ab}}{n_a\,n_b}$$

    Args:
        words: How often each word occurs.
        merges: Largest number of rounds; there are fewer once each word is one piece.
        prefix: Mark of a piece that continues a word, "##" in BERT's vocabularies.
        score: "count" or "likelihood".

    Returns:
        The joined pairs, in order. Among equal scores the pair of the older pieces is joined;
        single characters are in the order of their code points, those with the prefix last.

    Raises:
        ValueError: If `merges` is negative or there is no such score.

    Note:
        Differs from Google's WordPiece, whose code was not published. `tokenizers` trains
        WordPiece by count, as byte-pair encoding; with a prefix it may join another of equal pairs.

    Reference:
        Sennrich, Haddow and Birch, ACL 2016; Schuster and Nakajima, ICASSP 2012.

    Example:
        >>> learn_merges({"low": 5, "lower": 2, "newest": 6}, merges=3)
        (('w', 'e'), ('l', 'o'), ('e', 'we'))
    """
    if merges < 0:
        raise ValueError(f"merges is {merges}: it must be at least 0")
    if score not in SCORES:
        raise ValueError(f"score is {score!r}: it must be one of {SCORES}")
    cut = {word: _characters(word, prefix) for word in words if word}
    alphabet = {piece for pieces in cut.values() for piece in pieces}
    order = sorted(alphabet, key=lambda piece: (piece.startswith(prefix), piece))
    age = {piece: i for i, piece in enumerate(order)}
    learnt: list[Pair] = []
    for _ in range(merges):
        pairs: Counter[Pair] = Counter()
        single: Counter[str] = Counter()
        for word, pieces in cut.items():
            for pair in pairwise(pieces):
                pairs[pair] += words[word]
            for piece in pieces:
                single[piece] += words[word]
        value = {
            pair: count / (single[pair[0]] * single[pair[1]]) if score == "likelihood" else count
            for pair, count in pairs.items()
            if count > 0
        }
        if not value:
            break
        best = min(value, key=lambda pair: (-value[pair], age[pair[0]], age[pair[1]]))
        learnt.append(best)
        age.setdefault(_joined(best, prefix), len(age))
        cut = {word: _join(pieces, best, prefix) for word, pieces in cut.items()}
    return tuple(learnt)


def byte_pairs(word: str, merges: Sequence[Pair], *, prefix: str = "") -> tuple[str, ...]:
    """Cut a word into pieces, by joining its characters in the order in which pairs were learnt.

    Args:
        word: A string.
        merges: From `learn_merges`.
        prefix: As given there.

    Returns:
        The pieces; the word's characters where no pair is known.

    Reference:
        Sennrich, Haddow and Birch, ACL 2016.

    Example:
        >>> byte_pairs("lowest", [("w", "e"), ("l", "o"), ("lo", "we")])
        ('lowe', 's', 't')
    """
    rank = {pair: i for i, pair in enumerate(merges)}
    pieces = _characters(word, prefix)
    while True:
        known = [pair for pair in pairwise(pieces) if pair in rank]
        if not known:
            return pieces
        pieces = _join(pieces, min(known, key=rank.__getitem__), prefix)


def word_pieces(
    word: str, vocabulary: Collection[str], *, prefix: str = "##", unknown: str = "[UNK]"
) -> tuple[str, ...]:
    """Cut a word into the longest pieces of a vocabulary, from left to right.

    Args:
        word: A string.
        vocabulary: Pieces; those that continue a word begin with `prefix`.
        prefix: Mark of a piece that continues a word.
        unknown: What stands for a word that cannot be cut.

    Returns:
        The pieces, or `unknown` alone where at some place no piece fits. The search does not go
        back: another cut may exist.

    Note:
        Differs from BERT's tokenizer, which also lowers case, splits at punctuation and gives up
        on words of more than 100 characters.

    Reference:
        Song et al., Fast WordPiece Tokenization, EMNLP 2021, section 1.

    Example:
        >>> word_pieces("unhappiness", {"un", "##happi", "##ness"})
        ('un', '##happi', '##ness')
    """
    pieces: list[str] = []
    start = 0
    while start < len(word):
        mark = prefix if start else ""
        fitting = (
            stop for stop in range(len(word), start, -1) if mark + word[start:stop] in vocabulary
        )
        stop = next(fitting, None)
        if stop is None:
            return (unknown,)
        pieces.append(mark + word[start:stop])
        start = stop
    return tuple(pieces)


def _characters(word: str, prefix: str) -> tuple[str, ...]:
    return tuple(letter if i == 0 else prefix + letter for i, letter in enumerate(word))


def _joined(pair: Pair, prefix: str) -> str:
    return pair[0] + pair[1].removeprefix(prefix)


def _join(pieces: tuple[str, ...], pair: Pair, prefix: str) -> tuple[str, ...]:
    joined: list[str] = []
    i = 0
    while i < len(pieces):
        if pieces[i : i + 2] == pair:
            joined.append(_joined(pair, prefix))
            i += 2
        else:
            joined.append(pieces[i])
            i += 1
    return tuple(joined)
