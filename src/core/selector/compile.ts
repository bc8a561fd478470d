// A selector's grammar, the part of SQL-92 that JMS takes for it, compiled into closures in one pass. Everything is three-valued: what asks about something that is not there is
// unknown (null), and only what is true selects.
//
//   or      = and { OR and }                    and   = not { AND not }                  not = { NOT } test
//   test    = sum [ (= | <> | < | <= | > | >=) sum | IS [NOT] NULL
//                 | [NOT] ( BETWEEN sum AND sum | IN ( text, … ) | LIKE text [ESCAPE text] ) ]
//   sum     = product { (+ | -) product }       product = signed { (* | /) signed }
//   signed  = { + | - } ( number | text | TRUE | FALSE | name | ( or ) )
//
// Headers are texts. Compared with a number, a header that reads as one is that number; compared with TRUE or FALSE, "true" and "false" are those. A text in the selector stays a text.
import { type Evaluate, fieldOf, numeral, type Value } from './fields.ts';
import { compileLike } from './like.ts';
import { selectorError, type Token, TokenKind, tokensOf } from './tokens.ts';

/** Words of one selector: what a message costs is bounded by it. */
export const SELECTOR_WORDS_MAX = 1000;
/** Brackets, NOTs and signs inside each other. */
export const SELECTOR_DEPTH_MAX = 50;
/** Characters of a LIKE pattern, which are compared at many places of a value. */
export const LIKE_LENGTH_MAX = 128;

interface Node {
  readonly evaluate: Evaluate;
  /** It gives a text that came with the message. */
  readonly loose: boolean;
}

type Compare = (a: Value, b: Value) => boolean | null;

/** Throws BrokerError('invalid-argument') that names the position. */
export function compileSelector(text: string): Evaluate {
  const parser = new Parser(tokensOf(text, SELECTOR_WORDS_MAX));
  return parser.whole();
}

class Parser {
  private readonly tokens: readonly Token[];
  private next = 0;
  private depth = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  whole(): Evaluate {
    const { evaluate } = this.or();
    if (this.token.kind !== TokenKind.End) throw this.unexpected('AND, OR or the end');
    return evaluate;
  }

  private get token(): Token {
    return this.tokens[this.next]!;
  }

  private take(kind: TokenKind, text: string): boolean {
    const { token } = this;
    if (token.kind !== kind || token.text !== text) return false;
    this.next++;
    return true;
  }

  private keyword(text: string): boolean {
    return this.take(TokenKind.Keyword, text);
  }

  private expect(kind: TokenKind, text: string): void {
    if (!this.take(kind, text)) throw this.unexpected(text);
  }

  private unexpected(wanted: string): Error {
    const { token } = this;
    const found = token.kind === TokenKind.End ? 'it ends' : `there is ${JSON.stringify(token.text.slice(0, 50))}`;
    return selectorError(token.at, `${wanted} is expected, but ${found}`);
  }

  /** Everything that goes deeper comes through here. */
  private deeper(parse: () => Node): Node {
    if (++this.depth > SELECTOR_DEPTH_MAX) {
      throw selectorError(this.token.at, `it is nested deeper than ${SELECTOR_DEPTH_MAX}`);
    }
    const node = parse();
    this.depth--;
    return node;
  }

  private or(): Node {
    const terms = [this.and()];
    while (this.keyword('OR')) terms.push(this.and());
    return terms.length === 1 ? terms[0]! : strict(joined(terms, true));
  }

  private and(): Node {
    const terms = [this.not()];
    while (this.keyword('AND')) terms.push(this.not());
    return terms.length === 1 ? terms[0]! : strict(joined(terms, false));
  }

  private not(): Node {
    if (!this.keyword('NOT')) return this.test();
    return this.deeper(() => negated(this.not()));
  }

  private test(): Node {
    const left = this.sum();
    const { token } = this;
    if (token.kind === TokenKind.Sign && Object.hasOwn(COMPARISONS, token.text)) {
      this.next++;
      return strict(comparison(left, COMPARISONS[token.text]!, this.sum()));
    }
    if (this.keyword('IS')) {
      const isNot = this.keyword('NOT');
      this.expect(TokenKind.Keyword, 'NULL');
      return strict((message) => (left.evaluate(message) === null) !== isNot);
    }
    const isNot = this.keyword('NOT');
    const found = this.between(left) ?? this.inList(left) ?? this.like(left);
    if (found !== null) return isNot ? negated(found) : found;
    if (isNot) throw this.unexpected('BETWEEN, IN or LIKE');
    return left;
  }

  private between(left: Node): Node | null {
    if (!this.keyword('BETWEEN')) return null;
    const low = this.sum();
    this.expect(TokenKind.Keyword, 'AND');
    const high = this.sum();
    return strict(
      joined(
        [strict(comparison(left, COMPARISONS['>=']!, low)), strict(comparison(left, COMPARISONS['<=']!, high))],
        false,
      ),
    );
  }

  private inList(left: Node): Node | null {
    if (!this.keyword('IN')) return null;
    this.expect(TokenKind.Sign, '(');
    const texts = new Set<string>();
    const numbers = new Set<number>();
    do {
      const negative = this.take(TokenKind.Sign, '-');
      const { token } = this;
      if (token.kind === TokenKind.Text && !negative) texts.add(token.text);
      else if (token.kind === TokenKind.Number) numbers.add(negative ? -token.number : token.number);
      else throw this.unexpected('a text in single quotes, or a number,');
      this.next++;
    } while (this.take(TokenKind.Sign, ','));
    this.expect(TokenKind.Sign, ')');
    return strict((message) => {
      const value = left.evaluate(message);
      if (value === null) return null;
      if (typeof value === 'number') return numbers.has(value);
      if (typeof value !== 'string') return false;
      if (texts.has(value)) return true;
      const number = left.loose && numbers.size > 0 ? numeral(value) : null;
      return number !== null && numbers.has(number);
    });
  }

  private like(left: Node): Node | null {
    if (!this.keyword('LIKE')) return null;
    const pattern = this.text('a pattern in single quotes');
    if (pattern.text.length > LIKE_LENGTH_MAX) {
      throw selectorError(pattern.at, `a pattern is longer than ${LIKE_LENGTH_MAX} characters`);
    }
    let mark = '';
    if (this.keyword('ESCAPE')) {
      const token = this.text('one character in single quotes');
      if (token.text.length !== 1) throw selectorError(token.at, 'ESCAPE is followed by one character');
      mark = token.text;
    }
    const matches = compileLike(pattern.text, mark);
    if (matches === null) {
      throw selectorError(pattern.at, `after ${mark} comes %, _ or ${mark} in the pattern`);
    }
    return strict((message) => {
      const value = left.evaluate(message);
      return value === null ? null : typeof value === 'string' && matches(value);
    });
  }

  private text(wanted: string): Token {
    const { token } = this;
    if (token.kind !== TokenKind.Text) throw this.unexpected(wanted);
    this.next++;
    return token;
  }

  private sum(): Node {
    let left = this.product();
    for (;;) {
      if (this.take(TokenKind.Sign, '+')) left = arithmetic(left, this.product(), (a, b) => a + b);
      else if (this.take(TokenKind.Sign, '-')) left = arithmetic(left, this.product(), (a, b) => a - b);
      else return left;
    }
  }

  private product(): Node {
    let left = this.signed();
    for (;;) {
      if (this.take(TokenKind.Sign, '*')) left = arithmetic(left, this.signed(), (a, b) => a * b);
      else if (this.take(TokenKind.Sign, '/')) left = arithmetic(left, this.signed(), (a, b) => a / b);
      else return left;
    }
  }

  private signed(): Node {
    if (this.take(TokenKind.Sign, '+')) return this.deeper(() => this.signed());
    if (this.take(TokenKind.Sign, '-')) {
      return this.deeper(() => arithmetic(ZERO, this.signed(), (a, b) => a - b));
    }
    const { token } = this;
    if (this.take(TokenKind.Sign, '(')) {
      const inner = this.deeper(() => this.or());
      this.expect(TokenKind.Sign, ')');
      return inner;
    }
    this.next++;
    if (token.kind === TokenKind.Number) return strict(() => token.number);
    if (token.kind === TokenKind.Text) return strict(() => token.text);
    if (token.kind === TokenKind.Name) return { evaluate: fieldOf(token.text), loose: true };
    if (token.kind === TokenKind.Keyword && token.text === 'TRUE') return strict(() => true);
    if (token.kind === TokenKind.Keyword && token.text === 'FALSE') return strict(() => false);
    this.next--;
    throw this.unexpected('a name, a text in single quotes or a number');
  }
}

const ZERO: Node = strict(() => 0);

function strict(evaluate: Evaluate): Node {
  return { evaluate, loose: false };
}

/** Of three truths: null is unknown. */
function truthOf(value: Value): boolean | null {
  if (typeof value === 'boolean') return value;
  return value === 'true' ? true : value === 'false' ? false : null;
}

/** AND of the terms, or OR: `decisive` is the truth of one term that decides. */
function joined(terms: readonly Node[], decisive: boolean): Evaluate {
  return (message) => {
    let unknown = false;
    for (let i = 0; i < terms.length; i++) {
      const truth = truthOf(terms[i]!.evaluate(message));
      if (truth === decisive) return decisive;
      if (truth === null) unknown = true;
    }
    return unknown ? null : !decisive;
  };
}

function negated({ evaluate }: Node): Node {
  return strict((message) => {
    const truth = truthOf(evaluate(message));
    return truth === null ? null : !truth;
  });
}

function asNumber(value: Value, loose: boolean): number | null {
  if (typeof value === 'number') return value;
  return loose && typeof value === 'string' ? numeral(value) : null;
}

function arithmetic(left: Node, right: Node, operate: (a: number, b: number) => number): Node {
  return strict((message) => {
    const a = asNumber(left.evaluate(message), left.loose);
    const b = asNumber(right.evaluate(message), right.loose);
    if (a === null || b === null) return null;
    const result = operate(a, b);
    return Number.isFinite(result) ? result : null;
  });
}

const COMPARISONS: Readonly<Record<string, Compare>> = {
  '=': (a, b) => a === b,
  '<>': (a, b) => a !== b,
  '<': (a, b) => ordered(a, b, (order) => order < 0),
  '<=': (a, b) => ordered(a, b, (order) => order <= 0),
  '>': (a, b) => ordered(a, b, (order) => order > 0),
  '>=': (a, b) => ordered(a, b, (order) => order >= 0),
};

/** Only two numbers, or two texts, have an order. */
function ordered(a: Value, b: Value, holds: (order: number) => boolean): boolean | null {
  if (typeof a === 'number' && typeof b === 'number') return holds(a - b);
  if (typeof a === 'string' && typeof b === 'string') return holds(a < b ? -1 : a > b ? 1 : 0);
  return null;
}

function comparison(left: Node, compare: Compare, right: Node): Evaluate {
  return (message) => {
    let a = left.evaluate(message);
    let b = right.evaluate(message);
    if (a === null || b === null) return null;
    if (typeof a !== typeof b) {
      if (left.loose) a = likened(a, b);
      if (right.loose) b = likened(b, a);
    } else if (left.loose && right.loose && typeof a === 'string' && typeof b === 'string') {
      const [numberA, numberB] = [numeral(a), numeral(b)];
      if (numberA !== null && numberB !== null) return compare(numberA, numberB);
    }
    return compare(a, b);
  };
}

/** A header's text as what it is compared with, where it reads as that. */
function likened(value: Value, other: Value): Value {
  if (typeof value !== 'string') return value;
  if (typeof other === 'number') return numeral(value) ?? value;
  if (typeof other === 'boolean') return truthOf(value) ?? value;
  return value;
}
