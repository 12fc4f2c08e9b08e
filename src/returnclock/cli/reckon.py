"""``returnclock due``: counts a period on the command line and shows every step."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import click

from returnclock.cli.output import json_option, print_json
from returnclock.errors import BadInstant


@click.command()
@click.argument("period")
@click.option("--from", "start", required=True, metavar="TIME", help="Its start: ISO 8601; local where it names no offset.")
@click.option("--country", help="Whose holidays (ISO 3166-1 alpha-2); default: the market's calendar.")
@click.option("--subdivision", help="Which part of the country (ISO 3166-2 part, such as BY).")
@click.option("--zone", "zone_name", help="In which time zone days are counted (IANA); default: the market's.")
@click.option(
    "--ends",
    type=click.Choice(["same_time", "end_of_day"]),
    default="same_time",
    show_default=True,
    help="At the time of day of the start, or with the last day.",
)
@click.option(
    "--roll",
    type=click.Choice(["none", "next_business_day"]),
    default="none",
    show_default=True,
    help="Whether a last day that is no business day moves.",
)
@click.option("--grace", default="0 days", show_default=True, help="How long after the communicated date it takes effect.")
@json_option
def due(
    period: str,
    start: str,
    country: str | None,
    subdivision: str | None,
    zone_name: str | None,
    ends: str,
    roll: str,
    grace: str,
    as_json: bool,
) -> None:
    """Count PERIOD, such as "10 business days", and show the date and every step to it."""
    from returnclock.calendars import zone
    from returnclock.policy import Policy, due_at
    from returnclock.settings import load
    from returnclock.write_rulebook import write_rulebook

    book = write_rulebook(load())
    local = zone(zone_name or book.market_zone)
    calendar = book.calendars.get(country, subdivision)
    policy = Policy.from_definition({"period": period, "ends": ends, "roll": roll, "grace": grace})
    reckoned = due_at(_moment(start, local), policy, calendar, local)
    if as_json:
        print_json(
            {
                "due_at": reckoned.due_at,
                "promised_at": reckoned.promised_at,
                "local": reckoned.due_at.astimezone(local),
                "last_day": reckoned.last_day,
                "zone": local.key,
                "calendar": calendar.name,
                "policy": policy.definition(),
                "steps": reckoned.steps,
            }
        )
        return
    click.echo(f"{reckoned.due_at.astimezone(local):%a %d %b %Y %H:%M:%S} ({local.key})  =  {reckoned.due_at.isoformat()}")
    click.echo(f"{policy.period}, {ends.replace('_', ' ')}, calendar {calendar.name}")
    for number, step in enumerate(reckoned.steps, 1):
        click.echo(f"{number:3}. {step}")


def _moment(start: str, local: ZoneInfo) -> datetime:
    from returnclock.localtime import later_instant

    try:
        written = datetime.fromisoformat(start)
    except ValueError:
        raise BadInstant(text=start) from None
    return later_instant(written, local) if written.tzinfo is None else written


COMMANDS = (due,)
