// LIKE: % stands for any characters, _ for one. No regular expression, so that no pattern can take more than length × length steps; a part without _ is found by the
// engine's own search.

/** Between two %: a text, and where in it any character may stand. */
interface Part {
  readonly text: string;
  /** wild[i]: any character matches there. Null when none does. */
  readonly wild: readonly boolean[] | null;
}

export type Like = (value: string) => boolean;

/** mark: the character after which % and _ stand for themselves; '' for none. Null when it is followed by something else. */
export function compileLike(pattern: string, mark: string): Like | null {
  const parts: Part[] = [];
  let text = '';
  let wild: boolean[] = [];
  const end = () => {
    parts.push({ text, wild: wild.includes(true) ? wild : null });
    text = '';
    wild = [];
  };
  for (let i = 0; i < pattern.length; i++) {
    let character = pattern[i]!;
    const escaped = character === mark;
    if (escaped) {
      character = pattern[++i] ?? '';
      if (character !== '%' && character !== '_' && character !== mark) return null;
    } else if (character === '%') {
      end();
      continue;
    }
    wild.push(!escaped && character === '_');
    text += character;
  }
  end();
  return parts.length === 1 ? (value) => isExactly(value, parts[0]!) : (value) => matchesParts(value, parts);
}

function isExactly(value: string, part: Part): boolean {
  return value.length === part.text.length && isAt(value, 0, part);
}

/** The first part begins the value, the last ends it, the others follow each other, each at its first place: a later one would leave less for the rest. */
function matchesParts(value: string, parts: readonly Part[]): boolean {
  const first = parts[0]!;
  const last = parts[parts.length - 1]!;
  const end = value.length - last.text.length;
  if (end < first.text.length || !isAt(value, 0, first) || !isAt(value, end, last)) return false;
  let at = first.text.length;
  for (let i = 1; i < parts.length - 1; i++) {
    const part = parts[i]!;
    const found = find(value, at, end, part);
    if (found < 0) return false;
    at = found + part.text.length;
  }
  return true;
}

function find(value: string, from: number, end: number, part: Part): number {
  const lastStart = end - part.text.length;
  if (part.wild === null) {
    const found = value.indexOf(part.text, from);
    return found > lastStart ? -1 : found;
  }
  for (let at = from; at <= lastStart; at++) if (isAt(value, at, part)) return at;
  return -1;
}

function isAt(value: string, at: number, { text, wild }: Part): boolean {
  if (wild === null) return value.startsWith(text, at);
  for (let i = 0; i < text.length; i++) if (!wild[i] && value.charCodeAt(at + i) !== text.charCodeAt(i)) return false;
  return true;
}
