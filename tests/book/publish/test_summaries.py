import os
from collections import Counter

import pytest

from dlkb.book.hold.budget import unfolded_words
from dlkb.book.publish.summaries import WORDS_A_MINUTE, counted, minutes, summary, topics
from dlkb.book.read.pages import read_page
from tests.book.publish.conftest import topic


def test_a_summary_says_what_the_page_says(shelf):
    found = summary(read_page(shelf / "optimizers/adam.md", shelf), "Adam")
    assert found.stem == "optimizers/adam"
    assert found.family == "optimizers"
    assert (found.name, found.title) == ("Adam", "Adam and its step")
    assert found.description == "What Adam and its step does. And more."
    assert found.line == "What Adam and its step does."
    assert found.level == "basic"
    assert found.requires == ("gradients/loss",)
    assert found.verdicts == (("holds", 1), ("refuted", 1))


def test_the_title_is_the_name_where_the_navigation_has_none(shelf):
    assert summary(read_page(shelf / "gradients/loss.md", shelf)).name == "Loss"


@pytest.mark.parametrize(
    ("description", "line"),
    [
        ("At r = 3.5 it ends. Then", "At r = 3.5 it ends."),
        ("one. two", "one. two"),
        ("Why? A", "Why?"),
    ],
)
def test_a_sentence_ends_before_a_capital(shelf, description, line):
    path = shelf / "gradients/loss.md"
    path.write_text(path.read_text().replace("What Loss does. And more.", description))
    assert summary(read_page(path, shelf)).line == line


@pytest.mark.parametrize(("more", "expected"), [(0, 1), (1, 2), (WORDS_A_MINUTE, 2)])
def test_minutes_are_rounded_up(shelf, more, expected):
    path = shelf / "gradients/loss.md"
    missing = WORDS_A_MINUTE - unfolded_words(read_page(path, shelf))
    path.write_text(path.read_text().replace("Words", "word " * (missing + more) + "Words"))
    assert minutes(read_page(path, shelf)) == expected


def test_verdicts_are_in_the_order_of_the_table():
    assert counted(Counter(buggy=1, holds=2, opinion=0)) == (("holds", 2), ("buggy", 1))


def test_topics_are_in_the_order_of_learning_with_their_names(shelf):
    found = topics(shelf)
    assert [topic.name for topic in found] == ["Clipping", "Loss", "Adam and its step", "AdamW"]


def test_an_edit_is_seen(shelf):
    topics(shelf)
    path = shelf / "gradients/loss.md"
    path.write_text(topic("Losses"))
    os.utime(path, ns=(1, 1))
    assert [topic.title for topic in topics(shelf)][1] == "Losses"
