"""Show the docstrings' `Example:` as code, as the API pages show `Examples:`.

A griffe extension, named in mkdocs.yml. Griffe knows the plural alone and would read the
singular as a note in Markdown, where `>>>` is a quotation.
"""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


class Examples(griffe.Extension):
    """Rename the section before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each object that griffe has read."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub("Examples:", obj.docstring.value)
