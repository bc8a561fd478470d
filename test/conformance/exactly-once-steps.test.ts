// QoS 2, cut at every step of the handshake in both directions, once: before and after each packet that the publisher or the subscriber sends, the connection is lost, or the broker's power. The
// random form of this is exactly-once.test.ts.
import { expect, test } from 'vitest';
import {
  connect,
  type Packet,
  properties,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  subscribe,
  subscription,
} from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { DurableWorld } from '../support/durable-world.ts';
import { MqttClient } from '../support/mqtt-client.ts';

const MESSAGES = 2;
const TURNS_MAX = 200;

type Side = 'publisher' | 'subscriber';
type Loss = 'connection' | 'power';

interface Cut {
  readonly side: Side;
  /** Which of the packets that this side sends. */
  readonly packet: number;
  /** Before it is sent, after the broker has it, or when the broker's answer to it has been written, too, but the client does not see it any more. */
  readonly moment: 'before' | 'after' | 'answered';
  readonly loss: Loss;
}

/** Both clients keep their half of each exchange over their connections. */
class Exchange {
  readonly texts: string[] = [];
  /** Whether the cut came: otherwise there are no so many packets. */
  cutCame = false;
  private readonly durable: DurableWorld;
  private readonly version: ProtocolVersion;
  private readonly cut: Cut;
  private readonly sent = { publisher: 0, subscriber: 0 };
  private readonly clients: Record<Side, MqttClient | null> = { publisher: null, subscriber: null };
  /** Identifier to text; null once PUBREC has come. */
  private readonly pending = new Map<number, string | null>(
    Array.from({ length: MESSAGES }, (_, i) => [i + 1, String(i)]),
  );
  private readonly unreleased = new Set<number>();

  constructor(durable: DurableWorld, version: ProtocolVersion, cut: Cut) {
    this.durable = durable;
    this.version = version;
    this.cut = cut;
  }

  async run(): Promise<void> {
    await this.open('subscriber');
    this.clients.subscriber!.send(subscribe(1, [subscription('t', 2)]));
    await this.durable.settle();
    for (let turn = 0; turn < TURNS_MAX && !this.finished; turn++) {
      for (const side of ['publisher', 'subscriber'] as const) {
        if (this.clients[side] === null || this.clients[side].pipe.isClosed) await this.open(side);
        await this.durable.settle();
        for (const packet of this.clients[side]?.receive() ?? []) {
          if (this.clients[side] === null) break;
          await (side === 'publisher' ? this.onPublisher(packet) : this.onSubscriber(packet));
        }
      }
    }
    await this.durable.settle();
  }

  private get finished(): boolean {
    return this.pending.size === 0 && this.unreleased.size === 0 && this.texts.length >= MESSAGES;
  }

  private async open(side: Side): Promise<void> {
    const client = new MqttClient(this.durable.world, this.version);
    this.clients[side] = client;
    const keep = properties(this.version === ProtocolVersion.V5 ? { sessionExpiryIntervalS: 100_000 } : {});
    client.send(connect({ clientId: side, protocolVersion: this.version, clean: false, properties: keep }));
    if (side === 'subscriber') return;
    // What was begun goes on where it stood [MQTT-4.4.0-1].
    for (const [packetId, text] of [...this.pending]) {
      const dup = this.sent.publisher > 0;
      const payload = Buffer.from(text ?? '');
      const packet = text === null ? pubrel(packetId) : publish('t', { qos: 2, packetId, payload, dup });
      if (!(await this.send(side, packet))) return;
    }
  }

  private async onPublisher(packet: Packet): Promise<void> {
    if (packet.type === PacketType.PUBREC && this.pending.has(packet.packetId)) {
      this.pending.set(packet.packetId, null);
      await this.send('publisher', pubrel(packet.packetId));
    } else if (packet.type === PacketType.PUBCOMP) this.pending.delete(packet.packetId);
  }

  private async onSubscriber(packet: Packet): Promise<void> {
    if (packet.type === PacketType.PUBLISH) {
      if (!this.unreleased.has(packet.packetId)) this.texts.push(Buffer.from(packet.payload).toString());
      this.unreleased.add(packet.packetId);
      await this.send('subscriber', pubrec(packet.packetId));
    } else if (packet.type === PacketType.PUBREL) {
      this.unreleased.delete(packet.packetId);
      await this.send('subscriber', pubcomp(packet.packetId));
    }
  }

  /** Returns whether the connection is still there. */
  private async send(side: Side, packet: Packet): Promise<boolean> {
    const { cut } = this;
    const isTheOne = side === cut.side && ++this.sent[side] === cut.packet && !this.cutCame;
    if (isTheOne && cut.moment === 'before') return this.lose();
    this.clients[side]!.send(packet);
    if (!isTheOne) return true;
    if (cut.moment === 'answered') await this.durable.settle();
    return this.lose();
  }

  private async lose(): Promise<false> {
    this.cutCame = true;
    if (this.cut.loss === 'power') {
      await this.durable.crash();
      this.clients.publisher = null;
      this.clients.subscriber = null;
    } else {
      this.clients[this.cut.side]!.pipe.hangUp();
      this.clients[this.cut.side] = null;
    }
    return false;
  }
}

test.each([
  ['5.0', ProtocolVersion.V5],
  ['3.1.1', ProtocolVersion.V311],
] as const)(
  'QoS 2 of MQTT %s is exactly once, whichever step of the handshake the connection or the power is lost at [MQTT-4.3.3-6] [MQTT-4.3.3-10] [MQTT-4.4.0-1]',
  async (_name, version) => {
    const cuts: string[] = [];
    for (const side of ['publisher', 'subscriber'] as const) {
      for (const moment of ['before', 'after', 'answered'] as const) {
        for (const loss of ['connection', 'power'] as const) {
          for (let packet = 1; ; packet++) {
            const exchange = new Exchange(await DurableWorld.start(), version, { side, packet, moment, loss });
            await exchange.run();
            if (!exchange.cutCame) break;
            const name = `${side}, ${moment} packet ${packet}, ${loss}`;
            cuts.push(name);
            expect([name, [...exchange.texts].sort()]).toEqual([name, ['0', '1']]);
          }
        }
      }
    }
    // Two packets of each side for each message: PUBLISH and PUBREL, PUBREC and PUBCOMP.
    expect(cuts).toHaveLength(2 * 3 * 2 * 2 * MESSAGES);
  },
);
