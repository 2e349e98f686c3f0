// The arguments that the two JavaScript clients share; they are python_client.py's. And their way to say things.

import { parseArgs } from "node:util";

const TEXT = { type: "string" };

export function options(client) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      id: { ...TEXT, default: client },
      expect: { ...TEXT, default: "echo" },
      texts: { ...TEXT, default: "3" },
      binaries: { ...TEXT, default: "2" },
      size: { ...TEXT, default: "200" },
      fragments: { ...TEXT, default: "1" },
      pings: { ...TEXT, default: client === "chromium" ? "0" : "1" },
      protocols: { ...TEXT, default: "" },
      header: { ...TEXT, multiple: true, default: [] },
      cookie: TEXT,
      origin: TEXT,
      "no-compression": { type: "boolean", default: false },
      close: { ...TEXT, default: "1000" },
      reason: { ...TEXT, default: "" },
      timeout: { ...TEXT, default: "30" },
    },
  });
  if (positionals.length !== 1 || !["echo", "events", "nothing"].includes(values.expect)) {
    console.error(`usage: ${client}_client.mjs URL [options of python_client.py --help]`);
    process.exit(2);
  }
  const numbers = ["texts", "binaries", "size", "fragments", "pings", "close", "timeout"];
  const parsed = Object.fromEntries(numbers.map((name) => [name, Number(values[name])]));
  return { ...values, ...parsed, url: positionals[0], protocols: values.protocols.split(",").filter(Boolean) };
}

export function emptyResult(client) {
  const handshake = { connected: false, status: null, protocol: null, extensions: "", cookies: [], connect_ms: null };
  return { client, ...handshake, close: null, body: null, error: null };
}

export function say(event, more = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);
}
