#!/usr/bin/env node
// The executable `sluice`: reads the command line, runs one command, sets the exit code.
import { program } from './cli/program.ts';
import { EXIT_FAULT, EXIT_REFUSED, Refusal } from './cli/refusal.ts';
import { ConfigError } from './config.ts';

try {
  // Ends the process by itself, whatever a library has left open.
  await program((code) => process.exit(code)).parseAsync();
} catch (error) {
  if (error instanceof Refusal || error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`);
    process.exit(EXIT_REFUSED);
  }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(EXIT_FAULT);
}
