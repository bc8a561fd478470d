// What is said about a queue when it is declared: flags and the x-… arguments, checked and turned into numbers once.
import { BrokerError } from './errors.ts';

export const Overflow = { DropHead: 0, RejectPublish: 1 } as const;
export type Overflow = (typeof Overflow)[keyof typeof Overflow];

export interface QueueSpec {
  readonly name: string;
  /** Survives a restart, and so do the persistent messages in it. */
  readonly durable: boolean;
  /** Goes when its last consumer goes. */
  readonly autoDelete: boolean;
  /** Only for the connection (or session) that declared it. */
  readonly exclusive: boolean;
  readonly messageTtlMs: number | null;
  /** Deleted after so long without a consumer. */
  readonly expiresMs: number | null;
  readonly lengthMax: number | null;
  readonly bytesMax: number | null;
  readonly overflow: Overflow;
  /** 0: a plain queue. */
  readonly priorityMax: number;
  /** What was asked for, as it was asked: for comparison with a second declaration. */
  readonly args: ReadonlyMap<string, string>;
}

/** What most queues are declared with: one for all of them. */
export const NO_ARGUMENTS: ReadonlyMap<string, string> = new Map();

/** The highest x-max-priority: each level has a ring of its own. */
export const PRIORITY_LEVELS_MAX = 255;

/** Begins the names of queues that end with a connection, and that its peers know from a reply address only: a late answer makes no queue under such a name. */
export const TEMPORARY_QUEUE_PREFIX = 'stomp-temp-';

/** Makes a QueueSpec out of arguments. Throws BrokerError('precondition-failed' or 'invalid-argument'), naming argument, value and what is allowed. */
export function queueSpec(
  name: string,
  flags: { durable: boolean; autoDelete: boolean; exclusive: boolean },
  args: ReadonlyMap<string, string>,
): QueueSpec {
  const overflow = args.get('x-overflow');
  if (overflow !== undefined && overflow !== 'drop-head' && overflow !== 'reject-publish') {
    throw new BrokerError('invalid-argument', `x-overflow: '${overflow}' is not allowed; drop-head or reject-publish`);
  }
  const type = args.get('x-queue-type');
  if (type !== undefined && type !== 'classic') {
    throw new BrokerError(
      'invalid-argument',
      `x-queue-type: '${type}' is not allowed; classic is the one type there is`,
    );
  }
  return Object.freeze({
    name,
    durable: flags.durable,
    autoDelete: flags.autoDelete,
    exclusive: flags.exclusive,
    messageTtlMs: whole(args, 'x-message-ttl', 0, MS_MAX),
    expiresMs: whole(args, 'x-expires', 1, MS_MAX),
    lengthMax: whole(args, 'x-max-length', 0, Number.MAX_SAFE_INTEGER),
    bytesMax: whole(args, 'x-max-length-bytes', 0, Number.MAX_SAFE_INTEGER),
    overflow: overflow === 'reject-publish' ? Overflow.RejectPublish : Overflow.DropHead,
    priorityMax: whole(args, 'x-max-priority', 0, PRIORITY_LEVELS_MAX) ?? 0,
    args: args.size === 0 ? NO_ARGUMENTS : new Map(args),
  });
}

/** A hundred years. */
const MS_MAX = 100 * 366 * 86_400_000;

function whole(args: ReadonlyMap<string, string>, name: string, min: number, max: number): number | null {
  const text = args.get(name);
  if (text === undefined) return null;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw new BrokerError(
      'invalid-argument',
      `${name}: '${text}' is not allowed; a whole number from ${min} to ${max}`,
    );
  }
  return value;
}

/** Why a second declaration of the same queue does not fit the first; null when it does. */
export function specDifference(existing: QueueSpec, wanted: QueueSpec): string | null {
  for (const flag of ['durable', 'autoDelete', 'exclusive'] as const) {
    if (existing[flag] !== wanted[flag]) return `${flag} is ${existing[flag]}, asked for ${wanted[flag]}`;
  }
  for (const key of new Set([...existing.args.keys(), ...wanted.args.keys()])) {
    const have = existing.args.get(key);
    const want = wanted.args.get(key);
    if (have !== want) return `${key} is ${have ?? 'not set'}, asked for ${want ?? 'not set'}`;
  }
  return null;
}
