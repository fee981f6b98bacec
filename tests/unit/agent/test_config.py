"""The settings: defaults, and a mistake is named by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.agent.config import Config, ConfigError, load


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("")
    assert load(path) == Config()


def test_values(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('port = 1\nkey = "/k"\nhooks_dirs = ["/a", "/b"]\nhook_seconds = 5\nemulation = "qemu"\n')
    config = load(path)
    assert (config.port, config.key, config.hooks_dirs) == (1, Path("/k"), (Path("/a"), Path("/b")))
    assert (config.hook_seconds, config.emulation) == (5.0, "qemu")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", "unknown key 'prot'"),
        ('port = "x"', "port must be a int"),
        ("hooks_dirs = [1]", "hooks_dirs must be a list of paths"),
        ("emulation = 'xen'", "emulation must be"),
        ("= ", "agent.toml: "),
    ],
)
def test_mistakes(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none")
