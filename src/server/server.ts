// A broker as it runs: its parts put together, its clock ticking, its listeners open. Used by the executable and by programs that embed it; both choose the parts in
// start.ts. It opens in the order storage, recovery, listeners, and closes in the reverse one.
import type { Broker } from '../core/broker.ts';
import type { Codec } from '../core/run.ts';
import type { Arena } from '../io/arena.ts';
import type { Clock, Timer } from '../io/clock.ts';
import type { Logger } from '../io/logger.ts';
import type { Turn } from '../io/turn.ts';
import type { Storage } from '../storage/storage.ts';
import type { ProtocolAdapter } from './protocol.ts';

/** An adapter as the server runs it. */
export interface RunningAdapter extends ProtocolAdapter {
  /** Called TICKS_PER_SECOND times a second. */
  tick(): void;
  /** After Broker.recover: what the adapter keeps in the state store goes back to its sessions. */
  recover(): void;
  /** Open connections. */
  readonly connectionCount: number;
}

export interface ServerParts {
  readonly broker: Broker;
  readonly storage: Storage;
  readonly adapters: readonly RunningAdapter[];
  /** What else has to be done a few times a second. */
  readonly periodic?: readonly { tick(): void }[];
  readonly codecs: ReadonlyMap<number, Codec>;
  readonly arena: Arena;
  readonly turn: Turn;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Bytes of memory of the process from which on publishers wait; Infinity for no limit. */
  readonly memoryBytesMax: number;
  /** Bytes of memory the process has now. */
  memoryBytes(): number;
  /** Told once that the log has failed, after the clients were. Without it the error is thrown from the clock, and the process ends. */
  onFailed?(error: Error): void;
}

const TICK_MS = 100;
/** How much below its watermark memory must be before publishers go on: they do not stop and go with every collection. */
const MEMORY_RELIEF = 0.95;

export class Server {
  readonly broker: Broker;
  readonly parts: ServerParts;
  private timer: Timer | null = null;
  /** Somebody has been told that the log has failed. */
  private failureTold = false;

  constructor(parts: ServerParts) {
    this.parts = parts;
    this.broker = parts.broker;
    parts.turn.addHook(() => parts.broker.endUnit());
  }

  /** Recovers what the storage kept and starts the clock. Listeners are opened afterwards. */
  async open(): Promise<void> {
    const { broker, storage, codecs, clock, logger, adapters } = this.parts;
    broker.setTime(clock.realtime());
    const report = await storage.open(codecs, broker);
    broker.recover(codecs);
    for (const adapter of adapters) adapter.recover();
    if (report.messages + report.stateEntries > 0) logger.info({ ...report }, 'recovered');
    // The recovery may have taken long.
    broker.setTime(clock.realtime());
    this.startTicking();
  }

  private startTicking(): void {
    const { clock } = this.parts;
    this.timer = clock.timer(TICK_MS, {
      onTimer: () => {
        if (this.timer === null) return;
        this.tick();
        if (this.timer !== null) this.startTicking();
      },
    });
  }

  private tick(): void {
    const { broker, clock, adapters } = this.parts;
    // Nothing can be confirmed any more, whether or not anybody writes: the process ends, or the program it is part of decides, and the next start recovers.
    if (broker.failed !== null) {
      this.timer = null;
      this.failureTold = true;
      if (this.parts.onFailed === undefined) throw broker.failed;
      for (const adapter of adapters) adapter.close();
      this.parts.onFailed(broker.failed);
      return;
    }
    broker.setTime(clock.realtime());
    broker.tick();
    for (const adapter of adapters) adapter.tick();
    for (const task of this.parts.periodic ?? []) task.tick();
    this.watchMemory();
    // What expired or was published by a timer is a unit like any other.
    this.parts.turn.request();
  }

  private watchMemory(): void {
    const { broker, memoryBytesMax, logger } = this.parts;
    const bytes = this.parts.memoryBytes();
    if (!broker.memoryHigh && bytes > memoryBytesMax) {
      logger.warn(
        { bytes, memoryBytesMax, setting: 'memory.highWatermark' },
        'memory is short: publishers wait until consumers have made room',
      );
      broker.setMemoryHigh(true);
    } else if (broker.memoryHigh && bytes < memoryBytesMax * MEMORY_RELIEF) {
      logger.info({ bytes, memoryBytesMax }, 'there is memory again: publishers go on');
      broker.setMemoryHigh(false);
    }
  }

  /**
   * Tells every client, lets what is under way finish, makes everything durable, closes. The listeners are closed already. Rejects with what the log failed of, if nobody has
   * been told yet; everything is closed then, too.
   */
  async close(): Promise<void> {
    const { adapters, broker, turn, storage } = this.parts;
    for (const adapter of adapters) adapter.close();
    turn.finish();
    this.timer?.cancel();
    this.timer = null;
    await storage.close();
    if (broker.failed === null || this.failureTold) return;
    this.failureTold = true;
    throw broker.failed;
  }
}
