import { request } from 'node:http';
import { connect } from 'node:net';
import { Script } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SOCKET_MODES } from '../../src/io/tcp.ts';
import { answerBytes, plainAnswer, servePages } from '../../src/server/pages.ts';
import { nothing, turns, until } from '../io/until.ts';
import { TestServer } from '../protocols/websocket/harness.ts';

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

describe.each(SOCKET_MODES)('HTTP on a listener of several protocols (reading: %s)', (socketMode) => {
  let server: TestServer;

  beforeEach(async () => {
    server = await new TestServer({ socketMode, onAccept: nothing }).listen();
  });

  afterEach(async () => {
    await server.close();
    await until('all connections are closed', () => server.connections.open === 0);
    expect(server.clock.timerCount).toBe(0);
  });

  function ask(method: string, path: string, headers: Record<string, string> = {}, body = ''): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asking = request(
        { host: '127.0.0.1', port: server.port, method, path, headers, agent: false },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (piece: string) => {
            text += piece;
          });
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
          );
        },
      );
      asking.on('error', reject);
      asking.end(body);
    });
  }

  /** Sends text as it is and resolves to everything that came back when the stream is closed. */
  function raw(text: string): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect(server.port, '127.0.0.1');
      let answer = '';
      socket.on('data', (bytes) => {
        answer += bytes.toString('latin1');
      });
      socket.on('error', nothing);
      socket.on('close', () => resolve(answer));
      socket.write(text);
    });
  }

  test('serves the page, its script, style and icon', async () => {
    const types: Record<string, string> = {
      '/demo': 'text/html; charset=utf-8',
      '/demo.js': 'text/javascript; charset=utf-8',
      '/demo.css': 'text/css; charset=utf-8',
      '/demo.svg': 'image/svg+xml',
    };
    for (const [path, type] of Object.entries(types)) {
      const { status, headers, body } = await ask('GET', path);
      expect([path, status, headers['content-type']]).toEqual([path, 200, type]);
      expect(Buffer.byteLength(body)).toBe(Number(headers['content-length']));
      expect(body.length).toBeGreaterThan(100);
    }
  });

  test('answers /health with ok, also with a query', async () => {
    expect(await ask('GET', '/health?now')).toMatchObject({ status: 200, body: 'ok\n' });
  });

  test('answers anything else with 404, and writing methods with 405', async () => {
    expect((await ask('GET', '/nothing')).status).toBe(404);
    expect((await ask('GET', '/demo/../health')).status).toBe(404);
    const post = await ask('POST', '/demo', {}, 'a=b');
    expect([post.status, post.headers.allow]).toEqual([405, 'GET, HEAD']);
    for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PATCH']) expect((await ask(method, '/health')).status).toBe(405);
  });

  test('leads from / to the page', async () => {
    const { status, headers } = await ask('GET', '/');
    expect([status, headers.location]).toEqual([302, '/demo']);
  });

  test('answers HEAD with headers alone', async () => {
    const text = await raw('HEAD /demo HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(text).toMatch(/\r\ncontent-length: [1-9]\d{3,}\r\n/);
    expect(text.endsWith('\r\n\r\n')).toBe(true);
  });

  test('every answer carries the headers that keep pages from running anything foreign', async () => {
    for (const path of ['/demo', '/demo.js', '/nothing']) {
      const { headers } = await ask('GET', path);
      expect(headers['content-security-policy']).toContain("default-src 'self'");
      expect(headers['content-security-policy']).not.toContain('unsafe');
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(headers['referrer-policy']).toBe('no-referrer');
    }
  });

  test('closes the connection behind every answer, HTTP/1.0 and pipelined requests included', async () => {
    expect(await raw('GET /health HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 OK/);
    const pipelined = await raw('GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(pipelined.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(1);
    expect(pipelined).toMatch(/\r\nconnection: close\r\n/i);
  });

  test('an offer of another protocol is answered as a plain request', async () => {
    const text = await raw(
      'GET /health HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n',
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text.endsWith('ok\n')).toBe(true);
  });

  test('malformed and oversized requests get their status and a line in the log', async () => {
    expect(await raw('GET /demo HTTP/9.9\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(await raw(`GET /demo HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
    expect(server.log).toEqual([
      expect.stringContaining('HTTP request refused: not HTTP'),
      expect.stringContaining('HTTP request refused: its headers are over 16384 bytes'),
    ]);
  });

  test('a request that never ends is closed after ten seconds', async () => {
    const answer = raw('GET /demo HTTP/1.1\r\nhost: x\r\n');
    await until('it is accepted', () => server.connections.open === 1);
    await turns(20);
    server.clock.advance(10_000);
    expect(await answer).toBe('');
    expect(server.log).toEqual([
      'handshake-timeout: connection closed: its HTTP request did not get complete within 10000 ms',
    ]);
  });

  test('a request cut into single bytes is answered', async () => {
    const socket = connect(server.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (bytes) => {
      answer += bytes.toString();
    });
    for (const byte of 'GET /health HTTP/1.1\r\nhost: x\r\n\r\n') {
      socket.write(byte);
      await turns(2);
    }
    await until('it is answered', () => answer.endsWith('ok\n'));
    socket.destroy();
  });
});

describe('pages', () => {
  test('nothing on the page is inline or comes from elsewhere', () => {
    const { body } = servePages('GET', '/demo');
    expect(body).not.toMatch(/<script(?![^>]*\ssrc="\/demo\.js")/);
    expect(body).not.toMatch(/\son\w+=|\sstyle=|<style|https?:\/\/|\ssrc="(?!\/)/);
  });

  test('every element the script looks for is on the page', () => {
    const { body: script } = servePages('GET', '/demo.js');
    const { body: page } = servePages('GET', '/demo');
    const named = [...script.matchAll(/byId\('([\w-]+)'\)/g)].map(([, id]) => id!);
    expect(named.length).toBeGreaterThan(10);
    for (const id of named) expect(page).toContain(`id="${id}"`);
  });

  test('the script is valid JavaScript', () => {
    expect(() => new Script(servePages('GET', '/demo.js').body)).not.toThrow();
  });

  test('an answer as bytes has a status line, headers and body', () => {
    const text = answerBytes(plainAnswer(403, 'No.'));
    expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\nconnection: close\r\n/);
    expect(text).toMatch(/\r\ncontent-length: 4\r\n/);
    expect(text.endsWith('\r\n\r\nNo.\n')).toBe(true);
  });
});
