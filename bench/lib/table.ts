// Tables for a terminal and for Markdown from the same cells, and how figures are written in them.

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Which columns hold words; the others hold figures and are aligned to the right. */
  readonly wordColumns: readonly number[];
}

export function asText(table: Table): string {
  const widths = table.columns.map((title, column) =>
    Math.max(title.length, ...table.rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    widths
      .map((width, column) => align(cells[column] ?? '', width, table.wordColumns.includes(column)))
      .join('  ')
      .trimEnd();
  return [line(table.columns), line(widths.map((width) => '-'.repeat(width))), ...table.rows.map(line)].join('\n');
}

export function asMarkdown(table: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = table.columns.map((_, column) => (table.wordColumns.includes(column) ? '---' : '---:'));
  return [line(table.columns), line(rule), ...table.rows.map(line)].join('\n');
}

/** 1234567 as 1.23 M, 12345 as 12.3 k. */
export function rate(value: number): string {
  if (value >= 1e6) return `${significant(value / 1e6)} M`;
  if (value >= 1e3) return `${significant(value / 1e3)} k`;
  return significant(value);
}

/** Microseconds as milliseconds; no time at all means that nothing was measured. */
export function milliseconds(valueUs: number): string {
  if (valueUs === 0) return '–';
  return significant(valueUs / 1000);
}

export function significant(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(value)));
  return value.toFixed(Math.min(digits, 3));
}

function align(cell: string, width: number, left: boolean): string {
  return left ? cell.padEnd(width) : cell.padStart(width);
}
