// The temporary destinations of one connection: queues and topics under names that its client makes up, which others reach through the reply-to of its messages only. They end with the
// connection.
import { topicAddress } from '../../src/core/address.ts';
import type { Queue } from '../../src/core/queue.ts';
import { queueSpec, TEMPORARY_QUEUE_PREFIX } from '../../src/core/queue-spec.ts';
import { levelToPath } from '../../src/core/routing-key.ts';
import { randomName } from '../../src/io/random.ts';
import { addressToDestination, addressToReplyDestination, type SendAddress, type TempAddress } from './addresses.ts';
import type { Connection } from './connection.ts';
import { stompError } from './errors.ts';
import { boundedArguments } from './subscription-queue.ts';

/** Temporary queues of one connection. */
const QUEUES_MAX = 1000;
const NAME_LENGTH = 25;

export function isTemporary(address: { readonly kind: string }): address is TempAddress {
  return address.kind === 'temp-queue' || address.kind === 'temp-topic';
}

const TEMP = new TextEncoder().encode('/temp-');

/** Whether bytes[start, end) is a temporary destination, to be looked at closer. */
export function startsWithTemp(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < TEMP.length) return false;
  for (let i = 0; i < TEMP.length; i++) if (bytes[start + i] !== TEMP[i]) return false;
  return true;
}

export class Temporary {
  private readonly connection: Connection;
  private readonly queues = new Map<string, Queue>();
  private topics: string | null = null;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** The queue behind /temp-queue/<name>, made at its first use. */
  queue(name: string): Queue {
    const there = this.queues.get(name);
    if (there !== undefined && !there.deleted) return there;
    if (this.queues.size >= QUEUES_MAX) {
      throw stompError('session-limit-exceeded', `more than ${QUEUES_MAX} temporary queues of one connection`);
    }
    const { adapter, vhost } = this.connection;
    // The name is all that others need to answer, so it cannot be guessed.
    const queueName = `${TEMPORARY_QUEUE_PREFIX}${randomName(adapter.random, NAME_LENGTH)}`;
    const flags = { durable: false, autoDelete: false, exclusive: true };
    const queue = vhost.declareQueue(
      queueSpec(queueName, flags, boundedArguments(adapter.broker, new Map())),
      this.connection,
    );
    this.queues.set(name, queue);
    return queue;
  }

  /** The path of /temp-topic/<name> on amq.topic: one that everybody may answer to, and nobody else can read. */
  topicPath(name: string): string {
    this.topics ??= `$reply/${randomName(this.connection.adapter.random, NAME_LENGTH)}`;
    return `${this.topics}/${levelToPath(name)}`;
  }

  /** Where a SEND to a temporary destination goes. */
  sendAddress(address: TempAddress): SendAddress {
    if (address.kind === 'temp-topic') {
      return { ...topicAddress(this.topicPath(address.name)), kind: 'topic', declare: false, slashes: false };
    }
    const { name } = this.queue(address.name);
    return { exchange: '', key: topicAddress(name).key, kind: 'queue', declare: false, slashes: false };
  }

  /** The reply-to that others can use instead of a temporary destination. */
  replyDestination(address: TempAddress): string {
    const there = this.sendAddress(address);
    return there.kind === 'queue' ? addressToReplyDestination(there) : addressToDestination(there, false);
  }

  end(): void {
    for (const queue of this.queues.values()) this.connection.vhost.deleteQueue(queue);
    this.queues.clear();
  }
}
