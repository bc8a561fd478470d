// CONNECT and CONNACK, on real bytes: what is let in, what is answered, what is agreed.
import { describe, expect, test } from 'vitest';
import {
  type Connack,
  type Connect,
  connect,
  disconnect,
  type Packet,
  PINGREQ,
  properties,
  publish,
  will,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import type { AuthResult } from '../../src/core/authenticator.ts';
import { wire } from '../protocols/mqtt/wire.ts';
import { MqttClient } from '../support/mqtt-client.ts';
import { World, type WorldOptions } from '../support/world.ts';

const { V31, V311, V5 } = ProtocolVersion;
const BOTH = [
  ['3.1.1', V311],
  ['5.0', V5],
] as const;

/** Sends a CONNECT; gives the client and what came back. */
function attempt(world: World, fields: Partial<Connect> = {}): { client: MqttClient; answer: Packet[] } {
  const client = new MqttClient(world, fields.protocolVersion ?? V5);
  client.send(connect({ clientId: 'c', ...fields }));
  return { client, answer: client.receive() };
}

function connackOf(world: World, fields: Partial<Connect> = {}): Connack {
  const [answer] = attempt(world, fields).answer;
  if (answer?.type !== PacketType.CONNACK) throw new Error(`no CONNACK: ${JSON.stringify(answer)}`);
  return answer;
}

/** What a peer gets for bytes of its own, and whether the connection was ended. */
function speak(bytes: string, options: WorldOptions = {}): { hex: string; closed: boolean } {
  const world = new World(options);
  const pipe = world.connect();
  pipe.send(wire(bytes));
  world.settle();
  return { hex: pipe.taken().toString('hex'), closed: pipe.isClosed };
}

const REFUSING: AuthResult = { ok: false, reason: 'bad-credentials' };

describe('the first packet', () => {
  test.each(['c000', '300400016178', '82060001000161 00', 'e000', 'f000', '2000'])(
    'has to be CONNECT: %s ends the connection without a word [MQTT-3.1.0-1] [3.1.1 MQTT-3.1.0-1]',
    (bytes) => expect(speak(bytes)).toEqual({ hex: '', closed: true }),
  );

  test.each(BOTH)(
    '%s: a second CONNECT ends the connection [MQTT-3.1.0-2] [3.1.1 MQTT-3.1.0-2]',
    (_, protocolVersion) => {
      const client = MqttClient.connected(new World(), 'c', { protocolVersion });
      client.send(connect({ clientId: 'c', protocolVersion }));
      expect(client.receive()).toMatchObject(
        protocolVersion === V5 ? [{ type: PacketType.DISCONNECT, reasonCode: 0x82 }] : [],
      );
      expect(client.pipe.isClosed).toBe(true);
    },
  );

  test('also one that could not be read by itself', () => {
    for (const second of ["10 [<'MQTT'> 06 02 003c 00 <'c'>]", "10 [<'MQIsdp'> 03 02 003c <>]", '10 []']) {
      const client = MqttClient.connected(new World(), 'c');
      client.sendBytes(wire(second));
      expect(client.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x82 }]);
    }
  });

  test.each(BOTH)(
    '%s: CONNACK with 0 comes first, and once [MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT-3.2.0-2] [3.1.1 MQTT-3.1.4-4] [3.1.1 MQTT-3.2.0-1]',
    (_, protocolVersion) => {
      const world = new World();
      MqttClient.connected(world, 'p').publish('r', 'x', { retain: true });
      const first = MqttClient.connected(world, 'c', {
        protocolVersion,
        clean: false,
        properties: properties({ sessionExpiryIntervalS: 99 }),
      });
      first.subscribe('#', 1);
      first.hangUp();
      MqttClient.connected(world, 'q').publish('a', 'x', { qos: 1 });
      const { answer, client } = attempt(world, { protocolVersion, clean: false });
      expect(answer.map(({ type }) => type)).toEqual([PacketType.CONNACK, PacketType.PUBLISH]);
      client.send(PINGREQ);
      expect(client.receive().map(({ type }) => type)).toEqual([PacketType.PINGRESP]);
    },
  );
});

describe('protocol name and version', () => {
  test('another name is not answered [MQTT-3.1.2-1] [3.1.1 MQTT-3.1.2-1]', () => {
    expect(speak("10 [<'MQTX'> 04 02 003c <'c'>]")).toEqual({ hex: '', closed: true });
    expect(speak("10 [<'mqtt'> 05 02 003c 00 <'c'>]")).toEqual({ hex: '', closed: true });
  });

  test('an older level is answered with return code 1 [3.1.1 MQTT-3.1.2-2]', () => {
    for (const level of ['01', '02', '03']) {
      expect(speak(`10 [<'MQTT'> ${level} 02 003c <'c'>]`)).toEqual({ hex: '20020001', closed: true });
    }
    expect(speak("10 [<'MQIsdp'> 04 02 003c <'c'>]")).toEqual({ hex: '20020001', closed: true });
  });

  test('a later version is answered with 0x84 in the form of MQTT 5 [MQTT-3.1.2-2]', () => {
    const { hex, closed } = speak("10 [<'MQTT'> 06 02 003c 00 <'c'>]");
    expect(hex).toMatch(/^20..0084/);
    expect(closed).toBe(true);
  });

  test('the bridges of mosquitto are answered in their form', () => {
    expect(speak("10 [<'MQTT'> 84 02 003c <'c'>]")).toEqual({ hex: '20020001', closed: true });
  });

  test('MQTT 3.1 is spoken: its name, its empty client id is refused, ids over 23 characters are taken', () => {
    expect(speak("10 [<'MQIsdp'> 03 02 003c <'c'>]")).toEqual({ hex: '20020000', closed: false });
    expect(speak("10 [<'MQIsdp'> 03 02 003c <>]")).toEqual({ hex: '20020002', closed: true });
    expect(speak(`10 [<'MQIsdp'> 03 02 003c <'${'c'.repeat(100)}'>]`).hex).toBe('20020000');
  });
});

describe('the flags', () => {
  test.each([
    ['04', ''],
    ['05', '00'],
  ])('level %s: the reserved flag has to be 0 [MQTT-3.1.2-3] [3.1.1 MQTT-3.1.2-3]', (level, props) => {
    const { hex, closed } = speak(`10 [<'MQTT'> ${level} 03 003c ${props} <'c'>]`);
    expect(hex).toMatch(level === '05' ? /^20..0081/ : /^$/);
    expect(closed).toBe(true);
  });

  test.each([
    ['a will QoS without a will', '0a', ''],
    ['will retain without a will', '22', ''],
    ['a will QoS of 3', '1e', "<'t'> <'m'>"],
    ['a will that is missing', '06', ''],
    ['a will message that is missing', '06', "<'t'>"],
    ['a will without its flag', '02', "<'t'> <'m'>"],
    ['a user name that is missing', '82', ''],
    ['a user name without its flag', '02', "<'u'>"],
    ['a password that is missing', 'c2', "<'u'>"],
    ['a password without its flag', '82', "<'u'> <'p'>"],
    ['a password without a user name', '42', "<'p'>"],
  ])(
    '%s: not in form in 3.1.1, so not answered [3.1.1 MQTT-3.1.2-9] [3.1.1 MQTT-3.1.2-11] [3.1.1 MQTT-3.1.2-13] [3.1.1 MQTT-3.1.2-14] [3.1.1 MQTT-3.1.2-15] [3.1.1 MQTT-3.1.2-18] [3.1.1 MQTT-3.1.2-19] [3.1.1 MQTT-3.1.2-20] [3.1.1 MQTT-3.1.2-21] [3.1.1 MQTT-3.1.2-22] [3.1.1 MQTT-3.1.4-1]',
    (_, flags, rest) => {
      expect(speak(`10 [<'MQTT'> 04 ${flags} 003c <'c'> ${rest}]`)).toEqual({ hex: '', closed: true });
    },
  );

  test.each([
    ['a will QoS without a will', '0a', ''],
    ['will retain without a will', '22', ''],
    ['a will QoS of 3', '1e', "00 <'t'> <'m'>"],
    ['a will that is missing', '06', ''],
    ['will properties that are missing', '06', "<'t'> <'m'>"],
    ['a will without its flag', '02', "00 <'t'> <'m'>"],
    ['a user name that is missing', '82', ''],
    ['a user name without its flag', '02', "<'u'>"],
    ['a password that is missing', 'c2', "<'u'>"],
    ['a password without its flag', '82', "<'u'> <'p'>"],
  ])(
    '%s: malformed in 5.0 [MQTT-3.1.2-9] [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13] [MQTT-3.1.2-16] [MQTT-3.1.2-17] [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.3-1] [MQTT-3.1.3-3] [MQTT-3.1.4-1] [MQTT-4.13.2-1]',
    (_, flags, rest) => {
      const { hex, closed } = speak(`10 [<'MQTT'> 05 ${flags} 003c 00 <'c'> ${rest}]`);
      expect(hex).toMatch(/^20..00(81|82)/);
      expect(closed).toBe(true);
    },
  );

  test('a password without a user name is allowed in 5.0', () => {
    expect(speak("10 [<'MQTT'> 05 42 003c 00 <'c'> <'p'>]").hex).toMatch(/^20..0000/);
  });

  test('the client identifier, the will topic and the user name are strings [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12] [3.1.1 MQTT-3.1.3-4] [3.1.1 MQTT-3.1.3-10] [3.1.1 MQTT-3.1.3-11]', () => {
    for (const rest of ['<ff>', "<'c'> <ff> <'m'> <'u'>", "<'c'> <'t'> <'m'> <c0>", "<'c'> <00> <'m'> <'u'>"]) {
      expect(speak(`10 [<'MQTT'> 04 86 003c ${rest}]`)).toEqual({ hex: '', closed: true });
    }
  });
});

describe('the session', () => {
  const later = properties({ sessionExpiryIntervalS: 100 });

  test.each(BOTH)(
    '%s: Clean Start discards it, without it is taken up, and Session Present says which [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.3-2] [MQTT-3.1.4-4] [MQTT-3.2.2-2] [MQTT-3.2.2-3] [3.1.1 MQTT-3.1.2-4] [3.1.1 MQTT-3.1.2-6] [3.1.1 MQTT-3.1.3-2] [3.1.1 MQTT-3.1.4-3] [3.1.1 MQTT-3.2.2-1] [3.1.1 MQTT-3.2.2-2] [3.1.1 MQTT-3.2.2-3]',
    (_, protocolVersion) => {
      const world = new World();
      const keep = { protocolVersion, clean: false, properties: later };
      const first = attempt(world, keep);
      expect(first.answer).toMatchObject([{ sessionPresent: false }]);
      first.client.subscribe('a', 1);
      first.client.hangUp();
      const publisher = MqttClient.connected(world, 'p');
      const second = attempt(world, keep);
      expect(second.answer).toMatchObject([{ sessionPresent: true }]);
      publisher.publish('a', 'kept');
      expect(second.client.texts()).toEqual(['a kept']);
      second.client.hangUp();
      const clean = attempt(world, { ...keep, clean: true });
      expect(clean.answer).toMatchObject([{ sessionPresent: false }]);
      publisher.publish('a', 'gone');
      expect(clean.client.texts()).toEqual([]);
      expect(connackOf(world, { ...keep, clientId: 'other' })).toMatchObject({ sessionPresent: false });
    },
  );

  test('in 3.1.1 a clean session ends with its connection [3.1.1 MQTT-3.1.2-6]', () => {
    const world = new World();
    MqttClient.connected(world, 'c', { protocolVersion: V311 }).hangUp();
    expect(connackOf(world, { protocolVersion: V311, clean: false }).sessionPresent).toBe(false);
  });

  test.each(BOTH)(
    '%s: another connection of the same client ends the first one [MQTT-3.1.4-3] [3.1.1 MQTT-3.1.4-2]',
    (_, protocolVersion) => {
      const world = new World();
      const first = MqttClient.connected(world, 'c', { protocolVersion });
      const second = MqttClient.connected(world, 'c', { protocolVersion });
      expect(first.receive()).toMatchObject(
        protocolVersion === V5 ? [{ type: PacketType.DISCONNECT, reasonCode: 0x8e }] : [],
      );
      expect(first.pipe.isClosed).toBe(true);
      expect(second.pipe.isClosed).toBe(false);
    },
  );
});

describe('the client identifier', () => {
  test.each(BOTH)(
    '%s: 1 to 23 letters and digits are taken, and much longer ones [MQTT-3.1.3-5] [3.1.1 MQTT-3.1.3-5]',
    (_, protocolVersion) => {
      const world = new World();
      for (const clientId of [
        'a',
        '0123456789abcdefghijklm',
        'nopqrstuvwxyzABCDEFGHIJ',
        'KLMNOPQRSTUVWXYZ',
        'x'.repeat(1024),
        'a/b#+ é',
      ]) {
        expect(connackOf(world, { protocolVersion, clientId }).reasonCode).toBe(0);
      }
    },
  );

  test('an empty one is replaced by a new one, which is returned and is the session’s [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]', () => {
    const world = new World();
    const ids = [1, 2, 3].map(() => connackOf(world, { clientId: '' }).properties.assignedClientIdentifier!);
    expect(new Set(ids).size).toBe(3);
    const sessions = [...world.broker.vhosts.get('/')!.sessions.keys()];
    expect(sessions.sort()).toEqual([...ids].sort());
    const kept = connackOf(world, {
      clientId: '',
      clean: false,
      properties: properties({ sessionExpiryIntervalS: 9 }),
    });
    expect(kept.properties.assignedClientIdentifier).toMatch(/./);
  });

  test('an empty one needs Clean Session in 3.1.1 [3.1.1 MQTT-3.1.3-6] [3.1.1 MQTT-3.1.3-7] [3.1.1 MQTT-3.1.3-8]', () => {
    expect(speak("10 [<'MQTT'> 04 02 003c <>]")).toEqual({ hex: '20020000', closed: false });
    expect(speak("10 [<'MQTT'> 04 00 003c <>]")).toEqual({ hex: '20020002', closed: true });
  });

  test.each(BOTH)('%s: a refused one ends the connection [MQTT-3.1.3-8] [3.1.1 MQTT-3.1.3-9]', (_, protocolVersion) => {
    const { client, answer } = attempt(new World(), { protocolVersion, clientId: 'x'.repeat(1025) });
    expect(answer).toMatchObject([{ type: PacketType.CONNACK, reasonCode: 0x85 }]);
    expect(client.pipe.isClosed).toBe(true);
  });
});

describe('a refusal', () => {
  test.each(BOTH)(
    '%s: has Session Present 0 and a code, ends the connection, and nothing behind it is processed [MQTT-3.1.4-2] [MQTT-3.1.4-6] [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-3.2.2-8] [MQTT-3.14.0-1] [3.1.1 MQTT-3.1.4-5] [3.1.1 MQTT-3.2.2-4] [3.1.1 MQTT-3.2.2-5]',
    (_, protocolVersion) => {
      let result: AuthResult = { ok: true, principal: { name: 'u', policy: null } };
      const world = new World({ authenticator: { authenticate: () => result } });
      const kept = { protocolVersion, clean: false, properties: properties({ sessionExpiryIntervalS: 99 }) };
      attempt(world, kept).client.hangUp();
      result = REFUSING;
      const client = new MqttClient(world, protocolVersion);
      client.send(
        connect({ clientId: 'c', ...kept, will: will('w', {}) }),
        publish('a', { retain: true, payload: Buffer.from('x') }),
      );
      expect(client.receive()).toMatchObject([{ type: PacketType.CONNACK, sessionPresent: false, reasonCode: 0x86 }]);
      expect(client.pipe.isClosed).toBe(true);
      expect(world.broker.counters.messagesReceived).toBe(0);
    },
  );

  test('each result of an authentication has its code, in both versions', () => {
    for (const [reason, code] of [
      ['bad-credentials', 0x86],
      ['not-authorized', 0x87],
      ['busy', 0x89],
    ] as const) {
      const world = new World({ authenticator: { authenticate: () => ({ ok: false, reason }) } });
      expect(connackOf(world).reasonCode).toBe(code);
    }
    const codes = (['bad-credentials', 'not-authorized', 'busy'] as const).map((reason) => {
      const answer = speak("10 [<'MQTT'> 04 02 003c <'c'>]", {
        authenticator: { authenticate: () => ({ ok: false, reason }) },
      });
      return answer.hex;
    });
    expect(codes).toEqual(['20020004', '20020005', '20020003']);
  });

  test('a reason without a return code is the end of the connection alone [3.1.1 MQTT-3.2.2-6] [3.1.1 MQTT-4.8.0-2]', () => {
    // Will QoS 2 with a limit of 1: 3.1.1 has no word for it.
    expect(speak("10 [<'MQTT'> 04 16 003c <'c'> <'t'> <'m'>]", { mqtt: { maximumQos: 1 } })).toEqual({
      hex: '',
      closed: true,
    });
  });

  test('while the password is being checked nothing else is looked at, and then in its order [3.1.1 MQTT-3.2.0-1]', async () => {
    let answer: (result: AuthResult) => void = () => undefined;
    const waiting = new Promise<AuthResult>((resolve) => {
      answer = resolve;
    });
    const world = new World({ authenticator: { authenticate: () => waiting } });
    const client = new MqttClient(world);
    client.send(connect({ clientId: 'c', will: will('w', { payload: Buffer.from('bye') }) }), PINGREQ);
    expect(client.receive()).toEqual([]);
    answer({ ok: true, principal: { name: 'u', policy: null } });
    await waiting;
    await Promise.resolve();
    expect(client.receive().map(({ type }) => type)).toEqual([PacketType.CONNACK, PacketType.PINGRESP]);
    const watcher = new MqttClient(world);
    watcher.send(connect({ clientId: 'w' }));
    await Promise.resolve();
    await Promise.resolve();
    watcher.receive();
    watcher.subscribe('w');
    client.hangUp();
    expect(watcher.texts()).toEqual(['w bye']);
  });
});

describe('what CONNACK announces', () => {
  test('its acknowledge flags have no reserved bit [MQTT-3.2.2-1]', () => {
    const world = new World();
    attempt(world, { clean: false, properties: properties({ sessionExpiryIntervalS: 9 }) }).client.hangUp();
    const client = new MqttClient(world);
    client.send(connect({ clientId: 'c', clean: false }));
    world.settle();
    expect(client.pipe.taken()[2]).toBe(1);
  });

  test('limits of QoS and retained messages, which also hold for wills [MQTT-3.2.2-9] [MQTT-3.2.2-10] [MQTT-3.2.2-12] [MQTT-3.2.2-13]', () => {
    const world = new World({ mqtt: { maximumQos: 0, retainAvailable: false } });
    expect(connackOf(world).properties).toMatchObject({ maximumQos: 0, retainAvailable: false });
    expect(connackOf(world, { will: will('t', { qos: 1 }) }).reasonCode).toBe(0x9b);
    expect(connackOf(world, { will: will('t', { retain: true }) }).reasonCode).toBe(0x9a);
    const client = MqttClient.connected(world, 's');
    for (const qos of [0, 1, 2] as const) {
      expect(client.subscribe('a', qos)).toMatchObject([{ type: PacketType.SUBACK, reasonCodes: [0] }]);
    }
  });

  test('QoS and RETAIN beyond them end the connection, also at full speed [MQTT-3.2.2-11] [MQTT-3.2.2-14]', () => {
    const world = new World({ mqtt: { maximumQos: 1, retainAvailable: false } });
    const loud = MqttClient.connected(world, 'a');
    loud.publish('t', 'x', { qos: 2 });
    expect(loud.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x9b }]);
    const retaining = MqttClient.connected(world, 'b');
    retaining.publish('t', 'x', { retain: true });
    expect(retaining.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x9a }]);
  });

  test('a longer session than is kept is cut and announced', () => {
    const world = new World({ mqtt: { sessionExpiryMaxS: 60 } });
    const asked = connackOf(world, { properties: properties({ sessionExpiryIntervalS: 0xffffffff }) });
    expect(asked.properties.sessionExpiryIntervalS).toBe(60);
    expect(
      connackOf(world, { properties: properties({ sessionExpiryIntervalS: 60 }) }).properties.sessionExpiryIntervalS,
    ).toBeNull();
  });

  test('Server Keep Alive where it differs, and the client’s own otherwise [MQTT-3.2.2-21] [MQTT-3.2.2-22] [MQTT-3.1.2-21]', async () => {
    const world = await new World({ mqtt: { keepAliveMaxS: 20 } }).open();
    expect(connackOf(world, { keepAliveS: 60 }).properties.serverKeepAliveS).toBe(20);
    expect(connackOf(world, { keepAliveS: 0 }).properties.serverKeepAliveS).toBe(20);
    const own = attempt(world, { keepAliveS: 10 });
    expect(own.answer).toMatchObject([{ properties: { serverKeepAliveS: null } }]);
    world.advance(14_900);
    expect(own.client.pipe.isClosed).toBe(false);
    world.advance(300);
    expect(own.client.pipe.isClosed).toBe(true);
  });

  test('Response Information when asked for, and never otherwise [MQTT-3.1.2-28]', () => {
    const world = new World();
    expect(connackOf(world).properties.responseInformation).toBeNull();
    expect(
      connackOf(world, { properties: properties({ requestResponseInformation: false }) }).properties
        .responseInformation,
    ).toBeNull();
    const asked = connackOf(world, { clientId: 'a/b', properties: properties({ requestResponseInformation: true }) });
    expect(asked.properties.responseInformation).toBe('$reply/a%2Fb/');
  });

  test('the topics of Response Information are read by their client and nobody else', () => {
    const world = new World();
    const requester = MqttClient.connected(world, 'me', {
      properties: properties({ requestResponseInformation: true }),
    });
    expect(requester.subscribe('$reply/me/#')).toMatchObject([{ reasonCodes: [0] }]);
    const other = MqttClient.connected(world, 'other');
    for (const filter of [
      '$reply/me/#',
      '$reply/+/x',
      '$reply/#',
      '$exchange/amq.topic/$reply/me/x',
      '$share/g/$reply/me/#',
    ]) {
      expect(other.subscribe(filter)).toMatchObject([{ reasonCodes: [0x87] }]);
    }
    other.publish('$reply/me/1', 'answer', { qos: 1 });
    expect(requester.texts()).toEqual(['$reply/me/1 answer']);
  });

  test('the reason of a refusal, as far as there is room for it [MQTT-3.2.2-19] [MQTT-3.2.2-20]', () => {
    const world = new World({ authenticator: { authenticate: () => REFUSING } });
    expect(connackOf(world).properties.reasonString).toBe('bad-credentials');
    const tight = connackOf(world, { properties: properties({ maximumPacketSize: 12 }) });
    expect(tight).toMatchObject({ reasonCode: 0x86, properties: { reasonString: null } });
  });

  test('a client that leaves no room for CONNACK gets nothing [MQTT-3.1.2-24]', () => {
    const { client, answer } = attempt(new World(), { properties: properties({ maximumPacketSize: 5 }) });
    expect(answer).toEqual([]);
    expect(client.pipe.isClosed).toBe(true);
  });

  test('another server, for now or for good', () => {
    for (const [serverMoved, code] of [
      [false, 0x9c],
      [true, 0x9d],
    ] as const) {
      const world = new World({ mqtt: { serverReference: 'b.example:1883', serverMoved } });
      expect(connackOf(world)).toMatchObject({ reasonCode: code, properties: { serverReference: 'b.example:1883' } });
      expect(attempt(world, { protocolVersion: V311 }).client.pipe.isClosed).toBe(true);
    }
  });
});

describe('properties of CONNECT', () => {
  const PROPERTIES: readonly (readonly [name: string, bytes: string, reason: number])[] = [
    ['an unknown one', '7f', 0x81],
    ['one of another packet', '23 0001', 0x81],
    ['a repeated one', '21 0001 21 0001', 0x82],
    ['Receive Maximum 0', '21 0000', 0x82],
    ['Maximum Packet Size 0', '27 00000000', 0x82],
    ['Request Problem Information 2', '17 02', 0x82],
    ['Request Response Information 2', '19 02', 0x82],
    ['Authentication Data without a method', '16 <00>', 0x82],
    ['a value that is cut off', '11 0000', 0x81],
    ['a name that is not UTF-8', "26 <ff> <'v'>", 0x81],
    ['a value that is not UTF-8', "26 <'n'> <c3>", 0x81],
  ];
  test.each(PROPERTIES)('%s is refused with its reason [MQTT-1.5.7-1] [MQTT-3.1.4-1]', (_, bytes, reason) => {
    const { hex, closed } = speak(`10 [<'MQTT'> 05 02 003c [${bytes}] <'c'>]`);
    expect(Number.parseInt(hex.slice(6, 8), 16)).toBe(reason);
    expect(closed).toBe(true);
  });

  test.each([
    '21 0001',
    '21 ffff',
    '27 000000ff',
    '27 ffffffff',
    '11 00000000',
    '11 ffffffff',
    '22 0000',
    '22 ffff',
    '17 00',
    '19 01',
    "26 <'n'> <'v'> 26 <'n'> <'w'>",
  ])('%s is taken', (bytes) => expect(speak(`10 [<'MQTT'> 05 02 003c [${bytes}] <'c'>]`).hex).toMatch(/^20..0000/));

  test('x-… of the session’s queue are what it is made with', () => {
    const world = new World();
    const limited = {
      clean: false,
      properties: properties({ sessionExpiryIntervalS: 99, userProperties: ['x-max-length', '2', 'other', '1'] }),
    };
    const first = MqttClient.connected(world, 'c', limited);
    first.subscribe('a', 1);
    first.hangUp();
    const publisher = MqttClient.connected(world, 'p');
    for (const text of ['1', '2', '3']) publisher.publish('a', text, { qos: 1 });
    const { answer } = attempt(world, limited);
    expect(
      answer.slice(1).map((packet) => packet.type === PacketType.PUBLISH && Buffer.from(packet.payload).toString()),
    ).toEqual(['2', '3']);
    expect(connackOf(world, { properties: properties({ userProperties: ['x-max-length', 'many'] }) }).reasonCode).toBe(
      0x83,
    );
  });
});

describe('the end of a connection', () => {
  test('a server that shuts down says so, and refuses who comes', () => {
    const world = new World();
    const [v5, v311] = [MqttClient.connected(world, 'a'), MqttClient.connected(world, 'b', { protocolVersion: V311 })];
    world.mqttAdapter.close();
    expect(v5.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x8b }]);
    expect(v311.receive()).toEqual([]);
    expect(v311.pipe.isClosed).toBe(true);
    expect(connackOf(world).reasonCode).toBe(0x88);
  });

  test('an administrator ends one with 0x98, or sends all of them elsewhere', () => {
    const world = new World();
    const [a, b] = ['a', 'b'].map((id) => MqttClient.connected(world, id));
    expect(world.mqttAdapter.disconnect('/', 'a')).toBe(true);
    expect(world.mqttAdapter.disconnect('/', 'a')).toBe(false);
    expect(a!.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x98 }]);
    world.mqttAdapter.redirect('b.example', true);
    expect(b!.receive()).toMatchObject([{ reasonCode: 0x9d, properties: { serverReference: 'b.example' } }]);
  });

  test.each(BOTH)(
    '%s: nothing is processed or sent after DISCONNECT, and the connection ends [MQTT-3.14.4-1] [MQTT-3.14.4-2] [3.1.1 MQTT-3.14.4-1] [3.1.1 MQTT-3.14.4-2]',
    (_, protocolVersion) => {
      const world = new World();
      const client = MqttClient.connected(world, 'c', { protocolVersion });
      client.send(disconnect(), PINGREQ, publish('a', {}));
      expect(client.receive()).toEqual([]);
      expect(client.pipe.isClosed).toBe(true);
      expect(world.broker.counters.messagesReceived).toBe(0);
      const rude = MqttClient.connected(world, 'd', { protocolVersion });
      rude.sendBytes(Buffer.from('c000c100c000', 'hex'));
      expect(rude.receive().map(({ type }) => type)).toEqual(
        protocolVersion === V5 ? [PacketType.PINGRESP, PacketType.DISCONNECT] : [PacketType.PINGRESP],
      );
      expect(rude.pipe.isClosed).toBe(true);
    },
  );

  test('DISCONNECT can change the session expiry, but not from 0 [MQTT-3.14.2-2]', async () => {
    const world = await new World().open();
    const has = (id: string) => world.broker.vhosts.get('/')!.sessions.has(id);
    MqttClient.connected(world, 'a', { properties: properties({ sessionExpiryIntervalS: 100 }) }).send(
      disconnect(0, properties({ sessionExpiryIntervalS: 0 })),
    );
    expect(has('a')).toBe(false);
    MqttClient.connected(world, 'b', { properties: properties({ sessionExpiryIntervalS: 10 }) }).send(
      disconnect(0, properties({ sessionExpiryIntervalS: 100 })),
    );
    world.advance(50_000);
    expect(has('b')).toBe(true);
    world.advance(60_000);
    expect(has('b')).toBe(false);
    const fixed = MqttClient.connected(world, 'c');
    fixed.send(disconnect(0, properties({ sessionExpiryIntervalS: 5 })));
    expect(fixed.receive()).toMatchObject([
      { type: PacketType.DISCONNECT, reasonCode: 0x82, properties: { sessionExpiryIntervalS: null } },
    ]);
  });

  test.each([['3.1', V31], ...BOTH] as const)(
    '%s: PINGREQ is answered [MQTT-3.12.4-1] [3.1.1 MQTT-3.12.4-1]',
    (_, protocolVersion) => {
      const client = MqttClient.connected(new World(), 'c', { protocolVersion });
      client.send(PINGREQ, PINGREQ);
      expect(client.receive()).toHaveLength(2);
    },
  );

  test.each(BOTH)(
    '%s: silence for one and a half keep-alives ends it, whatever is sent to the client [MQTT-3.1.2-22] [3.1.1 MQTT-3.1.2-24]',
    async (_, protocolVersion) => {
      const world = await new World().open();
      const client = MqttClient.connected(world, 'c', { protocolVersion, keepAliveS: 10 });
      client.subscribe('a');
      const publisher = MqttClient.connected(world, 'p');
      for (let i = 0; i < 10; i++) {
        world.advance(1000);
        publisher.publish('a', 'x');
      }
      client.send(PINGREQ);
      world.advance(14_900);
      expect(client.pipe.isClosed).toBe(false);
      world.advance(300);
      expect(client.pipe.isClosed).toBe(true);
      if (protocolVersion === V5)
        expect(client.receive().at(-1)).toMatchObject({ type: PacketType.DISCONNECT, reasonCode: 0x8d });
      const patient = MqttClient.connected(world, 'q', { protocolVersion, keepAliveS: 0 });
      world.advance(1_000_000);
      expect(patient.pipe.isClosed).toBe(false);
    },
  );
});
