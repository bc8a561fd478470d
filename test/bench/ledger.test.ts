import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Ledger } from '../../bench/lib/load/ledger.ts';

/** Feeds sequence numbers as a reader does and returns what was called late. */
function feed(ledger: Ledger, seqs: readonly number[]): number {
  let late = 0;
  for (const seq of seqs) {
    if (ledger.expected[0] === seq) ledger.expected[0] = seq + 1;
    else if (ledger.outOfOrder(0, seq)) late++;
  }
  return late;
}

test('any order with any repetitions: duplicates and late arrivals are what a set of all seen would count', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(30), { maxLength: 100 }), (seqs) => {
      const ledger = new Ledger(1);
      const late = feed(ledger, seqs);
      const seen = new Set<number>();
      let highest = -1;
      let expectedLate = 0;
      let expectedDuplicates = 0;
      for (const seq of seqs) {
        if (seen.has(seq)) expectedDuplicates++;
        else if (seq < highest) expectedLate++;
        seen.add(seq);
        highest = Math.max(highest, seq);
      }
      expect({ late, duplicates: ledger.duplicates }).toEqual({ late: expectedLate, duplicates: expectedDuplicates });
    }),
  );
});
