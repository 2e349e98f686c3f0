#!/usr/bin/env python3
"""A WebSocket echo server (PyPI `websockets`): every message comes back as it went, text as text, binary as binary.

Lines on standard output: `port PORT` once the port is reserved (a connect is refused until the next line), then
`listening PORT TIME` (CLOCK_MONOTONIC in seconds). A text message `close:CODE:REASON` is obeyed, not echoed.
SIGTERM closes all sockets with 1001 and ends the process.
"""

import argparse
import asyncio
import http
import signal
import socket
import sys
import time

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

# Larger than any message of the tests, so that no limit of this server is what a test sees.
MESSAGE_BYTES = 64 << 20

BACKLOG = 4096


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--subprotocols", default="", help="those it knows, comma-separated; the client's order counts")
    parser.add_argument("--no-compression", action="store_true", help="refuse permessage-deflate")
    parser.add_argument("--wait-stdin", action="store_true", help="listen only after a line (or EOF) on standard input")
    parser.add_argument("--deny", type=int, help="refuse every handshake with this status")
    parser.add_argument("--fragments", type=int, default=1, help="cut each echo into so many frames")
    return parser.parse_args()


def pieces(message, count):
    """`message` in `count` parts of nearly equal size (fewer where it is shorter)."""
    step = max(1, -(-len(message) // count))
    return [message[at : at + step] for at in range(0, len(message), step)] or [message]


async def main():
    options = arguments()
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((options.host, options.port))
    port = bound.getsockname()[1]
    print("port", port, flush=True)
    if options.wait_stdin:
        sys.stdin.readline()

    known = [name for name in options.subprotocols.split(",") if name]

    async def echo(ws):
        try:
            async for message in ws:
                if isinstance(message, str) and message.startswith("close:"):
                    _, code, reason = message.split(":", 2)
                    return await ws.close(int(code), reason)
                await ws.send(message if options.fragments == 1 else pieces(message, options.fragments))
        except ConnectionClosed:
            pass

    async def refuse(connection, _request):
        if options.deny:
            return connection.respond(http.HTTPStatus(options.deny), f"refused with {options.deny}\n")

    server = await serve(
        echo,
        sock=bound,
        # The library's own choice refuses a client that offers nothing it knows; servers of the field answer without.
        select_subprotocol=lambda _ws, offered: next((name for name in offered if name in known), None),
        compression=None if options.no_compression else "deflate",
        max_size=MESSAGE_BYTES,
        process_request=refuse,
        backlog=BACKLOG,
    )
    print("listening", port, time.monotonic(), flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
