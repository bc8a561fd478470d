// CPU time and memory of other processes, read from /proc (Linux). A broker may be several processes (a shell, a
// virtual machine, its helpers), so that every figure is a sum over a process and all its descendants. It relies on the
// kernel's text files alone and never throws for a process that has gone: one that ended counts as nothing.

import { readdirSync, readFileSync } from 'node:fs';

/** Kernel clock ticks per second in /proc/PID/stat: USER_HZ is 100 on every architecture Node supports. */
const ticksPerSecond = 100;

export interface ProcessFigures {
  /** User and system time of all threads. */
  cpuSeconds: number;
  /** Resident memory now, and the sum of each process's own peak. */
  rssBytes: number;
  rssPeakBytes: number;
}

export function readProcessTree(rootPid: number): ProcessFigures {
  const figures: ProcessFigures = { cpuSeconds: 0, rssBytes: 0, rssPeakBytes: 0 };
  for (const pid of descendantsOf(rootPid)) {
    figures.cpuSeconds += cpuSecondsOf(pid);
    const status = readText(`/proc/${pid}/status`);
    figures.rssBytes += kibibytes(status, 'VmRSS') * 1024;
    figures.rssPeakBytes += kibibytes(status, 'VmHWM') * 1024;
  }
  return figures;
}

export function cpuSecondsOf(pid: number): number {
  const fields = statFields(pid);
  return fields.length === 0 ? 0 : (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** CPU seconds used by the whole machine, without what idles, waits for a disk or is stolen by the host. */
export function machineBusySeconds(): number {
  const [user, nice, system, , , irq, softIrq] = readText('/proc/stat').split('\n', 1)[0]!.trim().split(/\s+/).slice(1);
  return (Number(user) + Number(nice) + Number(system) + Number(irq) + Number(softIrq)) / ticksPerSecond;
}

/** The process and everything below it, parents first. */
export function descendantsOf(rootPid: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const parent = Number(statFields(pid)[1]);
    const siblings = childrenOf.get(parent);
    if (siblings === undefined) childrenOf.set(parent, [pid]);
    else siblings.push(pid);
  }
  const found = [rootPid];
  for (let index = 0; index < found.length; index++) found.push(...(childrenOf.get(found[index]!) ?? []));
  return found;
}

export function isRunning(pid: number): boolean {
  const state = statFields(pid)[0];
  return state !== undefined && state !== 'Z';
}

/** The fields of /proc/PID/stat after the name, which may hold anything: state, ppid, ... , utime (11), stime (12). */
function statFields(pid: number): string[] {
  const text = readText(`/proc/${pid}/stat`);
  const afterName = text.lastIndexOf(')');
  return afterName < 0 ? [] : text.slice(afterName + 2).split(' ');
}

function kibibytes(status: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status);
  return match === null ? 0 : Number(match[1]);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // The process ended between the listing and the reading.
  }
}
