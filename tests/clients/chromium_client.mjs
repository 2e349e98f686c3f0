#!/usr/bin/env node
// One WebSocket client inside headless Chromium: arguments and output of python_client.py, but a browser sets no
// headers (--header), no Origin of choice (it is the page's, see `origin` in the result), no frames (--fragments), no
// pings and no compression. It tells no status, no body and no cookies of a handshake either.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { emptyResult, options as parse, say } from "./options.mjs";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const options = parse("chromium");
const result = emptyResult("chromium");
const profile = await mkdtemp(join(tmpdir(), "readygate-chromium-"));
const server = createServer(serve);
let browser;

try {
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
    ignoreHTTPSErrors: true,
  });
  const page = await browser.newPage();
  page.on("console", (line) => process.stderr.write(`${line.text()}\n`));
  await page.exposeFunction("say", say);
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  Object.assign(result, await page.evaluate(inPage, options));
} catch (error) {
  result.error = error.message;
} finally {
  await browser?.close();
  server.close();
  await rm(profile, { recursive: true, force: true });
}
const ok = result.ok === true && result.error === null;
say("result", { ...result, ok });
process.exit(ok ? 0 : 1);

async function serve(request, response) {
  const script = request.url === "/exchange.mjs";
  const headers = { "content-type": script ? "text/javascript" : "text/html" };
  // Cookies know no ports: what this page sets, the browser sends to any server of the same host.
  if (options.cookie) headers["set-cookie"] = `${options.cookie}; Path=/`;
  response.writeHead(200, headers);
  response.end(script ? await readFile(new URL("exchange.mjs", import.meta.url)) : "<!doctype html><title>client</title>");
}

// Runs in the browser, with the browser's own WebSocket.
async function inPage(options) {
  const { Exchange } = await import("/exchange.mjs");
  const exchange = new Exchange(options);
  const result = { origin: location.origin };
  const began = performance.now();
  const ws = new WebSocket(options.url, options.protocols);
  ws.binaryType = "arraybuffer";

  const closeWhenComplete = () => {
    if (exchange.complete() && options.close) ws.close(options.close, options.reason);
  };
  const whenFlushed = (callback) => (ws.bufferedAmount === 0 ? callback() : setTimeout(whenFlushed, 1, callback));

  ws.onopen = () => {
    result.connected = true;
    result.status = 101;
    result.connect_ms = performance.now() - began;
    result.protocol = ws.protocol || null;
    result.extensions = ws.extensions;
    window.say("open");
    for (const message of exchange.messages()) ws.send(message);
    whenFlushed(() => {
      window.say("sent");
      closeWhenComplete();
    });
  };
  ws.onmessage = ({ data }) => {
    exchange.take(typeof data === "string" ? data : new Uint8Array(data));
    closeWhenComplete();
  };

  await new Promise((done) => {
    const timer = setTimeout(() => {
      result.error = `not finished after ${options.timeout} s`;
      done();
    }, options.timeout * 1000);
    ws.onclose = ({ code, reason, wasClean }) => {
      clearTimeout(timer);
      if (result.connected) result.close = { code, reason, clean: wasClean };
      else result.error = `the handshake failed (${code})`;
      done();
    };
  });
  const ok = !result.error && exchange.perfect() && Boolean(result.close);
  return { ...result, ...exchange.report(), ok };
}
