// Whatever a message says, and whatever its body is, it arrives: from every version of every protocol to every other, topics and queues in turn.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StompWorld } from '../support/stomp-client.ts';
import { PAIRS, type Said } from './peer.ts';

/** Texts that both can write in a header: STOMP 1.0 has no escapes and takes spaces off, 1.1 has none for CR, and U+0000 is nobody's. */
function texts(pair: readonly string[]): fc.Arbitrary<string> {
  const grapheme = fc.string({ unit: 'grapheme', maxLength: 12 });
  const awkward = fc.string({ unit: fc.constantFrom(...'ab:\\\n\r\t é🙂cn'), maxLength: 8 });
  const text = fc.oneof(grapheme, awkward).map((value) => value.replaceAll('\0', '_'));
  if (pair.includes('STOMP 1.0')) return text.map((value) => value.replace(/[\r\n]/g, '_').trim());
  if (pair.includes('STOMP 1.1')) return text.map((value) => value.replaceAll('\r', '_'));
  return text;
}

function saids(pair: readonly string[]): fc.Arbitrary<Said> {
  const text = texts(pair);
  const plain = text.filter((value) => value !== '' && !value.endsWith(';charset=utf-8'));
  const name = text.map((value) => `k${pair.includes('STOMP 1.0') ? value.replaceAll(':', '_') : value}`.trim());
  return fc.record(
    {
      contentType: plain,
      contentEncoding: plain,
      correlationId: fc.uint8Array({ maxLength: 20 }),
      expirationMs: fc.integer({ min: 1, max: 100_000 }).map((seconds) => seconds * 1000),
      priority: fc.integer({ min: 1, max: 255 }),
      messageId: plain,
      timestamp: plain,
      headers: fc.uniqueArray(fc.tuple(name, text), { maxLength: 6, selector: ([key]) => key }),
    },
    { requiredKeys: [] },
  );
}

describe.each(PAIRS)('$from.name to $to.name', ({ from: publisher, to: consumer }) => {
  const pair = [publisher.name, consumer.name];

  it('carries any body, headers in their order and every property', () => {
    const world = new StompWorld();
    const [from, to] = [publisher.connect(world, 'from'), consumer.connect(world, 'to')];
    to.subscribe(to.topic('any/+'));
    to.subscribe(to.queue('any'));
    const both = from.hasProperties && to.hasProperties;
    fc.assert(
      fc.property(saids(pair), fc.uint8Array({ maxLength: 300 }), fc.boolean(), (said, body, toQueue) => {
        from.publish(toQueue ? from.queue('any') : from.topic('any/x'), body, said);
        const heard = to.receive();
        expect(heard).toHaveLength(1);
        const [got] = heard;
        expect(got!.payload.equals(Buffer.from(body))).toBe(true);
        expect(got).toMatchObject({
          destination: toQueue ? to.queue('any') : to.topic('any/x'),
          contentType: both ? (said.contentType ?? null) : null,
          contentEncoding: both ? (said.contentEncoding ?? null) : null,
          correlationId: both && said.correlationId !== undefined ? Buffer.from(said.correlationId) : null,
          expirationMs: both ? (said.expirationMs ?? null) : null,
          priority: both ? (said.priority ?? 0) : 0,
          messageId: both ? (said.messageId ?? null) : null,
          timestamp: both ? (said.timestamp ?? null) : null,
          headers: both ? (said.headers ?? []) : [],
        });
      }),
      { numRuns: 60 },
    );
  });
});
