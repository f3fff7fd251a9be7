"""What is kept of a figure, how long, and what one figure must not hand to the next."""

import os

import pytest

from dlkb.book.draw.figures import ENGINE, draw, find_figures, said
from dlkb.book.read import freshness
from dlkb.book.read.freshness import content_key
from tests.book.draw.test_figures import HEAD, WAVES, project, write

SAYING = (
    HEAD
    + """
X = 0.25
def falls() -> Figure:
    return plt.figure()
def falls_says() -> dict[str, bool]:
    return {f"falls to {X}": bool(X < 1), "rises": np.bool_(X > 1)}
def mute() -> Figure:
    return plt.figure()
"""
)


def test_what_a_figure_says_is_kept_and_read_without_drawing(tmp_path):
    assert said(write(tmp_path, {"scripts/figures/a/saying.py": SAYING}), "a/saying") is None
    assert draw(tmp_path).failed == []
    assert said(tmp_path, "a/saying") == {"falls": {"falls to 0.25": True, "rises": False}}
    assert [figure.says for figure in find_figures(tmp_path)] == [True, False]
    write(tmp_path, {"scripts/figures/a/saying.py": SAYING.replace("X = 0.25", "X = 2.5")})
    assert said(tmp_path, "a/saying") is None  # not known any more, and nothing was drawn
    draw(tmp_path)
    assert said(tmp_path, "a/saying") == {"falls": {"falls to 2.5": False, "rises": True}}


@pytest.mark.parametrize("answer", ["{'falls': 1}", "{'falls': 'yes'}", "{2: True}", "['falls']"])
def test_only_booleans_can_be_said(tmp_path, answer):
    body = f"def f() -> Figure: return plt.figure()\ndef f_says(): return {answer}\n"
    write(tmp_path, {"scripts/figures/a/odd.py": HEAD + body})
    (failure,) = draw(tmp_path).failed
    assert "f_says() returned" in failure.error
    assert "not a dict[str, bool]" in failure.error


LEAKS = {
    "style": "plt.rcParams['lines.linewidth'] = 9.0",
    "environment": "os.environ['LEAK'] = '9'",
    "default dtype": "torch.set_default_dtype(torch.float64)",
    "numpy's errors": "np.seterr(divide='ignore')",
    "numpy's seed": "np.random.seed(7)",
    "python's seed": "random.seed(7)",
    "torch's seed": "torch.manual_seed(7)",
    "open figures": "plt.figure()",
}
STATE = (
    "(plt.rcParams['lines.linewidth'], os.environ.get('LEAK'), str(torch.get_default_dtype()), "
    "np.geterr()['divide'], np.random.random(), random.random(), torch.rand(1).item(), "
    "plt.get_fignums())"
)


def test_a_figure_starts_from_the_same_state_whatever_the_one_before_did(tmp_path):
    imports = HEAD + "import os, random, torch\n"
    seen = f"    state = {STATE}\n    raise ValueError(f'state: {{state}}')\n"
    scripts = {"clean": "def z() -> Figure:\n" + seen}
    for number, change in enumerate(LEAKS.values()):
        leak = f"def a() -> Figure:\n    {change}\n    return plt.figure()\n"
        scripts[f"leak{number}"] = leak + scripts["clean"]
    write(tmp_path, {f"scripts/figures/a/{n}.py": imports + text for n, text in scripts.items()})
    states = {f.stem: f.error.rpartition("state: ")[2] for f in draw(tmp_path).failed}
    clean = states.pop("a/clean")
    assert "2.0" in clean
    assert {**dict.fromkeys(states, clean)} == states
    assert len(states) == len(LEAKS)


def test_drawing_leaves_the_environment_of_this_process_alone(tmp_path):
    before = dict(os.environ)
    bars = HEAD + "def bars() -> Figure: return plt.figure()\n"
    assert draw(write(tmp_path, {"scripts/figures/two/bars.py": bars})).drawn == ["two/bars/bars"]
    assert dict(os.environ) == before


# When a drawing is stale ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed", ["kb/deep.py", "kb/shapes.py", "kb/__init__.py", "data.json", "the script"]
)
def test_key_hangs_on_all_that_a_script_imports_and_reads(tmp_path, changed):
    root = project(tmp_path)
    script = "scripts/figures/one/waves.py"
    write(root, {"data.json": "1", script: WAVES + "\nDATA = 'data.json'\n"})
    before = content_key(root, root / script, ())
    assert content_key(root, root / script, ()) == before
    path = root / (script if changed == "the script" else changed)
    path.write_text(path.read_text() + "\n")
    assert content_key(root, root / script, ()) != before


def test_key_hangs_on_the_engine_the_style_and_the_versions(tmp_path, monkeypatch):
    root = project(tmp_path)
    script = root / "scripts/figures/one/waves.py"
    engine = root / "kb/unused.py"
    before = content_key(root, script, (engine,))
    engine.write_text("x = 1")
    after = content_key(root, script, (engine,))
    assert before != after
    monkeypatch.setattr(freshness, "versions", lambda: ["matplotlib 0"])
    assert content_key(root, script, (engine,)) != after
    assert {"style.py", "narrow.py", "drawing.py", "frames.py"} <= {p.name for p in ENGINE}
