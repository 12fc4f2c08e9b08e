"""Tells a kind of deadline in the tables that there are. Done once, when the process starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Alias, Column, ColumnElement, and_, case
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression, BindParameter

from returnclock.kinds import DeadlineKind, Value
from returnclock.market import Market, Place
from returnclock.settings import MarketSettings, TableMapping
from returnclock.tables.market import MARKET_TABLES


class Unmapped(Exception):
    """A kind cannot run on this market: the text says for want of what."""


def on_market(kind: DeadlineKind, market: Market, settings: MarketSettings) -> DeadlineKind:
    """The kind over the tables of the market.

    Raises:
        Unmapped: the shop has not what the kind counts from, or never says that it runs.
    """
    if not market.mapped:
        return kind
    if kind.subject.name not in MARKET_TABLES or kind.subject is not MARKET_TABLES[kind.subject.name]:
        return replace(kind, market=market, **_conditions(kind, market))  # a table of the shop's own kind
    place, mapping = market[kind.subject.name], settings.tables.get(kind.subject.name)
    if mapping is None or mapping.table is None:
        raise Unmapped(f"[market.{kind.subject.name}] is not mapped")
    _insist(kind, mapping)
    assert isinstance(place.source, Alias)
    effect = _effect(kind, place)
    translated = replace(
        kind,
        market=market,
        subject=place.source,
        only=place.only,
        effect=effect,
        touched=place.touched if effect else (),
        forms={place.written[name]: form for name, form in place.forms.items()},
        withdrawal=tuple(place.written[name] for name in kind.withdrawal if name in place.written),
        outcome_stays=_stays(kind, place),
        anchor_names=tuple(place.shown[name] for name in _names(kind.anchors)),
        looks_at=tuple(look for name in sorted(_mentioned(kind, place)) for look in place.lookups.get(name, ())),
        **_conditions(kind, market),
    )
    return replace(translated, runs_while=and_(*place.only, translated.runs_while))


def _conditions(kind: DeadlineKind, market: Market) -> dict[str, Any]:
    say = market.translate
    expected = say(kind.start_expected_at)
    only = market[kind.subject.name].only if kind.subject.name in MARKET_TABLES else ()
    return {
        "order_id": say(kind.order_id),
        "runs_while": say(kind.runs_while),
        "starts_at": say(kind.starts_at),
        "anchors": tuple(say(anchor) for anchor in kind.anchors),
        "met_when": say(kind.met_when),
        "withdrawn_when": say(kind.withdrawn_when),
        "start_expected_at": case((and_(*only), expected)) if only and expected is not None else expected,
    }


def _insist(kind: DeadlineKind, mapping: TableMapping) -> None:
    table = kind.subject.name
    anchors = _names(kind.anchors)
    if not any(name in mapping.columns for name in anchors):
        raise Unmapped(f"[market.{table}.columns] has no {' or '.join(anchors)}")
    for name, words in _words_asked(kind):
        one = mapping.columns.get(name)
        if one is not None and one.values and not {*one.values, one.otherwise} & words:
            raise Unmapped(f"[market.{table}.columns] {name} has no value for {' or '.join(sorted(words))}")


def _names(columns: tuple[ColumnElement[Any], ...]) -> tuple[str, ...]:
    return tuple(column.name for column in columns if isinstance(column, Column))


def _words_asked(kind: DeadlineKind) -> Iterator[tuple[str, set[str]]]:
    """The words that a column must have for the kind to run: ``status = 'inspecting'``."""
    for part in visitors.iterate(kind.runs_while):
        if isinstance(part, BinaryExpression) and part.operator is operators.eq:
            column, word = part.left, part.right
            if isinstance(column, Column) and column.table is kind.subject and isinstance(word, BindParameter):
                yield column.name, {str(word.value)}


def _mentioned(kind: DeadlineKind, place: Place) -> set[str]:
    """The columns of its subject by which a kind decides whether it runs, and from when."""
    parts = (part for one in (kind.runs_while, kind.starts_at) for part in visitors.iterate(one))
    return {part.name for part in parts if isinstance(part, Column) and part.table is kind.subject}


def _effect(kind: DeadlineKind, place: Place) -> dict[str, Any]:
    """What firing writes into the shop's columns: only into those that it may write, and in the shop's words."""
    effect: dict[str, Any] = {}
    for name, value in kind.effect.items():
        if name not in place.written:
            continue
        words = place.words.get(name)
        if isinstance(value, Value) or words is None:
            effect[place.written[name]] = value
        elif value in words:
            effect[place.written[name]] = words[value]
    return effect


def _stays(kind: DeadlineKind, place: Place) -> bool:
    """Whether what firing writes ends the running, so that a row which runs once more was re-opened by somebody.

    Else the outcome is in the ledger alone, and a row that still runs from the same start has had its firing.
    """
    asked: Mapping[str, Any] = {part.name: part for part in visitors.iterate(kind.runs_while) if isinstance(part, Column)}
    return any(
        name in asked and name in place.written and (name not in place.words or value in place.words[name])
        for name, value in kind.effect.items()
    )
