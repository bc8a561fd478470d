// Patterns of names in permission rules. A pattern is compiled once to a list of segments; a name is compared segment by segment, literally: there is no
// regular expression, so nothing a client calls itself can widen a rule. %u, %c and %v stand for the user, the client id and the virtual host, each
// as one whole segment.
//
//   topics     MQTT filters    plant/+/state    users/%u/#     '+' one level, final '#' the rest, also none
//   queues     dotted          jobs  jobs.*  inbox.%u.#        '*' one word, final '#' the rest, also none
//   exchanges  dotted, then a topic filter for the routing key after the first '/'      orders  orders/eu/#
//
// Wildcards never match a first segment that begins with '$': what lies there has to be named.
import { assert } from '../lib/assert.ts';

const ANY: unique symbol = Symbol('any one segment');
const REST: unique symbol = Symbol('the rest');
const USER: unique symbol = Symbol('%u');
const CLIENT: unique symbol = Symbol('%c');
const VHOST: unique symbol = Symbol('%v');

type Segment = string | typeof ANY | typeof REST | typeof USER | typeof CLIENT | typeof VHOST;

const VARIABLES: ReadonlyMap<string, Segment> = new Map<string, Segment>([
  ['%u', USER],
  ['%c', CLIENT],
  ['%v', VHOST],
]);

/** How a kind of name is cut into segments, and how its patterns write wildcards. */
export interface Notation {
  readonly separator: string;
  readonly any: string;
}

export const TOPIC: Notation = { separator: '/', any: '+' };
export const DOTTED: Notation = { separator: '.', any: '*' };

const SEGMENTS_MAX = 128;
const LENGTH_MAX = 1024;

export interface Pattern {
  readonly notation: Notation;
  readonly segments: readonly Segment[];
}

/** Does what `pattern` covers depend on the client id? */
export function dependsOnClient(pattern: Pattern): boolean {
  return pattern.segments.includes(CLIENT);
}

/** What the variables stand for. */
export interface Subject {
  readonly user: string;
  readonly clientId: string;
  readonly vhost: string;
}

/**
 * What a segment without a usable value for its variable does: in an allow rule it matches nothing, in a deny rule it matches anything, so that a
 * strange identity never gains by being strange.
 */
export const Unusable = { MatchesNothing: 0, MatchesAnything: 1 } as const;
export type Unusable = (typeof Unusable)[keyof typeof Unusable];

/** Why `text` is no pattern, or '' when it is one. */
export function patternProblem(text: string, notation: Notation): string {
  if (text === '') return 'it is empty';
  if (text.length > LENGTH_MAX) return `it is longer than ${LENGTH_MAX} characters`;
  if (/\p{Cc}/u.test(text)) return 'it contains a control character';
  const parts = text.split(notation.separator);
  if (parts.length > SEGMENTS_MAX) return `it has more than ${SEGMENTS_MAX} levels`;
  for (const [i, part] of parts.entries()) {
    if (part === '#' && i < parts.length - 1) return '# may only be the last level';
    if (part !== '#' && part.includes('#')) return '# must be a whole level';
    if (part !== notation.any && part.includes(notation.any)) return `${notation.any} must be a whole level`;
    const variable = /%[ucv]/.exec(part)?.[0];
    if (variable !== undefined && part !== variable) return `${variable} must be a whole level`;
  }
  return '';
}

export function compilePattern(text: string, notation: Notation): Pattern {
  assert(patternProblem(text, notation) === '', `"${text}" was checked to be a pattern`);
  const segments = text.split(notation.separator).map((part): Segment => {
    if (part === notation.any) return ANY;
    if (part === '#') return REST;
    return VARIABLES.get(part) ?? part;
  });
  return { notation, segments };
}

/** May `value` stand for a segment of this notation? Not when it could be read as more than one literal segment, or would open a '$' space. */
export function isSubstitutable(value: string, notation: Notation, first: boolean): boolean {
  if (value === '' || /\p{Cc}/u.test(value)) return false;
  if (value.includes('+') || value.includes('#') || value.includes('/')) return false;
  if (value.includes(notation.separator) || value.includes(notation.any)) return false;
  return !(first && value.startsWith('$'));
}

function substituteFor(segment: Segment, subject: Subject): string {
  if (segment === USER) return subject.user;
  return segment === CLIENT ? subject.clientId : subject.vhost;
}

/**
 * Does `pattern` cover `name` altogether? With `isPattern`, `name` may itself hold wildcards ('+' one level, '#' any number, anywhere), and is covered
 * only if everything it could match is. Errs on the side of no.
 */
export function covers(
  pattern: Pattern,
  name: string,
  isPattern: boolean,
  subject: Subject,
  unusable: Unusable = Unusable.MatchesNothing,
): boolean {
  const { segments, notation } = pattern;
  const levels = name.split(notation.separator);
  for (let i = 0; i < segments.length; i++) {
    let segment = segments[i] as Segment;
    if (segment === USER || segment === CLIENT || segment === VHOST) {
      const value = substituteFor(segment, subject);
      if (isSubstitutable(value, notation, i === 0)) segment = value;
      else if (unusable === Unusable.MatchesAnything) segment = ANY;
      else return false;
    }
    const level = levels[i];
    const dollar = i === 0 && level !== undefined && level.startsWith('$');
    if (segment === REST) return !dollar;
    // The name ends here; 'a/#' covers 'a' as well, which the branch above has seen.
    if (level === undefined) return false;
    const many = isPattern && level === '#';
    const one = isPattern && level === '+';
    if (segment === ANY ? many || dollar : many || one || level !== segment) return false;
  }
  return levels.length === segments.length;
}
