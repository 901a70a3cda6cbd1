// A worker that answers questions, in every host.

export class Peer {
  #worker;
  #asked = new Map();
  #number = 0;

  /** `start` makes the worker, with the global `Worker`. */
  constructor(start, host) {
    this.#worker = host.withWorker(start);
    const take = ({ number, value, error }) => {
      const { resolve, reject } = this.#asked.get(number);
      this.#asked.delete(number);
      if (error) reject(new Error(error));
      else resolve(value);
    };
    const fail = (error) => {
      for (const { reject } of this.#asked.values()) reject(new Error(error.message ?? 'its worker fails'));
    };
    if (this.#worker.on) {
      this.#worker.on('message', take);
      this.#worker.on('error', fail);
    } else {
      this.#worker.onmessage = (event) => take(event.data);
      this.#worker.onerror = fail;
    }
  }

  ask(question) {
    const number = ++this.#number;
    const answer = new Promise((resolve, reject) => this.#asked.set(number, { resolve, reject }));
    this.#worker.postMessage({ number, ...question });
    return answer;
  }

  async close() {
    await this.#worker.terminate();
  }
}
