// Calls of the API. The cookie goes along by itself; the header shows that this page asked.

export const BASE = "/api/v1/academy";
const TIMEOUT_MILLISECONDS = 60_000;

/** A refusal of the API: its detail and next step, and what is wrong with which field. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {Partial<import("../shapes").Problem>} body
   */
  constructor(status, body) {
    super(body.detail);
    this.status = status;
    this.code = body.code;
    this.next_step = body.next_step;
    this.errors = body.errors ?? [];
  }
}

/**
 * @template Answer
 * @typedef {{ status: number, body: Answer, headers: Headers }} Answered
 */

/**
 * The JSON that a path answers. Throws `Problem`, or `TypeError` if the server is away.
 * @template Answer
 * @param {string} path
 * @returns {Promise<Answer>}
 */
export async function get(path) {
  /** @type {Answered<Answer>} */
  const answer = await call("GET", path);
  return answer.body;
}

/**
 * POST a body; what was answered, with its status and headers.
 * @template Answer
 * @param {string} path
 * @param {object} body
 * @param {Record<string, string>} headers
 * @returns {Promise<Answered<Answer>>}
 */
export function post(path, body, headers = {}) {
  return call("POST", path, body, headers);
}

/**
 * DELETE; what was answered.
 * @template Answer
 * @param {string} path
 * @returns {Promise<Answer>}
 */
export async function remove(path) {
  /** @type {Answered<Answer>} */
  const answer = await call("DELETE", path);
  return answer.body;
}

/** End this browser's session. */
export async function signOut() {
  await fetch("/academy/session", { method: "DELETE", headers: { "X-Academy-Dashboard": "1" } });
}

/**
 * @template Answer
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {Record<string, string>} headers
 * @returns {Promise<Answered<Answer>>}
 */
async function call(method, path, body, headers = {}) {
  const answer = await fetch(path.startsWith(BASE) ? path : BASE + path, {
    method,
    headers: {
      Accept: "application/json",
      "X-Academy-Dashboard": "1",
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
  });
  const parsed = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, { detail: answer.statusText, ...parsed });
  return { status: answer.status, body: parsed, headers: answer.headers };
}
