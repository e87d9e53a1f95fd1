"""The serial console's log: its tail for the user, its size for the disk."""

from pathlib import Path

from provider.hypervisors import console


def test_the_tail_is_plain_text(tmp_path: Path) -> None:
    file = tmp_path / "console.log"
    file.write_bytes(b"first\r\n\x1b[0;32m  OK  \x1b[0m] Started\r\n\x1b[!p\x1b]104\x07\r\n\xff\x07login: ")
    assert console.tail(file, 2) == ["  OK  ] Started", "\ufffdlogin:"]
    assert console.tail(tmp_path / "none", 5) == []


def test_a_long_log_keeps_its_end_while_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "console.log"
    with file.open("ab") as machine:
        machine.write(b"x" * console.LIMIT + b"the end\n")
        machine.flush()
        console.bound(file)
        machine.write(b"and on\n")
    assert console.tail(file, 1) == ["and on"]
    assert file.stat().st_size == console.KEPT + len(b"and on\n")
    assert file.read_bytes().endswith(b"the end\nand on\n")
