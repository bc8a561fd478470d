// Reads the report of a test run and says what became of it; the last line is "N passed, N failed".
//   node .ci/summary.mjs REPORT EXIT_CODE_OF_CHECK EXIT_CODE_OF_TEST
import { existsSync, readFileSync } from 'node:fs';

const [file, checked, tested] = process.argv.slice(2);
const problems = [];
let passed = 0;
let failed = 0;

if (checked !== '0') problems.push(`npm run check failed (exit code ${checked})`);

if (!existsSync(file)) {
  problems.push(`npm test left no report (exit code ${tested})`);
  failed = 1;
} else {
  for (const { name, status, message, assertionResults } of JSON.parse(readFileSync(file, 'utf8')).testResults) {
    // A file that could not be loaded has no tests in the report, but is one failure.
    if (status === 'failed' && !assertionResults.some((test) => test.status === 'failed')) {
      failed++;
      problems.push(`failed: ${name}: ${message.split('\n')[0]}`);
    }
    for (const test of assertionResults) {
      if (test.status === 'passed') passed++;
      else if (test.status === 'failed') {
        failed++;
        problems.push(`failed: ${test.fullName}`);
      } else problems.push(`not run (${test.status}): ${test.fullName}`);
    }
  }
  if (tested !== '0' && failed === 0) problems.push(`npm test ended with exit code ${tested}`);
  if (passed === 0) problems.push('no test passed');
}

for (const problem of problems) console.log(problem);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = problems.length === 0 ? 0 : 1;
