// Bugs of the hot path for the comparison to find: each changes the broker's own code, or in one case the model's, while it is in force.

import { MqttClass } from '../../protocols/mqtt/direct.ts';
import { PublishPath } from '../../protocols/mqtt/publish-path.ts';
import { TopicAliases } from '../../protocols/mqtt/topic-aliases.ts';
import { StompClass } from '../../protocols/stomp/direct.ts';
import { MessageHead } from '../../protocols/stomp/message-writer.ts';
import { PublishPath as StompPublishPath } from '../../protocols/stomp/publish-path.ts';
import { Unsettled } from '../../protocols/stomp/unsettled.ts';
import { Consumers } from '../../src/core/consumers.ts';
import { MessageRing } from '../../src/core/message-ring.ts';
import type { Run } from '../../src/core/run.ts';
import { Session as CoreSession } from '../../src/core/session.ts';
import { TopicTrie } from '../../src/core/topic-trie.ts';
import { type Mutant, mutant, MUTANTS as SIMULATED } from '../sim/mutants.ts';
import { Gateway } from './gateway.ts';

/** Those of the simulation that show in what clients are sent. */
const SHARED = new Set([
  'a kept run keeps borrowed bytes',
  'what a consumer leaves behind is lost',
  'an accepted message stays in the queue',
  'messages are sent again in the wrong order',
  'an identifier is given out although it is in use',
  'an acknowledgement makes room for two',
  'a slot is given back twice',
  'slots of a stream that is gone are not given back',
  'a goodbye does not discard the will',
  'no will is ever sent',
  'a retained message is not replaced',
  'a session outlives a clean start',
  'messages arrive with the QoS of the subscription',
  'the last byte of an incomplete frame is lost',
]);

const OWN: readonly Mutant[] = [
  mutant(
    'a run ends where its direct receivers begin',
    MqttClass.prototype,
    'deliver',
    (original) =>
      function (run: Run, ...more: unknown[]) {
        if (run.count > 2) run.count--;
        return original.call(this, run, ...more);
      },
  ),
  mutant(
    'the last of a gathered run is not answered',
    PublishPath.prototype,
    'flush',
    (original) =>
      function () {
        const { gathering } = this as unknown as { gathering: { count: number } };
        if (gathering.count > 3) gathering.count--;
        return original.call(this);
      },
  ),
  mutant(
    'an alias is used before it was set',
    TopicAliases.prototype,
    'append',
    (original) =>
      function (...given: unknown[]) {
        const { aliases } = this as unknown as { aliases: Map<string, number> };
        if (aliases.size === 0) aliases.set('a/b', 1);
        return original.call(this, ...given);
      },
  ),
  mutant(
    'the number of a delivery is one too high from ten on',
    MessageHead.prototype,
    'write',
    (original) =>
      function (out: unknown, at: unknown, number: number, extra: unknown) {
        return original.call(this, out, at, number >= 10 && this.ack.length > 0 ? number - 1 : number, extra);
      },
  ),
  mutant(
    'message ids of direct deliveries are given out twice',
    StompClass.prototype,
    'deliver',
    (original) =>
      function (...given: unknown[]) {
        const free = original.call(this, ...given);
        (this as unknown as { scratch: { nextNumber: number } }).scratch.nextNumber--;
        return free;
      },
  ),
  mutant(
    'a head is copied although the headers are others',
    StompPublishPath.prototype,
    'writeHeadOnce',
    (original) =>
      function (out: unknown, start: unknown, scanner: unknown, bodyBytes: number) {
        const { gathering, generation } = this as unknown as {
          gathering: { headOwner: unknown; headGeneration: number };
          generation: number;
        };
        if (gathering.headOwner === this) gathering.headGeneration = generation;
        return original.call(this, out, start, scanner, bodyBytes);
      },
  ),
  mutant(
    'a cumulative ACK leaves the first out',
    Unsettled.prototype,
    'add',
    (original) =>
      function (firstTag: unknown, count: unknown) {
        return original.call(this, firstTag, count === 1 ? 1 : (count as number) - 1);
      },
  ),
  mutant(
    'a run takes in the next message',
    MessageRing.prototype,
    'span',
    () =>
      function (_tag: unknown, limit: number) {
        return Math.min(limit, 2, this.readyCount);
      },
  ),
  mutant(
    'the first consumer has two turns',
    Consumers.prototype,
    'withCredit',
    (original) =>
      function () {
        const turns = this as unknown as { next: number };
        if (turns.next === 1) turns.next = 0;
        return original.call(this);
      },
  ),
  mutant(
    'identifiers of overlapping subscriptions are lost',
    CoreSession.prototype,
    'addTo',
    (original) =>
      function (plan: unknown, bindings: readonly unknown[], guarantee: unknown) {
        return original.call(this, plan, bindings.slice(0, 1), guarantee);
      },
  ),
  mutant(
    'a topic without wildcards is found twice',
    TopicTrie.prototype,
    'add',
    (original) =>
      function (binding: { key: string }) {
        return original.call(this, binding.key === 'a/b' ? { ...binding, key: 'a/+' } : binding);
      },
  ),
  // The other way round: the comparison sees a model that is wrong, too.
  mutant(
    'the model forgets a retained message',
    Gateway.prototype,
    'retainedFor',
    (original) =>
      function (pattern: unknown) {
        return (original.call(this, pattern) as unknown[]).slice(1);
      },
  ),
];

export const MUTANTS: readonly Mutant[] = [...OWN, ...SIMULATED.filter(({ name }) => SHARED.has(name))];
