"""Which commands of git a worker may not run, why, and what to do instead; pure.

Workers share one repository, and a worktree shares its stashes, branches and objects with all others. What is refused
takes work away that is kept nowhere else, or changes what others, or the merging of this work, rest on. This is for a
model that means well and reaches for the habit of a lone developer. It is no sandbox: whoever wants to get around it
can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from trichrome.domain.git_calls import git_call
from trichrome.domain.shell import commands
from trichrome.domain.shell_words import Given, given

IsPath = Callable[[str], bool]

_COMMIT: Final = "commit to your own branch (`git add --all && git commit -m 'work in progress'`)"
_STASH: Final = (
    "all worktrees of this repository share one stash, so another worker may take or drop what you put there",
    f"To set work aside, {_COMMIT}; to see it as a patch, `git diff`.",
)
_DISCARDS: Final = (
    "it throws away all that is not committed, an earlier attempt's work too, and nothing brings that back",
    "For one file that you changed yourself: `git restore --source=HEAD -- PATH`. To keep a state first, "
    + _COMMIT
    + ".",
)
_CLEAN: Final = (
    "it deletes files that are kept nowhere else, perhaps another worker's",
    "`git clean -n` lists them; delete by name, with `rm`, those that you made.",
)
_BRANCH: Final = (
    "your work is collected from the branch that is checked out here, and others may work in this folder",
    (
        "To look at another branch: `git show BRANCH:PATH` or `git diff BRANCH`. To take a file: "
        "`git restore -- PATH`, or `git restore --source=BRANCH -- PATH`."
    ),
)
_PUBLISHED: Final = (
    "it takes away from others what they build on, and nothing here brings it back",
    "Commit to your branch and report: your lead merges and publishes. If your task says to push, push without force.",
)
_WORKTREE: Final = (
    "other workers work in these folders, and what they have not committed would go with them",
    "Yours is put away when your attempt is over; leave the others alone.",
)
_KEPT: Final = (
    "it deletes or renames what other workers, or the merging of your work, rest on",
    "Leave old branches and objects as they are, and say in your report what should be tidied up.",
)

_STASH_LOOKS: Final = frozenset({"create", "list", "show"})
_EVERYTHING: Final = frozenset({".", "./", "..", "../", "*", ":", ":/", ":/.", ":(top)"})
"""Paths that mean the whole folder, or more."""

Why = tuple[str, str]
"""Why a command is refused, and what to do instead."""


def refusal(line: str, *, is_path: IsPath = lambda _: False) -> str | None:
    """What a worker is told instead of having a command line run; None where it may be run.

    Args:
        line: the command line.
        is_path: whether a word names a file here: `git checkout X` is about a branch otherwise.
    """
    for command in commands(line):
        call = git_call(command)
        rule = _RULES.get(call.subcommand) if call is not None else None
        if call is None or rule is None:
            continue
        told = given(call.arguments, _VALUED.get(call.subcommand, ""))
        why = None if told.flags & {"-h", "--help"} else rule(told, is_path)
        if why is not None:
            return _told(call.subcommand, why)
    return None


def _told(subcommand: str, why: Why) -> str:
    reason, instead = why
    return f"This `git {subcommand}` is not for workers: {reason}. Nothing of this command line was run. {instead}"


def _first(told: Given) -> str:
    return told.operands[0].text if told.operands else ""


def _is_everything(told: Given) -> bool:
    return any(word.text in _EVERYTHING for word in told.operands)


def _stash(told: Given, _: IsPath) -> Why | None:
    return None if _first(told) in _STASH_LOOKS else _STASH


def _reset(told: Given, _: IsPath) -> Why | None:
    return _DISCARDS if told.has("--hard", "--merge") else None


def _clean(told: Given, _: IsPath) -> Why | None:
    return _CLEAN if told.has("-f", "--force") and not told.has("-n", "--dry-run") else None


def _restore(told: Given, _: IsPath) -> Why | None:
    is_index_alone = told.has("-S", "--staged") and not told.has("-W", "--worktree")
    return _DISCARDS if _is_everything(told) and not is_index_alone else None


def _checkout(told: Given, is_path: IsPath) -> Why | None:
    if told.has("-f", "--force") or _is_everything(told):
        return _DISCARDS
    if told.has("-b", "-B", "-d", "-t", "--detach", "--orphan", "--track"):
        return _BRANCH
    named = [word.text for word in told.operands]
    if told.paths or len(named) != 1 or named[0] in {"HEAD", "@"} or is_path(named[0]):
        return None
    return _BRANCH


def _switch(told: Given, _: IsPath) -> Why | None:
    return _DISCARDS if told.has("-f", "--force", "--discard-changes") else _BRANCH


def _symbolic_ref(told: Given, _: IsPath) -> Why | None:
    return _BRANCH if len(told.operands) > 1 or told.has("-d", "--delete") else None


def _push(told: Given, _: IsPath) -> Why | None:
    is_forced = told.has("-f", "-d", "--force", "--force-with-lease", "--delete", "--mirror", "--prune")
    return _PUBLISHED if is_forced or any(word.text.startswith(("+", ":")) for word in told.operands) else None


def _worktree(told: Given, _: IsPath) -> Why | None:
    return _WORKTREE if _first(told) in {"move", "prune", "remove"} else None


def _branch(told: Given, _: IsPath) -> Why | None:
    return _KEPT if told.has("-D", "-M", "-m", "-f", "--force", "--move") else None


def _reflog(told: Given, _: IsPath) -> Why | None:
    return _KEPT if _first(told) in {"delete", "drop", "expire"} else None


def _gc(told: Given, _: IsPath) -> Why | None:
    return _KEPT if told.has("--prune") else None


def _update_ref(told: Given, _: IsPath) -> Why | None:
    return _KEPT if told.has("-d", "--stdin") else None


def _always(_told: Given, _: IsPath) -> Why:
    return _KEPT


_RULES: Final[Mapping[str, Callable[[Given, IsPath], Why | None]]] = {
    "branch": _branch,
    "checkout": _checkout,
    "clean": _clean,
    "filter-branch": _always,
    "filter-repo": _always,
    "gc": _gc,
    "prune": _always,
    "push": _push,
    "reflog": _reflog,
    "reset": _reset,
    "restore": _restore,
    "stash": _stash,
    "switch": _switch,
    "symbolic-ref": _symbolic_ref,
    "update-ref": _update_ref,
    "worktree": _worktree,
}
_VALUED: Final[Mapping[str, str]] = {
    "checkout": "conflict",
    "clean": "e exclude",
    "push": "o push-option repo receive-pack exec",
    "restore": "s source conflict",
    "symbolic-ref": "m",
    "update-ref": "m",
}
"""Options that take a value, by subcommand, where a value could be taken for something else."""
