"""Files of a Service on a real filesystem through real shells; units are tested on the cloud's machines."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from provider import ssh
from provider.commands import service as scripts
from provider.resources.base import Context, Failure
from provider.resources.service import ServiceResource
from tests.rig.local_host import LocalHost

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files change their owner")
SERVICE = ServiceResource()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> LocalHost:
    local = LocalHost()
    monkeypatch.setattr(ssh, "connect", lambda connection: local)
    return local


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context("dev", "web", tmp_path, lambda text: None, threading.Event())


def service(folder: Path, **contents: str) -> dict[str, Any]:
    files = [{"path": f"{folder}/etc/{name}", "content": text} for name, text in contents.items()]
    return {"host": "manager", "connection": {"host": "local"}, "files": files, "running": True}


def test_create_read_no_difference_delete_twice(host: LocalHost, context: Context, tmp_path: Path) -> None:
    inputs = service(tmp_path, a="one\n", b="two\n")
    created = SERVICE.create(context, inputs)
    assert created.identifier == "manager/web"
    found = SERVICE.read(context, created.identifier, inputs, {})
    assert found is not None
    assert found.inputs == inputs
    SERVICE.delete(context, created.identifier, inputs)
    SERVICE.delete(context, created.identifier, inputs)
    assert SERVICE.read(context, created.identifier, inputs, {}) is None
    assert not (tmp_path / "etc/a").exists()


def test_a_second_create_writes_nothing(host: LocalHost, context: Context, tmp_path: Path) -> None:
    inputs = service(tmp_path, a="one\n")
    SERVICE.create(context, inputs)
    host.commands.clear()
    SERVICE.create(context, inputs)
    assert len(host.commands) == 1
    assert "sha256sum" in host.commands[0]


def test_only_the_changed_file_is_written_and_a_dropped_one_removed(
    host: LocalHost, context: Context, tmp_path: Path
) -> None:
    old = service(tmp_path, a="one\n", b="two\n", c="three\n")
    SERVICE.create(context, old)
    untouched = (tmp_path / "etc/a").stat().st_ino
    SERVICE.update(context, "manager/web", old, service(tmp_path, a="one\n", b="2\n"))
    assert (tmp_path / "etc/b").read_text() == "2\n"
    assert (tmp_path / "etc/a").stat().st_ino == untouched
    assert not (tmp_path / "etc/c").exists()


DRIFTS = [
    ("echo x > {}", "content", "(changed on the host; sha256 "),
    ("chmod 0640 {}", "mode", "0640"),
    ("chown daemon:daemon {}", "owner", "daemon:daemon"),
]


@pytest.mark.parametrize(("command", "key", "value"), DRIFTS, ids=[row[1] for row in DRIFTS])
def test_drift_shows_and_update_mends_it(
    host: LocalHost, context: Context, tmp_path: Path, command: str, key: str, value: str
) -> None:
    inputs = service(tmp_path, a="one\n")
    SERVICE.create(context, inputs)
    host.run(command.format(f"{tmp_path}/etc/a"))
    found = SERVICE.read(context, "manager/web", inputs, {})
    assert found is not None
    assert found.inputs["files"][0][key].startswith(value)
    SERVICE.update(context, "manager/web", found.inputs, inputs)
    mended = SERVICE.read(context, "manager/web", inputs, {})
    assert mended is not None
    assert mended.inputs == inputs


def test_names_with_spaces_and_quotes_are_only_names(
    host: LocalHost, context: Context, tmp_path: Path
) -> None:
    inputs = service(tmp_path / "a folder", **{"it's; echo": "$(id)\n"})
    SERVICE.create(context, inputs)
    assert (tmp_path / "a folder/etc/it's; echo").read_text() == "$(id)\n"


def test_a_service_that_never_gets_ready_tells_its_last_words(
    host: LocalHost, context: Context, tmp_path: Path
) -> None:
    inputs = {**service(tmp_path, a="one\n"), "ready": "echo not yet; false", "ready_timeout": 1}
    with pytest.raises(ssh.CommandFailed, match="not yet"):
        SERVICE.create(context, inputs)


def test_an_unknown_action_is_refused_at_preview(context: Context) -> None:
    _, failures = SERVICE.check(context, {"action": "bounce"})
    assert failures == [Failure('action: got "bounce"; need restart, reload, none; try restart')]


FOLLOW = [
    ("restart", True, "systemctl restart squid"),
    ("reload", True, "systemctl reload-or-restart squid"),
    ("reload", False, "systemctl start squid"),
    ("none", True, None),
    ("none", False, "systemctl start squid"),
]


@pytest.mark.parametrize(("action", "active", "expected"), FOLLOW)
def test_how_the_unit_follows(action: str, active: bool, expected: str | None) -> None:
    script = scripts.apply(["/etc/squid/squid.conf"], [], "squid", action, active)
    verbs = [line.split(" ||")[0] for line in script.splitlines() if "systemctl " in line]
    enabled = "SYSTEMCTL_SKIP_SYSV=1 systemctl -q enable --no-reload squid"
    assert verbs == [enabled, *([expected] if expected else [])]
