// What a durable session keeps when the broker crashes and comes back: QoS 2 in both directions, wills, subscriptions of every kind.
import { describe, expect, test } from 'vitest';
import {
  connect,
  type Packet,
  type Publish,
  properties,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  subscription,
  will,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { ReasonCode } from '../../protocols/mqtt/reason-codes.ts';
import { SHARE_GRACE_MS } from '../../src/core/share-group.ts';
import { DurableWorld } from '../support/durable-world.ts';
import { MqttClient } from '../support/mqtt-client.ts';

const KEEP = { clean: false, properties: properties({ sessionExpiryIntervalS: 10_000 }) };

/** A client whose answers wait for the disk. */
class DurableClient {
  readonly client: MqttClient;
  private readonly durable: DurableWorld;

  constructor(durable: DurableWorld, version: ProtocolVersion = ProtocolVersion.V5) {
    this.durable = durable;
    this.client = new MqttClient(durable.world, version);
  }

  static async connected(
    durable: DurableWorld,
    clientId: string,
    fields: Parameters<typeof connect>[0] = KEEP,
  ): Promise<DurableClient> {
    const client = new DurableClient(durable, fields.protocolVersion);
    const [connack] = await client.exchange(connect({ clientId, ...fields }));
    expect(connack).toMatchObject({ type: PacketType.CONNACK, reasonCode: 0 });
    return client;
  }

  /** Sends, lets broker and disk work, and gives what came. */
  async exchange(...packets: Packet[]): Promise<Packet[]> {
    if (packets.length > 0) this.client.send(...packets);
    await this.durable.settle();
    return this.client.receive();
  }

  subscribe(filter: string, qos: 0 | 1 | 2): Promise<Packet[]> {
    return this.exchange(subscribe(1, [subscription(filter, qos)]));
  }
}

function texts(packets: readonly Packet[]): string[] {
  return packets
    .filter((packet): packet is Publish => packet.type === PacketType.PUBLISH)
    .map(({ payload }) => Buffer.from(payload).toString());
}

function message(topic: string, text: string, qos: 0 | 1 | 2, packetId: number): Publish {
  return publish(topic, { payload: Buffer.from(text), qos, packetId });
}

describe('over a crash', () => {
  test('QoS 2 from a client is taken once, whenever the crash comes [MQTT-4.3.3-10] [3.1.1 MQTT-4.3.3-2]', async () => {
    for (const written of [false, true]) {
      const durable = await DurableWorld.start();
      await (await DurableClient.connected(durable, 's')).subscribe('a', 2);
      const publisher = await DurableClient.connected(durable, 'p');
      durable.writing = written;
      const answer = await publisher.exchange(message('a', 'once', 2, 7));
      // No PUBREC before the message and its identifier are on the disk.
      expect(answer.map(({ type }) => type)).toEqual(written ? [PacketType.PUBREC] : []);
      await durable.crash();
      const again = await DurableClient.connected(durable, 'p');
      expect((await again.exchange(message('a', 'once', 2, 7))).map(({ type }) => type)).toEqual([PacketType.PUBREC]);
      expect((await again.exchange(pubrel(7))).map(({ type }) => type)).toEqual([PacketType.PUBCOMP]);
      const subscriber = new DurableClient(durable);
      expect(texts(await subscriber.exchange(connect({ clientId: 's', ...KEEP })))).toEqual(['once']);
    }
  });

  test('QoS 2 to a client keeps its identifier until PUBREC [MQTT-4.4.0-1] [MQTT-4.3.3-3] [3.1.1 MQTT-4.4.0-1]', async () => {
    const durable = await DurableWorld.start();
    const subscriber = await DurableClient.connected(durable, 's');
    await subscriber.subscribe('a', 2);
    const publisher = await DurableClient.connected(durable, 'p');
    await publisher.exchange(
      message('a', '0', 1, 9),
      message('a', '1', 2, 1),
      message('a', '2', 2, 2),
      message('a', '3', 2, 3),
    );
    const first = await subscriber.exchange();
    expect(first).toMatchObject([{ packetId: 1 }, { packetId: 2 }, { packetId: 3 }, { packetId: 4 }]);
    expect(await subscriber.exchange(puback(1), pubrec(3))).toMatchObject([{ type: PacketType.PUBREL, packetId: 3 }]);
    await durable.crash();
    const next = await DurableClient.connected(durable, 'p');
    await next.exchange(pubrel(1), pubrel(2), pubrel(3), message('a', '4', 2, 5));
    const again = new DurableClient(durable);
    const packets = await again.exchange(connect({ clientId: 's', ...KEEP }));
    expect(packets).toMatchObject([
      { type: PacketType.CONNACK, sessionPresent: true },
      { type: PacketType.PUBREL, packetId: 3 },
      { type: PacketType.PUBLISH, packetId: 2, dup: true },
      { type: PacketType.PUBLISH, packetId: 4, dup: true },
      { type: PacketType.PUBLISH, packetId: 5, dup: false },
    ]);
    expect(texts(packets)).toEqual(['1', '3', '4']);
    expect(await again.exchange(pubcomp(3), pubrec(2), pubrec(4), pubrec(5))).toMatchObject([
      { packetId: 2 },
      { packetId: 4 },
      { packetId: 5 },
    ]);
    await again.exchange(pubcomp(2), pubcomp(4), pubcomp(5));
    // Nobody waits for what PUBCOMP ends: it is written with the next thing that is.
    durable.world.advance(1000);
    await durable.settle();
    await durable.crash();
    const last = new DurableClient(durable);
    expect(await last.exchange(connect({ clientId: 's', ...KEEP }))).toHaveLength(1);
  });

  test('an identifier of QoS 2 whose message ended with the process means no other message before the client has let it go [MQTT-2.2.1-4]', async () => {
    const durable = await DurableWorld.start();
    const subscriber = await DurableClient.connected(durable, 's');
    await subscriber.subscribe('$queue/q', 2);
    const publisher = await DurableClient.connected(durable, 'p');
    await publisher.exchange(message('$queue/q', 'transient', 0, 0));
    expect(await subscriber.exchange()).toMatchObject([{ type: PacketType.PUBLISH, packetId: 1, qos: 2 }]);
    await durable.crash();
    const next = await DurableClient.connected(durable, 'p');
    await next.exchange(message('$queue/q', 'kept', 2, 1), pubrel(1));
    const again = new DurableClient(durable);
    const packets = await again.exchange(connect({ clientId: 's', ...KEEP }));
    expect(packets).toMatchObject([
      { type: PacketType.CONNACK, sessionPresent: true },
      { type: PacketType.PUBREL, packetId: 1 },
      { type: PacketType.PUBLISH, packetId: 2, qos: 2 },
    ]);
    expect(texts(packets)).toEqual(['kept']);
    expect(await again.exchange(pubcomp(1), pubrec(2))).toMatchObject([{ type: PacketType.PUBREL, packetId: 2 }]);
    // Over another crash it stays free.
    await again.exchange(pubcomp(2));
    // Nobody waits for what PUBCOMP ends: it is written with the next thing that is.
    await next.exchange(message('a', 'x', 1, 2));
    await durable.crash();
    const last = new DurableClient(durable);
    expect(await last.exchange(connect({ clientId: 's', ...KEEP }))).toHaveLength(1);
  });

  test('QoS 2 is not sent to a client before its identifier is on the disk', async () => {
    const durable = await DurableWorld.start();
    const subscriber = await DurableClient.connected(durable, 's');
    await subscriber.subscribe('a', 2);
    const publisher = await DurableClient.connected(durable, 'p');
    durable.writing = false;
    await publisher.exchange(message('a', 'x', 2, 1));
    expect(await subscriber.exchange()).toEqual([]);
    durable.writing = true;
    expect(texts(await subscriber.exchange())).toEqual(['x']);
  });

  test('a publisher that comes back is not told PUBREC or PUBCOMP before the disk has what they stand for [MQTT-4.3.3-10] [MQTT-4.3.3-11]', async () => {
    const durable = await DurableWorld.start();
    await (await DurableClient.connected(durable, 's')).subscribe('a', 2);
    const publisher = await DurableClient.connected(durable, 'p');
    durable.writing = false;
    expect(await publisher.exchange(message('a', 'one', 2, 1))).toEqual([]);
    publisher.client.hangUp();
    const again = await DurableClient.connected(durable, 'p');
    expect(await again.exchange(message('a', 'one', 2, 1))).toEqual([]);
    durable.writing = true;
    expect(await again.exchange()).toMatchObject([{ type: PacketType.PUBREC, packetId: 1 }]);
    durable.writing = false;
    expect(await again.exchange(pubrel(1))).toEqual([]);
    again.client.hangUp();
    const third = await DurableClient.connected(durable, 'p');
    // The identifier is free when PUBCOMP says so, and a crash must not take it back: another message under it would be taken for the first one.
    expect(await third.exchange(pubrel(1))).toEqual([]);
    await durable.crash();
    const fourth = await DurableClient.connected(durable, 'p');
    expect(await fourth.exchange(pubrel(1))).toMatchObject([{ type: PacketType.PUBCOMP, packetId: 1 }]);
    await fourth.exchange(message('a', 'two', 2, 1));
    expect(texts(await new DurableClient(durable).exchange(connect({ clientId: 's', ...KEEP })))).toEqual([
      'one',
      'two',
    ]);
  });

  test('an identifier whose PUBREC said no is free: what comes under it again is taken, and not for a repetition [MQTT-4.3.3-9]', async () => {
    for (const fields of [KEEP, { clean: true }]) {
      const durable = await DurableWorld.start();
      await (await DurableClient.connected(durable, 's')).subscribe('a', 2);
      const publisher = await DurableClient.connected(durable, 'p', fields);
      durable.world.broker.onFull(true);
      const refused = { type: PacketType.PUBREC, packetId: 1, reasonCode: ReasonCode.QUOTA_EXCEEDED };
      expect(await publisher.exchange(message('a', 'once', 2, 1))).toMatchObject([refused]);
      expect(await publisher.exchange(message('a', 'once', 2, 1))).toMatchObject([refused]);
      durable.world.broker.onFull(false);
      expect(await publisher.exchange(message('a', 'once', 2, 1))).toMatchObject([
        { type: PacketType.PUBREC, reasonCode: 0 },
      ]);
      await durable.crash();
      expect(texts(await new DurableClient(durable).exchange(connect({ clientId: 's', ...KEEP })))).toEqual(['once']);
    }
  });

  test('an MQTT 3 client that was cut off because the disk was full sends its QoS 2 message again, and it is taken', async () => {
    const durable = await DurableWorld.start();
    await (await DurableClient.connected(durable, 's')).subscribe('a', 2);
    const fields = { protocolVersion: ProtocolVersion.V311, clean: false } as const;
    const publisher = await DurableClient.connected(durable, 'p', fields);
    durable.world.broker.onFull(true);
    expect(await publisher.exchange(message('a', 'once', 2, 1))).toEqual([]);
    expect(publisher.client.pipe.ended).toBe(true);
    durable.world.broker.onFull(false);
    const again = await DurableClient.connected(durable, 'p', fields);
    expect(await again.exchange(message('a', 'once', 2, 1))).toMatchObject([{ type: PacketType.PUBREC, packetId: 1 }]);
    await durable.crash();
    expect(texts(await new DurableClient(durable).exchange(connect({ clientId: 's', ...KEEP })))).toEqual(['once']);
  });

  test('PUBREL does not reach a client that comes back before what PUBREC has changed is on the disk [MQTT-4.4.0-1]', async () => {
    const durable = await DurableWorld.start();
    const subscriber = await DurableClient.connected(durable, 's');
    await subscriber.subscribe('a', 2);
    const publisher = await DurableClient.connected(durable, 'p');
    await publisher.exchange(message('a', 'once', 2, 1));
    expect(texts(await subscriber.exchange())).toEqual(['once']);
    durable.writing = false;
    expect(await subscriber.exchange(pubrec(1))).toEqual([]);
    subscriber.client.hangUp();
    const again = new DurableClient(durable);
    const present = [{ type: PacketType.CONNACK, sessionPresent: true }];
    expect(await again.exchange(connect({ clientId: 's', ...KEEP }))).toMatchObject(present);
    // A repeated PUBREC is answered no earlier.
    expect(await again.exchange(pubrec(1))).toEqual([]);
    await durable.crash();
    const third = new DurableClient(durable);
    const packets = await third.exchange(connect({ clientId: 's', ...KEEP }));
    expect(packets).toMatchObject([...present, { type: PacketType.PUBLISH, packetId: 1, dup: true }]);
    expect(await third.exchange(pubrec(1))).toMatchObject([{ type: PacketType.PUBREL, packetId: 1 }]);
  });

  test('a will of a client that was cut off is sent, and one that waits when its delay is over', async () => {
    const durable = await DurableWorld.start();
    const delayed = (clientId: string, delayS: number) =>
      DurableClient.connected(durable, clientId, {
        ...KEEP,
        will: will(`gone/${clientId}`, {
          payload: Buffer.from('bye'),
          qos: 1,
          properties: properties({ willDelayIntervalS: delayS, userProperties: ['k', '1', 'k', '2'] }),
        }),
      });
    const watcher = await DurableClient.connected(durable, 'w');
    await watcher.subscribe('gone/+', 1);
    const waiting = await delayed('waiting', 100);
    waiting.client.hangUp();
    await delayed('returning', 100);
    await delayed('now', 0);
    const polite = await delayed('polite', 0);
    await polite.exchange({ type: PacketType.DISCONNECT, reasonCode: 0, properties: properties({}) });
    await durable.settle();
    durable.world.advance(60_000);
    await durable.settle();
    const world = await durable.crash();
    const again = await DurableClient.connected(durable, 'w');
    world.advance(1000);
    const seen = [...(await again.exchange())];
    await DurableClient.connected(durable, 'returning', KEEP);
    world.advance(50_000);
    seen.push(...(await again.exchange()));
    world.advance(200_000);
    seen.push(...(await again.exchange()));
    const wills = seen.filter((packet): packet is Publish => packet.type === PacketType.PUBLISH);
    expect(wills.map(({ topic }) => topic)).toEqual(['gone/now', 'gone/waiting']);
    expect(wills[0]!.properties.userProperties).toEqual(['k', '1', 'k', '2']);
    await durable.crash();
    const last = await DurableClient.connected(durable, 'w');
    await last.exchange(puback(1), puback(2));
    durable.world.advance(300_000);
    expect(texts(await last.exchange())).toEqual([]);
  });

  test('a will without a delay is sent although its client is back before anything else happens [MQTT-3.1.2-8] [3.1.1 MQTT-3.1.2-8]', async () => {
    const durable = await DurableWorld.start();
    await (await DurableClient.connected(durable, 'w')).subscribe('gone/+', 1);
    for (const [clientId, willDelayIntervalS] of [
      ['now', 0],
      ['later', 100],
    ] as const) {
      await DurableClient.connected(durable, clientId, {
        ...KEEP,
        will: will(`gone/${clientId}`, {
          payload: Buffer.from('bye'),
          qos: 1,
          properties: properties({ willDelayIntervalS }),
        }),
      });
    }
    await durable.crash();
    await DurableClient.connected(durable, 'now');
    await DurableClient.connected(durable, 'later');
    const watcher = new DurableClient(durable);
    const seen = await watcher.exchange(connect({ clientId: 'w', ...KEEP }));
    durable.world.advance(300_000);
    seen.push(...(await watcher.exchange()));
    const wills = seen.filter((packet): packet is Publish => packet.type === PacketType.PUBLISH);
    expect(wills.map(({ topic }) => topic)).toEqual(['gone/now']);
  });

  test('shared, exclusive and queue subscriptions are taken up again', async () => {
    const durable = await DurableWorld.start();
    const member = await DurableClient.connected(durable, 'm');
    const transient = await DurableClient.connected(durable, 't', { clean: true });
    await transient.subscribe('$share/g/x', 1);
    await member.subscribe('$share/g/x', 1);
    await member.subscribe('$exclusive/e', 1);
    await member.subscribe('$queue/q', 1);
    await transient.subscribe('$share/lonely/x', 1);
    const world = await durable.crash();
    // The members of the lonely group were connections: they have a while to come back.
    const names = () => [...durable.world.broker.vhosts.get('/')!.queues.keys()].sort();
    expect(names()).toEqual(['$share/g/x', '$share/lonely/x', 'q']);
    world.advance(SHARE_GRACE_MS + 1000);
    expect(names()).toEqual(['$share/g/x', 'q']);
    const publisher = await DurableClient.connected(durable, 'p', { clean: true });
    expect(await publisher.subscribe('$exclusive/e', 0)).toMatchObject([{ reasonCodes: [0x97] }]);
    await publisher.exchange(
      message('x', 'shared', 1, 1),
      message('e', 'exclusive', 1, 2),
      message('$queue/q', 'queue', 1, 3),
    );
    const again = new DurableClient(durable);
    expect(texts(await again.exchange(connect({ clientId: 'm', ...KEEP }))).sort()).toEqual([
      'exclusive',
      'queue',
      'shared',
    ]);
  });

  test('what a share group had is there, whoever made the group', async () => {
    const durable = await DurableWorld.start();
    const transient = await DurableClient.connected(durable, 't', { clean: true });
    await transient.subscribe('$share/g/x', 1);
    const member = await DurableClient.connected(durable, 'm');
    await member.subscribe('$share/g/x', 1);
    transient.client.hangUp();
    member.client.hangUp();
    const publisher = await DurableClient.connected(durable, 'p', { clean: true });
    await publisher.exchange(message('x', 'kept', 1, 1));
    await durable.crash();
    const again = new DurableClient(durable);
    expect(texts(await again.exchange(connect({ clientId: 'm', ...KEEP })))).toEqual(['kept']);
  });

  test('QoS 2 of a shared subscription still waits for its member [MQTT-4.8.2-4]', async () => {
    const durable = await DurableWorld.start();
    const member = await DurableClient.connected(durable, 'm');
    await member.subscribe('$share/g/x', 2);
    const publisher = await DurableClient.connected(durable, 'p', { clean: true });
    await publisher.exchange(message('x', 'one', 2, 1));
    expect(await member.exchange()).toMatchObject([{ packetId: 1, qos: 2 }]);
    await durable.crash();
    const again = new DurableClient(durable);
    expect((await again.exchange(connect({ clientId: 'm', ...KEEP }))).slice(1)).toMatchObject([
      { packetId: 1, qos: 2, dup: true },
    ]);
  });

  test.each(['$share/g/x', '$queue/x'])(
    'QoS 2 of %s is for nobody else while its client is away, nor when it comes back and may take no more [MQTT-4.8.2-4]',
    async (filter) => {
      const durable = await DurableWorld.start();
      const few = { clean: false, properties: properties({ sessionExpiryIntervalS: 10_000, receiveMaximum: 1 }) };
      const member = await DurableClient.connected(durable, 'm', few);
      await member.subscribe(filter, 2);
      const publisher = await DurableClient.connected(durable, 'p', { clean: true });
      const topic = filter.startsWith('$queue') ? filter : 'x';
      await publisher.exchange(message(topic, 'one', 2, 1), message(topic, 'two', 2, 2));
      expect(await member.exchange()).toMatchObject([{ packetId: 1, qos: 2 }]);
      await durable.crash();
      const other = await DurableClient.connected(durable, 'o');
      expect(texts(await other.subscribe(filter, 2))).toEqual(['two']);
      const again = new DurableClient(durable);
      const packets = await again.exchange(connect({ clientId: 'm', ...few }));
      expect(packets.slice(1)).toMatchObject([{ packetId: 1, qos: 2, dup: true }]);
      expect(texts(packets)).toEqual(['one']);
      await other.exchange(pubrec(1), pubcomp(1));
      await again.exchange(pubrec(1), pubcomp(1));
      const next = await DurableClient.connected(durable, 'p', { clean: true });
      await next.exchange(message(topic, 'three', 2, 1), message(topic, 'four', 2, 2));
      const got = [...texts(await other.exchange()), ...texts(await again.exchange())];
      expect(got.sort()).toEqual(['four', 'three']);
    },
  );

  test('what an ended session had of a queue at QoS 2 before the crash goes to others; of a share group it goes to nobody [MQTT-4.8.2-5]', async () => {
    const durable = await DurableWorld.start();
    const client = await DurableClient.connected(durable, 'm');
    await client.exchange(subscribe(1, [subscription('$queue/x', 2), subscription('$share/g/x', 2)]));
    const publisher = await DurableClient.connected(durable, 'p', { clean: true });
    await publisher.exchange(message('$queue/x', 'queued', 2, 1), message('x', 'shared', 2, 2));
    expect(texts(await client.exchange())).toEqual(['queued', 'shared']);
    await durable.crash();
    // Its session ends before anything is read back from the log.
    const other = await DurableClient.connected(durable, 'o');
    await DurableClient.connected(durable, 'm', { clean: true });
    expect(
      texts(await other.exchange(subscribe(1, [subscription('$queue/x', 2), subscription('$share/g/x', 2)]))),
    ).toEqual(['queued']);
  });

  test('a session that gets a copy for each of its overlapping subscriptions gets them also before its client is back [MQTT-3.3.4-5]', async () => {
    const durable = await DurableWorld.start({ mqtt: { overlappingSubscriptions: 'each' } });
    const client = await DurableClient.connected(durable, 'c');
    await client.exchange(subscribe(1, [subscription('a/#', 1), subscription('a/b', 1)]));
    await durable.crash();
    const sender = await DurableClient.connected(durable, 's');
    await sender.exchange(publish('a/b', { qos: 1, packetId: 1, payload: Buffer.from('x') }));
    const again = new DurableClient(durable);
    expect(texts(await again.exchange(connect({ clientId: 'c', ...KEEP })))).toHaveLength(2);
  });

  test('a retained message that is cleared again is not told to be gone before the disk knows', async () => {
    const durable = await DurableWorld.start();
    const publisher = await DurableClient.connected(durable, 'p');
    await publisher.exchange(publish('r', { payload: Buffer.from('kept'), qos: 1, packetId: 1, retain: true }));
    durable.writing = false;
    const clear = publish('r', { qos: 1, packetId: 2, retain: true });
    expect(await publisher.exchange(clear)).toEqual([]);
    // Another connection finds nothing to clear; what it is told must outlive a crash all the same.
    const again = await DurableClient.connected(durable, 'q');
    expect(await again.exchange(clear)).toEqual([]);
    durable.writing = true;
    expect(await again.exchange()).toMatchObject([{ type: PacketType.PUBACK, packetId: 2 }]);
    await durable.crash();
    const reader = await DurableClient.connected(durable, 'r');
    expect(texts(await reader.subscribe('r', 1))).toEqual([]);
  });

  test('what a session has kept goes when it ends', async () => {
    const durable = await DurableWorld.start();
    const client = await DurableClient.connected(durable, 's', { ...KEEP, will: will('w', {}) });
    await client.subscribe('a', 2);
    await client.exchange(message('a', 'x', 2, 1), message('a', 'y', 2, 2));
    await client.exchange(pubrec(1));
    await DurableClient.connected(durable, 's', { clean: true });
    await durable.settle();
    const { state } = durable.world.broker;
    const left = ['mqtt.received', 'mqtt.sent', 'mqtt.released', 'mqtt.will', 'session'].flatMap((space) => [
      ...state!.load(space),
    ]);
    expect(left).toEqual([]);
  });

  test('a message marked delivery-mode=1 is not there any more', async () => {
    const durable = await DurableWorld.start();
    const subscriber = await DurableClient.connected(durable, 's');
    await subscriber.subscribe('a', 1);
    subscriber.client.hangUp();
    const publisher = await DurableClient.connected(durable, 'p');
    const fleeting = {
      ...message('a', 'fleeting', 1, 1),
      properties: properties({ userProperties: ['delivery-mode', '1'] }),
    };
    await publisher.exchange(message('a', 'kept', 1, 2), fleeting);
    await durable.crash();
    const again = new DurableClient(durable);
    expect(texts(await again.exchange(connect({ clientId: 's', ...KEEP })))).toEqual(['kept']);
  });
});
