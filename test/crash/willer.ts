// A client that does nothing but leave a will: a new one with every connection. Once the broker has confirmed anything on that connection, the will is registered for certain, and when the connection ends,
// by whatever (the broker's own end included), it must be published, once.
import { type Connect, type Packet, subscribe, subscription, will } from '../../protocols/mqtt/packet.ts';
import { PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import { makePayload } from '../sim/payload.ts';
import { Actor } from './actor.ts';
import type { Journal, Source } from './journal.ts';

const SIZE = 60;

export class Willer extends Actor {
  readonly source: Source;
  /** Of the connection there is or was last. */
  private number = 0;
  private registered = true;

  constructor(journal: Journal, id: number, version: ProtocolVersion) {
    super(journal, { clientId: `willer-${id}`, version, durable: true });
    this.source = journal.source(id, 2, [`load/${id}/0`]);
  }

  protected override connectFields(): Partial<Connect> {
    this.number = this.journal.sent(this.source, 0);
    this.registered = false;
    const payload = makePayload(this.source.id, this.number, SIZE);
    return { ...super.connectFields(), will: will(this.source.topics[0]!, { qos: 2, payload }) };
  }

  protected onConnected(): void {
    // Its confirm waits for everything that the broker has written until then, the will among it.
    this.send(subscribe(1, [subscription(`anchor/${this.source.id}`, 1)]));
  }

  protected onGone(): void {
    if (!this.registered) this.journal.givenUp(this.source, this.number);
    this.registered = true;
  }

  protected onPacket(packet: Packet): void {
    if (packet.type !== PacketType.SUBACK) {
      this.unexpected(packet);
      return;
    }
    this.sessionSafe = true;
    this.registered = true;
    this.journal.acknowledged(this.source, this.number);
  }
}

export const WILLER_VERSIONS = [ProtocolVersion.V5, ProtocolVersion.V311] as const;
