"""The passphrase that seals secrets in the state: the user's, else one made once and kept."""

import os
import secrets
from collections.abc import MutableMapping
from pathlib import Path

from cli.errors import CliError

TEXT, FILE = "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"


def provide(folder: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Leaves a passphrase in the environment. Raises CliError for an empty one: it would protect nothing."""
    if environment.get(TEXT) == "":
        raise CliError(f"{TEXT} is empty, which protects nothing; set it to a passphrase, or unset it")
    if TEXT not in environment and not environment.get(FILE):
        environment[FILE] = str(kept(folder))


def kept(folder: Path) -> Path:
    """The file with the passphrase of this project, made when it is missing. Two at once make the same."""
    file = folder / "passphrase"
    if not file.exists():
        draft = folder / f"passphrase.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(32) + "\n")
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file
