// The named steps of the broker's work on files at which a crash is ordered, as calls that shim.c can count. `title` completes "killed …" or "cut …".
import type { Failpoint } from './shim.ts';

export type Step = Pick<Failpoint, 'call' | 'name' | 'when'> & { readonly title: string; readonly kMax: number };

/** Steps under load. kMax: how many such calls a life of a second or two makes, about. */
export const STEPS: readonly Step[] = [
  { title: 'before a frame is written', call: 'write', name: '.segment', when: 'before', kMax: 300 },
  { title: 'in the middle of a frame', call: 'write', name: '.segment', when: 'half', kMax: 300 },
  { title: 'after a frame is written', call: 'write', name: '.segment', when: 'after', kMax: 300 },
  { title: 'before a sync', call: 'sync', name: '', when: 'before', kMax: 300 },
  { title: 'after a sync', call: 'sync', name: '', when: 'after', kMax: 300 },
  { title: 'while a segment is made', call: 'write', name: '.segment.making', when: 'half', kMax: 60 },
  { title: 'before a segment is in place', call: 'rename', name: '.segment', when: 'before', kMax: 3 },
  { title: 'after a segment is in place', call: 'rename', name: '.segment', when: 'after', kMax: 3 },
  { title: 'before the directory is synced', call: 'sync', name: '/', when: 'before', kMax: 4 },
  { title: 'after the directory is synced', call: 'sync', name: '/', when: 'after', kMax: 4 },
  { title: 'before a segment is removed', call: 'unlink', name: '.segment', when: 'before', kMax: 1 },
  { title: 'while the reserve is made', call: 'write', name: 'ballast', when: 'half', kMax: 60 },
];

/** Steps of an orderly stop. */
export const STOP_STEPS: readonly Step[] = [
  { title: 'in the middle of a checkpoint', call: 'write', name: '.checkpoint.making', when: 'half', kMax: 1 },
  {
    title: 'between the copies of a checkpoint',
    call: 'write',
    name: '.checkpoint-copy.making',
    when: 'before',
    kMax: 1,
  },
  { title: 'before a checkpoint is in place', call: 'rename', name: '.checkpoint', when: 'before', kMax: 1 },
  { title: 'after a checkpoint is in place', call: 'rename', name: '.checkpoint', when: 'after', kMax: 1 },
  {
    title: 'before the copy of a checkpoint is in place',
    call: 'rename',
    name: '.checkpoint-copy',
    when: 'before',
    kMax: 1,
  },
  { title: 'before the checkpoint before goes', call: 'unlink', name: '.checkpoint', when: 'before', kMax: 1 },
  { title: 'after the checkpoint before went', call: 'unlink', name: '.checkpoint', when: 'after', kMax: 1 },
];

/** Steps of a recovery after a kill. */
export const RECOVERY_STEPS: readonly Step[] = [
  { title: 'while the tail is copied', call: 'write', name: '.segment.making', when: 'half', kMax: 1 },
  { title: 'before the copied tail is synced', call: 'sync', name: '.segment.making', when: 'before', kMax: 1 },
  { title: 'before the copied tail is in place', call: 'rename', name: '.segment', when: 'before', kMax: 1 },
  { title: 'after the copied tail is in place', call: 'rename', name: '.segment', when: 'after', kMax: 1 },
  { title: 'while a segment that stood ready is renewed', call: 'write', name: '.segment', when: 'before', kMax: 2 },
  { title: 'before recovery syncs the directory', call: 'sync', name: '/', when: 'before', kMax: 2 },
  { title: 'while the lock is taken', call: 'link', name: '', when: 'after', kMax: 1 },
];
