// The log on standard error, by pino: one line of JSON each, or readable lines on a terminal. Standard output is left to what a command answers.
// Written synchronously: lines are rare, and the last one before a crash is the one that matters.
import { type DestinationStream, destination, type Logger as Pino, pino, stdSerializers } from 'pino';
import pretty from 'pino-pretty';
import type { LogFields, Logger, LogLevel } from './logger.ts';

export type LogFormat = 'auto' | 'json' | 'pretty';

const STDERR = 2;

/** Names under which a secret might be logged by mistake, at the top or one level down. */
const SECRET_FIELDS = ['password', 'passcode', 'hash', 'secret', 'token', 'authorization'];

class PinoLogger implements Logger {
  readonly debugEnabled: boolean;
  private readonly out: Pino;

  constructor(out: Pino) {
    this.out = out;
    this.debugEnabled = out.isLevelEnabled('debug');
  }

  debug(fields: LogFields, message: string): void {
    this.out.debug(fields, message);
  }

  info(fields: LogFields, message: string): void {
    this.out.info(fields, message);
  }

  warn(fields: LogFields, message: string): void {
    this.out.warn(fields, message);
  }

  error(fields: LogFields, message: string): void {
    this.out.error(fields, message);
  }

  child(fields: LogFields): Logger {
    return new PinoLogger(this.out.child(fields));
  }
}

function standardError(format: LogFormat): DestinationStream {
  const readable = format === 'pretty' || (format === 'auto' && process.stderr.isTTY === true);
  const stream = destination({ fd: STDERR, sync: true });
  // Whoever read the log is gone (a closed pipe). That is no reason to stop serving.
  stream.on('error', () => undefined);
  if (!readable) return stream;
  const colorize = process.stderr.isTTY === true && process.env.NO_COLOR === undefined;
  return pretty({
    destination: stream,
    colorize,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
}

/** `to` replaces standard error. */
export function pinoLogger(level: LogLevel, format: LogFormat, to: DestinationStream = standardError(format)): Logger {
  const out = pino(
    {
      level,
      base: null,
      timestamp: pinoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: stdSerializers.err },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '***' },
    },
    to,
  );
  return new PinoLogger(out);
}

function pinoTime(): string {
  return `,"time":"${new Date().toISOString()}"`;
}
