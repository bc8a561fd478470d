// Which queue a subscription reads: a named one, a share group's, a durable subscription's, a temporary one, or one of its own that goes with it. Declares and binds what is missing;
// whoever asks has checked that the user may read it.
import { createHash } from 'node:crypto';
import { TOPIC_EXCHANGE } from '../../src/core/address.ts';
import { Action } from '../../src/core/authorizer.ts';
import { NO_LOCAL_ARGUMENT } from '../../src/core/binding.ts';
import type { Broker } from '../../src/core/broker.ts';
import { BrokerError } from '../../src/core/errors.ts';
import type { Queue } from '../../src/core/queue.ts';
import { queueSpec } from '../../src/core/queue-spec.ts';
import { queueResource } from '../../src/core/resource.ts';
import { SELECTOR_ARGUMENT } from '../../src/core/selector/selector.ts';
import { SHARE_PREFIX } from '../../src/core/share-group.ts';
import { randomName } from '../../src/io/random.ts';
import type { Connection } from './connection.ts';
import { stompError } from './errors.ts';
import { isReserved, reservedProblem } from './routes.ts';

const NAME_LENGTH = 25;
const OWN_NAME = 'stomp-subscription-';

/** What a SUBSCRIBE asks of its queue. */
export interface QueueWish {
  readonly id: string | null;
  /** Null where the frame does not say. */
  readonly durable: boolean | null;
  readonly autoDelete: boolean | null;
  readonly exclusive: boolean;
  /** activemq.subscriptionName: it is durable, and has this name beside its client's. */
  readonly subscriptionName: string | null;
  /** x-queue-name. */
  readonly name: string | null;
  /** x-share-group. */
  readonly group: string | null;
  /** The x-… headers that are arguments of queues. */
  readonly args: Map<string, string>;
}

export interface FoundQueue {
  readonly queue: Queue;
  /** It was there before. */
  readonly existed: boolean;
}

/** `/queue/<q>` declares on first use, the others must find it. */
export function namedQueue(connection: Connection, name: string, declare: boolean, wish: QueueWish): Queue {
  const { vhost } = connection;
  const there = vhost.queues.get(name);
  if (there !== undefined && (!declare || wish.args.size === 0)) {
    vhost.checkHolder(there, connection);
    return there;
  }
  if (!declare) throw new BrokerError('not-found', `there is no queue ${JSON.stringify(name)} in vhost ${vhost.name}`);
  const flags = { durable: wish.durable ?? true, autoDelete: wish.autoDelete ?? false, exclusive: false };
  return vhost.declareQueue(queueSpec(name, flags, wish.args), connection);
}

/** The queue that collects what a pattern of an exchange matches. */
export function boundQueue(
  connection: Connection,
  exchange: string,
  pattern: string,
  bindingArgs: ReadonlyMap<string, string>,
  wish: QueueWish,
): FoundQueue {
  const { vhost } = connection;
  // Asked first, so that no queue is made in vain.
  if (!vhost.exchanges.has(exchange)) {
    throw new BrokerError('not-found', `there is no exchange ${JSON.stringify(exchange)} in vhost ${vhost.name}`);
  }
  const found = findOrDeclare(connection, exchange, pattern, wish);
  if (found.existed && wish.durable === true && wish.name === null && wish.group === null) {
    dropOthers(connection, found.queue, exchange, pattern, bindingArgs);
  }
  vhost.bind(exchange, found.queue, pattern, bindingArgs);
  return found;
}

/** A durable subscription that comes back with another selector or destination is another one, as in JMS: what the old one kept goes. */
function dropOthers(
  { vhost }: Connection,
  queue: Queue,
  exchange: string,
  pattern: string,
  args: ReadonlyMap<string, string>,
): void {
  const selector = args.get(SELECTOR_ARGUMENT);
  const noLocal = args.get(NO_LOCAL_ARGUMENT);
  for (const { source, key, args: other } of queue.bindings) {
    const same = other.get(SELECTOR_ARGUMENT) === selector && other.get(NO_LOCAL_ARGUMENT) === noLocal;
    if (source === exchange && key === pattern && same) return;
  }
  for (const binding of [...queue.bindings]) vhost.unbind(binding);
  queue.purge();
}

/** The queue is one subscription's, and goes with it. */
export function isOwn(wish: QueueWish): boolean {
  return wish.group === null && wish.name === null && wish.durable !== true && !wish.exclusive;
}

function findOrDeclare(connection: Connection, exchange: string, pattern: string, wish: QueueWish): FoundQueue {
  const { vhost, adapter } = connection;
  const name = queueName(connection, exchange, pattern, wish);
  const there = vhost.queues.get(name);
  if (there !== undefined && wish.args.size === 0) {
    vhost.checkHolder(there, connection);
    return { queue: there, existed: true };
  }
  // A share group is durable whoever makes it: a member of another protocol, whose session outlives the process, may join at any time and has to find what was confirmed.
  const durable = wish.durable ?? wish.group !== null;
  const flags = { durable, autoDelete: wish.autoDelete ?? (!durable && wish.group === null), exclusive: isOwn(wish) };
  const args = there === undefined ? boundedArguments(adapter.broker, wish.args) : withDefaultsOf(there, wish.args);
  const queue = vhost.declareQueue(queueSpec(name, flags, args), connection);
  return { queue, existed: there !== undefined };
}

function queueName(connection: Connection, exchange: string, pattern: string, wish: QueueWish): string {
  const key = exchange === TOPIC_EXCHANGE ? pattern : `$exchange/${exchange}/${pattern}`;
  if (wish.group !== null) {
    if (wish.group === '' || /[/+#]/.test(wish.group)) {
      throw stompError(
        'header-value-invalid',
        'x-share-group is the name of a group: not empty, and without /, + and #',
      );
    }
    // The name that other protocols' shared subscriptions have, so that a group may have members of several.
    return `${SHARE_PREFIX}${wish.group}/${key}`;
  }
  if (wish.name !== null) {
    mayConfigure(connection, wish.name);
    return wish.name;
  }
  if (wish.subscriptionName !== null) return durableQueueName(connection, wish.subscriptionName);
  if (wish.exclusive) return `$exclusive/${key}`;
  if (wish.durable !== true) return OWN_NAME + randomName(connection.adapter.random, NAME_LENGTH);
  if (wish.id === null)
    throw stompError('header-missing', 'a durable subscription has an id, by which it is found again');
  // The same user, subscription and destination find the same queue; nobody else's do.
  const identity = JSON.stringify([connection.principal!.name, exchange, pattern, wish.id]);
  return OWN_NAME + createHash('sha256').update(identity).digest('base64url').slice(0, NAME_LENGTH);
}

/** Of ActiveMQ's durable subscriptions, wherever they subscribe to. */
export function durableQueueName({ principal, clientId }: Connection, name: string): string {
  const identity = JSON.stringify([principal!.name, clientId, name]);
  return OWN_NAME + createHash('sha256').update(identity).digest('base64url').slice(0, NAME_LENGTH);
}

/** A queue somebody names himself is read, and bound to what he may read: he may do both with it. */
function mayConfigure({ adapter, principal, clientId, vhost }: Connection, name: string): void {
  if (isReserved(name)) throw new BrokerError('access-refused', reservedProblem(name));
  if (principal!.policy === null) return;
  const resource = queueResource(vhost.name, name);
  for (const action of [Action.Subscribe, Action.Configure]) {
    if (adapter.broker.authorizer.allows(principal!, clientId, action, resource)) continue;
    throw new BrokerError('access-refused', `${principal!.name} may not ${action} queue ${JSON.stringify(name)}`);
  }
}

/** What waits for a client that is away or slow is bounded as for any session, unless the client says how. */
export function boundedArguments(broker: Broker, args: ReadonlyMap<string, string>): Map<string, string> {
  const { lengthMax, bytesMax } = broker.limits.sessionQueue;
  const bounded = new Map(args);
  if (!bounded.has('x-max-length')) bounded.set('x-max-length', String(lengthMax));
  if (!bounded.has('x-max-length-bytes')) bounded.set('x-max-length-bytes', String(bytesMax));
  return bounded;
}

/** Arguments for a second declaration: bounds nobody asked for are those of the first. */
function withDefaultsOf(queue: Queue, args: ReadonlyMap<string, string>): Map<string, string> {
  const merged = new Map(args);
  for (const name of ['x-max-length', 'x-max-length-bytes']) {
    const value = queue.spec.args.get(name);
    if (value !== undefined && !merged.has(name)) merged.set(name, value);
  }
  return merged;
}
