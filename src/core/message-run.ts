// Messages that were never frames: made by the embedding program or by the broker itself. Their codec writes all fields of a Message, so that such a message can be logged and come back.
//
//   u32 length of JSON │ JSON: address, properties, headers, flags │ payload
import type { Guarantee } from './guarantee.ts';
import { Message } from './message.ts';
import { NO_PROPERTIES, type Properties } from './properties.ts';
import { RoutingKey } from './routing-key.ts';
import { type Codec, Run } from './run.ts';

interface StoredHead {
  readonly exchange: string;
  readonly path: string;
  readonly properties: Omit<Properties, 'correlationId' | 'replyTo'> & {
    readonly correlationId: string | null;
    readonly replyTo: readonly [exchange: string, path: string] | null;
  };
  readonly headers: readonly string[];
  readonly guarantee: Guarantee;
  readonly retain: boolean;
  readonly priority: number;
}

class MessageCodec implements Codec {
  readonly id = 3;
  readonly name = 'message';

  message(run: Run, index: number): Message {
    const start = run.frameStart(index);
    const view = new DataView(run.bytes.buffer, run.bytes.byteOffset, run.bytes.byteLength);
    const headBytes = view.getUint32(start);
    const payload = start + 4 + headBytes;
    const head = JSON.parse(decoder.decode(run.bytes.subarray(start + 4, payload))) as StoredHead;
    const { correlationId, replyTo, ...plain } = head.properties;
    const properties: Properties = {
      ...NO_PROPERTIES,
      ...plain,
      correlationId: correlationId === null ? null : Buffer.from(correlationId, 'base64'),
      replyTo: replyTo === null ? null : { exchange: replyTo[0], key: new RoutingKey(replyTo[1]) },
    };
    return new Message(
      { exchange: head.exchange, key: new RoutingKey(head.path) },
      run.bytes.subarray(payload, run.frameEnd(index)),
      properties,
      head.headers,
      head.guarantee,
      head.retain,
      head.priority,
      run.receivedAtMs,
      run.expiresAtMs,
      null,
    );
  }
}

const decoder = new TextDecoder();

export const MESSAGE_CODEC: Codec = new MessageCodec();

/** An owned run of this one message. The payload is copied. */
export function runOfMessage(message: Message): Run {
  const { address, properties, headers, guarantee, retain, priority } = message;
  const { correlationId, replyTo } = properties;
  const head: StoredHead = {
    exchange: address.exchange,
    path: address.key.path,
    properties: {
      ...properties,
      correlationId: correlationId === null ? null : Buffer.from(correlationId).toString('base64'),
      replyTo: replyTo === null ? null : [replyTo.exchange, replyTo.key.path],
    },
    headers,
    guarantee,
    retain,
    priority,
  };
  const json = Buffer.from(JSON.stringify(head));
  const bytes = Buffer.allocUnsafe(4 + json.length + message.payload.length);
  bytes.writeUInt32BE(json.length, 0);
  json.copy(bytes, 4);
  bytes.set(message.payload, 4 + json.length);
  const run = new Run(MESSAGE_CODEC);
  run.bytes = bytes;
  run.end = bytes.length;
  run.count = 1;
  run.guarantee = guarantee;
  run.priority = priority;
  run.frameBytesMax = bytes.length;
  run.receivedAtMs = message.receivedAtMs;
  run.expiresAtMs = message.expiresAtMs;
  run.owned = true;
  return run;
}
