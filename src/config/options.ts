// The kinds of values an option can have. Each makes a zod schema and keeps beside it what a person needs: the reason, what is allowed in words, how the
// default is written. From these come the validation, the error texts and the table in the README.
import { z } from 'zod';

export interface OptionNotes {
  /** Why it exists and why the default is what it is. '' for the parts of a composite option. */
  readonly why: string;
  /** What is allowed, as the end of "… is not allowed; ". */
  readonly allowed: string;
  /** The default as it would stand in sluice.yaml; '' where there is none. */
  readonly shown: string;
  /** Texts from environment and flags are taken as they are, not read as YAML. */
  readonly verbatim: boolean;
  /** The value is never repeated in a message. */
  readonly secret: boolean;
}

const notes = new WeakMap<object, OptionNotes>();

/** What was noted for a schema, or null. */
export function notesOf(schema: object): OptionNotes | null {
  return notes.get(schema) ?? null;
}

export function note<S extends z.ZodType>(schema: S, about: Partial<OptionNotes> & { allowed: string }): S {
  notes.set(schema, { why: '', shown: '', verbatim: false, secret: false, ...about });
  return schema;
}

interface About<T> {
  readonly default: T;
  readonly why: string;
}

/** A part of the configuration: unknown keys are refused; a missing section has all its defaults. */
export function section<T extends z.core.$ZodLooseShape>(shape: T): z.ZodPrefault<z.ZodObject<T, z.core.$strict>> {
  return z.strictObject(shape).prefault({} as never);
}

/** A whole number of `unit`, such as 'seconds'; `more` says what a special value means. */
export function count(unit: string, min: number, max: number, about: About<number>, more = '') {
  const what = unit === '' ? 'a whole number' : `a number of ${unit}`;
  return note(z.number().int().min(min).max(max).default(about.default), {
    why: about.why,
    allowed: `${what} from ${min} to ${max}${more === '' ? '' : ` (${more})`}`,
    shown: String(about.default),
  });
}

export function fraction(min: number, max: number, about: About<number>) {
  return note(z.number().min(min).max(max).default(about.default), {
    why: about.why,
    allowed: `a fraction from ${min} to ${max}`,
    shown: String(about.default),
  });
}

export function flag(about: About<boolean>) {
  return note(z.boolean().default(about.default), {
    why: about.why,
    allowed: 'true or false',
    shown: String(about.default),
  });
}

/** Words joined as in a sentence: 'a, b or c'. */
export function either(words: readonly (string | number)[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

export function choice<const T extends readonly string[]>(values: T, about: About<T[number]>) {
  return note(z.enum(values).default(about.default as never), {
    why: about.why,
    allowed: either(values),
    shown: about.default,
  });
}

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1000,
  MB: 1000 ** 2,
  GB: 1000 ** 3,
  KIB: 1024,
  MIB: 1024 ** 2,
  GIB: 1024 ** 3,
};

/** '64 KiB' → 65536; null when it is no size. */
export function parseSize(text: string): number | null {
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?([a-z]{1,3})$/i.exec(text);
  const unit = UNITS[(match?.[2] ?? '').toUpperCase()];
  if (match === null || unit === undefined) return null;
  const bytes = Number(match[1]) * unit;
  return Number.isInteger(bytes) ? bytes : null;
}

/** 65536 → '64 KiB', where it comes out even. */
export function showSize(bytes: number): string {
  for (const [unit, name] of [
    [1024 ** 3, 'GiB'],
    [1024 ** 2, 'MiB'],
    [1024, 'KiB'],
  ] as const) {
    if (bytes >= unit && bytes % unit === 0) return `${bytes / unit} ${name}`;
  }
  return `${bytes}`;
}

/** A number of bytes, also written as '16 MiB'. */
export function size(min: number, max: number, about: About<number>) {
  const bytes = z
    .union([z.number(), z.string()])
    .transform((value) => (typeof value === 'string' ? (parseSize(value) ?? Number.NaN) : value))
    .pipe(z.number().int().min(min).max(max));
  return note(bytes.default(about.default), {
    why: about.why,
    allowed: `a number of bytes from ${showSize(min)} to ${showSize(max)}, such as ${showSize(about.default)}`,
    shown: showSize(about.default),
  });
}

/** A text of 1 to `max` characters without control characters. */
export function text(max: number, allowed: string, about: About<string>) {
  return note(name(max, allowed).default(about.default), {
    why: about.why,
    allowed,
    shown: about.default,
    verbatim: true,
  });
}

/** As text(), without a default: part of a composite option. */
export function name(max: number, allowed: string, pattern: RegExp = /^\P{Cc}+$/u) {
  return note(z.string().min(1).max(max).regex(pattern), { allowed, verbatim: true });
}

/** A list of at most `max` elements. */
export function list<S extends z.ZodType>(element: S, max: number, allowed: string, about: About<z.input<S>[]>) {
  return note(z.array(element).max(max).prefault(about.default), {
    why: about.why,
    allowed,
    shown: `[${about.default.map(String).join(', ')}]`,
  });
}

/** Down one step: the schema of a member, of an element, or of any named entry. null where there is none. */
export function step(schema: z.core.$ZodType, key: PropertyKey): z.core.$ZodType | null {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    return typeof key === 'string' && Object.hasOwn(inner.shape, key) ? inner.shape[key] : null;
  }
  if (inner instanceof z.ZodArray) return typeof key === 'number' ? inner.element : null;
  if (inner instanceof z.ZodRecord) return inner.valueType;
  return null;
}

/** Without what only gives it a default. */
export function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  let inner = schema;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional) {
    inner = inner.unwrap();
  }
  return inner;
}
