#!/usr/bin/env node
// A WebSocket echo server (npm `ws`): every message comes back as it went, text as text, binary as binary, compressed
// where that was agreed on. Says `port PORT` and `listening PORT` on standard output, as echo_server.py does.

import { WebSocketServer } from "ws";

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  backlog: 4096,
  // Larger than any message of the tests, so that no limit of this server is what a test sees.
  maxPayload: 64 << 20,
  // Short messages too, which ws would leave as they are.
  perMessageDeflate: { threshold: 0 },
});

server.on("listening", () => {
  const { port } = server.address();
  console.log(`port ${port}`);
  console.log(`listening ${port}`);
});

server.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  // A client that breaks the protocol is told by ws itself.
  socket.on("error", () => {});
});
