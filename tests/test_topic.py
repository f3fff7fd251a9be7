"""`make test TOPIC=…` runs all that concerns a topic."""

from scripts.topic import ROOT, commands, files_of


def test_files_of_a_topic_are_found_wherever_they_are():
    assert files_of("optimizers/adam") == [
        "dlkb/optimizers/adam.py",
        "dlkb/optim/adam.py",
        "scripts/figures/optimizers/adam.py",
        "scripts/peers/optimizers/adam.py",
        "tests/optimizers/test_adam.py",
        "tests/optim/test_adam.py",
        "tests/figures/optimizers/test_adam.py",
        "docs/optimizers/adam.md",
    ]


def test_every_file_is_linted_or_tested():
    named = {word for command in commands("optimizers/adam") for word in command}
    assert set(files_of("optimizers/adam")) <= named


def test_every_place_exists_for_some_topic(tmp_path):
    for place in ("dlkb/nn/x.py", "tests/nn/test_x.py", "dlkb/a/x.py", "docs/a/x.md"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    assert files_of("a/x", tmp_path) == [
        "dlkb/a/x.py",
        "dlkb/nn/x.py",
        "tests/nn/test_x.py",
        "docs/a/x.md",
    ]
    assert ROOT.joinpath("mkdocs.yml").is_file()
