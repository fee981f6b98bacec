"""Provider types are found by entry point, ours and other people's."""

from importlib.metadata import EntryPoint

import pytest

from isthmus.providers import registry
from isthmus.providers.base import Settings
from isthmus.providers.neutron import NeutronProvider
from isthmus.providers.unmanaged import UnmanagedProvider

SETTINGS = Settings("id", "name", "http://127.0.0.1:9696", "d1")


def test_the_types_that_come_with_us() -> None:
    found = registry.types()
    assert found["neutron"] is NeutronProvider
    assert found["unmanaged"] is UnmanagedProvider
    assert all(name == kind.type for name, kind in found.items())


def test_making_one() -> None:
    made = registry.make("neutron", SETTINGS)
    assert isinstance(made, NeutronProvider)
    assert made.settings is SETTINGS
    made.close()


def test_an_unknown_type_names_those_that_are_there() -> None:
    with pytest.raises(registry.UnknownType, match=r"'ovn'.*neutron, unmanaged"):
        registry.make("ovn", SETTINGS)


def test_an_entry_point_to_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = EntryPoint("wrong", "isthmus.providers.base:Settings", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [wrong])
    with pytest.raises(TypeError, match=r"'wrong'.*not a network provider"):
        registry.types()


def test_two_packages_with_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("neutron", "isthmus.providers.neutron:NeutronProvider", registry.GROUP),
        EntryPoint("neutron", "isthmus.providers.unmanaged:UnmanagedProvider", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.raises(TypeError, match="two packages"):
        registry.types()
