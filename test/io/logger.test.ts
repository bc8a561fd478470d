import { describe, expect, it } from 'vitest';
import { KeptLogger, type Logger, type LogLevel, SILENT } from '../../src/io/logger.ts';
import { pinoLogger } from '../../src/io/pino-logger.ts';

function written(level: LogLevel, use: (logger: Logger) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  use(pinoLogger(level, 'json', { write: (line: string) => lines.push(line) }));
  return lines.map((line) => JSON.parse(line));
}

describe('the log', () => {
  it('is one line of JSON for each event, with level, time, fields and message', () => {
    const [line, ...more] = written('info', (log) => log.info({ listener: 'mqtt', port: 1883 }, 'listening'));
    expect(more).toEqual([]);
    expect(line).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      listener: 'mqtt',
      port: 1883,
      msg: 'listening',
    });
  });

  it('leaves out what is below its level, and says so beforehand', () => {
    const lines = written('warn', (log) => {
      expect(log.debugEnabled).toBe(false);
      log.debug({}, 'no');
      log.info({}, 'no');
      log.warn({}, 'yes');
      log.error({}, 'yes');
    });
    expect(lines.map(({ level }) => level)).toEqual(['warn', 'error']);
    expect(written('silent', (log) => log.error({}, 'no'))).toEqual([]);
    written('debug', (log) => expect(log.debugEnabled).toBe(true));
  });

  it('adds the fields of a child to each of its lines', () => {
    const lines = written('info', (log) => log.child({ connection: 7 }).child({ client: 'c' }).info({ x: 1 }, 'm'));
    expect(lines[0]).toMatchObject({ connection: 7, client: 'c', x: 1 });
  });

  it('shows an error with its stack', () => {
    const [line] = written('info', (log) => log.error({ error: new Error('boom') }, 'failed'));
    expect(line?.error).toMatchObject({
      type: 'Error',
      message: 'boom',
      stack: expect.stringContaining('logger.test'),
    });
  });

  it('does not show a secret that got into its fields', () => {
    const [line] = written('info', (log) => log.info({ password: 'geheim', user: { hash: 'geheim', name: 'a' } }, 'm'));
    expect(line).toMatchObject({ password: '***', user: { hash: '***', name: 'a' } });
  });

  it('can be kept, or be silent', () => {
    const kept = new KeptLogger();
    kept.child({ a: 1 }).warn({ b: 2 }, 'm');
    expect(kept.lines).toEqual([{ level: 'warn', fields: { a: 1, b: 2 }, message: 'm' }]);
    SILENT.child({}).error({}, 'm');
    expect(SILENT.debugEnabled).toBe(false);
  });
});
