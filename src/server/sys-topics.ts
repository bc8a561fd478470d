// The figures under `$SYS/broker/`, by the names mosquitto's users know: published every so often where they have changed, and retained, in the virtual host '/'. They are not stored: after a
// restart they begin anew. A broker counts PUBLISH packets, not packets of every kind, so `messages/…` and `publish/messages/…` are the same here. The broker's own messages are not
// counted where nobody has subscribed to them.
import { TOPIC_EXCHANGE, topicAddress } from '../core/address.ts';
import type { Broker } from '../core/broker.ts';
import { Message } from '../core/message.ts';
import { runOfMessage } from '../core/message-run.ts';
import { NO_HEADERS, NO_PROPERTIES } from '../core/properties.ts';
import { Route } from '../core/route-table.ts';
import { RoutingKey } from '../core/routing-key.ts';
import type { Clock } from '../io/clock.ts';

const PREFIX = '$SYS/broker/';
const THE_BROKER = { name: 'broker', policy: null };

/** What the broker itself does not know. */
export interface ConnectionFigures {
  /** Open connections of all protocols. */
  readonly connections: number;
  readonly bytesSent: number;
}

export interface SysTopicsParts {
  readonly broker: Broker;
  readonly clock: Clock;
  readonly version: string;
  readonly intervalMs: number;
  figures(): ConnectionFigures;
}

/** A moving average per minute over 1, 5 and 15 minutes, as the load of a Unix system. */
class Load {
  private last = 0;
  private readonly averages = [0, 0, 0];

  /** total is the counter as it is now. */
  add(total: number, elapsedMs: number): void {
    const perMinute = ((total - this.last) * 60_000) / elapsedMs;
    this.last = total;
    for (const [i, minutes] of LOAD_MINUTES.entries()) {
      const weight = Math.exp(-elapsedMs / (minutes * 60_000));
      this.averages[i] = perMinute + weight * (this.averages[i]! - perMinute);
    }
  }

  *[Symbol.iterator](): Iterator<readonly [name: string, perMinute: number]> {
    for (const [i, minutes] of LOAD_MINUTES.entries()) yield [`${minutes}min`, this.averages[i]!];
  }
}

const LOAD_MINUTES: readonly number[] = [1, 5, 15];

export class SysTopics {
  private readonly parts: SysTopicsParts;
  private readonly startedMs: number;
  private readonly routes = new Map<string, Route>();
  private readonly shown = new Map<string, string>();
  private readonly loads = new Map<string, Load>();
  private lastMs: number;
  private clientsMax = 0;

  constructor(parts: SysTopicsParts) {
    this.parts = parts;
    this.startedMs = parts.clock.now();
    this.lastMs = this.startedMs;
  }

  /** Called a few times a second. */
  tick(): void {
    const { clock, intervalMs } = this.parts;
    const nowMs = clock.now();
    const first = this.shown.size === 0;
    if (intervalMs === 0 || (!first && nowMs - this.lastMs < intervalMs)) return;
    const elapsedMs = nowMs - this.lastMs;
    this.lastMs = nowMs;
    // All of them are taken before the first is published.
    for (const [name, value] of [...this.values(nowMs, elapsedMs)]) this.show(name, String(value));
  }

  private *values(nowMs: number, elapsedMs: number): Iterable<readonly [name: string, value: string | number]> {
    const { broker, version } = this.parts;
    const { counters } = broker;
    const { connections, bytesSent } = this.parts.figures();
    let sessions = 0;
    let away = 0;
    let subscriptions = 0;
    let shared = 0;
    let stored = 0;
    let retained = 0;
    let retainedBytes = 0;
    for (const vhost of broker.vhosts.values()) {
      subscriptions += vhost.sessions.subscriptionCount;
      shared += vhost.sessions.sharedCount;
      for (const session of vhost.sessions.values()) {
        sessions++;
        if (session.link === null) away++;
        if (session.queue !== null) stored += session.queue.readyCount + session.queue.unsettledCount;
      }
      for (const queue of vhost.queues.values()) stored += queue.readyCount + queue.unsettledCount;
      retained += vhost.retained.count;
      retainedBytes += vhost.retained.bytes;
    }
    this.clientsMax = Math.max(this.clientsMax, sessions);
    const dropped =
      counters.droppedSlowConsumer + counters.droppedOverflow + counters.droppedTooLarge + counters.droppedOffline;
    yield ['version', version];
    yield ['uptime', `${Math.floor((nowMs - this.startedMs) / 1000)} seconds`];
    yield ['clients/connected', sessions - away];
    yield ['clients/disconnected', away];
    yield ['clients/total', sessions];
    yield ['clients/maximum', this.clientsMax];
    yield ['connections/socket/count', connections];
    yield ['messages/received', counters.messagesReceived];
    yield ['messages/sent', counters.messagesDelivered];
    yield ['messages/stored', stored];
    yield ['publish/messages/received', counters.messagesReceived];
    yield ['publish/messages/sent', counters.messagesDelivered];
    yield ['publish/messages/dropped', dropped];
    yield ['publish/bytes/received', counters.bytesReceived];
    yield ['bytes/received', counters.bytesReceived];
    yield ['bytes/sent', bytesSent];
    yield ['subscriptions/count', subscriptions];
    yield ['shared_subscriptions/count', shared];
    yield ['retained messages/count', retained];
    yield ['store/messages/count', stored + retained];
    yield ['store/messages/bytes', retainedBytes];
    yield ['heap/current', process.memoryUsage().heapUsed];
    if (elapsedMs <= 0) return;
    yield* this.load('messages/received', counters.messagesReceived, elapsedMs);
    yield* this.load('messages/sent', counters.messagesDelivered, elapsedMs);
    yield* this.load('publish/dropped', dropped, elapsedMs);
    yield* this.load('bytes/received', counters.bytesReceived, elapsedMs);
    yield* this.load('bytes/sent', bytesSent, elapsedMs);
    yield* this.load('sockets', counters.connectionsOpened, elapsedMs);
  }

  private *load(name: string, total: number, elapsedMs: number): Iterable<readonly [name: string, value: string]> {
    let load = this.loads.get(name);
    if (load === undefined) {
      load = new Load();
      this.loads.set(name, load);
    }
    load.add(total, elapsedMs);
    for (const [minutes, perMinute] of load) yield [`load/${name}/${minutes}`, perMinute.toFixed(2)];
  }

  private show(name: string, value: string): void {
    if (this.shown.get(name) === value) return;
    this.shown.set(name, value);
    const { broker } = this.parts;
    const vhost = broker.addVhost('/');
    const path = PREFIX + name;
    const message = new Message(
      topicAddress(path),
      Buffer.from(value),
      NO_PROPERTIES,
      NO_HEADERS,
      0,
      true,
      0,
      broker.nowMs,
      0,
      null,
    );
    const run = runOfMessage(message);
    let route = this.routes.get(path);
    if (route === undefined) {
      route = new Route(TOPIC_EXCHANGE, new RoutingKey(path));
      this.routes.set(path, route);
    }
    if (!vhost.changes.holds(route)) vhost.resolve(route, THE_BROKER, '');
    if (route.allowed && route.set?.empty !== true) vhost.publish(run, route);
    // Not through vhost.retain: figures of the past are of no use on the disk.
    vhost.retained.set(path, run);
  }
}
