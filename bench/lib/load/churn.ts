// A client that subscribes to a topic of its own and unsubscribes from it again, so and so often a second, as the fleet behind a broker does all the time: each is a change of the bindings.
// Nothing is published to its topics. Relies on a Link like the endpoints that carry the load, and takes no part in it.

import type { Endpoint, Link } from './link.ts';
import { connectPacket, packet, sendWhole, text } from './mqtt.ts';
import type { Shared } from './publisher.ts';

const TICK_MS = 5;
const CONNACK_BYTE = 0x20;
const SUBSCRIBE_BYTE = 0x82;
const UNSUBSCRIBE_BYTE = 0xa2;
const ID_MAX = 65_535;

export class MqttChurner implements Endpoint {
  link!: Link;
  private readonly shared: Shared;
  private done = 0;
  private beganMs = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(shared: Shared) {
    this.shared = shared;
  }

  onOpen(): void {
    sendWhole(this.link, connectPacket(this.shared.plan, `b${this.shared.tagText}-c`, false));
  }

  onBytes(bytes: Buffer, _view: DataView, start: number, end: number): number {
    if (bytes[start] === CONNACK_BYTE && this.beganMs === 0) {
      this.beganMs = performance.now();
      this.timer = setInterval(() => this.change(), TICK_MS);
      this.shared.supervisor.onReady();
    }
    // What answers SUBSCRIBE and UNSUBSCRIBE is not looked at.
    return end;
  }

  onWritable(): void {
    // It goes on at its next tick.
  }

  onClosed(reason: string): void {
    this.stop();
    this.shared.supervisor.onFailure(`the client that subscribes and unsubscribes: ${reason}`);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private change(): void {
    const due = Math.floor(((performance.now() - this.beganMs) / 1000) * this.shared.plan.changes);
    for (; this.done < due && !this.link.blocked; this.done++) {
      const id = (this.done % ID_MAX) + 1;
      const filter = text(`b${this.shared.tagText}/c${this.done >> 1}`);
      const comes = (this.done & 1) === 0;
      const head = [Buffer.of(id >>> 8, id & 255), ...(this.shared.plan.mqttVersion === 5 ? [Buffer.of(0)] : [])];
      sendWhole(
        this.link,
        comes
          ? packet(SUBSCRIBE_BYTE, Buffer.concat([...head, filter, Buffer.of(0)]))
          : packet(UNSUBSCRIBE_BYTE, Buffer.concat([...head, filter])),
      );
    }
  }
}
