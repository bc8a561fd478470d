import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatPasswordHash, unsatisfiableHash } from '../src/auth/password.ts';
import { parseAddress } from '../src/config/merge.ts';
import { parseSize, showSize } from '../src/config/options.ts';
import { closest, editDistance } from '../src/config/problems.ts';
import { optionRows, TABLE_BEGIN, TABLE_END, withConfigTable } from '../src/config/table.ts';
import {
  type Assignment,
  type Config,
  ConfigError,
  configTable,
  enabledListeners,
  loadConfig,
  resolveConfig,
} from '../src/config.ts';

const HASH = formatPasswordHash(unsatisfiableHash(14));

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-config-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

interface Given {
  readonly yaml?: string;
  readonly json?: string;
  readonly env?: Record<string, string>;
  readonly set?: readonly [path: string, text: string][];
  readonly flags?: readonly Assignment[];
}

function load({ yaml, json, env = {}, set = [], flags = [] }: Given): Config {
  if (yaml !== undefined) writeFileSync(join(directory, 'sluice.yaml'), yaml);
  if (json !== undefined) writeFileSync(join(directory, 'sluice.json'), json);
  const assignments = [...set.map(([path, text]) => ({ path, text, origin: `--set ${path}` })), ...flags];
  return loadConfig({ directory, env, assignments }).config;
}

function problems(given: Given): readonly string[] {
  try {
    load(given);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('defaults', () => {
  it('listen for MQTT, STOMP and HTTP on this machine only', () => {
    expect(enabledListeners(load({}))).toEqual([
      { name: 'mqtt', host: '127.0.0.1', port: 1883, accept: ['mqtt', 'stomp', 'http'], vhost: '/', tls: null },
      { name: 'stomp', host: '127.0.0.1', port: 61613, accept: ['mqtt', 'stomp', 'http'], vhost: '/', tls: null },
      { name: 'http', host: '127.0.0.1', port: 8080, accept: ['mqtt', 'stomp', 'http'], vhost: '/', tls: null },
    ]);
  });

  it('let in anonymous clients of this machine only', () => {
    expect(load({}).auth.anonymous).toBe('loopback');
  });

  it('are what an empty file and an embedding program without options get', () => {
    const config = load({});
    expect(load({ yaml: '# nothing set\n' })).toEqual(config);
    expect(resolveConfig({}, directory)).toEqual(config);
  });

  it('are what an option is documented to be', () => {
    const config = load({});
    for (const { path, shown } of optionRows()) {
      if (path.startsWith('listeners.')) continue;
      const value = path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], config);
      if (path === 'data.dir') expect(value).toBe(join(directory, shown));
      else if (typeof value === 'number') expect(parseSize(shown) ?? Number(shown), path).toBe(value);
      else if (Array.isArray(value)) expect(shown, path).toBe(`[${value.join(', ')}]`);
      else if (typeof value === 'object') expect(shown, path).toBe('{}');
      else expect(shown, path).toBe(String(value));
    }
  });
});

describe('a configuration', () => {
  it('is frozen, to its last list', () => {
    const config = load({
      yaml: `auth: {users: [{name: a, hash: "${HASH}", allow: [{actions: [publish], topics: [a]}]}]}`,
    });
    const visit = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return;
      expect(Object.isFrozen(value)).toBe(true);
      Object.values(value).forEach(visit);
    };
    visit(config);
  });

  it('takes the data directory from the working directory', () => {
    expect(load({ yaml: 'data: {dir: store}' }).data.dir).toBe(join(directory, 'store'));
    expect(load({ yaml: 'data: {dir: /var/lib/sluice}' }).data.dir).toBe('/var/lib/sluice');
  });

  it('reads sizes with and without units', () => {
    const mqtt = load({ yaml: 'mqtt: {maximumPacketSize: 2 MiB, queueBytesMax: 100000}' }).mqtt;
    expect(mqtt).toMatchObject({ maximumPacketSize: 2 * 1024 * 1024, queueBytesMax: 100_000 });
  });

  it('has a listener with TLS, whose files may be named from where it is', () => {
    const yaml =
      'listeners: {mqtts: {port: 8883, tls: {certificate: tls/own.pem, key: /etc/own.key, clientCa: ca.pem}}}';
    const { listeners } = load({ yaml, env: { SLUICE_LISTENERS__MQTTS__TLS__VERSION_MIN: 'TLSv1.3' } });
    expect(listeners.mqtts?.tls).toEqual({
      certificate: join(directory, 'tls', 'own.pem'),
      key: '/etc/own.key',
      clientCa: join(directory, 'ca.pem'),
      versionMin: 'TLSv1.3',
    });
    expect(listeners.mqtt?.tls).toBe(undefined);
  });

  it('has no TLS without a certificate and its key, and none of a version that is broken', () => {
    expect(problems({ yaml: 'listeners: {mqtts: {port: 8883, tls: {certificate: own.pem}}}' })).toEqual([
      expect.stringContaining('listeners.mqtts.tls.key'),
    ]);
    const tls = '{certificate: a, key: b, versionMin: TLSv1.1}';
    expect(problems({ yaml: `listeners: {mqtts: {port: 8883, tls: ${tls}}}` })).toEqual([
      expect.stringContaining('listeners.mqtts.tls.versionMin: "TLSv1.1" is not allowed; TLSv1.2 or TLSv1.3'),
    ]);
  });

  it('has a listener of any other name', () => {
    const config = load({ yaml: 'listeners: {plant: "0.0.0.0:1884", mqtt: off, stomp: off, http: off}' });
    expect(enabledListeners(config)).toEqual([
      { name: 'plant', host: '0.0.0.0', port: 1884, accept: ['mqtt', 'stomp', 'http'], vhost: '/', tls: null },
    ]);
  });

  it('may be JSON, also with tabs', () => {
    expect(load({ json: '{\n\t"mqtt": {\n\t\t"maximumQos": 1\n\t}\n}' }).mqtt.maximumQos).toBe(1);
  });

  it('may use an anchor for rules that repeat', () => {
    const config = load({
      yaml: `
auth:
  users:
    - { name: a, hash: "${HASH}", allow: &plant [{ actions: [subscribe], topics: ['plant/#'] }] }
    - { name: b, hash: "${HASH}", allow: *plant }
`,
    });
    expect(config.auth.users[1]?.allow).toEqual([{ actions: ['subscribe'], topics: ['plant/#'] }]);
  });
});

describe('sources', () => {
  const yaml = 'mqtt: {receiveMaximum: 1, levelsMax: 11, topicAliasMaximum: 21}';
  const env = { SLUICE_MQTT__RECEIVE_MAXIMUM: '2', SLUICE_MQTT__LEVELS_MAX: '12' };

  it('win over weaker ones, option by option: flags, environment, file, defaults', () => {
    const { mqtt } = load({ yaml, env, set: [['mqtt.receiveMaximum', '3']] });
    expect(mqtt).toMatchObject({ receiveMaximum: 3, levelsMax: 12, topicAliasMaximum: 21, maximumQos: 2 });
  });

  it('replace a list as a whole', () => {
    const config = load({ yaml: 'websocket: {paths: [/a, /b]}', env: { SLUICE_WEBSOCKET__PATHS: '[/c]' } });
    expect(config.websocket.paths).toEqual(['/c']);
  });

  it('turn a listener off and on again, and may change only its port', () => {
    const off = { SLUICE_LISTENERS__MQTT: 'off' };
    expect(enabledListeners(load({ env: off })).map(({ name }) => name)).toEqual(['stomp', 'http']);
    const on = load({ yaml: 'listeners: {mqtt: "10.0.0.1:1"}', env: off, set: [['listeners.mqtt', '0']] });
    expect(enabledListeners(on)[0]).toMatchObject({ name: 'mqtt', host: '10.0.0.1', port: 0 });
  });

  it('take texts as they are and everything else as YAML', () => {
    const config = load({
      env: { SLUICE_DATA__DIR: '007' },
      set: [
        ['vhosts', '[/, "a:b"]'],
        ['auth.anonymous', 'false'],
      ],
    });
    expect(config.data.dir).toBe(join(directory, '007'));
    expect(config.vhosts).toEqual(['/', 'a:b']);
    expect(config.auth.anonymous).toBe(false);
  });

  it('look for the file by its names, or take the one that is named', () => {
    writeFileSync(join(directory, 'other.yaml'), 'mqtt: {maximumQos: 0}');
    const named = loadConfig({ directory, file: 'other.yaml' });
    expect(named.config.mqtt.maximumQos).toBe(0);
    expect(named.file).toBe(join(directory, 'other.yaml'));
    expect(loadConfig({ directory, env: { SLUICE_CONFIG: 'other.yaml' } }).config.mqtt.maximumQos).toBe(0);
    expect(loadConfig({ directory }).file).toBeNull();
    writeFileSync(join(directory, 'sluice.yml'), 'mqtt: {maximumQos: 1}');
    expect(loadConfig({ directory }).config.mqtt.maximumQos).toBe(1);
  });

  it('do not take what Kubernetes says about a service called sluice for options', () => {
    const env = {
      SLUICE_SERVICE_HOST: '10.0.0.1',
      SLUICE_SERVICE_PORT: '1883',
      SLUICE_SERVICE_PORT_MQTT: '1883',
      SLUICE_PORT: 'tcp://10.0.0.1:1883',
      SLUICE_PORT_1883_TCP: 'tcp://10.0.0.1:1883',
      SLUICE_PORT_1883_TCP_ADDR: '10.0.0.1',
      SLUICE_MQTT_PORT: 'tcp://10.0.0.2:1883',
    };
    expect(problems({ env })).toEqual([]);
  });

  it('tell for each value where it was written', () => {
    writeFileSync(join(directory, 'sluice.yaml'), yaml);
    const { writtenAt } = loadConfig({ directory, env });
    expect(writtenAt(['mqtt', 'topicAliasMaximum'])).toBe('sluice.yaml:1');
    expect(writtenAt(['mqtt', 'levelsMax'])).toBe('SLUICE_MQTT__LEVELS_MAX');
    expect(writtenAt(['mqtt', 'maximumQos'])).toBe('');
  });
});

describe('what is wrong is said with path, value, what is allowed and where it was written', () => {
  const table: readonly [title: string, given: Given, expected: readonly string[]][] = [
    [
      'a number out of range',
      { yaml: 'mqtt:\n  receiveMaximum: -1\n' },
      ['mqtt.receiveMaximum: -1 is not allowed; a number of messages from 1 to 65535 (sluice.yaml:2)'],
    ],
    [
      'a fraction where a whole number is needed',
      { env: { SLUICE_MQTT__MAXIMUM_QOS: '1.5' } },
      ['mqtt.maximumQos: 1.5 is not allowed; a whole number from 0 to 2 (SLUICE_MQTT__MAXIMUM_QOS)'],
    ],
    [
      'a text where a number is needed',
      { set: [['mqtt.keepAliveMaxS', 'long']] },
      [
        'mqtt.keepAliveMaxS: "long" is not allowed; a number of seconds from 0 to 65535 (0 turns keep-alive off) (--set mqtt.keepAliveMaxS)',
      ],
    ],
    [
      'something that is not true or false',
      { yaml: 'stomp: {strictHost: yes}' },
      ['stomp.strictHost: "yes" is not allowed; true or false (sluice.yaml:1)'],
    ],
    [
      'no size',
      { yaml: 'mqtt: {maximumPacketSize: 5 parsecs}' },
      [
        'mqtt.maximumPacketSize: "5 parsecs" is not allowed; a number of bytes from 1 KiB to 268435460, such as 16 MiB (sluice.yaml:1)',
      ],
    ],
    [
      'a word that is none of the choices',
      { flags: [{ path: 'log.level', text: 'loud', origin: '--log-level' }] },
      ['log.level: "loud" is not allowed; debug, info, warn, error or silent (--log-level)'],
    ],
    [
      'an anonymous setting that is none',
      { set: [['auth.anonymous', 'localhost']] },
      ['auth.anonymous: "localhost" is not allowed; loopback, true or false (--set auth.anonymous)'],
    ],
    [
      'an element of a list',
      { yaml: 'listeners:\n  plant:\n    port: 1\n    accept:\n      - mqtt\n      - amqp\n' },
      ['listeners.plant.accept[1]: "amqp" is not allowed; a list of mqtt, stomp or http (sluice.yaml:6)'],
    ],
    [
      'a value where a section is needed',
      { yaml: 'log: 5' },
      ['log: 5 is not allowed; a section with level, format (sluice.yaml:1)'],
    ],
    [
      'a section with nothing in it',
      { yaml: 'log:\n' },
      ['log: null is not allowed; a section with level, format (sluice.yaml:1)'],
    ],
    [
      'a slip in a name',
      { yaml: 'mqtt:\n  maximunQos: 1\n' },
      ['mqtt.maximunQos: is not an option; did you mean mqtt.maximumQos? (sluice.yaml:2)'],
    ],
    [
      'a slip in the name of a section',
      { env: { SLUICE_MQT__MAXIMUM_QOS: '1' } },
      ['mqt: is not an option; did you mean mqtt? (SLUICE_MQT__MAXIMUM_QOS)'],
    ],
    [
      'an option in the wrong section',
      { yaml: 'stomp: {maximumQos: 1}' },
      ['stomp.maximumQos: is not an option; did you mean mqtt.maximumQos? (sluice.yaml:1)'],
    ],
    [
      'an option that is like no other',
      { yaml: 'log: {colour: red}' },
      ['log.colour: is not an option; log has level, format (sluice.yaml:1)'],
    ],
    [
      'a port where people look for it first',
      { set: [['mqtt.port', '1884']] },
      ['mqtt.port: is not an option; ports are set by listener, such as listeners.mqtt.port (--set mqtt.port)'],
    ],
    [
      'a listener that is neither an address nor a section',
      { flags: [{ path: 'listeners.mqtt', text: 'here', origin: '--mqtt' }] },
      ['listeners.mqtt: "here" is not allowed; HOST:PORT, a port, off, or a section with host and port (--mqtt)'],
    ],
    [
      'a port that does not exist',
      { flags: [{ path: 'listeners.http', text: '127.0.0.1:65536', origin: '--http' }] },
      ['listeners.http.port: 65536 is not allowed; a port from 0 to 65535 (0 picks a free one) (--http)'],
    ],
    [
      'a listener without a port',
      { yaml: 'listeners: {plant: {host: 10.0.0.1}}' },
      ['listeners.plant.port: is missing; a port from 0 to 65535 (0 picks a free one) (sluice.yaml:1)'],
    ],
    [
      'a listener with a name that no environment variable could have',
      { yaml: 'listeners: {plant-2: 5}' },
      [
        'listeners.plant-2: "plant-2" is not allowed; a listener name: a small letter, then letters and digits (sluice.yaml:1)',
      ],
    ],
    [
      'two listeners in one place',
      { yaml: 'listeners:\n  plant: 127.0.0.1:1883\n' },
      ['listeners.plant: 127.0.0.1:1883 is not allowed; listeners.mqtt listens there (sluice.yaml:2)'],
    ],
    [
      'a listener in a virtual host that is not there',
      { yaml: 'listeners: {mqtt: {vhost: plant}}' },
      ['listeners.mqtt.vhost: "plant" is not allowed; one of vhosts (/) (sluice.yaml:1)'],
    ],
    [
      'no virtual host to be in by default',
      { yaml: 'vhosts: [plant]' },
      [
        'vhosts: / is missing; it is where clients are by default (sluice.yaml:1)',
        'listeners.mqtt.vhost: "/" is not allowed; one of vhosts (plant)',
        'listeners.stomp.vhost: "/" is not allowed; one of vhosts (plant)',
        'listeners.http.vhost: "/" is not allowed; one of vhosts (plant)',
      ],
    ],
    [
      'a WebSocket path that is none',
      { yaml: 'websocket: {paths: [mqtt]}' },
      ['websocket.paths[0]: "mqtt" is not allowed; a path, such as /ws (sluice.yaml:1)'],
    ],
    [
      'a hash that is none, without repeating what may be a password',
      { yaml: 'auth:\n  users:\n    - name: a\n      hash: geheim\n' },
      [
        'auth.users[0].hash: this value is not allowed; the line that `sluice user hash` prints (scrypt, cost 14 to 18) (sluice.yaml:4)',
      ],
    ],
    [
      'a password where a hash belongs',
      { yaml: `auth: {users: [{name: a, hash: "${HASH}", password: geheim}]}` },
      [
        'auth.users[0].password: is not an option; only hashes are kept here: `hash`, made by `sluice user hash` (sluice.yaml:1)',
      ],
    ],
    [
      'a user without a hash',
      { yaml: 'auth: {users: [{name: a}]}' },
      [
        'auth.users[0].hash: is missing; the line that `sluice user hash` prints (scrypt, cost 14 to 18) (sluice.yaml:1)',
      ],
    ],
    [
      'two users of one name, and one with the name of those without',
      {
        yaml: `auth:\n  users:\n${['a', 'a', 'anonymous'].map((name) => `    - {name: ${name}, hash: "${HASH}"}\n`).join('')}`,
      },
      [
        'auth.users[1].name: "a" is not allowed; it is taken (sluice.yaml:4)',
        'auth.users[2].name: "anonymous" is not allowed; it is taken (sluice.yaml:5)',
      ],
    ],
    [
      'rules that could never apply, or not as they read',
      {
        yaml: `
auth:
  anonymousRules:
    allow:
      - { actions: [read], topics: [a] }
      - { actions: [publish] }
      - { actions: [publish], topics: ['a/#/b', 'a+', 'dev-%c', '$queue/jobs', ''] }
      - { actions: [publish], queues: ['jobs*'], exchanges: ['orders/a/#/b'] }
`,
      },
      [
        'auth.anonymousRules.allow[0].actions[0]: "read" is not allowed; a list of publish, subscribe or configure (sluice.yaml:5)',
        'auth.anonymousRules.allow[1]: a section is not allowed, it applies to nothing; a rule with actions, and topics, queues or exchanges (sluice.yaml:6)',
        'auth.anonymousRules.allow[2].topics[0]: "a/#/b" is not allowed, # may only be the last level; topic filters as in MQTT, such as plant/+/state or users/%u/# (sluice.yaml:7)',
        'auth.anonymousRules.allow[2].topics[1]: "a+" is not allowed, + must be a whole level; topic filters as in MQTT, such as plant/+/state or users/%u/# (sluice.yaml:7)',
        'auth.anonymousRules.allow[2].topics[2]: "dev-%c" is not allowed, %c must be a whole level; topic filters as in MQTT, such as plant/+/state or users/%u/# (sluice.yaml:7)',
        'auth.anonymousRules.allow[2].topics[3]: "$queue/jobs" is not allowed, $queue is an address, not a topic: name what it leads to (queues, exchanges); topic filters as in MQTT, such as plant/+/state or users/%u/# (sluice.yaml:7)',
        'auth.anonymousRules.allow[2].topics[4]: "" is not allowed, it is empty; topic filters as in MQTT, such as plant/+/state or users/%u/# (sluice.yaml:7)',
        'auth.anonymousRules.allow[3].queues[0]: "jobs*" is not allowed, * must be a whole level; queue names, such as jobs, jobs.* or inbox.%u.# (sluice.yaml:8)',
        'auth.anonymousRules.allow[3].exchanges[0]: "orders/a/#/b" is not allowed, # may only be the last level; exchange names, such as orders or orders/eu/# for some routing keys (sluice.yaml:8)',
      ],
    ],
    [
      'a variable that is no option',
      { env: { SLUICE_mqtt: '1', SLUICE_MQTT_PORT: '5' } },
      [
        'SLUICE_mqtt: is not an option; a dot is two underscores, such as in SLUICE_MQTT__MAXIMUM_QOS',
        'SLUICE_MQTT_PORT: is not an option; a dot is two underscores, such as in SLUICE_MQTT__MAXIMUM_QOS',
      ],
    ],
    [
      'a flag without a path',
      { set: [['mqtt..levelsMax', '1']] },
      ['mqtt..levelsMax: is not the path of an option (--set mqtt..levelsMax)'],
    ],
    [
      'names that objects have by themselves',
      { yaml: '__proto__: {x: 1}\nlog: {constructor: 1}\n', set: [['toString.x', '1']] },
      [
        'log.constructor: is not an option; log has level, format (sluice.yaml:2)',
        '__proto__: is not an option; the configuration has listeners, vhosts, data, storage, mqtt, stomp, websocket, connection, queue, disk, memory, retained, auth, log (sluice.yaml:1)',
        'toString: is not an option; the configuration has listeners, vhosts, data, storage, mqtt, stomp, websocket, connection, queue, disk, memory, retained, auth, log (--set toString.x)',
      ],
    ],
    [
      'the same key twice',
      { yaml: 'log: {level: info}\nlog: {level: warn}\n' },
      ['sluice.yaml:2:1: Map keys must be unique'],
    ],
    ['YAML that does not end', { yaml: 'mqtt: {' }, [expect.stringMatching(/^sluice\.yaml:1:\d+: Flow map/) as never]],
    ['a tag', { yaml: 'log: !secret x' }, ['sluice.yaml:1:6: Unresolved tag: !secret']],
    [
      'a file that is no list of options',
      { yaml: '- mqtt' },
      ['sluice.yaml: is not a list of options, such as "mqtt:" with "maximumQos: 1" below it'],
    ],
    [
      'two files',
      { yaml: '', json: '{}' },
      ['sluice.yaml and sluice.json are both there; keep one, or choose with --config'],
    ],
    [
      'a value on the command line that is no YAML',
      { set: [['vhosts', '[/']] },
      [expect.stringMatching(/^vhosts: "\[\/" cannot be read as YAML: .* \(--set vhosts\)$/) as never],
    ],
  ];

  for (const [title, given, expected] of table) {
    it(title, () => expect([...problems(given)].sort()).toEqual([...expected].sort()));
  }

  it('a file that is not there', () => {
    expect(() => loadConfig({ directory, file: 'none.yaml' })).toThrow(
      `${join(directory, 'none.yaml')}: cannot be read (ENOENT)`,
    );
  });

  it('a file whose aliases multiply', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 9; i++)
      lines.push(
        `a${i}: &a${i} [${Array(10)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
      );
    expect(problems({ yaml: lines.join('\n') })).toContain('sluice.yaml: it has more than 200000 values');
  });

  it('all of it at once', () => {
    expect(problems({ yaml: 'log: {level: 1, format: 2}', env: { SLUICE_X: '1' } })).toHaveLength(3);
  });

  it('an embedding program’s options as well', () => {
    expect(() => resolveConfig({ mqtt: { maximumQos: 3 } })).toThrow(
      'mqtt.maximumQos: 3 is not allowed; a whole number from 0 to 2',
    );
    expect(() => resolveConfig({ mqtt: { maximumQOS: 1 } } as never)).toThrow('did you mean mqtt.maximumQos?');
    expect(resolveConfig({ listeners: { mqtt: 'off', stomp: 0 } }).listeners.mqtt?.enabled).toBe(false);
  });
});

describe('a configuration that was damaged', () => {
  const valid = `
auth:
  anonymous: false
  users:
    - name: plant
      hash: "${HASH}"
      allow:
        - { actions: [subscribe], topics: ['plant/+/state'] }
      deny:
        - { actions: [publish, subscribe], topics: ['plant/secret/#'] }
`;

  it('is refused, or is no more open than it was', () => {
    load({ yaml: valid });
    fc.assert(
      fc.property(fc.nat(valid.length - 1), fc.string({ maxLength: 3 }), fc.nat(3), (at, put, cut) => {
        const yaml = valid.slice(0, at) + put + valid.slice(at + cut);
        writeFileSync(join(directory, 'sluice.yaml'), yaml);
        let auth: Config['auth'];
        try {
          auth = loadConfig({ directory }).config.auth;
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          return;
        }
        expect(auth.anonymous).not.toBe(true);
        for (const { allow } of auth.users) expect(allow).toBeDefined();
      }),
      { numRuns: 1000 },
    );
  });
});

describe('addresses', () => {
  it('are HOST:PORT, a port alone, or an IPv6 address in brackets', () => {
    expect(parseAddress('127.0.0.1:1883')).toEqual({ host: '127.0.0.1', port: 1883 });
    expect(parseAddress('localhost:0')).toEqual({ host: 'localhost', port: 0 });
    expect(parseAddress('[::1]:1883')).toEqual({ host: '::1', port: 1883 });
    expect(parseAddress(':1883')).toEqual({ port: 1883 });
    expect(parseAddress('1883')).toEqual({ port: 1883 });
    for (const text of ['', 'a', 'a:', 'a:b', '::1:1883', '1:2:3', 'a b:1', 'a:123456', '[x]:1']) {
      expect(parseAddress(text), text).toBeNull();
    }
  });
});

describe('sizes', () => {
  it('are read as they are shown', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (bytes) => {
        const shown = showSize(bytes);
        expect(parseSize(shown) ?? Number(shown)).toBe(bytes);
      }),
    );
    expect([parseSize('1.5 KiB'), parseSize('2MB'), parseSize('7 B'), parseSize('1 XB'), parseSize('')]).toEqual([
      1536,
      2_000_000,
      7,
      null,
      null,
    ]);
  });
});

describe('the name that was probably meant', () => {
  it('is the nearest one, if any is near', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(closest('keepalivemaxs', ['keepAliveMaxS', 'levelsMax'])).toBe('keepAliveMaxS');
    expect(closest('zzz', ['level', 'format'])).toBeNull();
  });
});

describe('the table of options', () => {
  it('has a row with a reason and what is allowed for each option', () => {
    const rows = optionRows();
    expect(new Set(rows.map(({ path }) => path)).size).toBe(rows.length);
    for (const { path, allowed, why } of rows) {
      expect(allowed, path).not.toBe('');
      expect(why, path).toMatch(/\.$/);
    }
    expect(configTable().split('\n')).toHaveLength(rows.length + 2);
  });

  it('goes between its marks and leaves the rest alone', () => {
    const around = `before\n${TABLE_BEGIN}\nold\n${TABLE_END}\nafter\n`;
    expect(withConfigTable(around)).toBe(`before\n${TABLE_BEGIN}\n${configTable()}\n${TABLE_END}\nafter\n`);
    expect(withConfigTable('no marks')).toBeNull();
  });

  it('is the one in the README', () => {
    const file = join(import.meta.dirname, '..', 'README.md');
    const readme = readFileSync(file, 'utf8');
    // To renew it: node dist/src/main.js config docs --into README.md
    expect(withConfigTable(readme)).toBe(readme);
  });
});
