"""The settings: which source wins, what is refused and with which words, and that no password is ever shown."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import make_url

from returnclock import settings
from returnclock.errors import SettingsError
from returnclock.settings import KEYS, KNOWN_VARIABLES, PeakSettings, Settings, load, redacted, seconds
from returnclock.settings.keys import PEAK_KEYS, POLICY_KEYS, WHEN_KEYS

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def loaded(folder: Path, toml: str = "", **environ: str) -> Settings:
    (folder / "returnclock.toml").write_text(toml, encoding="utf-8")
    return load(environ, folder)


def faults(folder: Path, toml: str = "", **environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, toml, **environ)
    return caught.value.faults


# Sources


def test_with_nothing_set_everything_is_embedded_under_the_data_folder(tmp_path: Path) -> None:
    found = load({}, tmp_path)
    assert found.data_folder == tmp_path / "returnclock-data"
    assert found.database_url == f"sqlite:///{tmp_path}/returnclock-data/returnclock.db"
    assert make_url(found.database_url).database == str(tmp_path / "returnclock-data" / "returnclock.db")
    assert (found.broker_url, found.broker_is_local) == ("filesystem://", True)
    assert found.result_backend == f"file://{tmp_path}/returnclock-data/results"
    assert found.source is None
    assert found.mail.smtp_url is None


def test_the_documented_examples_load(tmp_path: Path) -> None:
    sentinel, example = (part.split("```")[0] for part in DOCUMENT.read_text(encoding="utf-8").split("```toml\n")[1:])
    assert loaded(tmp_path, sentinel).broker_url.count("sentinel://") == 2
    found = loaded(tmp_path, example)
    policy = found.policies["seller_response"]
    assert policy.values == {"period": "5 days", "remind": ["2 days", "1 day"]}
    assert policy.overrides[0].when == {"country": "DE"}
    assert policy.overrides[0].values == {"period": "3 business days"}
    assert found.calendar.closures == (date(2026, 12, 24),)
    rule = "FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=11"
    assert found.calendar.peaks == (PeakSettings("Singles' Day", rule, 7, "3 business days"),)
    assert found.source == tmp_path / "returnclock.toml"


def test_the_file_wins_over_the_default_and_the_environment_over_the_file(tmp_path: Path) -> None:
    toml = 'batch_size = 50\nlate_limit = "1 minute"\n[mail]\nops = "a@shop.example"\n'
    in_file = loaded(tmp_path, toml)
    assert (in_file.batch_size, in_file.late_limit, in_file.mail.ops) == (50, "1 minute", "a@shop.example")
    over = {"RETURNCLOCK_BATCH_SIZE": "70", "RETURNCLOCK_MAIL_OPS": "C <c@shop.example>"}
    found = loaded(tmp_path, toml, **over)
    assert (found.batch_size, found.late_limit) == (70, "1 minute")
    assert found.mail.ops == "C <c@shop.example>"


SAMPLES = {
    "data_folder": "/srv/clock",
    "kinds": "myshop.deadlines:PARCEL_PICKUP",
    "batch_size": "7",
    "log_format": "json",
    "heartbeat_url": "https://health.example/ping/1",
    "sentry_dsn": "https://key@sentry.example/1",
    "otlp_url": "http://collector:4318",
    "listen": "[::1]:9465",
    "token": "0123456789abcdef",
    "pool_size": "9",
    "key_prefix": "shop:",
    "sentinel_master": "redis-main",
    "sentinel_password": "hunter2",
    "sentinel_tls": "True",
    "tls_ca": __file__,
    "tls_certificate": __file__,
    "tls_key": __file__,
    "country": "PT",
    "subdivision": "PT-11",
    "time_zone": "Europe/Lisbon",
    "closures": "2026-12-24",
    "smtp_url": "smtps://u:p@mail.example:465",
    "sender": "s@shop.example",
    "reply_to": "r@shop.example",
    "ops": "o@shop.example",
    "market_name": "Feira",
    "site_url": "https://shop.example",
    "digest_at": "06:30",
    "timeout_s": "9",
    "connections": "5",
    "burst_a_minute": "500",
    "vacation_days_a_year": "21",
}


ADDRESSES = [("database", "url"), ("broker", "url"), ("broker", "result_backend")]


@pytest.mark.parametrize("key", [key for key in KEYS if (key.section, key.name) not in ADDRESSES and key.in_file])
def test_every_setting_is_set_by_its_variable(key: settings.keys.Key, tmp_path: Path) -> None:
    written = SAMPLES.get(key.name, "42 minutes")
    servers = {"RETURNCLOCK_BROKER_URL": "amqps://mq//", "RETURNCLOCK_RESULT_BACKEND": "sentinel://a"}
    default, found = load(servers, tmp_path), load(servers | {key.variables[0]: written}, tmp_path)
    holder = (lambda s: getattr(s, key.section)) if key.section else (lambda s: s)
    value = getattr(holder(found), key.name)
    assert value != getattr(holder(default), key.name)
    assert written in (str(value), str(value[0]) if isinstance(value, tuple) else None)


def test_a_named_file_is_read_and_a_missing_one_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "prod.toml").write_text("batch_size = 9", encoding="utf-8")
    found = load({"RETURNCLOCK_CONFIG": "prod.toml"}, tmp_path)
    assert (found.batch_size, found.source) == (9, tmp_path / "prod.toml")
    with pytest.raises(SettingsError, match=r"gone\.toml: the settings file cannot be read: No such file"):
        load({"RETURNCLOCK_CONFIG": "gone.toml"}, tmp_path)


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    found = loaded(tmp_path, "batch_size = 5", RETURNCLOCK_BATCH_SIZE="", DATABASE_URL=" ", RETURNCLOCK_CONFIG="")
    assert found.batch_size == 5
    assert found.database_url.startswith("sqlite:")


def test_relative_paths_are_made_absolute_from_the_directory(tmp_path: Path) -> None:
    found = loaded(tmp_path, 'data_folder = "clock"\n[database]\nurl = "sqlite:///shop.db?timeout=5"')
    assert found.data_folder == tmp_path / "clock"
    assert found.database_url == f"sqlite:///{tmp_path}/shop.db?timeout=5"
    assert loaded(tmp_path, DATABASE_URL="sqlite:////srv/shop.db").database_url == "sqlite:////srv/shop.db"


# Addresses


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        (
            "postgres://u:p%40w@db:5433/shop?sslmode=require",
            "postgresql+psycopg://u:p%40w@db:5433/shop?sslmode=require",
        ),
        ("postgresql://db/shop", "postgresql+psycopg://db/shop"),
        ("postgresql:///shop?host=/run/postgresql", "postgresql+psycopg:///shop?host=/run/postgresql"),
        ("postgresql+psycopg://db/shop", "postgresql+psycopg://db/shop"),
        ("mysql://u:p@db/shop", "mariadb+pymysql://u:p@db/shop"),
        ("mariadb://u:p@db/shop?charset=utf8mb4", "mariadb+pymysql://u:p@db/shop?charset=utf8mb4"),
        ("mysql://db/shop?reconnect=true", "mariadb+pymysql://db/shop"),
        ("mysql://db/shop?ssl-mode=REQUIRED", "mariadb+pymysql://db/shop?ssl_check_hostname=false"),
        (
            "mysql://db/shop?ssl-ca=/ca.pem&ssl-mode=VERIFY_IDENTITY",
            "mariadb+pymysql://db/shop?ssl_ca=/ca.pem&ssl_check_hostname=true",
        ),
    ],
)
def test_database_addresses_are_understood_as_hosts_write_them(written: str, understood: str, tmp_path: Path) -> None:
    found = loaded(tmp_path, DATABASE_URL=written)
    assert found.database_url == understood
    make_url(found.database_url).get_dialect()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("oracle://u:hunter2@db/shop", "there is no database of the kind 'oracle'"),
        ("postgresql+asyncpg://u:hunter2@db/shop", "no database of the kind 'postgresql+asyncpg'"),
        ("u:hunter2@db/shop", "not the address of a database"),
        ("DATABASE_URL=postgres://u:hunter2@db/shop", "not the address of a database"),
        ("postgres://u:hunter2/x@db/shop", "percent-encode"),
        ("postgres://u:p@hunter2@db/shop", "@ is %40"),
        ("mysql://u:p@hunter2/x@db/shop", "@ is %40"),
        ("postgres://u:hunter2@db:port/shop", "percent-encode"),
        ("postgres://u:hunter2#x@db/shop", "percent-encode"),
        ("postgres://u:hunter2@db/shop#x", "percent-encode"),
        ("postgres://u:hunter2@db", "names no database"),
        ("mysql:///shop", "names no host"),
        ("mysql://db/shop?ssl-mode=VERIFY_CA", "needs the authority's certificate"),
        ("mysql://db/shop?ssl-mode=maybe", "not an ssl-mode"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite://shop.db", "three slashes"),
    ],
)
def test_a_bad_database_address_is_refused_without_quoting_it(written: str, said: str, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, DATABASE_URL=written)
    assert fault.startswith("DATABASE_URL: ")
    assert said in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize(
    ("environ", "broker", "results"),
    [
        ({"REDIS_URL": "redis://a"}, "redis://a", "redis://a"),
        ({"REDIS_URL": "redis://a", "RETURNCLOCK_REDIS_URL": "redis://b"}, "redis://b", "redis://b"),
        ({"REDIS_URL": "redis://a", "RETURNCLOCK_BROKER_URL": "amqp://c"}, "amqp://c", "redis://a"),
        ({"REDIS_URL": "redis://a", "RETURNCLOCK_RESULT_BACKEND": "redis://d"}, "redis://a", "redis://d"),
        ({"RETURNCLOCK_BROKER_URL": "amqp://u:p@c//"}, "amqp://u:p@c//", "rpc://"),
        (
            {"REDIS_URL": "rediss://:p@a:6380/1"},
            "rediss://:p@a:6380/1?ssl_cert_reqs=CERT_REQUIRED",
            "rediss://:p@a:6380/1?ssl_cert_reqs=CERT_REQUIRED",
        ),
        (
            {"REDIS_URL": "rediss://a?ssl_cert_reqs=CERT_NONE"},
            "rediss://a?ssl_cert_reqs=CERT_NONE",
            "rediss://a?ssl_cert_reqs=CERT_NONE",
        ),
        (
            {"RETURNCLOCK_BROKER_URL": "sentinel://:p@a:26379;sentinel://:p@b:26379"},
            "sentinel://:p@a:26379;sentinel://:p@b:26379",
            "sentinel://:p@a:26379;sentinel://:p@b:26379",
        ),
        ({}, "redis://file/1", "redis://file/2"),
    ],
)
def test_broker_and_results_come_from_the_nearest_source(
    environ: dict[str, str], broker: str, results: str, tmp_path: Path
) -> None:
    toml = '[broker]\nurl = "redis://file/1"\nresult_backend = "redis://file/2"' if not environ else ""
    found = loaded(tmp_path, toml, **environ)
    assert (found.broker_url, found.result_backend, found.broker_is_local) == (broker, results, False)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"TLS_CA": __file__}, "[broker] tls_ca: no address speaks TLS; write rediss://"),
        ({"TLS_CERTIFICATE": __file__, "URL": "sentinel://a"}, "[broker] tls_certificate: no address speaks TLS"),
        ({"SENTINEL_TLS": "true", "URL": "rediss://a"}, "[broker] sentinel_tls: no address begins with sentinel://"),
        ({"SENTINEL_TLS": "yes", "URL": "sentinel://a"}, "'yes' is neither true nor false; write one of the two"),
        ({"TLS_CA": "/gone/ca.pem", "URL": "rediss://a"}, "there is no file /gone/ca.pem"),
        ({"KEY_PREFIX": "shop"}, "'shop' is not a prefix of keys; write letters and digits with a colon at the end"),
        ({"KEY_PREFIX": "shop *:"}, "'shop *:' is not a prefix of keys"),
    ],
)
def test_a_setting_of_the_broker_that_cannot_hold_is_refused(written: dict[str, str], said: str, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, **{f"RETURNCLOCK_BROKER_{name}": value for name, value in written.items()})
    assert said in fault


def test_tls_has_its_files_where_an_address_uses_it(tmp_path: Path) -> None:
    ca = {"RETURNCLOCK_BROKER_TLS_CA": __file__}
    for url in ("rediss://a", "amqps://a//"):
        assert loaded(tmp_path, RETURNCLOCK_BROKER_URL=url, **ca).broker.tls_ca == __file__
    found = loaded(tmp_path, "[broker]\nsentinel_tls = true", REDIS_URL="sentinel://a", **ca)
    assert (found.broker.sentinel_tls, found.broker.tls_ca) == (True, __file__)


def test_a_hosts_redis_wins_over_the_broker_of_the_file(tmp_path: Path) -> None:
    found = loaded(tmp_path, '[broker]\nurl = "amqp://file"\nresult_backend = "rpc://"', REDIS_URL="redis://a")
    assert (found.broker_url, found.result_backend) == ("redis://a", "redis://a")


def test_a_misspelt_broker_or_mail_server_is_refused(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        REDIS_URL="amqp://a",
        RETURNCLOCK_BROKER_URL="reddis://:hunter2@a",
        RETURNCLOCK_RESULT_BACKEND="rpx://",
        RETURNCLOCK_MAIL_SMTP_URL="smtp://u:hunter2@mail.example?tsl=starttls",
    )
    assert [fault.split(":")[0] for fault in found] == [
        "REDIS_URL",
        "RETURNCLOCK_BROKER_URL",
        "RETURNCLOCK_RESULT_BACKEND",
        "RETURNCLOCK_MAIL_SMTP_URL",
    ]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://a/abc", "the number of a database"),
        ("redis://u:hunter2@a/0/1", "the number of a database"),
        ("redis://:p/hunter2@a:6379/0", "percent-encode"),
        ("redis://:p@hunter2@a:6379/0", "@ is %40"),
        ("redis://:p@hunter2/x@a:6379/0", "percent-encode"),
        ("redis://u:12/hunter2@a/0", "percent-encode"),
        ("redis://u:12?hunter2@a/0", "credential_provider="),
        ("redis://a/0?nonsense=1", "credential_provider="),
        ("redis://a/0?socket_timeout=abc", "credential_provider="),
        ("redis://a/0?ssl_cert_reqs=none", "TLS begins with rediss://"),
        ("rediss://a/0?ssl_cert_reqs=bogus", "one of CERT_REQUIRED, CERT_OPTIONAL, CERT_NONE"),
        ("rediss://a/0?ssl_check_hostname=no", "true or false"),
        ("sentinel://a:1/0;sentinel://b:2/0?hunter2=1", "sentinel_tls"),
    ],
)
def test_what_redis_could_not_work_with_is_a_fault_of_broker_and_results_alike(tmp_path: Path, url: str, told: str) -> None:
    found = faults(tmp_path, REDIS_URL=url, RETURNCLOCK_BROKER_URL=url, RETURNCLOCK_BATCH_SIZE="0")
    assert [fault.split(":")[0] for fault in found] == ["RETURNCLOCK_BATCH_SIZE", "REDIS_URL", "RETURNCLOCK_BROKER_URL"]
    assert told in found[1] and told in found[2] and "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("amqp://a//?heartbeat=30", "login_method="),
        ("amqp://u:p/hunter2@a//", "percent-encode"),
        ("amqp://u:12/hunter2@a//", "percent-encode"),
    ],
)
def test_what_rabbitmq_could_not_work_with_is_a_fault(tmp_path: Path, url: str, told: str) -> None:
    (fault,) = faults(tmp_path, RETURNCLOCK_BROKER_URL=url)
    assert fault.startswith("RETURNCLOCK_BROKER_URL: ") and told in fault and "hunter2" not in fault


@pytest.mark.parametrize(
    "url",
    [
        *("redis://a", "redis://a/", "redis://u:p%2F%40@a:6380/15", "redis://a/0?credential_provider=shop.aws:Provider"),
        "rediss://a/0?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false",
        *("sentinel://:p@a:26379/0", "amqp://u:p@a:5672/shop%40home", "amqp://a//?login_method=EXTERNAL"),
    ],
)
def test_what_celery_understands_in_an_address_stays_in_it(tmp_path: Path, url: str) -> None:
    assert loaded(tmp_path, RETURNCLOCK_BROKER_URL=url).broker_url == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://u:hunter2@db/shop", "postgres://u:***@db/shop"),
        ("redis://:hunter2@a", "redis://:***@a"),
        ("redis://:hunter2/@x@a/0", "redis://:***@a/0"),
        ("sentinel://:hunter2@a:1;sentinel://:hunter2@b:2", "sentinel://:***@a:1;sentinel://:***@b:2"),
        (
            "postgresql://db/shop?user=u&password=hunter2&sslmode=require",
            "postgresql://db/shop?user=u&password=***&sslmode=require",
        ),
        ("postgresql://db/shop?sslpassword=hunter2", "postgresql://db/shop?sslpassword=***"),
        ("postgresql://db/shop?password=hun;ter2&user=u", "postgresql://db/shop?password=***&user=u"),
        ("sqlite:////srv/shop.db", "sqlite:////srv/shop.db"),
        ("amqp://guest@mq:5672//", "amqp://guest@mq:5672//"),
        ("could not reach mysql://u:hunter2@db/shop now", "could not reach mysql://u:***@db/shop now"),
    ],
)
def test_redacted_hides_every_password_and_nothing_else(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_no_password_is_in_the_repr(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        DATABASE_URL="postgres://u:hunter2@db/shop",
        REDIS_URL="redis://:hunter2@a",
        RETURNCLOCK_MAIL_SMTP_URL="smtp://u:hunter2@mail.example:587?tls=starttls",
        RETURNCLOCK_BROKER_SENTINEL_PASSWORD="hunter2",
    )
    assert found.mail.smtp_url == "smtp://u:hunter2@mail.example:587?tls=starttls"
    assert "hunter2" not in repr(found)


# Secrets from files


def test_a_secret_is_read_from_the_file_that_its_twin_names(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("postgres://u:p@db/shop\n", encoding="utf-8")
    for name in ("RETURNCLOCK_DATABASE_URL_FILE", "DATABASE_URL_FILE"):
        assert loaded(tmp_path, **{name: str(tmp_path / "secret")}).database_url == "postgresql+psycopg://u:p@db/shop"


def test_a_systemd_credential_is_read_and_the_variable_wins_over_it(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "returnclock_database_url").write_text("postgres://db/from_credential", encoding="utf-8")
    (folder / "another_programs_secret").write_text("x", encoding="utf-8")
    environ = {"CREDENTIALS_DIRECTORY": str(folder), "DATABASE_URL": "postgres://db/from_host"}
    assert loaded(tmp_path, **environ).database_url.endswith("/from_credential")
    environ["RETURNCLOCK_DATABASE_URL"] = "postgres://db/from_variable"
    assert loaded(tmp_path, **environ).database_url.endswith("/from_variable")


def test_faults_of_secret_files_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "returnclock_databse_url").write_text("x", encoding="utf-8")
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    found = faults(
        tmp_path,
        CREDENTIALS_DIRECTORY=str(folder),
        RETURNCLOCK_DATABASE_URL_FILE=str(tmp_path / "gone"),
        REDIS_URL_FILE=str(tmp_path / "empty"),
        RETURNCLOCK_MAIL_SMTP_URL="smtp://mail.example",
        RETURNCLOCK_MAIL_SMTP_URL_FILE=str(tmp_path / "empty"),
    )
    assert found == (
        "the credential returnclock_databse_url is not a secret setting; did you mean returnclock_database_url?",
        f"RETURNCLOCK_DATABASE_URL_FILE: {tmp_path}/gone cannot be read: No such file or directory",
        f"REDIS_URL_FILE: {tmp_path}/empty is empty",
        "RETURNCLOCK_MAIL_SMTP_URL and RETURNCLOCK_MAIL_SMTP_URL_FILE are both set; keep one",
    )


# Faults


def test_all_faults_of_both_sources_are_reported_together(tmp_path: Path) -> None:
    toml = """
batch_sise = 5
country = "DE"
[calendar]
closures = ["2026-12-24", "Xmas", "2026-02-30"]
[policy.seller_respons]
remnid = ["1 day"]
"""
    found = faults(tmp_path, toml, RETURNCLOCK_TICKS_SWEPT="1 second", RETURNCLOCK_BATCH_SIZE="many")
    assert found == (
        "returnclock.toml: batch_sise: there is no such setting; did you mean batch_size?",
        "returnclock.toml: country: there is no such setting; write it under [calendar]",
        "returnclock.toml: [calendar] closures[2]: 'Xmas' is not a date; write YYYY-MM-DD",
        "returnclock.toml: [calendar] closures[3]: '2026-02-30' is no day of the calendar; check the month and the day",
        "returnclock.toml: [policy.seller_respons] remnid: there is no such setting; did you mean remind?",
        "RETURNCLOCK_TICKS_SWEPT is not a setting; did you mean RETURNCLOCK_TICKS_SWEEP?",
        "RETURNCLOCK_BATCH_SIZE: 'many' is not a whole number; write digits only",
    )


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("a = \n", "not valid TOML: Invalid value (at line 1, column 5)"),
        ("[malil]\n", "malil: there is no such setting; did you mean mail?"),
        ("mail = 5\n", "mail: this is a whole number; write its keys under [mail]"),
        ("policy = 5\n", "policy: this is a whole number; write its keys under [policy]"),
        (
            "[mail]\nlog_format = 'json'\n",
            "[mail] log_format: there is no such setting; write it at the top of the file",
        ),
        ("[mail]\nsender = 5\n", "[mail] sender: this is a whole number; write a text in quotes"),
        ("[mail]\nsender = 'nobody'\n", "[mail] sender: 'nobody' is not an e-mail address"),
        ('[mail]\nreply_to = "a@b.example\\nBcc: x@y.example"\n', "[mail] reply_to: the text holds a line break"),
        ("[mail]\nops = ['a@b.example']\n", "[mail] ops: this is a list; write a text in quotes"),
        ("[mail]\ndigest_at = '24:00'\n", "[mail] digest_at: '24:00' is not a time of day"),
        ("[mail]\nsite_url = 'shop.example'\n", "[mail] site_url: 'shop.example' is not a web address"),
        ("[mail]\ntimeout_s = '30'\n", "[mail] timeout_s: '30' is not a whole number"),
        ("[mail]\nmarket_name = ' '\n", "[mail] market_name: the text is empty"),
        ("[mail]\nsmtp_url = ['smtp://u:hunter2@m']\n", "[mail] smtp_url: this is a list; write a text"),
        ("batch_size = true\n", "batch_size: this is true or false and is not a whole number"),
        ("batch_size = 0\n", "batch_size: 0 is out of range; write a number from 1 to 100000"),
        ("[database]\npool_size = 101\n", "[database] pool_size: 101 is out of range; write a number from 1 to 100"),
        ("[broker]\nsentinel_tls = 1\n", "[broker] sentinel_tls: this is a whole number and is neither true nor false"),
        ("batch_size = 100001\n", "batch_size: 100001 is out of range"),
        ("log_format = 'xml'\n", "log_format: 'xml' is not a log format"),
        ("kinds = ['myshop.deadlines']\n", "kinds[1]: 'myshop.deadlines' does not name a kind"),
        ("[ticks]\nsweep = '2 business days'\n", "[ticks] sweep: '2 business days' is not a duration"),
        ("[ticks]\nsweep = '0 seconds'\n", "[ticks] sweep: '0 seconds' is out of range"),
        ("[retention]\nruns = '99999999 days'\n", "[retention] runs: '99999999 days' is out of range"),
        ("[calendar]\nclosures = ['20261224']\n", "[calendar] closures[1]: '20261224' is not a date; write YYYY-MM-DD"),
        ("[calendar]\nclosures = [2026-12-24T10:00:00]\n", "[calendar] closures[1]: this is not a date"),
        ("calendar = 5\n", "calendar: this is a whole number; write its keys under [calendar]"),
        ("[mail]\nsmtp_url = 'smtps://mail.example?tls=starttls'\n", "[mail] smtp_url: after the '?' only"),
        ("[calendar]\npeak = 5\n", "[calendar.peak]: each one is a table of its own"),
        (
            "[[calendar.peak]]\nname='n'\nrule='r'\ndays=1\nadds='d'\n[[calendar.peak]]\nname='n'\nrule='r'\ndays=1",
            "[[calendar.peak]] number 2: adds is missing",
        ),
        (
            "[policy]\nperiod = '5 days'\n",
            "[policy.period]: this is a text; write the policy's keys under [policy.NAME]",
        ),
        ("[policy.x]\nremind = ['1 day', 2]\n", "[policy.x] remind[2]: this is a whole number; write a text"),
        ("[policy.x]\neffective_from = 'soon'\n", "[policy.x] effective_from: 'soon' is not a date or a time"),
        ("[policy.x]\noverride = 5\n", "[policy.x.override]: each one is a table of its own"),
        ("[[policy.x.override]]\nperiod='1 day'\n", "[[policy.x.override]] number 1: it does not say which rows"),
        ("[[policy.x.override]]\nwhen={}\nperiod='1 day'\n", "number 1: it does not say which rows"),
        (
            "[[policy.x.override]]\nwhen={seller=true}\nperiod='1 day'\n",
            "when.seller: this is true or false; write a text",
        ),
        ("[[policy.x.override]]\nwhen={country='DE'}\n", "[[policy.x.override]] number 1: it changes nothing"),
        (
            "[[policy.x.override]]\nwhen={county='DE'}\nperiod='1 day'\n",
            "number 1 when.county: rows are not told apart by this; did you mean country?",
        ),
        (
            "[[policy.x.override]]\nwhen={country=5}\nperiod='1 day'\n",
            "number 1 when.country: this is a whole number; write a text",
        ),
    ],
)
def test_each_fault_of_the_file_has_its_place_and_a_remedy(toml: str, said: str, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, toml)
    assert fault.startswith("returnclock.toml: ")
    assert said in fault
    assert "hunter2" not in fault


def test_values_that_toml_types_itself_are_taken(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "[mail]\ndigest_at = 06:30:00\n[calendar]\nclosures = [2026-12-24]\n"
        "[policy.x]\neffective_from = 2026-01-01\n"
        "[[policy.x.override]]\nwhen = { seller = 12 }\nperiod = '1 day'\n",
    )
    assert found.mail.digest_at == "06:30"
    assert found.calendar.closures == (date(2026, 12, 24),)
    assert found.policies["x"].values == {"effective_from": date(2026, 1, 1)}
    assert found.policies["x"].overrides[0].when == {"seller": "12"}


def test_a_byte_order_mark_is_read_over_and_another_encoding_is_a_fault(tmp_path: Path) -> None:
    assert loaded(tmp_path, "\ufeffbatch_size = 5").batch_size == 5
    (tmp_path / "returnclock.toml").write_bytes("[mail]\nmarket_name = 'Café'".encode("latin-1"))
    with pytest.raises(SettingsError, match="not UTF-8"):
        load({}, tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("RETURNCLOCK_DATABSE_URL", "did you mean RETURNCLOCK_DATABASE_URL?"),
        ("RETURNCLOCK_POLICY_SELLER_RESPONSE_PERIOD", "policies have no variables"),
        ("RETURNCLOCK_BATCH_SIZE_FILE", "only secrets are read from files; set RETURNCLOCK_BATCH_SIZE itself"),
        ("RETURNCLOCK_XYZZY", "every variable is listed in docs/settings.md"),
        ("RETURNCLOCK_PORT", "is not a setting"),
    ],
)
def test_an_unknown_variable_of_ours_is_refused(name: str, said: str, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, **{name: "1"})
    assert fault.startswith(name)
    assert said in fault


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    links = {
        "RETURNCLOCK_SERVICE_HOST": "10.0.0.1",
        "RETURNCLOCK_SERVICE_PORT": "80",
        "RETURNCLOCK_SERVICE_PORT_HTTP": "80",
        "RETURNCLOCK_PORT": "tcp://10.0.0.1:80",
        "RETURNCLOCK_PORT_80_TCP_ADDR": "10.0.0.1",
        "RETURNCLOCK_REDIS_PORT": "tcp://10.0.0.2:6379",
        "RETURNCLOCKS": "1",
        "MAIL_SENDER": "1",
    }
    assert loaded(tmp_path, **links) == loaded(tmp_path)


@pytest.mark.parametrize(
    ("written", "length"),
    [("1 second", 1), ("0.5 seconds", 0.5), ("2 minutes", 120), ("1 hour", 3600), ("5 days", 432000)],
)
def test_a_duration_has_its_length_in_seconds(written: str, length: float) -> None:
    assert seconds(written) == length


@pytest.mark.parametrize("written", ["", "5", "5m", "five minutes", "-1 minutes", "1 week", "1 business day", "0 hours"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(repr(written))):
        seconds(written)


# The document


def _rows() -> list[list[str]]:
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def _documented_section(section: str) -> str:
    heading = f"## `[{section}]`" if section else "## At the top of the file"
    return DOCUMENT.read_text(encoding="utf-8").split(heading + "\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("key", [key for key in KEYS if key.in_file])
def test_every_key_is_documented_with_its_variables_and_default(key: settings.keys.Key) -> None:
    (row,) = [row for row in _rows() if row[0] == f"`{key.name}`" and f"`{key.variables[0]}`" in row[1]]
    assert f"| `{key.name}` |" in _documented_section(key.section)
    assert all(f"{'🔑 ' if key.secret else ''}`{name}`" in row[1] for name in key.variables)
    assert len(row) == 4 and row[3]
    holder = load({}, Path("/nowhere"))
    if (key.section, key.name) in ADDRESSES or key.name == "data_folder":
        return  # these defaults are computed, and have laws of their own above
    value = getattr(getattr(holder, key.section) if key.section else holder, key.name)
    default = (value[0] if value else None) if isinstance(value, tuple) else value
    if isinstance(default, bool):
        default = str(default).lower()  # as TOML writes it
    assert row[2].startswith("none") if default is None else row[2] == f"`{default}`"


def test_no_variable_is_documented_that_does_not_exist() -> None:
    ignored = {"RETURNCLOCK_SERVICE_HOST", "RETURNCLOCK_PORT", "RETURNCLOCK_"}
    documented = set(re.findall(r"\bRETURNCLOCK_\w*", DOCUMENT.read_text(encoding="utf-8"))) - ignored
    assert documented <= KNOWN_VARIABLES
    plain = {name for name in KNOWN_VARIABLES if name.startswith("RETURNCLOCK_") and not name.endswith("_FILE")}
    assert plain <= documented


@pytest.mark.parametrize("name", [*PEAK_KEYS, *POLICY_KEYS])
def test_every_key_of_policies_and_peaks_is_documented(name: str) -> None:
    assert any(row[0] == f"`{name}`" and len(row) == 2 and row[1] for row in _rows())


@pytest.mark.parametrize("name", WHEN_KEYS)
def test_every_condition_of_an_override_is_documented(name: str) -> None:
    assert f"`{name}`" in DOCUMENT.read_text(encoding="utf-8").split("`when`, a table")[1]
