"""Measure the built site with Lighthouse: `make lighthouse`.

Needs Node 18.16 or later and Chrome or Chromium (named by CHROME_PATH if it is not found). Home,
ledger and the heaviest topic page are measured three times each, as a slow phone would see them;
the median of every category must reach 95.
"""

import functools
import gzip
import http.server
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SITE = Path(__file__).parents[1] / "site"
LIGHTHOUSE = "lighthouse@12.8.2"  # version 13 needs Node 22.19
NEEDED, RUNS = 95, 3
METRICS = {
    "largest-contentful-paint": "LCP",
    "total-blocking-time": "TBT",
    "cumulative-layout-shift": "CLS",
}


class Compressing(http.server.SimpleHTTPRequestHandler):
    """Serve text compressed, as GitHub Pages does."""

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def send_head(self) -> Any:
        """Answer with the compressed file where compression helps."""
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file() or path.suffix in (".woff2", ".png"):
            return super().send_head()
        content = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "max-age=600")
        self.end_headers()
        return io.BytesIO(content)


@contextmanager
def serving() -> Iterator[str]:
    """Serve the built site; yield its address."""
    handler = functools.partial(Compressing, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def measure(address: str) -> dict[str, Any]:
    """Run Lighthouse once and return its report."""
    command = ["npx", "--yes", LIGHTHOUSE, address, "--quiet", "--output=json"]
    command.append("--chrome-flags=--headless --no-sandbox --disable-gpu")
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{' '.join(command)}\n{ran.stderr}")
    return json.loads(ran.stdout)


def faults(report: dict[str, Any]) -> list[str]:
    """Return what lowers a category that is too low."""
    audits = {
        reference["id"]: name
        for name, category in report["categories"].items()
        for reference in category["auditRefs"]
        if reference["weight"] and category["score"] * 100 < NEEDED
    }
    return [
        f"  {name}: {report['audits'][id]['title']} {report['audits'][id].get('displayValue', '')}"
        for id, name in audits.items()
        if (report["audits"][id]["score"] or 0) < 0.9
    ]


def main() -> None:
    """Print the scores; exit 1 if one is too low."""
    if not shutil.which("npx"):
        sys.exit("make lighthouse needs Node 18.16 or later: npx is not found")
    if chrome := shutil.which("chromium") or shutil.which("google-chrome"):
        os.environ.setdefault("CHROME_PATH", chrome)
    topics = list(SITE.glob("*/*/index.html"))
    heaviest = max(topics, key=lambda path: path.stat().st_size).parent
    low = False
    with serving() as site:
        for path in ("", "claims/", f"{heaviest.relative_to(SITE).as_posix()}/"):
            reports = [measure(f"{site}/{path}") for _ in range(RUNS)]
            scores = {
                name: round(
                    100 * statistics.median(r["categories"][name]["score"] for r in reports)
                )
                for name in reports[0]["categories"]
            }
            said = ", ".join(f"{name} {score}" for name, score in scores.items())
            last = reports[-1]["audits"]
            speed = ", ".join(f"{short} {last[m]['displayValue']}" for m, short in METRICS.items())
            print(f"/{path}: {said} ({speed})", flush=True)
            if min(scores.values()) < NEEDED:
                low = True
                print("\n".join(faults(reports[-1])), flush=True)
    if low:
        sys.exit(f"a category is below {NEEDED}")


if __name__ == "__main__":
    main()
