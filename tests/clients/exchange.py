"""What a test client sends, and what must come back. `exchange.mjs` is the same for JavaScript.

A message of --expect echo is `SEQ:` and filler, as text or as the same bytes; its echo must be equal and of the same
kind. A message of --expect events is {"id", "seq", "pad"}; five events must answer it, in order.
"""

import json

EVENTS = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")

# Two and three bytes in UTF-8 beside plain letters: a fragment may end within a character.
FILLER = "gate é 門 "


class Exchange:
    def __init__(self, options):
        self.options = options
        self.total = options.texts + options.binaries
        self.answered = {}
        self.last = (-1, -1)
        self.doubled = self.out_of_order = self.altered = self.pongs = 0
        self.established = False
        self.other = []

    def text(self, seq):
        filler = FILLER * (self.options.size // len(FILLER.encode()) + 1)
        if self.options.expect == "events":
            return json.dumps({"id": self.options.id, "seq": seq, "pad": filler}, ensure_ascii=False, separators=(",", ":"))
        return f"{seq}:{filler}"

    def message(self, seq):
        text = self.text(seq)
        return text if seq < self.options.texts else text.encode()

    def messages(self):
        return (self.message(seq) for seq in range(self.total))

    @staticmethod
    def pieces(message, count):
        step = max(1, -(-len(message) // count))
        return [message[at : at + step] for at in range(0, len(message), step)]

    def wanted(self):
        """Answers to each message."""
        return {"echo": 1, "events": len(EVENTS), "nothing": 0}[self.options.expect]

    def take(self, received):
        if self.options.expect == "events":
            self.take_event(received)
        else:
            self.take_echo(received)

    def take_event(self, received):
        try:
            event = json.loads(received)
        except ValueError:
            self.altered += 1
            return
        if event.get("type") == "connection_established":
            self.established = True
        elif event.get("type") in EVENTS and event.get("id") == self.options.id:
            self.count(event["seq"], EVENTS.index(event["type"]))
        else:
            self.other.append(event)

    def take_echo(self, received):
        text = received if isinstance(received, str) else received.decode(errors="replace")
        seq = text.split(":", 1)[0]
        if seq.isdigit() and int(seq) < self.total and received == self.message(int(seq)):
            self.count(int(seq), 0)
        else:
            self.altered += 1

    def count(self, seq, part):
        seen = self.answered.setdefault(seq, set())
        if part in seen:
            self.doubled += 1
        elif (seq, part) < self.last:
            self.out_of_order += 1
        seen.add(part)
        self.last = max(self.last, (seq, part))

    def complete(self):
        return sum(len(seen) for seen in self.answered.values()) >= self.total * self.wanted()

    def perfect(self):
        return self.complete() and not (self.doubled or self.out_of_order or self.altered) and self.pongs == self.options.pings

    def report(self):
        lost = [seq for seq in range(self.total) if self.wanted() and not self.answered.get(seq)]
        got = sum(len(seen) for seen in self.answered.values())
        return {
            "messages": self.total,
            "answered": sum(len(seen) == self.wanted() for seen in self.answered.values()),
            "lost": lost,
            "events_missing": self.total * self.wanted() - got,
            "doubled": self.doubled,
            "out_of_order": self.out_of_order,
            "altered": self.altered,
            "pongs": self.pongs,
            "established": self.established,
            "other": self.other,
        }
