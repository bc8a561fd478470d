// STOMP's frames, connecting, heart-beats, receipts and errors.
import { expect } from 'vitest';
import { Version } from '../../protocols/stomp/frame.ts';
import { frame } from '../support/stomp-client.ts';
import { said, type Wire } from './stomp.ts';

const SUBSCRIBE = 'SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\0';

function listening(wire: Wire) {
  const client = wire.client();
  client.sendBytes(SUBSCRIBE);
  return client;
}

said('[STOMP-F-1] command, headers, empty line, body and NUL make a frame, wherever it is cut', (wire) => {
  for (const chunkBytes of [1, 2, 7, 1000]) {
    const client = wire.client();
    client.chunkBytes = chunkBytes;
    client.sendBytes(`${SUBSCRIBE}SEND\ndestination:/topic/a\nk:v\n\nbody\0`);
    const [message] = client.messages();
    expect([message!.header('k'), message!.text()]).toEqual(['v', 'body']);
    client.hangUp();
  }
});

said('[STOMP-F-2] commands and header names are told apart by case', (wire) => {
  const lower = wire.client();
  lower.sendBytes('send\ndestination:/topic/a\n\n\0');
  expect(lower.error()!.header('message')).toBe('Bad command');
  const capital = wire.client();
  capital.sendBytes('SEND\nDestination:/topic/a\n\n\0');
  expect(capital.error()!.text()).toContain('destination');
});

said('[STOMP-F-3] lines end in LF alone', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination:/topic/a\n\nx\0');
  expect(client.bodies()).toEqual(['x']);
});

said('[STOMP-F-4] lines end in LF or CR LF', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\r\ndestination:/topic/a\r\nk:v\r\n\r\nx\0\r\n');
  client.sendBytes('SEND\ndestination:/topic/a\r\nk:v\n\r\ny\0');
  expect(client.messages().map((message) => [message.header('k'), message.text()])).toEqual([
    ['v', 'x'],
    ['v', 'y'],
  ]);
});

said('[STOMP-F-5] any number of line ends may stand behind a frame', (wire) => {
  const client = listening(wire);
  client.sendBytes('\n\n\nSEND\ndestination:/topic/a\n\n1\0\n\n\n\nSEND\ndestination:/topic/a\n\n2\0\n');
  expect(client.bodies()).toEqual(['1', '2']);
});

said('[STOMP-F-6] command and headers are UTF-8', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination:/topic/a\nnämé:☃ 𝄞\n\n\0');
  expect(client.messages()[0]!.header('nämé')).toBe('☃ 𝄞');
  client.sendBytes(
    Buffer.concat([Buffer.from('SEND\ndestination:/topic/a\nk:'), Buffer.from([0xff, 0xc0]), Buffer.from('\n\n\0')]),
  );
  expect(client.error()!.text()).toContain('UTF-8');
});

said('[STOMP-F-7] \\r, \\n, \\c and \\\\ stand for CR, LF, colon and backslash, both ways', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination:/topic/a\nk\\c1:a\\rb\\nc\\cd\\\\e\n\n\0');
  wire.world.settle();
  const text = Buffer.from(client.pipe.taken()).toString();
  expect(text).toContain('\nk\\c1:a\\rb\\nc\\cd\\\\e\n');
});

said('[STOMP-F-8] \\n, \\c and \\\\ stand for LF, colon and backslash, both ways, and \\r for nothing', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination:/topic/a\nk\\c1:b\\nc\\cd\\\\e\n\n\0');
  wire.world.settle();
  expect(Buffer.from(client.pipe.taken()).toString()).toContain('\nk\\c1:b\\nc\\cd\\\\e\n');
  client.sendBytes('SEND\ndestination:/topic/a\nk:a\\rb\n\n\0');
  expect(client.error()).not.toBeNull();
});

said('[STOMP-F-9] any other escape is a fatal protocol error', (wire) => {
  for (const escaped of ['\\t', '\\x', '\\ ', '\\']) {
    const client = wire.client();
    client.sendBytes(`SEND\ndestination:/topic/a\nk:a${escaped}\n\n\0`);
    expect(client.error()!.header('message'), escaped).toBe('malformed frame received');
  }
});

said('[STOMP-F-10] CONNECT and CONNECTED are not escaped', (wire) => {
  const client = wire.stranger();
  client.sendBytes(`CONNECT\naccept-version:1.${wire.version - 10}\nhost:/\nclient-id:a\\tb:c\n\n\0`);
  expect(client.receive()[0]!.command).toBe('CONNECTED');
});

said('[STOMP-F-11] a backslash is a backslash', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination:/topic/a\nk:a\\nb\\t\\\n\n\0');
  expect(client.messages()[0]!.header('k')).toBe('a\\nb\\t\\');
});

said('[STOMP-F-12] spaces around names and values belong to them', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination:/topic/a\n k : v \n\n\0');
  expect(client.messages()[0]!.header(' k ')).toBe(' v ');
});

said('[STOMP-F-13] spaces around names and values do not belong to them', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination: /topic/a\nk: v \n\n\0');
  expect(client.messages()[0]!.header('k')).toBe('v');
});

said('[STOMP-F-14] content-length counts octets, and NULs among them are the body', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination:/topic/a\ncontent-length:7\n\na\0b\0\n\u00e9\0');
  expect(client.bodies()).toEqual(['a\0b\0\n\u00e9']);
});

said('[STOMP-F-15] without content-length the body ends at the first NUL', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination:/topic/a\n\none\0SEND\ndestination:/topic/a\n\ntwo\0');
  expect(client.bodies()).toEqual(['one', 'two']);
});

said('[STOMP-F-16] a content-length that does not fit, or is no number, ends the connection', (wire) => {
  for (const length of ['2', '-1', 'x', '1e3', '99999999999999999999']) {
    const client = wire.client();
    client.sendBytes(`SEND\ndestination:/topic/a\ncontent-length:${length}\n\nbody\0`);
    expect(client.error(), length).not.toBeNull();
  }
});

said('[STOMP-F-17] only SEND, MESSAGE and ERROR may have a body', (wire) => {
  const client = wire.client();
  client.sendBytes('SUBSCRIBE\nid:1\ndestination:/topic/a\n\nbody\0');
  expect(client.error()!.text()).toContain('body');
});

said('[STOMP-F-18] of a repeated header the first counts', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination:/topic/a\ndestination:/topic/b\nk:1\nk:2\n\nx\0');
  const [message] = client.messages();
  expect([message!.header('destination'), message!.header('k')]).toEqual(['/topic/a', '1']);
});

said(
  '[STOMP-F-19] headers, their length and the body are limited',
  (wire) => {
    const long = 'x'.repeat(2000);
    for (const [what, text] of [
      ['stomp.headersMax', `SEND\ndestination:/topic/a\n${'k:v\n'.repeat(30)}\n\0`],
      ['stomp.headerBytesMax', `SEND\ndestination:/topic/a\nk:${long}\n\n\0`],
      ['stomp.bodyBytesMax', `SEND\ndestination:/topic/a\ncontent-length:2000\n\n${long}\0`],
      ['stomp.bodyBytesMax', `SEND\ndestination:/topic/a\n\n${long}\0`],
    ] as const) {
      const client = wire.client();
      client.sendBytes(text);
      const error = client.error()!;
      expect([error.header('message'), error.text()]).toEqual(['Frame over limit', expect.stringContaining(what)]);
    }
  },
  { stomp: { headersMax: 20, headerBytesMax: 1000, bodyBytesMax: 1000 } },
);

said('[STOMP-F-20] a frame of the server with a body has content-length', (wire) => {
  const client = listening(wire);
  client.sendBytes('SEND\ndestination:/topic/a\n\n\u00e9\0');
  expect(client.messages()[0]!.header('content-length')).toBe('2');
  client.sendBytes('SEND\n\n\0');
  const error = client.error()!;
  expect(error.header('content-length')).toBe(String(error.body.length));
});

said('[STOMP-F-21] a command that is not known is an error', (wire) => {
  const client = wire.client();
  client.sendBytes('PUBLISH\ndestination:/topic/a\n\n\0');
  expect(client.error()!.header('message')).toBe('Bad command');
});

said('[STOMP-F-22] headers that mean nothing to the server are no error', (wire) => {
  const client = wire.client();
  client.request(frame('SUBSCRIBE', { id: '1', destination: '/topic/a', 'some-header': 'x' }));
  client.request(frame('UNSUBSCRIBE', { id: '1', 'some-header': 'x' }));
  client.request(frame('BEGIN', { transaction: '1', 'some-header': 'x' }));
});

// Connecting.

said('[STOMP-C-1] [STOMP-C-9] CONNECT is answered with CONNECTED and a session of its own', (wire) => {
  const sessions = [1, 2].map(() => {
    const client = wire.stranger();
    client.send(frame('CONNECT', { 'accept-version': `1.${wire.version - 10}`, host: '/' }));
    const [connected] = client.receive();
    expect(connected!.command).toBe('CONNECTED');
    return connected!.header('session');
  });
  expect(sessions[0]).toBeTruthy();
  expect(sessions[0]).not.toBe(sessions[1]);
});

said('[STOMP-C-2] STOMP is taken as CONNECT is', (wire) => {
  const client = wire.stranger();
  client.sendBytes(`STOMP\naccept-version:1.${wire.version - 10}\nhost:/\n\n\0`);
  expect(client.receive()[0]!.command).toBe('CONNECTED');
});

said('[STOMP-C-3] [STOMP-C-6] the highest version that both know is spoken, and said', (wire) => {
  const best = `1.${wire.version - 10}`;
  for (const accepted of [best, `1.0,${best}`, `${best},1.0`, `0.9,${best},3.0`]) {
    const client = wire.stranger();
    client.send(frame('CONNECT', { 'accept-version': accepted, host: '/' }));
    expect(client.receive()[0]!.header('version')).toBe(best);
  }
});

said('[STOMP-C-4] without accept-version 1.0 is spoken', (wire) => {
  const client = wire.stranger();
  client.sendBytes('CONNECT\n\n\0');
  const [connected] = client.receive();
  expect(connected!.command).toBe('CONNECTED');
  expect([null, '1.0']).toContain(connected!.header('version'));
  // 1.0 needs no id.
  client.sendBytes('SUBSCRIBE\ndestination:/topic/a\n\n\0SEND\ndestination:/topic/a\n\nx\0');
  expect(client.bodies()).toEqual(['x']);
});

said('[STOMP-C-5] no common version: ERROR with those there are, then the end', (wire) => {
  const client = wire.stranger();
  client.send(frame('CONNECT', { 'accept-version': '0.9,2.0', host: '/' }));
  expect(client.error()!.header('version')).toBe('1.0,1.1,1.2');
});

said('[STOMP-C-7] host chooses the virtual host', (wire) => {
  wire.world.broker.addVhost('other');
  const [here, there] = [wire.client(), wire.client({ host: 'other' })];
  here.subscribe('/topic/a');
  there.subscribe('/topic/a');
  wire.client({ host: 'other' }).publish('/topic/a', 'x');
  expect([here.bodies(), there.bodies()]).toEqual([[], ['x']]);
});

said(
  '[STOMP-C-8] login and passcode are checked: ERROR, then the end',
  (wire) => {
    expect(wire.client({ login: 'u', passcode: 'right' })).toBeDefined();
    for (const passcode of ['wrong', '']) {
      const client = wire.stranger();
      client.send(frame('CONNECT', { 'accept-version': `1.${wire.version - 10}`, host: '/', login: 'u', passcode }));
      expect(client.error()!.header('message')).toBe('Bad CONNECT');
    }
  },
  {
    authenticator: {
      authenticate: ({ username, password }) =>
        username === 'u' && password !== null && Buffer.from(password).toString() === 'right'
          ? { ok: true, principal: { name: 'u', policy: null } }
          : { ok: false, reason: 'bad-credentials' },
    },
  },
);

said('[STOMP-C-10] CONNECTED names the server and its version', (wire) => {
  const client = wire.stranger();
  client.send(frame('CONNECT', { 'accept-version': `1.${wire.version - 10}`, host: '/' }));
  expect(client.receive()[0]!.header('server')).toBe('Sluice/1.2.3');
});

said('[STOMP-C-11] what comes before CONNECT is an error', (wire) => {
  const client = wire.stranger();
  client.sendBytes('SEND\ndestination:/topic/a\n\n\0');
  expect(client.error()!.text()).toContain('CONNECT');
});

said('[STOMP-C-12] a second CONNECT is an error', (wire) => {
  const client = wire.client();
  client.sendBytes('CONNECT\naccept-version:1.2\nhost:/\n\n\0');
  expect(client.error()!.text()).toContain('second time');
});

// Heart-beats.

const BEATS = { stomp: { heartBeatSendMs: 1000, heartBeatReceiveMs: 1000 } };

async function beating(wire: Wire, heartBeat: string | null) {
  await wire.world.open();
  return wire.client(heartBeat === null ? {} : { 'heart-beat': heartBeat });
}

said(
  '[STOMP-H-1] without the header there are none',
  async (wire) => {
    const client = await beating(wire, null);
    wire.world.advance(60_000);
    client.receive();
    expect([client.heartBeats, client.pipe.ended]).toEqual([0, false]);
  },
  BEATS,
);

said(
  '[STOMP-H-2] 0 on one side: none in that direction',
  async (wire) => {
    const silent = await beating(wire, '0,0');
    const deaf = wire.client({ 'heart-beat': '0,1000' });
    wire.world.advance(5000);
    for (const client of [silent, deaf]) client.receive();
    expect([silent.heartBeats, silent.pipe.ended, deaf.pipe.ended]).toEqual([0, false, false]);
    expect(deaf.heartBeats).toBeGreaterThan(0);
  },
  BEATS,
);

said(
  '[STOMP-H-3] [STOMP-H-7] the server sends a line end at least every max(what it can, what the client wants)',
  async (wire) => {
    const [often, seldom] = [await beating(wire, '0,10'), wire.client({ 'heart-beat': '0,4000' })];
    for (let i = 1; i <= 12; i++) {
      wire.world.advance(1000);
      for (const client of [often, seldom]) expect(client.receive()).toEqual([]);
      expect(often.heartBeats).toBeGreaterThanOrEqual(i);
      expect(seldom.heartBeats).toBeGreaterThanOrEqual(Math.floor(i / 4));
    }
    expect(seldom.heartBeats).toBeLessThanOrEqual(6);
  },
  BEATS,
);

said(
  '[STOMP-H-4] [STOMP-H-5] a silent client is cut off, not at once, and anything it sends counts',
  async (wire) => {
    const silent = await beating(wire, '1000,0');
    const clients = [wire.client({ 'heart-beat': '1000,0' }), wire.client({ 'heart-beat': '1000,0' })];
    let endedAfter = 0;
    for (let i = 1; i <= 10; i++) {
      wire.world.advance(1000);
      clients[0]!.sendBytes('\n');
      clients[1]!.publish('/topic/none', 'x');
      if (!silent.pipe.ended) endedAfter = i;
    }
    expect(endedAfter).toBeGreaterThanOrEqual(1);
    expect(silent.error()!.header('message')).toBe('Heart-beat timeout');
    expect(clients.map(({ pipe }) => pipe.ended)).toEqual([false, false]);
  },
  BEATS,
);

said('[STOMP-H-6] a heart-beat header that is not two numbers is an error', (wire) => {
  for (const text of ['1', 'a,b', '1,-1', '1,2,3']) {
    const client = wire.stranger();
    client.send(frame('CONNECT', { 'accept-version': `1.${wire.version - 10}`, host: '/', 'heart-beat': text }));
    expect(client.error(), text).not.toBeNull();
  }
});

// Receipts and errors.

said('[STOMP-R-1] [STOMP-R-2] every frame but CONNECT gets its receipt', (wire) => {
  const client = wire.client();
  client.request(frame('SUBSCRIBE', { id: '1', destination: '/queue/q', ack: 'client' }));
  const came = client.request(frame('SEND', { destination: '/queue/q' }, 'x'));
  const [message] = [...came, ...client.receive()];
  client.request(frame('BEGIN', { transaction: 't' }));
  client.request(frame('ACK', { ...wire.naming(message!), transaction: 't' }));
  client.request(frame('COMMIT', { transaction: 't' }));
  client.request(frame('BEGIN', { transaction: 't' }));
  client.request(frame('ABORT', { transaction: 't' }));
  if (wire.version !== Version.V1_0) {
    const [again] = [...client.request(frame('SEND', { destination: '/queue/q' }, 'y')), ...client.receive()];
    client.request(frame('NACK', wire.naming(again!)));
  }
  client.request(frame('UNSUBSCRIBE', { id: '1' }));
  client.request(frame('DISCONNECT'));
});

said('[STOMP-R-3] a receipt says that everything before its frame has been dealt with', (wire) => {
  const [client, listener] = [wire.client(), wire.client().subscribe('/topic/a')];
  for (let i = 0; i < 5; i++) client.publish('/topic/a', String(i));
  client.request(frame('SEND', { destination: '/topic/none' }));
  expect(listener.read().map((message) => message.text())).toEqual(['0', '1', '2', '3', '4']);
});

said('[STOMP-R-4] [STOMP-R-5] ERROR says what was wrong, and the connection is closed', (wire) => {
  const client = wire.client();
  client.send(frame('SUBSCRIBE', { id: '1', destination: 'nowhere' }));
  client.send(frame('SEND', { destination: '/queue/after' }, 'not any more'));
  const frames = client.receive();
  expect(frames.map(({ command }) => command)).toEqual(['ERROR']);
  expect(frames[0]!.header('message')).toBe('Invalid destination');
  expect(frames[0]!.text()).toContain('nowhere');
  expect(client.pipe.ended).toBe(true);
  expect(wire.world.broker.vhosts.get('/')!.queues.size).toBe(0);
});

said('[STOMP-R-6] ERROR for a frame with a receipt has receipt-id', (wire) => {
  const client = wire.client();
  client.send(frame('SUBSCRIBE', { id: '1', destination: 'nowhere', receipt: 'r 1' }));
  expect(client.error()!.header('receipt-id')).toBe('r 1');
});
