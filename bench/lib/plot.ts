// Plots as SVG text, for bench/RESULTS.md: bars on a logarithmic axis, in groups, and a line through a few points on two such axes. No library, no script; legible on a light and on a dark
// ground, since nothing is drawn behind them. They rely on nothing but their input, so that the same figures give the same file.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plotsDirectory } from './paths.ts';
import { rate, significant } from './table.ts';

export interface Bar {
  readonly series: string;
  readonly value: number;
}

export interface BarGroup {
  readonly name: string;
  readonly bars: readonly Bar[];
}

export interface BarPlot {
  readonly title: string;
  readonly axisTitle: string;
  /** In the order of the legend; each has a colour of its own. */
  readonly series: readonly string[];
  readonly groups: readonly BarGroup[];
  /** How a value is written at its bar and on the axis. */
  readonly write: (value: number) => string;
}

export interface LinePlot {
  readonly title: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** Told apart with any kind of colour vision (after Okabe and Ito); in the middle between light and dark. */
const COLOURS = ['#d55e00', '#3b8fd1', '#2a9d74', '#c98a00', '#b665a0', '#7a7f87'];
const WIDTH = 860;
const BAR_HEIGHT = 11;
const BAR_GAP = 2;
const GROUP_GAP = 14;
const LABEL_WIDTH = 150;
/** Room behind the longest bar, for its figure. */
const FIGURE_WIDTH = 64;
const LINE_HEIGHT = 360;

const STYLE = `<style>
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #6a737d; }
.title { font-size: 15px; font-weight: 600; }
.figure { font-size: 10px; }
.name { fill: #66707a; font-weight: 600; }
.grid { stroke: #8b949e; stroke-opacity: 0.35; stroke-width: 1; }
.line { fill: none; stroke: ${COLOURS[0]}; stroke-width: 2; }
@media (prefers-color-scheme: dark) { text { fill: #9aa4af; } .name { fill: #c5ced6; } }
</style>`;

export function barPlot(plot: BarPlot): string {
  const values = plot.groups.flatMap(({ bars }) => bars.map(({ value }) => value)).filter((value) => value > 0);
  // Half a decade below the least, so that its bar can be seen.
  const low = Math.floor(Math.log10(Math.min(...values)) - 0.2);
  const high = Math.log10(Math.max(...values));
  const left = LABEL_WIDTH;
  const scale = (WIDTH - left - FIGURE_WIDTH) / Math.max(0.3, high - low);
  const x = (value: number): number => left + (Math.log10(value) - low) * scale;
  const parts: string[] = [];
  let y = 66;
  for (const group of plot.groups) {
    const groupHeight = group.bars.length * (BAR_HEIGHT + BAR_GAP);
    parts.push(label('name', left - 8, y + groupHeight / 2 + 3, group.name, 'end'));
    for (const { series, value } of group.bars) {
      const colour = COLOURS[plot.series.indexOf(series) % COLOURS.length]!;
      const end = value > 0 ? x(value) : left;
      const title = `${group.name}, ${series}: ${plot.write(value)}`;
      parts.push(
        `<rect x="${left}" y="${y}" width="${(end - left).toFixed(1)}" height="${BAR_HEIGHT}" rx="1" fill="${colour}"><title>${escaped(title)}</title></rect>`,
        label('figure', end + 4, y + BAR_HEIGHT - 2, plot.write(value), 'start'),
      );
      y += BAR_HEIGHT + BAR_GAP;
    }
    y += GROUP_GAP;
  }
  const bottom = y - GROUP_GAP + 4;
  const grid: string[] = [];
  for (let decade = low; decade <= high + 0.001; decade++) {
    const at = x(10 ** decade).toFixed(1);
    grid.push(
      `<line class="grid" x1="${at}" y1="58" x2="${at}" y2="${bottom}"/>`,
      label('figure', Number(at), bottom + 14, plot.write(10 ** decade), 'middle'),
    );
  }
  let legendX = left;
  const legend = plot.series.map((series, i) => {
    const at = legendX;
    legendX += 26 + series.length * 7.5;
    return `<rect x="${at}" y="37" width="11" height="11" rx="1" fill="${COLOURS[i % COLOURS.length]}"/>${label('', at + 16, 47, series, 'start')}`;
  });
  const axis = label('', left, bottom + 32, `${plot.axisTitle} (logarithmic)`, 'start');
  return svg(bottom + 44, plot.title, [...grid, ...legend, ...parts, axis]);
}

/** Both axes are logarithmic; an x of 0 is drawn where 1 is. The y axis begins a factor of 10 below the largest value at the least, so that noise does not look like a mountain. */
export function linePlot(plot: LinePlot): string {
  const [left, right, top, bottom] = [70, 30, 50, LINE_HEIGHT - 62];
  const xs = plot.points.map(({ x }) => Math.log10(Math.max(1, x)));
  const ys = plot.points.map(({ y }) => Math.log10(y));
  const [xLow, xHigh] = [Math.min(...xs), Math.max(...xs, Math.min(...xs) + 1)];
  const yHigh = Math.log10(niceAbove(10 ** Math.max(...ys)));
  const yLow = Math.min(Math.log10(niceBelow(10 ** Math.min(...ys))), yHigh - 1);
  const px = (x: number): number => left + ((x - xLow) / (xHigh - xLow)) * (WIDTH - left - right);
  const py = (y: number): number => bottom - ((y - yLow) / (yHigh - yLow)) * (bottom - top);
  const parts: string[] = [];
  for (const tick of ticks(yLow, yHigh)) {
    const at = py(Math.log10(tick)).toFixed(1);
    parts.push(
      `<line class="grid" x1="${left}" y1="${at}" x2="${WIDTH - right}" y2="${at}"/>`,
      label('figure', left - 8, Number(at) + 4, significantTick(tick), 'end'),
    );
  }
  for (const [i, { x, y }] of plot.points.entries()) {
    const [atX, atY] = [px(xs[i]!), py(ys[i]!)];
    parts.push(
      `<circle cx="${atX.toFixed(1)}" cy="${atY.toFixed(1)}" r="4" fill="${COLOURS[0]}"><title>${x}: ${significant(y)}</title></circle>`,
      label('name', atX, atY - 10, significant(y), i === 0 ? 'start' : i === plot.points.length - 1 ? 'end' : 'middle'),
      label('figure', atX, bottom + 16, rate(x), i === plot.points.length - 1 ? 'end' : 'middle'),
    );
  }
  const path = plot.points.map((_, i) => `${px(xs[i]!).toFixed(1)},${py(ys[i]!).toFixed(1)}`).join(' ');
  parts.push(
    `<polyline class="line" points="${path}"/>`,
    label('', left, bottom + 40, `${plot.xTitle}; ${plot.yTitle} (both logarithmic)`, 'start'),
  );
  return svg(LINE_HEIGHT, plot.title, parts);
}

/** Writes bench/plots/NAME.svg and returns the Markdown that shows it. */
export function writePlot(name: string, alternative: string, text: string): string {
  mkdirSync(plotsDirectory, { recursive: true });
  writeFileSync(join(plotsDirectory, `${name}.svg`), text);
  return `![${alternative}](plots/${name}.svg)`;
}

function svg(height: number, title: string, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${Math.ceil(height)}" width="${WIDTH}" height="${Math.ceil(height)}" role="img" aria-label="${escaped(title)}">
${STYLE}
${label('name title', 8, 22, title, 'start')}
${parts.join('\n')}
</svg>
`;
}

function label(kind: string, x: number, y: number, text: string, anchor: 'start' | 'middle' | 'end'): string {
  const className = kind === '' ? '' : ` class="${kind}"`;
  return `<text${className} x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(text)}</text>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

/** 1, 2 or 5 times a power of ten, at or above the value. */
function niceAbove(value: number): number {
  const decade = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * decade).find((nice) => nice >= value) ?? 10 * decade;
}

function niceBelow(value: number): number {
  const decade = 10 ** Math.floor(Math.log10(value));
  return [5, 2, 1].map((step) => step * decade).find((nice) => nice <= value) ?? decade;
}

function ticks(low: number, high: number): number[] {
  const found: number[] = [];
  for (let decade = Math.floor(low); decade <= high; decade++) {
    for (const step of [1, 2, 5]) {
      const value = step * 10 ** decade;
      if (Math.log10(value) >= low - 1e-9 && Math.log10(value) <= high + 1e-9) found.push(value);
    }
  }
  return found;
}

function significantTick(value: number): string {
  return String(Number(value.toPrecision(2)));
}
