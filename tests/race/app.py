#!/usr/bin/env python3
"""A product with a slow start: the backend of the race lab.

It is written the way the failing product was written. Its boot takes seconds, its port answers before (or only
after) that, `/ws` accepts a socket some milliseconds before the connection is registered, and what a client sends
in between is lost, or ends in Starlette's `WebSocket is not connected. Need to call "accept" first.`

Lines on standard output, in this order (TIME is CLOCK_MONOTONIC in seconds, comparable across processes):

    port PORT               the port is reserved; a connect is refused until the next line
    listening PORT TIME     the kernel takes connections
    ready TIME              startup_complete became true
    books JSON              with --books, at an orderly end: what `GET /ledger?detail=true` would have said

Everything else (uvicorn's log, tracebacks) goes to standard error.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
import warnings

from ledger import Ledger

EVENTS = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")

# Enough for every client of the lab to connect before the first is served.
BACKLOG = 4096

# Open sockets get this long on SIGTERM before they are cut.
SHUTDOWN_SECONDS = 5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    env = os.environ.get
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: the kernel chooses, see the `port` line")
    parser.add_argument("--fd", type=int, help="an inherited, bound TCP socket instead of --host and --port")
    parser.add_argument(
        "--boot-seconds", type=float, default=float(env("BOOT_SECONDS", "2")), help="time the boot takes"
    )
    parser.add_argument(
        "--boot-stdin", action="store_true", help="the boot ends with a line (or EOF) on standard input instead"
    )
    parser.add_argument(
        "--bind",
        choices=("early", "late", "master"),
        default=env("BIND", "late"),
        help="early: serves at once, boots in the background. late: boots, then listens (refused meanwhile). "
        "master: listens at once, but accepts nothing before the boot is over",
    )
    parser.add_argument(
        "--register",
        choices=("before", "after"),
        default=env("REGISTER", "after"),
        help="whether a connection is registered before its accept(), or --register-ms after it",
    )
    parser.add_argument("--register-ms", type=float, default=float(env("REGISTER_MS", "50")))
    parser.add_argument(
        "--cold",
        choices=("lose", "error"),
        default=env("COLD", "lose"),
        help="what becomes of a socket that comes before startup_complete (with --bind early): its messages are "
        "dropped until then, or its handler fails with the Starlette error",
    )
    parser.add_argument(
        "--auth",
        choices=("none", "header", "cookie", "subprotocol", "any"),
        default="none",
        help="where /ws wants --token: Authorization: Bearer, Cookie: token=, or the subprotocols bearer, TOKEN",
    )
    parser.add_argument("--token", default="letmein")
    parser.add_argument("--subprotocols", default="bearer,jwt-auth,chat.v1", help="those that /ws knows")
    parser.add_argument("--books", action="store_true", help="the ledger is written at the end")
    parser.add_argument("--ws", choices=("websockets", "websockets-sansio"), default="websockets")
    return parser.parse_args()


def say(*words):
    print(*words, flush=True)


def reserve(options):
    """A bound socket that does not listen yet: the port is known and nobody else can take it."""
    if options.fd is not None:
        return socket.socket(fileno=options.fd)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((options.host, options.port))
    return bound


def block_until_booted(options):
    """Imports and initialisation, as seen by the rest of the process: nothing runs meanwhile."""
    if options.boot_stdin:
        sys.stdin.readline()
    else:
        time.sleep(options.boot_seconds)


class Product:
    """The state that the real product kept in module globals."""

    def __init__(self, options):
        self.options = options
        self.known = [name for name in options.subprotocols.split(",") if name]
        self.ledger = Ledger()
        self.startup_complete = False
        self.booted = asyncio.Event()
        self.connections = {}
        self.began = time.monotonic()

    def complete(self):
        self.startup_complete = True
        self.booted.set()

    async def boot_in_background(self):
        if self.options.boot_stdin:
            # A thread of its own, and a daemon: a pending readline must not keep the process from its exit.
            loop, line = asyncio.get_running_loop(), asyncio.Event()

            def wait():
                sys.stdin.readline()
                loop.call_soon_threadsafe(line.set)

            threading.Thread(target=wait, daemon=True).start()
            await line.wait()
        else:
            await asyncio.sleep(self.options.boot_seconds)
        self.complete()
        say("ready", time.monotonic())

    def refusal(self, ws):
        """The status that refuses this handshake, or None."""
        asked = ws.query_params.get("deny") or ws.headers.get("x-deny")
        if asked:
            return int(asked)
        if self.options.auth == "none":
            return None
        offered = ws.scope["subprotocols"]
        at = offered.index("bearer") if "bearer" in offered else -1
        found = {
            "header": ws.headers.get("authorization", "").removeprefix("Bearer "),
            "cookie": ws.cookies.get("token", ""),
            "subprotocol": offered[at + 1] if 0 <= at < len(offered) - 1 else "",
        }
        tokens = [token for place, token in found.items() if self.options.auth in (place, "any")]
        if self.options.token in tokens:
            return None
        return 403 if any(tokens) else 401

    async def admit(self):
        """Asks the user store. Warm, the answer is in a cache and nothing is awaited; cold, the task yields."""
        if not self.startup_complete:
            await asyncio.sleep(0)


class Connection:
    """One client socket."""

    def __init__(self, product, ws):
        self.product = product
        self.ws = ws
        self.registered = False
        self.gone = False

    def register(self):
        self.registered = True
        self.product.connections[id(self)] = self

    async def serve(self):
        try:
            if self.product.options.cold == "error":
                await self.serve_reading_early()
            else:
                await self.serve_accepting_first()
        except RuntimeError as error:
            self.product.ledger.errors.append(str(error))
            raise
        finally:
            self.product.connections.pop(id(self), None)

    async def serve_reading_early(self):
        """The product's fault: the reader is started before the socket is accepted.

        While `admit` finds its answer in a cache nothing yields, so accept() wins and nobody notices. During a cold
        start `admit` does yield, the reader runs first, and Starlette refuses it.
        """
        reader = asyncio.create_task(self.read())
        await self.product.admit()
        await self.accept_and_register(reader)

    async def serve_accepting_first(self):
        await self.accept_and_register(None)

    async def accept_and_register(self, reader):
        cold = not self.product.startup_complete
        registers_first = self.product.options.register == "before" and not cold
        if registers_first:
            self.register()
        await self.accept()
        reader = reader or asyncio.create_task(self.read())
        try:
            if not registers_first:
                await self.registration(reader)
            if not reader.done():
                await self.establish()
            await reader
        finally:
            reader.cancel()

    async def accept(self):
        offered = self.ws.scope["subprotocols"]
        chosen = next((name for name in offered if name in self.product.known), None)
        headers = [(b"set-cookie", b"session=lab; Path=/; HttpOnly"), (b"x-backend", b"race-lab")]
        await self.ws.accept(subprotocol=chosen, headers=headers)
        self.product.ledger.accepted += 1

    async def registration(self, reader):
        """Some milliseconds after the boot; what arrives until then finds no connection, and is dropped by `read`."""

        async def settle():
            await self.product.booted.wait()
            await asyncio.sleep(self.product.options.register_ms / 1000)

        settling = asyncio.create_task(settle())
        await asyncio.wait((settling, reader), return_when=asyncio.FIRST_COMPLETED)
        settling.cancel()
        self.register()

    async def establish(self):
        self.product.ledger.established += 1
        await self.answer('{"type":"connection_established","connection_ready":true}')

    async def answer(self, text):
        """Sends, until the client has gone: what it sent before is still read and counted."""
        if self.gone:
            return
        try:
            await self.ws.send_text(text)
        except Exception as error:
            self.gone = True
            print("the client has gone:", repr(error), file=sys.stderr)

    async def read(self):
        while True:
            if self.ws.application_state.name == "CONNECTING":
                # The call that the product made; it raises Starlette's own error.
                message = {"text": await self.ws.receive_text()}
            else:
                message = await self.ws.receive()
            if message.get("type") == "websocket.disconnect":
                return
            text = message.get("text")
            await self.message(text if text is not None else message["bytes"])

    async def message(self, payload):
        try:
            parsed = json.loads(payload)
            if "close" in parsed:
                return await self.ws.close(parsed["close"], parsed.get("reason", ""))
            client_id, seq = parsed["id"], parsed["seq"]
        except (ValueError, KeyError, TypeError):
            self.product.ledger.malformed += 1
            return await self.answer('{"type":"error","detail":"not a message of this product"}')
        if not self.registered:
            return self.product.ledger.drop(client_id)
        self.product.ledger.receive(client_id, seq)
        tail = f'"id":{json.dumps(client_id)},"seq":{json.dumps(seq)}}}'
        for event in EVENTS:
            await self.answer(f'{{"type":"{event}",{tail}')


def build(product):
    from fastapi import FastAPI, WebSocket
    from fastapi.responses import JSONResponse

    app = FastAPI()

    @app.get("/health")
    async def health():
        return {"startup_complete": product.startup_complete}

    @app.get("/health/ready")
    async def ready():
        status = 200 if product.startup_complete else 503
        return JSONResponse({"startup_complete": product.startup_complete}, status_code=status)

    @app.get("/ws/config")
    async def ws_config():
        return {"paths": ["/ws", "/websocket"], "subprotocols": product.known, "events": list(EVENTS)}

    @app.get("/ws/health")
    async def ws_health():
        return {"status": "healthy" if product.startup_complete else "starting"}

    @app.get("/ws/stats")
    async def ws_stats():
        return {"connections": len(product.connections), "uptime_seconds": time.monotonic() - product.began}

    @app.get("/ledger")
    async def ledger(detail: bool = False):
        return product.ledger.report(detail)

    @app.delete("/ledger")
    async def forget():
        product.ledger = Ledger()
        return {}

    @app.get("/handshakes")
    async def handshakes():
        return product.ledger.handshakes

    async def socket_route(ws: WebSocket):
        product.ledger.handshake(ws.scope)
        status = product.refusal(ws)
        if status is not None:
            headers = {"www-authenticate": "Bearer"} if status == 401 else {}
            body = {"detail": f"refused with {status}"}
            return await ws.send_denial_response(JSONResponse(body, status_code=status, headers=headers))
        await Connection(product, ws).serve()

    app.add_api_websocket_route("/ws", socket_route)
    app.add_api_websocket_route("/websocket", socket_route)
    return app


async def serve(options, bound):
    import uvicorn

    product = Product(options)
    port = bound.getsockname()[1]

    class Announcing(uvicorn.Server):
        async def startup(self, sockets=None):
            if options.bind != "early":
                product.complete()
            await super().startup(sockets=sockets)
            if options.bind != "master":
                say("listening", port, time.monotonic())
            if options.bind == "early":
                self.boot = asyncio.create_task(product.boot_in_background())
            else:
                say("ready", time.monotonic())

        async def shutdown(self, sockets=None):
            await super().shutdown(sockets=sockets)
            if options.books:
                say("books", json.dumps(product.ledger.report(detail=True)))

    config = uvicorn.Config(
        build(product),
        ws=options.ws,
        backlog=BACKLOG,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    await Announcing(config).serve(sockets=[bound])


def main():
    # Killed while the boot blocks, it goes at once, as a process in its imports does.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.filterwarnings("ignore", message="The `websockets` implementation is deprecated")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    options = arguments()
    bound = reserve(options)
    say("port", bound.getsockname()[1])
    if options.bind == "master":
        bound.listen(BACKLOG)
        say("listening", bound.getsockname()[1], time.monotonic())
    if options.bind != "early":
        block_until_booted(options)
    asyncio.run(serve(options, bound))


if __name__ == "__main__":
    main()
