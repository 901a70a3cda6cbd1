// The words of a seat in a control block: see control.js.

export const MAILBOX = 0;
export const JOB = 1;
export const THREAD = 2;
export const ARGUMENT = 3;
export const ACTIVITY = 4;
/** Of a wait: the address, and what it expects there (two words if 64 bits). */
export const ADDRESS = 5;
export const WIDTH = 6;
/** How far a call of a function of the page is: see page-functions.js. */
export const CALLED = 7;
export const EXPECTED = 8;
/** Of a call: how many arguments or results, and which of them are 64-bit integers. */
export const COUNT = 10;
export const WIDE = 11;
/** Changes from 0 when a call has been answered; see Reply. */
export const REPLY = 12;
/** 1 while the thread is counted in W.ASLEEP. */
export const ASLEEP = 13;
/** Where its own stack is, if it was given one; see stack.js. */
export const STACK = 16;
/** How many locks its worker holds or waits for; see lock.js. */
export const LOCKS = 17;
export const VALUES = 18;
