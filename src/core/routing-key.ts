// A routing key is a list of levels. Its canonical text, the path, is what MQTT writes: levels joined by '/', so that an MQTT topic needs no
// translation at all. Other notations are made lazily and kept: the dotted form of STOMP and HTTP.
//
// A level from another protocol may contain '/', '+' or '#', which an MQTT level never does. In the path they are written as U+0000 followed by a
// letter (U+0000 itself is allowed in no protocol), which keeps every path unambiguous. Patterns use the path notation too: the level '+' is one
// level of any kind, the level '#' is zero or more levels, anywhere.
//
//   MQTT  a.b/c      path  a.b/c        dotted  a%2Eb.c
//   STOMP a%2Fb.c    path  a\0sb/c      dotted  a%2Fb.c      MQTT on the way out  a%2Fb/c

export class RoutingKey {
  readonly path: string;
  private dottedForm: string | null = null;
  private mqttForm: string | null = null;
  private levelList: readonly string[] | null = null;

  constructor(path: string) {
    this.path = path;
  }

  /** Levels of the path, with its escapes. */
  get levels(): readonly string[] {
    this.levelList ??= this.path.split('/');
    return this.levelList;
  }

  /** The form of STOMP and HTTP, reversible. */
  get dotted(): string {
    this.dottedForm ??= pathToDotted(this.path);
    return this.dottedForm;
  }

  /** The form an MQTT client is shown: the path, with what MQTT cannot say percent-encoded. */
  get mqtt(): string {
    this.mqttForm ??= this.path.includes('\0') ? this.path.replace(/\0[sph]/g, (e) => PERCENT[e]!) : this.path;
    return this.mqttForm;
  }
}

const PERCENT: Readonly<Record<string, string>> = { '\0s': '%2F', '\0p': '%2B', '\0h': '%23' };
const LITERAL: Readonly<Record<string, string>> = { '\0s': '/', '\0p': '+', '\0h': '#' };
const ESCAPE: Readonly<Record<string, string>> = { '/': '\0s', '+': '\0p', '#': '\0h' };

/** One literal level, whatever characters it has (but U+0000), as it stands in a path. */
export function levelToPath(level: string): string {
  return level.replace(/[/+#]/g, (c) => ESCAPE[c]!);
}

/** The literal characters of a level of a path. */
export function levelFromPath(level: string): string {
  return level.includes('\0') ? level.replace(/\0[sph]/g, (e) => LITERAL[e]!) : level;
}

/** Path of a key to its dotted form: '.', '/', '%', '*' and '#' inside a level become %XX. */
export function pathToDotted(path: string): string {
  const levels = path.split('/');
  for (let i = 0; i < levels.length; i++) levels[i] = levelFromPath(levels[i]!).replace(/[./%*#]/g, percentEncode);
  return levels.join('.');
}

/** Dotted key to path. Percent-encoding is undone for any byte; a '%' that starts no valid escape stands for itself. */
export function dottedToPath(dotted: string): string {
  return separatedToPath(dotted, '.');
}

/** As dottedToPath for a text whose levels are separated by `separator` ('.' or '/'). */
export function separatedToPath(text: string, separator: string): string {
  const levels = text.split(separator);
  for (let i = 0; i < levels.length; i++) levels[i] = levelToPath(percentDecode(levels[i]!));
  return levels.join('/');
}

/** Dotted pattern to path pattern: '*' is one level, '#' (and '>' where asked for) zero or more. */
export function separatedToPattern(text: string, separator: string, greaterIsMany: boolean): string {
  const levels = text.split(separator);
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i]!;
    if (level === '*') levels[i] = '+';
    else if (level === '#' || (greaterIsMany && level === '>')) levels[i] = '#';
    else levels[i] = levelToPath(percentDecode(level));
  }
  return levels.join('/');
}

/** Path pattern to dotted pattern, the reverse of separatedToPattern(text, '.', false). */
export function patternToDotted(pattern: string): string {
  const levels = pattern.split('/');
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i]!;
    if (level === '+') levels[i] = '*';
    else if (level !== '#') levels[i] = levelFromPath(level).replace(/[./%*#]/g, percentEncode);
  }
  return levels.join('.');
}

function percentEncode(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

/** Undoes percent-encoding of UTF-8 bytes; what is not a valid escape stays as it is. */
export function percentDecode(text: string): string {
  if (!text.includes('%')) return text;
  return text.replace(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      // Not UTF-8: taken literally rather than refused, so that a stray '%' in a legacy name keeps working.
      return escapes;
    }
  });
}
