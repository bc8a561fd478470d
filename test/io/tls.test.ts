// TLS over accepted sockets: what a renewed identity means for connections that are there and for those that come.
import { X509Certificate } from 'node:crypto';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { type TlsIdentity, TlsTerminator } from '../../src/io/tls.ts';
import { Authority, type Issued } from '../support/certificates.ts';
import { nothing, until } from './until.ts';

let authority: Authority;
let issued: Issued[];
beforeAll(async () => {
  authority = await Authority.create();
  issued = [await authority.issue('first'), await authority.issue('second')];
});

const identityOf = ({ certificate, key }: Issued): TlsIdentity => ({
  certificate: Buffer.from(certificate),
  key: Buffer.from(key),
  clientAuthorities: null,
});

let server: Server;
let terminator: TlsTerminator;
const clients: TLSSocket[] = [];

beforeEach(async () => {
  terminator = new TlsTerminator(
    identityOf(issued[0]!),
    { versionMin: 'TLSv1.2', handshakeTimeoutMs: 10_000 },
    {
      onSecure: (socket) => {
        socket.on('error', nothing);
        socket.pipe(socket);
      },
      onRefused: nothing,
    },
  );
  server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => terminator.take(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
  server.close();
});

/** A client that has got its echo, and the subject of the certificate that it was shown. */
async function client(): Promise<{
  socket: TLSSocket;
  shown: string | undefined;
  echoed(text: string): Promise<void>;
}> {
  const socket = connect({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    ca: authority.certificate,
  });
  clients.push(socket);
  let got = '';
  socket.on('data', (bytes) => {
    got += String(bytes);
  });
  const echoed = async (text: string): Promise<void> => {
    socket.write(text);
    await until(`the echo of ${text}`, () => got.endsWith(text));
  };
  await echoed('hello');
  return { socket, shown: new X509Certificate(socket.getPeerCertificate().raw).subject, echoed };
}

it('an identity that is renewed is shown to who comes, and leaves who is there alone', async () => {
  const before = await client();
  expect(before.shown).toBe('CN=first');
  terminator.renew(identityOf(issued[1]!));
  expect((await client()).shown).toBe('CN=second');
  await before.echoed('still here');
});

it('an identity that cannot be used is refused, and the one before goes on', async () => {
  const mixed = { ...identityOf(issued[1]!), key: Buffer.from(issued[0]!.key) };
  expect(() => terminator.renew(mixed)).toThrow();
  expect((await client()).shown).toBe('CN=first');
});
