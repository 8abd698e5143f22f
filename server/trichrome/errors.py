"""Every deliberate error, each with the stable code that callers may rely on.

A message says what was wrong and what to do next; the facts behind it are attributes. An error that is not one of
these is a defect: it is logged, and callers see only that something went wrong inside.
"""

from __future__ import annotations

from typing import Literal, TypedDict

Code = Literal[
    "not_found",
    "invalid",
    "unknown_argument",
    "too_large",
    "cycle",
    "unknown_role",
    "key_reused",
    "not_owner",
    "stale_attempt",
    "already_reported",
    "already_claimed",
    "not_permitted",
    "files_conflict",
    "version_conflict",
    "worker_in_use",
    "store_too_new",
    "store_unavailable",
]


class ErrorFacts(TypedDict, total=False):
    """An error as every surface shows it."""

    code: str
    message: str
    field: str
    retryable: bool


class TrichromeError(Exception):
    """A refusal with a stable code.

    Attributes:
        code: one of `Code`; never changes its meaning between versions.
        message: what was wrong and what to do next, in words for a model or a person.
        field: the argument at fault, where one is.
        retryable: whether the same call may succeed later, unchanged.
    """

    code: Code = "invalid"
    retryable: bool = False

    def __init__(self, message: str, *, code: Code | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        if code is not None:
            self.code = code

    def facts(self) -> ErrorFacts:
        """The error as one JSON object: code, message, retryable, and the field where one is at fault."""
        facts: ErrorFacts = {"code": self.code, "message": self.message, "retryable": self.retryable}
        if self.field is not None:
            facts["field"] = self.field
        return facts


class NotFoundError(TrichromeError):
    """No such task, run, attempt or note."""

    code: Code = "not_found"


class InvalidError(TrichromeError):
    """An argument that cannot be accepted; `code` may be narrower: too_large, cycle, unknown_role, ..."""

    code: Code = "invalid"


class ConflictError(TrichromeError):
    """The request is well formed but the state has moved on, or belongs to somebody else."""

    code: Code = "already_claimed"


class StaleAttemptError(ConflictError):
    """A newer attempt began, or the task is over: the caller should stop working on it."""

    code: Code = "stale_attempt"


class NotPermittedError(TrichromeError):
    """The caller may not do this; `code` is `not_permitted` or `not_owner`."""

    code: Code = "not_permitted"


class StoreUnavailableError(TrichromeError):
    """The log cannot be read or written right now; nothing that was acknowledged is lost."""

    code: Code = "store_unavailable"
    retryable: bool = True


class StoreDamagedError(StoreUnavailableError):
    """The log's file is damaged; `trichrome repair --log` makes a new one of what is whole in it."""


class StoreTooNewError(TrichromeError):
    """The log was written by a newer program; this one must be restarted or upgraded."""

    code: Code = "store_too_new"
