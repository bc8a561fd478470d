// The commands of the executable and their flags. Each command's work is in the file of its name; this one only says how it is called.
import { Command } from 'commander';
import { COST_LOG2_DEFAULT } from '../auth/password.ts';
import { ITERATIONS_DEFAULT } from '../auth/scram.ts';
import { backupTo, restoreFrom } from './backup.ts';
import { checkedLine, checkFiles, printConfig } from './config-check.ts';
import { configDocs } from './config-docs.ts';
import { addConfigFlags, type ConfigFlags, configFromFlags } from './config-flags.ts';
import { type InspectFlags, logInspect } from './log-inspect.ts';
import { logRepair } from './log-repair.ts';
import { logVerify } from './log-verify.ts';
import { type StartFlags, start } from './start.ts';
import { parseCost, userHash } from './user-hash.ts';
import { parseIterations, userScram } from './user-scram.ts';
import { VERSION } from './version.ts';

/** `exit` is given the exit code of a command that ran to its end. */
export function program(exit: (code: number) => void): Command {
  const sluice = new Command('sluice')
    .description('A gateway broker: MQTT and STOMP over TCP, TLS and WebSocket in one message space.')
    .version(VERSION, '-V, --version', 'print the version')
    .showHelpAfterError('(--help shows what there is)');

  addConfigFlags(sluice.command('start').description('run the broker until it is told to stop'))
    .option('--json', 'print one line of JSON once it listens')
    .action(async (flags: ConfigFlags & StartFlags) => exit(await start(configFromFlags(flags), flags)));

  sluice
    .command('version')
    .description('print the version')
    .action(() => {
      process.stdout.write(`${VERSION}\n`);
    });

  const config = sluice.command('config').description('look at the configuration');
  addConfigFlags(config.command('check').description('check the configuration without starting'))
    .option('--print', 'print all of it, with where each value was written')
    .action((flags: ConfigFlags & { readonly print?: boolean }) => {
      const loaded = configFromFlags(flags);
      checkFiles(loaded);
      process.stdout.write(flags.print === true ? printConfig(loaded) : `${checkedLine(loaded)}\n`);
    });
  config
    .command('docs')
    .description('print the table of all options in Markdown')
    .option('--into <file>', 'put it into this file, between its two marks')
    .action((flags: { into?: string }) => configDocs(flags.into));

  const user = sluice.command('user').description('make what is needed for users');
  user
    .command('hash')
    .description('read a password (prompt or standard input) and print its hash for auth.users')
    .option('--cost <log2>', 'log2 of the work factor; one more doubles time and memory', String(COST_LOG2_DEFAULT))
    .action((flags: { cost: string }) => userHash(parseCost(flags.cost)));
  user
    .command('scram')
    .description('read a password and print its SCRAM-SHA-256 keys for auth.users')
    .option('--iterations <count>', 'what each try of a password costs', String(ITERATIONS_DEFAULT))
    .action((flags: { iterations: string }) => userScram(parseIterations(flags.iterations)));

  const log = sluice.command('log').description('look at the log of a data directory, and mend it');
  log
    .command('inspect <dir>')
    .description('print what is in it: queues, state, segments, checkpoint, damage')
    .option('--read-only', 'also while a broker runs on it, as of one moment')
    .option('--json', 'as JSON')
    .action((directory: string, flags: InspectFlags) => logInspect(directory, flags));
  log
    .command('verify <dir>')
    .description('read all of it; exit code 2 when something is damaged')
    .option('--json', 'as JSON')
    .action((directory: string, flags: { json?: boolean }) => logVerify(directory, flags));
  log
    .command('repair <dir>')
    .description('copy damaged files aside and leave a log without damage')
    .action((directory: string) => logRepair(directory));

  sluice
    .command('backup <dir> <target>')
    .description('copy the log of a data directory, also while a broker runs on it, and verify the copy')
    .action((directory: string, target: string) => backupTo(directory, target));
  sluice
    .command('restore <source> <dir>')
    .description('verify a backup and put it into an empty data directory')
    .option('--damaged', 'also when it is damaged')
    .action((source: string, directory: string, flags: { damaged?: boolean }) => restoreFrom(source, directory, flags));

  return sluice;
}
