"""What clients and the platform saw, as columns of a table, and what must hold of it."""

from collections import Counter

from clients import BURDEN, FENCE
from cloud import CHECKS

# Width of the label and of each column.
LABEL, CELL = 40, 24


class Count:
    """One column: one instance, or one after the other, and everybody who came."""

    def __init__(self, name, gated):
        self.name, self.gated = name, gated
        self.clients = 0
        self.connected = self.sent = self.answered = self.told = self.lost = 0
        self.doubled = self.out_of_order = 0
        self.ends = Counter()
        self.closes = Counter()
        self.http = Counter()
        self.received = self.dropped = 0
        self.twice = 0
        self.exits = {}
        # Rows of one scene alone.
        self.facts = {}
        # What must hold of this column, and whether it does.
        self.promises = []

    def add(self, clients):
        """Counts what became of these."""
        for client in clients:
            self.clients += 1
            for visit in client.visits:
                self.add_visit(visit)

    def add_visit(self, visit):
        end, _, code = (visit.end or "open").partition(" ")
        self.connected += visit.connected
        self.sent += visit.sent
        self.answered += len(visit.answered)
        if end == "close":
            self.closes[code] += 1
            self.told += visit.unanswered
        else:
            self.ends[visit.end or "open"] += 1
            self.lost += visit.unanswered
        self.doubled += visit.doubled
        self.out_of_order += visit.out_of_order

    def add_instance(self, instance):
        """The books of an instance's application, and how its containers ended."""
        for name, how in instance.exits.items():
            self.exits.setdefault(name, []).append(how)
        for name, entry in ((instance.app.books or {}).get("per_client") or {}).items():
            if not name.startswith((FENCE, BURDEN)):
                self.received += entry["received"]
                self.dropped += entry["dropped"]
                self.twice += entry["duplicates"]

    def add_checks(self, before, after):
        """What readygate's checks of all that was there made of the time between."""

        def total(name):
            prefixes = tuple(f'{name}{{check="{check}"' for check in CHECKS)
            samples = [sample for sample in after if sample.startswith(prefixes)]
            return int(sum(after[sample] - before.get(sample, 0) for sample in samples))

        self.facts |= {
            "checks run": total("readygate_check_duration_seconds_count"),
            "  failed": total("readygate_check_failures_total"),
            "  void for the stop": total("readygate_check_void_total"),
            "  changed their state": total("readygate_check_changes_total"),
            "  breakers opened": total("readygate_check_breaker_opened_total"),
        }

    def promise(self, what, holds):
        self.promises.append((what, bool(holds)))

    def promise_whole(self):
        """Everybody was served, and everything once and in order."""
        self.promise("everybody connected", self.connected == self.clients > 0)
        self.promise("everything was answered", self.sent == self.answered > 0)
        self.promise("nobody was closed or cut", not self.closes and set(self.ends) <= {"left"})
        self.promise_told()

    def promise_told(self):
        """What holds in every scene."""
        self.promise("nothing is lost without a Close that says so", self.lost == 0)
        self.promise("no connection ends without a Close", not {"cut", "reset", "open"} & set(self.ends))
        self.promise("nothing is doubled", self.doubled == self.twice == 0)
        self.promise("nothing is out of order", self.out_of_order == 0)

    def promise_calm(self, alive):
        """A stop is no failure of anybody."""
        self.promise("checks ran", self.facts["checks run"] > 0)
        self.promise("no dependency is declared dead for the stop", self.facts["  changed their state"] == 0)
        self.promise("no breaker opens for the stop", self.facts["  breakers opened"] == 0)
        self.promise("liveness never fails", set(alive) == {200})

    def promise_checks_met(self, stage):
        """Without a check that meets the stop, nothing shows what checks make of it."""
        long_ones = sum(seconds > stage.check_seconds for seconds in stage.stops)
        met = self.facts["  void for the stop"]
        self.promise("a check was under way in each long stop", met >= long_ones > 0)

    def promise_exit(self):
        """readygate went by itself, in time and with 0, each time."""
        exits = self.exits["readygate"]
        self.promise("readygate exits 0", exits and all(how["code"] == 0 for how in exits))
        self.promise("readygate is not killed", not any(how["killed"] for how in exits))

    def cells(self):
        return {
            "": self.name,
            "clients": self.clients,
            "handshakes done (101)": self.connected,
            "messages sent": self.sent,
            "  answered": self.answered,
            "  unanswered, their Close says so": self.told,
            "  lost without a word": self.lost,
            "  doubled": self.doubled + self.twice,
            "  out of order": self.out_of_order,
            "seen by the application": self.received,
            "  dropped by it": self.dropped,
            "ended by a Close": shown(self.closes),
            "ended without one": shown(Counter({end: n for end, n in self.ends.items() if end != "left"})),
            "HTTP answers": shown(self.http),
            **self.facts,
            "exit of readygate": shown_exits(self.exits.get("readygate")),
            "exit of the application": shown_exits(self.exits.get("app")),
        }


def shown(counter):
    return ", ".join(f"{count} × {what}" for what, count in sorted(counter.items())) or "0"


def shown_exits(exits):
    return "; ".join(f"{how['code']}{' (killed)' if how['killed'] else ''} after {how['seconds']:.1f} s" for how in exits or []) or "-"


def table(title, columns):
    """The columns side by side."""
    cells = [column.cells() for column in columns]
    labels = list(dict.fromkeys(label for column in cells for label in column))
    lines = [f"\n{title}"]
    for label in labels:
        values = [str(column.get(label, "-")) for column in cells]
        lines.append(f"{label:<{LABEL}}" + "".join(f" {value:>{CELL}}" for value in values))
    return "\n".join(lines)


def broken(columns):
    """What was promised and does not hold."""
    return [f"{column.name}: {what}" for column in columns for what, holds in column.promises if not holds]
