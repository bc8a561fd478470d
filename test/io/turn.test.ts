import { describe, expect, test } from 'vitest';
import { Arena } from '../../src/io/arena.ts';
import { Output } from '../../src/io/output.ts';
import { Turn } from '../../src/io/turn.ts';
import { WorldClock } from '../support/world.ts';

class Bench {
  readonly clock = new WorldClock();
  readonly turn = new Turn(this.clock);
  readonly arena = new Arena(8);
  readonly log: string[] = [];

  /** An output that notes when it is written; then does what the test wants. */
  output(name: string, onSend: () => void = () => undefined): Output {
    const output: Output = new Output(
      this.arena,
      this.turn,
      {
        send: (pieces) => {
          this.log.push(`${name} ${Buffer.concat(pieces.map(({ bytes }) => bytes)).toString()}`);
          for (const piece of pieces) output.sent(piece);
          onSend();
        },
      },
      1000,
    );
    return output;
  }

  write(output: Output, text: string): void {
    output.append(Buffer.from(text), 0, text.length);
  }
}

describe('the end of a turn', () => {
  test('comes once, hooks first, then each output that got bytes', () => {
    const bench = new Bench();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => bench.output(name));
    bench.turn.addHook(() => bench.log.push('first hook'));
    bench.turn.addHook(() => bench.log.push('second hook'));
    bench.write(b!, '1');
    bench.write(a!, '2');
    bench.write(b!, '3');
    bench.clock.settle();
    expect(bench.log).toEqual(['first hook', 'second hook', 'b 13', 'a 2']);
    bench.clock.settle();
    expect(bench.log).toHaveLength(4);
    bench.write(c!, '4');
    bench.clock.settle();
    expect(bench.log.slice(4)).toEqual(['first hook', 'second hook', 'c 4']);
  });

  test('comes when asked for, also where there is nothing to write', () => {
    const bench = new Bench();
    bench.turn.addHook(() => bench.log.push('hook'));
    bench.turn.request();
    bench.turn.request();
    bench.clock.settle();
    expect(bench.log).toEqual(['hook']);
  });

  test('writes what its hooks have written', () => {
    const bench = new Bench();
    const output = bench.output('a');
    bench.turn.addHook(() => bench.write(output, 'hook'));
    bench.turn.request();
    bench.turn.finish();
    expect(bench.log).toEqual(['a hook']);
  });

  test('leaves for the next turn what writing leads to', () => {
    const bench = new Bench();
    let times = 0;
    const other = bench.output('other');
    const again = bench.output('again', () => {
      if (times++ > 1) return;
      bench.write(other, String(times));
      bench.write(again, String(times));
    });
    bench.write(again, 'x');
    bench.turn.finish();
    expect(bench.log).toEqual(['again x']);
    bench.turn.finish();
    expect(bench.log).toEqual(['again x', 'other 1', 'again 1']);
    bench.clock.settle();
    expect(bench.log).toEqual(['again x', 'other 1', 'again 1', 'other 2', 'again 2']);
  });

  test('may end within itself: every output is written, none twice', () => {
    const bench = new Bench();
    const last = ['m1', 'm2', 'm3'].map((name) => bench.output(name));
    const later = ['l1', 'l2', 'l3', 'l4'].map((name) =>
      bench.output(name, () => {
        for (const output of last) bench.write(output, name);
      }),
    );
    let nested = false;
    const outputs = ['a', 'b', 'c'].map((name) =>
      bench.output(name, () => {
        for (const output of later) bench.write(output, name);
        if (nested) return;
        nested = true;
        bench.turn.finish();
      }),
    );
    for (const output of outputs) bench.write(output, 'x');
    bench.turn.finish();
    bench.clock.settle();
    const written = (name: string): string =>
      bench.log
        .map((line) => line.split(' '))
        .filter(([to]) => to === name)
        .map(([, text]) => text)
        .join('');
    for (const name of ['a', 'b', 'c']) expect(written(name)).toBe('x');
    for (const name of ['l1', 'l2', 'l3', 'l4']) expect(written(name)).toBe('abc');
    // Each of the four is written twice: within the nested end, and for what b and c have led to.
    for (const name of ['m1', 'm2', 'm3']) expect(written(name)).toBe('l1l2l3l4l1l2l3l4');
    expect(bench.arena.borrowedCount).toBe(0);
  });
});
