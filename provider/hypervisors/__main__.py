"""`python -m provider.hypervisors FOLDER`: what there is to choose from, as JSON, for `./matrix`.

FOLDER is the stack's. So what `doctor` and `up` say beforehand is what the plugin itself would say.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from provider.errors import UserError
from provider.hypervisors import VIRTUALBOX, select
from provider.hypervisors.base import Facts
from provider.machine_record import hypervisor_in_use


def survey(stack_folder: Path) -> dict[str, Any]:
    """`in_use`: the name of what the stack has machines on, or None; `virtualbox`: its facts."""
    return {
        "in_use": hypervisor_in_use(stack_folder),
        "virtualbox": asdict(_facts(VIRTUALBOX, stack_folder.parent)),
    }


def _facts(name: str, root: Path) -> Facts:
    try:
        return select(name, root).probe()
    except UserError as error:
        return Facts(name, "", "", problems=(str(error),))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(survey(Path(sys.argv[1]))))
