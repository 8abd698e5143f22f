"""Red's work: compare every cited line with the file.

That is all it can judge, and it says so. A citation is wrong when the project has no such text file, the file no such
line, or the line other words. What a wrong citation gets to see of a file is one line that anybody with the project
has; ignored files are not part of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from trichrome.runners.files import Project
from trichrome.runners.offline.findings import Finding, quote


@dataclass(frozen=True, slots=True)
class Wrong:
    """One citation that does not hold.

    Attributes:
        why: in a few words.
        found: the line as it stands, where there is one.
    """

    finding: Finding
    why: str
    found: str | None = None

    def as_data(self) -> dict[str, Any]:
        """The wrong citation as the author gets it back."""
        data = self.finding.as_data() | {"problem": self.why}
        return data if self.found is None else data | {"found": self.found}


def check(project: Project, cited: Iterable[Finding]) -> list[Wrong]:
    """The citations that do not hold, in the order they came."""
    return [wrong for finding in cited if (wrong := _check(project, finding)) is not None]


def _check(project: Project, finding: Finding) -> Wrong | None:
    lines = project.lines(finding.file)
    if lines is None:
        return Wrong(finding, "the project has no such text file")
    if finding.line > len(lines):
        return Wrong(finding, f"the file has {len(lines)} lines")
    found = quote(lines[finding.line - 1])
    return None if found == finding.text else Wrong(finding, "the line reads differently", found)
