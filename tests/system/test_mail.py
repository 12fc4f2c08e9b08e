"""Mail over real connections: what a server takes, defers, refuses or leaves in doubt; and the folder in its stead."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from returnclock.errors import (
    DeliveryUncertain,
    MailServerDown,
    NoticeDeferred,
    NoticeRefused,
    ReturnclockError,
    SettingsError,
)
from returnclock.mail import FolderMailer, Letter, SmtpMailer, compose, mailer_for, message_id
from returnclock.settings import MailSettings
from tests.servers import SMTPSink
from tests.servers.process import wait_until
from tests.servers.scripted_smtp import ScriptedServer

SENDER = "Fair Market <returns@fair.example>"
LONG_LINE = "long " * 1_000
ID = message_id("7.0.outcome.0.buyer", "fair.example")


def message(to: str = "zoe@people.example", text: str = "Hello.\n.dot\n..\n.\nend\n", key: str = "7") -> bytes:
    return compose(
        Letter("A subject", text, f"<p>{text}</p>\n"),
        sender=SENDER,
        to_name="Zoë",
        to_address=to,
        reply_to=None,
        message_id=message_id(key, "fair.example"),
        date=datetime(2026, 11, 26, 14, 20, tzinfo=UTC),
    )


def mailer(url: str, timeout_s: float = 5) -> SmtpMailer:
    return SmtpMailer(url, timeout_s=timeout_s, sender=SENDER)


class PatientServer(ScriptedServer):
    """Answers MAIL, RCPT and DATA when it has heard all three; who waits for each answer waits in vain."""

    def _answer(self, client: socket.socket, step: str) -> bool:
        return step in ("MAIL", "RCPT") or super()._answer(client, step)


@pytest.fixture(params=[(), ("PIPELINING",)], ids=["one by one", "together"])
def extensions(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What the server offers: how a message is begun hangs on it, and nothing else may."""
    assert isinstance(request.param, tuple)
    return request.param


# What a real server takes


def test_a_letter_arrives_as_it_was_written(smtp: SMTPSink) -> None:
    raw = message()
    with mailer(smtp.url).open() as channel:
        channel.send("zoe@people.example", raw, ID)

    (taken,) = smtp.wait_for(1)
    assert taken.content == raw
    assert taken.mail_from == "returns@fair.example"
    assert taken.recipients == ("zoe@people.example",)
    assert taken.parsed["Auto-Submitted"] == "auto-generated"
    assert taken.parsed["Message-ID"] == message_id("7", "fair.example")


def test_no_line_on_the_wire_is_longer_than_998_octets(smtp: SMTPSink) -> None:
    with mailer(smtp.url).open() as channel:
        channel.send("zoe@people.example", message(text=LONG_LINE), ID)

    (taken,) = smtp.wait_for(1)
    assert max(len(line) for line in taken.content.split(b"\r\n")) <= 998
    plain = taken.parsed.get_body(("plain",))
    assert plain is not None and plain.get_content().strip() == LONG_LINE.strip()


def test_a_repeat_bears_the_same_message_id(smtp: SMTPSink) -> None:
    for _ in range(2):
        with mailer(smtp.url).open() as channel:
            channel.send("zoe@people.example", message(), ID)

    first, second = smtp.wait_for(2)
    assert first.parsed["Message-ID"] == second.parsed["Message-ID"]


def test_an_international_domain_is_written_in_ascii(smtp: SMTPSink) -> None:
    with mailer(smtp.url).open() as channel:
        channel.send("zoe@bücher.example", message("zoe@bücher.example"), ID)

    (taken,) = smtp.wait_for(1)
    assert taken.recipients == ("zoe@xn--bcher-kva.example",)
    assert b"<zoe@xn--bcher-kva.example>" in taken.content


@pytest.mark.parametrize("stage", ["rcpt", "data"])
def test_a_deferred_notice_is_told_apart_and_the_next_one_goes(smtp: SMTPSink, stage: str) -> None:
    smtp.defer_next("451 4.7.1 try again later", at=stage)  # type: ignore[arg-type]
    with mailer(smtp.url).open() as channel:
        with pytest.raises(NoticeDeferred, match=r"451 4\.7\.1 try again later"):
            channel.send("first@people.example", message("first@people.example"), ID)
        channel.send("second@people.example", message("second@people.example"), ID)

    (taken,) = smtp.wait_for(1)
    assert taken.recipients == ("second@people.example",)


@pytest.mark.parametrize("stage", ["rcpt", "data"])
def test_a_refused_notice_is_told_apart_and_the_next_one_goes_to_its_own_recipient_alone(smtp: SMTPSink, stage: str) -> None:
    smtp.refuse_next("550 5.1.1 no such user", at=stage)  # type: ignore[arg-type]
    with mailer(smtp.url).open() as channel:
        with pytest.raises(NoticeRefused, match=r"550 5\.1\.1 no such user"):
            channel.send("first@people.example", message("first@people.example"), ID)
        channel.send("second@people.example", message("second@people.example"), ID)

    (taken,) = smtp.wait_for(1)
    assert taken.recipients == ("second@people.example",)


@pytest.mark.parametrize("reply", ["451 4.3.0 not now", "550 5.7.1 you may not send", "421 going away"])
def test_a_refused_sender_is_the_servers_or_our_fault_and_never_the_notices(smtp: SMTPSink, reply: str) -> None:
    smtp.refuse_next(reply, at="mail", times=2)
    with mailer(smtp.url).open() as channel, pytest.raises(MailServerDown, match=reply[:3]):
        channel.send("zoe@people.example", message(), ID)
    assert not smtp.messages


# TLS and login


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_over_verified_tls_with_a_login(security: str) -> None:
    with SMTPSink(security=security, login=("user", "pass")) as sink:  # type: ignore[arg-type]
        option = "?tls=starttls&ca=" if security == "starttls" else "?ca="
        with mailer(f"{sink.url}{option}{sink.authority_file}").open() as channel:
            channel.send("zoe@people.example", message(), ID)
        (taken,) = sink.wait_for(1)
        assert taken.login == "user"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for_is_not_trusted(security: str) -> None:
    sink = SMTPSink(security=security)  # type: ignore[arg-type]
    with sink, pytest.raises(MailServerDown, match="certificate"), mailer(sink.url).open():
        pass


def test_no_mail_goes_where_starttls_is_asked_for_and_not_offered(smtp: SMTPSink) -> None:
    with pytest.raises(MailServerDown, match="does not offer STARTTLS"), mailer(f"{smtp.url}?tls=starttls").open():
        pass


def test_a_wrong_password_is_the_settings_fault_and_is_not_shown() -> None:
    with SMTPSink(login=("user", "right")) as sink:
        wrong = mailer(sink.url.replace(":right@", ":wrong-secret@"))
        with pytest.raises(MailServerDown, match="535") as caught, wrong.open():
            pass
    assert "wrong-secret" not in str(caught.value) + repr(wrong.__dict__) + wrong.name


def test_a_password_that_the_server_echoes_is_not_shown() -> None:
    with ScriptedServer(("AUTH PLAIN",), AUTH=["535 no user with p4ss-word", "535 no p4ss-word"]) as server:
        shy = mailer(server.url.replace("//", "//user:p4ss-word@"))
        with pytest.raises(MailServerDown) as caught, shy.open():
            pass
    assert "p4ss-word" not in str(caught.value)


def test_a_login_with_escaped_letters_is_read() -> None:
    with SMTPSink(login=("user@fair.example", "p:/@ss")) as sink:
        url = sink.url.replace("user@fair.example:p:/@ss", "user%40fair.example:p%3A%2F%40ss")
        with mailer(url).open() as channel:
            channel.send("zoe@people.example", message(), ID)
        assert sink.wait_for(1)[0].login == "user@fair.example"


def test_a_password_never_goes_to_another_machine_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(("AUTH PLAIN",)) as server:
        port = int(server.url.rpartition(":")[2])
        dial = socket.create_connection
        monkeypatch.setattr(socket, "create_connection", lambda _, *rest: dial(("127.0.0.1", port), *rest))
        away = f"smtp://user:secret@mail.example:{port}"
        with pytest.raises(MailServerDown, match="no password was sent"), mailer(away).open():
            pass
        assert not any(command.startswith("AUTH") for command in server.commands)
        with mailer(f"{away}?tls=none").open():
            pass
        assert any(command.startswith("AUTH") for command in server.commands)


# Connections that break


def test_fifty_notices_go_over_one_connection(extensions: tuple[str, ...]) -> None:
    with ScriptedServer(extensions) as server, mailer(server.url).open() as channel:
        for number in range(50):
            channel.send(f"buyer{number}@people.example", message(key=str(number)), ID)
        assert len(server.messages) == 50
        assert server.connections == 1


def test_a_server_that_is_not_there_is_down() -> None:
    with ScriptedServer() as server:
        url = server.url
    with pytest.raises(MailServerDown, match="refused"), mailer(url).open():
        pass


def test_a_name_that_nobody_knows_is_down() -> None:
    with pytest.raises(MailServerDown, match=r"mail\.invalid:25"), mailer("smtp://mail.invalid").open():
        pass


@pytest.mark.parametrize("step", ["connect", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("how", [ScriptedServer.HANG_UP, ScriptedServer.SILENCE])
def test_a_connection_that_breaks_before_the_message_is_handed_over_is_the_servers_fault(
    step: str, how: str, extensions: tuple[str, ...]
) -> None:
    with ScriptedServer(extensions, **{step: [how] * 2}) as server:
        with pytest.raises(MailServerDown), mailer(server.url, timeout_s=0.5).open() as channel:
            channel.send("zoe@people.example", message(), ID)
        assert not server.messages


@pytest.mark.parametrize("answer", [ScriptedServer.HANG_UP, ScriptedServer.SILENCE, "gibberish", "354 go on"])
def test_a_connection_that_breaks_after_the_message_was_handed_over_leaves_it_uncertain(
    answer: str, extensions: tuple[str, ...]
) -> None:
    with ScriptedServer(extensions, message=[answer]) as server, mailer(server.url, timeout_s=0.5).open() as channel:
        with pytest.raises(DeliveryUncertain) as caught:
            channel.send("zoe@people.example", message(), ID)
        assert not isinstance(caught.value, MailServerDown)
        # The channel dials again for the next one.
        channel.send("second@people.example", message(key="8"), ID)
        assert len(server.messages) == 2
        assert server.connections == 2


def test_a_server_that_takes_its_time_over_a_whole_message_is_waited_for(extensions: tuple[str, ...]) -> None:
    with ScriptedServer(extensions, message=[ScriptedServer.SLOW]) as server:
        with mailer(server.url, timeout_s=ScriptedServer.SLOW_S / 2).open() as channel:
            channel.send("zoe@people.example", message(), ID)
            channel.send("second@people.example", message(key="8"), ID)
        assert (len(server.messages), server.connections) == (2, 1)


def test_a_message_that_was_taken_just_before_the_server_hung_up_is_uncertain(smtp: SMTPSink) -> None:
    smtp.hang_up_next()
    with mailer(smtp.url).open() as channel, pytest.raises(DeliveryUncertain):
        channel.send("zoe@people.example", message(), ID)
    assert len(smtp.wait_for(1)) == 1


def test_a_connection_that_the_server_closed_between_two_notices_is_dialled_again(smtp: SMTPSink) -> None:
    with mailer(smtp.url).open() as channel:
        channel.send("first@people.example", message("first@people.example"), ID)
        smtp.stop()
        smtp.start()
        channel.send("second@people.example", message("second@people.example"), ID)
    assert [taken.recipients for taken in smtp.wait_for(2)] == [("first@people.example",), ("second@people.example",)]


def test_a_server_that_takes_only_a_few_notices_a_connection_gets_another_connection(extensions: tuple[str, ...]) -> None:
    with ScriptedServer(extensions, MAIL=["250 fine", "421 4.7.0 too many messages"]) as server:
        with mailer(server.url).open() as channel:
            for number in range(2):
                channel.send("zoe@people.example", message(key=str(number)), ID)
        assert len(server.messages) == 2
        assert server.connections == 2


def test_a_server_that_stays_away_is_dialled_once_more_and_no_oftener(smtp: SMTPSink) -> None:
    with mailer(smtp.url).open() as channel:
        smtp.stop()
        with pytest.raises(MailServerDown):
            channel.send("zoe@people.example", message(), ID)
        with pytest.raises(MailServerDown):
            channel.send("zoe@people.example", message(), ID)


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ({"RCPT": ["530 5.7.0 authentication required"]}, MailServerDown),
        ({"RCPT": ["421 going away"]}, MailServerDown),
        ({"DATA": ["421 going away"]}, MailServerDown),
        ({"message": ["421 going away"]}, MailServerDown),
        ({"RCPT": ["452 mailbox full"]}, NoticeDeferred),
        ({"DATA": ["451 not now"]}, NoticeDeferred),
        ({"DATA": ["554 no valid recipients"]}, NoticeRefused),
        ({"message": ["452 disk full"]}, NoticeDeferred),
        ({"message": ["554 looks like spam"]}, NoticeRefused),
    ],
)
def test_an_answer_is_charged_to_whom_it_concerns(
    script: dict[str, list[str]], fault: type[ReturnclockError], extensions: tuple[str, ...]
) -> None:
    script = {step: list(replies) for step, replies in script.items()}
    asks_for_a_message = bool(extensions) and "RCPT" in script
    with ScriptedServer(extensions, **script) as server, mailer(server.url).open() as channel:
        with pytest.raises(fault) as caught:
            channel.send("first@people.example", message(), ID)
        assert type(caught.value) is fault
        channel.send("second@people.example", message(key="8"), ID)
        assert len(server.messages) == 1 + ("message" in script)
        if fault is not MailServerDown and not asks_for_a_message:
            assert "RSET" in [command.upper() for command in server.commands]
            assert server.connections == 1


def test_a_server_that_takes_commands_together_is_told_sender_and_recipient_in_one_turn() -> None:
    with PatientServer(("PIPELINING",), DATA=["250 fine\r\n250 fine\r\n354 go on"] * 2) as server:
        with mailer(server.url, timeout_s=1).open() as channel:
            for number in range(2):
                channel.send("zoe@people.example", message(key=str(number)), ID)
        assert len(server.messages) == 2
        assert server.connections == 1


def test_a_server_that_refuses_the_recipient_and_asks_for_the_message_all_the_same_gets_none() -> None:
    with ScriptedServer(("PIPELINING",), RCPT=["550 no such user"]) as server, mailer(server.url).open() as channel:
        with pytest.raises(NoticeRefused, match="no such user"):
            channel.send("first@people.example", message(), ID)
        channel.send("second@people.example", message(key="8"), ID)
        assert server.commands.count("DATA") == 2
        wait_until(lambda: server.unfinished == [b""], 5)
        assert len(server.messages) == 1
        assert server.connections == 2


# Addresses beyond ASCII, and none at all


def test_an_address_beyond_ascii_goes_to_a_server_that_takes_it() -> None:
    with ScriptedServer(("SMTPUTF8", "8BITMIME")) as server, mailer(server.url).open() as channel:
        channel.send("zoë@people.example", message("zoë@people.example"), ID)
        assert "RCPT TO:<zoë@people.example>" in server.commands
        assert any("SMTPUTF8" in command for command in server.commands if command.upper().startswith("MAIL"))
        assert "<zoë@people.example>".encode() in server.messages[0]


def test_an_address_beyond_ascii_is_refused_where_the_server_does_not_take_it() -> None:
    with ScriptedServer() as server, mailer(server.url).open() as channel:
        with pytest.raises(NoticeRefused, match="SMTPUTF8"):
            channel.send("zoë@people.example", message("zoë@people.example"), ID)
        channel.send("zoe@people.example", message(), ID)
        assert len(server.messages) == 1


@pytest.mark.parametrize("address", ["", "zoe", "zoe@people.example>\r\nRCPT TO:<all@evil.example", "a@b.example,c@d.e"])
def test_nothing_is_said_to_the_server_for_what_is_no_address(address: str) -> None:
    with ScriptedServer() as server, mailer(server.url).open() as channel:
        with pytest.raises(NoticeRefused):
            channel.send(address, message(), ID)
        assert all(command.upper().startswith(("EHLO", "HELO")) for command in server.commands)


# Settings


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@mail.example",
        "smtp://",
        "smtp://user:secret@mail.example:99999",
        "smtp://user:secret@mail.example?verify=no",
        "smtp://user:secret@mail.example?tls=startls",
        "smtps://user:secret@mail.example?tls=none",
        "smtp://user:secret@mail.example?ca=/nowhere/ca.pem",
        "smtp://user:secret@mail.example?tsl=starttls",
    ],
)
def test_an_address_that_cannot_be_used_is_a_fault_of_the_settings_without_the_password(url: str) -> None:
    with pytest.raises(SettingsError, match="smtp_url") as caught:
        mailer(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("sender", ["nobody", "Shop <zoë@fair.example>"])
def test_a_sender_that_cannot_be_used_is_a_fault_of_the_settings(sender: str) -> None:
    with pytest.raises(SettingsError, match="sender"):
        SmtpMailer("smtp://localhost", timeout_s=5, sender=sender)


def test_the_settings_choose_between_server_and_folder(tmp_path: Path) -> None:
    assert mailer_for(MailSettings(), tmp_path).name == str(tmp_path / "mail")
    assert mailer_for(MailSettings(smtp_url="smtps://user:secret@mail.example"), tmp_path).name == "mail.example:465"


# The folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[FolderMailer]:
    yield FolderMailer(tmp_path / "mail")


def test_a_kept_notice_is_the_message_byte_for_byte_and_nothing_lies_beside_it(folder: FolderMailer) -> None:
    raw = message()
    with folder.open() as channel:
        channel.send("zoe@people.example", raw, ID)
    assert folder.path_of(ID).read_bytes() == raw
    assert [path.name for path in folder.folder.iterdir()] == [f"{ID.strip('<>')}.eml"]


def test_a_repeat_is_no_second_letter_and_another_notice_is(folder: FolderMailer) -> None:
    with folder.open() as channel:
        for _ in range(2):
            channel.send("zoe@people.example", message(), ID)
        assert len(list(folder.folder.iterdir())) == 1
        channel.send("zoe@people.example", message(), message_id("8", "fair.example"))
        assert len(list(folder.folder.iterdir())) == 2


def test_a_folder_that_vanishes_is_made_again(folder: FolderMailer) -> None:
    with folder.open() as channel:
        folder.folder.rmdir()
        channel.send("zoe@people.example", message(), ID)
    assert folder.path_of(ID).exists()


def test_a_message_id_cannot_lead_out_of_the_folder(folder: FolderMailer) -> None:
    assert folder.path_of("<../../etc/x@y>").parent == folder.folder


def test_a_folder_that_cannot_be_written_is_a_server_that_is_down(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file where the folder should be")
    with pytest.raises(MailServerDown, match="mail"), FolderMailer(tmp_path / "mail").open():
        pass


def test_a_write_that_fails_leaves_no_half_letter(folder: FolderMailer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with folder.open() as channel:
        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(MailServerDown, match="No space left"):
            channel.send("zoe@people.example", message(), ID)
    assert not list(folder.folder.iterdir())


def test_the_folder_refuses_what_is_no_address(folder: FolderMailer) -> None:
    with folder.open() as channel, pytest.raises(NoticeRefused):
        channel.send("zoe", message(), ID)
