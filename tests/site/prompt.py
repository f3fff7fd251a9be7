"""A reader's Python: sessions are typed at a prompt, cells are run. Started by test_copy.py.

The first line it reads holds the modules that a reader has not installed. Each further line is
{"folder", "blocks": [{"kind", "text"}]}: a fork of this process, which has imported what takes long
and run nothing, runs the blocks in the folder, and writes one line with what each block prints.
"""

import code
import contextlib
import importlib
import io
import json
import os
import sys
import traceback


def guard(event, arguments):
    """Block the network; an audit hook cannot be removed."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        raise RuntimeError(f"the network is blocked: {event}")


class Without:
    """A finder that finds no module that the reader has not installed."""

    def __init__(self, finder, names):
        self.finder = finder
        self.names = frozenset(names)

    def find_spec(self, name, path=None, target=None):
        """Find nothing for a hidden name, as if it were not installed."""
        if name.partition(".")[0] in self.names:
            return None
        return self.finder.find_spec(name, path, target)


def complain(error):
    """Print an exception's last line without its module."""
    message = traceback.format_exception_only(error)[-1]
    print(message.removeprefix(f"{type(error).__module__}."), end="")


class Prompt(code.InteractiveConsole):
    """An interactive prompt that shows exceptions by their last line."""

    def showtraceback(self):
        """Show a run-time error."""
        complain(sys.exc_info()[1])

    def showsyntaxerror(self, *_arguments, **_keywords):
        """Show a syntax error."""
        complain(sys.exc_info()[1])


def run(block, prompt):
    """Run one block and return what it prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        if block["kind"] == "cell":
            try:
                exec(compile(block["text"], "<cell>", "exec"), prompt.locals)
            except Exception as error:
                complain(error)
        else:
            for line in [*block["text"].split("\n"), ""]:
                waits = prompt.push(line)
            if waits:
                print("the prompt waits for more")
                prompt.resetbuffer()
    return output.getvalue()


def answer(job):
    """Run all blocks in one namespace, examples of docstrings each in its own."""
    os.chdir(job["folder"])
    page = Prompt({"__name__": "__main__"})
    printed = [
        run(block, Prompt({"__name__": "__main__"}) if block["kind"] == "example" else page)
        for block in job["blocks"]
    ]
    print(json.dumps(printed), file=sys.__stdout__, flush=True)


def main():
    """Fork for each job; a fork that fails answers null."""
    absent = json.loads(sys.stdin.readline())
    sys.addaudithook(guard)
    sys.meta_path[:] = [Without(finder, absent) for finder in sys.meta_path]
    for name in ("torch", "sympy", "sklearn"):
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            answer(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print("null", flush=True)


if __name__ == "__main__":
    main()
