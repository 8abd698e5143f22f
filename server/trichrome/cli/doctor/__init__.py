"""`trichrome doctor`: is everything as it should be, and if not, what helps."""

from __future__ import annotations

import typer

from trichrome.cli.output import REFUSED, Json, document, new_app, note, say, table

app = new_app()


@app.command(epilog="Example: trichrome doctor")
def doctor(as_json: Json = False) -> None:
    """Check this machine, the project's settings and its log, and say what helps.

    Exits with 1 when a check fails; warnings alone are no failure.
    """
    from trichrome.cli.doctor.checks import examine
    from trichrome.cli.doctor.report import Visit

    visit = Visit()
    checks = examine(visit)
    is_well = all(check["state"] != "fail" for check in checks)
    if as_json:
        document({"ok": is_well, "checks": checks, "settings": visit.settings})
    else:
        table(("check", "", ""), [(each["name"], each["state"], each["found"]) for each in checks])
        for each in checks:
            if "advice" in each:
                say(f"{each['state']}: {each['name']}: {each['advice']}")
        say("Settings")
        rows = [(each["name"], str(each["value"]), each["source"]) for each in visit.settings]
        table(("", "", ""), rows, indent=2)
        note("All is well." if is_well else "Something is wrong: see the advice above.")
    if not is_well:
        raise typer.Exit(REFUSED)
