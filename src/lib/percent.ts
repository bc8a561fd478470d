// Percent-encoding of chosen characters, for notations that give a meaning to some. The reverse, which takes any escape, is percentDecode in
// core/routing-key.ts.

/** Every match of `characters` (a global pattern of single characters) as the %XX of its UTF-8 bytes. */
export function percentEncode(text: string, characters: RegExp): string {
  return text.replace(characters, encodeCharacter);
}

function encodeCharacter(character: string): string {
  let encoded = '';
  for (const byte of Buffer.from(character)) encoded += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return encoded;
}

/** Whether U+0000 stands in the text, as itself or as an escape. */
export function hasNul(text: string): boolean {
  return text.includes('\0') || text.includes('%00');
}

/** A peer's text for an error message: quoted, control characters escaped, cut to a readable length. */
export function quoted(text: string): string {
  return JSON.stringify(text.length <= 200 ? text : `${text.slice(0, 200)}…`);
}
