// Which parts a broker is made of: the one place, with cli/, that knows protocols and engines by name. Everything else gets its parts handed in.
import { totalmem } from 'node:os';
import { resolve } from 'node:path';
import { MqttAdapter } from '../../protocols/mqtt/index.ts';
import { MQTT_CODEC } from '../../protocols/mqtt/publish-form.ts';
import { STOMP_CODEC } from '../../protocols/stomp/codec-run.ts';
import { StompAdapter } from '../../protocols/stomp/index.ts';
import { WorkerPasswordVerifier } from '../auth/password-verifier.ts';
import { UserDirectory } from '../auth/user-directory.ts';
import type { Config } from '../config.ts';
import type { Authenticator } from '../core/authenticator.ts';
import { ALLOW_ALL, type Authorizer, type Principal } from '../core/authorizer.ts';
import { Broker } from '../core/broker.ts';
import { MESSAGE_CODEC } from '../core/message-run.ts';
import type { Codec } from '../core/run.ts';
import { Arena } from '../io/arena.ts';
import { SystemClock } from '../io/clock.ts';
import { NodeDisk } from '../io/disk.ts';
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
import { EmbeddedStorage } from '../storage/embedded/storage.ts';
import { threadCrew } from '../storage/embedded/thread-crew.ts';
import { MemoryStorage } from '../storage/memory/memory-storage.ts';
import type { Storage } from '../storage/storage.ts';
import { VERSION } from '../version.ts';
import { DiskWatch } from './disk-watch.ts';
import { type RunningAdapter, Server } from './server.ts';
import { SysTopics } from './sys-topics.ts';

export interface Composition {
  readonly server: Server;
  readonly adapters: readonly RunningAdapter[];
  readonly users: UserDirectory;
  readonly clock: SystemClock;
  readonly turn: Turn;
  readonly arena: Arena;
}

/** What a program that embeds the broker brings itself. */
export interface BroughtParts {
  /** Instead of `auth.users`. Whoever it lets in may do everything, unless there is an authorizer, too. */
  readonly authenticator?: Authenticator;
  /** Instead of the rules in `auth.users`. */
  readonly authorizer?: Authorizer & {
    /** Somebody of this name who is not there: the owner of a session that was restored. */
    principal(name: string): Principal;
  };
  /** The log can not be written any more: no message is confirmed from here on. Without it the error is thrown where nobody can catch it, which ends the process. */
  onFailed?(error: Error): void;
}

export function compose(config: Config, logger: Logger, brought: BroughtParts = {}): Composition {
  const clock = new SystemClock();
  const turn = new Turn(clock);
  const arena = new Arena(ARENA_SLOTS);
  const random = new SystemRandom();
  const { anonymous, anonymousRules, users: entries } = config.auth;
  const users = new UserDirectory({ anonymous, anonymousRules, users: entries }, new WorkerPasswordVerifier(), clock);
  const authenticator = brought.authenticator ?? users;
  const authorizer = brought.authorizer ?? (brought.authenticator === undefined ? users : NO_RULES);
  const storage = engine(config, random, logger);
  const broker = new Broker({
    storage,
    durability: config.storage.engine === 'memory' ? Durability.Memory : DURABILITY[config.storage.durability],
    authorizer,
    limits: {
      queuesMax: config.queue.max,
      retained: { countMax: config.retained.max, bytesMax: config.retained.bytesMax },
      sessionQueue: { lengthMax: SESSION_QUEUE_LENGTH_MAX, bytesMax: config.mqtt.queueBytesMax },
      logPendingBytesMax: LOG_PENDING_BYTES_MAX,
    },
    principal: (name) => authorizer.principal(name),
  });
  for (const vhost of config.vhosts) broker.addVhost(vhost);
  const listenerVhost = (listener: string): string => config.listeners[listener]?.vhost ?? '/';
  const shared = { broker, arena, turn, clock, random, logger, authenticator, listenerVhost };
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
  const stomp = new StompAdapter({
    ...shared,
    serverVersion: VERSION,
    activemq: (listener) => config.listeners[listener]?.activemq ?? false,
    options: {
      ...config.stomp,
      levelsMax: config.mqtt.levelsMax,
      subscriptionsMax: SUBSCRIPTIONS_MAX,
      preAuthBytesMax: config.connection.preAuthBytesMax,
    },
  });
  const adapters: RunningAdapter[] = [mqtt, stomp];
  const codecs = new Map<number, Codec>([MQTT_CODEC, STOMP_CODEC, MESSAGE_CODEC].map((codec) => [codec.id, codec]));
  const sysTopics = new SysTopics({
    broker,
    clock,
    version: `sluice version ${VERSION}`,
    intervalMs: config.mqtt.sysIntervalS * 1000,
    figures: () => ({
      connections: adapters.reduce((sum, { connectionCount }) => sum + connectionCount, 0),
      bytesSent: mqtt.bytesSent,
    }),
  });
  const server = new Server({
    broker,
    storage,
    adapters,
    periodic: [sysTopics, new DiskWatch(storage, resolve(config.data.dir), logger)],
    codecs,
    arena,
    turn,
    clock,
    logger,
    memoryBytesMax: config.memory.highWatermark * machineMemory(),
    memoryBytes: () => process.memoryUsage.rss(),
    ...(brought.onFailed === undefined ? {} : { onFailed: brought.onFailed }),
  });
  return { server, adapters, users, clock, turn, arena };
}

/** Everybody may do everything. */
const NO_RULES: Required<BroughtParts>['authorizer'] = {
  ...ALLOW_ALL,
  principal: (name) => ({ name, policy: null }),
};

const DURABILITY = { memory: Durability.Memory, written: Durability.Written, fsync: Durability.Fsync } as const;

function engine(config: Config, random: SystemRandom, logger: Logger): Storage {
  if (config.storage.engine === 'memory') return new MemoryStorage();
  return new EmbeddedStorage({
    directory: resolve(config.data.dir),
    disk: new NodeDisk(),
    random,
    crew: threadCrew(),
    freeBytesMin: config.disk.freeLimitBytes,
    freeShareMin: config.disk.freeLimitShare,
    onDamage: (damage) =>
      logger.error({ ...damage }, 'damage in the log: what was there is lost, everything around it is served'),
  });
}

/** Bytes of memory this process may count on: the container's limit, or the machine's. */
function machineMemory(): number {
  const limit = process.constrainedMemory() ?? 0;
  // Without a limit the answer is 0 or larger than any machine.
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}
