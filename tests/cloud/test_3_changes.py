"""Changes of the plan touch what they must and nothing else, while clients go on being served."""

import json
import subprocess

from tests.rig.cloud import Cloud
from tests.rig.load import Load

BOTH = ("/simplewebapp1/", "/simplewebapp2/")


def boot_ids(cloud: Cloud, *hosts: str) -> dict[str, str]:
    return {host: cloud.host(host).run("cat /proc/sys/kernel/random/boot_id").stdout for host in hosts}


def test_mistakes_are_all_told_at_once_and_nothing_is_touched(cloud: Cloud) -> None:
    before, good = cloud.resources(), json.loads(json.dumps(cloud.settings))
    cloud.settings["applications"]["simplewebapp2"]["replica"] = 1
    cloud.settings["nodes"] = 99
    cloud.write_settings()
    done = cloud.matrix("up", "--yes", check=False)
    cloud.settings = good
    cloud.write_settings()
    assert done.code == 1
    assert 'applications.simplewebapp2.replica: unknown key; did you mean "replicas"?' in done.output
    assert "nodes: got 99" in done.output
    assert "Traceback" not in done.output
    assert cloud.changed(before) == set()


def test_a_changed_source_changes_its_application_alone(cloud: Cloud) -> None:
    before, boots = cloud.resources(), boot_ids(cloud, "manager", "node2", "node3")
    source = next((cloud.folder / "apps/simplewebapp1").rglob("*.java"))
    text = source.read_text()
    assert '"1.0.0"' in text
    source.write_text(text.replace('"1.0.0"', '"2.0.0"'))
    with Load([cloud.url(path) for path in BOTH]) as load:
        done = cloud.matrix("up", "--yes")
    print(done.seconds, load)
    assert cloud.changed(before) == {
        "simplewebapp1-build",
        "simplewebapp1-image",
        "simplewebapp1-node2",
        "simplewebapp1-node3",
        "simplewebapp1-route",
    }
    assert load.failures == []
    assert boot_ids(cloud, "manager", "node2", "node3") == boots
    names = cloud.host("node2").sudo("docker ps -a --format '{{.Names}}'").stdout.split()
    assert len(names) == 2, "the old container is gone"


def test_a_broken_image_leaves_the_old_version_serving(cloud: Cloud) -> None:
    source = next((cloud.folder / "apps/simplewebapp2").rglob("*.java"))
    good = source.read_text()
    before, main, after = good.partition("throws Exception {")
    # The build starts the program once with --warm-up: it must not fail there already.
    fault = 'if (arguments.length == 0) throw new IllegalStateException("no database");'
    source.write_text(f"{before}{main}\n{fault}\n{after}")
    done = cloud.matrix("up", "--yes", check=False)
    source.write_text(good)
    assert done.code != 0
    assert "no database" in done.output
    assert cloud.get("/simplewebapp2/")[0] == 200
    cloud.matrix("up", "--yes")
    names = cloud.host("node2").sudo("docker ps -a --format '{{.Names}}'").stdout.split()
    assert len(names) == 2, f"nothing of the failed version is left: {names}"


def test_a_node_more_touches_no_running_machine(cloud: Cloud) -> None:
    before, boots = cloud.resources(), boot_ids(cloud, "manager", "node2", "node3")
    cloud.settings["nodes"] = 3
    cloud.write_settings()
    preview = cloud.matrix("preview", "--diff").output
    assert "node4-vm" in preview
    with Load([cloud.url(path) for path in BOTH]) as load:
        done = cloud.matrix("up", "--yes")
    print(done.seconds, load)
    assert load.failures == []
    changed = cloud.changed(before)
    assert all("node4" in name for name in changed), changed
    assert boot_ids(cloud, "manager", "node2", "node3") == boots
    assert cloud.host("node4").run("hostname").stdout.strip() == "node4"


def test_a_job_from_an_archive_runs_once_and_its_log_is_kept(cloud: Cloud) -> None:
    """The first milestone: hello-world, from an archive, by way of the private registry, on a node."""
    make = [
        ".venv/bin/python",
        "-m",
        "provider.containers.prebuild",
        "--save",
        "hello-world.tar",
        "apps/hello",
    ]
    subprocess.run(make, cwd=cloud.folder, check=True)
    cloud.settings["applications"]["hello"] = {"archive": "hello-world.tar", "nodes": ["node4"]}
    cloud.write_settings()
    cloud.matrix("up", "--yes")
    assert "Hello" in cloud.resources()["hello-node4"]["outputs"]["log"]


def test_a_release_command_runs_before_the_route_changes(cloud: Cloud) -> None:
    plan = cloud.settings["applications"]["simplewebapp1"]
    plan["release"] = "java -jar /migrations/none.jar"
    cloud.write_settings()
    done = cloud.matrix("up", "--yes", check=False)
    assert done.code != 0
    assert "Unable to access jarfile /migrations/none.jar" in done.output
    assert cloud.get("/simplewebapp1/")[0] == 200
    plan["release"] = "java -version"
    cloud.write_settings()
    before = cloud.resources()
    cloud.matrix("up", "--yes")
    assert cloud.changed(before) == {"simplewebapp1-release"}
    del plan["release"]
    cloud.write_settings()
    cloud.matrix("up", "--yes")


def test_a_node_less_takes_only_its_own_things(cloud: Cloud) -> None:
    before, boots = cloud.resources(), boot_ids(cloud, "manager", "node2", "node3")
    cloud.settings["nodes"] = 2
    cloud.settings["applications"].pop("hello", None)
    cloud.write_settings()
    with Load([cloud.url(path) for path in BOTH]) as load:
        done = cloud.matrix("up", "--yes")
    print(done.seconds, load)
    assert load.failures == []
    changed = cloud.changed(before)
    assert all("node4" in name or name.startswith("hello") for name in changed), changed
    assert boot_ids(cloud, "manager", "node2", "node3") == boots
    assert not [line for line in cloud.processes() if "node4" in line]
