// QoS 2 from one client to another, whose connections break and whose broker loses its power at any step: every message arrives, and no message twice [MQTT-4.3.3-10] [MQTT-4.3.3-6].
import { expect, test } from 'vitest';
import {
  connect,
  properties,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  subscription,
} from '../../protocols/mqtt/packet.ts';
import { PacketType } from '../../protocols/mqtt/packet-type.ts';
import { DurableWorld } from '../support/durable-world.ts';
import { MqttClient } from '../support/mqtt-client.ts';
import { SeededRandom } from '../support/world.ts';

const KEEP = { clean: false, properties: properties({ sessionExpiryIntervalS: 100_000, receiveMaximum: 4 }) };
const MESSAGES = 40;

/** What a client has on its own disk: all of it outlives its connections. */
class Sender {
  next = 0;
  /** Identifier to text; PUBREL has been sent when there is none. */
  readonly pending = new Map<number, string | null>();
}

class Receiver {
  readonly unreleased = new Set<number>();
  readonly texts: string[] = [];
}

async function run(seed: number): Promise<{ texts: readonly string[]; crashes: number }> {
  const random = new SeededRandom(seed);
  const durable = await DurableWorld.start({ seed });
  const sender = new Sender();
  const receiver = new Receiver();
  let crashes = 0;
  const step = async (of: MqttClient | null) => {
    // The disk sometimes lags behind the answers.
    durable.writing = random.below(3) !== 0;
    await durable.settle();
    return of === null ? [] : of.receive();
  };
  let [out, back]: [MqttClient | null, MqttClient | null] = [null, null];
  for (let turn = 0; turn < 20_000; turn++) {
    if (
      receiver.texts.length >= MESSAGES &&
      sender.pending.size === 0 &&
      sender.next === MESSAGES &&
      receiver.unreleased.size === 0
    )
      break;
    const dice = random.below(40);
    if (dice === 0) {
      crashes++;
      await durable.crash();
      [out, back] = [null, null];
    } else if (dice === 1) out?.hangUp();
    else if (dice === 2) back?.hangUp();
    if (out === null || out.pipe.isClosed) {
      out = new MqttClient(durable.world);
      out.send(connect({ clientId: 'out', ...KEEP }));
      for (const [packetId, text] of sender.pending) {
        out.send(
          text === null ? pubrel(packetId) : publish('t', { qos: 2, packetId, dup: true, payload: Buffer.from(text) }),
        );
      }
    }
    if (back === null || back.pipe.isClosed) {
      back = new MqttClient(durable.world);
      back.send(connect({ clientId: 'back', ...KEEP }), subscribe(1, [subscription('t', 2)]));
    }
    if (sender.next < MESSAGES && sender.pending.size < 4 && receiverIsSubscribed(durable)) {
      const packetId = [1, 2, 3, 4].find((id) => !sender.pending.has(id))!;
      const text = String(sender.next++);
      sender.pending.set(packetId, text);
      out.send(publish('t', { qos: 2, packetId, payload: Buffer.from(text) }));
    }
    for (const packet of await step(out)) {
      if (packet.type === PacketType.PUBREC && sender.pending.has(packet.packetId)) {
        sender.pending.set(packet.packetId, null);
        out.send(pubrel(packet.packetId));
      } else if (packet.type === PacketType.PUBCOMP && sender.pending.get(packet.packetId) === null)
        sender.pending.delete(packet.packetId);
    }
    for (const packet of await step(back)) {
      if (packet.type === PacketType.PUBLISH) {
        if (!receiver.unreleased.has(packet.packetId)) receiver.texts.push(Buffer.from(packet.payload).toString());
        receiver.unreleased.add(packet.packetId);
        back.send(pubrec(packet.packetId));
      } else if (packet.type === PacketType.PUBREL) {
        receiver.unreleased.delete(packet.packetId);
        back.send(pubcomp(packet.packetId));
      }
    }
  }
  return { texts: receiver.texts, crashes };
}

/** Nothing is sent before the subscription is on the disk: what is published before it is nobody's. */
function receiverIsSubscribed({ world }: DurableWorld): boolean {
  const session = world.broker.vhosts.get('/')!.sessions.get('back');
  return (
    session !== undefined &&
    session.subscriptions.size > 0 &&
    world.broker.log.position === world.broker.log.durablePosition
  );
}

test('QoS 2 is exactly once, whatever breaks and whenever [MQTT-4.3.3-6] [MQTT-4.3.3-10] [MQTT-4.4.0-1]', async () => {
  let crashes = 0;
  for (let seed = 1; seed <= 6; seed++) {
    const result = await run(seed);
    crashes += result.crashes;
    expect([seed, [...result.texts].sort((a, b) => Number(a) - Number(b))]).toEqual([
      seed,
      Array.from({ length: MESSAGES }, (_, i) => String(i)),
    ]);
  }
  expect(crashes).toBeGreaterThan(10);
});
