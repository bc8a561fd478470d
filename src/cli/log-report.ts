// What is known of a log, in lines for a reader. Shows and judges; looks at nothing itself.
import type { Damage } from '../storage/embedded/recovery.ts';
import type { QueueFigures, SegmentFigures, Survey } from '../storage/embedded/survey.ts';

/** Queues and segments of which more are left out of the text; --json has them all. */
const ROWS_MAX = 1000;

export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [columns, ...rows.slice(0, ROWS_MAX)];
  const widths = columns.map((_, at) => Math.max(...all.map((row) => row[at]!.length)));
  const lines = all.map(
    (row) =>
      `  ${row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join('  ')}`,
  );
  if (rows.length > ROWS_MAX) lines.push(`  … and ${rows.length - ROWS_MAX} more (--json shows all)`);
  return lines;
}

function queueRow({ name, ready, readyBytes, first, last, durability, lost }: QueueFigures): string[] {
  const none = ready === 0;
  return [
    JSON.stringify(name).slice(1, -1),
    String(ready),
    bytesText(readyBytes),
    none ? '-' : String(first),
    none ? '-' : String(last),
    durability,
    String(lost),
  ];
}

function segmentRow({ name, use, usedBytes, frames, live, total }: SegmentFigures): string[] {
  const share = total === 0 ? '-' : `${((100 * live) / total).toFixed(1)} %`;
  return [name, use, bytesText(usedBytes), String(frames), String(live), share];
}

export function damageLine({ segment, position, bytes, reason }: Damage): string {
  const where = [segment, position > 0 ? `position ${position}` : '', bytes > 0 ? `${bytes} bytes` : '']
    .filter((part) => part !== '')
    .join(', ');
  return where === '' ? reason : `${where}: ${reason}`;
}

/** Everything. */
export function inspectionText(survey: Survey): string {
  const { checkpoint, queues, segments, state, damages } = survey;
  const bytes = queues.reduce((sum, queue) => sum + queue.readyBytes, 0);
  const lines = [
    `Log format ${survey.formatVersion}, segments of ${bytesText(survey.segmentBytes)}, written up to position ${survey.end}, ${
      survey.clean ? 'stopped in order' : 'not stopped in order (or running)'
    }.`,
    survey.tornTailBytes > 0
      ? `An unfinished end of ${bytesText(survey.tornTailBytes)}, which nobody was told of, will be cut off.`
      : '',
    checkpoint === null
      ? 'No checkpoint.'
      : `Checkpoint ${checkpoint.name}, ${bytesText(checkpoint.bytes)} in ${checkpoint.files} files, taken at position ${checkpoint.start}.`,
    '',
    `Queues: ${queues.length}, with ${survey.messages} messages of ${bytesText(bytes)}`,
    ...(queues.length === 0
      ? []
      : table(['queue', 'ready', 'bytes', 'first', 'last', 'durability', 'lost'], queues.map(queueRow))),
    '',
    `State: ${state.reduce((sum, { entries }) => sum + entries, 0)} entries`,
    ...(state.length === 0
      ? []
      : table(
          ['space', 'entries', 'bytes'],
          state.map((one) => [one.space, String(one.entries), bytesText(one.bytes)]),
        )),
    '',
    `Segments: ${segments.length}`,
    ...(segments.length === 0
      ? []
      : table(['segment', 'use', 'used', 'frames', 'live', 'live share'], segments.map(segmentRow))),
    '',
    damageText(damages, survey.lost.length),
  ];
  return lines.filter((line, at) => line !== '' || lines[at - 1] !== '').join('\n');
}

/** The damage alone. */
export function damageText(damages: readonly Damage[], lostMessages: number): string {
  if (damages.length === 0) return 'No damage.';
  return [
    `DAMAGED in ${damages.length} ${damages.length === 1 ? 'place' : 'places'}; ${lostMessages} messages that the index has can not be read`,
    ...damages.map((damage) => `  ${damageLine(damage)}`),
  ].join('\n');
}
