"""A reader's Python: sessions are typed at a prompt, cells are run. Started by test_copy.py.

Reads {"absent": [modules], "blocks": [{"kind", "text"}]}, writes what each block prints.
"""

import code
import contextlib
import io
import json
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


def main():
    """Run all blocks in one namespace, examples of docstrings each in its own."""
    given = json.load(sys.stdin)
    sys.addaudithook(guard)
    sys.meta_path[:] = [Without(finder, given["absent"]) for finder in sys.meta_path]
    page = Prompt({"__name__": "__main__"})
    printed = [
        run(block, Prompt({"__name__": "__main__"}) if block["kind"] == "example" else page)
        for block in given["blocks"]
    ]
    json.dump(printed, sys.__stdout__)


if __name__ == "__main__":
    main()
