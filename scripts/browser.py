"""The browser of this machine: the site's tests and the search's benchmark drive it."""

import shutil

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
MISSING = f"no browser among {', '.join(BROWSERS)}: install Chromium"


def installed_browser() -> str | None:
    """Return where the first of the known browsers is."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
