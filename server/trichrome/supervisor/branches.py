"""The branches of tasks: where each began, whether anything was done on it, and merging without touching a file.

The work of task `t17` is on the branch `trichrome/t17`. Where it began is kept in the ref
`refs/trichrome/base/<log>/t17`, which also keeps git from forgetting that commit. The two are made and dropped in one
transaction of git. `<log>` tells apart logs that number their tasks alike: those of two projects in one repository, or
of one that was begun anew. A branch without a base of this log is not this log's.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from trichrome.domain import ids
from trichrome.domain.ids import TaskId
from trichrome.errors import StoreUnavailableError
from trichrome.git import Git

PREFIX: Final = "trichrome/"
_HEADS: Final = "refs/heads/trichrome/"
_BASES: Final = "refs/trichrome/base/"
_ID: Final = "git.id"
_OLD: Final = "trichrome-old/"
"""What branches of another log are called once this log needs their names."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A task's branch.

    Attributes:
        tip: its last commit.
        base: the commit that it began at.
        committed_at: when the last commit was made, in seconds since 1970.
    """

    task: TaskId
    tip: str
    base: str
    committed_at: float

    @property
    def name(self) -> str:
        """As git calls it."""
        return name(self.task)

    @property
    def has_work(self) -> bool:
        """Whether anything was committed to it."""
        return self.tip != self.base


def name(task: TaskId) -> str:
    """The name of a task's branch."""
    return f"{PREFIX}{task}"


@dataclass(frozen=True, slots=True)
class Union:
    """Two commits brought together.

    Attributes:
        commit: what holds both; None where they conflict, or git refuses.
        conflicts: the paths that both changed, each in its own way.
        refusal: git's words, where it cannot merge in its store at all: it is older than 2.38, or the two have
            nothing in common.
    """

    commit: str | None
    conflicts: tuple[str, ...] = ()
    refusal: str | None = None


@dataclass(slots=True)
class Branches:
    """The branches of tasks in one repository, as they are at each call.

    Attributes:
        data: the `.trichrome` folder with the log of these tasks.
    """

    git: Git
    data: Path
    _log: str | None = field(default=None, init=False)

    def _known(self) -> str | None:
        """What tells this log from others, which goes when the `.trichrome` folder goes; None before its first branch.

        Raises:
            StoreUnavailableError: it cannot be read.
        """
        file = self.data / _ID
        try:
            if self._log is None and file.exists():
                self._log = file.read_text(encoding="ascii")
        except OSError as error:
            raise StoreUnavailableError(
                f"{file} cannot be read ({error.strerror}), so nothing was changed. Mend that, then try again."
            ) from error
        return self._log

    def _identify(self) -> None:
        """Tell this log from others, from now on."""
        made = self.data / f".{_ID}.{uuid4().hex}"
        made.write_text(uuid4().hex[:12], encoding="ascii")
        with suppress(FileExistsError):
            (self.data / _ID).hardlink_to(made)
        made.unlink()

    @property
    def _bases(self) -> str:
        return f"{_BASES}{self._known()}/"

    def all(self) -> dict[TaskId, Branch]:
        """Every one, oldest task first."""
        if self._known() is None:
            return {}
        form = "--format=%(refname) %(objectname) %(committerdate:unix)"
        lines = self.git.run("for-each-ref", form, _HEADS, self._bases).splitlines()
        refs = {ref: (commit, float(at)) for ref, commit, at in (line.split(" ") for line in lines)}
        began = {ref.removeprefix(self._bases): base for ref, (base, _) in refs.items() if ref.startswith(self._bases)}
        ours = sorted((TaskId(task) for task in began if _HEADS + task in refs), key=ids.number)
        return {task: Branch(task, refs[_HEADS + task][0], began[task], refs[_HEADS + task][1]) for task in ours}

    def get(self, task: TaskId) -> Branch | None:
        """One task's, where it has one."""
        return self.all().get(task)

    def head(self) -> str:
        """The commit that is checked out."""
        return self.git.run("rev-parse", "--verify", "HEAD^{commit}").strip()

    def is_within(self, commit: str, other: str) -> bool:
        """Whether a commit is part of the history of another."""
        return self.git.agrees("merge-base", "--is-ancestor", commit, other)

    def is_spent(self, branch: Branch) -> bool:
        """Whether a branch can go: nothing was done on it, or all of it is in what is checked out."""
        return not branch.has_work or self.is_within(branch.tip, "HEAD")

    def spent(self) -> dict[TaskId, Branch]:
        """Every one that can go."""
        branches = self.all()
        merged = set(self.git.run("for-each-ref", "--format=%(refname)", "--merged=HEAD", _HEADS).splitlines())
        return {task: each for task, each in branches.items() if not each.has_work or _HEADS + task in merged}

    def changed(self, branch: Branch) -> list[str]:
        """The paths that a branch changed since it began."""
        return self.between(branch.base, branch.tip)

    def between(self, one: str, other: str, *, only_new: bool = False) -> list[str]:
        """The paths in which two commits differ, or only those that the other one adds."""
        which = ("--diff-filter=A",) if only_new else ()
        return self.git.names("diff", "--name-only", "--no-renames", *which, "-z", one, other)

    def ahead(self, branch: Branch) -> int:
        """How many commits of a branch are not in what is checked out."""
        return int(self.git.run("rev-list", "--count", f"HEAD..{branch.tip}"))

    def begin(self, task: TaskId, commit: str) -> str | None:
        """Make a task's branch, or begin it anew, at a commit; answers what a branch of another log is called now.

        Raises:
            GitError: git cannot; nothing was changed.
        """
        if self._known() is None:
            self._identify()
        there = self.git.answer("rev-parse", "--verify", "--quiet", _HEADS + task)
        old = f"{_OLD}{task}-{there[:12]}" if there is not None and self.get(task) is None else None
        aside = f"update refs/heads/{old} {there}\n" if old is not None else ""
        changes = f"update {_HEADS}{task} {commit}\nupdate {self._bases}{task} {commit}\n"
        self.git.run("update-ref", "--create-reflog", "--stdin", told=aside + changes)
        return old

    def drop(self, branch: Branch) -> None:
        """Delete a branch that is where it was last seen.

        Raises:
            GitError: it has moved on, or git cannot; nothing was changed.
        """
        changes = f"delete {_HEADS}{branch.task} {branch.tip}\ndelete {self._bases}{branch.task}\n"
        self.git.run("update-ref", "--stdin", told=changes)

    def forget_bases(self) -> None:
        """Delete what says where branches began that are no more."""
        if self._known() is None:
            return
        known = self.git.run("for-each-ref", "--format=%(refname)", self._bases).splitlines()
        gone = {ref.removeprefix(self._bases) for ref in known} - self.all().keys()
        self.git.run("update-ref", "--stdin", told="".join(f"delete {self._bases}{task}\n" for task in sorted(gone)))

    def union(self, ours: str, theirs: str, message: str) -> Union:
        """Merge two commits in git's own store; no branch, no index and no file is touched.

        Raises:
            GitError: the commit cannot be written.
        """
        asked = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours, theirs)
        code, out, said = self.git.ended(*asked)
        tree, *conflicts = out.split("\0")
        if code not in {0, 1} or not tree:
            return Union(None, refusal=said)
        if code == 1:
            return Union(None, tuple(dict.fromkeys(filter(None, conflicts))))
        commit = ("commit-tree", tree, "-p", ours, "-p", theirs, "-m", message)
        return Union(self.git.run(*self.git.as_somebody(), *commit).strip())
