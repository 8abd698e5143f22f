"""Commands and questions: load what a decision needs, decide, append, in one transaction.

One module a family of verbs; each takes the `Coordinator` (what the project is) and the `Caller` (who asks).
"""

from trichrome.coordinator.context import OPERATOR, Caller, Coordinator, Senses, Settings, Traces

__all__ = ["OPERATOR", "Caller", "Coordinator", "Senses", "Settings", "Traces"]
