"""Where the project lives on the web: read from mkdocs.yml, written nowhere else."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dlkb.book.read.parts import PageError
from dlkb.book.read.yaml_text import parse_yaml


@dataclass(frozen=True)
class Addresses:
    """The site, the repository, and the folder of notebooks that Colab opens, without `/`."""

    name: str
    description: str
    site: str
    repository: str
    colab: str

    def page(self, stem: str) -> str:
        """Return the address of a page.

        Example:
            >>> Addresses("", "", "https://x.org/dlkb", "", "").page("optimizers/index")
            'https://x.org/dlkb/optimizers/'
        """
        folder = "" if stem == "index" else stem.removesuffix("/index")
        return f"{self.site}/{folder}".rstrip("/") + "/"

    def download(self, stem: str, ending: str) -> str:
        """Return the address of a page's notebook, script or source."""
        return f"{self.site}/downloads/{stem}.{ending}"


def addresses(root: Path) -> Addresses:
    """Read the addresses of the project.

    Raises:
        PageError: If mkdocs.yml lacks one.
    """
    path = root / "mkdocs.yml"
    return _addresses(path.read_text(encoding="utf-8"), path)


@lru_cache(maxsize=4)  # every page asks
def _addresses(text: str, path: Path) -> Addresses:
    config = parse_yaml(text)
    found = {
        "site_name": config.get("site_name"),
        "site_description": config.get("site_description"),
        "site_url": config.get("site_url"),
        "repo_url": config.get("repo_url"),
        "extra: colab": (config.get("extra") or {}).get("colab"),
    }
    missing = [name for name, value in found.items() if not value]
    if missing:
        raise PageError(f"{path}: lacks {', '.join(missing)}")
    return Addresses(*(str(value).rstrip("/") for value in found.values()))
