"""What the L2 agent on this host is configured with: its mappings and the name that it calls the host by."""

from __future__ import annotations

import configparser
import socket
from dataclasses import dataclass, field
from pathlib import Path


class MappingsUnreadable(Exception):
    """The L2 agent's configuration is there and cannot be read: names the file."""


@dataclass(frozen=True)
class L2Agent:
    host: str = ""
    """As in ``binding:host_id`` of the ports on this host."""
    interfaces: dict[str, str] = field(default_factory=dict)
    """Physical network to interface."""
    bridges: dict[str, str] = field(default_factory=dict)
    """Physical network to a bridge that the administrator made, used in place of ``brq…``."""

    @property
    def mappings(self) -> dict[str, str]:
        return {**self.interfaces, **self.bridges}


def read(path: Path) -> L2Agent:
    """No file, no mappings. :raises MappingsUnreadable:"""
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text("utf-8"))
    except FileNotFoundError:
        return L2Agent()
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise MappingsUnreadable(f"the L2 agent's configuration {path} cannot be read: {error}") from error
    # "DEFAULT" is configparser's own fallback section, so its values are asked through any section.
    return L2Agent(
        host=parser.defaults().get("host", "").strip() or socket.gethostname(),
        interfaces=_pairs(parser.get("linux_bridge", "physical_interface_mappings", fallback="")),
        bridges=_pairs(parser.get("linux_bridge", "bridge_mappings", fallback="")),
    )


def _pairs(value: str | None) -> dict[str, str]:
    pairs = (item.strip().partition(":") for item in (value or "").replace("\n", ",").split(","))
    return {network.strip(): device.strip() for network, _, device in pairs if network and device}
