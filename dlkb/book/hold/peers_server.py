"""Run the libraries of tables: import each library once, and fork for each page's module.

`peers.run` starts this file as a script, so that no module of the checkout is imported before the
fork: a child sees the modules of the folder that its request names. Requests and answers are lines
of JSON: the arguments of `answer`, and what it returns.
"""

import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
import warnings

LIMIT = 120
"""Seconds for a module."""


def work(root: str, module: str, names: list[str], output: int, rows: int) -> None:
    """Call the functions, write their rows, and end the process."""
    signal.alarm(LIMIT)
    status = 1
    try:
        for stream in (1, 2):
            os.dup2(output, stream)
        os.chdir(root)
        sys.path.insert(0, root)
        found = importlib.import_module(module)
        with os.fdopen(rows, "w", encoding="utf-8") as file:
            json.dump({name: getattr(found, name)() for name in names}, file)
        status = 0
    except BaseException:  # SystemExit as well: the parent says what failed
        os.write(output, traceback.format_exc().encode())
    finally:
        os._exit(status)


def answer(root: str, module: str, names: list[str], imports: list[str]) -> tuple[int, str]:
    """Call functions of a module in a fork of this process.

    Args:
        root: The folder that the module is imported from.
        module: Its dotted name.
        names: The functions, which take no argument.
        imports: Libraries that it imports: they stay imported here.

    Returns:
        Status 0 and the functions' results as JSON; or another status, and what was written.
    """
    for name in imports:
        try:
            importlib.import_module(name)
        except Exception:  # the child meets it again, and says so
            continue
    gc.freeze()
    receiver, sender = os.pipe()
    with tempfile.TemporaryFile() as said, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*fork\(\)")  # JAX: nothing has run yet
        if not (child := os.fork()):
            work(root, module, names, said.fileno(), sender)
        os.close(sender)
        with os.fdopen(receiver, encoding="utf-8") as file:
            rows = file.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        error = said.read().decode(errors="replace")
    if not status and rows:
        return 0, rows
    if status == -signal.SIGALRM:
        return 1, f"{error}not done after {LIMIT} s"
    if status < 0:
        return 1, f"{error}killed by signal {-status}"
    return 1, error or "the process ended before the functions returned"


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what an import writes is no answer
    for request in sys.stdin:
        print(json.dumps(answer(*json.loads(request))), file=answers, flush=True)


if __name__ == "__main__":
    main()
