"""The one step of a merge that touches the user's files: a fast-forward, and what has to be so before it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from trichrome.errors import ConflictError, InvalidError
from trichrome.git import MERGING_SECONDS, refusal
from trichrome.supervisor.branches import Branches

_MERGING: Final = "refs/trichrome/merging"
_NAMED: Final = 20
"""Paths that a message names."""


def into(branches: Branches) -> str:
    """The branch that is checked out, if it can be merged into.

    Raises:
        InvalidError: none is.
        ConflictError: something was begun there, and not finished.
    """
    git = branches.git
    name = git.answer("symbolic-ref", "--quiet", "--short", "HEAD")
    if name is None:
        raise InvalidError(
            f"No branch is checked out in {git.folder}, so nothing was merged. Check one out: `git switch main`."
        )
    if (what := git.unfinished()) is not None:
        raise ConflictError(
            f"{git.folder} is in the middle of a {what}, so nothing was merged. Finish it, or give it up: `git {what} "
            f"{'reset' if what == 'bisect' else '--abort'}`.",
            code="files_conflict",
        )
    _check_cut_short(branches)
    return name


def check_free(branches: Branches, commit: str) -> None:
    """Refuse a commit that changes files which the user is changing, or adds some where there is one.

    Raises:
        ConflictError: it does.
    """
    git, head = branches.git, branches.head()
    top = Path(git.run("rev-parse", "--show-toplevel").rstrip("\n"))
    changing = {*branches.between(head, commit)} & {*git.untidy()}
    added = branches.between(head, commit, only_new=True)
    there = {found for path in added if (found := _there(top, path)) is not None}
    ours = {path for path in there if git.answer("cat-file", "-e", f"HEAD:{path}") is not None}
    if in_the_way := sorted(changing | (there - ours)):
        raise ConflictError(
            f"These files have changes of yours that are not committed, and the merge changes them too: "
            f"{_few(in_the_way)}. Nothing was merged. Commit them, or move them away, then merge again.",
            code="files_conflict",
        )


def _there(top: Path, path: str) -> str | None:
    """What is on the disk where a file is to come: a file of that name, or one in place of a folder above it."""
    for each in (*reversed(PurePosixPath(path).parents), PurePosixPath(path)):
        place = top / each
        if place.is_symlink() or place.is_file():
            return str(each)
    return None


def forward(branches: Branches, commit: str) -> None:
    """Fast-forward what is checked out; `check_free` agreed.

    Raises:
        ConflictError: git was killed in the midst of it; it says how to go back.
        GitError: git refuses; nothing was changed.
    """
    git = branches.git.within(MERGING_SECONDS)
    asked = ("merge", "--quiet", "--ff-only", "--no-overwrite-ignore", commit)
    git.run("update-ref", _MERGING, commit)
    code, _, said = git.ended(*asked)
    if code < 0:
        _check_cut_short(branches)
    git.run("update-ref", "-d", _MERGING, commit)
    if code != 0:
        raise refusal(asked, said)


def _check_cut_short(branches: Branches) -> None:
    """Refuse to go on where an earlier fast-forward was killed while it wrote files."""
    git, head = branches.git, branches.head()
    going_to = git.answer("rev-parse", "--verify", "--quiet", _MERGING)
    if going_to is None or going_to == head or not branches.is_within(head, going_to):
        return
    half = sorted({*branches.between(head, going_to)} & {*git.untidy()})
    lock = git.own / "index.lock"
    if not half and not lock.exists():
        return
    old = [path for path in half if git.answer("cat-file", "-e", f"HEAD:{path}") is not None]
    commands = [
        f"cd {shlex.quote(git.run('rev-parse', '--show-toplevel').strip())}",
        f"rm -f {shlex.quote(str(lock))}",
        *([f"git reset --quiet -- {shlex.join(half)}"] if half else []),
        *([f"git checkout -- {shlex.join(old)}"] if old else []),
        *([f"rm -f {shlex.join(new)}"] if (new := [path for path in half if path not in old]) else []),
    ]
    raise ConflictError(
        "An earlier merge was killed while git wrote files, so nothing was merged. No work is lost: it is all in its "
        "branches. Files may be half written. If you did not change them yourself since, this puts them back: "
        f"`{' && '.join(commands)}`. Then merge again.",
        code="files_conflict",
    )


def _few(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more
