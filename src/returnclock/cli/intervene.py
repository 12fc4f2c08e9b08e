"""The commands by which an operator intervenes: hold, resume, holds, extend, fire-now, undo."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from returnclock.cli.asking import carried_out, intervention, scoped, where_of
from returnclock.cli.opening import opened
from returnclock.cli.output import instant, json_option, print_json, print_table
from returnclock.cli.typed import IDENTITY, moment
from returnclock.errors import BadUsage, NotFound

if TYPE_CHECKING:
    from returnclock.ops.targets import Desk
    from returnclock.scopes import Scope
    from returnclock.wiring import Wiring

_UNTIL = "ISO 8601, UTC unless it says."


def desk_for(wiring: Wiring, by: str | None, reason: str, dry_run: bool) -> Desk:
    """What an intervention works with."""
    from returnclock.cli.work import login
    from returnclock.ledger import Hand
    from returnclock.ops.targets import Desk
    from returnclock.printable import one_line

    if not reason.strip():
        raise BadUsage(reason="--reason is empty; say why, for whoever reads the ledger.")
    hand = Hand(one_line(by or login()))
    return Desk(wiring.engine, wiring.clock, wiring.rulebook, hand, one_line(reason), dry_run)


def _asked_scope(wiring: Wiring, asked: dict[str, Any]) -> Scope:
    from returnclock.database import reading
    from returnclock.ops.targets import scope_of

    where = where_of(asked)
    with reading(wiring.engine) as connection:
        return scope_of(connection, wiring.rulebook, asked["words"], asked["kind"], where, asked["everything"])


def _tell(result: dict[str, Any], asked: dict[str, Any], sentence: str) -> None:
    if result.get("left"):
        sentence += f"\nLeft: {result['left']}, which somebody else has in hand just now. Do it again for those."
    if asked["as_json"]:
        print_json(result)
    else:
        click.echo(f"Nothing was changed (--dry-run): {sentence}" if asked["dry_run"] else sentence)


@click.command()
@scoped
@click.option("--from", "starts", metavar="TIME", help=f"From when; default: now. {_UNTIL}")
@click.option("--until", "ends", metavar="TIME", help=f"Until when; default: until it is resumed. {_UNTIL}")
@intervention
def hold(starts: str | None, ends: str | None, **asked: Any) -> None:
    """Hold deadlines: nothing takes effect, nobody is reminded, and what is left of the time is kept.

    \b
    returnclock hold disputes 81 --reason "the seller's shop was down"
    returnclock hold --country PT --until 2026-12-01 --reason "postal strike"

    A hold by country, seller or column also catches deadlines that come later within its span.
    """
    from returnclock.ops import hold as room

    starts_at, ends_at = moment(starts), moment(ends)
    wiring = opened()
    scope = _asked_scope(wiring, asked)

    def carry_out(dry_run: bool) -> dict[str, Any]:
        desk = desk_for(wiring, asked["by"], asked["reason"], dry_run)
        return room.hold(desk, scope, starts_at=starts_at, ends_at=ends_at)

    result = carried_out(carry_out, "matched", lambda n: f"hold {n} deadlines ({scope}) and those that come later", asked)
    until = f"until {instant(result['until'])}" if result["until"] else "until it is resumed"
    if asked["dry_run"]:
        told = f"it would hold {result['matched']} deadline(s) ({scope}) from {instant(result['from'])} {until}."
    else:
        told = f"Hold {result['hold']} ({scope}) from {instant(result['from'])} {until}: {result['held']} deadline(s) held now."
    if not result["matched"]:
        end = f', and end it with "returnclock resume --hold {result["hold"]}" if that was not meant'
        told += " Nothing that runs is of this scope, only what may come later. Look at how it is written"
        told += "." if asked["dry_run"] else f"{end}."
    _tell(result, asked, told)


@click.command()
@scoped
@click.option("--hold", "number", type=IDENTITY, help='End this hold; "returnclock holds" lists them.')
@intervention
def resume(number: int | None, **asked: Any) -> None:
    """Let held deadlines run again, each with as many days as were left when it was held.

    \b
    returnclock resume disputes 81 --reason "the shop is back"
    returnclock resume --hold 3 --reason "the strike is over"

    One row is taken out of every hold that covers it; --hold, or the options it was ordered with, end a whole hold.
    """
    from returnclock.ops.resume import resume_hold, resume_row

    wiring = opened()
    where = asked["words"] or any(
        asked[name] for name in ("kind", "country", "seller", "category", "carrier", "pairs", "everything")
    )
    if (number is None) == (not where):
        raise BadUsage(reason="Say which: a deadline's id, TABLE ID, --hold ID, or the options that the hold was ordered with.")
    if number is not None:
        ends, scope = [number], None
    else:
        scope = _asked_scope(wiring, asked)
        ends = [] if scope.is_one_row else _holds_with(wiring, scope)

    def carry_out(dry_run: bool) -> dict[str, Any]:
        desk = desk_for(wiring, asked["by"], asked["reason"], dry_run)
        if scope is not None and scope.is_one_row:
            return resume_row(desk, scope)
        return _together([resume_hold(desk, one) for one in ends])

    result = carried_out(carry_out, "matched", lambda n: f"let {n} held deadlines run again", asked)
    of = ", ".join(f"hold {one}" for one in result["holds"])
    count = result["matched"] if asked["dry_run"] else result["resumed"]
    _tell(result, asked, f"{count} deadline(s) of {of} {'would run' if asked['dry_run'] else 'run'} again.")


def _holds_with(wiring: Wiring, scope: Scope) -> list[int]:
    from returnclock.database import reading
    from returnclock.ops.hold import holds_with

    with reading(wiring.engine) as connection:
        found = holds_with(connection, wiring.clock.now(connection), scope)
    if not found:
        raise NotFound(what="hold that was ordered for", which=str(scope), hint='; "returnclock holds" lists them')
    return found


def _together(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first, *others = results
    for other in others:
        first["holds"] += other["holds"]
        first["matched"] += other["matched"]
        first["resumed"] += other["resumed"]
    return first


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Also those that have ended.")
@json_option
def holds(show_all: bool, as_json: bool) -> None:
    """List the holds that are in force or to come, each with its scope and reason."""
    from sqlalchemy import select

    from returnclock.database import reading
    from returnclock.scopes import Scope
    from returnclock.tables.interventions import holds as table

    wiring = opened()
    chosen = select(table).order_by(table.c.id.desc())
    if not show_all:
        chosen = chosen.where(table.c.done_at.is_(None))
    with reading(wiring.engine) as connection:
        rows = [dict(row._mapping) for row in connection.execute(chosen)]
    if as_json:
        print_json(rows)
        return
    shown = [{**row, "scope": str(Scope.from_document(row["scope"]))} for row in rows]
    headings = {"id": "id", "scope": "scope", "starts_at": "from", "ends_at": "until", "actor": "by", "reason": "reason"}
    print_table(shown, headings, empty="Nothing is held.")


@click.command()
@scoped
@click.option("--add", metavar="PERIOD", help='Such as "2 business days"; a bare number counts the units of the policy.')
@click.option("--until", "ends", metavar="TIME", help=f"The new communicated date. {_UNTIL}")
@intervention
def extend(add: str | None, ends: str | None, **asked: Any) -> None:
    """Give deadlines more time; the reminders move along, and no date ever moves to an earlier one.

    \b
    returnclock extend disputes 81 --add 2 --reason "the seller is ill"
    returnclock extend --seller 12 --until 2026-12-01T18:00 --reason "power cut"
    """
    from returnclock.ops.extend import extend as extended

    if add is None and ends is None:
        raise BadUsage(reason="Say how much: --add PERIOD or --until TIME.")
    if add is not None and ends is not None:
        raise BadUsage(reason="--add and --until both say how much; give one of them.")
    until = moment(ends)
    wiring = opened()
    scope = _asked_scope(wiring, asked)

    def carry_out(dry_run: bool) -> dict[str, Any]:
        return extended(desk_for(wiring, asked["by"], asked["reason"], dry_run), scope, add=add, until=until)

    result = carried_out(carry_out, "would", lambda n: f"extend {n} deadlines ({scope})", asked)
    told = f"{result['would']} of {result['matched']} deadline(s) ({scope}) {'would be ' if asked['dry_run'] else ''}extended."
    for dates in result["dates"][:5]:
        told += f"\n  {dates['was']} -> {dates['promised_at']}"
    _tell(result, asked, told)


@click.command("fire-now")
@scoped
@intervention
def fire_now(**asked: Any) -> None:
    """Let deadlines take effect now, due or not. Only what runs and is still true is fired.

    \b
    returnclock fire-now disputes 81 --reason "the seller has closed its shop"
    """
    from returnclock.jobs import next_digest
    from returnclock.ops.fire import fire_now as fired

    wiring = opened()
    scope = _asked_scope(wiring, asked)

    def carry_out(dry_run: bool) -> dict[str, Any]:
        desk = desk_for(wiring, asked["by"], asked["reason"], dry_run)
        return fired(desk, scope, digest_at=partial(next_digest, wiring))

    result = carried_out(carry_out, "would", lambda n: f"fire {n} deadlines ({scope}) now", asked)
    _tell(result, asked, f"{result['would']} deadline(s) ({scope}) {'would be ' if asked['dry_run'] else ''}fired.")


@click.command()
@scoped
@click.option("--fired-from", metavar="TIME", help=f"Only what fired at this time or later. {_UNTIL}")
@click.option("--period", metavar="PERIOD", help="How much time the party gets; default: what its first reminder leaves.")
@intervention
def undo(fired_from: str | None, period: str | None, **asked: Any) -> None:
    """Take automatic actions back: the row as it was, a new date, and a correction to the parties.

    \b
    returnclock undo disputes 81 --reason "the carrier lost the seller's answer"
    returnclock undo --kind return_window --country PT --fired-from 2026-12-01 --reason "a holiday was missing"

    What somebody has changed since, or what fired longer ago than undo_within, is left alone.
    """
    from returnclock.ops.undo import undo as undone
    from returnclock.period import Period

    given, since = (Period.parse(period) if period else None), moment(fired_from)
    wiring = opened()
    scope = _asked_scope(wiring, asked)

    def carry_out(dry_run: bool) -> dict[str, Any]:
        desk = desk_for(wiring, asked["by"], asked["reason"], dry_run)
        return undone(desk, scope, period=given, fired_from=since)

    result = carried_out(carry_out, "would", lambda n: f"undo {n} deadlines ({scope})", asked)
    told = f"{result['would']} of {result['matched']} that fired ({scope}) {'would be ' if asked['dry_run'] else ''}undone"
    if not asked["dry_run"]:
        told += f"; {result['rearmed']} run again, {result['queued']} correction(s) queued"
    _tell(result, asked, f"{told}.")


COMMANDS = (hold, resume, holds, extend, fire_now, undo)
