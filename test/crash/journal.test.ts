import { describe, expect, it } from 'vitest';
import { makePayload } from '../sim/payload.ts';
import { type Destination, Journal, type Source } from './journal.ts';

/** A journal with a publisher on two topics and a session that has subscribed to the first one. */
class World {
  readonly journal = new Journal();
  readonly source: Source;
  readonly session: Destination;

  constructor(qos: 1 | 2 = 2) {
    this.source = this.journal.source(1, qos, ['a', 'b']);
    const qosOf = (topic: string) => (topic === 'a' ? qos : 0);
    this.session = this.journal.destination('session', { qosOf, ordered: true, exactlyOnce: true });
    this.session.subscribed();
  }

  send(topic = 0): number {
    return this.journal.sent(this.source, topic);
  }

  sendAcknowledged(topic = 0): number {
    const number = this.send(topic);
    this.journal.acknowledged(this.source, number);
    return number;
  }

  deliver(number: number): void {
    this.journal.delivered(this.session, this.source, number);
  }

  get kinds(): string[] {
    return this.journal.details.map((line) => line.slice(0, line.indexOf(':')));
  }
}

describe('the journal of a crash campaign', () => {
  it('finds nothing wrong when everything confirmed arrives once and in order', () => {
    const world = new World();
    const numbers = [world.sendAcknowledged(), world.sendAcknowledged(1), world.sendAcknowledged()];
    expect(world.journal.outstanding).toBe(2);
    world.deliver(numbers[0]!);
    world.deliver(numbers[2]!);
    world.journal.close();
    expect(world.journal.counts).toMatchObject({ sent: 3, acknowledged: 3, delivered: 2, violations: 0 });
  });

  it('counts a confirmed message that never comes as lost, once', () => {
    const world = new World();
    world.sendAcknowledged();
    world.journal.close();
    world.journal.close();
    expect(world.kinds).toEqual(['lost']);
    expect(world.journal.counts.lost).toBe(1);
  });

  it('asks for nothing that was not confirmed, or was sent before the subscription was', () => {
    const journal = new Journal();
    const source = journal.source(1, 1, ['a']);
    const session = journal.destination('session', { qosOf: () => 1, ordered: true, exactlyOnce: true });
    journal.acknowledged(source, journal.sent(source, 0));
    session.subscribed();
    journal.givenUp(source, journal.sent(source, 0));
    journal.close();
    expect(journal.counts).toMatchObject({ lost: 0, unknown: 1, violations: 0 });
  });

  it('allows a second arrival at QoS 1 and not at QoS 2', () => {
    for (const [qos, kinds] of [
      [1, []],
      [2, ['duplicated']],
    ] as const) {
      const world = new World(qos);
      const number = world.sendAcknowledged();
      world.deliver(number);
      world.deliver(number);
      expect(world.kinds).toEqual(kinds);
      expect(world.journal.counts.repeated).toBe(qos === 1 ? 1 : 0);
    }
  });

  it('allows no arrival after a confirmed acknowledgement', () => {
    const journal = new Journal();
    const source = journal.source(1, 2, ['a']);
    const queue = journal.destination('queue', { qosOf: () => 1, ordered: false, exactlyOnce: false });
    queue.subscribed();
    const number = journal.sent(source, 0);
    journal.delivered(queue, source, number);
    journal.consumed(queue, source, number);
    journal.delivered(queue, source, number);
    expect(journal.counts.duplicated).toBe(1);
  });

  it('finds first arrivals out of order, on one topic', () => {
    const world = new World();
    const [first, second] = [world.sendAcknowledged(), world.sendAcknowledged()];
    world.deliver(second!);
    world.deliver(first!);
    expect(world.kinds).toEqual(['reordered']);
  });

  it('finds what nobody sent, what was changed, what went astray, and what was not subscribed to', () => {
    const world = new World();
    const number = world.send();
    const payload = makePayload(1, number, 40);
    const changed = Buffer.from(payload);
    changed[30]! ^= 4;
    expect(world.journal.identify('session', 'a', changed)).toBeNull();
    expect(world.journal.identify('session', 'b', payload)).toBeNull();
    expect(world.journal.identify('session', 'a', makePayload(1, number + 1, 40))).toBeNull();
    expect(world.journal.identify('session', 'a', makePayload(2, number, 40))).toBeNull();
    expect(world.journal.identify('session', 'a', payload)).toEqual({ source: world.source, number });
    world.deliver(world.send(1));
    expect(world.kinds).toEqual(['corrupted', 'corrupted', 'invented', 'invented', 'invented']);
  });

  it('finds half of a transaction', () => {
    for (const [arrive, kinds] of [
      [[], []],
      [[0], ['transaction']],
      [[0, 1], []],
    ] as const) {
      const world = new World();
      const numbers = [world.send(), world.send(), world.send(1)];
      world.journal.allOrNone(world.source, numbers);
      for (const index of arrive) world.deliver(numbers[index]!);
      world.journal.close();
      expect(world.kinds).toEqual(kinds);
    }
  });
});
