// What is answered to plain HTTP requests: a function from method and path to status, headers and body, so that every engine serves the same.
// Knows nothing of sockets.
import { STATUS_CODES } from 'node:http';
import { DEMO_ICON, DEMO_PAGE } from './demo/page.ts';
import { DEMO_SCRIPT } from './demo/script.ts';
import { DEMO_STYLE } from './demo/style.ts';

export interface HttpAnswer {
  readonly status: number;
  /** Names in small letters; content-length among them. */
  readonly headers: Readonly<Record<string, string>>;
  /** '' for HEAD. */
  readonly body: string;
}

/** Answers a request; target is what stands in the request line, with its query. */
export type HttpHandler = (method: string, target: string) => HttpAnswer;

// Everything comes from here and nothing is inline, so that a page cannot be made to run what a message says.
const SAFETY: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-cache',
};

interface Page {
  readonly type: string;
  readonly body: string;
}

const PAGES: ReadonlyMap<string, Page> = new Map([
  ['/demo', { type: 'text/html; charset=utf-8', body: DEMO_PAGE }],
  ['/demo.js', { type: 'text/javascript; charset=utf-8', body: DEMO_SCRIPT }],
  ['/demo.css', { type: 'text/css; charset=utf-8', body: DEMO_STYLE }],
  ['/demo.svg', { type: 'image/svg+xml', body: DEMO_ICON }],
  ['/health', { type: 'text/plain; charset=utf-8', body: 'ok\n' }],
]);

/** An answer of a few words. */
export function plainAnswer(status: number, text: string, more: Readonly<Record<string, string>> = {}): HttpAnswer {
  return answer(status, { type: 'text/plain; charset=utf-8', body: `${text}\n` }, more);
}

export const servePages: HttpHandler = (method, target) => {
  const query = target.indexOf('?');
  const path = query === -1 ? target : target.slice(0, query);
  const whole = route(method, path);
  return method === 'HEAD' ? { ...whole, body: '' } : whole;
};

function route(method: string, path: string): HttpAnswer {
  const page = PAGES.get(path);
  if (page === undefined && path !== '/') return plainAnswer(404, 'Nothing here. There is a page at /demo.');
  if (method !== 'GET' && method !== 'HEAD') return plainAnswer(405, 'Only GET and HEAD.', { allow: 'GET, HEAD' });
  if (page === undefined) return plainAnswer(302, 'The page is at /demo.', { location: '/demo' });
  return answer(200, page, {});
}

function answer(status: number, { type, body }: Page, more: Readonly<Record<string, string>>): HttpAnswer {
  const headers = { ...SAFETY, 'content-type': type, 'content-length': `${Buffer.byteLength(body)}`, ...more };
  return { status, headers, body };
}

/** The answer as bytes of HTTP/1.1, for streams without an HTTP library. */
export function answerBytes({ status, headers, body }: HttpAnswer): string {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nconnection: close\r\n`;
  for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`;
  return `${head}\r\n${body}`;
}
