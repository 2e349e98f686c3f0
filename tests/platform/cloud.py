"""The platform, as Cloud Run plays it: containers in one instance, probes, traffic, signals, and a CPU that stops.

An instance is a readygate and an application, or the application alone, each a process of its own on ports of the
kernel's choice. What is played, after Google's documentation of the container contract:

- PORT is given to the ingress container alone. Traffic comes the moment that port listens.
- A container that depends on another starts when the other's start-up probe has passed.
- SIGTERM goes to every container at once, and SIGKILL to what is left 10 s later.
- Where CPU is billed by request, it stops while no request is in flight, and goes on as one arrives.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What a container has from SIGTERM to SIGKILL.
GRACE_SECONDS = 10

# Start-up probes: the platform waits for period × threshold, 240 s at most, and answers within a second.
PROBE_SECONDS = 0.1
PROBE_THRESHOLD = 1200
PROBE_TIMEOUT_SECONDS = 1

# Between two looks at a port that does not listen yet.
KNOCK_SECONDS = 0.002

# The checks of what is there; of the warehouse, which is not, nothing is said.
CHECKS = ("upstream", "cache", "authority")

# For what is bound to happen. Only a rehearsal that fails reaches it.
PATIENCE_SECONDS = 120


class Broken(Exception):
    """The rehearsal cannot go on."""


async def within(what, awaitable):
    """What `awaitable` gives, or a failure that names what was waited for."""
    try:
        return await asyncio.wait_for(awaitable, PATIENCE_SECONDS)
    except TimeoutError:
        raise Broken(f"waited in vain for {what}") from None


async def until(what, look):
    """Looks until `look` finds what it looks for, and gives that."""

    async def looking():
        while not (found := await look()):
            await asyncio.sleep(PROBE_SECONDS)
        return found

    return await within(what, looking())


async def http_get(port, path, timeout=PATIENCE_SECONDS):
    """Status and body of a GET."""
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        raise ConnectionError("the connection ended within the answer's head")
    return int(head.split(b" ", 2)[1]), body


class Port:
    """A port that nobody else is given. Bound and silent, a connect to it is refused, and it can be bound once more by
    who also sets SO_REUSEADDR, as readygate, the application and Redis do."""

    def __init__(self):
        self.held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.held.bind(("127.0.0.1", 0))
        self.number = self.held.getsockname()[1]

    def close(self):
        self.held.close()


class Container:
    """One process, the first of its container: signals go to it, the end and a stopped CPU to all that it started."""

    def __init__(self, name, argv, env):
        self.name, self.argv, self.env = name, argv, env
        self.lines = []
        self.books = None

    async def start(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *self.argv, env=self.env, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
            limit=1 << 26,
        )
        self.reading = asyncio.create_task(self.read())

    async def read(self):
        async for line in self.process.stdout:
            self.hear(line.decode())

    def hear(self, line):
        word, _, rest = line.partition(" ")
        if word == "books":
            self.books = json.loads(rest)
        else:
            self.lines.append(line)

    def tell(self):
        """A line on its standard input: the application's boot is over."""
        self.process.stdin.write(b"\n")

    def terminate(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def signal_all(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    async def ended(self, began):
        """How it ended, after the SIGTERM of the moment `began`."""
        try:
            left = began + GRACE_SECONDS - time.monotonic()
            code = await asyncio.wait_for(self.process.wait(), left)
            killed = False
        except TimeoutError:
            self.signal_all(signal.SIGKILL)
            code, killed = await self.process.wait(), True
        seconds = time.monotonic() - began
        # What it started shares its output.
        self.signal_all(signal.SIGKILL)
        await self.reading
        return {"code": code, "killed": killed, "seconds": seconds}

    def kill(self):
        if hasattr(self, "process"):
            self.signal_all(signal.SIGCONT)
            self.signal_all(signal.SIGKILL)


class Instance:
    """Containers that live and die together; `gated` with a readygate as the ingress."""

    def __init__(self, readygate, services, order="readygate first", deaf=False):
        self.gated, self.services = readygate is not None, services
        self.public, self.inner, self.admin = Port(), Port(), Port()
        self.app_port = self.inner if self.gated else self.public
        self.in_flight, self.cpu_stops, self.stopped = 0, False, False
        self.exits = None
        env = {name: value for name, value in os.environ.items() if not name.startswith(("READYGATE", "K_"))}
        env.pop("PORT", None)
        # As on Cloud Run; the project keeps everybody from asking the metadata server for it.
        env |= {"K_SERVICE": "rehearsal", "K_REVISION": "rehearsal-1", "GOOGLE_CLOUD_PROJECT": "rehearsal"}
        ingress = env | {"PORT": str(self.public.number)}
        self.app = Container("app", self.app_command(deaf), env if self.gated else ingress)
        self.containers = [self.app]
        if self.gated:
            config = services.configure(self)
            self.gate = Container("readygate", [readygate, "--config", str(config)], ingress)
            self.containers = [self.gate, self.app] if order == "readygate first" else [self.app, self.gate]

    def app_command(self, deaf):
        command = [sys.executable, str(ROOT / "tests/race/app.py"), "--port", str(self.app_port.number)]
        command += ["--bind", "early", "--boot-stdin", "--register", "before", "--cold", "lose", "--books"]
        # What a Dockerfile's CMD in shell form gives: the signal ends at a shell, which does not pass it on.
        return ["sh", "-c", 'trap "" TERM; "$@"; exit $?', "sh", *command] if deaf else command

    async def start(self):
        """Starts the containers in their order, each after the start-up probe of the one before it."""
        await self.services.start()
        for container in self.containers:
            await container.start()
            await self.probed(container)

    async def probed(self, container):
        is_gate = self.gated and container is self.gate
        port, path = (self.admin, "/startupz") if is_gate else (self.app_port, "/health")
        for _ in range(PROBE_THRESHOLD):
            with contextlib.suppress(OSError, TimeoutError):
                status, _ = await http_get(port.number, path, PROBE_TIMEOUT_SECONDS)
                if status == 200:
                    return
            if container.process.returncode is not None:
                raise Broken(f"{container.name} has ended before its start-up probe passed: {container.lines[-3:]}")
            await asyncio.sleep(PROBE_SECONDS)
        raise Broken(f"the start-up probe of {container.name} never passed")

    async def listens(self):
        """Resolves the moment the ingress port takes connections, not before and not later."""

        async def knock():
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.public.number)
                    return writer.close()
                await asyncio.sleep(KNOCK_SECONDS)

        await within("the ingress port", knock())

    async def boots(self):
        """The application's boot is over, and whoever asks it is told so."""
        self.app.tell()
        await until("the end of the boot", self.is_ready)

    async def is_ready(self):
        status, _ = await http_get(self.app_port.number, "/health/ready")
        return status == 200

    async def shuts(self):
        """Waits until the gate is shut for those too who need no warehouse."""

        async def look():
            return (await self.metrics())['readygate_gate_verdict{route="*",verdict="shut"}'] == 1

        await until("a shut gate", look)

    async def checks(self, more_than):
        """Waits until each check of `more_than`, the metrics of before, has run again; gives the metrics."""

        async def look():
            metrics = await self.metrics()
            runs = [f'readygate_check_duration_seconds_count{{check="{check}"}}' for check in CHECKS]
            return all(metrics[name] > more_than[name] for name in runs) and metrics

        return await until("a fresh run of each check", look)

    async def judges(self, before):
        """Waits until the check of the authority that was under way has come to something, be it void."""

        def runs(metrics):
            names = ("check_duration_seconds_count", "check_void_total")
            return sum(metrics[f'readygate_{name}{{check="authority"}}'] for name in names)

        async def look():
            return runs(await self.metrics()) > runs(before)

        await until("the end of a check", look)

    async def check_begins(self):
        """A check waits for its answer, as the CPU may find it when it stops; gives the metrics of that moment."""
        if not self.gated:
            return {}
        await within("a check", self.services.authority.withholds())
        return await self.metrics()

    async def check_ends(self, before, seconds):
        """The check that waited for its answer through a stop comes to something, and the next is answered."""
        if not self.gated:
            return
        # Of a stop shorter than its timeout, a check sees nothing.
        if seconds > self.services.stage.check_seconds:
            await self.judges(before)
        self.services.authority.answers()

    async def holds(self, clients, frames):
        """Waits until so much is held."""

        async def look():
            metrics = await self.metrics()
            held = (metrics['readygate_sessions{state="held"}'], metrics["readygate_hold_frames"])
            return held == (clients, frames)

        await until(f"{clients} held sessions with {frames} frames", look)

    async def metrics(self):
        _, body = await http_get(self.admin.number, "/metrics")
        samples = (line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    async def drains(self):
        """Waits until readygate has taken the signal."""

        async def look():
            return (await http_get(self.admin.number, "/readyz"))[0] == 503

        await until("a readygate that drains", look)

    async def ledger(self):
        _, body = await http_get(self.app_port.number, "/ledger")
        return json.loads(body)

    def stop_cpu(self):
        self.stopped = True
        for container in self.containers:
            container.signal_all(signal.SIGSTOP)

    def resume_cpu(self):
        self.stopped = False
        for container in self.containers:
            container.signal_all(signal.SIGCONT)

    @contextlib.contextmanager
    def request(self):
        """A request in flight: the CPU is on from its arrival to its end, and where nothing else is, off after it."""
        self.in_flight += 1
        if self.stopped:
            self.resume_cpu()
        try:
            yield
        finally:
            self.in_flight -= 1
            if self.cpu_stops and self.in_flight == 0:
                self.stop_cpu()

    async def terminate(self):
        """SIGTERM to every container at once, SIGKILL to what is left; how each ended, by name."""
        self.cpu_stops = False
        began = time.monotonic()
        for container in self.containers:
            container.terminate()
        if self.stopped:
            self.resume_cpu()
        ended = await asyncio.gather(*(container.ended(began) for container in self.containers))
        self.exits = {container.name: how for container, how in zip(self.containers, ended)}
        return self.exits

    def close(self):
        for container in self.containers:
            container.kill()
        self.services.close()
        for port in (self.public, self.inner, self.admin):
            port.close()
