"""What all commands share: errors in one line, exit codes."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType

from synthworth.errors import NOT_OURS, UserError, disk_message
from synthworth.interrupts import end, raised
from synthworth.printable import one_line, printable

OK, FAILED, WRONG = 0, 1, 2


def guarded(command: Callable[[Sequence[str]], int], args: Sequence[str] | None = None) -> int:
    """Run a command; a user's error is one line on stderr and exit code 2.

    An interrupt ends with 130, as shells expect (`synthworth.interrupts`); everything else is a fault of ours and keeps
    its traceback.
    """
    warnings = logging.StreamHandler(sys.stderr)
    warnings.setFormatter(_OneLine("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[warnings])
    sys.excepthook = _print_fault
    try:
        with raised():
            return command(sys.argv[1:] if args is None else args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return end()
    except BrokenPipeError:
        sys.stderr.close()
        return OK
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise
        print(f"error: {disk_message(error)}", file=sys.stderr)
        return WRONG


def _print_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback whose texts steer no terminal."""
    print(printable("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


class _OneLine(logging.Formatter):
    """Warnings on one line each, whatever names of files are in them."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line."""
        return one_line(super().formatMessage(record))
