"""The ``isthmus`` command."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import click
import uvicorn

from isthmus import __version__
from isthmus.api.app import make_app
from isthmus.reconcile import work
from isthmus.reconcile.engine import Engine, Options
from isthmus.start import ADMINISTRATOR, prepare


@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "ISTHMUS"})
@click.version_option(__version__, prog_name="isthmus")
def main() -> None:
    """Isthmus: VMs on the networks of an external network provider, by oVirt's own API.

    Every option can also be set in the environment: --listen of the engine is ISTHMUS_LISTEN. Shell completion:
    eval "$(_ISTHMUS_COMPLETE=bash_source isthmus)".
    """


def _address(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.BadParameter(f"{value!r} is not of the form ADDRESS:PORT")
    return host.strip("[]"), int(port)


@main.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/isthmus"),
    show_default=True,
    envvar="ISTHMUS_DATA",
    help="Directory of the database, the keys and the files. Made at first start.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8443",
    show_default=True,
    callback=_address,
    envvar="ISTHMUS_LISTEN",
    help="ADDRESS:PORT of the API (HTTPS).",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    envvar="ISTHMUS_NAMES",
    help="A host name or address by which clients reach the API, for its certificate. May be repeated.",
)
@click.option(
    "--files",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    envvar="ISTHMUS_FILES",
    help="A directory from which users may name kernels and images. May be repeated. [default: DATA/files]",
)
@click.option(
    "--package-source", default="", envvar="ISTHMUS_PACKAGE_SOURCE", help="A line for the hosts' apt sources."
)
@click.option("--proxy", default="", envvar="ISTHMUS_PROXY", help="An HTTP proxy for the hosts' apt.")
@click.option(
    "--sweep",
    default=60.0,
    show_default=True,
    type=click.FloatRange(1, 86400),
    envvar="ISTHMUS_SWEEP",
    help="Seconds between two comparisons of a provider's ports with what is wanted.",
)
@click.option(
    "--emulation",
    type=click.Choice(["auto", "qemu"]),
    default="auto",
    show_default=True,
    envvar="ISTHMUS_EMULATION",
    help="auto: guests use KVM on hosts where it works. qemu: never.",
)
@click.option(
    "--agent-polling",
    default=1,
    show_default=True,
    type=click.IntRange(1, 60),
    envvar="ISTHMUS_AGENT_POLLING",
    help="Seconds between two looks of a host's L2 agent at its devices.",
)
@click.option("--log-level", default="info", type=click.Choice(["debug", "info", "warning"]), show_default=True)
def engine(
    data: Path,
    listen: tuple[str, int],
    names: tuple[str, ...],
    files: tuple[Path, ...],
    package_source: str,
    proxy: str,
    sweep: float,
    emulation: str,
    agent_polling: int,
    log_level: str,
) -> None:
    """Run the engine: the API, and the work that it is told to do.

    The first start makes the database, a certificate authority, a key for secrets and the administrator's password,
    which is printed once, or taken from ISTHMUS_ADMIN_PASSWORD.
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for loud in ("keystoneauth", "urllib3", "alembic", "paramiko", "openstack", "asyncio"):
        logging.getLogger(loud).setLevel(logging.WARNING)
    options = Options(
        package_source=package_source,
        proxy=proxy,
        files=files,
        sweep_seconds=sweep,
        emulation=emulation,
        agent_polling=agent_polling,
    )
    address, port = listen
    prepared = prepare(data, password=os.environ.get("ISTHMUS_ADMIN_PASSWORD") or None, options=options)
    if prepared.new_password:
        click.echo(f"The password of {ADMINISTRATOR} is {prepared.new_password} (shown only now)")
    certificate = prepared.engine.authority.https(
        dict.fromkeys(["localhost", "127.0.0.1", socket.gethostname(), address, *names])
    )
    with _listening(address, port) as listener:
        monitors = work.begin(prepared.engine)
        try:
            _serve(prepared.engine, certificate, listener)
        finally:
            work.end(prepared.engine, monitors)


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise click.ClickException(f"Cannot listen on {address}:{port}: {error.strerror}") from error
    return listener


def _serve(engine: Engine, certificate: Path, listener: socket.socket) -> None:
    config = uvicorn.Config(
        make_app(engine),
        ssl_certfile=str(certificate),
        ssl_keyfile=str(certificate),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
