"""Debian's packages, from wherever the user's machine gets its own."""

from collections.abc import Sequence
from pathlib import Path

from lab.errors import CommandFailed
from lab.process import run

SUITE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_STANDARD = "http://deb.debian.org/debian"
_STANDARD_SECURITY = "http://deb.debian.org/debian-security"


def sources() -> list[str]:
    """Lines of a sources.list for Debian 12: the machine's own mirrors where it has any, else the standard ones."""
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)", "Created-By: Packages"]
    ).stdout
    found: dict[str, str] = {}
    for line in listed.splitlines():
        uri, release, component, origin = [*line.split(), ""][:4]
        if component == "main" and origin == "Debian" and uri.startswith(("http://", "https://")):
            found[release] = uri
    chosen = {
        SUITE: found.get(SUITE, _STANDARD),
        f"{SUITE}-updates": found.get(f"{SUITE}-updates", found.get(SUITE, _STANDARD)),
        f"{SUITE}-security": found.get(f"{SUITE}-security", _STANDARD_SECURITY),
    }
    return [f"deb [signed-by={KEYRING}] {uri} {release} main" for release, uri in chosen.items()]


def acquire_options() -> list[str]:
    """How the machine's apt reaches its mirrors (proxies, dates not checked, ...), as `Name "value";`."""
    dump = run(["apt-config", "dump", "--no-empty", "Acquire"]).stdout
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries")
    return [line for line in dump.splitlines() if line.startswith(wanted)]


class Archive:
    """Downloads packages for a root file system that lacks them, without touching it or the machine's own apt."""

    def __init__(self, root: Path | None, work: Path) -> None:
        """:param root: the root file system whose installed packages count as there; None for none.
        :param work: a directory for lists of packages, kept to save downloads."""
        self._work = work
        for part in ("lists/partial", "cache/archives/partial", "etc"):
            (work / part).mkdir(parents=True, exist_ok=True)
        status = work / "nothing-installed" if root is None else root / "var/lib/dpkg/status"
        (work / "nothing-installed").touch()
        (work / "etc/sources.list").write_text("\n".join(sources()) + "\n")
        settings = [
            f'Dir::State::status "{status}";',
            f'Dir::State::lists "{work}/lists";',
            f'Dir::State::extended_states "{work}/extended_states";',
            f'Dir::Cache "{work}/cache";',
            f'Dir::Etc::sourcelist "{work}/etc/sources.list";',
            'Dir::Etc::sourceparts "/dev/null";',
            'Dir::Etc::preferences "/dev/null";',
            'Dir::Etc::preferencesparts "/dev/null";',
            'APT::Install-Recommends "false";',
            'APT::Sandbox::User "root";',
            'Acquire::Languages "none";',
            *acquire_options(),
        ]
        self._config = work / "etc/apt.conf"
        self._config.write_text("\n".join(settings) + "\n")

    def update(self) -> None:
        self._apt("update", "-qq", timeout=300)

    def closure(self, packages: Sequence[str]) -> list[str]:
        """Names of the files that installing `packages` needs."""
        lines = self._apt("install", "--print-uris", "-qq", "-y", *packages, timeout=120).splitlines()
        return [line.split()[1] for line in lines if line.startswith("'")]

    def download(self, packages: Sequence[str], into: Path) -> None:
        """Fetch `packages` with all they need; what lies there already is not fetched again."""
        (into / "partial").mkdir(parents=True, exist_ok=True)
        self._apt(
            "install", "--download-only", "-qq", "-y", "-o", f"Dir::Cache::archives={into}", *packages, timeout=1800
        )

    def fetch(self, packages: Sequence[str], into: Path) -> list[Path]:
        """Fetch just these packages, without what they need."""
        into.mkdir(parents=True, exist_ok=True)
        argv = ["sh", "-c", 'cd "$1" && shift && exec apt-get download -qq "$@"', "sh", str(into), *packages]
        run(argv, timeout=900, env={"APT_CONFIG": str(self._config)})
        return sorted(into.glob("*.deb"))

    def depends(self, package: str) -> list[str]:
        """The packages that this one directly depends on."""
        shown = run(["apt-cache", "depends", "--important", package], env={"APT_CONFIG": str(self._config)}).stdout
        return [line.split()[1] for line in shown.splitlines() if line.strip().startswith("Depends:")]

    def _apt(self, *arguments: str, timeout: float) -> str:
        return run(["apt-get", *arguments], timeout=timeout, env={"APT_CONFIG": str(self._config)}).stdout


def install_on_machine(packages: Sequence[str]) -> None:
    """Install packages on the user's own machine.

    :raises CommandFailed: with apt's answer.
    """
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    argv = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends", *packages]
    try:
        run(argv, timeout=900, env=environment)
    except CommandFailed:
        run(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "update"], timeout=300, env=environment)
        run(argv, timeout=900, env=environment)
