import { expect, test } from 'vitest';
import { ByteBuilder } from '../../src/lib/byte-builder.ts';

test('what is written stays, however often it has to grow', () => {
  const builder = new ByteBuilder(1);
  for (let i = 0; i < 1000; i++) {
    const at = builder.room(i % 7);
    builder.bytes.fill(i & 0xff, at, at + (i % 7));
  }
  builder.append(Buffer.from('..end..'), 2, 5);
  let at = 0;
  for (let i = 0; i < 1000; i++) {
    for (let k = 0; k < i % 7; k++) expect(builder.bytes[at++]).toBe(i & 0xff);
  }
  expect(builder.bytes.toString('latin1', at, builder.length)).toBe('end');
});
