// AUTH and SCRAM-SHA-256 on real bytes, through the directory of users; and authentication methods of one's own.
import { describe, expect, test } from 'vitest';
import {
  type Auth,
  auth,
  type Connack,
  connect,
  type Packet,
  PINGREQ,
  properties,
  publish,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { formatPasswordHash } from '../../src/auth/password.ts';
import { formatScramKeys, scramKeys } from '../../src/auth/scram.ts';
import { UserDirectory } from '../../src/auth/user-directory.ts';
import type { Authenticator, AuthStep } from '../../src/core/authenticator.ts';
import { wire } from '../protocols/mqtt/wire.ts';
import { MqttClient } from '../support/mqtt-client.ts';
import { Scram } from '../support/scram.ts';
import { World } from '../support/world.ts';

const METHOD = 'SCRAM-SHA-256';
const HASH = formatPasswordHash({
  costLog2: 15,
  blockSize: 8,
  parallelism: 1,
  salt: Buffer.alloc(16, 1),
  key: Buffer.alloc(32, 2),
});

function directory(): UserDirectory {
  const user = (name: string, password: string) => ({
    name,
    hash: HASH,
    scram: formatScramKeys(scramKeys(password, 4096)),
  });
  return new UserDirectory(
    {
      anonymous: true,
      anonymousRules: {},
      users: [user('ann', 'secret'), user('bob', 'geheim'), { name: 'old', hash: HASH }],
    },
    { verify: () => Promise.resolve('differs'), close: () => Promise.resolve() },
    { now: () => 0 },
  );
}

function world(): World {
  const users = directory();
  return new World({ authenticator: users, authorizer: users });
}

function withData(data: Uint8Array | null, method: string | null = METHOD) {
  return properties({ authenticationMethod: method, authenticationData: data });
}

/** Logs in; gives the client and the CONNACK. */
function login(
  of: World,
  name: string,
  password: string,
  clientId = name,
): { client: MqttClient; answer: Packet[]; scram: Scram } {
  const client = new MqttClient(of);
  const scram = new Scram(name, password);
  client.send(connect({ clientId, properties: withData(scram.first()) }));
  const [challenge] = client.receive() as [Auth];
  expect(challenge).toMatchObject({
    type: PacketType.AUTH,
    reasonCode: 0x18,
    properties: { authenticationMethod: METHOD },
  });
  client.send(auth(0x18, withData(scram.final(challenge.properties.authenticationData!))));
  return { client, answer: client.receive(), scram };
}

describe('SCRAM-SHA-256', () => {
  test('lets a client in, and proves to it who the broker is [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-3.15.2-1]', () => {
    const { client, answer, scram } = login(world(), 'ann', 'secret');
    expect(answer).toMatchObject([
      { type: PacketType.CONNACK, reasonCode: 0, properties: { authenticationMethod: METHOD } },
    ]);
    expect(scram.verifies((answer[0] as Connack).properties.authenticationData)).toBe(true);
    client.subscribe('a');
    client.publish('a', 'in');
    expect(client.texts()).toEqual(['a in']);
  });

  test('refuses a wrong password, a name that is not there and one without keys alike, and ends the connection [MQTT-4.12.0-4]', () => {
    for (const [name, password] of [
      ['ann', 'wrong'],
      ['eve', 'secret'],
      ['old', 'secret'],
    ] as const) {
      const { client, answer } = login(world(), name, password);
      expect(answer).toMatchObject([{ type: PacketType.CONNACK, reasonCode: 0x86, sessionPresent: false }]);
      expect(client.pipe.isClosed).toBe(true);
    }
  });

  test('may begin without data', () => {
    const client = new MqttClient(world());
    const scram = new Scram('ann', 'secret');
    client.send(connect({ clientId: 'c', properties: withData(null) }));
    expect(client.receive()).toMatchObject([{ type: PacketType.AUTH, reasonCode: 0x18 }]);
    client.send(auth(0x18, withData(scram.first())));
    const [challenge] = client.receive() as [Auth];
    client.send(auth(0x18, withData(scram.final(challenge.properties.authenticationData!))));
    expect(client.receive()).toMatchObject([{ reasonCode: 0 }]);
  });

  test('again, while the connection goes on: the same user stays, another one ends it [MQTT-4.12.1-1] [MQTT-4.12.1-2]', () => {
    const of = world();
    const { client } = login(of, 'ann', 'secret');
    const again = (name: string, password: string) => {
      const scram = new Scram(name, password);
      client.send(auth(0x19, withData(scram.first())));
      const [challenge] = client.receive() as [Auth];
      expect(challenge).toMatchObject({ type: PacketType.AUTH, reasonCode: 0x18 });
      // Other packets are answered as before.
      client.send(PINGREQ);
      expect(client.receive()).toMatchObject([{ type: PacketType.PINGRESP }]);
      client.send(auth(0x18, withData(scram.final(challenge.properties.authenticationData!))));
      return { answer: client.receive(), scram };
    };
    const { answer, scram } = again('ann', 'secret');
    expect(answer).toMatchObject([
      { type: PacketType.AUTH, reasonCode: 0, properties: { authenticationMethod: METHOD } },
    ]);
    expect(scram.verifies((answer[0] as Auth).properties.authenticationData)).toBe(true);
    expect(again('bob', 'geheim').answer).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x87 }]);
    expect(client.pipe.isClosed).toBe(true);
    const other = login(of, 'ann', 'secret').client;
    other.send(auth(0x19, withData(Buffer.from('nonsense'))));
    expect(other.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x87 }]);
  });
});

describe('AUTH', () => {
  test.each(['GS2-KRB5', '', 'scram-sha-256'])(
    'a method that is not offered (%j) is refused with 0x8C [MQTT-4.12.0-1]',
    (method) => {
      const client = new MqttClient(world());
      client.send(connect({ clientId: 'c', properties: withData(Buffer.from('x'), method) }));
      expect(client.receive()).toMatchObject([{ type: PacketType.CONNACK, reasonCode: 0x8c }]);
      expect(client.pipe.isClosed).toBe(true);
    },
  );

  test('without a method there is none from either side [MQTT-4.12.0-6] [MQTT-4.12.0-7]', () => {
    const client = new MqttClient(world());
    client.send(connect({ clientId: 'c' }));
    expect(client.receive()).toMatchObject([
      { type: PacketType.CONNACK, reasonCode: 0, properties: { authenticationMethod: null, authenticationData: null } },
    ]);
    client.send(auth(0x19, withData(Buffer.from('x'))));
    expect(client.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x82 }]);
    expect(client.pipe.isClosed).toBe(true);
  });

  test('before CONNACK nothing but AUTH and DISCONNECT is taken, and errors are told by CONNACK [MQTT-3.1.2-30] [MQTT-3.14.0-1]', () => {
    const begun = () => {
      const client = new MqttClient(world());
      client.send(connect({ clientId: 'c', properties: withData(new Scram('ann', 'secret').first()) }));
      client.receive();
      return client;
    };
    for (const packet of [PINGREQ, publish('a', {}), connect({ clientId: 'c' })]) {
      const client = begun();
      client.send(packet);
      expect(client.receive()).toMatchObject([{ type: PacketType.CONNACK, reasonCode: 0x82 }]);
      expect(client.pipe.isClosed).toBe(true);
    }
    const leaving = begun();
    leaving.sendBytes(wire('e000'));
    expect(leaving.receive()).toEqual([]);
    expect(leaving.pipe.isClosed).toBe(true);
  });

  test.each([
    ['another method', auth(0x18, withData(Buffer.from('x'), 'OTHER')), 0x82],
    ['no method', auth(0x18, properties({ authenticationData: Buffer.from('x') })), 0x82],
    ['re-authentication before there was any', auth(0x19, withData(Buffer.from('x'))), 0x82],
  ])('%s during the exchange ends it [MQTT-4.12.0-5]', (_, packet, reason) => {
    const client = new MqttClient(world());
    client.send(connect({ clientId: 'c', properties: withData(new Scram('ann', 'secret').first()) }));
    client.receive();
    client.send(packet);
    expect(client.receive()).toMatchObject([{ type: PacketType.CONNACK, reasonCode: reason }]);
    expect(client.pipe.isClosed).toBe(true);
  });

  test('an answer nobody asked for, a success from a client and AUTH in 3.1.1 end the connection [MQTT-3.15.2-1]', () => {
    const { client } = login(world(), 'ann', 'secret');
    client.send(auth(0x18, withData(Buffer.from('x'))));
    expect(client.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x82 }]);
    const success = login(world(), 'ann', 'secret').client;
    success.sendBytes(wire('f0 00'));
    expect(success.receive()).toMatchObject([{ type: PacketType.DISCONNECT, reasonCode: 0x82 }]);
    const old = MqttClient.connected(world(), 'c', { protocolVersion: ProtocolVersion.V311 });
    old.sendBytes(wire('f0 00'));
    expect(old.receive()).toEqual([]);
    expect(old.pipe.isClosed).toBe(true);
  });

  test('a method of one’s own takes as many steps and as much time as it likes', async () => {
    const settled: (() => void)[] = [];
    const later = (step: AuthStep) => new Promise<AuthStep>((resolve) => settled.push(() => resolve(step)));
    const own: Authenticator = {
      authenticate: () => ({ ok: false, reason: 'not-authorized' }),
      begin: (method) =>
        method !== 'COUNT'
          ? null
          : {
              step: (data) => {
                const count = data === null ? 0 : data[0]!;
                if (count < 3) return later({ done: false, data: Buffer.from([count]) });
                return later({ done: true, result: { ok: true, principal: { name: 'u', policy: null } }, data: null });
              },
            },
    };
    const client = new MqttClient(new World({ authenticator: own }));
    const release = async () => {
      for (const resolve of settled.splice(0)) resolve();
      await Promise.resolve();
      await Promise.resolve();
    };
    client.send(connect({ clientId: 'c', properties: withData(Buffer.from([1]), 'COUNT') }));
    expect(client.receive()).toEqual([]);
    await release();
    expect(client.receive()).toMatchObject([{ type: PacketType.AUTH, reasonCode: 0x18 }]);
    // What comes while the step is computed waits its turn.
    client.send(auth(0x18, withData(Buffer.from([3]), 'COUNT')), PINGREQ);
    expect(client.receive()).toEqual([]);
    await release();
    expect(client.receive().map(({ type }) => type)).toEqual([PacketType.CONNACK, PacketType.PINGRESP]);
    const leaving = new MqttClient(new World({ authenticator: own }));
    leaving.send(connect({ clientId: 'c', properties: withData(Buffer.from([1]), 'COUNT') }));
    leaving.hangUp();
    await release();
    expect(leaving.receive()).toEqual([]);
  });
});
