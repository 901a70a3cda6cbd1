// The numbers of WASI preview 1.

export const E = {
  SUCCESS: 0,
  TOOBIG: 1,
  ACCES: 2,
  AGAIN: 6,
  BADF: 8,
  BUSY: 10,
  EXIST: 20,
  FAULT: 21,
  FBIG: 22,
  INVAL: 28,
  IO: 29,
  ISDIR: 31,
  LOOP: 32,
  MFILE: 33,
  MLINK: 34,
  NAMETOOLONG: 37,
  NFILE: 41,
  NOENT: 44,
  NOMEM: 48,
  NOSPC: 51,
  NOSYS: 52,
  NOTDIR: 54,
  NOTEMPTY: 55,
  NOTSUP: 58,
  PERM: 63,
  PIPE: 64,
  ROFS: 69,
  SPIPE: 70,
  XDEV: 75,
  NOTCAPABLE: 76,
};

/** What a call of WASI returns instead of success. */
export class Errno extends Error {
  constructor(errno) {
    super(`WASI error ${errno}`);
    this.errno = errno;
  }
}

export const FILE_TYPES = { unknown: 0, terminal: 2, directory: 3, file: 4, symlink: 7 };

export const OFLAGS = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 };
export const FDFLAGS = { APPEND: 1, DSYNC: 2, NONBLOCK: 4, RSYNC: 8, SYNC: 16 };
export const RIGHTS = {
  READ: 1n << 1n,
  SEEK: 1n << 2n,
  TELL: 1n << 5n,
  WRITE: 1n << 6n,
  ALLOCATE: 1n << 8n,
  RESIZE: 1n << 22n,
  ALL: (1n << 30n) - 1n,
};

/**
 * The calls that use the file table. The order is the number by which a thread asks the
 * supervisor for one.
 */
export const FILE_CALLS = [
  'fd_advise',
  'fd_allocate',
  'fd_close',
  'fd_datasync',
  'fd_fdstat_get',
  'fd_fdstat_set_flags',
  'fd_fdstat_set_rights',
  'fd_filestat_get',
  'fd_filestat_set_size',
  'fd_filestat_set_times',
  'fd_pread',
  'fd_prestat_dir_name',
  'fd_prestat_get',
  'fd_pwrite',
  'fd_read',
  'fd_readdir',
  'fd_renumber',
  'fd_seek',
  'fd_sync',
  'fd_tell',
  'fd_write',
  'path_create_directory',
  'path_filestat_get',
  'path_filestat_set_times',
  'path_link',
  'path_open',
  'path_readlink',
  'path_remove_directory',
  'path_rename',
  'path_symlink',
  'path_unlink_file',
];

/** Calls that exist and that we do not have. */
export const MISSING_CALLS = ['proc_raise', 'sock_accept', 'sock_recv', 'sock_send', 'sock_shutdown'];

/** The calls that every thread serves by itself. */
const OWN_CALLS = [
  'args_get',
  'args_sizes_get',
  'clock_res_get',
  'clock_time_get',
  'environ_get',
  'environ_sizes_get',
  'poll_oneoff',
  'proc_exit',
  'random_get',
  'sched_yield',
];

/** What the host defines for every program, as `module.name`. */
export const KNOWN_IMPORTS = new Set([
  'wasi.thread-spawn',
  ...[...FILE_CALLS, ...MISSING_CALLS, ...OWN_CALLS].map((name) => `wasi_snapshot_preview1.${name}`),
]);
