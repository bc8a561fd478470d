// Where things are: the compiled benchmark runs from dist/bench, its data (peer scripts, results) stays in bench.

import { fileURLToPath } from 'node:url';

const root = new URL('../../../', import.meta.url);

export const repositoryRoot = fileURLToPath(root);
export const brokerProgram = fileURLToPath(new URL('dist/bin/sluice.js', root));
export const generatorProgram = fileURLToPath(new URL('generator.js', import.meta.url));
export const loopDelayProgram = fileURLToPath(new URL('loop-delay.js', import.meta.url));
export const aedesProgram = fileURLToPath(new URL('bench/peers/aedes.mjs', root));
export const resultsPath = fileURLToPath(new URL('bench/RESULTS.md', root));
export const plotsDirectory = fileURLToPath(new URL('bench/plots/', root));
