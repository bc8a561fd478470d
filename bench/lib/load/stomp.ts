// STOMP 1.2 endpoints of the generator. Frames are prebuilt; only payload header and receipt number are patched.
// Deliveries are scanned in place: the header lines once, byte by byte, for the three headers that matter; the body by
// its content-length, or by its NUL where the broker gives none. They rely on Link for contiguous bytes and on Inbox to
// judge a delivery, and never build a string per message.

import { Inbox } from './inbox.ts';
import type { Endpoint, Link } from './link.ts';
import { blankPayload, checkAt, laneAt, nowUs, seqAt, stampAt, writeHex } from './payload.ts';
import type { LoadPlan } from './plan.ts';
import { Publisher, type Shared } from './publisher.ts';

const newline = 0x0a;
const letter = { a: 0x61, c: 0x63, r: 0x72 } as const;
const command = { connected: 0x434f, error: 0x4552, message: 0x4d45, receipt: 0x5245 } as const;
const receiptDigits = 5;

export const stompFarewell = Buffer.from('DISCONNECT\n\n\0');

const contentLengthName = Buffer.from('content-length:');
const ackName = Buffer.from('ack:');
const receiptIdName = Buffer.from('receipt-id:');
const ackStart = Buffer.from('ACK\nid:');
const ackEnd = Buffer.from('\n\n\0');

function destination(shared: Shared, topic: number): string {
  const { destinationPrefix, topics } = shared.plan;
  return `${destinationPrefix}b${shared.tagText}.t${String(topic).padStart(String(topics - 1).length, '0')}`;
}

function connectFrame(plan: LoadPlan): Buffer {
  const login = plan.user === '' ? '' : `login:${plan.user}\npasscode:${plan.password}\n`;
  return Buffer.from(`CONNECT\naccept-version:1.2\nhost:/\nheart-beat:0,0\n${login}\n\0`);
}

function sendWhole(link: Link, bytes: Buffer): void {
  link.send(bytes, 0, bytes.length);
}

/** Finds the end of a frame and what matters in its headers; one object per connection, used again for each frame. */
class FrameScan {
  /** The first two bytes of the command, which are different for each of the server's. */
  command = 0;
  bodyStart = 0;
  bodyEnd = 0;
  /** Past the NUL. */
  next = 0;
  /** Value of `ack` (MESSAGE) or `receipt-id` (RECEIPT). */
  idStart = 0;
  idEnd = 0;

  /** Reads the frame that begins at `start`; false when it is not all there. */
  read(bytes: Buffer, start: number, end: number): boolean {
    let at = start;
    while (at < end && bytes[at] !== newline) at++;
    if (at + 1 >= end) return false;
    this.command = (bytes[start]! << 8) | bytes[start + 1]!;
    at++;
    let length = -1;
    this.idStart = 0;
    this.idEnd = 0;
    for (;;) {
      if (at >= end) return false;
      const first = bytes[at]!;
      if (first === newline) break;
      const line = at;
      if (first === letter.c && startsWith(bytes, line, contentLengthName, end)) {
        at += contentLengthName.length;
        length = 0;
        for (let digit = bytes[at]! - 0x30; digit >= 0 && digit <= 9 && at < end; digit = bytes[++at]! - 0x30)
          length = length * 10 + digit;
        while (at < end && bytes[at] !== newline) at++;
      } else {
        while (at < end && bytes[at] !== newline) at++;
        if (first === letter.a && startsWith(bytes, line, ackName, end)) {
          this.idStart = line + ackName.length;
          this.idEnd = at;
        } else if (first === letter.r && startsWith(bytes, line, receiptIdName, end)) {
          this.idStart = line + receiptIdName.length;
          this.idEnd = at;
        }
      }
      at++;
    }
    this.bodyStart = at + 1;
    if (length >= 0) this.bodyEnd = this.bodyStart + length;
    else {
      const nul = bytes.indexOf(0, this.bodyStart);
      if (nul < 0) return false;
      this.bodyEnd = nul;
    }
    this.next = this.bodyEnd + 1;
    return this.next <= end;
  }
}

function startsWith(bytes: Buffer, at: number, name: Buffer, end: number): boolean {
  if (at + name.length > end) return false;
  for (let index = 0; index < name.length; index++) {
    if (bytes[at + index] !== name[index]) return false;
  }
  return true;
}

/** What the broker says in an ERROR frame, for a failure message. */
function errorText(bytes: Buffer, start: number, end: number): string {
  return bytes
    .toString('utf8', start, Math.min(end, start + 300))
    .replaceAll('\n', ' ')
    .replaceAll('\0', '');
}

export class StompPublisher extends Publisher {
  private readonly scan = new FrameScan();
  private receiptAt = -1;
  private payloadAt = 0;

  constructor(shared: Shared, index: number) {
    super(shared, index);
    this.buildSlab();
  }

  onOpen(): void {
    sendWhole(this.link, connectFrame(this.shared.plan));
  }

  onBytes(bytes: Buffer, _view: DataView, start: number, end: number): number {
    const now = nowUs();
    const scan = this.scan;
    let at = start;
    let answers = 0;
    while (at < end) {
      if (bytes[at] === newline) {
        at++;
        continue;
      }
      if (!scan.read(bytes, at, end)) break;
      if (scan.command === command.receipt) {
        let id = 0;
        for (let digit = scan.idStart; digit < scan.idEnd; digit++) id = id * 10 + bytes[digit]! - 0x30;
        if (!this.settle(id, now)) {
          this.onClosed(`RECEIPT ${id} for nothing`);
          return end;
        }
        answers++;
      } else if (scan.command === command.connected) {
        this.isOpen = true;
        this.shared.supervisor.onReady();
      } else {
        this.onClosed(errorText(bytes, at, end));
        return end;
      }
      at = scan.next;
    }
    if (answers > 0) this.shared.supervisor.onAvailable(this);
    return at;
  }

  protected buildFrame(lane: number): Buffer {
    const { plan, layout } = this.shared;
    const receipt = plan.receipts ? `receipt:${'0'.repeat(receiptDigits)}\n` : '';
    const persistent = plan.persistent ? 'persistent:true\n' : '';
    const to = destination(this.shared, layout.topicOfLane(lane));
    const head = `SEND\ndestination:${to}\n${persistent}content-length:${plan.payloadBytes}\n`;
    this.receiptAt = plan.receipts ? head.length + 'receipt:'.length : -1;
    const headers = Buffer.from(`${head}${receipt}\n`);
    this.payloadAt = headers.length;
    return Buffer.concat([headers, blankPayload(plan.payloadBytes), Buffer.of(0)]);
  }

  protected patchTopic(): void {
    throw new Error('plan: no mixed load in STOMP');
  }

  protected patch(at: number, seq: number, lane: number, stampUs: number, id: number): void {
    const slab = this.slab;
    const payload = at + this.payloadAt;
    writeHex(slab, payload + 2 * seqAt, seq);
    writeHex(slab, payload + 2 * stampAt, stampUs);
    writeHex(slab, payload + 2 * laneAt, lane);
    writeHex(slab, payload + 2 * checkAt, seq ^ lane ^ this.shared.deliveries.tag);
    if (id === 0) return;
    let rest = id;
    for (let digit = at + this.receiptAt + receiptDigits - 1; digit >= at + this.receiptAt; digit--) {
      slab[digit] = 0x30 + (rest % 10);
      rest = (rest / 10) | 0;
    }
  }
}

export class StompSubscriber implements Endpoint {
  link!: Link;
  private readonly shared: Shared;
  private readonly index: number;
  private readonly inbox: Inbox;
  private readonly scan = new FrameScan();
  private readonly ack: LoadPlan['ack'];
  private receiptsOwed = 0;
  /** Subscribed and confirmed. */
  private isReady = false;

  constructor(shared: Shared, index: number) {
    this.shared = shared;
    this.index = index;
    this.inbox = new Inbox(shared.deliveries, index);
    this.ack = shared.plan.ack;
  }

  onOpen(): void {
    sendWhole(this.link, connectFrame(this.shared.plan));
  }

  onWritable(): void {
    // Acknowledgements are written as they come; the kernel has simply caught up.
  }

  onClosed(reason: string): void {
    this.shared.supervisor.onFailure(`subscriber ${this.index}: ${reason}`);
  }

  onBytes(bytes: Buffer, _view: DataView, start: number, end: number): number {
    const now = nowUs();
    const scan = this.scan;
    let at = start;
    let lastAckStart = 0;
    let lastAckEnd = 0;
    while (at < end) {
      if (bytes[at] === newline) {
        at++;
        continue;
      }
      if (!scan.read(bytes, at, end)) break;
      if (scan.command === command.message) {
        this.inbox.takeText(bytes, scan.bodyStart, scan.bodyEnd - scan.bodyStart, now);
        if (this.ack === 'client-individual') this.acknowledge(bytes, scan.idStart, scan.idEnd);
        else {
          lastAckStart = scan.idStart;
          lastAckEnd = scan.idEnd;
        }
      } else if (!this.onControl(bytes, at, end)) return end;
      at = scan.next;
    }
    if (this.ack === 'client' && lastAckEnd > 0) this.acknowledge(bytes, lastAckStart, lastAckEnd);
    this.shared.supervisor.onProgress();
    return at;
  }

  private onControl(bytes: Buffer, at: number, end: number): boolean {
    if (this.scan.command === command.connected) this.subscribe();
    else if (this.scan.command === command.receipt) {
      if (--this.receiptsOwed === 0 && !this.isReady) {
        this.isReady = true;
        this.shared.supervisor.onReady();
      }
    } else {
      this.onClosed(errorText(bytes, at, end));
      return false;
    }
    return true;
  }

  private acknowledge(bytes: Buffer, idStart: number, idEnd: number): void {
    const out = this.link.out;
    let to = out.end;
    for (let index = 0; index < ackStart.length; index++) out.bytes[to++] = ackStart[index]!;
    for (let index = idStart; index < idEnd; index++) out.bytes[to++] = bytes[index]!;
    for (let index = 0; index < ackEnd.length; index++) out.bytes[to++] = ackEnd[index]!;
    out.end = to;
  }

  private subscribe(): void {
    const { plan, layout, tagText } = this.shared;
    const topics = layout.topicsOfSubscriber(this.index);
    const names =
      topics.length === 0
        ? [`${plan.destinationPrefix}b${tagText}.#`]
        : topics.map((topic) => destination(this.shared, topic));
    // RabbitMQ and this broker read the first, ActiveMQ the second.
    const prefetch =
      plan.prefetch === 0 ? '' : `prefetch-count:${plan.prefetch}\nactivemq.prefetchSize:${plan.prefetch}\n`;
    this.receiptsOwed = names.length;
    let frames = '';
    for (const [id, name] of names.entries()) {
      frames += `SUBSCRIBE\nid:${id}\ndestination:${name}\nack:${plan.ack}\n${prefetch}receipt:s${id}\n\n\0`;
    }
    sendWhole(this.link, Buffer.from(frames));
  }
}
