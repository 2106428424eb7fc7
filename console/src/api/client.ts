// How the console talks to the server: the public API, with the session's cookie.
//
//   page ─► useResource / send ─► request ─► fetch ─┬─ 2xx: the body
//                                                   ├─ 401: signed out, the shell shows the sign-in page
//                                                   ├─ 4xx, 5xx: ApiError, with the code that has a page in docs/errors
//                                                   └─ no answer: ServerGone; the shell says so and asks until it is back
//
// Every request carries a header that another site cannot send, so the cookie alone is worth nothing to it.
import { connection } from './connection';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** The codes that have a page; the build puts them in. */
declare const __ERROR_PAGES__: string[];

/** Where the API lives on the server. */
export const API = '/api/v2';

/** What changes something may take so long, milliseconds; the server itself gives up after 120 s. */
const WITHIN_MS = 130_000;
/** What only reads: a server that does not answer by then counts as gone. */
const READ_WITHIN_MS = 20_000;
/** After this long people are told that they wait for the server. */
const SLOW_MS = 3000;

/** The pages that explain error codes; the server has them with it. */
const ERROR_PAGES = '/console/errors';

export interface Options {
  body?: unknown;
  query?: Record<string, string | number | boolean | undefined | null>;
  signal?: AbortSignal | undefined;
}

/** The server refused. `message` is made for people; `hint` says what to do. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint?: string,
    readonly requestId?: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }

  /** Whether docs/errors explains it. */
  get hasPage(): boolean {
    return __ERROR_PAGES__.includes(this.code);
  }

  get helpUrl(): string {
    return `${ERROR_PAGES}/${encodeURIComponent(this.code)}.md`;
  }
}

/** There is no answer: the server is stopped, restarting, or the network is away. */
export class ServerGone extends Error {
  constructor() {
    super('The server does not answer.');
    this.name = 'ServerGone';
  }
}

/** Whether an error only says that nobody waits for the answer any more. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

let signedOut: () => void = () => {};

/** The shell's answer to 401. */
export function onSignedOut(listener: () => void): void {
  signedOut = listener;
}

/** One path segment, safe for a URL. */
export const seg = encodeURIComponent;

/** Sends a request to the API; `path` is below `/api/v2`. */
export function request<T>(method: Method, path: string, options: Options = {}): Promise<T> {
  return send<T>(method, API + path, options);
}

/** The same with a path from the root, for the few things outside the API. */
export async function send<T>(method: Method, path: string, options: Options = {}): Promise<T> {
  const headers: Record<string, string> = { 'X-Dormouse-Console': '1', Accept: 'application/json' };
  const init: RequestInit = { method, headers, credentials: 'same-origin', cache: 'no-store', signal: limit(options.signal, method === 'GET' ? READ_WITHIN_MS : WITHIN_MS) };
  if (options.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    init.body = JSON.stringify(options.body);
  }
  let response: Response;
  // A wake may take its time; whoever asked for it sees a button that is busy.
  const waited = method === 'GET' ? setTimeout(() => connection.slow(), SLOW_MS) : undefined;
  try {
    response = await fetch(path + queryOf(options.query), init);
  } catch (error) {
    if (options.signal?.aborted) throw new DOMException('aborted', 'AbortError');
    if (error instanceof DOMException && error.name === 'TimeoutError' && method !== 'GET') {
      throw new ApiError(0, 'too-slow', 'The server took too long to answer.', 'Look at the operations: what was asked for may be under way.');
    }
    connection.lost();
    throw new ServerGone();
  } finally {
    clearTimeout(waited);
  }
  connection.answered();
  if (response.ok) return (response.status === 204 ? undefined : await bodyOf(response, options.signal)) as T;
  const error = await refusal(response);
  if (response.status === 401 && path.startsWith(API)) signedOut();
  throw error;
}

/** The server may die in the middle of its answer. */
async function bodyOf(response: Response, signal: AbortSignal | undefined): Promise<unknown> {
  try {
    return await response.json();
  } catch (error) {
    if (signal?.aborted) throw new DOMException('aborted', 'AbortError');
    if (error instanceof SyntaxError) throw new ApiError(response.status, 'unknown', 'The answer cannot be read.', 'Is something between this page and the server?');
    connection.lost();
    throw new ServerGone();
  }
}

function limit(signal: AbortSignal | undefined, within: number): AbortSignal {
  const timeout = AbortSignal.timeout(within);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

function queryOf(query: Options['query']): string {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return pairs.length ? `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}` : '';
}

async function refusal(response: Response): Promise<ApiError> {
  try {
    const body = (await response.json()) as { message?: string; code?: string; hint?: string; request_id?: string };
    return new ApiError(response.status, body.code ?? 'unknown', sentence(body.message ?? response.statusText), body.hint && sentence(body.hint), body.request_id);
  } catch {
    return new ApiError(response.status, 'unknown', `The server answered ${response.status}.`);
  }
}

/** The API writes for programs and terminals, in lower case. */
export function sentence(text: string): string {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?)`]$/.test(start) ? start : `${start}.`;
}
