"""apacheconf.files: the files are read as Apache reads them, and nothing in them raises."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard.apacheconf import files
from mod_wsgi_dashboard.apacheconf.directives import Configuration, Place, Section
from mod_wsgi_dashboard.apacheconf.files import read_files
from mod_wsgi_dashboard.apacheconf.httpd import read_httpd
from tests.apache.server import APACHE_USER, Apache, Case
from tests.apache.site import VENV, executable
from tests.apacheconf.stock import stock_apache

MODULES = "/usr/lib/apache2/modules"

# Apache carries these out while it reads, and doesn't keep them.
CARRIED_OUT = frozenset(
    {
        "define",
        "defaultruntimedir",
        "include",
        "includeoptional",
        "loadfile",
        "loadmodule",
        "serverroot",
        "undefine",
        "undefmacro",
        "use",
    }
)


def written(directory: Path, **texts: str) -> Path:
    """Write NAME.conf for each text; return the first, the main file."""
    for name, text in texts.items():
        (directory / f"{name}.conf").write_text(text, encoding="utf-8")
    return directory / f"{next(iter(texts))}.conf"


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that other users can reach, unlike pytest's."""
    directory = Path(tempfile.mkdtemp(prefix="dashboard-test-", dir="/var/tmp"))
    directory.chmod(0o755)
    yield directory
    for below in directory.iterdir():
        below.chmod(0o700)
    shutil.rmtree(directory)


def read(directory: Path, text: str) -> Configuration:
    return read_files(written(directory, main=text))


def rows(configuration: Configuration) -> list[str]:
    """Return a line for each directive that Apache keeps: place, sections, name and arguments."""
    return [
        f"{one.place} {path(one.section)}{one.key} {one.arguments}"
        for one in configuration.directives
        if one.key not in CARRIED_OUT
    ]


def path(section: Section | None) -> str:
    return "".join(f"<{one.kind} {one.arguments}> " for one in section.path()) if section else ""


def values(configuration: Configuration, name: str = "ServerName") -> list[str]:
    return [one.arguments[0] for one in configuration.find(name)]


def messages(configuration: Configuration) -> list[str]:
    return [problem.message for problem in configuration.problems]


# Against Apache itself


def load(*names: str) -> str:
    lines = (f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in names)
    return "".join(lines)


BASE = (
    load("mpm_event", "authz_core", "authz_host", "alias", "headers", "macro", "setenvif")
    + "ServerRoot {root}\nPidFile pid\nErrorLog error.log\nListen 127.0.0.1:18080\n"
    + "ServerName a.example\n"
)

MACROS = """\
<Macro site $name $names %port>
  <VirtualHost 127.0.0.1:%port>
    ServerName $name
    ServerAlias $names
    # $name in a comment
    <Location "/$name/%port">
      Require local
    </Location>
  </VirtualHost>
</Macro>
Use site one.example "two.example $name" 81
USE Site three.example 'x y' 82
<Macro inner $x>
  Header set Inner "$x"
</Macro>
<Macro outer $x $xy>
  Use inner $x-$xy
  Header set Outer $xy$x
</Macro>
<Location /m>
Use outer a b
</Location>
UndefMacro inner
<IfModule mod_macro.c>
Header set Last 1
</IfModule>
"""

CONDITIONS = """\
Define Aa foo
Define flag
ServerAdmin ${aA}@x
<IfDefine aa>
Header set Wrong 1
</IfDefine>
<IfDefine !aa>
Header set Right 1
</IfDefine>
<IfDefine flag>
  <IfModule !mod_nothing.c>
    <IfModule event.c>
      Header set Right 2
      <IfModule nothing_module>
        <Directory /wrong>
        Header set Wrong 2
        </Directory>
      </IfModule>
    </IfModule>
  </IfModule>
</IfDefine>
UnDefine flag
<IfDefine flag>
Header set Wrong 3
</IfDefine>
<IfModule headers_module>
Header set Right 3
</IfModule>
<IfModule http_core.c>
Header set Right 4
</IfModule>
<IfVersion >= 2.4>
Header set Version ">= 2.4"
</IfVersion>
<IfVersion < 2.4>
Header set Version "< 2.4"
</IfVersion>
<IfVersion 2.4>
Header set Version "2.4"
</IfVersion>
<IfVersion != 2.4>
Header set Version "!= 2.4"
</IfVersion>
<IfVersion = /^2\\.4/>
Header set Version "= regex"
</IfVersion>
<IfVersion ~ ^2\\.[0-3]>
Header set Version "~ regex"
</IfVersion>
<IfVersion !~ ^2\\.[0-3]>
Header set Version "!~ regex"
</IfVersion>
<IfVersion > 2.4.1>
Header set Version "> 2.4.1"
</IfVersion>
<IfVersion <= 2.4.999>
Header set Version "<= 2.4.999"
</IfVersion>
<IfFile main.conf>
Header set File relative
</IfFile>
<IfFile !/nowhere>
Header set File missing
</IfFile>
<IfFile "/nowhere">
Header set File wrong
</IfFile>
"""

LINES = (
    "ServerAdmin \\\n   one@example\n"
    "# a comment \\\nHeader set In-Comment 1\n"
    'Header set A "b \\"c\\" \\\\ d"\n'
    "Header set B 'it\\'s' \n"
    "\theader  SET C d\\\\e  \r\n"
    "Header set D a\\\n\\\nb\n"
    "Header set ${Undefined} ${\n"
    "Define X $\n"
    "Header set E ${X}{X}\n"
    "<Location ~ '^/a>b'>\nRequire local\n</Location>\n"
    "<virtualHost *:81>\nservername b.example\n<Location />\n<RequireAll>\n"
    "Require all granted\n</RequireALL>\n</location>\n"
    "</VIRTUALHOST>\n"
    "<If \"%{HTTP_HOST} == 'x' && 2 > 1\">\nHeader set F 1\n</If>\n"
    "Header set Ü ü\n"
)


@pytest.mark.apache
@pytest.mark.parametrize(
    ("text", "ending"),
    [
        pytest.param(MACROS, "", id="macros"),
        pytest.param(CONDITIONS, "", id="conditions"),
        pytest.param(LINES, "", id="lines"),
        pytest.param("", "UseCanonicalName Off", id="no newline at the end"),
        pytest.param("", "UseCanonicalName \\\nOff", id="continued, no newline"),
        pytest.param("", "ServerAdmin a\\", id="backslash at the end"),
        pytest.param("", "ServerAdmin a\\\n", id="backslash and newline at the end"),
        pytest.param("", "ServerAdmin a\n\n\n", id="empty lines at the end"),
    ],
)
def test_reads_as_apache_does(tmp_path: Path, text: str, ending: str) -> None:
    """Directives, places and sections are those of Apache's own dump."""
    base = BASE.replace("{root}", str(tmp_path))
    assert_same_as_apache(written(tmp_path, main=base + text + ending), at_least=4)


@pytest.mark.apache
def test_includes_are_found_as_apache_does(tmp_path: Path) -> None:
    """Order, wildcards in each component, directories, hidden files, and sections around an Include."""
    names = "b.conf a.conf .hidden.conf c.inc sub/x/1.conf sub/y/2.conf sub/y/deep/3.conf all/z all/n/1"
    for number, name in enumerate(names.split()):
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"Header set N{number} {name}\n", encoding="utf-8")
    (tmp_path / "conf" / "d.conf").symlink_to("b.conf")
    (tmp_path / "conf" / "dangling").symlink_to("nothing")
    (tmp_path / "conf" / "a.conf").write_text(
        "Header set Before 1\nInclude conf/sub/y/2.conf\nHeader set After 1\n", encoding="utf-8"
    )
    text = """\
Include conf/*.conf
IncludeOptional conf/none/*.conf
IncludeOptional conf/none.conf
IncludeOptional conf/dangling*
IncludeOptional conf/a.conf/x
<VirtualHost *:81>
  ServerName b.example
  Include "conf/sub/*/[0-9].conf"
  <Location />
    include conf/../conf/[!ab].inc
    Include conf/sub/[y]/deep/*
    IncludeOptional conf/sub/?/deep/*
  </Location>
</VirtualHost>
Include conf/all
Define D conf/sub
Include ${D}/y
"""
    base = BASE.replace("{root}", str(tmp_path))
    assert_same_as_apache(written(tmp_path, main=base + text), at_least=15)


@pytest.mark.apache
@pytest.mark.parametrize("listener", ["tcp", "unix"])
def test_reads_a_site_with_the_dashboard_as_apache_does(listener: str) -> None:
    """The configuration that operators copy, in a whole site."""
    server = Apache(Case(listener=listener))
    try:
        server._prepare()
        server.command()
        environ = dict(server.environment)
        assert_same_as_apache(server.root / "httpd.conf", at_least=30, environ=environ)
    finally:
        server.discard()


@pytest.mark.apache
def test_reads_the_configuration_of_express_as_apache_does(tmp_path: Path) -> None:
    """mod_wsgi-express's generated configuration, with its -D and its environment."""
    apachectl = express(tmp_path)
    httpd, expected = read_httpd(str(apachectl))
    assert httpd is not None
    assert expected is not None
    assert httpd.config_file is not None
    seen = read_files(
        Path(httpd.config_file),
        modules=("core", "so", "watchdog", "http", "log_config", "logio", "version", "unixd"),
        defines=expected.defines,
        version=httpd.version,
        environ={
            "MOD_WSGI_MODULES_DIRECTORY": MODULES,
            "MOD_WSGI_USER": "www-data",
            "MOD_WSGI_GROUP": "www-data",
            "MOD_WSGI_SERVER_ROOT": str(tmp_path / "express"),
        },
    )
    assert len(expected.directives) > 50
    assert rows(expected) == rows(seen)
    assert ((), expected.modules) == (seen.problems, seen.modules)


@pytest.mark.apache
def test_reads_the_stock_configuration_of_debian_as_apache_does() -> None:
    """Debian's configuration after a fresh install."""
    main = stock_apache() / "etc" / "apache2" / "apache2.conf"
    var = stock_apache() / "var"
    assert_same_as_apache(
        main,
        at_least=200,
        environ={
            "APACHE_RUN_USER": "www-data",
            "APACHE_RUN_GROUP": "www-data",
            "APACHE_PID_FILE": f"{var}/run/apache2/apache2.pid",
            "APACHE_RUN_DIR": f"{var}/run/apache2",
            "APACHE_LOCK_DIR": f"{var}/lock/apache2",
            "APACHE_LOG_DIR": f"{var}/log/apache2",
        },
    )


def express(directory: Path) -> Path:
    """Make a server of mod_wsgi-express and return its apachectl."""
    (directory / "wsgi.py").write_text("application = None\n", encoding="utf-8")
    script = Path(files.__file__).parents[1] / "service_script.py"
    command = [
        executable("mod_wsgi-express", "mod_wsgi", VENV / "bin"),
        "setup-server",
        "wsgi.py",
        "--port",
        "18099",
    ]
    command += ["--user", "www-data", "--group", "www-data", "--server-root", str(directory / "express")]
    command += ["--server-metrics", "--service-script", "dashboard", str(script)]
    command += ["--proxy-mount-point", "/metrics/", "http://127.0.0.1:8765/"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=60)
    return directory / "express" / "apachectl"


def assert_same_as_apache(main: Path, *, at_least: int, environ: dict[str, str] | None = None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environ or {}).items():
            patch.setenv(name, value)
        httpd, expected = read_httpd(executable("apache2", "apache2"), main)
    assert httpd is not None
    assert expected is not None
    assert httpd.syntax_ok, httpd.messages
    seen = read_files(main, environ=environ or {}, version=httpd.version)
    assert len(expected.directives) >= at_least
    assert rows(expected) == rows(seen)
    assert expected.modules == seen.modules
    assert () == seen.problems


# What can't be read


def unchanged(directory: Path) -> None:
    """Prepare nothing."""


def one_closed(directory: Path) -> None:
    (directory / "closed.conf").write_text("ServerName closed\n", encoding="utf-8")
    (directory / "closed.conf").chmod(0)


def a_closed_directory(directory: Path) -> None:
    (directory / "closed").mkdir(mode=0)


def a_loop(directory: Path) -> None:
    (directory / "loop.conf").write_text("Include again.conf\n", encoding="utf-8")
    (directory / "again.conf").write_text("ServerName again\nInclude ./loop.conf\n", encoding="utf-8")


def a_loop_of_links(directory: Path) -> None:
    (directory / "links").mkdir()
    (directory / "links" / "self").symlink_to(".")


def binary(directory: Path) -> None:
    (directory / "binary.conf").write_bytes(b"ServerName binary\n\0\xff\xfe\n")


def a_pipe(directory: Path) -> None:
    os.mkfifo(directory / "pipe.conf")


def large(directory: Path) -> None:
    (directory / "large.conf").write_bytes(b"#" * (files.MAX_FILE_BYTES + 1))


def deep(directory: Path) -> None:
    for number in range(files.MAX_DEPTH + 1):
        text = f"Include deep{number + 1}.conf\n"
        (directory / f"deep{number}.conf").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("prepare", "bad", "message"),
    [
        (unchanged, "Include missing.conf", "Can't read {}/missing.conf: No such file or directory"),
        (unchanged, "Include no/*.conf", "Can't read the directory {}/no: No such file or directory"),
        (unchanged, "Include no*.conf", "Nothing matches {}/no*.conf (IncludeOptional wouldn't mind)"),
        (unchanged, "Include main.conf", "{}/main.conf includes itself"),
        (a_loop, "Include loop.conf", "{}/loop.conf includes itself"),
        (a_loop_of_links, "Include links", "{}/links includes itself"),
        (binary, "Include binary.conf", "Can't read {}/binary.conf: it is binary"),
        (a_pipe, "Include pipe.conf", "Can't read {}/pipe.conf: it is not a regular file"),
        (large, "Include large.conf", "Can't read {}/large.conf: it has over 4,194,304 bytes"),
        (deep, "Include deep0.conf", "Includes and macros are nested more than 50 deep"),
        (unchanged, "Include", "Include needs an argument"),
        (unchanged, "</VirtualHost>", "</virtualhost> closes nothing"),
        (
            unchanged,
            "<IfVersion ~ (>\n</IfVersion>",
            "<IfVersion> has a pattern that can't be understood",
        ),
        (unchanged, "<IfVersion 2.x>\n</IfVersion>", "<IfVersion> can't be understood"),
        (unchanged, "<IfVersion>\n</IfVersion>", "<IfVersion> can't be understood"),
        (unchanged, "<IfModule>\n</IfModule>", "<ifmodule> says nothing to look for"),
        (unchanged, "<Location /\n</Location>", "<Location has no closing bracket"),
        (unchanged, "Use nothing", "Use: there is no macro nothing"),
        (unchanged, "<Macro m $a>\n</Macro>\nUse m", "Use: macro m takes 1 values, not 0"),
        (unchanged, "<Macro m>\nUse m\n</Macro>\nUse m", "macro m includes itself"),
        (unchanged, "<Macro>\n</Macro>", "<Macro> has no name"),
        (unchanged, "ServerAlias " + "a" * 70_000, "A line with over 65,536 characters is not read"),
        (
            unchanged,
            f"Define A {'a' * 2000}\nServerAlias {'${A}' * 40}",
            "A line with over 65,536 characters is not read",
        ),
        (
            unchanged,
            f"<Macro m $a>\nServerAlias {'$a' * 40}\n</Macro>\nUse m {'a' * 2000}",
            "A line with over 65,536 characters is not read",
        ),
        (unchanged, "Include \x1b[31mred", "Can't read {}/?[31mred: No such file or directory"),
    ],
)
def test_what_cannot_be_read_is_one_problem_and_reading_goes_on(
    tmp_path: Path, prepare: Callable[[Path], None], bad: str, message: str
) -> None:
    """Exactly one problem, with its place; what stands before and behind it is read."""
    prepare(tmp_path)
    seen = read(tmp_path, f"ServerName before\n{bad}\nServerName behind\n")
    assert [message.format(tmp_path)] == messages(seen)
    assert ["before", "behind"] == [name for name in values(seen) if name != "again"]
    place = seen.problems[0].place
    assert place is not None
    assert place.file.startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<Location /a>\nServerName a", ["<location> is not closed"]),
        (
            "<Location /a>\n<Limit GET>\n</Location>\nServerName a",
            ["<limit> is not closed before </location>"],
        ),
        ("<IfModule none>\n</Location>\n</IfModule>\nServerName a", []),
        ("<IfModule none>\nServerName b", ["<ifmodule> is not closed"]),
        ("<Macro m>\nServerName b", ["<Macro> is not closed"]),
    ],
)
def test_sections_that_are_not_closed(tmp_path: Path, text: str, expected: list[str]) -> None:
    """Each is a problem at the line that opened it; a condition that doesn't hold hides its content."""
    seen = read(tmp_path, text)
    assert expected == messages(seen)
    assert (["a"] if text.endswith("a") else []) == values(seen)


def test_a_section_ends_with_its_file(tmp_path: Path) -> None:
    """A section that an included file leaves open doesn't swallow what follows the Include."""
    main = written(tmp_path, main="Include part.conf\nServerName a\n", part="<Location /x>\n")
    seen = read_files(main)
    assert (Place(str(tmp_path / "part.conf"), 1),) == tuple(one.place for one in seen.problems)
    assert [None] == [one.section for one in seen.find("servername")]


@pytest.mark.parametrize(
    ("prepare", "target"),
    [(one_closed, "closed.conf"), (a_closed_directory, "closed/*.conf"), (a_closed_directory, "closed")],
)
def test_closed_files_are_problems(
    public_directory: Path, prepare: Callable[[Path], None], target: str
) -> None:
    """A file or directory that this user may not read is a problem, for IncludeOptional as well."""
    main = written(public_directory, main=f"IncludeOptional {target}\nServerName a\n")
    prepare(public_directory)
    program = (
        "import sys, pathlib; from mod_wsgi_dashboard.apacheconf.files import read_files\n"
        "seen = read_files(pathlib.Path(sys.argv[1]))\n"
        "print([p.message.rpartition(': ')[2] for p in seen.problems], len(seen.find('ServerName')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, main],
        user=APACHE_USER if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("['Permission denied'] 1\n", "") == (done.stdout, done.stderr)


# Bounds


def doubled(directory: Path) -> str:
    """Return variables that double 60 times."""
    lines = [f"Define V{number + 1} ${{V{number}}}${{V{number}}}" for number in range(60)]
    return "\n".join(["Define V0 x", *lines, "ServerAlias ${V60}"])


def macro_bomb(directory: Path) -> str:
    """Return macros that would use 10 to the 12th lines."""
    lines = [f"<Macro m{number + 1}>\n" + f"Use m{number}\n" * 10 + "</Macro>" for number in range(12)]
    return "\n".join(["<Macro m0>\nServerAlias x\n</Macro>", *lines, "Use m12"])


def long_values(directory: Path) -> str:
    """Return short lines that variables make long: 6 GB."""
    return f"Define V {'x' * 60_000}\n" + "ServerAlias ${V}\n" * 100_000


def include_tree(directory: Path) -> str:
    """Return includes that would read 2 to the 40th files."""
    for number in range(40):
        text = f"Include tree{number + 1}.conf\nInclude tree{number + 1}.conf\n"
        (directory / f"tree{number}.conf").write_text(text, encoding="utf-8")
    (directory / "tree40.conf").write_text("", encoding="utf-8")
    return "Include tree0.conf"


def many_closes(directory: Path) -> str:
    """Return a condition with sections that nobody closes, and ends that close nothing."""
    return "<IfModule none>\n" + "<a>\n" * 100_000 + "</b>\n" * 200_000


def many_mistakes(directory: Path) -> str:
    return "</Location>\n" * 100_000


def nested(directory: Path) -> str:
    return "<Location />\n" * 100_000 + "ServerAlias a\n"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (doubled, "A line with over 65,536 characters is not read"),
        (macro_bomb, "The rest is not read: it is too much"),
        (long_values, "The rest is not read: it is too much"),
        (include_tree, "The rest is not read: there are more than 10,000 files"),
        (many_closes, "<ifmodule> is not closed"),
        (many_mistakes, "</location> closes nothing"),
        (nested, "Sections are nested more than 50 deep"),
    ],
)
def test_hostile_files_cost_little(tmp_path: Path, make: Callable[[Path], str], expected: str) -> None:
    """Each bound is said, no more than MAX_PROBLEMS times, and within seconds."""
    text = make(tmp_path)
    began = monotonic()
    seen = read(tmp_path, text)
    assert expected in messages(seen)
    assert len(seen.problems) <= files.MAX_PROBLEMS
    assert monotonic() - began < 30


FRAGMENTS = """\
<VirtualHost *>
</VirtualHost>
<IfModule a>
<IfModule !a>
</IfModule>
<IfVersion >= 2>
</IfVersion>
<IfFile
<Macro m $a>
</Macro>
<Macro
Use m b
Use
Define X ${X}y
UnDefine X
ServerName $a ${X}
ServerRoot sub
Include main.conf
Include *.conf
Include [
\\
#
<
</
>
<>
</>
< >
${
${}
'
"
""".splitlines()


@given(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=9)), max_size=20), st.booleans())
def test_nothing_raises(lines: list[str], joined: bool) -> None:
    """Any text is read, or is one problem; each problem is one line."""
    with tempfile.TemporaryDirectory() as directory:
        seen = read(Path(directory), (" " if joined else "\n").join(lines))
    for problem in seen.problems:
        assert 1 == len(problem.message.splitlines())


# Arguments


def test_arguments_say_what_apache_would_know(tmp_path: Path) -> None:
    """Modules, variables, version, environment and server root come from the caller."""
    text = """\
<IfModule mod_ssl.c>
ServerName ssl.${D}.${E}.${d}.${None}
</IfModule>
<IfDefine D>
<IfVersion = 2.2.15>
Include part/x.conf
</IfVersion>
</IfDefine>
"""
    (tmp_path / "root" / "part").mkdir(parents=True)
    (tmp_path / "root" / "part" / "x.conf").write_text("ServerName x\n", encoding="utf-8")
    seen = read_files(
        written(tmp_path, main=text),
        server_root=str(tmp_path / "root"),
        modules=["ssl"],
        defines={"D": "dd"},
        version=(2, 2, 15),
        environ={"E": "ee", "D": "not this"},
    )
    assert ["ssl.dd.ee.dd.${None}", "x"] == values(seen)
    assert ((), {"D": "dd"}) == (seen.problems, seen.defines)
    assert frozenset({"ssl"}) == seen.modules


def test_what_apache_carries_out_is_in_the_result(tmp_path: Path) -> None:
    """LoadModule and the like are directives, with their place, and change modules and defines."""
    text = "LoadModule wsgi_module a/mod_wsgi.so\nDefine A 1\nDefine B 2\nUnDefine B\n"
    seen = read(tmp_path, text)
    assert [("loadmodule", 1), ("define", 2), ("define", 3), ("undefine", 4)] == [
        (one.key, one.place.line) for one in seen.directives
    ]
    assert ("wsgi" in seen.modules, {"A": "1"}) == (True, seen.defines)


def test_a_missing_main_file_is_a_problem(tmp_path: Path) -> None:
    """Not an error: others may have more to say."""
    seen = read_files(tmp_path / "none.conf")
    assert [f"Can't read {tmp_path}/none.conf: No such file or directory"] == messages(seen)
