"""Settings: sources, accepted values, and what a bad one says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mod_wsgi_dashboard.core.errors import SettingsError
from mod_wsgi_dashboard.settings import Settings, TcpAddress, UnixAddress, describe


def test_keyword_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    """Each source wins over the weaker ones, setting by setting."""
    config = tmp_path / "dashboard.toml"
    config.write_text('interval = 2\nlog_level = "error"\nmax_viewers = 7\n', encoding="utf-8")
    environ = {
        "MOD_WSGI_DASHBOARD_CONFIG": str(config),
        "MOD_WSGI_DASHBOARD_INTERVAL": "3",
        "MOD_WSGI_DASHBOARD_LOG_LEVEL": "warning",
        "PATH": "/bin",
    }
    settings = Settings.load(environ, interval=4)
    assert (4.0, "warning", 7, "full") == (
        settings.interval,
        settings.log_level,
        settings.max_viewers,
        settings.client_addresses,
    )


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"MOD_WSGI_DASHBOARD_INTERVAL": "0"}, ["interval", "'0'", "DASHBOARD_INTERVAL", "0.1 to 60"]),
        ({"MOD_WSGI_DASHBOARD_INTERVAL": "nan"}, ["interval", "0.1 to 60"]),
        ({"MOD_WSGI_DASHBOARD_INTERVALL": "1"}, ["unknown setting 'intervall'", "INTERVALL"]),
        ({"MOD_WSGI_DASHBOARD_REDACT": "maybe"}, ["redact", "on or off"]),
        ({"MOD_WSGI_DASHBOARD_LISTEN": "8765"}, ["listen", "HOST:PORT"]),
        ({"MOD_WSGI_DASHBOARD_LISTEN": "127.0.0.1:99999"}, ["listen", "HOST:PORT"]),
        ({"MOD_WSGI_DASHBOARD_LISTEN": "unix:run/d.sock"}, ["listen", "unix:/absolute/path"]),
        ({"MOD_WSGI_DASHBOARD_LISTEN": "unix:/" + "x" * 107}, ["listen", "107 bytes"]),
        ({"MOD_WSGI_DASHBOARD_LISTEN": "0.0.0.0:8765"}, ["0.0.0.0:8765", "allow_public"]),
        ({"MOD_WSGI_DASHBOARD_LISTEN": "dashboard.example:80"}, ["allow_public"]),
        ({"MOD_WSGI_DASHBOARD_SOCKET_MODE": "999"}, ["socket_mode", "octal"]),
        ({"MOD_WSGI_DASHBOARD_MAX_VIEWERS": "-1"}, ["max_viewers", "0 to 1000000"]),
        ({"MOD_WSGI_DASHBOARD_CLIENT_ADDRESSES": "hidden"}, ["client_addresses", "full or truncated"]),
        ({"MOD_WSGI_DASHBOARD_ALLOWED_HOSTS": "https://a.example/"}, ["allowed_hosts", "host names"]),
        ({"MOD_WSGI_DASHBOARD_CONFIG": "/nonexistent.toml"}, ["/nonexistent.toml", "No such file"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_bad_setting_names_itself_its_source_and_what_is_accepted(
    environ: dict[str, str], words: list[str]
) -> None:
    """The one-line error holds the setting, where it came from, and the accepted values."""
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ)
    assert [] == [word for word in words if word not in str(caught.value)]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("interval = [", "not valid TOML"),
        ("colour = 1", "unknown setting 'colour' (from the file"),
        ("interval = true", "interval = True (from the file"),
        ("allow_parameters = [1]", "allow_parameters"),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path: Path, text: str, words: str) -> None:
    """What is wrong in the TOML file is told with the file's name."""
    config = tmp_path / "dashboard.toml"
    config.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        Settings.load({"MOD_WSGI_DASHBOARD_CONFIG": str(config)})
    assert words in str(caught.value)


def test_a_python_without_toml_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.10 has no TOML reader; the error names the way that works there."""
    monkeypatch.setitem(sys.modules, "tomllib", None)
    with pytest.raises(SettingsError, match=r"Python 3\.11.*MOD_WSGI_DASHBOARD_"):
        Settings.load({"MOD_WSGI_DASHBOARD_CONFIG": str(tmp_path / "x.toml")})


def test_constructing_directly_checks_too() -> None:
    """There is no Settings with a bad value, whichever way it is made."""
    with pytest.raises(SettingsError, match="interval = 100"):
        Settings(interval=100)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("127.0.0.1:0", TcpAddress("127.0.0.1", 0)),
        ("localhost:80", TcpAddress("localhost", 80)),
        ("[::1]:8765", TcpAddress("::1", 8765)),
        ("unix:/run/d.sock", UnixAddress("/run/d.sock")),
    ],
)
def test_addresses_are_read(given: str, expected: object) -> None:
    """TCP, IPv6 and unix addresses are understood, and print as they were given."""
    settings = Settings(listen=given)  # type: ignore[arg-type]
    assert expected == settings.listen
    assert given == str(settings.listen)


def test_values_may_be_text_or_native() -> None:
    """What the environment can say in text, a keyword may say in its own type."""
    texts = Settings.load(
        {
            "MOD_WSGI_DASHBOARD_SOCKET_MODE": "600",
            "MOD_WSGI_DASHBOARD_ALLOW_PARAMETERS": "page, q,",
            "MOD_WSGI_DASHBOARD_REDACT": "off",
            "MOD_WSGI_DASHBOARD_MAX_REQUEST_WORKERS": "150",
        }
    )
    native = Settings(
        socket_mode=0o600, allow_parameters=("page", "q"), redact=False, max_request_workers=150
    )
    assert native == texts


def test_every_setting_is_described() -> None:
    """Each setting has a default, accepted values and a meaning in words."""
    for name, default, accepts, meaning in describe():
        assert all([name, default, accepts, meaning]), name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("512M", 512 << 20), ("1 G", 1 << 30), ("1.5G", 3 << 29), ("64MiB", 64 << 20), ("2 gb", 2 << 30),
        (" 16384 k ", 16 << 20), ("16T", 1 << 44), ("8388608", 8 << 20), (8 << 20, 8 << 20),
    ],
)  # fmt: skip
def test_record_bytes_have_units(given: str | int, expected: int) -> None:
    """The recording's bound is bytes, or a number with a unit; 1M is 1024 x 1024."""
    assert expected == Settings.load({}, record_bytes=given).record_bytes


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *(("record_bytes", value, "at least 8M") for value in (
            "8388607", 8388607, "7.9M", "17T", "", "M", "-1G", "0x10M", "nan", "much", True, None,
        )),
        ("record", "maybe", "full, states or off"),
        ("record", True, "full, states or off"),
        ("state_dir", "run/state", "an absolute path"),
        ("state_dir", "~/state", "an absolute path"),
        ("state_dir", "/run/a\0b", "an absolute path"),
    ],
)  # fmt: skip
def test_bad_setting_of_the_recording_says_what_is_accepted(
    name: str, value: object, words: str
) -> None:
    """Too little room, no number, another word or a relative path is refused in one sentence."""
    with pytest.raises(SettingsError) as caught:
        Settings.load({}, **{name: value})
    assert [] == [word for word in (name, words) if word not in str(caught.value)]
