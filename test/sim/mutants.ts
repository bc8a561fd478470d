// Bugs for the simulation to find: each changes the broker's own code while it is in force and does what a programmer might have done. A harness that lets one of them pass is
// blind to its whole kind.
import { ReceivedIds } from '../../protocols/mqtt/client-state.ts';
import { Connection } from '../../protocols/mqtt/connection.ts';
import { HeldFilters } from '../../protocols/mqtt/held-filters.ts';
import { MqttAdapter } from '../../protocols/mqtt/index.ts';
import { InflightWindow } from '../../protocols/mqtt/inflight-window.ts';
import { OwnConsumer } from '../../protocols/mqtt/queue-consumer.ts';
import { RetainedReplay } from '../../protocols/mqtt/retained-replay.ts';
import { MessageRing } from '../../src/core/message-ring.ts';
import { Queue } from '../../src/core/queue.ts';
import { RetainedTable } from '../../src/core/retained.ts';
import { Run } from '../../src/core/run.ts';
import { Sessions } from '../../src/core/sessions.ts';
import { TopicTrie } from '../../src/core/topic-trie.ts';
import { Vhost } from '../../src/core/vhost.ts';
import { Arena } from '../../src/io/arena.ts';
import { ChunkJoiner } from '../../src/io/chunk-joiner.ts';
import { Output } from '../../src/io/output.ts';

export interface Mutant {
  readonly name: string;
  /** Puts the bug in; what it returns takes it out again. */
  apply(): () => void;
}

type Method = (this: never, ...args: never[]) => unknown;

/** Replaces a method, private ones included; `change` is given the one there was. */
function patch<T extends object>(
  prototype: T,
  method: string,
  change: (original: (...args: unknown[]) => unknown) => (this: T, ...args: never[]) => unknown,
): () => void {
  const original: unknown = Reflect.get(prototype, method);
  if (typeof original !== 'function') throw new Error(`there is no method ${method} any more`);
  const changed = change(original as (...args: unknown[]) => unknown) as Method;
  Reflect.defineProperty(prototype, method, { value: changed, configurable: true, writable: true });
  return () => Reflect.defineProperty(prototype, method, { value: original, configurable: true, writable: true });
}

export function mutant<T extends object>(
  name: string,
  prototype: T,
  method: string,
  change: (original: (...args: unknown[]) => unknown) => (this: T, ...args: never[]) => unknown,
): Mutant {
  return { name, apply: () => patch(prototype, method, change) };
}

function field(owner: object, name: string): never {
  return Reflect.get(owner, name) as never;
}

export const MUTANTS: readonly Mutant[] = [
  mutant(
    'a kept run keeps borrowed bytes',
    Run.prototype,
    'own',
    () =>
      function () {
        return this;
      },
  ),
  mutant(
    'what a consumer leaves behind is lost',
    MessageRing.prototype,
    'giveBack',
    () =>
      function (tag: never) {
        return this.remove(tag);
      },
  ),
  mutant('what comes back is put at the end', Queue.prototype, 'giveBack', () => (ring: MessageRing, place: never) => {
    const run = ring.runOf(place);
    ring.push(run, ring.indexOf(place), 1, ring.optionsOf(place), 0, 1);
    ring.remove(place);
  }),
  mutant(
    'an accepted message stays in the queue',
    Queue.prototype,
    'settle',
    (settle) =>
      function (tag: never, outcome: never) {
        return outcome === 0 ? true : settle.call(this, tag, outcome);
      },
  ),
  mutant('a repeated QoS 2 message is taken again', ReceivedIds.prototype, 'has', () => () => false),
  mutant(
    'messages are sent again in the wrong order',
    InflightWindow.prototype,
    'inOrder',
    (inOrder) =>
      function () {
        return (inOrder.call(this) as number[]).reverse();
      },
  ),
  mutant(
    'an identifier is given out although it is in use',
    InflightWindow.prototype,
    'add',
    (add) =>
      function (...args: never[]) {
        if (this.count % 5 === 4)
          Reflect.set(
            this,
            'states',
            (field(this, 'states') as Uint8Array).map(() => 0),
          );
        if (this.count % 5 === 4) Reflect.set(this, 'next', 1);
        return add.apply(this, args);
      },
  ),
  mutant(
    'an acknowledgement makes room for two',
    Connection.prototype,
    'giveCredit',
    (giveCredit) =>
      function () {
        giveCredit.call(this);
        giveCredit.call(this);
      },
  ),
  mutant(
    'a slot is given back twice',
    Arena.prototype,
    'giveBack',
    (giveBack) =>
      function (slot: never) {
        giveBack.call(this, slot);
        this.borrowedCount++;
        giveBack.call(this, slot);
      },
  ),
  mutant(
    'slots of a stream that is gone are not given back',
    Output.prototype,
    'flush',
    (flush) =>
      function () {
        const gone = this.discarded;
        if (gone) Reflect.set(this, 'pieces', []);
        if (gone) Reflect.set(this, 'slot', null);
        flush.call(this);
      },
  ),
  mutant('publishers are not told that an output has drained', Connection.prototype, 'onDrain', () => () => undefined),
  mutant(
    'a goodbye does not discard the will',
    Connection.prototype,
    'leave',
    (leave) =>
      function (_withWill: never, error: never) {
        leave.call(this, true, error);
      },
  ),
  mutant(
    'no will is ever sent',
    Connection.prototype,
    'leave',
    (leave) =>
      function (_withWill: never, error: never) {
        leave.call(this, false, error);
      },
  ),
  mutant(
    'a delayed will is sent although its client came back',
    MqttAdapter.prototype,
    'cancelWill',
    () => () => undefined,
  ),
  mutant(
    'silence does not end a connection',
    MqttAdapter.prototype,
    'tick',
    (tick) =>
      function () {
        for (const connection of this.connections) connection.lastReceivedMs = Number.POSITIVE_INFINITY;
        tick.call(this);
      },
  ),
  mutant(
    'a retained message is not replaced',
    RetainedTable.prototype,
    'set',
    (set) =>
      function (path: never, run: never) {
        return this.get(path, 0) !== null || set.call(this, path, run);
      },
  ),
  mutant('a retained message is not cleared', RetainedTable.prototype, 'clear', () => () => false),
  mutant('a new subscription gets no retained messages', RetainedReplay.prototype, 'go', () => () => undefined),
  mutant('routes do not notice that bindings change', Vhost.prototype, 'bindingChanged', () => () => undefined),
  mutant(
    'a session outlives a clean start',
    Sessions.prototype,
    'end',
    (end) =>
      function (session: never) {
        if ((session as { link: object | null }).link !== null) end.call(this, session);
      },
  ),
  {
    name: 'an expired message is delivered',
    apply: () => {
      const undos = [
        patch(Queue.prototype, 'isExpired', () => () => false),
        patch(Queue.prototype, 'expire', () => () => undefined),
      ];
      return () => {
        for (const undo of undos) undo();
      };
    },
  },
  mutant(
    'messages arrive with the QoS of the subscription',
    OwnConsumer.prototype,
    'qosFor',
    () => (_run: never, options: never) => (options as { guarantee: number }).guarantee,
  ),
  mutant('the queue of a share group outlives the group', HeldFilters.prototype, 'leave', () => () => undefined),
  mutant('a filter that was given up still matches', TopicTrie.prototype, 'remove', () => () => true),
  mutant(
    'the last byte of an incomplete frame is lost',
    ChunkJoiner.prototype,
    'hold',
    (hold) =>
      function (bytes: never, start: never, end: never) {
        hold.call(this, bytes, start, (end as number) - (start as number) > 6 ? (end as number) - 1 : end);
      },
  ),
  mutant('every tenth message is dropped', Queue.prototype, 'deliver', (deliver) => {
    let count = 0;
    return function (...args: never[]) {
      return ++count % 10 === 0 ? -1 : deliver.apply(this, args);
    };
  }),
];
