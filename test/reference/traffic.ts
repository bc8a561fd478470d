// The bytes of a step, packet by packet: written plainly, for the broker and the model alike.
import { topicToDestination } from './message.ts';
import { type PublishProperties, publishBytes } from './mqtt-wire.ts';
import { type Sent, TOPICS } from './script.ts';
import { frameBytes } from './stomp-wire.ts';

/** User properties whose names mean something to STOMP, or are repeated. */
const NAMES_THAT_MATTER = [
  'content-length',
  '5',
  'destination',
  '/topic/x',
  'x-header-a',
  'b',
  'message-id',
  'm-1',
  'content-encoding',
  'gzip',
  'app-id',
  'one',
  'app-id',
  'two',
  'id',
  '7',
];
const TEXTS = ['k', 'v', 'k', 'w', 'a name', 'line\nbreak: back\\slash', 'é', '語'];

function mqttExtras(extras: number): PublishProperties {
  switch (extras) {
    case 1:
      return { contentType: 'text/plain', pairs: TEXTS };
    case 2:
      return { expiryS: 2, correlation: Buffer.from([0, 1, 0xff]) };
    case 3:
      return { payloadFormat: 1, pairs: ['priority', '5', 'k', 'v'] };
    case 4:
      return { responseTopic: 'replies/a.b', correlation: Buffer.from('c-1') };
    case 5:
      return { pairs: NAMES_THAT_MATTER };
    default:
      return {};
  }
}

function stompExtras(extras: number): string[] {
  switch (extras) {
    case 1:
      return ['k', 'v', 'k', 'w', 'path', 'c:\\new'];
    case 2:
      return ['expiration', '2000', 'persistent', 'true'];
    case 3:
      return ['content-type', 'text/plain;charset=utf-8', 'priority', '5'];
    case 4:
      return ['correlation-id', 'c-1', 'reply-to', '/topic/replies.a'];
    case 5:
      return ['message-id', 'mine', 'app-id', 'app', 'x-header-destination', 'there', 'é', 'ü', 'redelivered', 'true'];
    default:
      return [];
  }
}

/** MQTT: what one client has sent so far. */
export class MqttSender {
  private nextId = 0;
  private readonly level: 3 | 4 | 5;
  private lastQos2: Buffer | null = null;
  private readonly aliases = new Map<string, number>();

  constructor(level: 3 | 4 | 5) {
    this.level = level;
  }

  id(): number {
    this.nextId = (this.nextId % 60_000) + 1;
    return this.nextId;
  }

  /** Identifiers and the last message stay with the session; aliases do not. */
  onConnect(): void {
    this.aliases.clear();
  }

  publish({ topic: number, qos, retain, bytes, extras, again }: Sent, sequence: number): Buffer {
    if (again && qos === 2 && this.lastQos2 !== null) return this.lastQos2;
    const topic = TOPICS[number]!;
    const payload = Buffer.alloc(bytes, `${sequence} `);
    const id = qos === 0 ? 0 : this.id();
    const own = this.level === 5 ? mqttExtras(extras) : {};
    const fields = { topic, payload, qos, retain, dup: false, id, properties: own };
    if (qos === 2) {
      // A client that has lost its connection says it with DUP; one that is wrong, without.
      this.lastQos2 = publishBytes(this.level, { ...fields, dup: id % 2 === 0 });
    }
    if (this.level === 5 && extras === 6) {
      const known = this.aliases.get(topic);
      const alias = known ?? this.aliases.size + 1;
      this.aliases.set(topic, alias);
      return publishBytes(5, { ...fields, topic: known === undefined ? topic : '', properties: { alias } });
    }
    return publishBytes(this.level, fields);
  }
}

export function stompSend(level: 10 | 11 | 12, sent: Sent, sequence: number, transaction: string): Buffer {
  const topic = TOPICS[sent.topic]!;
  const isQueue = topic.startsWith('$queue/');
  const name = isQueue ? topic.slice('$queue/'.length) : topic;
  const destination = topicToDestination({ topic: name, isQueue }, sent.slashes);
  const headers = ['destination', destination, ...stompExtras(sent.extras)];
  if (sent.qos > 0 && sent.extras !== 2) headers.push('persistent', 'true');
  if (sent.retain) headers.push('retain', 'true');
  if (sent.receipt) headers.push('receipt', sequence % 3 === 0 ? `r:${sequence}` : String(sequence));
  if (transaction !== '') headers.push('transaction', transaction);
  return frameBytes(level, 'SEND', headers, Buffer.alloc(sent.bytes, `${sequence} `), sent.bytes > 0 && !sent.again);
}
