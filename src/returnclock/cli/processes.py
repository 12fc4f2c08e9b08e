"""The commands that keep running: up, worker, beat; and demo, which plays a month in a minute."""

from __future__ import annotations

from pathlib import Path

import click

from returnclock.cli.output import json_option


@click.command()
@click.option("--sample", is_flag=True, help="Fill an empty market with a few hundred sample orders first.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker processes.")
@click.pass_context
def up(ctx: click.Context, sample: bool, concurrency: int) -> None:
    """Start worker, beat and the local mail sink, and tell what happens. Ctrl-C stops all of it."""
    from returnclock.settings import load
    from returnclock.up import run_up

    ctx.exit(run_up(load(), sample=sample, concurrency=concurrency))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def worker(ctx: click.Context, celery_options: tuple[str, ...]) -> None:
    """Run a worker. Further options go to Celery's worker, such as --concurrency 4 or --queues."""
    from returnclock.tasks import run_worker

    ctx.exit(run_worker(celery_options))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def beat(ctx: click.Context, celery_options: tuple[str, ...]) -> None:
    """Run beat, which sends the ticks. Several beats side by side are harmless."""
    from returnclock.tasks import run_beat

    ctx.exit(run_beat(celery_options))


@click.command()
@click.option("--days", type=click.IntRange(5, 120), default=30, show_default=True, help="How many days to play.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the demo's database and mails in this folder.")
@json_option
@click.pass_context
def demo(ctx: click.Context, days: int, keep: Path | None, as_json: bool) -> None:
    """Play 30 days of a marketplace in under a minute, in a database of its own, and count what was kept."""
    from returnclock.demo import run_demo

    ctx.exit(run_demo(days=days, keep=keep, as_json=as_json))


COMMANDS = (up, demo, worker, beat)
