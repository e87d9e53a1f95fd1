"""Resources that exist in the state alone: keys, passwords, certificates."""

from collections.abc import Iterable

from provider.resources.base import Found, Properties


def recorded(inputs: Properties, state: Properties, outputs: Iterable[str]) -> Found | None:
    """What the state holds is all there is; where it holds nothing (an import) there is nothing to find."""
    made = {name: state[name] for name in outputs if name in state}
    return Found(inputs, made) if made else None
