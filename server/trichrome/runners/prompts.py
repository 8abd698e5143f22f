"""What a session is told at its start, beside its role's prompt: its task, its folder, its end."""

from __future__ import annotations

from trichrome.runners.port import Assignment


def opening(assignment: Assignment) -> str:
    """The first message of a session; it narrows the role's prompt, which is written for workers that go on."""
    task = assignment.task
    write = "Change files there and nowhere else." if assignment.role.may_write else "You change no file."
    lines = [
        f'You are {assignment.worker}. This session is for one task: `claim_task(task="{task}")`.',
        f"You work in {assignment.workspace}. {write} Paths in results start at that folder.",
        *([assignment.note] if assignment.note is not None else []),
        "Report once, without `claim_next`, and end your turn: the next task gets a session of its own.",
        "If the claim brings nothing, another worker was faster: end your turn at once, and claim no other task.",
    ]
    if (resume := assignment.resume) is not None:
        lines.append(
            f"Something outside ended this session in the middle of its work: {resume.reason} It goes on now. Your "
            "attempt is over, so claim the same task again, which gives you a new attempt handle. What you found and "
            "changed still stands: look at what is there, then go on."
        )
    return "\n".join(lines)
