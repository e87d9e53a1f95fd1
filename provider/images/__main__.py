"""`python -m provider.images PROJECT [PATH...]`: the cache as JSON, for `./matrix cache`.

Without a path, everything that is in it; with paths, these are pruned, and told as they went or why not.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import platformdirs

from provider.images.stock import Stock


def main(project: str, *paths: str) -> None:
    stock = Stock(platformdirs.user_cache_path("cloudmatrix"), Path(project))
    items = stock.prune(Path(path) for path in paths) if paths else stock.items()
    json.dump([{**asdict(item), "path": str(item.path)} for item in items], sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
