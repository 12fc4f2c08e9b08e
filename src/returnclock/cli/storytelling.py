"""Prints what `explain` found, as a story that can be read aloud to the party whom it concerns."""

from __future__ import annotations

from typing import Any

import click

from returnclock.cli.output import instant, style
from returnclock.explain import Explanation, Story
from returnclock.printable import one_line
from returnclock.tables.clock import LIVE_STATES
from returnclock.telling import who


def tell_story(explanation: Explanation) -> None:
    """Print each deadline's story, why the others have none, and the row's problems."""
    gone = "" if explanation.exists else "  (the row itself is gone)"
    click.echo(style(f"{explanation.table} {explanation.id}{gone}", bold=True))
    for story in explanation.stories:
        click.echo()
        _tell(story)
    if explanation.without:
        click.echo()
    for silent in explanation.without:
        click.echo(f"{silent['kind']}: {one_line(silent['reason'])}")
    said = {silent["reason"] for silent in explanation.without}
    for problem in explanation.problems:
        if problem["problem"] in said:
            continue
        if problem["resolved_at"]:
            click.echo(f"Problem, mended {instant(problem['resolved_at'])}: {one_line(problem['problem'])}")
        else:
            click.echo(style(f"Problem: {one_line(problem['problem'])}", fg="yellow"))


def _tell(story: Story) -> None:
    kept = story.deadline
    schedule = kept["schedule"]
    click.echo(style(f"{kept['kind']}: {kept['state']}", bold=True, fg=_colour(kept["state"])))
    click.echo(f"  {story.summary}")
    if story.next.strip():
        click.echo(f"  {one_line(story.next)}")
    click.echo(f"  rule       {story.rule} (policy {kept['policy_id']})")
    click.echo(f"  counted    in {schedule['zone']}, calendar {schedule['calendar']}")
    click.echo(f"  starts     {instant(kept['starts_at'])}")
    click.echo(f"  promised   {instant(kept['promised_at'])}, what people are told")
    if kept["due_at"] != kept["promised_at"]:
        click.echo(f"  effective  {instant(kept['due_at'])}, after the grace")
    if kept["state"] in LIVE_STATES and schedule["reminders"]:
        click.echo("  reminders  " + ", ".join(moment[:16].replace("T", " ") + " UTC" for moment in schedule["reminders"]))
    click.echo("  how the date was counted")
    for number, step in enumerate(story.steps, 1):
        click.echo(f"    {number}. {step}")
    if not story.steps:
        click.echo("    (the ledger no longer holds the steps)")
    click.echo("  what happened")
    for event in story.events:
        more = style(f"({event['event']}, {one_line(who(event))})", dim=True)
        click.echo(f"    {instant(event['at'])}  {one_line(event['told'])} {more}")
    if not story.events:
        click.echo("    (the ledger no longer holds it)")
    if story.notices:
        click.echo("  notices")
    for notice in story.notices:
        click.echo(f"    {one_line(_notice(notice))}")


def _colour(state: str) -> str:
    return {"running": "cyan", "fired": "red", "met": "green", "held": "yellow"}.get(state, "white")


def _notice(notice: dict[str, Any]) -> str:
    to = f" <{notice['recipient']}>" if notice["recipient"] else ""
    sent = f" {instant(notice['sent_at'])}" if notice["sent_at"] else ""
    why = f" ({notice['error']})" if notice["error"] else ""
    waits = f", next attempt {instant(notice['next_attempt_at'])}" if notice["state"] == "queued" else ""
    if notice.get("untrue_because"):
        waits = f", and is not sent as it stands: {notice['untrue_because']}"
    return f"#{notice['id']} {notice['notice']} to the {notice['party']}{to}: {notice['state']}{sent}{why}{waits}"
