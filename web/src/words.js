// The words at the beginning of a control block: see control.js. Constants by themselves, which
// minifiers put in where they are used.

/** 0 while the process runs, 1 from the moment that its end has a cause. */
export const ENDING = 0;
export const CAUSE = 1;
export const CAUSE_CODE = 2;
export const CAUSE_THREAD = 3;
/** Sleeping threads wait for this word; it changes at the end. */
export const END = 4;
/** The supervisor looks for work when it changes. */
export const SUPERVISOR = 5;
/** The host looks at streams, replies and the trace when it changes. */
export const HOST = 6;
/** 1 if bells have to be messages too, because `Atomics.waitAsync` is missing. */
export const BY_MESSAGE = 7;
export const LOCK = 8;
/** Guest threads, the main one included; under LOCK. */
export const ALIVE = 9;
export const PEAK = 10;
export const STARTED = 11;
export const REFUSED = 12;
export const NEXT_ID = 13;
export const IDLE = 14;
export const PENDING = 15;
export const PENDING_HEAD = 16;
/** Seats that will take a pending thread by themselves soon; under LOCK. */
export const COMING = 17;
/** Threads that may exist beside the main one. */
export const MOST_THREADS = 18;
/** Changes when a thread has ended. */
export const ENDED = 19;
/** The bits of the limits that a thread has met. */
export const LIMITS_MET = 20;
/** The file descriptors that are standard input, output and error; -1 if none is. */
export const STREAM_FD = 21;
/** The flags of standard input, output and error. */
export const STREAM_FLAGS = 41;
export const RPC_LOCK = 24;
export const RPC_STATE = 25;
export const RPC_CALL = 26;
export const RPC_RESULT = 27;
export const RPC_COUNT = 36;
export const RPC_WIDE = 37;
/** 1 once a thread has asked the supervisor for a file call. */
export const ASKED = 47;
/** Where the bytes are that stop threads, or 0: see stop-bytes.js. */
export const STOP_AT = 45;
/** Changes when something has happened to a socket, or to standard input where there are sockets. */
export const CHANGED = 44;
/** How many sleep on it, as a ring counts those who sleep on its words. */
export const POLLERS = 46;
/** How often threads came out of a sleep without a timeout. */
export const AWOKEN = 38;
/** Where the host's own bytes in the memory are free, and where they end: see host-area.js. */
export const HOST_FREE = 39;
export const HOST_END = 40;
/** Who sleeps for ever: see observed.js. */
export const ASLEEP = 28;
/** 1 while somebody finds out whether all threads sleep for ever. */
export const VERDICT = 29;
export const WAITS = 30;
export const NOTIFIES = 31;
export const WOKEN = 32;
export const NOT_EQUAL = 33;
export const TRACE_NEXT = 34;
/** Not 0 once the first seat has its instance, which makes the memory's contents. */
export const READY = 35;
