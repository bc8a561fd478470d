// The short form of the session fuzzer.
import { expect, it } from 'vitest';
import { fuzzMqttSessions } from './mqtt-session.ts';

it('random sessions end in answers or in the end of a connection, and leave nothing behind', async () => {
  const report = await fuzzMqttSessions({ packets: 20_000, seed: 1 });
  expect(report.findings).toEqual([]);
  // Both sides of the border are reached, or the line above would mean nothing.
  expect(report.messages).toBeGreaterThan(1000);
  expect(report.ended).toBeGreaterThan(100);
  expect(report.received).toBeGreaterThan(report.messages);
});
