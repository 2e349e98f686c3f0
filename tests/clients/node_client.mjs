#!/usr/bin/env node
// One WebSocket client (npm `ws`) that says what became of its messages: arguments and output of python_client.py.

import WebSocket from "ws";
import { Exchange } from "./exchange.mjs";
import { emptyResult, options as parse, say } from "./options.mjs";

const options = parse("node");
const result = emptyResult("node");
const exchange = new Exchange(options);
const began = performance.now();

const headers = Object.fromEntries(options.header.map((line) => line.split(/:\s*/s, 2)));
if (options.cookie) headers.Cookie = options.cookie;

const ws = new WebSocket(options.url, options.protocols, {
  headers,
  origin: options.origin,
  perMessageDeflate: !options["no-compression"],
});

const timer = setTimeout(() => {
  result.error = `not finished after ${options.timeout} s`;
  finish();
}, options.timeout * 1000);

ws.on("upgrade", (response) => {
  result.status = response.statusCode;
  result.extensions = response.headers["sec-websocket-extensions"] ?? "";
  result.cookies = response.headers["set-cookie"] ?? [];
});

ws.on("unexpected-response", async (_request, response) => {
  result.status = response.statusCode;
  result.error = `refused with ${response.statusCode}`;
  response.setEncoding("utf8");
  result.body = "";
  for await (const chunk of response) result.body += chunk;
  finish();
});

ws.on("open", () => {
  result.connected = true;
  result.connect_ms = performance.now() - began;
  result.protocol = ws.protocol || null;
  say("open");
  for (const message of exchange.messages()) sendInPieces(message);
  for (let ping = 0; ping < options.pings; ping += 1) ws.ping(`ping ${ping}`);
  whenFlushed(() => say("sent"));
  closeWhenComplete();
});

ws.on("message", (data, isBinary) => {
  exchange.take(isBinary ? new Uint8Array(data) : data.toString());
  closeWhenComplete();
});

ws.on("pong", () => {
  exchange.pongs += 1;
  closeWhenComplete();
});

ws.on("error", (error) => {
  result.error ??= error.message;
});

ws.on("close", (code, reason) => {
  result.close = result.connected ? { code, reason: reason.toString(), clean: code !== 1006 } : null;
  finish();
});

function sendInPieces(message) {
  const binary = typeof message !== "string";
  const bytes = Buffer.from(message);
  const step = Math.max(1, Math.ceil(bytes.length / options.fragments));
  for (let at = 0; at < bytes.length; at += step) {
    ws.send(bytes.subarray(at, at + step), { binary, fin: at + step >= bytes.length });
  }
}

// Calls back once all that was sent has been handed to the kernel; a compressed message waits for its deflater.
function whenFlushed(callback) {
  if (ws.bufferedAmount === 0) callback();
  else setImmediate(whenFlushed, callback);
}

function closeWhenComplete() {
  const done = exchange.complete() && exchange.pongs >= options.pings;
  if (done && options.close) ws.close(options.close, options.reason);
}

function finish() {
  clearTimeout(timer);
  const ok = result.error === null && exchange.perfect() && result.close !== null;
  say("result", { ...result, ...exchange.report(), ok });
  process.exit(ok ? 0 : 1);
}
