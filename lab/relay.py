"""Publishes APIs of the control network on the loopback interface.

The listening sockets are made in the user's network, the connections onward in the lab's: the process listens
first and then moves. `start` is what the lab calls; the module run as a program is the relay.
"""

import asyncio
import contextlib
import json
import socket
import sys
from pathlib import Path

from lab.network import enter
from lab.process import Process
from lab.process import start as start_process

BUFFER = 65536


def listen(preferred: int) -> socket.socket:
    """A listening socket on 127.0.0.1: on the preferred port, or a free one where that is taken."""
    for port in (preferred, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            if port == 0:
                raise
            continue
        listener.listen(128)
        return listener
    raise AssertionError("the loop returns or raises")


def start(
    namespace: Path, targets: dict[str, tuple[str, int]], preferred: dict[str, int], *, tag: str, log: Path
) -> tuple[Process, dict[str, int]]:
    """Start a relay to `targets`; returns it and the loopback port of each."""
    listeners = {name: listen(preferred[name]) for name in targets}
    plan = [[listeners[name].fileno(), *targets[name]] for name in targets]
    process = start_process(
        [sys.executable, "-m", "lab.relay", str(namespace), json.dumps(plan)],
        tag=tag,
        log=log,
        pass_fds=[listener.fileno() for listener in listeners.values()],
        cwd=Path(__file__).parents[1],
    )
    ports = {name: listener.getsockname()[1] for name, listener in listeners.items()}
    for listener in listeners.values():
        listener.close()
    return process, ports


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(BUFFER):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()


async def _serve(plan: list[tuple[int, str, int]]) -> None:
    servers = []
    for number, address, port in plan:

        async def handle(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            address: str = address,
            port: int = port,
        ) -> None:
            try:
                onward_reader, onward_writer = await asyncio.open_connection(address, port)
            except OSError:
                # what the caller would see without us: the connection is refused or lost
                writer.transport.abort()
                return
            try:
                await asyncio.gather(_pump(reader, onward_writer), _pump(onward_reader, writer))
            finally:
                for stream in (writer, onward_writer):
                    stream.close()

        servers.append(await asyncio.start_server(handle, sock=socket.socket(fileno=number)))
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    namespace, plan = sys.argv[1:]
    enter(Path(namespace))
    asyncio.run(_serve(json.loads(plan)))


if __name__ == "__main__":
    main()
