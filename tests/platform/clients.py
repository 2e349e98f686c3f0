"""Clients of the rehearsal: real sockets, read frame by frame, so that a Close, an end without one and a reset are told
apart. Everything they send is numbered, and everything they are told is written down."""

import asyncio
import base64
import json
import os
import random
import socket
import struct
import time

from cloud import within

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

# The answer of the application that ends those to one message.
LAST_EVENT = "agent_completed"

# Small, so that a client who does not read is soon full.
MUTE_BUFFER = 4096

# Between two messages of a client that talks.
TALK_SECONDS = 0.02

# Stands before the id of the message behind which nothing can come: the application answers in order.
FENCE = "fence of "

# Stands before the names of those whom nothing is promised.
BURDEN = "burden "

# Users whose connection ended come back within this time.
RETURN_SECONDS = 0.3


class Visit:
    """One connection: what was sent, answered, and how it ended."""

    def __init__(self):
        self.sent = 0
        self.answered = set()
        self.doubled = self.out_of_order = 0
        # "left", "close CODE", "status CODE", "refused", "cut" (an end without a Close), "reset".
        self.end = None
        self.ended_at = None
        self.connected = False

    @property
    def unanswered(self):
        return self.sent - len(self.answered)

    def finish(self, end):
        if self.end is None:
            self.end, self.ended_at = end, time.monotonic()

    def answer(self, seq):
        self.doubled += seq in self.answered
        self.out_of_order += bool(self.answered) and seq < max(self.answered)
        self.answered.add(seq)


def frame(opcode, payload):
    """A client's frame. Its mask is all zeros, which leaves the payload as it is."""
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 1 << 16:
        size = bytes([0x80 | 126]) + struct.pack(">H", length)
    else:
        size = bytes([0x80 | 127]) + struct.pack(">Q", length)
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


class Client:
    """One user. `mute`: reads nothing after its handshake, and answers nothing."""

    def __init__(self, name, path="/ws", mute=False, padding=0):
        self.name, self.path, self.mute, self.padding = name, path, mute, padding
        self.visits = []
        self.reading = None

    @property
    def visit(self):
        return self.visits[-1]

    @property
    def id(self):
        return f"{self.name}, connection {len(self.visits)}" + "x" * self.padding

    async def connect(self, port, first_half=False):
        """Connects and shakes hands; true after a 101. `first_half`: sends half of its request, for `rest` to end."""
        self.visits.append(Visit())
        self.changed, self.established, self.fenced = asyncio.Event(), False, False
        try:
            self.reader, self.writer = await self.open(port)
        except OSError:
            return self.visit.finish("refused")
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode()
        self.rest = request[len(request) // 2 :] if first_half else b""
        self.write(request[: len(request) - len(self.rest)])
        return None if first_half else await self.shaken()

    async def open(self, port):
        if not self.mute:
            return await asyncio.open_connection("127.0.0.1", port)
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MUTE_BUFFER)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
        return await asyncio.open_connection(sock=plain, limit=MUTE_BUFFER)

    def write_rest(self):
        """The second half of the request."""
        self.write(self.rest)

    async def shaken(self):
        try:
            head = await within("an answer to a handshake", self.reader.readuntil(b"\r\n\r\n"))
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self.writer.close()
            return self.visit.finish(ended_by(error))
        status = int(head.split(b" ", 2)[1])
        if status != 101:
            self.writer.close()
            return self.visit.finish(f"status {status}")
        self.visit.connected = True
        if self.mute:
            self.writer.transport.pause_reading()
        else:
            self.reading = asyncio.create_task(self.read(self.visit, self.reader, self.writer))
        return True

    def write(self, data):
        if not self.writer.is_closing():
            self.writer.write(data)

    def message(self):
        """The next message, counted as sent."""
        text = json.dumps({"id": self.id, "seq": self.visit.sent})
        self.visit.sent += 1
        return frame(TEXT, text.encode())

    def say(self, messages):
        for _ in range(messages):
            self.write(self.message())

    async def talk(self):
        """Sends a message after the other until its connection ends."""
        while self.visit.end is None:
            self.say(1)
            await asyncio.sleep(TALK_SECONDS)

    async def settled(self):
        """Resolves when everything sent was answered, or never will be."""
        await self.until("its connection being known", lambda: self.established)
        self.fenced = False
        self.write(frame(TEXT, json.dumps({"id": FENCE + self.id, "seq": 0}).encode()))
        await self.until("all its answers", lambda: self.fenced)

    async def served(self):
        """Resolves with the first answer."""
        visit = self.visit
        await self.until("a first answer", lambda: visit.answered)

    async def over(self):
        """Resolves when the other end has ended the connection."""
        await self.until("the end of its connection", lambda: False)
        await asyncio.wait((self.reading,))

    async def until(self, what, holds):
        """Waits for something, or for the end of the connection."""

        async def wait():
            while self.visit.end is None and not holds():
                self.changed.clear()
                await self.changed.wait()

        await within(f"{self.name}: {what}", wait())

    async def leave(self):
        """Goes in good order, if it is still there."""
        self.visit.finish("left")
        self.write(frame(CLOSE, struct.pack(">H", 1000)))
        await asyncio.wait((self.reading,), timeout=1)
        self.drop()

    async def wakes(self):
        """A mute client reads at last what waits in its socket."""
        self.writer.transport.resume_reading()
        self.reading = asyncio.create_task(self.read(self.visit, self.reader, self.writer))
        await self.over()

    def drop(self):
        if self.reading:
            self.reading.cancel()
        if hasattr(self, "writer"):
            self.writer.close()

    async def read(self, visit, reader, writer):
        try:
            while True:
                opcode, payload = await read_frame(reader)
                if opcode == CLOSE:
                    visit.finish("close " + (str(struct.unpack(">H", payload[:2])[0]) if payload else "1005"))
                    writer.write(frame(CLOSE, payload[:2]))
                elif opcode == PING:
                    writer.write(frame(PONG, payload))
                elif opcode == TEXT:
                    self.hear_answer(visit, json.loads(payload))
                self.changed.set()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            visit.finish(ended_by(error))
        finally:
            writer.close()
            self.changed.set()

    def hear_answer(self, visit, answer):
        if answer["type"] == "connection_established":
            self.established = True
        elif answer["type"] == LAST_EVENT and answer["id"].startswith(FENCE):
            self.fenced = True
        elif answer["type"] == LAST_EVENT:
            visit.answer(answer["seq"])


async def read_frame(reader):
    """Opcode and payload of a server's frame."""
    opcode, length = await reader.readexactly(2)
    if length == 126:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", await reader.readexactly(8))
    return opcode & 15, await reader.readexactly(length)


def ended_by(error):
    return "reset" if isinstance(error, ConnectionError) else "cut"


class Returning(Client):
    """A user who comes back when a connection ends, and sends again what was not answered."""

    def __init__(self, name, messages):
        super().__init__(name)
        self.left = messages
        self.arrived = asyncio.Event()

    async def live(self, port):
        """Comes, and comes back until all was answered, or is known to be lost."""
        while self.left:
            if await self.connect(port):
                self.say(self.left)
                self.arrived.set()
                await self.settled()
                self.left -= len(self.visit.answered)
                if self.visit.end is None:
                    return
            await asyncio.sleep(random.random() * RETURN_SECONDS)
