// One installation or build at a time in a working copy: whoever comes second waits, then finds the work done. The lock is a file with the owner's
// process id; a lock whose owner is gone is taken over, so that a killed command never blocks the next one.
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { inRoot, Refusal } from './project.mjs';

const LOCK = inRoot('dist', '.lock');
const WAIT_MS_MAX = 10 * 60 * 1000;
const POLL_MS = 50;

function tryLock() {
  try {
    const fd = openSync(LOCK, 'wx');
    writeSync(fd, String(process.pid));
    closeSync(fd);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw new Refusal(`cannot write ${LOCK}: ${error.message}`);
  }
}

function ownerIsGone() {
  let owner;
  try {
    owner = Number(readFileSync(LOCK, 'utf8'));
  } catch {
    return false; // Released between our two looks: the next try finds it free.
  }
  // An empty file is a lock being written at this moment.
  if (!Number.isInteger(owner) || owner <= 0) return false;
  try {
    process.kill(owner, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

/** Runs `work` while nobody else in this working copy installs or builds. */
export function alone(work) {
  mkdirSync(inRoot('dist'), { recursive: true });
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waitedMs = 0; !tryLock(); waitedMs += POLL_MS) {
    if (ownerIsGone()) rmSync(LOCK, { force: true });
    if (waitedMs > WAIT_MS_MAX)
      throw new Refusal(`another command has held ${LOCK} for ten minutes; remove it if none runs`);
    Atomics.wait(pause, 0, 0, POLL_MS);
  }
  try {
    return work();
  } finally {
    rmSync(LOCK, { force: true });
  }
}
