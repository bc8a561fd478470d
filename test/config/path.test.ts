import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { envName, envPath, parsePath, showPath } from '../../src/config/path.ts';
import { optionRows } from '../../src/config/table.ts';

const word = fc.stringMatching(/^[a-z][a-z0-9]{0,6}$/);
const key = fc
  .tuple(word, fc.array(fc.stringMatching(/^[A-Z][a-z0-9]{0,5}$/), { maxLength: 4 }))
  .map(([first, more]) => first + more.join(''));

describe('the name of an environment variable', () => {
  it('writes a dot as two underscores and a capital letter as one', () => {
    expect(envName(['mqtt', 'keepAliveMaxS'])).toBe('SLUICE_MQTT__KEEP_ALIVE_MAX_S');
    expect(envName(['vhosts'])).toBe('SLUICE_VHOSTS');
  });

  it('leads back to the path it was made from, for every path', () => {
    fc.assert(
      fc.property(fc.array(key, { minLength: 1, maxLength: 4 }), (path) => {
        expect(envPath(envName(path))).toEqual(path);
      }),
    );
  });

  it('leads back from every option that there is', () => {
    const paths = optionRows().map(({ path }) => path.replace('<name>', 'plant2A').split('.'));
    expect(paths.length).toBeGreaterThan(40);
    for (const path of paths) expect(envPath(envName(path))).toEqual(path);
  });

  it('is the only name of its path: any other text is no option', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^SLUICE_[A-Za-z0-9_]{0,20}$/), (variable) => {
        const path = envPath(variable);
        if (path !== null) expect(envName(path)).toBe(variable);
      }),
    );
    for (const variable of ['SLUICE_', 'SLUICE_A___B', 'SLUICE_A_1', 'SLUICE_a', 'SLUICE__A', 'SLUICE_A_', 'PATH']) {
      expect(envPath(variable)).toBeNull();
    }
  });
});

describe('a path as text', () => {
  it('shows list elements in brackets', () => {
    expect(showPath(['auth', 'users', 0, 'allow', 12, 'topics'])).toBe('auth.users[0].allow[12].topics');
  });

  it('has no empty step', () => {
    expect(parsePath('listeners.mqtt.port')).toEqual(['listeners', 'mqtt', 'port']);
    for (const text of ['', '.', 'a.', '.a', 'a..b']) expect(parsePath(text)).toBeNull();
  });
});
