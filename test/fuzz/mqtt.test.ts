// The short form of the MQTT fuzzer: the same function as the long one, with seeds of its own.
import { describe, expect, it } from 'vitest';
import { ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { fuzzMqtt } from './mqtt.ts';

const EXECUTIONS = 100_000;

describe('fuzzing the MQTT codec', () => {
  it.each(Object.entries(ProtocolVersion))(
    '%s: mutated frames raise nothing but ProtocolError and survive the round trip',
    (_, version) => {
      const report = fuzzMqtt({ version, executions: EXECUTIONS, seed: version });
      expect(report.findings).toEqual([]);
      expect(report.uncaught).toBe(0);
      expect(report.slow).toBe(0);
      // The mutations reach both sides of the border, or the numbers above would mean nothing.
      expect(report.executions).toBe(EXECUTIONS);
      expect(report.decoded).toBeGreaterThan(EXECUTIONS / 20);
      expect(report.protocolErrors).toBeGreaterThan(EXECUTIONS / 4);
    },
  );

  it('makes the same inputs from the same seed', () => {
    const counts = (seed: number) => {
      const { incomplete, protocolErrors, decoded } = fuzzMqtt({ version: 5, executions: 5_000, seed });
      return [incomplete, protocolErrors, decoded];
    };
    expect(counts(1)).toEqual(counts(1));
    expect(counts(1)).not.toEqual(counts(2));
  });
});
