// A selector says which messages a subscription wants, by their headers and properties. One text is compiled once and is one object, however many subscriptions use it, so that
// the core can group by it and ask it once per message.
import { BrokerError } from '../errors.ts';
import type { Message } from '../message.ts';
import { compileSelector } from './compile.ts';
import type { Evaluate } from './fields.ts';

/** Characters of one selector. */
export const SELECTOR_LENGTH_MAX = 4096;
/** Texts that are shared. Beyond it the oldest is no longer: its subscriptions keep it, later ones of the same text make their own. */
export const SELECTORS_SHARED_MAX = 10_000;
/** The argument of bindings and subscriptions. */
export const SELECTOR_ARGUMENT = 'x-selector';
/** What ActiveMQ's clients write in front to have headers compared as numbers, as they are here anyway. */
const CONVERT = 'convert_string_expressions:';

export class Selector {
  readonly text: string;
  /** How often it has been asked. */
  evaluations = 0;
  private readonly evaluate: Evaluate;

  /** Throws BrokerError('invalid-argument') that says where the text is wrong. */
  constructor(text: string) {
    if (text.length > SELECTOR_LENGTH_MAX) {
      throw new BrokerError(
        'invalid-argument',
        `selector: it has ${text.length} characters and the limit is ${SELECTOR_LENGTH_MAX}`,
      );
    }
    this.text = text;
    // Spaces stand in for the prefix, so that positions stay true.
    this.evaluate = compileSelector(
      text.startsWith(CONVERT) ? text.replace(CONVERT, ' '.repeat(CONVERT.length)) : text,
    );
  }

  matches(message: Message): boolean {
    this.evaluations++;
    const value = this.evaluate(message);
    return value === true || value === 'true';
  }
}

export class SelectorTable {
  private readonly selectors = new Map<string, Selector>();

  /** The selector of this text; null for none, which an empty text is. */
  get(text: string | null | undefined): Selector | null {
    const trimmed = text?.trim() ?? '';
    if (trimmed === '') return null;
    let selector = this.selectors.get(trimmed);
    if (selector === undefined) {
      selector = new Selector(trimmed);
      if (this.selectors.size >= SELECTORS_SHARED_MAX) {
        for (const oldest of this.selectors.keys()) {
          this.selectors.delete(oldest);
          break;
        }
      }
      this.selectors.set(trimmed, selector);
    }
    return selector;
  }

  get size(): number {
    return this.selectors.size;
  }
}
