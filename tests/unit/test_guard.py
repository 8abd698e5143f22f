"""What of git a worker may not run: lines that are refused, lines that are let through, and how they are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trichrome.domain.guard import refusal
from trichrome.domain.shell import commands
from trichrome.domain.writes import writes

REFUSED = [
    "git stash",
    "git stash push -m wip",
    "git stash pop",
    "git stash apply stash@{0}",
    "git stash drop",
    "git stash clear",
    "git reset --hard",
    "git reset --hard HEAD~1",
    "git reset --har origin/main",
    "git reset -q --hard",
    "git reset --merge",
    "git clean -f",
    "git clean -fd",
    "git clean -xdf",
    "git clean -d --force",
    "git checkout -- .",
    "git checkout .",
    "git checkout HEAD -- .",
    "git checkout HEAD .",
    "git checkout -f",
    "git checkout main",
    "git checkout -",
    "git checkout -b other",
    "git checkout --detach",
    "git checkout origin/main --",
    "git switch main",
    "git switch -c other",
    "git switch --discard-changes main",
    "git restore .",
    "git restore --source=HEAD~2 .",
    "git restore --staged --worktree .",
    "git restore -SW :/",
    "git push -f",
    "git push --force origin main",
    "git push --force-with-lease",
    "git push --force-with-lease=main origin",
    "git push origin +main",
    "git push origin :main",
    "git push --delete origin main",
    "git push --mirror",
    "git worktree remove --force ../t3",
    "git worktree prune",
    "git worktree move a b",
    "git branch -D trichrome/t3",
    "git branch -M main",
    "git branch -f main HEAD",
    "git reflog expire --expire=now --all",
    "git gc --prune=now",
    "git prune",
    "git update-ref -d refs/heads/main",
    "git symbolic-ref HEAD refs/heads/main",
    "git filter-branch --tree-filter 'rm x' HEAD",
    # However it is written:
    "git  \t stash",
    "/usr/bin/git stash",
    "\\git stash",
    "'git' \"stash\"",
    'g"i"t st\\ash',
    "git -C ../other stash",
    "git -c user.name=x --no-pager stash",
    "git --git-dir=.git --work-tree . stash",
    "git \\\n  stash",
    "cd src && git stash",
    "git status; git stash",
    "git status\ngit stash",
    "true || git stash",
    "echo y | git stash",
    "git stash &",
    "(cd src; git stash)",
    "{ git stash; }",
    "echo $(git stash)",
    'echo "now $(git stash) it is"',
    "echo `git stash`",
    "x=${y:-$(git stash)}",
    "cat <(git stash)",
    "if git diff --quiet; then :; else git stash; fi",
    "for f in a b; do git stash; done",
    "while true; do git stash; done",
    "! git stash",
    "save() { git stash; }; save",
    "case $x in a) git stash ;; esac",
    "GIT_PAGER=cat git stash",
    "env -u A B=c git stash",
    "command git stash",
    "sudo -u me git stash",
    "timeout 5 git stash",
    "nohup nice -n 5 git stash",
    "echo a | xargs -n 1 git stash push",
    "sh -c 'git stash'",
    'bash -lc "cd x && git stash"',
    "sh -c 'bash -c \"git stash\"'",
    "eval git stash",
    "eval 'git stash'",
    "bash <<'E'\ngit stash\nE",
    "bash <<< 'git stash'",
    "cat <<E\n$(git stash)\nE",
    "cat <<'E' > x\nit's\nE\ngit stash",
    "echo 'a' # nothing\ngit stash",
    "git add a && git commit -m 'x' && git push --force",
]

LET_THROUGH = [
    "",
    "git",
    "git status",
    "git stash list",
    "git stash show -p",
    "git stash --help",
    "git add --all && git commit -m 'git stash is bad'",
    "git diff > /tmp/mine.diff",
    "git reset",
    "git reset HEAD~1",
    "git reset --soft HEAD~1",
    "git reset -- src/a.py",
    "git clean -n",
    "git clean -nfd",
    "git checkout -- src/a.py",
    "git checkout HEAD -- src/a.py",
    "git checkout HEAD~1 src/a.py",
    "git checkout known.py",
    "git checkout HEAD",
    "git restore src/a.py",
    "git restore --staged .",
    "git restore --source=HEAD -- src/a.py",
    "git push",
    "git push origin trichrome/t3",
    "git worktree list",
    "git branch",
    "git branch -a",
    "git branch -d merged",
    "git branch new",
    "git log --oneline -5 | head",
    "git show main:src/a.py",
    "git merge main",
    "git rebase main",
    "git gc",
    "git reflog",
    "git update-ref refs/heads/x HEAD",
    "git symbolic-ref HEAD",
    "git config --get user.name",
    "echo git stash",
    "echo 'git stash'",
    'echo "git reset --hard"',
    "grep -rn 'git stash' docs",
    "# git stash",
    "echo a # git stash",
    "cat <<'E'\ngit stash\n$(git stash)\nE",
    "cat <<E > notes.md\ngit stash\nE",
    "cat <<-E\n\tgit stash\n\tE",
    "python -c 'print(\"git stash\")'",
    "rg 'git push -f' && git status",
    "git commit -m \"$(cat <<'E'\nno git stash here\nE\n)\"",
    "[[ git > stash ]]",
    "stash",
    "gitk --all",
]


@pytest.mark.parametrize("line", REFUSED)
def test_command_that_takes_work_away_is_refused_with_the_way_on(line: str) -> None:
    said = refusal(line)

    assert said is not None
    assert said.startswith("This `git ")
    assert "Nothing of this command line was run." in said
    assert len(said) < 600


@pytest.mark.parametrize("line", LET_THROUGH)
def test_command_that_takes_nothing_away_is_let_through(line: str) -> None:
    said = refusal(line, is_path=lambda path: path == "known.py")

    assert said is None


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("echo x > a.txt", ["a.txt"]),
        ("echo x >> 'a b.txt' 2>&1", ["a b.txt"]),
        ("make &> log; make 2>err >|out", ["log", "err", "out"]),
        ("echo x >&2", []),
        ("sort < in", []),
        ("cat a | tee -a b c", ["b", "c"]),
        ("sed -i 's/a/b/' x y", ["x", "y"]),
        ("sed -i.bak -e 's/a/b/' x", ["x"]),
        ("sed -n 's/a/b/p' x", []),
        ("perl -pi -e 's/a/b/' x", ["x"]),
        ("cp a b", ["b"]),
        ("cp /tmp/a b/c .", ["./a", "./c"]),
        ("cp a b/ && cp .. && cp a .b", ["b/a", ".b"]),
        ("cp -r -t into a b", ["into"]),
        ("mv a b", ["a", "b"]),
        ("rm -rf build -- -odd", ["build", "-odd"]),
        ("mkdir -p -m 700 a/b", ["a/b"]),
        ("touch -d yesterday x", ["x"]),
        ("dd if=a of=b", ["b"]),
        ("truncate -s 0 x", ["x"]),
        ("ln -s /a b", ["b"]),
        ("cd src && rm a", ["src/a"]),
        ("(cd src && rm a); rm b", ["src/a", "b"]),
        ("cd $X && rm a /b", ["/b"]),
        ("git -C sub rm a", ["sub/a"]),
        ("git checkout -- a b", ["a", "b"]),
        ("git restore --staged a", []),
        ("git mv a b", ["a", "b"]),
        ("rm $X ${Y} $(ls)", []),
        ("touch {a,b}", []),
        ("sh -c 'cd x; touch y'", ["x/y"]),
        ("python build.py", []),
        ("[[ 2 > 1 ]] && ((2 > 1)) && echo $((2 > 1))", []),
    ],
)
def test_files_that_a_line_writes_are_found(line: str, written: list[str]) -> None:
    found = writes(line)

    assert [word.text for word in found] == written


def test_names_that_the_shell_fills_in_are_told_as_patterns() -> None:
    found = writes("rm src/*.pyc 'a*'")

    assert [tuple(word) for word in found] == [("src/*.pyc", "pattern"), ("a*", "plain")]


SHELL = st.lists(
    st.sampled_from(
        [*"'\"`$(){}[]<>&|;#\\\n\t -=*~!", "$(", "${", "<<E\n", "\nE\n", "<<<", "git", "stash", "sh", "-c", " ", "[[", "]]", "cd", "((", "eval"]
    ),
    max_size=80,
).map("".join)  # fmt: skip


@given(st.one_of(SHELL, st.text()))
def test_any_text_is_read_to_an_end(line: str) -> None:
    refusal(line)
    writes(line)


@pytest.mark.parametrize("opening", ["(", "$(", "${", '"$(', "`", "sh -c '", "<(", "((", "[[ ", "<<E\n", "{ ", "eval "])
def test_text_that_opens_what_it_never_closes_is_read_in_bounds(opening: str) -> None:
    found = commands(opening * 20_000)

    assert len(found) <= 20_000
