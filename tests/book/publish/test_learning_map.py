import re

import pytest

from dlkb.book.publish.learning_map import (
    ACROSS,
    HEIGHT,
    WIDTH,
    Place,
    lanes,
    learning_map,
    neighbourhood,
    places,
)
from dlkb.book.publish.summaries import Summary


def book(**requires):
    """Return topics: `a_x="b_y"` is a/x, which requires b/y."""
    return tuple(
        Summary(
            stem=name.replace("_", "/"),
            title=f"Topic {name}",
            name=name,
            description="",
            level="basic",
            minutes=1,
            requires=tuple(needed.replace("_", "/").split()),
            verdicts=(),
        )
        for name, needed in requires.items()
    )


def at(**requires):
    return {
        stem.replace("/", "_"): (place.row, place.column)
        for stem, place in places(book(**requires), columns=2).items()
    }


def test_a_chain_stands_in_a_row():
    assert at(a_x="", a_y="a_x", a_z="a_y") == {"a_x": (0, 0), "a_y": (0, 1), "a_z": (0, 2)}


def test_two_that_build_on_one_stand_below_each_other():
    assert at(a_x="", a_y="a_x", a_z="a_x") == {"a_x": (0, 0), "a_y": (0, 1), "a_z": (1, 1)}


def test_no_arrow_within_a_family_passes_behind_a_topic():
    found = at(a_x="", a_y="a_x", a_z="a_y", a_w="a_x a_z", a_v="a_x")
    assert found["a_w"] == (0, 3)
    assert found["a_v"] == (1, 1)


def test_a_family_has_rows_of_its_own():
    found = at(a_x="", a_y="a_x", b_x="a_x", b_y="")
    assert found["b_x"] == (1, 1)


def test_two_chains_of_a_family_have_a_row_each():
    found = at(a_x="", b_x="a_x", b_y="", b_z="b_y", b_w="b_x")
    assert found == {"a_x": (0, 0), "b_x": (1, 1), "b_y": (2, 0), "b_z": (2, 1), "b_w": (1, 2)}


def test_a_topic_stands_behind_what_it_requires_not_behind_another():
    found = at(a_x="", a_y="", a_z="a_y", b_x="a_x")
    assert found == {"a_x": (0, 0), "a_y": (1, 0), "a_z": (1, 1), "b_x": (2, 1)}


def test_topics_without_relations_fill_the_lane_from_the_left():
    assert at(a_x="", a_y="", a_z="") == {"a_x": (0, 0), "a_y": (0, 1), "a_z": (1, 0)}


def test_a_requirement_that_is_not_on_the_map_counts_for_nothing():
    assert at(a_x="b_y", a_y="")["a_x"] == (0, 0)


@pytest.mark.parametrize("number", [3, 60])
def test_no_two_topics_stand_in_one_place(number):
    requires = {
        f"f{n % 7}_t{n}": f"f{n // 2 % 7}_t{n // 2}" if n > 1 and n % 3 else ""
        for n in range(1, number)
    }
    topics = tuple(topic for lane in lanes(book(**requires)).values() for topic in lane)
    topics = tuple(sorted(topics, key=lambda topic: int(topic.name.partition("_t")[2])))
    found = places(topics)
    assert len(set(found.values())) == len(found) == number - 1
    for topic in topics:
        for stem in topic.requires:
            assert found[stem].column < found[topic.stem].column


def test_the_map_of_a_family_holds_what_its_topics_need_and_what_needs_them():
    topics = book(a_x="", b_x="", b_y="b_x a_x", c_x="b_y", c_y="c_x", d_x="a_x")
    assert [topic.name for topic in neighbourhood("b", topics)] == ["a_x", "b_x", "b_y", "c_x"]


def px(link, side):
    return int(re.search(rf"(?:^|; ){side}: (\d+)px", link.get("style"))[1])


def test_topics_are_links_and_arrows_end_at_them():
    topics = book(a_x="", b_y="a_x")
    drawn = learning_map(topics, {"a": "Family A"}, family="b")
    start, end = drawn.findall("a")
    assert [start.get("href"), end.get("href")] == ["a/x.md", "b/y.md"]
    assert [start.get("class"), end.get("class")] == ["outside", None]
    assert end.get("aria-label") == "b_y, read before: Topic a_x"
    assert start.get("aria-label") is None
    assert [name.text for name in drawn.findall("span")] == ["Family A", "b"]
    assert px(end, "left") - px(start, "left") == WIDTH + ACROSS
    assert px(end, "top") > px(start, "top") + HEIGHT
    (way,) = drawn.findall("svg/path")
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", way.get("d"))]
    assert numbers[:2] == [px(start, "left") + WIDTH, px(start, "top") + HEIGHT // 2]
    assert px(end, "left") - 4 <= numbers[6] <= px(end, "left")
    assert numbers[7] == px(end, "top") + HEIGHT // 2


def test_nothing_reaches_over_the_edge_of_the_map():
    drawn = learning_map(book(a_x="", a_y="a_x", b_x="", b_y="b_x"), {})
    right = max(px(link, "left") + WIDTH for link in drawn.findall("a"))
    bottom = max(px(link, "top") + HEIGHT for link in drawn.findall("a"))
    assert 0 < px(drawn, "width") - right < 4
    assert 0 < px(drawn, "height") - bottom < 4
    tops = sorted(px(name, "top") for name in drawn.findall("span"))
    assert tops[0] == 0
    first = max(px(link, "top") for link in drawn.findall("a") if link.text.startswith("a"))
    assert tops[1] > first + HEIGHT


def test_without_a_family_no_topic_is_outside():
    drawn = learning_map(book(a_x="", b_y="a_x"), {})
    assert not any(link.get("class") for link in drawn.findall("a"))


def test_places_can_be_compared():
    assert Place(0, 1) == Place(0, 1) != Place(1, 0)
