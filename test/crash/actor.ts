// What every MQTT client of the campaign has in common: it connects, notices that the connection has gone, and connects again, with a session that must still be there. Clients keep
// to the rules real ones keep to; whatever the broker does against them is a violation.
import { type Connect, connect, type Packet, properties } from '../../protocols/mqtt/packet.ts';
import { PACKET_NAMES, PacketType, ProtocolVersion } from '../../protocols/mqtt/packet-type.ts';
import type { Ports } from './broker.ts';
import type { Journal, Source } from './journal.ts';
import { type LinkListener, MqttLink } from './mqtt-link.ts';

export interface ActorOptions {
  readonly clientId: string;
  readonly version: ProtocolVersion;
  /** The session outlives the connection. */
  readonly durable: boolean;
  /** Messages the broker may have under way to it; MQTT 5 only. */
  readonly receiveMaximum?: number;
}

/** More than any recovery takes. */
const CONNECT_MS_MAX = 15_000;

/** A client of any protocol. */
export interface Client {
  readonly clientId: string;
  readonly isOpen: boolean;
  readonly connected: boolean;
  connect(ports: Ports): Promise<void>;
  hangUp(): void;
}

/** One that publishes. */
export interface Sender extends Client {
  readonly source: Source;
  /** Its messages are large ones. */
  readonly isLarge: boolean;
  readonly unacknowledged: number;
  /** Begins so many more messages, as its window allows. */
  allow(count: number): void;
  /** Begins nothing new; what is under way goes on. */
  stop(): void;
  /** Resolves when everything is acknowledged, or after `msMax`; with whether it is. */
  settled(msMax: number): Promise<boolean>;
}

/** One that takes messages. */
export interface Taker extends Client {
  /** Exchanges that are not finished. */
  readonly unfinished: number;
  /** Connects; resolves when its subscriptions are confirmed, or the connection has gone. */
  ready(ports: Ports): Promise<void>;
}

export abstract class Actor implements Client {
  readonly clientId: string;
  readonly durable: boolean;
  protected readonly journal: Journal;
  protected readonly version: ProtocolVersion;
  private readonly receiveMaximum: number | null;
  protected link: MqttLink | null = null;
  /** CONNACK has come. */
  connected = false;
  /** The broker has confirmed something that belongs to the session, so the session must be there. */
  protected sessionSafe = false;
  /** CONNACKs and refusals by reason code, for campaigns that provoke them. */
  lastReason = 0;
  private waiting: (() => void) | null = null;

  constructor(journal: Journal, { clientId, version, durable, receiveMaximum }: ActorOptions) {
    this.journal = journal;
    this.clientId = clientId;
    this.version = version;
    this.durable = durable;
    this.receiveMaximum = receiveMaximum ?? null;
  }

  get isOpen(): boolean {
    return this.link !== null;
  }

  get unsentBytes(): number {
    return this.link?.unsentBytes ?? 0;
  }

  /** Resolves when CONNACK has come and been acted upon, or the connection has gone. */
  connect(ports: Ports): Promise<void> {
    // A second connection of the same client takes over; what the first one was still to get comes again.
    this.hangUp();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.journal.violation('liveness', `${this.clientId} got no CONNACK within ${CONNECT_MS_MAX} ms`);
        this.waiting?.();
      }, CONNECT_MS_MAX);
      this.waiting = () => {
        clearTimeout(timer);
        this.waiting = null;
        resolve();
      };
      const link: MqttLink = new MqttLink(
        ports.mqtt,
        this.version,
        this.listen(() => this.link === link),
      );
      this.link = link;
      link.send(connect(this.connectFields()));
    });
  }

  /** The cable is pulled. */
  hangUp(): void {
    if (this.link === null) return;
    this.link.cut();
    this.gone();
  }

  protected connectFields(): Partial<Connect> {
    const v5 = this.version === ProtocolVersion.V5;
    return {
      clientId: this.clientId,
      protocolVersion: this.version,
      clean: !this.durable,
      ...(v5 && {
        properties: properties({
          sessionExpiryIntervalS: this.durable ? 0xffff_ffff : 0,
          receiveMaximum: this.receiveMaximum,
        }),
      }),
    };
  }

  /** CONNACK has come. `present`: the broker has a session for it. */
  protected abstract onConnected(present: boolean): void;
  protected abstract onPacket(packet: Packet): void;
  /** The connection has gone; there may not have been one. */
  protected abstract onGone(): void;

  protected send(packet: Packet): void {
    this.link?.send(packet);
  }

  protected unexpected(packet: Packet): void {
    if (packet.type === PacketType.DISCONNECT) {
      this.lastReason = packet.reasonCode;
      return;
    }
    this.journal.violation('protocol', `${this.clientId} got ${PACKET_NAMES[packet.type]}: ${JSON.stringify(packet)}`);
  }

  private listen(isCurrent: () => boolean): LinkListener {
    return {
      onPacket: (packet) => {
        if (!isCurrent()) return;
        if (packet.type !== PacketType.CONNACK) {
          if (packet.type !== PacketType.PINGRESP) this.onPacket(packet);
          return;
        }
        this.lastReason = packet.reasonCode;
        if (packet.reasonCode !== 0) return;
        if (this.durable && this.sessionSafe && !packet.sessionPresent) {
          this.journal.violation('session lost', `the broker does not know the session of ${this.clientId} any more`);
          this.sessionSafe = false;
        }
        this.connected = true;
        this.onConnected(packet.sessionPresent);
        this.waiting?.();
      },
      onClose: () => {
        if (isCurrent()) this.gone();
      },
      onGarbage: (error) => {
        this.journal.violation('protocol', `${this.clientId} got what no broker sends: ${error.message}`);
        if (isCurrent()) this.gone();
      },
    };
  }

  private gone(): void {
    this.link = null;
    this.connected = false;
    this.onGone();
    this.waiting?.();
  }
}
