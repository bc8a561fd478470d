import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FROM_SERVER } from '../../../protocols/mqtt/decode-options.ts';
import { decode } from '../../../protocols/mqtt/decoder.ts';
import { dressedForm, identifierBlock, NO_BLOCK } from '../../../protocols/mqtt/dressed-form.ts';
import { encode } from '../../../protocols/mqtt/encoder.ts';
import { type Publish, properties, publish, type Qos } from '../../../protocols/mqtt/packet.ts';
import { ProtocolVersion } from '../../../protocols/mqtt/packet-type.ts';
import type { Properties } from '../../../protocols/mqtt/properties.ts';
import {
  decodeFrame,
  dressedFrame,
  isPersistent,
  MQTT_CODEC,
  packetIdOffset,
  plainPublishBytes,
  priorityOf,
  runOfPublish,
  type WireVersion,
  wireForm,
  wireVersion,
} from '../../../protocols/mqtt/publish-form.ts';
import { topicAddress } from '../../../src/core/address.ts';
import { simpleMessage } from '../../../src/core/message.ts';
import { runOfMessage } from '../../../src/core/message-run.ts';
import { Run, type WireForm } from '../../../src/core/run.ts';

const { V31, V311, V5 } = ProtocolVersion;

function protocolVersion(version: WireVersion): ProtocolVersion {
  return version === 5 ? V5 : V311;
}

const TEXT = fc.string({ unit: fc.constantFrom(...'abc/é語𝄞 '), maxLength: 40 });
const TOPIC = fc.oneof(TEXT, fc.constant('x'.repeat(130))).map((text) => `t${text}`);
const PAYLOAD = fc.oneof(
  fc.uint8Array({ maxLength: 30 }),
  // Around the lengths at which the remaining length takes a byte more, in one form or the other.
  fc.integer({ min: 110, max: 130 }).map((length) => new Uint8Array(length).fill(7)),
  fc.integer({ min: 16_360, max: 16_390 }).map((length) => new Uint8Array(length).fill(8)),
);
const PROPERTIES: fc.Arbitrary<Readonly<Properties>> = fc
  .record({
    contentType: fc.option(TEXT),
    responseTopic: fc.option(TOPIC),
    correlationData: fc.option(fc.uint8Array({ maxLength: 10 })),
    payloadFormat: fc.option(fc.constantFrom(0 as const, 1 as const)),
    userProperties: fc.option(fc.array(TEXT, { minLength: 2, maxLength: 2 })),
  })
  .map((fields) => properties(fields));

interface Sample {
  readonly version: WireVersion;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly publishes: readonly Publish[];
}

const SAMPLE: fc.Arbitrary<Sample> = fc
  .record({ version: fc.constantFrom<WireVersion>(4, 5), qos: fc.constantFrom<Qos>(0, 1, 2), retain: fc.boolean() })
  .chain(({ version, qos, retain }) =>
    fc
      .array(
        fc.record({
          topic: TOPIC,
          payload: PAYLOAD,
          properties: version === 5 ? PROPERTIES : fc.constant(undefined),
          packetId: fc.integer({ min: 1, max: 65_535 }),
        }),
        { minLength: 1, maxLength: retain ? 1 : 4 },
      )
      .map((all) => ({
        version,
        qos,
        retain,
        publishes: all.map(({ topic, payload, properties: props, packetId }) =>
          publish(topic, {
            payload,
            qos,
            retain,
            packetId: qos === 0 ? 0 : packetId,
            ...(props && { properties: props }),
          }),
        ),
      })),
  );

/** A run as a connection makes it: borrowed, somewhere in a chunk. */
function runOf({ version, qos, publishes }: Sample): Run {
  const frames = publishes.map((packet) => encode(packet, protocolVersion(version)));
  const run = new Run(MQTT_CODEC);
  const offsets = new Uint32Array(frames.length + 1);
  for (const [i, frame] of frames.entries()) offsets[i + 1] = offsets[i]! + frame.length;
  run.bytes = Buffer.concat([Buffer.alloc(7, 0xdb), ...frames, Buffer.alloc(7, 0xdb)]);
  run.start = 7;
  run.end = 7 + offsets[frames.length]!;
  run.count = frames.length;
  run.offsets = offsets;
  run.variant = version;
  run.guarantee = qos;
  run.frameBytesMax = Math.max(...frames.map(({ length }) => length));
  return run;
}

function framesOf(form: WireForm, count: number): Buffer[] {
  return Array.from({ length: count }, (_, i) => {
    const start = form.offsets === null ? form.start : form.start + form.offsets[i]!;
    const end = form.offsets === null ? form.end : form.start + form.offsets[i + 1]!;
    return Buffer.from(form.bytes.subarray(start, end));
  });
}

/** What a receiver must see of a message. */
function seen({ topic, payload, properties: props }: Publish, withProperties: boolean) {
  const { contentType, responseTopic, correlationData, payloadFormat, userProperties } = props;
  const bytes = correlationData === null ? null : [...correlationData];
  return {
    topic,
    payload: [...payload],
    ...(withProperties && { contentType, responseTopic, bytes, payloadFormat, userProperties }),
  };
}

describe('a form of a run', () => {
  test('says the same as the run, in its own version, with and without packet identifiers', () => {
    fc.assert(
      fc.property(SAMPLE, fc.constantFrom<WireVersion>(4, 5), fc.boolean(), (sample, version, withId) => {
        const run = runOf(sample);
        const form = wireForm(run, version, withId);
        for (const [i, frame] of framesOf(form, run.count).entries()) {
          if (withId) {
            // As a delivery fills it in.
            const at = packetIdOffset(frame, 0);
            frame[0] = 0x32;
            frame.writeUInt16BE(4711, at);
          }
          const packet = decode(frame, protocolVersion(version), FROM_SERVER) as Publish;
          const carried = version === 5 && sample.version === 5;
          expect(seen(packet, carried)).toEqual(seen(sample.publishes[i]!, carried));
          expect([packet.qos, packet.retain, packet.dup, packet.packetId]).toEqual([
            withId ? 1 : 0,
            false,
            false,
            withId ? 4711 : 0,
          ]);
        }
        const { offsets } = form;
        if (offsets !== null) expect(form.start + offsets[run.count]!).toBe(form.end);
        // Nothing a receiver may not see grows beyond what deliveries reckon with.
        for (const [i, frame] of framesOf(form, run.count).entries()) {
          expect(frame.length).toBeLessThanOrEqual(run.frameEnd(i) - run.frameStart(i) + 4);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('is the run itself where that says it already, and made once where not', () => {
    const [sample] = [
      { version: 5, qos: 1, retain: false, publishes: [publish('a', { qos: 1, packetId: 5 })] },
    ] as const;
    const run = runOf(sample);
    expect(wireForm(run, 5, true)).toBe(run);
    const other = wireForm(run, 5, false);
    expect(other).not.toBe(run);
    expect(wireForm(run, 5, false)).toBe(other);
    expect(wireForm(run, 4, false)).not.toBe(other);
    run.reuse();
    expect(wireForm(run, 5, false)).not.toBe(other);
  });

  test('never has RETAIN, which belongs to a subscription', () => {
    const run = runOf({ version: 4, qos: 0, retain: true, publishes: [publish('a', { retain: true })] });
    const form = wireForm(run, 4, false);
    expect(form).not.toBe(run);
    expect(form.bytes[form.start]).toBe(0x30);
  });

  test('is made of what another protocol has said', () => {
    const message = simpleMessage(topicAddress('a/b'), Buffer.from('text'), 1, 1000);
    for (const version of [4, 5] as const) {
      const run = runOfMessage(message);
      for (const withId of [false, true]) {
        const [frame] = framesOf(wireForm(run, version, withId), 1);
        const packet = decode(frame!, protocolVersion(version), FROM_SERVER) as Publish;
        expect(packet).toMatchObject({ topic: 'a/b', qos: withId ? 1 : 0, retain: false });
        expect(Buffer.from(packet.payload).toString()).toBe('text');
      }
    }
  });

  test('3.1 and 3.1.1 are one', () => {
    expect([V31, V311, V5].map(wireVersion)).toEqual([4, 4, 5]);
  });
});

describe('a run of one packet', () => {
  test('has what the core must know', () => {
    const packet = publish('a', {
      qos: 2,
      packetId: 9,
      payload: Buffer.from('x'),
      properties: properties({ messageExpiryIntervalS: 30, userProperties: ['priority', '7', 'delivery-mode', '1'] }),
    });
    const run = runOfPublish(packet, 5, 5000);
    expect(run).toMatchObject({
      codec: MQTT_CODEC,
      variant: 5,
      count: 1,
      guarantee: 2,
      receivedAtMs: 5000,
      expiresAtMs: 35_000,
      priority: 7,
      persistent: false,
      owned: true,
    });
    expect(decodeFrame(run, 0)).toMatchObject({ topic: 'a', qos: 2, packetId: 9 });
    expect(run.frameBytesMax).toBe(run.byteLength);
    expect(runOfPublish(publish('a'), 4, 5000)).toMatchObject({
      variant: 4,
      expiresAtMs: 0,
      priority: 0,
      persistent: true,
    });
  });

  test.each([
    [null, 0],
    [['priority', '9'], 9],
    [['priority', '255'], 255],
    [['priority', '999'], 255],
    [['priority', '-1'], 0],
    [['priority', '1.5'], 0],
    [['priority', 'high'], 0],
    [['priority', ''], 0],
    [['other', '9'], 0],
    [['other', 'x', 'priority', '3', 'priority', '4'], 3],
  ] as const)('with user properties %j has priority %i', (userProperties, priority) => {
    expect(priorityOf(publish('a', { properties: properties({ userProperties }) }))).toBe(priority);
  });

  test.each([
    [null, true],
    [['delivery-mode', '1'], false],
    [['delivery-mode', '2'], true],
    [['delivery-mode', '2', 'delivery-mode', '1'], true],
    [['other', '1'], true],
  ] as const)('with user properties %j is persistent: %s', (userProperties, persistent) => {
    expect(isPersistent(publish('a', { properties: properties({ userProperties }) }))).toBe(persistent);
  });
});

describe('a dressed frame', () => {
  const plain = {
    qos: 1,
    retain: false,
    dup: false,
    packetId: 3,
    subscriptionIdentifiers: null,
    deliveryCount: 0,
    nowMs: 0,
  } as const;

  function dressed(
    packet: Publish,
    version: WireVersion,
    dressing: Partial<Parameters<typeof dressedFrame>[3]>,
    from: WireVersion = 5,
  ): Publish {
    const run = runOfPublish(packet, from, 1_000_000);
    return decode(
      dressedFrame(run, 0, version, { ...plain, nowMs: 1_000_000, ...dressing }),
      protocolVersion(version),
      FROM_SERVER,
    ) as Publish;
  }

  test('wears what the delivery wants', () => {
    const packet = publish('a', {
      qos: 2,
      packetId: 77,
      payload: Buffer.from('x'),
      properties: properties({ userProperties: ['k', 'v'] }),
    });
    const got = dressed(packet, 5, {
      qos: 1,
      retain: true,
      dup: true,
      packetId: 9,
      subscriptionIdentifiers: [4, 5],
      deliveryCount: 2,
    });
    expect(got).toMatchObject({ qos: 1, retain: true, dup: true, packetId: 9 });
    expect(got.properties).toMatchObject({
      subscriptionIdentifiers: [4, 5],
      userProperties: ['k', 'v', 'x-delivery-count', '2'],
    });
  });

  test('says how long the message still lives, at least a second', () => {
    const packet = publish('a', { qos: 1, packetId: 1, properties: properties({ messageExpiryIntervalS: 10 }) });
    for (const [waitedMs, left] of [
      [0, 10],
      [1, 10],
      [999, 10],
      [1000, 9],
      [9001, 1],
      [9999, 1],
      [20_000, 1],
    ] as const) {
      expect(dressed(packet, 5, { nowMs: 1_000_000 + waitedMs }).properties.messageExpiryIntervalS).toBe(left);
    }
  });

  test('for an older version has no properties, from an older version only those of the delivery', () => {
    const packet = publish('a', { qos: 1, packetId: 1, payload: Buffer.from('x') });
    expect(dressed(packet, 4, { subscriptionIdentifiers: [1], deliveryCount: 5 })).toMatchObject({
      topic: 'a',
      packetId: 3,
    });
    expect(dressed(packet, 5, { subscriptionIdentifiers: [1] }, 4).properties.subscriptionIdentifiers).toEqual([1]);
  });

  test('does not change the run', () => {
    const run = runOfPublish(publish('a', { properties: properties({ contentType: 't' }) }), 5, 0);
    const before = Buffer.from(run.bytes);
    dressedFrame(run, 0, 5, { ...plain, qos: 0, packetId: 0, subscriptionIdentifiers: [1], retain: true });
    expect(before.equals(run.bytes)).toBe(true);
  });
});

describe('subscription identifiers, put into a form', () => {
  test('make the frames that are made one by one', () => {
    const identifiers = fc.array(fc.constantFrom(1, 127, 128, 16_384, 2_097_152, 268_435_455), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(SAMPLE, identifiers, fc.boolean(), fc.nat(), (sample, subscriptionIdentifiers, withId, skip) => {
        const run = runOf(sample);
        const index = skip % run.count;
        const count = run.count - index;
        const qos = withId ? 1 : 0;
        const block = identifierBlock(subscriptionIdentifiers);
        const form = dressedForm(wireForm(run, 5, withId), index, count, withId, block, -1)!;
        const plain = { retain: false, dup: false, deliveryCount: 0, nowMs: 0, packetId: withId ? 1 : 0, qos } as const;
        for (const [i, frame] of framesOf(form, count).entries()) {
          if (withId) {
            frame[0] = 0x32;
            frame.writeUInt16BE(1, packetIdOffset(frame, 0));
          }
          const one = dressedFrame(run, index + i, 5, { ...plain, subscriptionIdentifiers });
          expect(frame.toString('hex')).toBe(Buffer.from(one).toString('hex'));
        }
      }),
      { numRuns: 500 },
    );
  });

  test('and the seconds that are left', () => {
    fc.assert(
      fc.property(
        TOPIC,
        PAYLOAD,
        PROPERTIES,
        fc.constantFrom(1, 59, 60, 0xffff_ffff),
        fc.boolean(),
        fc.constantFrom<readonly number[]>([], [7], [300, 1]),
        (topic, payload, props, left, withId, identifiers) => {
          const packet = publish(topic, {
            payload,
            qos: withId ? 1 : 0,
            packetId: withId ? 9 : 0,
            properties: Object.assign(properties({}), props, { messageExpiryIntervalS: 60 }),
          });
          const run = runOfPublish(packet, 5, 0);
          const block = identifiers.length === 0 ? NO_BLOCK : identifierBlock(identifiers);
          const [frame] = framesOf(dressedForm(wireForm(run, 5, withId), 0, 1, withId, block, left)!, 1);
          const one = dressedFrame(run, 0, 5, {
            qos: packet.qos,
            retain: false,
            dup: false,
            packetId: withId ? 9 : 0,
            subscriptionIdentifiers: identifiers.length === 0 ? null : identifiers,
            deliveryCount: 0,
            nowMs: 60_000 - left * 1000,
          });
          expect(frame!.toString('hex')).toBe(Buffer.from(one).toString('hex'));
        },
      ),
    );
    const without = wireForm(runOfPublish(publish('a'), 5, 0), 5, false);
    expect(dressedForm(without, 0, 1, false, NO_BLOCK, 5)).toBeNull();
  });

  test('are left to the long way where the properties are in another order than ours', () => {
    const frame = Buffer.from([0x30, 14, 0, 1, 0x74, 9, 0x26, 0, 0, 0, 0, 0x03, 0, 1, 0x78, 0x50]);
    const form = (bytes: Uint8Array): WireForm => ({ bytes, start: 0, end: bytes.length, offsets: null });
    const block = identifierBlock([5]);
    expect(dressedForm(form(frame), 0, 1, false, block, -1)).toBeNull();
    const ordered = Buffer.from([0x30, 14, 0, 1, 0x74, 9, 0x03, 0, 1, 0x78, 0x26, 0, 0, 0, 0, 0x50]);
    const made = dressedForm(form(ordered), 0, 1, false, block, -1)!;
    expect(framesOf(made, 1)[0]!.toString('hex')).toBe('30100001740b03000178_0b05_260000000050'.replaceAll('_', ''));
  });
});

test('a plain PUBLISH has the size it says', () => {
  for (const [topic, payload] of [
    ['a', 0],
    ['a', 124],
    ['a', 125],
    ['abc', 16_378],
    ['abc', 16_379],
  ] as const) {
    expect(plainPublishBytes(topic.length, payload)).toBe(
      encode(publish(topic, { payload: new Uint8Array(payload) }), V311).length,
    );
  }
});
