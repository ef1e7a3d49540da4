import type { HttpRequest, HttpResponse } from "./http.js";

/** What `http` sends requests by, and until when: the host in a component, a fake in tests. */
export const wire: {
  send(request: HttpRequest): Promise<HttpResponse>;
  /** When the call in progress has to be done, by `performance.now()`. */
  deadline: number | undefined;
} = {
  async send({ method, url }) {
    throw new Error(`${method} ${url}: outside of the runtime only FakeHttp of sump-sdk/testing answers requests`);
  },
  deadline: undefined,
};
