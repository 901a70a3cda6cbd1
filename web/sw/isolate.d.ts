/** Why threads cannot run here, and what to do about it. */
export interface Obstacle {
  reason: string;
  remedy: string;
}

export interface IsolateOptions {
  /** The pages to isolate, if not all in the worker's folder: every one of them asks with the same options. */
  pages?: string[];
  /**
   * With `credentialless`, which Safari does not know, pages may show what other sites do not
   * allow them to by a header; they get it without cookies.
   */
  embedderPolicy?: 'require-corp' | 'credentialless';
}

/**
 * Kept when it is clear whether this page can share memory: with null if it can, else with the
 * obstacle. Not kept at all where the page is about to be loaded again.
 *
 * `worker` is the service worker's address, './sw.js' by default; its folder is what it serves.
 */
export function isolate(worker?: string, options?: IsolateOptions): Promise<Obstacle | null>;

/**
 * Takes the service worker back. Kept with whether there was one; pages are as they were without
 * it when they are loaded next.
 */
export function release(worker?: string): Promise<boolean>;
