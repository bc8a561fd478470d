// `sluice start`: runs a broker until it is told to stop. Owns the life of the process: the streams, the signals, the exit code. What a broker consists of is
// server/start.ts.
import { ConfigError, enabledListeners, type LoadedConfig, showFile } from '../config.ts';
import type { Logger } from '../io/logger.ts';
import { pinoLogger } from '../io/pino-logger.ts';
import { type RunningBroker, startBroker } from '../server/start.ts';
import { banner, jsonLine } from './banner.ts';
import { letSmallHeapGrow } from './heap-growth.ts';
import { EXIT_FAULT, EXIT_REFUSED, Refusal, whyNotStarted } from './refusal.ts';
import { VERSION } from './version.ts';

/** How long a stop may take before what is left is cut off. */
const DRAIN_MS_MAX = 10_000;
/** A second signal this soon is the first one again: npm passes on what a terminal has sent to the whole group already. */
const SAME_SIGNAL_MS = 300;

export interface StartFlags {
  readonly json?: boolean;
}

/** Anything that nobody caught: the state is unknown, so the process ends, and recovery is the way back. */
function endOnFault(logger: Logger): void {
  const fault = (error: unknown, origin: string) => {
    logger.error({ error, origin }, 'stopped by a fault of its own');
    process.exit(EXIT_FAULT);
  };
  process.on('uncaughtException', fault);
  process.on('unhandledRejection', (reason) => fault(reason, 'unhandledRejection'));
}

/** Resolves with the exit code once a signal has come and the broker is closed. */
function untilStopped(broker: Promise<RunningBroker>, drainMsMax: number, logger: Logger): Promise<number> {
  return new Promise((resolve) => {
    let stoppingSince: number | null = null;
    const onSignal = (signal: NodeJS.Signals) => {
      const now = performance.now();
      if (stoppingSince !== null) {
        if (now - stoppingSince < SAME_SIGNAL_MS) return;
        logger.warn({ signal }, 'stopped at once by a second signal');
        process.exit(signal === 'SIGINT' ? 130 : 143);
      }
      stoppingSince = now;
      logger.info({ signal }, 'stopping');
      resolve(stop(broker, drainMsMax, logger));
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}

async function stop(broker: Promise<RunningBroker>, drainMsMax: number, logger: Logger): Promise<number> {
  const late = new Promise<'late'>((resolve) => {
    setTimeout(() => resolve('late'), drainMsMax).unref();
  });
  const closed = broker.then((running) => running.close());
  try {
    if ((await Promise.race([closed, late])) === 'late') {
      logger.error({ drainMsMax }, 'not closed in time, what is left is cut off');
      return EXIT_REFUSED;
    }
  } catch (error) {
    logger.error({ error }, 'stopped, but the log did not take the last of it: what was confirmed is safe');
    return EXIT_FAULT;
  }
  logger.info({}, 'stopped');
  return 0;
}

function explain(error: unknown): never {
  const line = whyNotStarted(error);
  if (line === null) throw error;
  throw new Refusal(line);
}

export interface StartParts {
  readonly launch: typeof startBroker;
  readonly drainMsMax: number;
}

/** Resolves with the exit code when the broker has stopped. Throws Refusal when it cannot start. */
export async function start(
  { config, file }: LoadedConfig,
  flags: StartFlags,
  { launch, drainMsMax }: StartParts = { launch: startBroker, drainMsMax: DRAIN_MS_MAX },
): Promise<number> {
  letSmallHeapGrow();
  const logger = pinoLogger(config.log.level, config.log.format);
  endOnFault(logger);
  if (enabledListeners(config).length === 0) {
    throw new ConfigError([
      'listeners: all are off, so nobody could connect; turn one on, such as --mqtt 127.0.0.1:1883',
    ]);
  }
  logger.info(
    { version: VERSION, node: process.version, configFile: file === null ? 'none' : showFile(file), pid: process.pid },
    'starting',
  );

  const broker = launch(config, logger);
  const stopped = untilStopped(broker, drainMsMax, logger);
  let running: RunningBroker;
  try {
    running = await broker;
  } catch (error) {
    return explain(error);
  }
  process.stdout.write(flags.json === true ? `${jsonLine(running)}\n` : `${banner(running, config, VERSION)}\n`);
  return stopped;
}
