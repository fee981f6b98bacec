"""The agent's settings: one TOML file, every key optional but those that name its certificate."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

DEFAULT_PATH = Path("/etc/isthmus-agent/agent.toml")
_PKI = Path("/etc/isthmus-agent/pki")


class ConfigError(Exception):
    """The settings cannot be used: names the file and the key."""


@dataclass(frozen=True)
class Config:
    listen: str = "0.0.0.0"  # noqa: S104 - mutual TLS decides who is served; the role sets one address
    port: int = 54322
    certificate: Path = _PKI / "host.crt"
    key: Path = _PKI / "host.key"
    ca: Path = _PKI / "ca.crt"
    denied: Path = _PKI / "denied-serials"
    engine_name: str = "engine.isthmus"
    """The DNS name that a client's certificate must carry."""
    state_dir: Path = Path("/var/lib/isthmus-agent")
    log_dir: Path = Path("/var/log/isthmus-agent")
    hooks_dirs: tuple[Path, ...] = (Path("/usr/libexec/isthmus/hooks"), Path("/usr/libexec/vdsm/hooks"))
    hook_seconds: float = 30.0
    """How long one script may take before it is killed, which counts as a failure."""
    libvirt_uri: str = "qemu:///system"
    emulation: str = "auto"
    """``auto``: KVM where a probe guest ran under it, else QEMU's own emulation; ``qemu``: never KVM."""
    mappings_file: Path = Path("/etc/neutron/plugins/ml2/linuxbridge_agent.ini")
    l2_unit: str = "neutron-linuxbridge-agent"
    """The L2 agent's systemd unit, whose state is reported."""
    log_level: str = "INFO"


def load(path: Path) -> Config:
    """:raises ConfigError: unreadable, not TOML, an unknown key, a value of the wrong kind."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    known = {field.name: field.default for field in fields(Config)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{path}: unknown key {key!r}; known are {', '.join(sorted(known))}")
        values[key] = _convert(path, key, value, known[key])
    config = Config(**values)
    if config.emulation not in ("auto", "qemu"):
        raise ConfigError(f"{path}: emulation must be 'auto' or 'qemu', not {config.emulation!r}")
    return config


def _convert(path: Path, key: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple):
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return tuple(Path(item) for item in value)
        raise ConfigError(f"{path}: {key} must be a list of paths")
    if isinstance(default, Path) and isinstance(value, str):
        return Path(value)
    if isinstance(default, float) and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if type(value) is type(default):
        return value
    raise ConfigError(f"{path}: {key} must be a {type(default).__name__}, not {value!r}")
