"""The answers to an installer's questions: complete, free of secrets and device names, and valid."""

import re
import shlex
import subprocess

import pytest
import yaml

from cloudinit.installer import (
    BEFORE_PARTITIONING,
    Answers,
    autoinstall,
    before_partitioning,
    finish_install,
    preseed,
)

MIRROR = "http://mirror.example:8080/debian/"


def lines(text):
    """The preseed's answers: question -> (type, value)."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            owner, question, kind, *value = line.split(" ", 3)
            assert owner in ("d-i", "popularity-contest", "man-db")
            assert kind in ("string", "boolean", "select", "multiselect", "password", "note"), line
            assert question not in found
            found[question] = (kind, "".join(value))
    return found


def test_the_mirror_and_the_proxy_are_the_installers():
    answers = lines(preseed(Answers(MIRROR, "http://proxy.example:3128")))
    assert answers["mirror/country"] == ("string", "manual")
    assert answers["mirror/protocol"] == ("string", "http")
    assert answers["mirror/http/hostname"] == ("string", "mirror.example:8080")
    assert answers["mirror/http/directory"] == ("string", "/debian")
    assert answers["mirror/http/proxy"] == ("string", "http://proxy.example:3128")


def test_a_mirror_by_https_without_a_proxy():
    answers = lines(preseed(Answers("https://mirror.example")))
    assert answers["mirror/protocol"] == ("string", "https")
    assert answers["mirror/https/hostname"] == ("string", "mirror.example")
    assert answers["mirror/https/directory"] == ("string", "/")
    assert answers["mirror/https/proxy"] == ("string", "")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("passwd/root-password-crypted", ("password", "*")),  # a password that nothing matches
        ("passwd/make-user", ("boolean", "false")),
        ("apt-setup/disable-cdrom-entries", ("boolean", "true")),
        ("base-installer/kernel/image", ("string", "none")),  # the finish brings it
        ("base-installer/debootstrap_variant", ("string", "minbase")),  # as what is made from packages
        ("cdrom-detect/eject", ("boolean", "false")),
        ("debian-installer/exit/poweroff", ("boolean", "true")),
        ("debian-installer/locale", ("string", "de_AT.UTF-8")),
        ("keyboard-configuration/xkb-keymap", ("select", "de")),
    ],
)
def test_preseed(question, answer):
    assert lines(preseed(Answers(MIRROR, locale="de_AT.UTF-8", keyboard="de")))[question] == answer


def test_the_whole_disk_is_one_partition_that_can_grow():
    recipe = lines(preseed(Answers(MIRROR)))["partman-auto/expert_recipe"][1]
    assert recipe.count("mountpoint{") == 1
    assert "label{ root }" in recipe
    assert recipe.endswith(" .")


def test_what_the_finish_would_undo_is_not_done():
    script = before_partitioning()
    for step in ("05localechooser", "20console-setup", "pre-pkgsel.d/*", "grub-installer.postinst"):
        assert step in script


def test_no_device_is_named():
    for text in (preseed(Answers(MIRROR)), autoinstall(Answers())):
        assert not re.search(r"/dev/(vd|sd|hd|nvme)", text)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"mirror": "file:/srv/debian"}, 'mirror: got "file:/srv/debian"; need a URL; try http://…'),
        ({"proxy": "squid:3128"}, 'proxy: got "squid:3128"; need a URL; try http://…'),
        ({"mirror": "http://x/a\nd-i x"}, 'mirror: got "http://x/a\nd-i x"; need a URL; try http://…'),
        ({"locale": "de\nd-i"}, 'locale: got "de\nd-i"; need a name such as en_US.UTF-8'),
        ({"keyboard": "us intl"}, 'keyboard: got "us intl"; need a name such as us'),
    ],
)
def test_what_an_installer_would_misread_is_refused(fields, error):
    with pytest.raises(ValueError, match="need") as caught:
        Answers(**fields)
    assert str(caught.value) == error


def test_the_debian_installer_needs_a_mirror():
    with pytest.raises(ValueError, match=r'^mirror: got ""; need a URL; try http://…$'):
        preseed(Answers())


@pytest.mark.parametrize("script", [before_partitioning(), finish_install()], ids=["first", "last"])
def test_the_scripts_are_some_that_the_installers_shell_reads(script):
    subprocess.run(["busybox", "sh", "-n"], input=script.encode(), check=True, timeout=10)


def test_a_script_of_ours_runs_before_the_disk_is_partitioned():
    command = lines(preseed(Answers(MIRROR)))["partman/early_command"][1]
    assert command == f"sh /{BEFORE_PARTITIONING}"


TEXT, FLAG, NUMBER, LIST, MAPPING = str, bool, int, list, dict
SCHEMA = {
    "version": {1},
    "locale": TEXT,
    "keyboard": {"layout": TEXT, "variant": TEXT, "toggle": TEXT},
    "timezone": TEXT,
    "refresh-installer": {"update": FLAG, "channel": TEXT},
    "proxy": TEXT,
    "apt": {
        "mirror-selection": {"primary": LIST},
        "geoip": FLAG,
        "fallback": {"abort", "continue-anyway", "offline-install"},
    },
    "source": {"id": TEXT, "search_drivers": FLAG},
    "storage": MAPPING,
    "user-data": MAPPING,
    "updates": {"security", "all"},
    "shutdown": {"reboot", "poweroff"},
    "late-commands": LIST,
    "error-commands": LIST,
}
"""The keys of autoinstall's reference that we write: a type, the allowed values, or the keys below."""


def faults(value, schema, where="autoinstall"):
    if isinstance(schema, dict):
        unknown = [f"{where}.{key}: unknown" for key in value if key not in schema]
        below = (faults(each, schema[key], f"{where}.{key}") for key, each in value.items() if key in schema)
        return unknown + [fault for group in below for fault in group]
    if isinstance(schema, set):
        return [] if value in schema and not isinstance(value, bool) else [f"{where}: {value!r}"]
    return [] if type(value) is schema else [f"{where}: {value!r} is not {schema.__name__}"]


@pytest.mark.parametrize("answers", [Answers(), Answers("http://m.example/ubuntu", "http://p.example:3128")])
def test_autoinstall_has_the_keys_and_types_that_are_documented(answers):
    """Ubuntu publishes a JSON schema of this file with its installer, under the AGPL, so it is not copied
    here. What is checked is a table of our own of the keys we write, after Ubuntu's reference. Both
    documents passed the published schema (version of August 2026) when the template was written, and a
    document with wrong types, values and keys did not."""
    text = autoinstall(answers)
    assert text.startswith("#cloud-config\n")
    document = yaml.safe_load(text)
    assert list(document) == ["autoinstall"]
    assert faults(document["autoinstall"], SCHEMA) == []
    assert all(isinstance(command, str) for command in document["autoinstall"]["late-commands"])


def test_the_table_finds_faults():
    wrong = {"version": 2, "shutdown": "halt", "keyboard": {"layout": 1, "x": 2}, "interactive-sections": []}
    assert faults(wrong, SCHEMA) == [
        "autoinstall.interactive-sections: unknown",
        "autoinstall.version: 2",
        "autoinstall.shutdown: 'halt'",
        "autoinstall.keyboard.x: unknown",
        "autoinstall.keyboard.layout: 1 is not str",
    ]


def test_ubuntu_uses_its_own_mirror_unless_one_is_given():
    def section(answers):
        return yaml.safe_load(autoinstall(answers))["autoinstall"].get("apt")

    assert section(Answers()) is None
    assert section(Answers("http://m.example/ubuntu"))["mirror-selection"] == {
        "primary": [{"uri": "http://m.example/ubuntu"}]
    }


def test_nobody_is_asked_and_nobody_can_log_in():
    section = yaml.safe_load(autoinstall(Answers()))["autoinstall"]
    assert "interactive-sections" not in section
    assert section["user-data"] == {}
    assert not {"identity", "ssh"} & section.keys()


def test_the_finish_runs_inside_the_new_system_and_is_seen_on_the_console():
    command = yaml.safe_load(autoinstall(Answers()))["autoinstall"]["late-commands"][-1]
    assert shlex.split(command) == [
        *("curtin", "in-target", "--", "sh", "/var/tmp/finish/finish", ">/dev/console", "2>&1")
    ]
