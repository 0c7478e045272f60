"""The error tree.

    DicemError
    |-- ConfigError            a config file that cannot be used
    |-- RecordingError         a recording that cannot be read
    |-- ImageError             bytes that are no image we accept
    |-- ModelError             a model file that cannot be used
    |-- ProgramError           a program that cannot be run
    |   |-- ProgramSyntaxError     it does not parse, or uses what the interpreter lacks
    |   |-- CompileError           the compiler refuses it; carries the diagnostics
    |   |-- ProgramLimitError      it went over a limit (time, memory, calls, output)
    |   `-- ProgramFailed          it raised
    |-- FunctionError          a call that failed
    |   |-- UnknownFunction        no function of that name
    |   |-- InvalidCall            parameters do not fit the schema
    |   |-- CallTimeout            no answer before the deadline
    |   |-- SiteUnavailable        the site where it must run is away
    |   |-- Overloaded             refused for now; carries `retry_after_s`
    |   `-- OutOfDeviceMemory      the device is too small for the batch, or for the network
    |-- MessageError           bytes on the wire that are no message of ours
    |   |-- MessageTooLarge        over the size limit
    |   `-- BlobMissing            a handle names pixels that the receiver lacks
    |-- BrokerError            no broker, or it refused us
    `-- MissingExtra           an optional part of dicem is not installed

Every message says what was expected, what was got and what to do.  The command line prints `str(error)` and
nothing else unless `--debug` is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar


class DicemError(Exception):
    """The root of everything dicem raises on purpose.

    `expected`, `got` and `todo` are kept as attributes so that a machine can read them too, and `reason` is a stable
    word for what happened, the same in a reply over MQTT and over HTTP.
    """

    reason: ClassVar[str] = "failed"

    def __init__(self, what: str, *, expected: str = "", got: str = "", todo: str = "") -> None:
        self.what, self.expected, self.got, self.todo = what, expected, got, todo
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.got:
            parts.append(f"got {self.got}")
        text = ": ".join(parts[:1]) + ("" if len(parts) == 1 else " (" + ", ".join(parts[1:]) + ")")
        return f"{text}. {self.todo}" if self.todo else text

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross processes whole, with whatever a subclass's `__init__` takes and keeps."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[DicemError], args: tuple[Any, ...], kept: dict[str, Any]) -> DicemError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(kept)
    return error


class ConfigError(DicemError):
    """A config file that cannot be used."""


class RecordingError(DicemError):
    """A recording that cannot be read."""


class ImageError(DicemError):
    """Bytes that are no image we accept."""

    reason = "bad-image"


class ModelError(DicemError):
    """A model file that cannot be used."""

    reason = "bad-model"


class ProgramError(DicemError):
    """A program that cannot be run."""


class ProgramSyntaxError(ProgramError):
    """It does not parse, or it uses what the interpreter lacks."""


class CompileError(ProgramError):
    """The compiler refuses it: `diagnostics` says all (the compiler's `Diagnostic`s), `str` the first."""

    def __init__(self, diagnostics: Iterable[Any], *, where: str) -> None:
        self.diagnostics, self.where = tuple(diagnostics), where
        super().__init__(self.diagnostics[0].text(where) if self.diagnostics else f"{where}: refused")


class ProgramLimitError(ProgramError):
    """It went over a limit; `limit` names which one."""

    def __init__(self, what: str, *, limit: str, expected: str = "", got: str = "", todo: str = "") -> None:
        self.limit = limit
        super().__init__(what, expected=expected, got=got, todo=todo)


class ProgramFailed(ProgramError):
    """It raised; `exc_type` is the Python exception's name, `line` where it happened."""

    def __init__(self, what: str, *, exc_type: str, line: int | None = None, todo: str = "") -> None:
        self.exc_type, self.line = exc_type, line
        super().__init__(what, todo=todo)


class FunctionError(DicemError):
    """A call that failed at the function's side."""

    reason = "function-failed"


class UnknownFunction(FunctionError):
    """No function of that name; the nearest names stand in `todo`."""

    reason = "unknown-function"


class InvalidCall(FunctionError):
    """The parameters do not fit the function's schema."""

    reason = "invalid-call"


class CallTimeout(FunctionError):
    """No answer came before the deadline."""

    reason = "too-late"


class SiteUnavailable(FunctionError):
    """The site where the call must run is away."""

    reason = "site-away"


class Overloaded(FunctionError):
    """Refused for now; try again after `retry_after_s` seconds."""

    reason = "overloaded"

    def __init__(self, what: str, *, retry_after_s: float, expected: str = "", got: str = "", todo: str = "") -> None:
        self.retry_after_s = retry_after_s
        super().__init__(what, expected=expected, got=got, todo=todo)


class OutOfDeviceMemory(FunctionError):
    """The device is too small for the batch, or for the network alone."""

    reason = "out-of-device-memory"


class MessageError(DicemError):
    """Bytes on the wire that are no message of ours."""

    reason = "bad-message"


class MessageTooLarge(MessageError):
    """Over the size limit."""

    reason = "too-large"


class BlobMissing(MessageError):
    """A handle names pixels that the receiver does not have; `blob` is its id."""

    reason = "blob-missing"

    def __init__(self, blob: str) -> None:
        self.blob = blob
        super().__init__(f"blob {blob[:12]} is not here", todo="Send it again.")


class BrokerError(DicemError):
    """No broker, or it refused us."""


class MissingExtra(DicemError):
    """An optional part of dicem is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} is not installed", todo=f'Run: pip install "dicem[{extra}]"')
