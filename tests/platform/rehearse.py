#!/usr/bin/env python3
"""Plays the platform, and counts what clients saw: with the application alone, and with readygate before it.

Prints a table for each scene; exit code 0 when all that is promised holds, else 1 with what does not.
"""

import argparse
import asyncio
import contextlib
import pathlib
import sys
import tempfile

from cloud import Broken, Instance, Port
from counts import broken, table
from scenes import SCENES

# Seconds that the CPU stops for: in each form one stop is longer than any time that readygate allows below.
SHORT_STOPS, FULL_STOPS = (1, 5), (1, 3, 10, 60)

# Clients of each kind.
FEW, MANY = 12, 100

# readygate's time from SIGTERM to its exit. The short form leaves a busy machine more of the platform's 10 s; the full
# one has the default.
SHORT_DRAIN, FULL_DRAIN = "4s", "8500ms"

# A check's time, as in CONFIG, and what is allowed for its timer to be late by load alone.
CHECK_SECONDS = 4 + 0.5

# The times that a stop could be mistaken for the end of are shorter than the longest stop, and long for a busy machine.
# Everybody waits for the cache, which is a Redis, and for the authority; /websocket for a warehouse too, which is down.
CONFIG = """
[server]
listen = "127.0.0.1:8080"
header_timeout = "4500ms"
[admin]
listen = "127.0.0.1:{admin}"
[upstream]
url = "http://127.0.0.1:{app}"
check = "/health/ready"
[dependencies.cache]
check = "redis://127.0.0.1:{redis}"
[dependencies.authority]
check = {{ url = "http://127.0.0.1:{authority}/", fall = 1 }}
[dependencies.warehouse]
check = "tcp://127.0.0.1:{warehouse}"
[probe]
interval = "1s"
timeout = "4s"
profile = 10
[features]
adaptive_timing = false
[gate]
hold_timeout = "240s"
[hold]
frame_timeout = "4500ms"
[drain]
timeout = "{drain}"
[[routes]]
path = "/websocket"
[[routes]]
path = "*"
depends_on = ["cache", "authority"]
"""


class Authority:
    """A dependency that answers at once, or when it is told to."""

    def __init__(self):
        self.port = Port()
        self.may_answer, self.asked = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port.number)

    async def serve(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked.set()
            await self.may_answer.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async def withholds(self):
        """Returns once somebody waits for its answer."""
        self.may_answer.clear()
        self.asked.clear()
        await self.asked.wait()

    def answers(self):
        self.may_answer.set()


class Services:
    """What one instance depends on, and its configuration, which says so."""

    def __init__(self, stage):
        self.stage, self.authority, self.warehouse = stage, Authority(), Port()

    def configure(self, instance):
        ports = {"admin": instance.admin, "app": instance.inner, "redis": self.stage.redis}
        ports |= {"authority": self.authority.port, "warehouse": self.warehouse}
        numbers = {name: port.number for name, port in ports.items()}
        path = self.stage.directory / f"{instance.public.number}.toml"
        path.write_text(CONFIG.format(drain=self.stage.drain, **numbers))
        return path

    async def start(self):
        await self.authority.start()

    def warehouse_opens(self):
        """A connect is enough for its check; the kernel takes it."""
        self.warehouse.held.listen()

    def close(self):
        if hasattr(self.authority, "server"):
            self.authority.server.close()
        self.authority.port.close()
        self.warehouse.close()


class Stage:
    """What the scenes are played with."""

    def __init__(self, options, directory):
        self.readygate, self.directory = options.readygate, pathlib.Path(directory)
        self.stops = FULL_STOPS if options.full else SHORT_STOPS
        self.clients = options.clients or (MANY if options.full else FEW)
        self.drain = FULL_DRAIN if options.full else SHORT_DRAIN
        self.check_seconds = CHECK_SECONDS
        self.redis, self.cache = Port(), None

    async def start(self):
        arguments = ["--port", str(self.redis.number), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.directory)]
        null = asyncio.subprocess.DEVNULL
        self.cache = await asyncio.create_subprocess_exec("redis-server", *arguments, stdout=null, stderr=null)

    def instance(self, gated, **how):
        return Instance(self.readygate if gated else None, Services(self), **how)

    async def close(self):
        self.cache.kill()
        await self.cache.wait()
        self.redis.close()


async def rehearse(options):
    faults = []
    with tempfile.TemporaryDirectory(prefix="readygate-rehearsal-") as directory:
        stage = Stage(options, directory)
        await stage.start()
        try:
            for name in options.scenes or SCENES:
                columns = await SCENES[name](stage)
                print(table(f"{name}: {SCENES[name].__doc__}", columns), flush=True)
                promised = sum(len(column.promises) for column in columns)
                wrong = broken(columns)
                print(f"{promised - len(wrong)} of {promised} promises hold", *wrong, sep="\n  broken: ", flush=True)
                faults += wrong
        finally:
            await stage.close()
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="of " + ", ".join(SCENES) + " (default: all)")
    parser.add_argument("--readygate", required=True, help="the binary")
    parser.add_argument("--full", action="store_true", help="stops of up to 60 s, more clients, the default drain")
    parser.add_argument("--clients", type=int, help="clients of each kind")
    options = parser.parse_args()
    if unknown := set(options.scenes) - set(SCENES):
        parser.error(f"no such scene: {', '.join(sorted(unknown))}")
    try:
        sys.exit(1 if asyncio.run(rehearse(options)) else 0)
    except Broken as reason:
        sys.exit(f"the rehearsal cannot go on: {reason}")


if __name__ == "__main__":
    main()
