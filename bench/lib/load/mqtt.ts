// MQTT 3.1.1 and 5.0 endpoints of the generator: the few packets a load needs, written as bytes and read in place. They
// rely on Link for whole packets and on Inbox to judge a delivery. They never build an object per message, and treat
// anything unexpected as a failure of the run rather than as something to recover from.

import { Inbox } from './inbox.ts';
import type { Endpoint, Link } from './link.ts';
import { blankPayload, checkAt, laneAt, nowUs, seqAt, stampAt } from './payload.ts';
import type { LoadPlan } from './plan.ts';
import { Publisher, type Shared } from './publisher.ts';

const packetType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  pingresp: 13,
  disconnect: 14,
} as const;

const sessionExpiryInterval = 0x11;
/** Longer than any run, so that no PINGREQ is needed. */
const keepAliveSeconds = 600;
const filtersPerSubscribe = 1000;
/** Stands before the number in a topic's name. */
const LETTER_T = 0x74;

export const mqttFarewell = Buffer.of(packetType.disconnect << 4, 0);

export function topicName(shared: Shared, topic: number): string {
  const name = `b${shared.tagText}/t${String(topic).padStart(String(shared.plan.topics - 1).length, '0')}`;
  return shared.plan.patterns ? `${name}/v` : name;
}

function filterOf(shared: Shared, topic: number): string {
  const name = topicName(shared, topic);
  if (!shared.plan.patterns) return name;
  if (topic % 3 === 2) return name.replace(/^[^/]+/, '+');
  return name.replace(/v$/, topic % 3 === 0 ? '+' : '#');
}

export function packet(firstByte: number, body: Buffer): Buffer {
  const head = [firstByte];
  let length = body.length;
  do {
    head.push(length > 127 ? (length & 127) | 128 : length);
    length >>>= 7;
  } while (length > 0);
  return Buffer.concat([Buffer.from(head), body]);
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([Buffer.of(bytes.length >>> 8, bytes.length & 255), bytes]);
}

export function connectPacket(plan: LoadPlan, clientId: string, lasting: boolean): Buffer {
  const flags = (lasting ? 0 : 2) | (plan.user === '' ? 0 : 0x80) | (plan.password === '' ? 0 : 0x40);
  // MQTT 5: Receive Maximum is left at its default of 65,535; a session lasts as long as its expiry interval says.
  const properties = lasting ? Buffer.of(5, sessionExpiryInterval, 255, 255, 255, 255) : Buffer.of(0);
  return packet(
    packetType.connect << 4,
    Buffer.concat([
      text('MQTT'),
      Buffer.of(plan.mqttVersion, flags, keepAliveSeconds >>> 8, keepAliveSeconds & 255),
      ...(plan.mqttVersion === 5 ? [properties] : []),
      text(clientId),
      ...(plan.user === '' ? [] : [text(plan.user)]),
      ...(plan.password === '' ? [] : [text(plan.password)]),
    ]),
  );
}

function subscribePacket(plan: LoadPlan, packetId: number, filters: readonly string[]): Buffer {
  const parts: Buffer[] = [Buffer.of(packetId >>> 8, packetId & 255)];
  if (plan.mqttVersion === 5) parts.push(Buffer.of(0));
  for (const filter of filters) parts.push(text(filter), Buffer.of(plan.qos));
  return packet((packetType.subscribe << 4) | 2, Buffer.concat(parts));
}

export function sendWhole(link: Link, bytes: Buffer): void {
  link.send(bytes, 0, bytes.length);
}

const noProperties = Buffer.of(0);
/** Property length, Content Type, two User Properties: MQTT 5.0 section 3.3.2.3. */
const someProperties = packet(
  0,
  Buffer.concat([
    Buffer.of(0x03),
    text('application/json'),
    Buffer.of(0x26),
    text('source'),
    text('bench'),
    Buffer.of(0x26),
    text('unit'),
    text('kPa'),
  ]),
).subarray(1);

export class MqttPublisher extends Publisher {
  private readonly qos: number;
  private idAt = 0;
  private payloadAt = 0;
  /** Of the topic's number: behind its last digit. */
  private numberEnd = 0;

  constructor(shared: Shared, index: number) {
    super(shared, index);
    this.qos = shared.plan.qos;
    this.buildSlab();
  }

  onOpen(): void {
    sendWhole(this.link, connectPacket(this.shared.plan, `b${this.shared.tagText}-p${this.index}`, false));
  }

  onBytes(bytes: Buffer, _view: DataView, start: number, end: number): number {
    const now = nowUs();
    const out = this.link.out;
    let at = start;
    let answers = 0;
    while (end - at >= 2) {
      const length = bytes[at + 1]!;
      if (length > 127) {
        this.onClosed('a packet too long for a publisher');
        return end;
      }
      if (end - at < 2 + length) break;
      const id = (bytes[at + 2]! << 8) | bytes[at + 3]!;
      const type = bytes[at]! >>> 4;
      let expected = true;
      switch (type) {
        case packetType.connack:
          this.onConnack(bytes[at + 3]!);
          break;
        case packetType.puback:
          expected = this.qos === 1 && this.settle(id, now);
          answers++;
          break;
        case packetType.pubrec: // [MQTT-4.3.3-1]
          expected = this.qos === 2 && this.markReceived(id);
          out.bytes[out.end] = (packetType.pubrel << 4) | 2;
          out.bytes[out.end + 1] = 2;
          out.bytes[out.end + 2] = bytes[at + 2]!;
          out.bytes[out.end + 3] = bytes[at + 3]!;
          out.end += 4;
          break;
        case packetType.pubcomp:
          expected = this.qos === 2 && this.settle(id, now);
          answers++;
          break;
        case packetType.pingresp:
          break;
        default:
          expected = false;
      }
      if (length > 2 && type >= packetType.puback && type <= packetType.pubcomp && bytes[at + 4]! >= 0x80)
        expected = false;
      if (!expected) {
        this.onClosed(`unexpected packet ${bytes.toString('hex', at, Math.min(end, at + 6))}`);
        return end;
      }
      at += 2 + length;
    }
    if (answers > 0) this.shared.supervisor.onAvailable(this);
    return at;
  }

  protected buildFrame(lane: number): Buffer {
    const { plan, layout } = this.shared;
    const payload = blankPayload(plan.payloadBytes);
    const topic = topicName(this.shared, layout.topicOfLane(lane));
    const head = [text(topic)];
    if (plan.qos > 0) head.push(Buffer.alloc(2));
    const block = plan.mqttVersion === 5 ? (plan.properties ? someProperties : noProperties) : Buffer.alloc(0);
    head.push(block);
    const frame = packet((packetType.publish << 4) | (plan.qos << 1), Buffer.concat([...head, payload]));
    this.payloadAt = frame.length - plan.payloadBytes;
    this.idAt = this.payloadAt - block.length - 2;
    this.numberEnd = frame.indexOf(topic) + /^.*t[0-9]+/.exec(topic)![0].length;
    return frame;
  }

  protected patchTopic(at: number, lane: number): void {
    const { slab } = this;
    let rest = this.shared.layout.topicOfLane(lane);
    // All topics have the same number of digits, so that those in front of a shorter number are zeros.
    for (let digit = at + this.numberEnd - 1; slab[digit] !== LETTER_T; digit--) {
      const tens = Math.floor(rest / 10);
      slab[digit] = 0x30 + rest - tens * 10;
      rest = tens;
    }
  }

  protected patch(at: number, seq: number, lane: number, stampUs: number, id: number): void {
    const view = this.slabView;
    const payload = at + this.payloadAt;
    view.setUint32(payload + seqAt, seq, true);
    view.setUint32(payload + stampAt, stampUs, true);
    view.setUint32(payload + laneAt, lane, true);
    view.setUint32(payload + checkAt, seq ^ lane ^ this.shared.deliveries.tag, true);
    if (id !== 0) view.setUint16(at + this.idAt, id);
  }

  private onConnack(code: number): void {
    if (code !== 0) {
      this.onClosed(`CONNACK ${code}`);
      return;
    }
    this.isOpen = true;
    this.shared.supervisor.onReady();
  }
}

export class MqttSubscriber implements Endpoint {
  link!: Link;
  private readonly shared: Shared;
  private readonly index: number;
  private readonly inbox: Inbox;
  private readonly hasProperties: boolean;
  private subacksOwed = 0;

  constructor(shared: Shared, index: number) {
    this.shared = shared;
    this.index = index;
    this.inbox = new Inbox(shared.deliveries, index);
    this.hasProperties = shared.plan.mqttVersion === 5;
  }

  onOpen(): void {
    sendWhole(
      this.link,
      connectPacket(this.shared.plan, `b${this.shared.tagText}-s${this.index}`, this.shared.plan.lastingSessions),
    );
  }

  onWritable(): void {
    // Answers are written as they come; the kernel has simply caught up.
  }

  onClosed(reason: string): void {
    this.shared.supervisor.onFailure(`subscriber ${this.index}: ${reason}`);
  }

  onBytes(bytes: Buffer, view: DataView, start: number, end: number): number {
    const now = nowUs();
    const out = this.link.out;
    const inbox = this.inbox;
    let at = start;
    while (end - at >= 2) {
      const first = bytes[at]!;
      let length = bytes[at + 1]!;
      let body = at + 2;
      if (length > 127) {
        length &= 127;
        let shift = 7;
        let byte = 128;
        while (byte > 127 && shift < 28 && body < end) {
          byte = bytes[body++]!;
          length |= (byte & 127) << shift;
          shift += 7;
        }
        if (byte > 127) break;
      }
      const next = body + length;
      if (next > end) break;
      if (first >>> 4 === packetType.publish) {
        let payload = body + 2 + ((bytes[body]! << 8) | bytes[body + 1]!);
        const qos = first & 6;
        if (qos !== 0) {
          const answer = qos === 2 ? packetType.puback : packetType.pubrec; // [MQTT-4.3.2-4], [MQTT-4.3.3-8]
          out.bytes[out.end] = answer << 4;
          out.bytes[out.end + 1] = 2;
          out.bytes[out.end + 2] = bytes[payload]!;
          out.bytes[out.end + 3] = bytes[payload + 1]!;
          out.end += 4;
          payload += 2;
        }
        if (this.hasProperties) payload = skipProperties(bytes, payload);
        inbox.take(bytes, view, payload, next - payload, now);
      } else this.onControl(bytes, first, body, next);
      at = next;
    }
    this.shared.supervisor.onProgress();
    return at;
  }

  private onControl(bytes: Buffer, first: number, body: number, next: number): void {
    const out = this.link.out;
    switch (first >>> 4) {
      case packetType.connack:
        if (bytes[body + 1] === 0) this.subscribe();
        else this.onClosed(`CONNACK ${bytes[body + 1]}`);
        break;
      case packetType.pubrel: // [MQTT-4.3.3-11]
        out.bytes[out.end] = packetType.pubcomp << 4;
        out.bytes[out.end + 1] = 2;
        out.bytes[out.end + 2] = bytes[body]!;
        out.bytes[out.end + 3] = bytes[body + 1]!;
        out.end += 4;
        break;
      case packetType.suback: {
        const codes = this.hasProperties ? skipProperties(bytes, body + 2) : body + 2;
        for (let at = codes; at < next; at++) {
          if (bytes[at] !== this.shared.plan.qos) {
            this.onClosed(`SUBACK ${bytes[at]} where QoS ${this.shared.plan.qos} was asked for`);
            return;
          }
        }
        if (--this.subacksOwed === 0) this.shared.supervisor.onReady();
        break;
      }
      case packetType.pingresp:
        break;
      default:
        this.onClosed(`unexpected packet ${bytes.toString('hex', body - 2, Math.min(next, body + 4))}`);
    }
  }

  private subscribe(): void {
    const { plan, layout, tagText } = this.shared;
    const topics = layout.topicsOfSubscriber(this.index);
    const filters = topics.length === 0 ? [`b${tagText}/#`] : topics.map((topic) => filterOf(this.shared, topic));
    this.subacksOwed = Math.ceil(filters.length / filtersPerSubscribe);
    for (let first = 0, id = 1; first < filters.length; first += filtersPerSubscribe, id++) {
      sendWhole(this.link, subscribePacket(plan, id, filters.slice(first, first + filtersPerSubscribe)));
    }
  }
}

/** MQTT 5 section 2.2.2: past the variable-length property length and as many bytes. */
function skipProperties(bytes: Buffer, at: number): number {
  let length = 0;
  let shift = 0;
  let byte = 128;
  let next = at;
  while (byte > 127 && shift < 28) {
    byte = bytes[next++]!;
    length |= (byte & 127) << shift;
    shift += 7;
  }
  return next + length;
}
