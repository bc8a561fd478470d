// Which parts a broker is made of: the one place, with cli/, that knows protocols and engines by name. Everything else gets its parts handed in.
import { MqttAdapter } from '../../protocols/mqtt/index.ts';
import { MQTT_CODEC } from '../../protocols/mqtt/publish-form.ts';
import { WorkerPasswordVerifier } from '../auth/password-verifier.ts';
import { UserDirectory } from '../auth/user-directory.ts';
import type { Config } from '../config.ts';
import { Broker } from '../core/broker.ts';
import type { Codec } from '../core/run.ts';
import { Arena } from '../io/arena.ts';
import { SystemClock } from '../io/clock.ts';
import type { Logger } from '../io/logger.ts';
import { SystemRandom } from '../io/random.ts';
import { Turn } from '../io/turn.ts';
import {
  ARENA_SLOTS,
  INFLIGHT_MAX,
  LOG_PENDING_BYTES_MAX,
  SESSION_QUEUE_LENGTH_MAX,
  SUBSCRIPTIONS_MAX,
} from '../limits.ts';
import { Durability } from '../storage/commit-log.ts';
import { MemoryStorage } from '../storage/memory/memory-storage.ts';
import { type RunningAdapter, Server } from './server.ts';

export interface Composition {
  readonly server: Server;
  readonly adapters: readonly RunningAdapter[];
  readonly users: UserDirectory;
  readonly clock: SystemClock;
  readonly turn: Turn;
  readonly arena: Arena;
}

export function compose(config: Config, logger: Logger): Composition {
  const clock = new SystemClock();
  const turn = new Turn(clock);
  const arena = new Arena(ARENA_SLOTS);
  const random = new SystemRandom();
  const { anonymous, anonymousRules, users: entries } = config.auth;
  const users = new UserDirectory({ anonymous, anonymousRules, users: entries }, new WorkerPasswordVerifier(), clock);
  const storage = new MemoryStorage();
  const broker = new Broker({
    storage,
    durability: Durability.Memory,
    authorizer: users,
    limits: {
      retained: { countMax: config.retained.max, bytesMax: config.retained.bytesMax },
      sessionQueue: { lengthMax: SESSION_QUEUE_LENGTH_MAX, bytesMax: config.mqtt.queueBytesMax },
      logPendingBytesMax: LOG_PENDING_BYTES_MAX,
    },
    principal: (name) => users.principal(name),
  });
  for (const vhost of config.vhosts) broker.addVhost(vhost);
  const listenerVhost = (listener: string): string => config.listeners[listener]?.vhost ?? '/';
  const shared = { broker, arena, turn, clock, random, logger, authenticator: users, listenerVhost };
  const mqtt = new MqttAdapter({
    ...shared,
    options: {
      ...config.mqtt,
      maximumQos: config.mqtt.maximumQos as 0 | 1 | 2,
      inflightMax: INFLIGHT_MAX,
      subscriptionsMax: SUBSCRIPTIONS_MAX,
      preAuthBytesMax: config.connection.preAuthBytesMax,
    },
  });
  const adapters: RunningAdapter[] = [mqtt];
  const codecs = new Map<number, Codec>([[MQTT_CODEC.id, MQTT_CODEC]]);
  const server = new Server({ broker, storage, adapters, codecs, arena, turn, clock, logger });
  return { server, adapters, users, clock, turn, arena };
}
