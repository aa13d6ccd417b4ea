"""The installed command `synthworth`, and what all commands share: errors in one line, exit codes."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Sequence

from synthworth.errors import CANNOT_WRITE, UserError, disk_message, unknown_name

COMMANDS = {
    "run": ("benchmarks.run", "the main job: what a generator's images are worth"),
    "list": ("benchmarks.list", "generators, datasets, classifiers, metrics"),
    "check": ("benchmarks.check", "prove that a generator keeps the contract"),
    "show": ("benchmarks.show", "one record, in full"),
    "speed": ("benchmarks.speed", "speed ratios against peers, in one run"),
    "leaderboard": ("leaderboard.build", "tables from records"),
}
OK, FAILED, WRONG = 0, 1, 2


def guarded(command: Callable[[Sequence[str]], int], args: Sequence[str] | None = None) -> int:
    """Run a command; a user's error is one line on stderr and exit code 2.

    `KeyboardInterrupt` ends with 130, as shells expect; everything else is a fault of ours and keeps its traceback.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        return command(sys.argv[1:] if args is None else args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return OK
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        print(f"error: {disk_message(error)}", file=sys.stderr)
        return WRONG


def dispatch(args: Sequence[str]) -> int:
    """`synthworth COMMAND ...`: import the command's module and call its `main`."""
    if not args or args[0] in ("-h", "--help"):
        print("usage: synthworth COMMAND [options]\n")
        for name, (_, what) in COMMANDS.items():
            print(f"  {name:<12} {what}")
        return OK if args else WRONG
    if args[0] not in COMMANDS:
        raise unknown_name("command", args[0], COMMANDS)
    module = importlib.import_module(COMMANDS[args[0]][0])
    code: int = module.main(args[1:])
    return code


def main() -> int:
    """Entry point of the console script."""
    return guarded(dispatch)
