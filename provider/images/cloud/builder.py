"""The source `cloud`: a distribution's cloud image, started once to install the list and to be sealed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provider.errors import UserError
from provider.images import apt, direct, finish, recipe
from provider.images.cloud import disk
from provider.images.disk import convert_argv
from provider.images.disk import run as run_tool
from provider.images.fetch import fetch
from provider.images.requirements import check_space
from provider.images.workshop import Job, Stage, outward, run
from provider.resources.base import Context
from provider.seed import iso

START = Path(__file__).with_name("start.sh")
STAGES = (
    Stage("starting the cloud image", "", 900),
    Stage("waiting for cloud-init", "^cloudmatrix: started", 420),
    *finish.STAGES,
)
SILENCE = 600.0
USER_DATA = """#cloud-config
# Only the disk is grown and the work begun; no user is made, no key, no name.
cloud_init_modules: [growpart, resizefs]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
growpart: {mode: auto, devices: ["/"]}
resize_rootfs: true
runcmd:
- mkdir -p /run/cloudmatrix-seed
- mount -o ro /dev/disk/by-label/CIDATA /run/cloudmatrix-seed
- systemd-run --no-block --unit=cloudmatrix-finish sh /run/cloudmatrix-seed/start
"""
META_DATA = "instance-id: cloudmatrix-base\nlocal-hostname: base\n"


def build(folder: Path, source: Mapping[str, Any], lock: int, context: Context) -> None:
    """Fill `folder` with disk.qcow2 and, where they can be read, vmlinuz and initrd.

    UserError for a bad file, and for a work that fails.
    """
    del lock  # its programs end with this process
    file = fetch(source, context.progress, context.cancelled)
    check_space(folder)
    form = disk.judged(file)
    context.progress("converting the image")
    work, seed = folder / "disk.raw", folder / "seed.iso"
    disk.convert(file, form, work)
    context.progress("looking for the mirror")
    seed.write_bytes(iso(seed_files(bundles(source.get("mirror", "")))))
    job = Job("cloud-image", folder, work, STAGES, cdroms=(seed,), silence=SILENCE)
    run(job, finish.judge, context.progress, context.cancelled)
    context.progress("packing the disk")
    direct.extract(work, folder)
    run_tool(convert_argv(work, folder / recipe.DISK))
    work.unlink()
    seed.unlink()


def bundles(mirror: str) -> dict[str, bytes]:
    """A finish for each system that the image can hold, by the name the start script looks for.

    With a mirror of its own that is each system it offers. UserError: none.
    """
    found: dict[str, bytes] = {}
    problem: UserError | None = None
    for distribution, release in recipe.SYSTEMS:
        try:
            content = finish.bundle(distribution, release, mirror, proxy())
        except UserError as error:
            problem = error
            continue
        found[f"finish-{distribution}-{release}"] = content
    if problem and not found:
        raise problem
    return found


def proxy() -> str:
    """This computer's HTTP proxy for apt, as the machine reaches it."""
    start = "Acquire::http::Proxy "
    given = (line.removeprefix(start).strip('"') for line in apt.proxies() if line.startswith(start))
    return outward(next(given, ""))


def seed_files(finishes: Mapping[str, bytes]) -> dict[str, str | bytes]:
    """What is on the NoCloud seed, by name. Pure."""
    systems = " or ".join(name.removeprefix("finish-").replace("-", " ") for name in finishes)
    start = START.read_text().replace("SYSTEMS", systems)
    return {"user-data": USER_DATA, "meta-data": META_DATA, "start": start, **finishes}
