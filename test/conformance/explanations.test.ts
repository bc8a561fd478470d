// Reason Strings and User Properties never make an answer larger than its receiver takes: what is cut, and what is left out, for each packet that may have them.
import { describe, expect, test } from 'vitest';
import { packetLength, trimToMaximum, withoutProblemInformation } from '../../protocols/mqtt/encoder.ts';
import {
  auth,
  connack,
  disconnect,
  type Packet,
  properties,
  puback,
  pubcomp,
  pubrec,
  pubrel,
  suback,
  unsuback,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';

const { V5 } = ProtocolVersion;
const REASON = 'because it is so';
const PAIRS = ['a name', 'and its value'];

type Made = (explained: ReturnType<typeof properties>) => Extract<Packet, { properties: unknown }>;

const PACKETS: readonly (readonly [name: string, make: Made])[] = [
  ['CONNACK [MQTT-3.2.2-19] [MQTT-3.2.2-20]', (p) => connack(0x87, false, p)],
  ['PUBACK [MQTT-3.4.2-2] [MQTT-3.4.2-3]', (p) => puback(1, 0x87, p)],
  ['PUBREC [MQTT-3.5.2-2] [MQTT-3.5.2-3]', (p) => pubrec(1, 0x87, p)],
  ['PUBREL [MQTT-3.6.2-2] [MQTT-3.6.2-3]', (p) => pubrel(1, 0x92, p)],
  ['PUBCOMP [MQTT-3.7.2-2] [MQTT-3.7.2-3]', (p) => pubcomp(1, 0x92, p)],
  ['SUBACK [MQTT-3.9.2-1] [MQTT-3.9.2-2]', (p) => suback(1, [0x87], p)],
  ['UNSUBACK [MQTT-3.11.2-1] [MQTT-3.11.2-2]', (p) => unsuback(1, [0x87], p)],
  ['DISCONNECT [MQTT-3.14.2-3] [MQTT-3.14.2-4]', (p) => disconnect(0x87, p)],
  ['AUTH [MQTT-3.15.2-2] [MQTT-3.15.2-3]', (p) => auth(0x18, Object.assign(p, { authenticationMethod: 'M' }))],
];

describe.each(PACKETS)('%s', (name, make) => {
  const full = packetLength(make(properties({ reasonString: REASON, userProperties: PAIRS })), V5);
  const withReason = packetLength(make(properties({ reasonString: REASON })), V5);
  const bare = packetLength(make(properties({})), V5);

  test.each([
    ['fits as it is', full, REASON, PAIRS],
    ['loses its User Properties first', full - 1, REASON, null],
    ['keeps its Reason String while that fits', withReason, REASON, null],
    ['loses everything that only explains', bare, null, null],
  ])(`${name}: %s`, (_, maximum, reasonString, userProperties) => {
    const trimmed = trimToMaximum(make(properties({ reasonString: REASON, userProperties: PAIRS })), V5, maximum);
    expect(trimmed!.properties).toMatchObject({ reasonString, userProperties });
    expect(packetLength(trimmed!, V5)).toBeLessThanOrEqual(maximum);
  });

  test(`${name}: is not sent when even the rest is too large`, () => {
    expect(trimToMaximum(make(properties({ reasonString: REASON })), V5, bare - 1)).toBeNull();
  });

  test(`${name}: explains nothing to a client that does not want it, but for CONNACK and DISCONNECT [MQTT-3.1.2-29]`, () => {
    const packet = make(properties({ reasonString: REASON, userProperties: PAIRS }));
    const may = packet.type === PacketType.CONNACK || packet.type === PacketType.DISCONNECT;
    expect(withoutProblemInformation(packet).properties).toMatchObject({
      reasonString: may ? REASON : null,
      userProperties: may ? PAIRS : null,
    });
  });
});
