// RESULTS.md: what the campaigns found when they were last run with --write. One section per campaign; a run replaces its own and leaves the others alone. Says what kind of machine it was, never
// which, and no path.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { machineClass, type Outcome, summaryLines } from './campaign.ts';
import { ROOT } from './places.ts';

const FILE = join(ROOT, 'test/crash/RESULTS.md');

const HEAD = `# Crash campaigns: results

Written by \`npm run crash:kill\`, \`crash:power\` and \`crash:disk\` with \`--write\`. An outside process keeps its own journal of what the broker confirmed, and is never killed; what is
confirmed must be there after any number of crashes. *lost*, *duplicated (QoS 2)*, *reordered*, *corrupted*, *invented* and *violations* have to be 0. *allowed* are second deliveries at QoS 1,
*unknown* are messages that their publishers gave up before an answer. A fault line says how often a fault struck, of how often it was ordered.

What each campaign does not show: a kill leaves the page cache alone, so \`crash:kill\` says nothing about power cuts; \`crash:power\` takes away what a real ext4 had not been told to keep, but the disk
below it has no volatile cache of its own that could be lost.
`;

const section = (title: string): string => `\n## ${title}\n`;

export function writeResults(outcomes: readonly Outcome[]): void {
  let text = existsSync(FILE) ? readFileSync(FILE, 'utf8') : HEAD;
  if (!text.startsWith(HEAD)) text = HEAD + text.slice(Math.max(0, text.indexOf('\n## ')));
  for (const outcome of outcomes) text = replaced(text, outcome);
  writeFileSync(FILE, text);
}

function replaced(text: string, outcome: Outcome): string {
  const date = new Date().toISOString().slice(0, 10);
  const body = `${section(outcome.title)}\n${date}, ${machineClass()}.\n\n\`\`\`\n${summaryLines(outcome).join('\n')}\n\`\`\`\n`;
  const start = text.indexOf(section(outcome.title));
  if (start < 0) return text + body;
  const next = text.indexOf('\n## ', start + 1);
  return text.slice(0, start) + body + (next < 0 ? '' : text.slice(next));
}
