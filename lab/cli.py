"""`python -m lab`: the lab's command line."""

import os
import shutil
import sys
from pathlib import Path

import click

from lab.cache import VARIABLE
from lab.errors import LabError

_KEPT = (VARIABLE, "http_proxy", "https_proxy", "no_proxy", "PYTHONPATH", "TERM")


def become_root() -> None:
    """Run the whole command again through sudo, if need be: namespaces, mounts and containers take root."""
    if os.geteuid() == 0:
        return
    if shutil.which("sudo") is None:
        raise LabError("the lab needs root and this machine has no sudo; run the command as root")
    kept = [f"{name}={os.environ[name]}" for name in _KEPT if name in os.environ]
    os.execvp("sudo", ["sudo", "env", *kept, sys.executable, "-m", "lab", *sys.argv[1:]])  # noqa: S606


class _Group(click.Group):
    """Shows a LabError as a message, not as a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LabError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, help="A small data centre on this machine.")
@click.option(
    "--checkout",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="Whose lab; this checkout's when not given.",
)
@click.pass_context
def main(context: click.Context, checkout: Path | None) -> None:
    become_root()
    context.obj = checkout or Path(__file__).resolve().parents[1]


@main.command(help="Make the lab, or mend the one there is; start the engine.")
@click.option("--engine/--no-engine", default=True, help="Whether to start the engine too.")
@click.pass_obj
def up(checkout: Path, engine: bool) -> None:
    from lab.lab import Lab
    from lab.progress import Progress

    progress = Progress()
    lab = Lab.up(progress, checkout, engine=engine)
    progress.say(f"The lab is up; '. {lab.place.env}' tells a shell where everything is.")


@main.command(help="Remove the lab; only the cache stays.")
@click.pass_obj
def down(checkout: Path) -> None:
    from lab.lab import Lab
    from lab.progress import Progress

    Lab.down(Progress(), checkout)


@main.command(help="Say what runs; exits with 3 when something does not.")
@click.pass_obj
def status(checkout: Path) -> None:
    from lab.lab import Lab
    from lab.status import parts

    shown = parts(Lab.load(checkout))
    width = max(len(part.name) for part in shown)
    for part in shown:
        click.echo(f"{part.name:<{width}}  {'up' if part.up else 'DOWN':<4}  {part.detail}")
    if not all(part.up for part in shown):
        sys.exit(3)


@main.command(
    help="Run a command on HOST (h1, h2, control), or a shell there.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def shell(checkout: Path, host: str, command: tuple[str, ...]) -> None:
    from lab.lab import Lab

    argv = Lab.load(checkout).container(host).enter(command or ("bash", "-l"))
    os.execvp(argv[0], argv)  # noqa: S606


@main.group(help="The engine that the lab runs.")
def engine() -> None:
    pass


@engine.command("start", help="Start the engine and wait until it is healthy.")
@click.option("--env", "settings", multiple=True, metavar="NAME=VALUE", help="A further environment variable.")
@click.pass_obj
def engine_start(checkout: Path, settings: tuple[str, ...]) -> None:
    from lab.lab import Lab

    lab = Lab.load(checkout)
    with lab.place.locked():
        lab.engine.start(dict(setting.split("=", 1) for setting in settings))
    click.echo(f"The engine is at {lab.engine.url}.")


@engine.command("stop", help="Ask the engine to end, and wait until it has.")
@click.pass_obj
def engine_stop(checkout: Path) -> None:
    from lab.lab import Lab

    lab = Lab.load(checkout)
    with lab.place.locked():
        ended = lab.engine.stop()
    if not ended:
        raise LabError(f"the engine did not end when asked and was killed; see {lab.engine.log}")


@engine.command("kill", help="Kill the engine as a crash does.")
@click.option("-9", "_nine", is_flag=True, help="What is done anyway.")
@click.pass_obj
def engine_kill(checkout: Path, _nine: bool) -> None:
    from lab.lab import Lab

    lab = Lab.load(checkout)
    with lab.place.locked():
        lab.engine.kill()
