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

describe('a turn that brings one chunk', () => {
  /** A chunk that leads to an answer. */
  function chunk(bench: Bench, output: Output, text: string): void {
    bench.turn.enter();
    bench.write(output, text);
    bench.turn.leave();
  }

  /** Of so many chunks, each in a turn of the event loop of its own, those answered before the turn of the event loop ended. */
  function answeredAtOnce(bench: Bench, output: Output, count: number): number {
    let atOnce = 0;
    for (let i = 0; i < count; i++) {
      const before = bench.log.length;
      chunk(bench, output, 'x');
      if (bench.log.length > before) atOnce++;
      bench.clock.settle();
      expect(bench.log).toHaveLength(before + 1);
    }
    return atOnce;
  }

  test('ends with it once that has been so for a while', () => {
    const bench = new Bench();
    const output = bench.output('a');
    expect(answeredAtOnce(bench, output, 17)).toBe(0);
    expect(answeredAtOnce(bench, output, 16)).toBe(16);
  });

  test('is left to the event loop now and then, and for good when more than one chunk came in it', () => {
    const bench = new Bench();
    const output = bench.output('a');
    const other = bench.output('b');
    const atOnce = answeredAtOnce(bench, output, 17 + 17 * 4);
    expect(atOnce).toBe(16 * 4);
    // Two chunks a turn: found out at the next look.
    for (let i = 0; i < 20; i++) {
      chunk(bench, output, '1');
      chunk(bench, other, '2');
      bench.clock.settle();
    }
    const before = bench.log.length;
    chunk(bench, output, '3');
    chunk(bench, other, '4');
    chunk(bench, output, '5');
    expect(bench.log).toHaveLength(before);
    bench.clock.settle();
    expect(bench.log.slice(before)).toEqual(['a 35', 'b 4']);
  });

  test('waits for the end that somebody else has asked for', () => {
    const bench = new Bench();
    const output = bench.output('a');
    answeredAtOnce(bench, output, 20);
    const before = bench.log.length;
    bench.turn.request();
    chunk(bench, output, 'x');
    expect(bench.log).toHaveLength(before);
    bench.clock.settle();
    expect(bench.log).toHaveLength(before + 1);
  });

  test('ends also when what is written leads to more, which is left for the next turn', () => {
    const bench = new Bench();
    let times = 0;
    const again = bench.output('again', () => {
      if (times++ < 40) bench.write(again, 'more');
    });
    answeredAtOnce(bench, bench.output('a'), 20);
    const before = bench.log.length;
    chunk(bench, again, 'first');
    expect(bench.log.slice(before)).toEqual(['again first']);
    bench.clock.settle();
    expect(bench.log).toHaveLength(before + 41);
  });
});
