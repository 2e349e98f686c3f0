"""What the product of the race lab received: the backend's side of the books."""

# Handshakes kept for `GET /handshakes`: more than one test makes, less than one that leaks.
HANDSHAKES_KEPT = 200


class Ledger:
    """What clients sent, as the application saw it. Nothing is forgotten."""

    def __init__(self):
        self.accepted = 0
        self.established = 0
        self.malformed = 0
        self.errors = []
        self.clients = {}
        self.handshakes = []

    def client(self, client_id):
        fresh = {"received": 0, "dropped": 0, "duplicates": 0, "out_of_order": 0, "seqs": []}
        return self.clients.setdefault(str(client_id), fresh)

    def drop(self, client_id):
        self.client(client_id)["dropped"] += 1

    def receive(self, client_id, seq):
        entry = self.client(client_id)
        entry["received"] += 1
        if seq in entry["seqs"]:
            entry["duplicates"] += 1
        elif entry["seqs"] and seq < entry["seqs"][-1]:
            entry["out_of_order"] += 1
        entry["seqs"].append(seq)

    def handshake(self, scope):
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        self.handshakes.append(
            {"path": scope["path"], "query": scope["query_string"].decode("latin-1"), "headers": headers}
        )
        del self.handshakes[:-HANDSHAKES_KEPT]

    def report(self, detail):
        columns = ("received", "dropped", "duplicates", "out_of_order")
        totals = {column: sum(entry[column] for entry in self.clients.values()) for column in columns}
        report = {
            "clients": len(self.clients),
            **totals,
            "accepted": self.accepted,
            "established": self.established,
            "malformed": self.malformed,
            "errors": len(self.errors),
            "error_texts": sorted(set(self.errors)),
        }
        if detail:
            report["per_client"] = self.clients
        return report
