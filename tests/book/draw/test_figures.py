import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from dlkb.book.draw import style
from dlkb.book.draw.drawing import without_colours
from dlkb.book.draw.figures import CACHE, OUTPUT, draw, find_figures
from dlkb.book.draw.kept import AFRESH
from dlkb.book.read.parts import PageError

ROOT = Path(__file__).parents[3]

WAVES = """
import functools
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from kb.shapes import wave

@functools.cache
def data():
    return wave(np.linspace(0.0, 6.0, 50))

def lines() -> Figure:
    figure, axes = plt.subplots()
    for i in range(3):
        axes.plot(data() + i, marker="o", label=rf"$\\hat{{v}}_{i}$ – run")
    axes.fill_between(range(50), data(), alpha=0.2, hatch="/")
    axes.legend()
    return figure

def picture() -> "Figure":
    figure, axes = plt.subplots()
    axes.imshow(np.outer(data(), data()))
    axes.set_clip_on(True)
    return figure

def with_argument(n) -> Figure: ...
def _private() -> Figure: ...
def no_figure() -> dict: ...
"""

BARS = """
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from ._common import heights

def bars() -> Figure:
    figure, axes = plt.subplots()
    axes.bar(["a", "b"], heights())
    return figure
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def project(root: Path) -> Path:
    return write(
        root,
        {
            "kb/__init__.py": "",
            "kb/shapes.py": "from kb.deep import scale\ndef wave(x): return scale * x",
            "kb/deep.py": "scale = 1.0",
            "kb/unused.py": "",
            "scripts/figures/one/waves.py": WAVES,
            "scripts/figures/two/bars.py": BARS,
            "scripts/figures/two/_common.py": "def heights(): return [1, 2]",
        },
    )


def svgs(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root / OUTPUT).as_posix(): p.read_bytes() for p in root.rglob("*.svg")}


def times(root: Path) -> dict[str, int]:
    return {name: (root / OUTPUT / name).stat().st_mtime_ns for name in svgs(root)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """A project with its figures drawn. Tests that change it put it back."""
    root = project(tmp_path_factory.mktemp("drawn"))
    report = draw(root)
    assert report.failed == []
    assert report.drawn == ["one/waves/lines", "one/waves/picture", "two/bars/bars"]
    return root


def test_finds_public_functions_that_return_a_figure_without_importing(tmp_path):
    project(tmp_path)
    found = [str(figure) for figure in find_figures(tmp_path)]
    assert found == ["one/waves/lines", "one/waves/picture", "two/bars/bars"]


def test_each_figure_has_two_themes_that_differ_in_colours_alone(drawn):
    files = svgs(drawn)
    assert len(files) == 12
    for name in files:
        if name.endswith("-light.svg"):
            light, dark = files[name], files[name.replace("-light", "-dark")]
            assert light != dark
            assert without_colours(light) == without_colours(dark)
            assert b"<svg" in light
            assert b"Date" not in light


def test_another_process_and_another_order_draw_the_same_bytes(drawn, tmp_path):
    project(tmp_path)
    code = (
        "import sys; from pathlib import Path; from dlkb.book.draw.figures import draw\n"
        "for stem in ['two/bars', 'one/waves']: assert not draw(Path(sys.argv[1]), [stem]).failed\n"
        "assert draw(Path(sys.argv[1]), ['two/bars'], force=True).drawn == ['two/bars/bars']"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, env=environment, cwd=ROOT)
    assert svgs(tmp_path) == svgs(drawn)


def test_from_cache_nothing_is_drawn_touched_or_imported(drawn):
    before = times(drawn)
    code = (
        "import sys, time; from pathlib import Path; from dlkb.book.draw.figures import draw\n"
        "report = draw(Path(sys.argv[1]))\n"
        "assert len(report.cached) == 3 and not report.drawn\n"
        "assert not {'matplotlib', 'numpy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, drawn], check=True, cwd=ROOT)
    assert times(drawn) == before


def test_redraws_what_imports_a_changed_module_and_nothing_else(drawn):
    before, deep = times(drawn), drawn / "kb/deep.py"
    (drawn / "kb/unused.py").write_text("x = 1")
    deep.write_text("scale = 2.0")
    report = draw(drawn)
    assert report.drawn == ["one/waves/lines", "one/waves/picture"]
    assert report.cached == ["two/bars/bars"]
    changed = {name for name, when in times(drawn).items() if when != before[name]}
    lines = [f"one/waves/lines{kind}" for kind in ("", "-narrow")]
    assert changed == {f"{name}-{theme}.svg" for name in lines for theme in style.THEMES}
    deep.write_text("scale = 1.0")
    (drawn / "scripts/figures/two/_common.py").write_text("def heights(): return [1, 2]  # same")
    assert draw(drawn).drawn == ["one/waves/lines", "one/waves/picture", "two/bars/bars"]
    assert times(drawn)["two/bars/bars-light.svg"] == before["two/bars/bars-light.svg"]


def test_mends_a_missing_and_an_altered_output(drawn):
    before = svgs(drawn)
    (drawn / OUTPUT / "two/bars/bars-dark.svg").unlink()
    (drawn / OUTPUT / "one/waves/lines-light.svg").write_text("<svg/>")
    assert draw(drawn).drawn == ["one/waves/lines", "two/bars/bars"]
    assert svgs(drawn) == before


def test_removes_drawings_of_figures_that_are_gone(tmp_path):
    write(tmp_path, {"scripts/figures/two/bars.py": BARS, "scripts/figures/two/_common.py": ""})
    left = tmp_path / OUTPUT / "two/bars/old-light.svg"
    other = tmp_path / OUTPUT / "gone/topic/x-dark.svg"
    write(tmp_path, {str(left): "", str(other): ""})
    (tmp_path / "scripts/figures/two/_common.py").write_text("def heights(): return [1, 2]")
    assert draw(tmp_path, ["two/bars"]).removed == [f"{OUTPUT}/two/bars/old-light.svg"]
    assert other.exists()
    assert draw(tmp_path).removed == [f"{OUTPUT}/gone/topic/x-dark.svg"]
    assert not (tmp_path / OUTPUT / "gone").exists()
    kinds = ("-dark", "-light", "-narrow-dark", "-narrow-light")
    assert sorted(svgs(tmp_path)) == [f"two/bars/bars{kind}.svg" for kind in kinds]


HEAD = "import matplotlib.pyplot as plt, numpy as np\nfrom matplotlib.figure import Figure\n"
FAILING = {
    "raises": ("    raise KeyError('no such thing')", "KeyError: 'no such thing'"),
    "glyph": ("    plt.title('\\U0001f9e0'); return plt.gcf()", "Glyph 129504"),
    "wide": ("    return plt.figure(figsize=(9, 3))", "is 9 in wide"),
    "nothing": ("    return 3", "returned 3, not a matplotlib Figure"),
    "long": ("    plt.title('word ' * 20); return plt.gcf()", "does not fit on a phone"),
    "small": ("    plt.title('word', fontsize=8.8); return plt.gcf()", "is 8.8 pt high"),
    "dice": ("    plt.plot(np.random.default_rng().random(3)); return plt.gcf()", "is it random?"),
}


def test_a_failure_names_script_and_function_and_stops_no_other(tmp_path):
    bodies = "".join(f"def {n}() -> Figure:\n{body}\n" for n, (body, _) in FAILING.items())
    good = "def good() -> Figure:\n    return plt.figure()\n"
    kill = HEAD + "import os\ndef kill() -> Figure:\n    os._exit(3)\n"
    write(
        tmp_path,
        {
            "scripts/figures/a/bad.py": HEAD + bodies + good,
            "scripts/figures/a/broken.py": "def broken(:",
            "scripts/figures/a/imports.py": HEAD + "import nowhere\n" + good,
            "scripts/figures/a/kills.py": kill,
            "scripts/figures/a/unharmed.py": HEAD + good,
        },
    )
    report = draw(tmp_path)
    assert report.drawn == ["a/bad/good", "a/unharmed/good"]
    errors = {str(failure): failure.error for failure in report.failed}
    for name, (_, message) in FAILING.items():
        assert message in errors[f"scripts/figures/a/bad.py: {name}()"]
    assert "bad.py" in errors["scripts/figures/a/bad.py: raises()"]
    assert "drawing.py" not in errors["scripts/figures/a/bad.py: raises()"]
    assert "SyntaxError" in errors["scripts/figures/a/broken.py"]
    assert "No module named 'nowhere'" in errors["scripts/figures/a/imports.py"]
    assert "was killed" in errors["scripts/figures/a/kills.py"]
    assert len(errors) == len(FAILING) + 3
    assert not [p for p in tmp_path.rglob("*") if p.suffix == ".tmp"]
    console = Console(file=io.StringIO(), width=200)
    assert report.show(console) == 1
    assert "2 drawn, 0 up to date, 10 failed" in console.file.getvalue()


def test_force_unmasks_data_that_is_not_seeded(tmp_path, monkeypatch):
    monkeypatch.delenv(AFRESH, raising=False)
    dice = (
        "from dlkb.book.draw.kept import kept\n"
        "import os\n@kept\ndef data(): return np.frombuffer(os.urandom(3), np.uint8)\n"
        "def dice() -> Figure:\n    figure, axes = plt.subplots()\n    axes.plot(data())\n"
        "    return figure\n"
    )
    write(tmp_path, {"scripts/figures/a/dice.py": HEAD + dice})
    assert draw(tmp_path).drawn == ["a/dice/dice"]
    (failure,) = draw(tmp_path, force=True).failed
    assert "not what it was" in failure.error
    assert str(CACHE) in failure.error


def test_unknown_stem_suggests_the_nearest(tmp_path):
    project(tmp_path)
    with pytest.raises(PageError, match=r"no figures for 'one/wave': did you mean one/waves\?"):
        draw(tmp_path, ["one/wave"])
