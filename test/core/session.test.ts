import { describe, expect, test } from 'vitest';
import { topicAddress } from '../../src/core/address.ts';
import { ALLOW_ALL, type Authorizer, type Resource } from '../../src/core/authorizer.ts';
import { type Binding, NO_ARGUMENTS, wayOf } from '../../src/core/binding.ts';
import { DeliveryPlan } from '../../src/core/delivery.ts';
import type { Guarantee } from '../../src/core/guarantee.ts';
import { Session } from '../../src/core/session.ts';
import { CoreWorld, Link, subscription } from './core-world.ts';

function bindings(session: Session, ...options: ReturnType<typeof subscription>[]): Binding[] {
  return options.map((one) => ({
    way: wayOf(NO_ARGUMENTS, one, null),
    source: 'amq.topic',
    destination: session,
    key: 'a',
    args: NO_ARGUMENTS,
    selector: null,
    subscription: one,
  }));
}

function planFor(session: Session, guarantee: Guarantee, ...options: ReturnType<typeof subscription>[]): DeliveryPlan {
  const plan = new DeliveryPlan();
  session.addTo(plan, bindings(session, ...options), guarantee);
  return plan.seal(guarantee);
}

function sessionWithQueue(link: Link | null): Session {
  const world = new CoreWorld();
  const session = world.session('s', link, 1000);
  world.subscribe(session, 'any', 1);
  return session;
}

describe('a session as a destination', () => {
  test.each<[Guarantee, Guarantee, 'direct' | 'queue']>([
    [0, 0, 'direct'],
    [0, 2, 'direct'],
    [2, 0, 'direct'],
    [1, 1, 'queue'],
    [1, 2, 'queue'],
    [2, 2, 'queue'],
  ])('gets what is published with %i by a subscription with %i: %s', (published, subscribed, way) => {
    const plan = planFor(sessionWithQueue(new Link()), published, subscription(subscribed));
    expect([plan.directCount, plan.queues.length, plan.offlineCount]).toEqual(way === 'direct' ? [1, 0, 0] : [0, 1, 0]);
  });

  test('without a link loses what is not stored', () => {
    const session = sessionWithQueue(null);
    expect(planFor(session, 0, subscription(2)).offlineCount).toBe(1);
    expect(planFor(session, 1, subscription(1))).toMatchObject({ offlineCount: 0, directCount: 0 });
  });

  test('takes of overlapping subscriptions the best of each', () => {
    const plan = planFor(
      sessionWithQueue(new Link()),
      2,
      subscription(0, { subscriptionIdentifier: 3 }),
      subscription(2),
      subscription(1, { subscriptionIdentifier: 1, retainAsPublished: true }),
    );
    expect(plan.queues).toHaveLength(1);
    expect(plan.options).toEqual([{ guarantee: 2, retainAsPublished: true, subscriptionIdentifiers: [1, 3] }]);
  });

  test('or a copy by each, where its client wants that', () => {
    const session = sessionWithQueue(new Link());
    session.copyForEach = true;
    const plan = planFor(session, 2, subscription(0, { subscriptionIdentifier: 3 }), subscription(2), subscription(1));
    expect(plan.directCount).toBe(1);
    expect(plan.options.map(({ guarantee }) => guarantee)).toEqual([2, 1]);
  });

  test('asks whether its user may see an address, by what that is', () => {
    const asked: Resource[] = [];
    const authorizer: Authorizer = {
      ...ALLOW_ALL,
      allows: (_principal, _clientId, _action, resource) => {
        asked.push(resource);
        return false;
      },
    };
    const home = { name: '/v', authorizer, makeQueue: () => expect.unreachable() };
    const session = new Session(home, { name: 'user', policy: {} }, 'c');
    expect(session.mayReceive(topicAddress('a/b'))).toBe(false);
    expect(asked).toEqual([{ vhost: '/v', kind: 'topic', name: 'a/b', key: 'a/b' }]);
    session.principal = { name: 'internal', policy: null };
    expect(session.mayReceive(topicAddress('a/b'))).toBe(true);
    expect(asked).toHaveLength(1);
  });
});

describe('sessions whose time is over', () => {
  function waiting(count: number): CoreWorld {
    const world = new CoreWorld();
    for (let i = 0; i < count; i++) world.vhost.sessions.detach(world.session(`s${i}`, new Link(), 5000));
    return world;
  }

  test('end with the first tick, where they are few', () => {
    const world = waiting(1000);
    world.advance(4999);
    expect(world.vhost.sessions.size).toBe(1000);
    world.advance(1);
    expect(world.vhost.sessions.size).toBe(0);
  });

  test('end within a second and no more than a tenth of them in one tick, where they are many; one that was taken up again stays', () => {
    const world = waiting(20_000);
    world.advance(2000);
    world.session('s12345', new Link(), 5000);
    world.advance(3000);
    for (let ticks = 0, before = 20_000; ticks < 11; ticks++) {
      const now = world.vhost.sessions.size;
      expect(before - now).toBeLessThanOrEqual(2001);
      before = now;
      world.advance(100);
    }
    expect([...world.vhost.sessions.values()].map(({ clientId }) => clientId)).toEqual(['s12345']);
  });
});
