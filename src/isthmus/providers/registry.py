"""The provider types that are installed: found by entry point, so that a third party can ship one."""

from __future__ import annotations

import functools
from importlib.metadata import entry_points

from isthmus.providers.base import NetworkProvider, Settings

GROUP = "isthmus.network_providers"


class UnknownType(LookupError):
    """No provider of this type is installed."""


def types() -> dict[str, type[NetworkProvider]]:
    """Every installed type by its name.

    :raises TypeError: an entry point names something that is not a provider, or two packages claim one name.
    """
    found: dict[str, type[NetworkProvider]] = {}
    for point in entry_points(group=GROUP):
        loaded = point.load()
        if not (isinstance(loaded, type) and issubclass(loaded, NetworkProvider)):
            raise TypeError(f"entry point {point.name!r} ({point.value}) is not a network provider class")
        if found.setdefault(point.name, loaded) is not loaded:
            raise TypeError(
                f"two packages provide the network provider type {point.name!r}: {found[point.name].__module__}"
                f" and {loaded.__module__}; uninstall one"
            )
    return found


@functools.cache
def _installed() -> dict[str, type[NetworkProvider]]:
    """What is installed does not change while a process runs, and looking costs milliseconds."""
    return types()


def make(type_name: str, settings: Settings) -> NetworkProvider:
    """An instance for one row of the database. Talks to nobody yet.

    :raises UnknownType: with the names that are installed.
    """
    installed = _installed()
    if type_name not in installed:
        raise UnknownType(
            f"no network provider of type {type_name!r} is installed (there are: {', '.join(sorted(installed))})"
        )
    return installed[type_name](settings)
