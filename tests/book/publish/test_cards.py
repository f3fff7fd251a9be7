import pytest

from dlkb.book.draw.style import THEMES
from dlkb.book.publish.cards import (
    SAID,
    family_cards,
    learning_list,
    legend,
    neighbours,
    numbers,
    picture,
    topic_list,
    verdict_bar,
)
from dlkb.book.publish.counts import Counts
from dlkb.book.publish.summaries import topics
from dlkb.book.publish.thumbnails import address
from dlkb.book.read.parts import VERDICTS

NAMES = {"gradients": "Gradients", "optimizers": "Optimizers"}


def words(element):
    return "".join(element.itertext())


@pytest.fixture
def drawn(shelf):
    for theme in THEMES:
        path = shelf / address("optimizers/adam", theme)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("<svg/>")
    return shelf


def test_each_verdict_can_be_said():
    assert tuple(SAID) == VERDICTS


def test_a_picture_has_both_themes_and_may_be_missing(drawn):
    images = picture("optimizers/adam", drawn).findall("img")
    assert [image.get("src") for image in images] == [
        f"assets/thumbnails/optimizers/adam-{theme}.svg#only-{theme}" for theme in THEMES
    ]
    assert {(image.get("alt"), image.get("loading")) for image in images} == {("", "lazy")}
    assert picture("optimizers/adamw", drawn).findall("img") == []


def test_the_bar_has_a_part_for_each_verdict_and_says_so():
    verdicts = (("holds", 3), ("refuted", 2))
    bar = verdict_bar(verdicts)
    assert bar.get("aria-label") == "3 hold, 2 refuted"
    assert [(part.get("class"), part.get("style")) for part in bar] == [
        ("holds", "flex-grow: 3"),
        ("refuted", "flex-grow: 2"),
    ]
    assert [part.get("class") for part in legend(verdicts)] == ["verdict holds", "verdict refuted"]


def test_a_card_says_title_level_minutes_description_and_verdicts(drawn):
    known = [topic for topic in topics(drawn) if topic.family == "optimizers"]
    adam, adamw = family_cards(known, drawn)
    assert adam.find("h2/a").text == "Adam and its step"
    assert adam.find("h2/a").get("href") == "optimizers/adam.md"
    assert adam.find("p").text == "Basic · 1 min"
    assert adam.findall("p")[1].text == "What Adam and its step does. And more."
    assert adam.find("span[@class='bar']").get("aria-label") == "1 hold, 1 refuted"
    assert adamw.find("span[@class='bar']").get("aria-label") == "1 refuted"


def test_a_card_without_verdicts_has_no_bar(shelf):
    known = [topic for topic in topics(shelf) if topic.stem == "gradients/clipping"]
    (card,) = family_cards(known, shelf)
    assert card.find("span[@class='bar']") is None


def test_all_topics_stand_under_their_family_with_one_line(shelf):
    (shelf / "gradients/index.md").unlink()
    box = topic_list(topics(shelf), NAMES, shelf)
    assert [words(part.find("h3")) for part in box] == ["Gradients", "Optimizers"]
    assert [part.find("h3/a") is None for part in box] == [True, False]
    assert box.find("section[2]/h3/a").get("href") == "optimizers/index.md"
    assert [link.get("href") for link in box.findall("section/ul/li/a")] == [
        "gradients/clipping.md",
        "gradients/loss.md",
        "optimizers/adam.md",
        "optimizers/adamw.md",
    ]
    assert box.find("section[2]/ul/li/span[@class='line']").text == "What Adam and its step does."


@pytest.mark.parametrize(
    ("lies", "last"),
    [(None, "1,234"), ((6302, 4739), "75 %"), ((1000, 999), "99 %"), ((7, 7), "100 %")],
)
def test_the_numbers_never_say_more_than_was_noticed(lies, last):
    box = numbers(Counts((("holds", 1000), ("refuted", 41)), 97, 1234, lies))
    said = {words(row.find("dd")): row.find("dt").text for row in box.findall("dl/div")}
    assert list(said)[:3] == ["1,041", "97", "1,234"]
    assert list(said)[-1] == last
    if lies:
        assert said[last] == f"of {lies[0]:,} planted lies noticed"
    assert box.find("span[@class='bar']").get("aria-label") == "1000 hold, 41 refuted"


def test_the_list_in_the_order_of_learning_says_what_is_required(shelf):
    rows = learning_list(topics(shelf), NAMES)
    assert [words(row) for row in rows] == [
        "Clipping gradients Gradients · basic",
        "Loss Gradients · basic",
        "Adam and its step Optimizers · basic · read before: Loss",
        "AdamW Optimizers · basic · read before: Adam and its step",
    ]


@pytest.mark.parametrize(
    ("stem", "links"),
    [
        ("gradients/clipping", {"next": "gradients/loss.md"}),
        ("gradients/loss", {"prev": "gradients/clipping.md", "next": "optimizers/adam.md"}),
        ("optimizers/adamw", {"prev": "optimizers/adam.md"}),
    ],
)
def test_neighbours_follow_the_order_of_learning(shelf, stem, links):
    found = neighbours(stem, topics(shelf))
    assert {link.get("rel"): link.get("href") for link in found} == links


def test_a_page_that_is_no_topic_has_no_neighbours(shelf):
    assert neighbours("optimizers/index", topics(shelf)) is None
