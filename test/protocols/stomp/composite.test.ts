import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Composite } from '../../../protocols/stomp/composite.ts';
import { AckMode, Subscription } from '../../../protocols/stomp/subscription.ts';

describe('a subscription to several destinations', () => {
  it('settles with each ACK exactly what came before it and was not settled, in whatever order its parts deliver', () => {
    const step = fc.oneof(
      fc.record({ deliver: fc.nat(2), count: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ ack: fc.nat(30) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const composite = new Composite();
        const parts = [0, 1, 2].map((i) => new Subscription('s', `${i}`, i, AckMode.Client));
        /** In the order of delivery: which part, its number. */
        let open: [Subscription, number][] = [];
        for (const one of steps) {
          if ('deliver' in one) {
            const part = parts[one.deliver]!;
            const first = part.unsettled!.add(0, one.count);
            for (let i = 0; i < one.count; i++) open.push([part, first + i]);
            composite.note(part, first + one.count - 1);
          } else if (open.length > 0) {
            const at = one.ack % open.length;
            const [named, number] = open[at]!;
            const settled: [Subscription, number][] = [];
            composite.upTo(named, number, (part, last) => {
              const { unsettled } = part;
              for (let first = unsettled!.first; first !== 0 && first <= last; first = unsettled!.first) {
                unsettled!.take(first);
                settled.push([part, first]);
              }
            });
            expect(settled).toEqual(open.slice(0, at + 1));
            open = open.slice(at + 1);
          }
        }
      }),
    );
  });
});
