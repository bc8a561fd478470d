// Runs that cross from one protocol to the other: what is done once for messages that differ in their payload only must give what is done for each message alone.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encode } from '../../protocols/mqtt/encoder.ts';
import { properties, publish } from '../../protocols/mqtt/packet.ts';
import { ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { MQTT_CODEC, wireForm } from '../../protocols/mqtt/publish-form.ts';
import { formFor, STOMP_CODEC, TEXT } from '../../protocols/stomp/codec-run.ts';
import { Version } from '../../protocols/stomp/frame.ts';
import { MessageHead } from '../../protocols/stomp/message-writer.ts';
import type { Guarantee } from '../../src/core/guarantee.ts';
import type { Message } from '../../src/core/message.ts';
import { type Codec, Run, type WireForm } from '../../src/core/run.ts';

function runOf(codec: Codec, frames: readonly Uint8Array[], variant: number, guarantee: Guarantee): Run {
  const run = new Run(codec);
  const offsets = new Uint32Array(frames.length + 1);
  for (const [i, frame] of frames.entries()) offsets[i + 1] = offsets[i]! + frame.length;
  run.bytes = Buffer.concat([Buffer.alloc(3, 0xdb), ...frames, Buffer.alloc(3, 0xdb)]);
  run.start = 3;
  run.end = 3 + offsets[frames.length]!;
  run.count = frames.length;
  run.offsets = offsets;
  run.variant = variant;
  run.guarantee = guarantee;
  return run;
}

function framesOf({ bytes, start, end, offsets }: WireForm, count: number): string[] {
  return Array.from({ length: count }, (_, i) =>
    Buffer.from(bytes.subarray(start + (offsets?.[i] ?? 0), offsets === null ? end : start + offsets[i + 1]!)).toString(
      'latin1',
    ),
  );
}

/** Everything but the payload. */
function saysOf({ address, properties, headers, guarantee, retain, priority, receivedAtMs, expiresAtMs }: Message) {
  const { replyTo, ...others } = properties;
  const reply = replyTo === null ? null : [replyTo.exchange, replyTo.key.path];
  const to = [address.exchange, address.key.path];
  return { to, reply, others, headers, guarantee, retain, priority, receivedAtMs, expiresAtMs };
}

/** Of a run: how many of its messages are said to repeat the one before. They must, and the others' payload is where it is said to be. */
function repetitions(run: Run): number {
  let repeated = 0;
  for (let i = 1; i < run.count; i++) {
    const payload = { start: 0, end: 0 };
    if (!run.repeats(i, payload)) continue;
    repeated++;
    const [one, other] = [run.message(i - 1), run.message(i)];
    expect(Buffer.from(run.bytes.subarray(payload.start, payload.end)).equals(Buffer.from(other.payload))).toBe(true);
    expect(saysOf(other)).toEqual(saysOf(one));
  }
  return repeated;
}

const BODIES = ['', 'x', 'y', 'hello', 'é', '\xff', 'a\n\nb', '\n', '9'.repeat(99), '9'.repeat(100)].map((text) =>
  Buffer.from(text, text === '\xff' ? 'latin1' : 'utf8'),
);
const body = fc.constantFrom(...BODIES);
/** Mostly the same a few times in a row. */
const inARow = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc
    .array(fc.tuple(one, fc.integer({ min: 1, max: 4 })), { minLength: 1, maxLength: 4 })
    .map((groups) => groups.flatMap(([value, times]) => Array<T>(times).fill(value)));

describe('MQTT to STOMP', () => {
  const head = inARow(
    fc.record({
      topic: fc.constantFrom('a', 'a/b', 'é'),
      userProperties: fc.constantFrom(null, ['k', 'v'], ['k', 'w'], ['k', 'v', 'k', 'v']),
      payloadFormat: fc.constantFrom(null, 1),
      contentType: fc.constantFrom(null, 'text/csv'),
    }),
  );

  test('a run is what its messages are, one by one', () => {
    let repeated = 0;
    fc.assert(
      fc.property(
        head,
        fc.infiniteStream(body),
        fc.constantFrom<4 | 5>(4, 5),
        fc.constantFrom<Guarantee>(0, 1),
        fc.boolean(),
        (heads, bodies, wire, qos, slashes) => {
          const version = wire === 5 ? ProtocolVersion.V5 : ProtocolVersion.V311;
          const frames = heads.map(({ topic, ...fields }, i) =>
            encode(
              publish(topic, {
                payload: bodies.next().value!,
                qos,
                packetId: qos === 0 ? 0 : i + 1,
                ...(wire === 5 && { properties: properties(fields) }),
              }),
              version,
            ),
          );
          const to = new MessageHead(Version.V1_2, slashes, false, '0', 'n-', null);
          const run = runOf(MQTT_CODEC, frames, wire, qos);
          repeated += repetitions(run);
          const alone = frames.map((frame) => framesOf(formFor(runOf(MQTT_CODEC, [frame], wire, qos), to), 1)[0]);
          expect(framesOf(formFor(runOf(MQTT_CODEC, frames, wire, qos), to), frames.length)).toEqual(alone);
        },
      ),
      { numRuns: 500 },
    );
    expect(repeated).toBeGreaterThan(500);
  });
});

describe('STOMP to MQTT', () => {
  const head = inARow(
    fc.record({
      destination: fc.constantFrom('/topic/a', '/topic/a.b', '/queue/q'),
      lines: fc.constantFrom(
        '',
        'k:v\n',
        'k:w\n',
        'content-type:text/plain\n',
        'content-type:text/plain;charset=utf-8\n',
        'content-lengths:5\n',
        'k:v\ncontent-type:text/csv\n',
      ),
    }),
  );

  test.each([
    ['with content-length', 0],
    ['texts without', TEXT],
  ])('a run is what its messages are, one by one: %s', (_, variant) => {
    let repeated = 0;
    fc.assert(
      fc.property(
        head,
        fc.infiniteStream(body),
        fc.constantFrom<4 | 5>(4, 5),
        fc.constantFrom<Guarantee>(0, 1),
        fc.boolean(),
        (heads, bodies, wire, guarantee, withId) => {
          const frames = heads.map(({ destination, lines }) => {
            const bytes: Buffer = bodies.next().value!;
            const length = variant === TEXT || bytes.length === 0 ? '' : `content-length:${bytes.length}\n`;
            return Buffer.concat([
              Buffer.from(`SEND\ndestination:${destination}\n${lines}${length}\n`),
              bytes,
              Buffer.alloc(1),
            ]);
          });
          const run = runOf(STOMP_CODEC, frames, variant, guarantee);
          repeated += repetitions(run);
          const alone = frames.map(
            (frame) => framesOf(wireForm(runOf(STOMP_CODEC, [frame], variant, guarantee), wire, withId), 1)[0],
          );
          expect(framesOf(wireForm(run, wire, withId), frames.length)).toEqual(alone);
        },
      ),
      { numRuns: 500 },
    );
    expect(repeated).toBeGreaterThan(500);
  });
});
