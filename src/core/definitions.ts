// Durable definitions as bytes for the state store, and back: exchanges, queues, bindings and sessions, as JSON. They change at human speed, so readability wins.
import type { Binding, SubscriptionOptions } from './binding.ts';
import type { ExchangeSpec } from './exchange.ts';
import { Exchange } from './exchange-node.ts';
import { Queue } from './queue.ts';
import { NO_ARGUMENTS, type QueueSpec, queueSpec } from './queue-spec.ts';
import type { Session } from './session.ts';

const encoder = new TextEncoder();

/** Thousands of them are read at a start: faster than a TextDecoder. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

function toBytes(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

export interface StoredBinding {
  readonly source: string;
  readonly kind: 'queue' | 'exchange';
  readonly destination: string;
  readonly key: string;
  readonly args: readonly (readonly [string, string])[];
}

export interface StoredSession {
  readonly principal: string;
  readonly clientId: string;
  /** null: never ends. */
  readonly expiryMs: number | null;
  readonly endsAtMs: number;
  /** Session.stores. */
  readonly hasQueue: boolean;
  readonly queueArguments?: readonly (readonly [string, string])[];
  /** Absent where overlapping subscriptions give one copy. */
  readonly copyForEach?: boolean;
  readonly subscriptions: readonly StoredSubscription[];
}

export interface StoredSubscription {
  readonly filter: string;
  readonly options: SubscriptionOptions;
  /** Null for subscriptions to queues. */
  readonly exchange: string | null;
  readonly pattern: string;
  readonly queue: string;
  /** Absent where there is none. */
  readonly selector?: string;
}

export function encodeExchange(spec: ExchangeSpec): Uint8Array {
  return toBytes({ ...spec, args: [...spec.args] });
}

export function decodeExchange(bytes: Uint8Array): ExchangeSpec {
  const stored = JSON.parse(textOf(bytes)) as Omit<ExchangeSpec, 'args'> & { args: [string, string][] };
  return { ...stored, args: new Map(stored.args) };
}

export function encodeQueue(spec: QueueSpec): Uint8Array {
  const { name, durable, autoDelete, exclusive, args } = spec;
  return toBytes({ name, durable, autoDelete, exclusive, args: [...args] });
}

export function decodeQueue(bytes: Uint8Array): QueueSpec {
  const stored = JSON.parse(textOf(bytes)) as {
    name: string;
    durable: boolean;
    autoDelete: boolean;
    exclusive: boolean;
    args: [string, string][];
  };
  return queueSpec(stored.name, stored, stored.args.length === 0 ? NO_ARGUMENTS : new Map(stored.args));
}

export function bindingKey(vhost: string, binding: Binding): string {
  return `${vhost}\0${JSON.stringify(storedBinding(binding))}`;
}

export function encodeBinding(binding: Binding): Uint8Array {
  return toBytes(storedBinding(binding));
}

export function decodeBinding(bytes: Uint8Array): StoredBinding {
  return JSON.parse(textOf(bytes)) as StoredBinding;
}

function storedBinding(binding: Binding): StoredBinding {
  const { destination } = binding;
  const name =
    destination instanceof Queue ? destination.name : destination instanceof Exchange ? destination.spec.name : '';
  return {
    source: binding.source,
    kind: destination instanceof Queue ? 'queue' : 'exchange',
    destination: name,
    key: binding.key,
    args: [...binding.args],
  };
}

export function encodeSession(session: Session): Uint8Array {
  const subscriptions: StoredSubscription[] = [];
  for (const { filter, options, exchange, key, queue, selector } of session.subscriptions.values()) {
    subscriptions.push({
      filter,
      options,
      exchange,
      pattern: key,
      queue: queue?.name ?? '',
      ...(selector !== null && { selector: selector.text }),
    });
  }
  const stored: StoredSession = {
    principal: session.principal.name,
    clientId: session.clientId,
    expiryMs: session.expiryMs === Number.POSITIVE_INFINITY ? null : session.expiryMs,
    endsAtMs: session.endsAtMs,
    hasQueue: session.stores,
    queueArguments: [...session.queueArguments],
    ...(session.copyForEach && { copyForEach: true }),
    subscriptions,
  };
  return toBytes(stored);
}

export function decodeSession(bytes: Uint8Array): StoredSession {
  return JSON.parse(textOf(bytes)) as StoredSession;
}
