"""What goes wrong between a question and a program that has passed.

DicemError
|-- EndpointError          the model endpoint cannot be used, or gave no reply that can be read
|   `-- BudgetExceeded     the next request would cost more than a question may
`-- GenerationFailed       no reply held a program that passes; carries the attempts
"""

from __future__ import annotations

from collections.abc import Sequence

from dicem_shared.errors import DicemError

from .types import Attempt


class EndpointError(DicemError):
    """The model endpoint cannot be used, or gave no reply that can be read."""


class BudgetExceeded(EndpointError):
    """The next request would take more tokens or dollars than a question may."""


class GenerationFailed(DicemError):
    """No program that passes its checks; `attempts` are all replies with what was found in them."""

    def __init__(self, what: str, *, question: str, attempts: Sequence[Attempt], got: str = "", todo: str = "") -> None:
        self.question, self.attempts = question, tuple(attempts)
        super().__init__(what, got=got, todo=todo)
