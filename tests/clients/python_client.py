#!/usr/bin/env python3
"""One WebSocket client (PyPI `websockets`) that says what became of its messages.

Writes one JSON object a line to standard output: {"event": "open"} after the 101, {"event": "sent"} once every
message and ping is written, and last {"event": "result", ...}. Exit code 0 when the result's `ok` is true, else 1.
"""

import argparse
import asyncio
import json
import sys
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from exchange import Exchange

# Larger than any message of the tests.
MESSAGE_BYTES = 64 << 20


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--id", default="python", help="the id in messages of --expect events")
    parser.add_argument("--expect", choices=("echo", "events", "nothing"), default="echo")
    parser.add_argument("--texts", type=int, default=3, help="number of text messages")
    parser.add_argument("--binaries", type=int, default=2, help="number of binary messages, sent after the texts")
    parser.add_argument("--size", type=int, default=200, help="bytes of each message, at least")
    parser.add_argument("--fragments", type=int, default=1, help="frames that each message is cut into")
    parser.add_argument("--pings", type=int, default=1)
    parser.add_argument("--protocols", default="", help="subprotocols, comma-separated")
    parser.add_argument("--header", action="append", default=[], help="'Name: value', may be repeated")
    parser.add_argument("--cookie", help="name=value")
    parser.add_argument("--origin")
    parser.add_argument("--no-compression", action="store_true")
    parser.add_argument("--close", type=int, default=1000, help="code of the Close that ends the exchange; 0: wait for it")
    parser.add_argument("--reason", default="")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for everything")
    return parser.parse_args()


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def handshake_headers(options):
    headers = [tuple(part.strip() for part in line.split(":", 1)) for line in options.header]
    return headers + ([("Cookie", options.cookie)] if options.cookie else [])


async def converse(ws, options, exchange):
    pongs = []

    async def send():
        for message in exchange.messages():
            await ws.send(message if options.fragments == 1 else exchange.pieces(message, options.fragments))
        for _ in range(options.pings):
            pongs.append(await ws.ping())
        say("sent")

    sending = asyncio.create_task(send())
    while not exchange.complete():
        exchange.take(await ws.recv())
    await sending
    for pong in pongs:
        await pong
        exchange.pongs += 1
    if options.close:
        await ws.close(options.close, options.reason)
    else:
        await ws.wait_closed()


async def run(options, result):
    began = time.monotonic()
    exchange = Exchange(options)
    try:
        async with asyncio.timeout(options.timeout):
            ws = await connect(
                options.url,
                subprotocols=[name for name in options.protocols.split(",") if name] or None,
                additional_headers=handshake_headers(options),
                origin=options.origin,
                compression=None if options.no_compression else "deflate",
                max_size=MESSAGE_BYTES,
                open_timeout=options.timeout,
                proxy=None,
            )
            result["connected"] = True
            result["connect_ms"] = (time.monotonic() - began) * 1000
            result["status"] = ws.response.status_code
            result["protocol"] = ws.subprotocol
            result["extensions"] = ws.response.headers.get("Sec-WebSocket-Extensions", "")
            result["cookies"] = ws.response.headers.get_all("Set-Cookie")
            say("open")
            try:
                await converse(ws, options, exchange)
            except ConnectionClosed:
                pass
            await ws.wait_closed()
            result["close"] = {"code": ws.close_code, "reason": ws.close_reason, "clean": ws.protocol.close_rcvd is not None}
    except InvalidStatus as refused:
        result["status"] = refused.response.status_code
        result["body"] = (refused.response.body or b"").decode(errors="replace")
        result["error"] = str(refused)
    except TimeoutError:
        result["error"] = f"not finished after {options.timeout} s"
    except (InvalidHandshake, OSError) as error:
        result["error"] = f"{type(error).__name__}: {error}"
    result.update(exchange.report())
    result["ok"] = result["error"] is None and exchange.perfect() and result["close"] is not None


def main():
    options = arguments()
    result = {"client": "python", "connected": False, "status": None, "protocol": None, "extensions": "", "cookies": []}
    result.update(connect_ms=None, close=None, body=None, error=None)
    asyncio.run(run(options, result))
    say("result", **result)
    sys.exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
