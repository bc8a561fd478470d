// The numbers a long campaign is called with, in order; anything else is an answer and an end, not a campaign of a length that nobody asked for.

/** The arguments as numbers from 1 on, `defaults` for those that are not there. Ends the process with 2 when one is none, or there are more. */
export function numbersOrUsage<const D extends readonly number[]>(
  usage: string,
  args: readonly string[],
  defaults: D,
): { [K in keyof D]: number } {
  // npm puts one in front of what it passes on, or does not.
  const texts = args.filter((arg) => arg !== '--');
  const numbers = defaults.map((value, i) => (texts[i] === undefined ? value : Number(texts[i])));
  if (texts.length > defaults.length || numbers.some((number) => !Number.isSafeInteger(number) || number < 1)) {
    process.stderr.write(`usage: ${usage}\n`);
    process.exit(2);
  }
  return numbers as { [K in keyof D]: number };
}
