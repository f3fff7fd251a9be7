"""Alt text and caption of a figure against what its data says."""

from pathlib import Path

import pytest

from dlkb.book.hold import check
from dlkb.book.hold.sayings import descriptions, saying_problems
from dlkb.book.read.book import read_book
from dlkb.book.read.pages import read_page

SCRIPT = """
from matplotlib.figure import Figure

def fall() -> Figure: ...
def fall_says() -> dict[str, bool]:
    return {f"falls to {x:.2f}": x < 1, "twice": y}
def rise() -> Figure: ...
def decree() -> Figure: ...
def decree_says() -> dict[str, bool]:
    return {"all is well": True, f"so is {x}": True}
"""
ALT = "The curve falls to 0.25 after\n12 steps. Noise falls twice."
CAPTION = "Watch it: it\nfalls to 0.25."
SAYS = {"curve falls to 0.25 after 12 steps": True, "falls twice": True, "it falls to 0.25": True}


def problems(root: Path, *, name="fall", alt=ALT, caption=CAPTION, said):
    write = {
        "scripts/figures/one/waves.py": SCRIPT,
        "docs/one/waves.md": f"---\ntitle: Waves\nsize: S\n---\n# Waves\n\n"
        f"![{alt}](../assets/figures/one/waves/{name}.svg){{.wide}}\n"
        f"/// figure-caption\n    attrs: {{id: x-12}}\n\n{caption}\n///\n\nAfter 99 it ends.\n",
    }
    for file, text in write.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    page = read_page(root / "docs/one/waves.md", root / "docs")
    return saying_problems(root, page, said)


def test_a_page_that_says_what_the_data_says(tmp_path):
    assert problems(tmp_path, said={"fall": SAYS}) == []


def test_alt_text_and_caption_are_found_with_their_line(tmp_path):
    problems(tmp_path, said=None)
    (found,) = descriptions(read_page(tmp_path / "docs/one/waves.md", tmp_path / "docs"))
    assert found.name == "fall"
    assert found.line == 7
    assert found.alt == "The curve falls to 0.25 after 12 steps. Noise falls twice."
    assert found.caption == "Watch it: it falls to 0.25."


def test_brackets_in_the_alt_text_are_part_of_it(tmp_path):
    says = {"On [0, 1] the curve falls": True, **SAYS}
    (problem,) = problems(tmp_path, alt=f"On [0, 1] the curve falls. {ALT}", said={"fall": SAYS})
    assert "On [0, 1] the curve falls." in problem[1]
    assert problems(tmp_path, alt=f"On [0, 1] the curve falls. {ALT}", said={"fall": says}) == []


WRONG = {
    "a false number in the alt text": ({"alt": ALT.replace("0.25", "0.26")}, "the page does not"),
    "a false number in the caption": (
        {"caption": CAPTION.replace("0.25", "0.2")},
        "says 'it falls to 0.25', the page does not",
    ),
    "a number that no phrase holds": (
        {"caption": CAPTION + " It falls twice in 30 steps."},
        "caption of fall: no phrase of fall_says() holds the number 30",
    ),
    "a sign outside of the phrase": (
        {"caption": CAPTION + " Later it falls twice to −0.5."},
        "holds the number −0.5",
    ),
    "a unit outside of the phrase": (
        {"caption": CAPTION + " Then it falls twice by 11 %."},
        "holds the number 11 %",
    ),
    "a number in words": ({"caption": CAPTION + " It falls twice, eighteenfold."}, "eighteenfold"),
    "a sentence that no phrase holds": (
        {"caption": CAPTION + " It is the best."},
        "no phrase of fall_says() holds 'It is the best.'",
    ),
    "data that does not say so": (
        {"said": {"fall": {**SAYS, "falls twice": False}}},
        "the data does not say 'falls twice'",
    ),
    "a phrase that is no longer there": (
        {"said": {"fall": {**SAYS, "rises": True}}},
        "fall_says() says 'rises', the page does not",
    ),
    "a part of a number": (
        {"said": {"fall": {**SAYS, "falls to 0.2": True}}},
        "says 'falls to 0.2', the page does not",
    ),
    "a part of a word": (
        {"said": {"fall": {**SAYS, "urve falls": True}}},
        "says 'urve falls', the page does not",
    ),
    "another figure under the caption": ({"name": "rise"}, "lacks rise_says() -> dict[str, bool]"),
    "a function that was not run": ({"said": {}}, "was not run: `dlkb figures one/waves`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_noticed_at_its_line(tmp_path, case):
    change, message = WRONG[case]
    found = problems(tmp_path, **{"said": {"fall": SAYS}, **change})
    assert any(line == 7 and message in text for line, text in found), found


def test_a_caption_below_a_blank_line_is_the_figures(tmp_path):
    problems(tmp_path, said=None)
    path = tmp_path / "docs/one/waves.md"
    path.write_text(path.read_text().replace("{.wide}\n", "{.wide}\n\n"))
    (found,) = descriptions(read_page(path, tmp_path / "docs"))
    assert found.caption == "Watch it: it falls to 0.25."


def test_a_phrase_that_is_true_by_decree_is_refused(tmp_path):
    said = {"decree": {"all is well": True}}
    found = problems(tmp_path, name="decree", alt="Now all is well.", caption="", said=said)
    assert [text for _, text in found] == [
        "decree_says() says 'all is well' without looking: compute it from the data"
    ]


@pytest.mark.parametrize(
    "held", ["By 9 it falls twice.", "The float32 falls twice.", "θ₁₂ falls twice."]
)
def test_small_counts_and_names_with_digits_need_no_phrase(tmp_path, held):
    assert problems(tmp_path, caption=CAPTION + " " + held, said={"fall": SAYS}) == []


def test_the_rest_of_the_page_is_not_the_caption(tmp_path):
    assert problems(tmp_path, caption="It falls twice.", said={"fall": {
        "curve falls to 0.25 after 12 steps": True, "falls twice": True}}) == []  # fmt: skip


def test_what_is_not_drawn_yet_is_left_alone(tmp_path):
    assert problems(tmp_path, said=None) == []


def test_the_rules_of_a_page_ask_what_its_figures_said_when_drawn(moved, monkeypatch):
    (page,) = read_book(moved.root, ["optimizers/toy"])
    says = {"no such phrase": True}
    monkeypatch.setattr(check, "said", lambda root, stem: {"wave": says})
    found = [problem.message for problem in check.page_problems(moved.root, page)]
    assert "wave_says() says 'no such phrase', the page does not" in found
    monkeypatch.setattr(check, "said", lambda root, stem: None)
    assert not any("wave_says" in p.message for p in check.page_problems(moved.root, page))
