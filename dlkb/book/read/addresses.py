"""Where the project lives on the web: read from mkdocs.yml, written nowhere else."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from dlkb.book.read.parts import PageError


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
    config = yaml.safe_load((root / "mkdocs.yml").read_text(encoding="utf-8"))
    found = {
        "site_name": config.get("site_name"),
        "site_description": config.get("site_description"),
        "site_url": config.get("site_url"),
        "repo_url": config.get("repo_url"),
        "extra: colab": (config.get("extra") or {}).get("colab"),
    }
    missing = [name for name, value in found.items() if not value]
    if missing:
        raise PageError(f"{root / 'mkdocs.yml'}: lacks {', '.join(missing)}")
    return Addresses(*(str(value).rstrip("/") for value in found.values()))
