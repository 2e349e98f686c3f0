// What a test client sends, and what must come back. `exchange.py` is the same for Python.
//
// A message of --expect echo is `SEQ:` and filler, as text or as the same bytes; its echo must be equal and of the
// same kind. A message of --expect events is {"id", "seq", "pad"}; five events must answer it, in order.
// Runs in Node and in the browser: no import.

const EVENTS = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"];

// Two and three bytes in UTF-8 beside plain letters: a fragment may end within a character.
const FILLER = "gate é 門 ";

const bytes = (text) => new TextEncoder().encode(text);
const same = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);

export class Exchange {
  constructor(options) {
    this.options = options;
    this.total = options.texts + options.binaries;
    this.answered = new Map();
    this.last = -1;
    this.doubled = this.outOfOrder = this.altered = this.pongs = 0;
    this.established = false;
    this.other = [];
  }

  text(seq) {
    const pad = FILLER.repeat(Math.floor(this.options.size / bytes(FILLER).length) + 1);
    return this.options.expect === "events" ? JSON.stringify({ id: this.options.id, seq, pad }) : `${seq}:${pad}`;
  }

  // A string, or a Uint8Array.
  message(seq) {
    const text = this.text(seq);
    return seq < this.options.texts ? text : bytes(text);
  }

  messages() {
    return Array.from({ length: this.total }, (_, seq) => this.message(seq));
  }

  // Answers to each message.
  wanted() {
    return { echo: 1, events: EVENTS.length, nothing: 0 }[this.options.expect];
  }

  // A string, or a Uint8Array.
  take(received) {
    if (this.options.expect === "events") this.takeEvent(received);
    else this.takeEcho(received);
  }

  takeEvent(received) {
    let event;
    try {
      event = JSON.parse(received);
    } catch {
      this.altered += 1;
      return;
    }
    if (event.type === "connection_established") this.established = true;
    else if (EVENTS.includes(event.type) && event.id === this.options.id) this.count(event.seq, EVENTS.indexOf(event.type));
    else this.other.push(event);
  }

  takeEcho(received) {
    const isText = typeof received === "string";
    const seq = Number.parseInt(isText ? received : new TextDecoder().decode(received), 10);
    const known = Number.isInteger(seq) && seq >= 0 && seq < this.total;
    const wanted = known ? this.message(seq) : null;
    const equal = known && isText === (typeof wanted === "string") && (isText ? received === wanted : same(received, wanted));
    if (equal) this.count(seq, 0);
    else this.altered += 1;
  }

  count(seq, part) {
    const seen = this.answered.get(seq) ?? new Set();
    const place = seq * EVENTS.length + part;
    if (seen.has(part)) this.doubled += 1;
    else if (place < this.last) this.outOfOrder += 1;
    this.answered.set(seq, seen.add(part));
    this.last = Math.max(this.last, place);
  }

  got() {
    return [...this.answered.values()].reduce((sum, seen) => sum + seen.size, 0);
  }

  complete() {
    return this.got() >= this.total * this.wanted();
  }

  perfect() {
    const faults = this.doubled + this.outOfOrder + this.altered;
    return this.complete() && faults === 0 && this.pongs === this.options.pings;
  }

  report() {
    const seqs = Array.from({ length: this.total }, (_, seq) => seq);
    return {
      messages: this.total,
      answered: [...this.answered.values()].filter((seen) => seen.size === this.wanted()).length,
      lost: this.wanted() ? seqs.filter((seq) => !this.answered.has(seq)) : [],
      events_missing: this.total * this.wanted() - this.got(),
      doubled: this.doubled,
      out_of_order: this.outOfOrder,
      altered: this.altered,
      pongs: this.pongs,
      established: this.established,
      other: this.other,
    };
  }
}
