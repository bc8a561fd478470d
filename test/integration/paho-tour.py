"""A tour of every feature with paho, the MQTT client for Python.

    python3 paho-tour.py VERSION MQTT_PORT WEBSOCKET_PORT      VERSION: 3, 4 or 5

Prints 'ok STEP' for each step that went well; ends with 1 and a traceback at the first that does not. The steps follow each other, each with clients of its own,
and wait for what must come: a QoS 1 message to oneself stands behind everything that was sent before.
"""
import os
import queue
import socket
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

VERSION, PORT, WS_PORT = (int(word) for word in sys.argv[1:4])
IS_V5 = VERSION == 5
DEADLINE_S = 15


def code(reason):
    """Reason codes are objects in MQTT 5 and numbers before."""
    return getattr(reason, "value", reason)


def properties(kind, **values):
    made = Properties(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Client:
    """Connects once and never again by itself; whatever comes is kept in queues."""

    opened = []

    def __init__(self, client_id="", clean=True, expiry=None, will=None, websocket=False, user=None, expect=0, **connect):
        args = dict(client_id=client_id, protocol=VERSION, transport="websockets" if websocket else "tcp", reconnect_on_failure=False)
        if not IS_V5:
            args["clean_session"] = clean
        if hasattr(mqtt, "CallbackAPIVersion"):
            args["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
        client = self.client = mqtt.Client(**args)
        self.connacks, self.messages, self.subacks, self.unsubacks, self.ended = (queue.Queue() for _ in range(5))
        client.on_connect = lambda c, u, flags, rc, props=None: self.connacks.put((code(rc), flags["session present"], props))
        client.on_message = lambda c, u, message: self.messages.put(message)
        client.on_subscribe = lambda c, u, mid, granted, props=None: self.subacks.put([code(g) for g in granted])
        client.on_unsubscribe = lambda *args: self.unsubacks.put(args)
        client.on_disconnect = lambda c, u, rc, props=None: self.ended.put(code(rc))
        client.max_inflight_messages_set(100)
        if websocket:
            client.ws_set_options(path="/mqtt")
        if user:
            client.username_pw_set(*user)
        if will:
            client.will_set(**will)
        if IS_V5:
            if expiry is not None:
                connect["SessionExpiryInterval"] = expiry
            keepalive = connect.pop("keepalive", 60)
            client.connect(
                "127.0.0.1", WS_PORT if websocket else PORT, keepalive, clean_start=clean, properties=properties(PacketTypes.CONNECT, **connect)
            )
        else:
            client.connect("127.0.0.1", WS_PORT if websocket else PORT, connect.get("keepalive", 60))
        # paho's own thread: only then does nobody else write to the socket.
        client.loop_start()
        Client.opened.append(self)
        rc, self.present, self.connack = self.connacks.get(timeout=DEADLINE_S)
        assert rc == expect, f"CONNACK {rc}, not {expect}"

    def subscribe(self, *filters, qos=1, expect=None, **options):
        if IS_V5:
            identifier = options.pop("identifier", None)
            wanted = [(name, SubscribeOptions(qos=qos, **options)) for name in filters]
            extra = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=identifier) if identifier else None
            self.client.subscribe(wanted, properties=extra)
        else:
            self.client.subscribe([(name, qos) for name in filters])
        granted = self.subacks.get(timeout=DEADLINE_S)
        wanted = [qos] * len(filters) if expect is None else expect
        assert granted == wanted, f"SUBACK {granted}, not {wanted}"

    def publish(self, topic, payload, qos=1, retain=False, **props):
        extra = properties(PacketTypes.PUBLISH, **props) if props else None
        info = self.client.publish(topic, payload, qos, retain, extra) if IS_V5 else self.client.publish(topic, payload, qos, retain)
        if qos > 0:
            info.wait_for_publish(DEADLINE_S)
            assert info.is_published(), f"no answer to a publish to {topic}"

    def next(self):
        return self.messages.get(timeout=DEADLINE_S)

    def texts(self, count):
        return [f"{m.topic} {m.payload.decode()}" for m in (self.next() for _ in range(count))]

    def nothing(self):
        """Nothing has come that was not taken."""
        self.subscribe("tour/mark")
        self.publish("tour/mark", "mark")
        message = self.next()
        assert message.topic == "tour/mark", f"unexpected message on {message.topic}"

    def drop(self):
        """The connection is gone without a word."""
        self.client.socket().shutdown(socket.SHUT_RDWR)

    def leave(self, reason=None, **props):
        if IS_V5:
            code_ = mqtt.ReasonCodes(PacketTypes.DISCONNECT, identifier=reason or 0)
            self.client.disconnect(code_, properties(PacketTypes.DISCONNECT, **props) if props else None)
        else:
            self.client.disconnect()
        assert self.ended.get(timeout=DEADLINE_S) == 0


KEPT = dict(clean=False, expiry=3600)


def step_qos():
    "delivers at the lower of both QoS"
    sender = Client()
    for wanted in (0, 1, 2):
        taker = Client()
        taker.subscribe("tour/+/temp", qos=wanted)
        for qos in (0, 1, 2):
            sender.publish("tour/1/temp", str(qos), qos)
        # QoS 0 on the way in is not held up by what waits for the disk, so that it may come first.
        got = sorted((m.payload.decode(), m.qos) for m in (taker.next() for _ in range(3)))
        assert got == [(str(qos), min(qos, wanted)) for qos in (0, 1, 2)], got


def step_wildcards():
    "matches wildcards"
    client = Client()
    client.subscribe("w/+/c", "w/d/#", "+/w")
    for topic in ("w/b/c", "w/b/b/c", "w/c", "w/d", "w/d/1/2", "x/w", "/w"):
        client.publish(topic, ".")
    assert [m.topic for m in (client.next() for _ in range(5))] == ["w/b/c", "w/d", "w/d/1/2", "x/w", "/w"]
    client.nothing()


def step_payloads():
    "carries payloads of any bytes and size"
    client = Client()
    client.subscribe("bytes", qos=2)
    for payload in (b"", bytes(range(256)), os.urandom(300_000)):
        client.publish("bytes", payload, 2)
        assert client.next().payload == payload


def step_thousands():
    "keeps the order of thousands of messages"
    sender, taker = Client(), Client()
    for qos in (1, 2):
        taker.subscribe(f"many/{qos}", qos=qos)
        infos = [sender.client.publish(f"many/{qos}", str(i), qos) for i in range(3000)]
        assert taker.texts(3000) == [f"many/{qos} {i}" for i in range(3000)]
        infos[-1].wait_for_publish(DEADLINE_S)


def step_retained():
    "keeps retained messages, and forgets them when they are cleared"
    sender = Client()
    for name in "abc":
        sender.publish(f"kept/{name}", name, retain=True)
    sender.publish("kept/a", "A", retain=True)
    early = Client()
    early.subscribe("kept/#")
    got = sorted((m.topic, m.payload.decode(), m.retain) for m in (early.next() for _ in range(3)))
    assert got == [("kept/a", "A", True), ("kept/b", "b", True), ("kept/c", "c", True)], got
    sender.publish("kept/b", b"", retain=True)
    assert not early.next().retain
    late = Client()
    late.subscribe("kept/b", "kept/c")
    assert late.texts(1) == ["kept/c c"]
    late.nothing()


def step_will():
    "publishes the will of a client that is lost, not of one that leaves"
    watcher = Client()
    watcher.subscribe("will/#", qos=2)
    leaving = Client(will=dict(topic="will/leaving", payload="no", qos=1))
    leaving.leave()
    lost = Client(will=dict(topic="will/lost", payload="lost", qos=2, retain=True))
    lost.drop()
    message = watcher.next()
    assert (message.topic, message.payload, message.qos) == ("will/lost", b"lost", 2)
    watcher.subscribe("will/lost")
    message = watcher.next()
    assert (message.topic, message.retain) == ("will/lost", True)
    watcher.nothing()


def step_session():
    "keeps a session and what it misses"
    keeper = Client("tour-keeper", **KEPT)
    assert not keeper.present
    keeper.subscribe("missed/#", qos=2)
    keeper.leave()
    sender = Client()
    for i in range(20):
        sender.publish("missed/x", str(i), 1 + i % 2)
    again = Client("tour-keeper", **KEPT)
    assert again.present or VERSION == 3  # MQTT 3.1 does not say it.
    got = again.texts(20)
    assert sorted(got) == sorted(f"missed/x {i}" for i in range(20)), got
    again.leave()
    fresh = Client("tour-keeper")
    assert not fresh.present
    fresh.nothing()


def step_takeover():
    "hands a session to the second connection of its client"
    first = Client("tour-twin", **KEPT)
    first.subscribe("twin")
    second = Client("tour-twin", **KEPT)
    assert second.present or VERSION == 3
    reason = first.ended.get(timeout=DEADLINE_S)
    assert reason == 0x8E if IS_V5 else reason != 0, reason
    Client().publish("twin", "x")
    assert second.texts(1) == ["twin x"]


def step_unsubscribe():
    "stops delivering after UNSUBSCRIBE"
    client = Client()
    client.subscribe("un/a", "un/b")
    client.client.unsubscribe(["un/a"])
    client.unsubacks.get(timeout=DEADLINE_S)
    client.publish("un/a", "no")
    client.publish("un/b", "yes")
    assert client.texts(1) == ["un/b yes"]
    client.nothing()


def step_shared():
    "shares a subscription"
    sender, members = Client(), [Client(), Client()]
    for member in members:
        member.subscribe("$share/tour/work")
    for i in range(10):
        sender.publish("work", str(i))
    shares = [member.texts(5) for member in members]
    assert sorted(shares[0] + shares[1]) == sorted(f"work {i}" for i in range(10))


def step_queue():
    "hands a queue's messages to one worker each, and those of a lost one to the next"
    sender, lost, other = Client(), Client(), Client()
    sender.publish("$queue/tour", "1")
    lost.client.manual_ack_set(True) if hasattr(lost.client, "manual_ack_set") else None
    lost.subscribe("$queue/tour")
    assert lost.texts(1) == ["$queue/tour 1"]
    other.subscribe("$queue/tour")
    for i in range(2, 6):
        sender.publish("$queue/tour", str(i))
    shares = lost.texts(2) + other.texts(2)
    assert sorted(shares) == [f"$queue/tour {i}" for i in range(2, 6)], shares


def step_ping():
    "answers pings"
    client, answers = Client(keepalive=1), queue.Queue()
    client.client.on_log = lambda c, u, level, line: answers.put(line) if line == "Received PINGRESP" else None
    for _ in range(2):
        answers.get(timeout=DEADLINE_S)
    client.nothing()


def step_figures():
    "tells its figures under $SYS"
    client = Client()
    client.subscribe("$SYS/broker/#")
    assert client.next().topic.startswith("$SYS/broker/")


def step_websocket():
    "speaks through WebSocket"
    client, other = Client(websocket=True), Client()
    client.subscribe("ws/#", qos=2)
    other.publish("ws/a", "x" * 70_000, 2)
    assert len(client.next().payload) == 70_000
    client.publish("ws/b", "y", 1)
    assert client.texts(1) == ["ws/b y"]


def step_credentials():
    "is refused with wrong credentials, and not with right ones"
    Client(user=("meter", "wrong"), expect=0x86 if IS_V5 else 4)
    Client(user=("meter", "right")).nothing()


def step_identifier():
    "gets an identifier when it has none"
    client = Client("")
    if IS_V5:
        assert len(client.connack.AssignedClientIdentifier) > 10
    client.nothing()


def step_filters():
    "is told which of its filters are refused"
    client = Client()
    client.client.subscribe([("ok", SubscribeOptions(1)), ("$share/+/x", SubscribeOptions(1))])
    granted = client.subacks.get(timeout=DEADLINE_S)
    assert granted[0] == 1 and granted[1] >= 0x80, granted


def step_agreement():
    "learns what was agreed"
    props = Client(RequestResponseInformation=1).connack
    assert props.ReceiveMaximum > 0 and props.TopicAliasMaximum > 0 and props.MaximumPacketSize > 0
    assert props.ResponseInformation.startswith("$reply/")


def step_properties():
    "carries every property of a message, in order"
    sender, taker = Client(), Client()
    taker.subscribe("props")
    sent = dict(
        PayloadFormatIndicator=1,
        MessageExpiryInterval=300,
        ResponseTopic="answer/here",
        CorrelationData=b"\x00\x01\xfe\xff",
        ContentType="text/plain",
        UserProperty=[("unit", "C"), ("unit", "K"), ("ключ", "значение"), ("", "")],
    )
    sender.publish("props", "21", **sent)
    got = taker.next().properties
    assert got.MessageExpiryInterval in (299, 300)
    for name in sent.keys() - {"MessageExpiryInterval"}:
        assert getattr(got, name) == sent[name], (name, getattr(got, name))


def step_expiry():
    "forgets a message whose time is over"
    keeper = Client("tour-expiry", **KEPT)
    keeper.subscribe("expiry/#")
    keeper.leave()
    sender = Client()
    sender.publish("expiry/short", "x", MessageExpiryInterval=1)
    sender.publish("expiry/long", "y", MessageExpiryInterval=100)
    sender.publish("gone", "x", retain=True, MessageExpiryInterval=1)
    watcher, deadline = Client(), time.monotonic() + DEADLINE_S
    while True:
        # What is retained comes between SUBACK and whatever is published afterwards.
        watcher.subscribe("gone")
        watcher.publish("gone", "live")
        if watcher.next().payload == b"live":
            break
        watcher.next()
        assert time.monotonic() < deadline, "a retained message is still there"
    again = Client("tour-expiry", **KEPT)
    message = again.next()
    assert message.topic == "expiry/long" and message.properties.MessageExpiryInterval < 100
    again.nothing()


def step_alias():
    "shortens topics by aliases in both directions"
    sender, taker = Client(), Client(TopicAliasMaximum=5)
    taker.subscribe("alias/#")
    sender.publish("alias/a", "1", TopicAlias=1)
    sender.publish("", "2", TopicAlias=1)
    # paho does not undo aliases itself: an empty topic shows that the broker used one.
    first, second = taker.next(), taker.next()
    assert (first.topic, first.payload, second.payload) == ("alias/a", b"1", b"2")
    assert second.topic == "alias/a" or second.properties.TopicAlias == first.properties.TopicAlias


def step_options():
    "honours No Local, Retain As Published and Retain Handling"
    client, other = Client(), Client()
    client.subscribe("nl", noLocal=True)
    client.publish("nl", "own")
    other.publish("nl", "other")
    assert client.texts(1) == ["nl other"]
    client.subscribe("rap", retainAsPublished=True)
    other.publish("rap", "x", retain=True)
    assert client.next().retain
    client.subscribe("rap", retainHandling=1)
    other.subscribe("rap", retainHandling=2)
    other.publish("rap", "live")
    assert client.texts(1) == ["rap live"] and other.texts(1) == ["rap live"]


def step_identifiers():
    "names the subscriptions that a message matched"
    client = Client()
    client.subscribe("si/#", identifier=7)
    client.subscribe("si/a", identifier=300)
    client.publish("si/a", "x")
    assert sorted(client.next().properties.SubscriptionIdentifier) == [7, 300]


def step_request():
    "answers a request where the requester said"
    responder, requester = Client(), Client(RequestResponseInformation=1)
    where = requester.connack.ResponseInformation + "here"
    requester.subscribe(where)
    responder.subscribe("service/double")
    requester.publish("service/double", "21", ResponseTopic=where, CorrelationData=b"c")
    request = responder.next().properties
    responder.publish(request.ResponseTopic, "42", CorrelationData=request.CorrelationData)
    answer = requester.next()
    assert (answer.payload, answer.properties.CorrelationData) == (b"42", b"c")


def step_will_asked():
    "publishes a will with its properties when DISCONNECT asks for it, and a delayed one not when the client is back"
    watcher = Client()
    watcher.subscribe("asked/#")
    delay = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=3600)
    delayed = Client("tour-delayed", will=dict(topic="asked/delayed", payload="no", qos=1, properties=delay), **KEPT)
    delayed.drop()
    assert Client("tour-delayed", **KEPT).present
    props = properties(PacketTypes.WILLMESSAGE, ContentType="text/plain", UserProperty=("why", "asked"))
    Client(will=dict(topic="asked/now", payload="w", qos=1, properties=props)).leave(4)
    message = watcher.next()
    assert (message.topic, message.properties.ContentType, message.properties.UserProperty) == ("asked/now", "text/plain", [("why", "asked")])
    watcher.nothing()


def step_session_end():
    "ends a session at once when DISCONNECT says so"
    Client("tour-end", **KEPT).leave(0, SessionExpiryInterval=0)
    assert not Client("tour-end", **KEPT).present


def step_receive_maximum():
    "gets everything within its Receive Maximum"
    sender, taker = Client(), Client(ReceiveMaximum=2)
    taker.subscribe("flow", qos=2)
    for i in range(50):
        sender.publish("flow", str(i), 2)
    assert taker.texts(50) == [f"flow {i}" for i in range(50)]


def step_packet_size():
    "is never sent a packet over its limit"
    sender, taker = Client(), Client(MaximumPacketSize=200)
    taker.subscribe("size")
    sender.publish("size", "x" * 300)
    sender.publish("size", "small")
    assert taker.texts(1) == ["size small"]


ALL = [
    step_qos, step_wildcards, step_payloads, step_thousands, step_retained, step_will, step_session, step_takeover, step_unsubscribe,
    step_shared, step_queue, step_ping, step_figures, step_websocket, step_credentials,
]
# The empty identifier came with 3.1.1.
FROM_311 = [step_identifier]
ONLY_5 = [
    step_filters, step_agreement, step_properties, step_expiry, step_alias, step_options, step_identifiers, step_request, step_will_asked,
    step_session_end, step_receive_maximum, step_packet_size,
]

for step in ALL + (FROM_311 if VERSION >= 4 else []) + (ONLY_5 if IS_V5 else []):
    step()
    print(f"ok {step.__doc__}", flush=True)
    for client in Client.opened:
        client.client.disconnect()
    Client.opened.clear()
