"""A tour of STOMP with stomp.py, the client for Python.

    python3 stomp-py-tour.py VERSION PORT      VERSION: 1.0, 1.1 or 1.2

Prints 'ok STEP' for each step that went well; ends with 1 and a traceback at the first that does not. The steps follow each other, each with clients of its own.
"""
import queue
import sys
import time

import stomp
from stomp.exception import ConnectFailedException

VERSION, PORT = sys.argv[1], int(sys.argv[2])
DEADLINE_S = 15
CONNECTION = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}[VERSION]


class Inbox(stomp.ConnectionListener):
    def __init__(self):
        self.messages, self.receipts, self.errors, self.ended = (queue.Queue() for _ in range(4))

    def on_message(self, frame):
        self.messages.put((frame.headers, frame.body))

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.put((frame.headers, frame.body))

    def on_disconnected(self):
        self.ended.put(True)


class Client:
    opened = []

    def __init__(self, login=None, heartbeats=(0, 0), headers=None, text=True):
        options = {} if VERSION == "1.0" else {"heartbeats": heartbeats}
        self.link = CONNECTION([("127.0.0.1", PORT)], auto_content_length=True, reconnect_attempts_max=1, auto_decode=text, **options)
        self.inbox = Inbox()
        self.link.set_listener("", self.inbox)
        self.opened.append(self)
        self.link.connect(*(login or (None, None)), wait=True, headers=headers or {})

    def subscribe(self, destination, sub="1", ack="auto", **headers):
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        args = {"destination": destination, "id": sub, "ack": ack, "headers": named}
        self.receipted(lambda receipt: self.link.subscribe(**{**args, "headers": {**named, "receipt": receipt}}))

    def send(self, destination, body, **headers):
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        self.receipted(lambda receipt: self.link.send(destination, body, headers={**named, "receipt": receipt}))

    def receipted(self, act):
        receipt = f"r-{time.monotonic_ns()}"
        act(receipt)
        assert self.inbox.receipts.get(timeout=DEADLINE_S) == receipt

    def next(self):
        return self.inbox.messages.get(timeout=DEADLINE_S)

    def bodies(self, count):
        return [self.next()[1] for _ in range(count)]

    def nothing(self):
        """Whatever was to come stands before the receipt."""
        self.send("/topic/nobody", "x")
        assert self.inbox.messages.empty()

    def name(self, headers):
        if VERSION == "1.2":
            return (headers["ack"],)
        return (headers["message-id"],) if VERSION == "1.0" else (headers["message-id"], headers["subscription"])

    def drop(self):
        self.link.transport.disconnect_socket()
        self.inbox.ended.get(timeout=DEADLINE_S)


STEPS = []


def step(title, versions="1.0 1.1 1.2"):
    def add(run):
        if VERSION in versions.split():
            STEPS.append((title, run))

    return add


@step("publishes to and receives from topics, wildcards among them")
def _():
    reader, writer = Client(), Client()
    reader.subscribe("/topic/plant.*.temp")
    reader.subscribe("/topic/plant.#", "2")
    writer.send("/topic/plant.1.temp", "21.5", unit="C")
    got = sorted((headers.get("subscription", ""), headers["unit"], body) for headers, body in (reader.next(), reader.next()))
    assert got == [("1", "C", "21.5"), ("2", "C", "21.5")], got


@step("carries bodies of any bytes and size")
def _():
    client = Client(text=False)
    client.subscribe("/topic/bytes")
    for body in (b"", b"\x00", bytes(range(256)) * 4, b"x" * 1_000_000):
        client.send("/topic/bytes", body)
        got = client.next()[1]
        assert (got if isinstance(got, bytes) else got.encode()) == body


@step("carries headers with every character that its version can")
def _():
    client = Client()
    client.subscribe("/topic/headers")
    value = "a b" if VERSION == "1.0" else "a:b\\c\nd é ☃"
    client.send("/topic/headers", "x", k=value)
    assert client.next()[0]["k"] == value


@step("keeps the order of thousands of messages")
def _():
    client = Client()
    client.subscribe("/queue/many")
    for i in range(3000):
        client.link.send("/queue/many", str(i))
    assert client.bodies(3000) == [str(i) for i in range(3000)]


@step("acknowledges one by one, and what is left goes to the next, flagged")
def _():
    first, second = Client(), Client()
    for job in "abc":
        first.send("/queue/jobs", job)
    first.subscribe("/queue/jobs", ack="client-individual")
    jobs = [first.next() for _ in range(3)]
    first.link.ack(*first.name(jobs[1][0]))
    first.nothing()
    first.drop()
    second.subscribe("/queue/jobs")
    assert [(h.get("redelivered"), b) for h, b in (second.next(), second.next())] == [("true", "a"), ("true", "c")]


@step("acknowledges everything up to one")
def _():
    first, second = Client(), Client()
    for job in "abc":
        first.send("/queue/upto", job)
    first.subscribe("/queue/upto", ack="client")
    jobs = [first.next() for _ in range(3)]
    first.link.ack(*first.name(jobs[1][0]))
    first.nothing()
    first.drop()
    second.subscribe("/queue/upto")
    assert second.bodies(1) == ["c"]


@step("refuses a message, which comes again", "1.1 1.2")
def _():
    client = Client()
    client.send("/queue/nack", "a")
    client.subscribe("/queue/nack", ack="client-individual")
    client.link.nack(*client.name(client.next()[0]))
    headers, body = client.next()
    assert (headers["redelivered"], body) == ("true", "a")


@step("commits and aborts transactions")
def _():
    client = Client()
    client.subscribe("/topic/tx")
    for end in ("abort", "commit"):
        transaction = client.link.begin()
        client.link.send("/topic/tx", end, transaction=transaction)
        getattr(client.link, end)(transaction)
    assert client.bodies(1) == ["commit"]
    client.nothing()


@step("keeps a durable subscription while it is away")
def _():
    who = {"client-id": "keeper"}
    named = {"activemq.subscriptionName": "orders"}
    away = Client(headers=who)
    away.subscribe("/topic/orders", **named)
    away.drop()
    Client().send("/topic/orders", "meanwhile")
    back = Client(headers=who)
    back.subscribe("/topic/orders", **named)
    assert back.bodies(1) == ["meanwhile"]


@step("selects")
def _():
    client = Client()
    client.subscribe("/topic/select", selector="size > 10 AND color IN ('red', 'green')")
    for size, color in ((5, "red"), (50, "blue"), (50, "green")):
        client.send("/topic/select", f"{size} {color}", size=size, color=color)
    assert client.bodies(1) == ["50 green"]
    client.nothing()


@step("is answered on a temporary queue")
def _():
    asker, service = Client(), Client()
    service.subscribe("/queue/service")
    asker.subscribe("/temp-queue/answers")
    asker.send("/queue/service", "ping", reply_to="/temp-queue/answers")
    headers, body = service.next()
    service.send(headers["reply-to"], body + " pong")
    assert asker.bodies(1) == ["ping pong"]


@step("stops receiving after UNSUBSCRIBE")
def _():
    client = Client()
    client.subscribe("/topic/stop")
    if VERSION == "1.0":
        client.receipted(lambda receipt: client.link.unsubscribe("/topic/stop", id="1", receipt=receipt))
    else:
        client.receipted(lambda receipt: client.link.unsubscribe("1", receipt=receipt))
    client.send("/topic/stop", "x")
    client.nothing()


@step("keeps its connection alive by heart-beats", "1.1 1.2")
def _():
    client = Client(heartbeats=(400, 400))
    silent_s = 4
    time.sleep(silent_s)
    client.nothing()
    assert client.inbox.ended.empty()


@step("is told what was wrong, and cut off")
def _():
    client = Client()
    client.link.send("nowhere", "x")
    headers, body = client.inbox.errors.get(timeout=DEADLINE_S)
    assert headers["message"] == "Invalid destination" and "nowhere" in body
    client.inbox.ended.get(timeout=DEADLINE_S)


@step("is refused with wrong credentials, and not with right ones")
def _():
    Client(login=("meter", "right")).send("/topic/a", "x")
    try:
        Client(login=("meter", "wrong"))
        raise AssertionError("it was not refused")
    except ConnectFailedException:
        pass


for title, run in STEPS:
    run()
    for client in Client.opened:
        if client.link.is_connected():
            client.link.disconnect()
    Client.opened.clear()
    print(f"ok {title}", flush=True)
