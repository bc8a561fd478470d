// Arbitrary names, topics and keys for the tests of both mappings: every character that some notation gives a meaning to, and some that none does.
import fc from 'fast-check';
import { levelToPath } from '../../src/core/routing-key.ts';

const SPECIAL_FIRST =
  /^\$(queue|amq|dlq|exchange|share|exclusive|delayed|return|stream|event|trace|tx|shadow|opt|CONTROL|SYS)(\/|$)/;

const character = fc.constantFrom(...'ab.%*>$~: +#/,25F', '%2F', '%25', '%00', '\n', '\x7f', 'é', '漢', '🐟', '\u0085');
const mqttCharacter = character.filter((text) => !/[/+#]/.test(text));

/** One level or name, any character but U+0000. */
const literal = fc.array(character, { maxLength: 6 }).map((parts) => parts.join(''));

export const queueName = literal.filter((name) => name !== '');
export const exchangeName = literal.filter((name) => name !== '' && name !== 'amq.topic');

/** A key in path notation whose levels have any character. */
export const literalPath = fc
  .array(literal, { minLength: 1, maxLength: 5 })
  .map((levels) => levels.map(levelToPath).join('/'));

const mqttLevel = fc.array(mqttCharacter, { maxLength: 6 }).map((parts) => parts.join(''));

/** A topic name that stands for itself. */
export const mqttTopic = fc
  .array(mqttLevel, { minLength: 1, maxLength: 6 })
  .map((levels) => levels.join('/'))
  .filter((topic) => topic !== '' && !SPECIAL_FIRST.test(topic));

/** A topic and a filter that often has to do with it. */
export const topicAndFilter = mqttTopic.chain((topic) =>
  fc
    .tuple(
      fc.array(fc.constantFrom('same', 'plus', 'other'), { minLength: 0, maxLength: 6 }),
      fc.constantFrom('', '#', '+'),
      fc.boolean(),
    )
    .map(([choices, end, cut]) => {
      const levels = topic.split('/').slice(0, cut ? choices.length + 1 : undefined);
      const filter = levels.map((level, i) =>
        choices[i] === 'plus' ? '+' : choices[i] === 'other' ? `${level}x` : level,
      );
      if (end !== '') filter.push(end);
      return { topic, filter: filter.join('/') };
    })
    .filter(({ filter }) => filter !== '' && !SPECIAL_FIRST.test(filter)),
);
