// The part of uWebSockets.js that is used here, and how it is loaded. It is not a dependency: its publisher keeps it off npm, and it is a native module. Who
// wants it installs it. A fork on npm (@rjweb/uws) has the same interface up to the names of two functions.

export interface UwsWebSocket {
  /** 0: taken, but waiting for the peer to read; 1: with the system; 2: dropped. Copies what it cannot write at once. */
  send(message: Uint8Array, isBinary: boolean, compress: boolean): number;
  sendFirstFragment(message: Uint8Array, isBinary: boolean, compress: boolean): number;
  sendFragment(message: Uint8Array, compress: boolean): number;
  sendLastFragment(message: Uint8Array, compress: boolean): number;
  cork(callback: () => void): unknown;
  /** Bytes waiting, frame headers included. */
  getBufferedAmount(): number;
  /** Sends a close frame. Calls the close handler before it returns; the object must not be used after that. */
  end(code: number, reason: string): void;
  /** As end(), without a close frame. */
  close(): void;
  getUserData(): object;
}

export interface UwsResponse {
  writeStatus(status: string): UwsResponse;
  writeHeader(name: string, value: string): UwsResponse;
  end(body: string, closeConnection: boolean): UwsResponse;
  endWithoutBody(contentLength: number, closeConnection: boolean): UwsResponse;
  /** A response without such a handler has to be complete when its request's handler returns. */
  onAborted(handler: () => void): UwsResponse;
  upgrade(userData: object, key: string, protocol: string, extensions: string, context: object): void;
  /** 4 or 16 bytes. */
  getRemoteAddress(): ArrayBuffer;
  /** Newer versions only. */
  getRemotePort?: () => number;
}

export interface UwsRequest {
  getHeader(name: string): string;
  getCaseSensitiveMethod(): string;
  getUrl(): string;
  getQuery(): string | undefined;
}

export interface UwsBehavior {
  readonly compression: number;
  readonly maxPayloadLength: number;
  readonly maxBackpressure: number;
  readonly idleTimeout: number;
  readonly sendPingsAutomatically: boolean;
  upgrade(response: UwsResponse, request: UwsRequest, context: object): void;
  open(webSocket: UwsWebSocket): void;
  /** message is valid during the call only. */
  message(webSocket: UwsWebSocket, message: ArrayBuffer, isBinary: boolean): void;
  drain(webSocket: UwsWebSocket): void;
  close(webSocket: UwsWebSocket, code: number, reason: ArrayBuffer): void;
}

export interface UwsApp {
  ws(pattern: string, behavior: UwsBehavior): UwsApp;
  any(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): UwsApp;
  listen(host: string, port: number, callback: (token: object | false) => void): UwsApp;
}

export interface Uws {
  createApp(): UwsApp;
  portOf(token: object): number;
  stopListening(token: object): void;
}

interface UwsModule {
  App(): UwsApp;
  us_listen_socket_close?: (token: object) => void;
  us_socket_local_port?: (token: object) => number;
  /** What the fork calls the two. */
  closeSocket?: (token: object) => void;
  getSocketPort?: (token: object) => number;
}

export const UWS_MODULE = 'uWebSockets.js';

/** Rejects with the reason when it cannot be imported here. */
export async function loadUws(): Promise<Uws> {
  // Through a variable, since there are no types of a module that need not be there.
  const name: string = UWS_MODULE;
  const imported = (await import(name)) as Partial<UwsModule> & { default?: UwsModule };
  const module = imported.default ?? imported;
  const portOf = module.us_socket_local_port ?? module.getSocketPort;
  const stopListening = module.us_listen_socket_close ?? module.closeSocket;
  const { App } = module;
  if (App === undefined || portOf === undefined || stopListening === undefined) {
    throw new Error(`${UWS_MODULE} has not the functions App, us_socket_local_port and us_listen_socket_close`);
  }
  return { createApp: () => App(), portOf, stopListening };
}
