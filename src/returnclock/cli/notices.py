"""``returnclock outbox``: the notices, and how to send dead ones again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from returnclock.cli.asking import carried_out, intervention
from returnclock.cli.opening import opened
from returnclock.cli.output import instant, json_option, print_json, print_table
from returnclock.cli.typed import AT_LEAST_ONE, IDENTITY
from returnclock.errors import BadUsage, NotFound

if TYPE_CHECKING:
    from returnclock.wiring import Wiring


@click.group()
def outbox() -> None:
    """The notices that wait, were sent, or died."""


@outbox.command("list")
@click.option("--state", type=click.Choice(["queued", "sending", "sent", "dead", "suppressed"]), help="Only this state.")
@click.option("--kind", help="Only notices of this kind of deadline.")
@click.option("--limit", type=AT_LEAST_ONE, default=50, show_default=True, help="At most so many.")
@json_option
def list_notices(state: str | None, kind: str | None, limit: int, as_json: bool) -> None:
    """List notices, the newest first."""
    from sqlalchemy import select

    from returnclock.database import reading
    from returnclock.tables.clock import deadlines
    from returnclock.tables.clock import outbox as table

    wiring = opened()
    chosen = select(table, deadlines.c.subject_id).join(deadlines, deadlines.c.id == table.c.deadline_id)
    if state:
        chosen = chosen.where(table.c.state == state)
    if kind:
        chosen = chosen.where(table.c.kind == wiring.rulebook.kind(kind).name)
    with reading(wiring.engine) as connection:
        found = connection.execute(chosen.order_by(table.c.id.desc()).limit(limit))
        rows = [dict(row._mapping) for row in found]
    if as_json:
        print_json(rows)
        return
    columns = {
        "id": "id",
        "kind": "kind",
        "subject_id": "subject",
        "notice": "notice",
        "party": "party",
        "recipient": "recipient",
        "state": "state",
        "attempts": "attempts",
        "queued_at": "queued",
        "sent_at": "sent",
        "error": "error",
    }
    print_table(rows, columns, empty="No notice matches.")


@outbox.command()
@click.argument("identity", metavar="ID", type=IDENTITY)
@json_option
def show(identity: int, as_json: bool) -> None:
    """Show one notice: its state, and its text as it would be written now."""
    from sqlalchemy import select

    from returnclock.database import reading
    from returnclock.mail import write_letter
    from returnclock.notice_facts import Ready
    from returnclock.parcels import judge
    from returnclock.tables.clock import outbox as table

    wiring = opened()
    with reading(wiring.engine) as connection:
        rows = connection.execute(select(table).where(table.c.id == identity)).all()
        if not rows:
            raise NotFound(what="notice", which=identity, hint='; "returnclock outbox list" shows them')
        now = wiring.clock.now(connection)
        (judged,) = judge(connection, wiring.rulebook, wiring.settings.mail, rows, now)
    shown: dict[str, Any] = dict(rows[0]._mapping)
    if isinstance(judged, Ready):
        letter = write_letter(judged.notice, judged.facts)
        shown |= {"subject": letter.subject, "text": letter.text, "untrue_because": None}
    else:
        shown |= {"subject": None, "text": None, "untrue_because": judged.reason}
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        if name != "text" and value is not None:
            click.echo(f"{name:16} {instant(value) if hasattr(value, 'tzinfo') else value}")
    if shown["text"]:
        click.echo(f"\n{shown['text']}")


@outbox.command()
@json_option
def errors(as_json: bool) -> None:
    """Group the errors of dead notices; "requeue --group" takes a group's code."""
    from returnclock.database import reading
    from returnclock.outbox import error_groups

    with reading(opened().engine) as connection:
        groups = error_groups(connection)
    if as_json:
        print_json(groups)
    else:
        headings = {"group": "group", "count": "notices", "error": "error", "newest": "newest notice"}
        print_table(groups, headings, empty="No notice is dead.")


@outbox.command()
@click.argument("identities", metavar="[ID]...", nargs=-1, type=IDENTITY)
@click.option("--dead", is_flag=True, help="All dead notices.")
@click.option("--kind", help="Dead notices of this kind of deadline.")
@click.option("--group", metavar="CODE", help='Dead notices with this error; "outbox errors" lists the groups.')
@intervention
def requeue(identities: tuple[int, ...], dead: bool, kind: str | None, group: str | None, **asked: Any) -> None:
    """Queue dead or suppressed notices again. What is no longer true is not sent all the same."""
    from returnclock.cli.intervene import desk_for
    from returnclock.ops import requeue as room

    if bool(identities) == bool(dead or kind or group):
        raise BadUsage(reason="Name the notices to requeue, or say --kind, --group, or --dead for all dead ones.")
    wiring = opened()
    if group:
        _insist_on_group(wiring, group)
    of_kind = wiring.rulebook.kind(kind).name if kind else None

    def carry_out(dry_run: bool) -> dict[str, Any]:
        desk = desk_for(wiring, asked["by"], asked["reason"], dry_run)
        return room.requeue(desk, identities, kind=of_kind, group=group)

    result = carried_out(carry_out, "matched", lambda n: f"queue {n} notices again", asked)
    missing = result["left_alone"]
    if asked["as_json"]:
        print_json(result)
    elif result["matched"] or not missing:
        click.echo(f"{'Would requeue' if asked['dry_run'] else 'Requeued'} {result['matched']} notice(s).")
    if missing:
        raise NotFound(what="dead or suppressed notice", which=", ".join(map(str, missing)), hint="; left alone")


def _insist_on_group(wiring: Wiring, group: str) -> None:
    from returnclock.database import reading
    from returnclock.outbox import error_groups

    with reading(wiring.engine) as connection:
        known = {one["group"] for one in error_groups(connection)}
    if group not in known:
        raise NotFound(what="group of dead notices", which=group, hint='; "returnclock outbox errors" lists them')


COMMANDS = (outbox,)
