"""From nothing to two applications, and then to no changes."""

import subprocess
import time

from tests.rig.cloud import SECRET, Cloud


def test_up_raises_everything_and_says_where_it_is(cloud: Cloud) -> None:
    cloud.matrix("config", "set", "--secret", "--path", "applications.simplewebapp1.secrets.TOKEN", SECRET)
    done = cloud.matrix("up", "--yes")
    print(done.output)
    for application in ("simplewebapp1", "simplewebapp2"):
        assert cloud.url(f"/{application}/") in done.output
    for host in ("manager", "node2", "node3"):
        assert host in cloud.outputs()["ssh"]


def test_both_applications_answer_from_both_nodes_in_turn(cloud: Cloud) -> None:
    for application in ("simplewebapp1", "simplewebapp2"):
        answers = [cloud.get(f"/{application}/") for _ in range(20)]
        assert {code for code, _ in answers} == {200}
        assert all(application in text for _, text in answers)
        assert {node for node in ("node2", "node3") for _, text in answers if node in text} == {
            "node2",
            "node3",
        }


def test_unknown_paths_are_told_so(cloud: Cloud) -> None:
    assert cloud.get("/nothing/here")[0] == 404


def test_a_second_up_changes_nothing(cloud: Cloud) -> None:
    before = cloud.resources()
    begin = time.monotonic()
    cloud.matrix("up", "--yes")
    print(f"second up: {time.monotonic() - begin:.2f} s")
    assert cloud.changed(before) == set()


def test_refresh_sees_no_drift(cloud: Cloud) -> None:
    before = cloud.resources()
    cloud.matrix("refresh", "--yes")
    assert cloud.changed(before) == set()


def test_the_tree_is_as_clean_as_before(cloud: Cloud) -> None:
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=cloud.folder, capture_output=True, text=True, check=True
    )
    assert status.stdout == "?? Pulumi.e2e.yaml\n", "only what the test itself wrote"
