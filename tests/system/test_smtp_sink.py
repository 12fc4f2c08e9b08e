"""The mail server of the tests does what it is told."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage

import pytest

from tests.servers import SMTPSink
from tests.servers.process import HOST


def message(subject: str = "Your return window ends soon") -> EmailMessage:
    written = EmailMessage()
    written["From"], written["To"], written["Subject"] = "clock@example.com", "buyer@example.com", subject
    written.set_content("Until Friday.\n.\nA line that starts with a dot.\n")
    return written


def send(sink: SMTPSink, subject: str = "Your return window ends soon") -> None:
    with smtplib.SMTP(HOST, sink.port, timeout=10) as client:
        client.send_message(message(subject))


def test_the_sink_keeps_each_message_byte_for_byte(smtp: SMTPSink) -> None:
    send(smtp)
    (received,) = smtp.wait_for(1)
    assert received.mail_from == "clock@example.com"
    assert received.recipients == ("buyer@example.com",)
    assert received.parsed["Subject"] == "Your return window ends soon"
    assert b"\r\n.\r\nA line" in received.content


def test_the_sink_refuses_and_defers_as_it_is_told_and_then_serves(smtp: SMTPSink) -> None:
    smtp.refuse_next("550 5.1.1 no such user")
    smtp.defer_next("451 4.3.0 try later", at="data")
    smtp.refuse_next("421 4.3.2 too busy", at="mail")
    with pytest.raises(smtplib.SMTPSenderRefused) as busy:
        send(smtp)
    assert busy.value.smtp_code == 421
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(smtp)
    assert refused.value.recipients["buyer@example.com"][0] == 550
    with pytest.raises(smtplib.SMTPDataError) as deferred:
        send(smtp)
    assert deferred.value.smtp_code == 451
    assert smtp.messages == []
    send(smtp)
    assert len(smtp.messages) == 1


def test_the_sink_refuses_one_address_and_serves_the_others(smtp: SMTPSink) -> None:
    smtp.refuse_recipient("gone@example.com")
    with smtplib.SMTP(HOST, smtp.port, timeout=10) as client:
        refused = client.sendmail("clock@example.com", ["gone@example.com", "here@example.com"], "Subject: x\r\n\r\n")
    assert list(refused) == ["gone@example.com"]
    assert smtp.messages[0].recipients == ("here@example.com",)


def test_a_sender_that_is_hung_up_on_cannot_know_that_its_message_was_taken(smtp: SMTPSink) -> None:
    smtp.hang_up_next()
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        send(smtp, "taken")
    assert [received.parsed["Subject"] for received in smtp.messages] == ["taken"]
    send(smtp, "after")
    assert len(smtp.messages) == 2


def test_a_stopped_sink_cuts_off_its_clients_and_comes_back_on_its_port(smtp: SMTPSink) -> None:
    client = smtplib.SMTP(HOST, smtp.port, timeout=10)
    client.noop()
    smtp.stop()
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        client.noop()
    with pytest.raises(ConnectionRefusedError):
        send(smtp)
    smtp.start()
    send(smtp)
    assert len(smtp.messages) == 1


def test_starttls_is_demanded_and_its_certificate_holds() -> None:
    with SMTPSink(security="starttls", login=("clock", "secret")) as sink:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            send(sink)
        assert refused.value.smtp_code == 530
        with smtplib.SMTP("localhost", sink.port, timeout=10) as client:
            client.starttls(context=ssl.create_default_context(cafile=sink.authority_file))
            client.login("clock", "secret")
            client.send_message(message())
        assert sink.messages[0].login == "clock"
        with smtplib.SMTP("localhost", sink.port, timeout=10) as client, pytest.raises(ssl.SSLCertVerificationError):
            client.starttls(context=ssl.create_default_context())


def test_tls_from_the_first_byte_and_a_login() -> None:
    with SMTPSink(security="tls", login=("clock", "secret")) as sink:
        assert sink.url == f"smtps://clock:secret@{HOST}:{sink.port}"
        context = ssl.create_default_context(cafile=sink.authority_file)
        with smtplib.SMTP_SSL(HOST, sink.port, timeout=10, context=context) as client:
            with pytest.raises(smtplib.SMTPSenderRefused):
                client.send_message(message())
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("clock", "wrong")
            client.login("clock", "secret")
            client.send_message(message())
    assert len(sink.messages) == 1
    assert sink.authority_file is not None
    assert not sink.authority_file.exists()
