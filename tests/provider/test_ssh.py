"""Commands and tunnels over a real sshd."""

import http.server
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from provider import ssh
from tests.rig import sshd as rig

pytestmark = pytest.mark.skipif(rig.MISSING is not None, reason=str(rig.MISSING))


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with rig.sshd(tmp_path_factory.mktemp("sshd")) as wire:
        yield wire


def test_output_and_exit_code_come_back(connection: dict[str, Any]) -> None:
    result = ssh.connect(connection).run("echo out; echo err >&2; exit 3", check=False)
    assert result == ssh.Result(3, "out\n", "err\n")


def test_a_megabyte_goes_in_and_out_unchanged(connection: dict[str, Any]) -> None:
    text = "0123456789abcde\n" * 65536
    assert ssh.connect(connection).run("cat", stdin=text).stdout == text


def test_stdin_that_nobody_reads_does_no_harm(connection: dict[str, Any]) -> None:
    assert ssh.connect(connection).run("echo done", stdin="x" * 4_000_000).stdout == "done\n"


def test_a_failed_command_is_told_with_its_last_words(connection: dict[str, Any]) -> None:
    with pytest.raises(ssh.CommandFailed) as failure:
        ssh.connect(connection).run("echo no space left >&2; exit 28")
    name = f"127.0.0.1:{connection['port']}"
    assert str(failure.value) == f"{name}: exit code 28 from: echo no space left >&2; exit 28\nno space left"


def test_a_command_without_end_is_given_up(connection: dict[str, Any]) -> None:
    with pytest.raises(ssh.CommandFailed, match=r"no end after 0.3 s: sleep 30"):
        ssh.connect(connection).run("sleep 30", timeout=0.3)


def test_a_daemon_left_behind_does_not_hold_the_command(connection: dict[str, Any]) -> None:
    assert ssh.connect(connection).run("sleep 20 & echo started", timeout=10).stdout == "started\n"


def test_equal_connections_share_one_host(connection: dict[str, Any]) -> None:
    assert ssh.connect(dict(connection)) is ssh.connect(connection)


def test_a_lost_connection_is_made_again(connection: dict[str, Any]) -> None:
    host = ssh.connect(connection)
    host.run("true")
    host._transport().close()  # type: ignore[attr-defined]
    assert host.run("echo again").stdout == "again\n"


def test_through_a_proxy(connection: dict[str, Any]) -> None:
    assert ssh.connect({**connection, "proxy": connection}).run("echo there").stdout == "there\n"


def test_a_tunnel_leads_to_the_far_port(connection: dict[str, Any]) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with ssh.connect(connection).forward("127.0.0.1", server.server_port) as port:
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/").read() == b"hello"
    server.shutdown()


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args: object) -> None: ...


def test_another_host_key_is_refused_before_the_login(connection: dict[str, Any]) -> None:
    other = rig.new_key().public
    with pytest.raises(ssh.WrongHostKey, match="the host key is not the one this machine was made with"):
        ssh.connect({**connection, "host_key": other}).run("true")


def test_another_user_key_is_refused(connection: dict[str, Any]) -> None:
    with pytest.raises(ssh.AuthenticationFailed, match="the key is refused for user root"):
        ssh.connect({**connection, "private_key": rig.new_key().private}).run("true")


def test_a_closed_port_is_unreachable(connection: dict[str, Any]) -> None:
    with pytest.raises(ssh.Unreachable):
        ssh.connect({**connection, "port": rig.free_port()}).run("true")


def test_a_connection_that_is_closed_at_once_says_why(connection: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        closing = threading.Thread(target=lambda: server.accept()[0].close())
        closing.start()
        with pytest.raises(ssh.Unreachable, match=rf"^SSH to 127\.0\.0\.1:{port}: \w+"):
            ssh.connect({**connection, "port": port}).run("true")
        closing.join()
