// Every option: its default, its unit, what is allowed and why it is what it is. The README's table and the messages about wrong values are made from
// these lines. Names end in their unit (Ms, S, Bytes) and qualifier (Max). Holds no rule that spans several options; those are in config.ts.
import { z } from 'zod';
import { COST_LOG2_MAX, COST_LOG2_MIN, parsePasswordHash } from '../auth/password.ts';
import { DOTTED, patternProblem, TOPIC } from '../auth/pattern.ts';
import { splitExchangePattern } from '../auth/policy.ts';
import { ITERATIONS_MAX, ITERATIONS_MIN, parseScramKeys } from '../auth/scram.ts';
import { choice, count, either, flag, fraction, list, name, note, section, size, text } from './options.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const U32_MAX = 0xffffffff;

// --- listeners -------------------------------------------------------------------------------------------------------

export const PROTOCOLS = ['mqtt', 'stomp', 'http'] as const;

const vhostName = 'a virtual host, 1 to 128 characters';

/** A file named in the configuration; relative paths start where the configuration's do. */
function pemFile(why: string) {
  return note(z.string().min(1).max(4096), { allowed: 'a PEM file', why, verbatim: true });
}

const tls = note(
  z.strictObject({
    certificate: pemFile(
      'The certificate clients see, and those between it and its authority. It is read again when it changes; before it expires, the log says so.',
    ),
    key: pemFile('The key of the certificate, without a passphrase. Only the broker should be able to read it.'),
    clientCa: note(pemFile('').optional(), {
      allowed: 'a PEM file',
      why: 'Authorities: who connects must present a certificate of one of them, beside any password. Without it none is asked for.',
      verbatim: true,
    }),
    versionMin: choice(['TLSv1.2', 'TLSv1.3'], {
      default: 'TLSv1.2',
      why: 'Devices of many years know 1.2; older versions are broken.',
    }),
  }),
  { allowed: 'a section with certificate and key' },
).optional();

const listener = note(
  z.strictObject({
    enabled: flag({ default: true, why: 'Written short as `off`, for a port that is not wanted.' }),
    host: text(255, 'a host name or an IP address', {
      default: '127.0.0.1',
      why: 'This machine only. `0.0.0.0` or `::` opens it to the network: set up users first.',
    }),
    port: note(z.number().int().min(0).max(65535), {
      allowed: 'a port from 0 to 65535 (0 picks a free one)',
      why: '1883 and 61613 are the ports MQTT and STOMP clients expect, 8080 is free for everybody.',
    }),
    accept: list(z.enum(PROTOCOLS), PROTOCOLS.length, `a list of ${either(PROTOCOLS)}`, {
      default: [...PROTOCOLS],
      why: 'What may be spoken here; it is told from the first bytes. WebSocket, demo page and API are `http`.',
    }),
    vhost: text(128, vhostName, {
      default: '/',
      why: 'Where clients are that name no virtual host themselves.',
    }),
    activemq: flag({
      default: false,
      why: 'STOMP destinations mean what they mean to ActiveMQ: `>` is a wildcard, and a comma stands between several.',
    }),
    tls,
  }),
  { allowed: 'HOST:PORT, a port, off, or a section with host and port', verbatim: true },
);

const listeners = z.record(
  name(64, 'a listener name: a small letter, then letters and digits', /^[a-z][a-zA-Z0-9]*$/),
  listener,
);

/** The listeners there are unless they are turned off. */
export const LISTENERS_DEFAULT = { mqtt: { port: 1883 }, stomp: { port: 61613 }, http: { port: 8080 } } as const;

// --- permissions -----------------------------------------------------------------------------------------------------

/** Addresses that an adapter translates before a rule is asked; a topic rule on one would never apply. */
const ADDRESS_FORMS = ['$share', '$queue', '$amq', '$exclusive', '$delayed', '$exchange', '$dlq', '$return', '$stream'];

function patterns(kind: string, problemOf: (text: string) => string) {
  const checked = z.string().check((ctx) => {
    const problem = problemOf(ctx.value);
    if (problem !== '') ctx.issues.push({ code: 'custom', input: ctx.value, message: problem });
  });
  const allowed = `a list of ${kind}`;
  return note(
    z
      .array(note(checked, { allowed: kind }))
      .max(1000)
      .optional(),
    { allowed },
  );
}

const topicPatterns = patterns('topic filters as in MQTT, such as plant/+/state or users/%u/#', (filter) => {
  const first = filter.split('/')[0] ?? '';
  if (ADDRESS_FORMS.includes(first))
    return `${first} is an address, not a topic: name what it leads to (queues, exchanges)`;
  return patternProblem(filter, TOPIC);
});

const queuePatterns = patterns('queue names, such as jobs, jobs.* or inbox.%u.#', (pattern) =>
  patternProblem(pattern, DOTTED),
);

const exchangePatterns = patterns('exchange names, such as orders or orders/eu/# for some routing keys', (pattern) => {
  const { name: exchange, key } = splitExchangePattern(pattern);
  return patternProblem(exchange, DOTTED) || (key === null ? '' : patternProblem(key, TOPIC));
});

const ACTIONS = ['publish', 'subscribe', 'configure'] as const;

const rule = note(
  z
    .strictObject({
      actions: note(z.array(z.enum(ACTIONS)).min(1).max(ACTIONS.length), { allowed: `a list of ${either(ACTIONS)}` }),
      vhosts: note(z.array(name(128, vhostName)).min(1).max(1000).optional(), { allowed: 'a list of virtual hosts' }),
      topics: topicPatterns,
      queues: queuePatterns,
      exchanges: exchangePatterns,
    })
    .refine(({ topics, queues, exchanges }) => topics ?? queues ?? exchanges, 'it applies to nothing'),
  { allowed: 'a rule with actions, and topics, queues or exchanges' },
);

const rules = note(z.array(rule).max(1000), {
  allowed: 'a list of rules with actions, and topics, queues or exchanges',
});

const user = note(
  z.strictObject({
    name: name(128, 'a name of 1 to 128 characters'),
    hash: note(
      z.string().refine((hash) => parsePasswordHash(hash) !== null),
      {
        allowed: `the line that \`sluice user hash\` prints (scrypt, cost ${COST_LOG2_MIN} to ${COST_LOG2_MAX})`,
        secret: true,
        verbatim: true,
      },
    ),
    scram: note(
      z
        .string()
        .refine((keys) => parseScramKeys(keys) !== null)
        .optional(),
      {
        allowed: `the line that \`sluice user scram\` prints (SCRAM-SHA-256, ${ITERATIONS_MIN} to ${ITERATIONS_MAX} iterations)`,
        secret: true,
        verbatim: true,
      },
    ),
    allow: rules.optional(),
    deny: rules.optional(),
  }),
  { allowed: 'a user with name, hash, scram, allow and deny' },
);

// --- everything ------------------------------------------------------------------------------------------------------

export const configSchema = z.strictObject({
  listeners,

  vhosts: list(name(128, vhostName), 1000, 'a list of virtual hosts, with / among them', {
    default: ['/'],
    why: 'Worlds apart: nothing goes from one to another. `/` is where everybody is by default.',
  }),

  data: section({
    dir: text(4096, 'a directory', {
      default: './data',
      why: 'Everything that outlives the process, taken from the working directory.',
    }),
  }),

  storage: section({
    engine: choice(['memory', 'embedded'], {
      default: 'embedded',
      why: 'The commit log in `data.dir`: what was confirmed survives. `memory` keeps nothing beyond the process.',
    }),
    durability: choice(['memory', 'written', 'fsync'], {
      default: 'fsync',
      why: 'When a publish is confirmed: once in memory, handed to the system, or on the disk (nothing confirmed is lost).',
    }),
  }),

  mqtt: section({
    keepAliveMaxS: count(
      'seconds',
      0,
      65535,
      {
        default: 65535,
        why: 'A longer keep-alive is cut to this (MQTT 5 clients are told). By default what the client wants.',
      },
      '0 turns keep-alive off',
    ),
    receiveMaximum: count('messages', 1, 65535, {
      default: 1024,
      why: 'QoS 1 and 2 messages a client may have unanswered: enough for a fast one, and its packet ids stay small.',
    }),
    topicAliasMaximum: count('aliases', 0, 65535, {
      default: 32,
      why: 'Topics a connection may abbreviate; each is kept in memory, and a topic can have 64 KiB.',
    }),
    maximumPacketSize: size(1 * KIB, 268_435_460, {
      default: 16 * MIB,
      why: 'A longer packet ends the connection before it is read; the protocol would allow 256 MiB.',
    }),
    sessionExpiryMaxS: count(
      'seconds',
      0,
      U32_MAX,
      {
        default: 7 * 24 * 3600,
        why: 'A session nobody comes back to goes after a week, whatever was asked for; MQTT 3 has no expiry of its own.',
      },
      `${U32_MAX} keeps sessions for ever`,
    ),
    maximumQos: count('', 0, 2, { default: 2, why: 'All of MQTT. Less refuses what clients may rely on.' }),
    retainAvailable: flag({ default: true, why: 'All of MQTT.' }),
    wildcardSubscriptions: flag({ default: true, why: 'All of MQTT.' }),
    sharedSubscriptions: flag({ default: true, why: 'All of MQTT.' }),
    subscriptionIdentifiers: flag({ default: true, why: 'All of MQTT.' }),
    validatePayloadFormat: flag({
      default: false,
      why: 'Refuses payloads marked as UTF-8 that are not; it costs a look at every byte.',
    }),
    overlappingSubscriptions: choice(['once', 'each'], {
      default: 'once',
      why: 'A message that several filters of a client match comes once, at the highest QoS, or once for each.',
    }),
    serverReference: note(
      z
        .string()
        .max(1024)
        .regex(/^\P{Cc}*$/u)
        .default(''),
      {
        why: 'Another server (host:port, several with spaces between them) to which MQTT 5 clients are sent instead of being let in; MQTT 3 clients are told "unavailable".',
        allowed: 'a text of at most 1024 characters; empty lets clients in',
        shown: '',
      },
    ),
    serverMoved: flag({ default: false, why: 'With a serverReference: for good (0x9D) instead of for now (0x9C).' }),
    sysIntervalS: count(
      'seconds',
      0,
      86_400,
      { default: 10, why: 'How often the figures under `$SYS/broker/` are published, as mosquitto does.' },
      '0 publishes none',
    ),
    queueBytesMax: size(64 * KIB, 64 * GIB, {
      default: 64 * MIB,
      why: 'What waits for one session. Beyond it the oldest goes, counted: an absent client must not fill the machine.',
    }),
    levelsMax: count('levels', 1, 1024, {
      default: 128,
      why: 'Levels of a topic or filter; each is a step of the routing trie, and 65,535 slashes fit in a topic.',
    }),
  }),

  stomp: section({
    heartBeatSendMs: count(
      'milliseconds',
      0,
      3_600_000,
      { default: 10_000, why: 'The shortest interval at which the broker offers heart-beats.' },
      '0 offers none',
    ),
    heartBeatReceiveMs: count(
      'milliseconds',
      0,
      3_600_000,
      { default: 10_000, why: 'The interval at which the broker would like to hear from a client that can.' },
      '0 asks for none',
    ),
    frameBytesMax: size(1 * KIB, 256 * MIB, {
      default: 17 * MIB,
      why: 'A whole frame: the longest body with its headers.',
    }),
    headersMax: count('headers', 8, 10_000, { default: 256, why: 'Headers of one frame; applications use a dozen.' }),
    headerBytesMax: size(256, 1 * MIB, { default: 16 * KIB, why: 'One header line.' }),
    bodyBytesMax: size(0, 256 * MIB, {
      default: 16 * MIB,
      why: 'As much as the longest MQTT packet, so that what one can send the other can receive.',
    }),
    strictHost: flag({
      default: false,
      why: 'Refuses a `host` header that names no virtual host; the specification lets clients put any host name there.',
    }),
    prefetchDefault: count(
      'messages',
      0,
      65535,
      {
        default: 100,
        why: 'Unsettled messages a subscription gets that names no prefetch-count: one worker never takes the whole queue.',
      },
      '0 is no limit',
    ),
  }),

  websocket: section({
    engine: choice(['auto', 'ws', 'uws'], {
      default: 'auto',
      why: 'What `auto` takes is the broker’s choice, `ws` today. `uws` is uWebSockets.js, which has to be installed, for listeners that accept only http.',
    }),
    paths: list(name(128, 'a path, such as /ws', /^\/[\w\-./~]*$/), 16, 'a list of paths, such as [/mqtt, /ws]', {
      default: ['/mqtt', '/stomp', '/ws'],
      why: 'Where clients of either protocol look; each path takes all of them, told by the subprotocol.',
    }),
    messageBytesMax: size(1 * KIB, 256 * MIB, {
      default: 17 * MIB,
      why: 'One WebSocket message, in which a whole STOMP frame or MQTT packet fits.',
    }),
    origins: list(
      name(255, 'an origin', /^(\*|same-host|https?:\/\/[\w\-.[\]:]+)$/),
      1000,
      'a list of origins such as https://plant.example, same-host, or * for any',
      {
        default: ['same-host'],
        why: 'Pages that may connect. By default those this host serves, so that no foreign page can use a visitor to get in.',
      },
    ),
  }),

  connection: section({
    max: count('connections', 1, 10_000_000, {
      default: 65_536,
      why: 'More are turned away. The system’s limit of open files holds as well (`ulimit -n`).',
    }),
    handshakeTimeoutMs: count('milliseconds', 100, 600_000, {
      default: 10_000,
      why: 'From the first byte expected to being logged in; slow enough for any link, too short to sit on sockets.',
    }),
    preAuthBytesMax: size(1 * KIB, 16 * MIB, {
      default: 48 * KIB,
      why: 'What a stranger may send before being logged in: with all else it holds, less than 64 KiB. A will message has to fit.',
    }),
  }),

  queue: section({
    max: count('queues', 1, 10_000_000, {
      default: 100_000,
      why: 'Queues of one virtual host; a name costs memory, and clients choose names.',
    }),
  }),

  disk: section({
    freeLimitBytes: size(0, 1024 * GIB, {
      default: 50 * MIB,
      why: 'Below so much free space what has to be stored is refused, while consumers go on: a little must be left for their settlements.',
    }),
    freeLimitShare: fraction(0, 0.5, {
      default: 0.05,
      why: 'The same as a share of the file system of `data.dir`; whichever asks for more counts.',
    }),
  }),

  memory: section({
    highWatermark: fraction(0.05, 0.95, {
      default: 0.6,
      why: 'Share of the machine’s (or container’s) memory at which publishers are made to wait; the rest is for what is on its way.',
    }),
  }),

  retained: section({
    max: count('messages', 0, 100_000_000, {
      default: 2_000_000,
      why: 'Retained messages of one virtual host, the broker’s own figures among them.',
    }),
    bytesMax: size(0, 1024 * GIB, { default: 256 * MIB, why: 'Their payloads together.' }),
  }),

  auth: section({
    anonymous: note(z.union([z.literal('loopback'), z.boolean()]).default('loopback'), {
      why: 'Clients without credentials: from this machine only, always, or never. Wrong credentials are refused in any case.',
      allowed: 'loopback, true or false',
      shown: 'loopback',
    }),
    anonymousRules: note(z.strictObject({ allow: rules.optional(), deny: rules.optional() }).prefault({}), {
      why: 'What they may do, as for a user. Without `allow`: everything but the broker’s own $-topics, of which figures and events may be read.',
      allowed: 'a section with allow and deny',
      shown: '{}',
    }),
    users: note(z.array(user).max(100_000).prefault([]), {
      why: 'Names, password hashes (`sluice user hash`) and what each may do. An `allow` is the whole of it; `deny` beats it.',
      allowed: 'a list of users with name, hash, scram, allow and deny',
      shown: '[]',
    }),
  }),

  log: section({
    level: choice(['debug', 'info', 'warn', 'error', 'silent'], {
      default: 'info',
      why: 'Connections and changes, not messages.',
    }),
    format: choice(['auto', 'json', 'pretty'], {
      default: 'auto',
      why: 'Readable on a terminal, JSON elsewhere. Always on standard error.',
    }),
  }),
});
