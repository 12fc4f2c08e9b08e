"""The commands that change the rules safely: preview shows what they would move, restamp moves it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from returnclock.cli.output import instant, json_option, print_json, style
from returnclock.errors import BadUsage, Refused

if TYPE_CHECKING:
    from returnclock.kinds import DeadlineKind
    from returnclock.preview import Preview
    from returnclock.rulebook import Rulebook
    from returnclock.wiring import Wiring

config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The edited settings file; default: the settings in force. Always this deployment's database.",
)
kind_option = click.option("--kind", "kind_names", multiple=True, help="Only this kind of deadline; may be repeated.")


@click.command()
@config_option
@kind_option
@click.option("--samples", type=click.IntRange(0, 100), default=3, show_default=True, help="How many samples of each case.")
@json_option
def preview(config: Path | None, kind_names: tuple[str, ...], samples: int, as_json: bool) -> None:
    """Show which open deadlines other rules would move, and change nothing.

    Every open deadline is counted again, by an edited returnclock.toml (--config) or by the settings, holidays and closures of
    today, and compared with the date that it was given. Rows that have no deadline yet, such as those of a kind that was just
    switched on, are counted too. "returnclock restamp" then moves what is shown here.
    """
    from returnclock.preview import preview as previewed

    wiring, book = _wired(config)
    found = previewed(wiring.engine, wiring.clock, book, kinds=_kinds(book, kind_names), samples=samples)
    if as_json:
        print_json({"settings": _named(wiring, config), **found.as_json()})
        return
    click.echo(f"Every open deadline, counted by {_named(wiring, config)} at {instant(found.at)}.")
    _tell(found)


@click.command()
@click.option("--reason", required=True, help="Why the dates move; kept in the ledger with every one of them.")
@click.option("--by", help="Who moves them; default: the login.")
@click.option(
    "--overdue",
    type=click.Choice(["fire", "notice", "skip"]),
    help="For those that would fire now: let them; remind the party and give --notice-days more; or leave them as they were.",
)
@click.option("--notice-days", type=click.IntRange(1, 365), default=3, show_default=True, help="With --overdue notice.")
@config_option
@kind_option
@click.option("--dry-run", is_flag=True, help="Preview only; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def restamp(
    reason: str,
    by: str | None,
    overdue: Literal["fire", "notice", "skip"] | None,
    notice_days: int,
    config: Path | None,
    kind_names: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Move open deadlines to the dates that the rules of today give them. Previews first, and asks.

    A date that a notice has promised is never moved earlier, and deadlines in which an operator has intervened are left alone.
    It may be stopped and started again at any moment: what is moved is moved, and the rest is found again.
    """
    from returnclock.preview import preview as previewed
    from returnclock.recount import Case

    if not reason.strip():
        raise BadUsage(reason="--reason is empty. Say why the dates move: it is what people will read who ask later.")
    wiring, book = _wired(config)
    kinds = _kinds(book, kind_names)
    found = previewed(wiring.engine, wiring.clock, book, kinds=kinds, samples=3)
    fires = found.total(Case.FIRES_NOW)
    moves = _moves(found, overdue)
    if not as_json:
        _tell(found)
    if dry_run or not moves:
        nothing = {"moved": 0, "by_kind": {}, "dry_run": dry_run, "would_move": moves, "preview": found.as_json()}
        print_json(nothing) if as_json else click.echo("Nothing was changed." if dry_run else "There is nothing to move.")
        return
    if fires and overdue is None:
        raise Refused(
            reason=f"{fires} deadline(s) would fire now. Say what becomes of them: --overdue fire, --overdue notice "
            f"(with --notice-days) or --overdue skip. Nothing was changed."
        )
    _confirm(moves, fires if overdue == "fire" else 0, yes, as_json)
    _apply(wiring, book, kinds, by, reason.strip(), overdue or "skip", notice_days, as_json)


def _moves(found: Preview, overdue: str | None) -> int:
    from returnclock.recount import CHANGES, Case

    return found.total(*(case for case in CHANGES if not (case is Case.FIRES_NOW and overdue == "skip")))


def _confirm(moves: int, fires: int, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json:
        raise Refused(reason=f"{moves} deadline(s) would move, and --json cannot ask. Say --yes. Nothing was changed.")
    at_once = f", {fires} of them fire with the next sweep" if fires else ""
    if not click.confirm(f"Move {moves} deadline(s){at_once}?", err=True):
        raise Refused(reason="not confirmed. Nothing was changed.")


def _apply(
    wiring: Wiring,
    book: Rulebook,
    kinds: list[DeadlineKind],
    by: str | None,
    reason: str,
    overdue: Literal["fire", "notice", "skip"],
    notice_days: int,
    as_json: bool,
) -> None:
    import sys

    from returnclock.cli.work import login
    from returnclock.ledger import Hand
    from returnclock.restamp import Plan
    from returnclock.restamp import restamp as restamped
    from returnclock.runs import performed

    def act(hand: Hand) -> dict[str, Any]:
        size = wiring.settings.batch_size
        plan = Plan(wiring.engine, wiring.clock, book, hand, reason, overdue, notice_days, size)
        return restamped(plan, kinds, progress=progress).as_json()

    def progress(looked_at: int, moved: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{looked_at} looked at, {moved} moved", nl=False, err=True)

    result = performed(wiring, "restamp", actor=by or login(), act=act)
    if sys.stderr.isatty():
        click.echo(err=True)
    if as_json:
        print_json(result)
        return
    click.echo(f"Moved {result['moved']} deadline(s) in run {result['run_id']}; each is told in the ledger with its reason.")
    for kind, cases in result["by_kind"].items():
        for word, counted in (("moved", cases["moved"]), ("left", cases["left"])):
            if counted:
                click.echo(f"  {kind}: {word} " + ", ".join(f"{number} {case}" for case, number in counted.items()))


def _wired(config: Path | None) -> tuple[Wiring, Rulebook]:
    """This deployment's wiring, and the rulebook of the file if one is named."""
    import os

    from returnclock.cli.opening import opened
    from returnclock.settings import CONFIG_VARIABLE, load
    from returnclock.write_rulebook import write_rulebook

    wiring = opened()
    if config is None:
        return wiring, wiring.rulebook
    return wiring, write_rulebook(load({**os.environ, CONFIG_VARIABLE: str(config)}))


def _kinds(book: Rulebook, names: tuple[str, ...]) -> list[DeadlineKind]:
    return [book.kind(name) for name in dict.fromkeys(names)] or list(book.kinds)


def _named(wiring: Wiring, config: Path | None) -> str:
    if config is not None:
        return str(config)
    return wiring.settings.source.name if wiring.settings.source else "the defaults"


def _tell(found: Preview) -> None:
    from returnclock.recount import CHANGES, Case

    fires, starts, new_fires = (
        found.total(Case.FIRES_NOW),
        found.total_new("would start", "would fire now"),
        found.total_new("would fire now"),
    )
    moves = found.total(*CHANGES)
    told = f"{moves} date(s) move, {fires} would fire now; {found.total(*Case) - moves} stay as they are."
    click.echo(style(told, bold=True, fg="red" if fires else "yellow" if moves else "green"))
    if starts:
        told = f"{starts} row(s) without a deadline would get one, {new_fires} of them would fire now."
        click.echo(style(told, bold=True, fg="red" if new_fires else "yellow"))
        if new_fires:
            click.echo('To leave old rows alone, set effective_from = "YYYY-MM-DD" in the policy of the kind.')
    for name, kind in found.kinds.items():
        click.echo()
        click.echo(style(name, bold=True))
        rows = {**kind.cases, **{f"new, {case}": number for case, number in kind.new.items()}}
        for case, number in sorted(rows.items(), key=_urgent_first):
            click.echo(f"  {number:>8}  {style(case, fg=_COLOURS.get(case))}")
            for sample in kind.samples.get(case, ()):
                click.echo(f"            {_sample(sample)}")


_COLOURS = {"would fire now": "red", "new, would fire now": "red", "earlier": "yellow", "uncountable": "yellow"}


def _urgent_first(row: tuple[str, int]) -> tuple[bool, int]:
    return ("fire now" not in row[0], -row[1])


def _sample(sample: Mapping[str, Any]) -> str:
    before, after = sample["before"], sample["after"]
    if before and after:
        dates = f"{instant(before['due_at'])} -> {instant(after['due_at'])}"
    elif after:
        dates = f"due {instant(after['due_at'])}"
    elif before:
        dates = f"stays due {instant(before['due_at'])}"
    else:
        return str(sample["why"])
    return f"{sample['subject']}: {dates}; {sample['why']}"


COMMANDS = (preview, restamp)
