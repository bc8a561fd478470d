// The log as an input: what happens to connections, storage and configuration, as structured lines. Fields are named as in the configuration and the
// metrics. Nothing on the message path logs at info or above; at debug it asks debugEnabled first. Never given a password or a payload.

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  /** Would a debug line be written? Asked before its fields are put together. */
  readonly debugEnabled: boolean;
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger that adds `fields` to each line. */
  child(fields: LogFields): Logger;
}

class SilentLogger implements Logger {
  readonly debugEnabled = false;
  debug(): void {
    // Nothing is written.
  }
  info(): void {
    // Nothing is written.
  }
  warn(): void {
    // Nothing is written.
  }
  error(): void {
    // Nothing is written.
  }
  child(): Logger {
    return this;
  }
}

export const SILENT: Logger = new SilentLogger();

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: LogFields;
  readonly message: string;
}

/** Keeps its lines, for whoever wants to look at them: tests, and an embedding program with a log of its own. */
export class KeptLogger implements Logger {
  readonly debugEnabled = true;
  readonly lines: LogLine[];
  private readonly own: LogFields;

  constructor(own: LogFields = {}, lines: LogLine[] = []) {
    this.own = own;
    this.lines = lines;
  }

  debug(fields: LogFields, message: string): void {
    this.lines.push({ level: 'debug', fields: { ...this.own, ...fields }, message });
  }

  info(fields: LogFields, message: string): void {
    this.lines.push({ level: 'info', fields: { ...this.own, ...fields }, message });
  }

  warn(fields: LogFields, message: string): void {
    this.lines.push({ level: 'warn', fields: { ...this.own, ...fields }, message });
  }

  error(fields: LogFields, message: string): void {
    this.lines.push({ level: 'error', fields: { ...this.own, ...fields }, message });
  }

  child(fields: LogFields): Logger {
    return new KeptLogger({ ...this.own, ...fields }, this.lines);
  }
}
