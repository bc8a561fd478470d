// The words of a selector: from its text to tokens, each with its place, so that every complaint can name one. Keywords are known in any case, names are not.
import { BrokerError } from '../errors.ts';

export const TokenKind = { End: 0, Name: 1, Text: 2, Number: 3, Keyword: 4, Sign: 5 } as const;
export type TokenKind = (typeof TokenKind)[keyof typeof TokenKind];

export interface Token {
  readonly kind: TokenKind;
  /** Keywords in capitals, signs as they are, texts without their quotes. */
  readonly text: string;
  readonly number: number;
  /** Characters in front of it. */
  readonly at: number;
}

const KEYWORDS: ReadonlySet<string> = new Set([
  'AND',
  'OR',
  'NOT',
  'BETWEEN',
  'IN',
  'LIKE',
  'ESCAPE',
  'IS',
  'NULL',
  'TRUE',
  'FALSE',
]);

const SPACE = /[ \t\r\n\f]*/y;
const NAME = /[\p{L}_$][\p{L}\p{Nd}_$.]*/uy;
const NUMBER = /(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[lLfFdD]?/y;
const SIGN = /<>|<=|>=|!=|[=<>()+\-*/,]/y;

/** The positions in messages count from 1. */
export function selectorError(at: number, problem: string): BrokerError {
  return new BrokerError('invalid-argument', `selector: ${problem} at position ${at + 1}`);
}

/** At most `countMax` tokens; more is an error, as is anything that is no word of the language. */
export function tokensOf(text: string, countMax: number): readonly Token[] {
  const tokens: Token[] = [];
  let at = skip(text, 0);
  while (at < text.length) {
    if (tokens.length === countMax) throw selectorError(at, `it has more than ${countMax} words`);
    const end = tokenAt(text, at, tokens);
    at = skip(text, end);
  }
  tokens.push({ kind: TokenKind.End, text: '', number: 0, at: text.length });
  return tokens;
}

function tokenAt(text: string, at: number, tokens: Token[]): number {
  const first = text[at]!;
  if (first === "'" || first === '"') {
    const { value, end } = quotedText(text, at, first);
    // In double quotes stands a name that is no plain word: "content-type".
    tokens.push({ kind: first === "'" ? TokenKind.Text : TokenKind.Name, text: value, number: 0, at });
    return end;
  }
  const name = match(NAME, text, at);
  if (name !== null) {
    const word = name.toUpperCase();
    if (KEYWORDS.has(word)) tokens.push({ kind: TokenKind.Keyword, text: word, number: 0, at });
    else tokens.push({ kind: TokenKind.Name, text: name, number: 0, at });
    return at + name.length;
  }
  const digits = match(NUMBER, text, at);
  if (digits !== null) {
    const end = at + digits.length;
    if (match(NAME, text, end) !== null) throw selectorError(at, 'a number runs into a name');
    tokens.push({ kind: TokenKind.Number, text: digits, number: numberOf(digits, at), at });
    return end;
  }
  const sign = match(SIGN, text, at);
  if (sign === null) throw selectorError(at, `${JSON.stringify(first)} means nothing`);
  tokens.push({ kind: TokenKind.Sign, text: sign === '!=' ? '<>' : sign, number: 0, at });
  return at + sign.length;
}

/** A quote inside is written twice. */
function quotedText(text: string, at: number, quote: string): { value: string; end: number } {
  let value = '';
  for (let from = at + 1; ; ) {
    const end = text.indexOf(quote, from);
    if (end < 0) throw selectorError(at, `the quote ${quote} is never closed`);
    value += text.slice(from, end);
    if (text[end + 1] !== quote) return { value, end: end + 1 };
    value += quote;
    from = end + 2;
  }
}

function numberOf(digits: string, at: number): number {
  const hexadecimal = /^0[xX]/.test(digits);
  const value = Number(hexadecimal ? digits.replace(/[lL]$/, '') : digits.replace(/[lLfFdD]$/, ''));
  if (!Number.isFinite(value)) throw selectorError(at, 'a number is too large');
  return value;
}

function match(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

function skip(text: string, at: number): number {
  return at + (match(SPACE, text, at)?.length ?? 0);
}
