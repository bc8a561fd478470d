// Writes test/conformance/mqtt.md and stomp.md anew:  node src/cli/ensure.mjs run test/conformance/generate.ts
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findStomp, stompMarkdown, unknownStomp, untestedStomp } from './stomp-table.ts';
import { find, markdown, unknown, untested } from './table.ts';

const root = process.cwd();
const found = find(root);
writeFileSync(join(root, 'test/conformance/mqtt.md'), markdown(found));
const stomp = findStomp(root);
writeFileSync(join(root, 'test/conformance/stomp.md'), stompMarkdown(stomp));
const missing = [...untested(found), ...untestedStomp(stomp)];
process.stdout.write(`without a test: ${missing.length === 0 ? 'none' : missing.join(', ')}\n`);
const strangers = [...unknown(found), ...unknownStomp(stomp)];
if (strangers.length > 0) process.stdout.write(`no statement: ${strangers.join(', ')}\n`);
