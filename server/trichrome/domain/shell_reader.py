"""Reads the text of a command line: quotes, substitutions, here-documents, brackets; pure.

Guarantee: any text is read to an end, each character a bounded number of times, and nothing raises. What stands deeper
in itself than anybody writes it is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from trichrome.domain.shell_words import Word, after_options, moved

DEEPEST: Final = 12
"""How deep one command may stand inside of another."""

_BREAKS: Final = frozenset(" \t\r\n;&|()<>")
_ASSIGNMENT: Final = re.compile(r"\w+\+?=")
_RESERVED: Final = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "coproc"})
_REDIRECTION: Final = re.compile(r"<<-|<<<|<<|<>|<&|<|&>>|&>|>>|>\||>&|>")
_DESCRIPTOR: Final = re.compile(r"\d*-?")
_VARIABLE: Final = re.compile(r"\w+|[@*#?$!-]")
_BACKTICKS: Final = re.compile(r"`((?:[^`\\]|\\.)*)(?:`|\Z)", re.DOTALL)


class Raw:
    """A simple command as it is being read.

    Attributes:
        script: the here-document that it is fed.
        is_test: whether this is inside of `[[ ... ]]`, where `>` and `(` mean something else.
    """

    def __init__(self) -> None:
        self.words: list[Word] = []
        self.outputs: list[Word] = []
        self.script = ""
        self.folder: str | None = ""
        self.is_test = False


class _Document(NamedTuple):
    """A here-document that begins with the next line."""

    raw: Raw
    end: str
    is_indented: bool
    is_quoted: bool


class Reader:
    """Reads one text from its beginning to its end, once; `found` is what it found."""

    def __init__(self, text: str, folder: str | None, depth: int) -> None:
        self.found: list[Raw] = []
        self._text = text
        self._at = 0
        self._depth = depth
        self._folder = folder
        self._documents: list[_Document] = []

    def script(self) -> list[Raw]:
        """Read all of it as commands."""
        while self._at < len(self._text):
            self._list()
            self._at += 1  # a closing bracket too many ends nothing
        return self.found

    def document(self) -> list[Raw]:
        """Read all of it as text that commands are put into."""
        while self._at < len(self._text):
            self._quoted()
        return self.found

    # --- commands -----------------------------------------------------------------------------------------------------

    def _list(self) -> None:
        """Read commands up to a closing bracket, which is left to whoever opened it."""
        raw = Raw()
        while (char := self._peek()) not in {"", ")"}:
            if raw.is_test and char in _BREAKS:
                self._at += 1
            elif char in "\n;&|" and not self._text.startswith("&>", self._at):
                raw = self._ended(raw)
                self._at += 1
                if char == "\n":
                    self._read_documents()
            elif char in " \t\r":
                self._at += 1
            elif char == "#":
                self._at = self._line_end()
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
            elif char in "<>&":
                self._redirection(raw)
            elif char == "(":
                raw = self._ended(raw)
                self._group()
            else:
                self._add_word(raw)
        self._ended(raw)

    def _group(self) -> None:
        """A subshell, which leaves the folder as it was; `((...))` is a sum."""
        if self._text.startswith("((", self._at):
            self._sum()
            return
        folder = self._folder
        self._at += 1
        self._nested()
        self._folder = folder

    def _nested(self) -> None:
        """The commands up to the bracket that closes, and that bracket; what is nested too deep is not read."""
        if self._depth >= DEEPEST:
            self._at = len(self._text)
            return
        folder = self._folder
        self._depth += 1
        self._list()
        self._depth -= 1
        self._at += 1
        self._folder = folder

    def _sum(self) -> None:
        """Pass over arithmetic: in there `>` is no redirection."""
        level = 0
        while char := self._peek():
            level += {"(": 1, ")": -1}.get(char, 0)
            self._at += 1
            if not level:
                return

    def _add_word(self, raw: Raw) -> None:
        word = self._word()
        if word.text in {"[[", "]]"}:
            raw.is_test = word.text == "[[" and not bare(raw.words)
        if not (self._peek() in {"<", ">"} and word.text.isdigit()):  # else it is the number of a redirection
            raw.words.append(word)

    def _ended(self, raw: Raw) -> Raw:
        raw.folder = self._folder
        if raw.words or raw.outputs:
            self.found.append(raw)
        words = bare(raw.words)
        if words and words[0].text in {"cd", "pushd"}:
            self._folder = moved(self._folder, next(iter(after_options(words[1:])), None))
        return Raw()

    # --- redirections -------------------------------------------------------------------------------------------------

    def _redirection(self, raw: Raw) -> None:
        if self._text.startswith(("<(", ">("), self._at):
            self._at += 2
            self._nested()
            return
        found = _REDIRECTION.match(self._text, self._at)
        operator = found.group() if found else "<"
        self._at += len(operator)
        while self._peek() in {" ", "\t"}:
            self._at += 1
        began = self._at
        word = self._word()
        if operator in {"<<", "<<-"}:
            is_quoted = any(char in "'\"\\" for char in self._text[began : self._at])
            self._documents.append(_Document(raw, word.text, operator == "<<-", is_quoted))
        elif operator == "<<<":
            raw.script = word.text
        elif ">" in operator and word.text and not (operator == ">&" and _DESCRIPTOR.fullmatch(word.text)):
            raw.outputs.append(word)

    def _read_documents(self) -> None:
        """The here-documents of the line that just ended."""
        pending, self._documents = self._documents, []
        for document in pending:
            lines: list[str] = []
            while self._at < len(self._text):
                end = self._line_end()
                line, self._at = self._text[self._at : end], end + 1
                if (line.lstrip("\t") if document.is_indented else line) == document.end:
                    break
                lines.append(line)
            document.raw.script = "\n".join(lines)
            if not document.is_quoted and self._depth < DEEPEST:
                self.found += Reader(document.raw.script, self._folder, self._depth + 1).document()

    # --- words --------------------------------------------------------------------------------------------------------

    def _word(self) -> Word:
        """The word that begins here; empty where none does."""
        parts: list[str] = []
        kind: Literal["plain", "pattern", "open"] = "plain"
        while (char := self._peek()) and char not in _BREAKS:
            if char in "'\"\\$`":
                text, is_open = self._quotation(char)
            else:
                text, is_open = char, False
                kind = "pattern" if char in "*?[" and kind == "plain" else kind
                self._at += 1
            parts.append(text)
            kind = "open" if is_open else kind
        text = "".join(parts)
        if "{" in text and ("," in text or ".." in text):
            kind = "open"  # perhaps several words in one
        return Word(text, kind)

    def _quotation(self, char: str) -> tuple[str, bool]:
        """What one of the characters that quote or expand stands for, and whether that is not known."""
        if char == "\\":
            text = self._text[self._at + 1 : self._at + 2]
            self._at += 2
            return ("" if text == "\n" else text), False
        if char == "'":
            return self._verbatim(self._at + 1), False
        if char == '"':
            self._at += 1
            return self._quoted('"')
        return self._expansion()

    def _verbatim(self, begin: int) -> str:
        end = self._text.find("'", begin)
        end = len(self._text) if end < 0 else end
        self._at = end + 1
        return self._text[begin:end]

    def _quoted(self, end: str = "") -> tuple[str, bool]:
        """Text up to a closing quote, and whether anything is put into it."""
        parts: list[str] = []
        is_open = False
        while (char := self._peek()) and char != end:
            if char == "\\" and self._text[self._at + 1 : self._at + 2] in set('"\\$`\n'):
                parts.append(self._text[self._at + 1 : self._at + 2].strip("\n"))
                self._at += 2
            elif char in "$`":
                text, opened = self._expansion()
                parts.append(text)
                is_open = is_open or opened
            else:
                parts.append(char)
                self._at += 1
        self._at += 1
        return "".join(parts), is_open

    def _expansion(self) -> tuple[str, bool]:
        """What `$` or a backtick begins: its text as it is written, and whether that stands for something else."""
        began = self._at
        after = self._text[began + 1 : began + 3]
        if self._peek() == "`":
            self._backticks()
        elif after.startswith("'"):
            return self._verbatim(began + 2), False
        elif after == "((":
            self._at += 1
            self._sum()
        elif after.startswith("("):
            self._at += 2
            self._nested()
        elif after.startswith("{"):
            self._at += 2
            self._braces()
        elif found := _VARIABLE.match(self._text, began + 1):
            self._at = found.end()
        else:
            self._at += 1
            return "$", False
        return self._text[began : self._at], True

    def _braces(self) -> None:
        if self._depth >= DEEPEST:
            self._at = len(self._text)
            return
        self._depth += 1
        self._quoted("}")
        self._depth -= 1

    def _backticks(self) -> None:
        found = _BACKTICKS.match(self._text, self._at)
        if found is None:
            self._at += 1
            return
        self._at = found.end()
        if self._depth < DEEPEST:
            text = found.group(1).replace("\\`", "`")
            self.found += Reader(text, self._folder, self._depth + 1).script()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _line_end(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end


def bare(words: Sequence[Word]) -> list[Word]:
    """The words without what stands before a command: `then`, `!`, variables."""
    at = 0
    while at < len(words) and (words[at].text in _RESERVED or _ASSIGNMENT.match(words[at].text)):
        at += 1
    return list(words[at:])
