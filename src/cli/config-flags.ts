// The flags by which a command takes its configuration: the same for every command that needs one.
import { type Command, InvalidArgumentError } from 'commander';
import { type Assignment, type LoadedConfig, loadConfig } from '../config.ts';

export interface ConfigFlags {
  readonly config?: string;
  readonly mqtt?: string;
  readonly stomp?: string;
  readonly http?: string;
  readonly data?: string;
  readonly logLevel?: string;
  readonly set?: readonly Assignment[];
}

function assignment(text: string, before: readonly Assignment[] = []): Assignment[] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new InvalidArgumentError('Expected PATH=VALUE, such as mqtt.maximumQos=1.');
  const path = text.slice(0, equals);
  return [...before, { path, text: text.slice(equals + 1), origin: `--set ${path}` }];
}

export function addConfigFlags(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration file (default: sluice.yaml, .yml or .json in this directory)')
    .option('--mqtt <host:port>', 'where the listener "mqtt" listens; port 0 picks a free one, "off" turns it off')
    .option('--stomp <host:port>', 'where the listener "stomp" listens')
    .option('--http <host:port>', 'where the listener "http" listens')
    .option('--data <dir>', 'data directory')
    .option('--log-level <level>', 'debug, info, warn, error or silent')
    .option('--set <path=value>', 'set any option; may be repeated', assignment);
}

/** The configuration that the flags, the environment and the file make. Throws ConfigError. */
export function configFromFlags(flags: ConfigFlags): LoadedConfig {
  const assignments: Assignment[] = [];
  const put = (path: string, text: string | undefined, origin: string) => {
    if (text !== undefined) assignments.push({ path, text, origin });
  };
  // Flags of their own are stronger than --set, whatever their order.
  for (const { path, text, origin } of flags.set ?? []) put(path, text, origin);
  put('listeners.mqtt', flags.mqtt, '--mqtt');
  put('listeners.stomp', flags.stomp, '--stomp');
  put('listeners.http', flags.http, '--http');
  put('data.dir', flags.data, '--data');
  put('log.level', flags.logLevel, '--log-level');
  return loadConfig({ directory: process.cwd(), file: flags.config, env: process.env, assignments });
}
