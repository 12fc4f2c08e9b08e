"""A round: one worker's letters on their way, which are kept going while a clerk reads and writes the outbox.

The clerk is a second thread, and the only one that touches the database here: while a few letters are being sent, it
writes how those before them ended and takes those after them in hand. Each letter is written while the mail server takes
the one before. So a round is as fast as the server, and what is in hand stays little. Where many wait, carriers send some
of those in hand over connections of their own. Imports hands, parcels, carriers and mail.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from math import ceil
from time import monotonic
from typing import Any

from returnclock.carriers import Carriers
from returnclock.database import retried
from returnclock.errors import DeliveryUncertain, MailError, MailServerDown, NoticeDeferred, NoticeRefused
from returnclock.hands import Mark, Parcel, Post, pause_after, turn
from returnclock.mail import Channel, Meanwhile
from returnclock.parcels import UNCERTAIN, Supply, pack, refused
from returnclock.telemetry import Event

# Never more letters of one run than this are ``sending`` at once, half of them in the sender's hand and half in the clerk's: so
# many may be unsure when its process is killed.
MOST_IN_HAND = 32
# The sender's half is so many that sending them takes so many times as long as the clerk's turn: fewer, and the clerk's work
# is felt. One letter, where the server takes its time over each.
TURNS = 5
# While the server is down nothing is charged to the notices; they are tried again soon, but not at every tick.
SERVER_DOWN_PAUSE = timedelta(seconds=20)
FRESH_S = 10  # a notice that was found true longer ago is looked at again: the seller may have answered meanwhile
# What became of letters that went out is worth waiting some four minutes for the database; their lease lasts five.
PATIENT_ATTEMPTS = 160


class Round:
    """The letters of one run, from the outbox to the mail server: ``begin``, then ``go``."""

    def __init__(self, post: Post, supply: Supply, clerk: ThreadPoolExecutor, carriers: Carriers) -> None:
        self._post, self._supply, self._clerk, self._carriers = post, supply, clerk, carriers
        self._written: deque[Parcel] = deque()  # to be taken in hand
        self._following: list[Parcel] = []  # the clerk takes them in hand
        self._held: deque[Parcel] = deque()  # in hand, to be sent
        self._marks: list[Mark] = []  # what became of letters
        self._being_marked: list[Mark] = []  # the clerk writes it
        self._at_a_time = 1
        self._turn_s = 0.0  # how long the clerk's last turn took

    def begin(self) -> bool:
        """Whether there is anything to send; where there is not, what cannot be written is put away."""
        while not self._written and self._write_one():
            pass
        if not self._written:
            self._turn().result()
        return bool(self._written)

    def go(self) -> None:
        """Send until there is nothing left.

        Raises:
            MailServerDown: the server takes no mail now; everything untried is queued again and charged nothing.
        """
        try:
            with self._post.mailer.open() as channel:
                self._send_all(channel)
        except BaseException as fault:
            # Whatever ends it, be it a server that is down, a time limit or Ctrl-C: what is known is written down.
            self._give_back(SERVER_DOWN_PAUSE if isinstance(fault, MailServerDown) else timedelta())
            raise

    def _send_all(self, channel: Channel) -> None:
        coming = self._turn()
        while self._following or self._being_marked or self._marks:
            self._held = deque(coming.result())
            self._following, self._being_marked = [], []
            coming = self._turn()
            self._send_held(channel)

    def _give_back(self, pause: timedelta) -> None:
        """Write what became of letters and queue all untried ones again; but for one that may be half sent."""
        untried = [parcel.rows for parcel in (*self._held, *self._following, *self._written)]
        untried += [tuple(one.row for one in bundle.ready) for bundle in self._supply.leave()]
        marks = [*self._being_marked, *self._marks, *(_untried(rows, pause) for rows in untried)]
        last = partial(retried, partial(turn, self._post, marks, ()), attempts=PATIENT_ATTEMPTS, at_once=False)
        self._clerk.submit(last).result()

    def _turn(self) -> Future[list[Parcel]]:
        """Let the clerk write the marks and take the next letters in hand."""
        while len(self._written) < self._at_a_time and self._write_one():
            pass
        self._following = [self._written.popleft() for _ in range(min(self._at_a_time, len(self._written)))]
        self._being_marked, self._marks = self._marks, []
        if not self._following and not self._being_marked:
            return _nothing()
        coming = self._clerk.submit(self._take_turn, self._being_marked, self._following)
        self._supply.order(anew=any(mark.asked is None and mark.state == "queued" for mark in self._being_marked))
        return coming

    def _take_turn(self, marks: Sequence[Mark], following: Sequence[Parcel]) -> list[Parcel]:
        begun = monotonic()
        taken = retried(partial(turn, self._post, marks, following))
        self._turn_s = monotonic() - begun
        return taken

    def _send_held(self, channel: Channel) -> None:
        if not self._held:
            return
        begun, count = monotonic(), len(self._held)
        self._carriers.call(len(self._following) + len(self._written) + self._supply.fetched)
        with self._carriers.helping(self._carry, count - 1):
            self._send_first(channel)
        self._send_first(channel)  # what a carrier that lost its connection has left
        letter_s = max((monotonic() - begun) / count, 1e-6)
        enough = ceil(TURNS * self._turn_s / letter_s)
        self._at_a_time = min(max(1 + self._carriers.ready, min(enough, 2 * self._at_a_time)), MOST_IN_HAND // 2)

    def _send_first(self, channel: Channel) -> None:
        """Send what is in hand over the first connection. Raises MailServerDown."""
        while (parcel := self._next()) is not None:
            try:
                self._send(channel, parcel, self._write_ahead)
            except MailServerDown as fault:
                # The one in hand waits longer than those behind it: if it is what makes the server hang up, they pass it.
                self._marks.append(_failed(self._post, parcel, fault))
                raise

    def _carry(self, channel: Channel) -> bool:
        """Send one of the letters in hand over a further connection. Raises MailServerDown; the letter is in hand again."""
        parcel = self._next()
        if parcel is None:
            return False
        try:
            self._send(channel, parcel)
        except MailServerDown:
            self._held.appendleft(parcel)
            raise
        return True

    def _next(self) -> Parcel | None:
        try:
            return self._held.popleft()
        except IndexError:  # not asked beforehand: a carrier may take the last one in between
            return None

    def _send(self, channel: Channel, parcel: Parcel, meanwhile: Meanwhile = None) -> None:
        if monotonic() - parcel.examined_at > FRESH_S:
            self._marks.append(_untried(parcel.rows, timedelta()))
            return
        try:
            channel.send(parcel.address, parcel.raw, parcel.message_id, meanwhile)
            self._marks.append(_sent(parcel))
        except MailServerDown:
            raise
        except MailError as fault:
            self._marks.append(_failed(self._post, parcel, fault))

    def _write_ahead(self) -> None:
        """Write a letter while the server takes another one, of which the answer must not be missed: wait for nothing."""
        if len(self._written) < MOST_IN_HAND // 2:
            self._write_one(wait=False)

    def _write_one(self, *, wait: bool = True) -> bool:
        """Write the letter of the next bundle; False when there is none."""
        bundle = self._supply.take(wait=wait)
        if bundle is None:
            return False
        try:
            self._written.append(pack(self._post, bundle))
        except NoticeRefused as fault:
            self._marks.append(refused(bundle, fault))
        return True


def _nothing() -> Future[list[Parcel]]:
    done: Future[list[Parcel]] = Future()
    done.set_result([])
    return done


def _untried(rows: tuple[Any, ...], pause: timedelta) -> Mark:
    return Mark(rows, "queued", pause=pause)


def _sent(parcel: Parcel) -> Mark:
    unsure = UNCERTAIN if any(row.state == "sending" for row in parcel.rows) else None
    return Mark(parcel.rows, "sent", Event.NOTICE_SENT, {"message_id": parcel.message_id}, unsure, asked=parcel)


def _failed(post: Post, parcel: Parcel, fault: MailError) -> Mark:
    reason = str(fault)
    too_old = post.gives_up(parcel.rows[0], parcel.judged_at)
    # One that may have gone out is never given up here: who takes it up next says in the ledger that it may have.
    passing = isinstance(fault, DeliveryUncertain) or (isinstance(fault, NoticeDeferred) and not too_old)
    if not passing and not isinstance(fault, MailServerDown):
        return Mark(parcel.rows, "dead", Event.NOTICE_DEAD, {"reason": reason}, reason, asked=parcel)
    pause = pause_after(parcel.rows[0].attempts + 1)
    state = "sending" if isinstance(fault, DeliveryUncertain) else "queued"
    return Mark(parcel.rows, state, Event.NOTICE_DEFERRED, {"reason": reason}, reason, pause, parcel)
